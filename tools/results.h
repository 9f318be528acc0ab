/* results.h: what a command found out, as aligned text or as one JSON object.
 *
 *     results *r = results_new("eval");
 *     results_count(r, "n_tokens", "tokens", n);
 *     results_real(r, "bits_per_byte", "bits/byte", 4, x);
 *     return results_print(r, stdout, session->common->json);
 *
 * JSON names carry their unit.  A label of NULL keeps an entry out of the text. */
#ifndef ISB_TOOLS_RESULTS_H
#define ISB_TOOLS_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct results results;

results *results_new(const char *command);
void results_text(results *r, const char *name, const char *label, const char *value);
/* Any bytes, in JSON only: NAME with U+FFFD for what is not UTF-8, and then NAME_hex with all of
 * them. */
void results_bytes(results *r, const char *name, const char *bytes, size_t nbytes);
void results_count(results *r, const char *name, const char *label, uint64_t value);
void results_flag(results *r, const char *name, const char *label, bool value);
void results_real(results *r, const char *name, const char *label, int decimals, double value);
/* Shown as 1.23M, kept exact in JSON. */
void results_si(results *r, const char *name, const char *label, double value);
/* `text` is a JSON object (else nothing is added); each of its members is a line "NAME: KEY". */
void results_object(results *r, const char *name, const char *text);
void results_seconds(results *r, const char *name, const char *label, double value);
/* Writes and frees; returns 0, or the exit code when memory ran out (write errors show at exit). */
int results_print(results *r, FILE *file, bool json);

#endif
