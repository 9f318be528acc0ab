/* format.h: numbers and text for people. */
#ifndef ISB_TOOLS_FORMAT_H
#define ISB_TOOLS_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct short_text {
    char text[32];
} short_text; /* returned by value: nothing to free */

short_text format_grouped(uint64_t value);  /* 1,234,567 */
short_text format_si(double value);         /* 1.23M */
short_text format_duration(double seconds); /* 0:07, 1:02:03 */

/* Writes `text` wrapped at `width`, each line after `indent` spaces; at the start the cursor stands
 * at column `column`.  A line of the text that begins with a space is kept as it is; a blank line
 * ends a paragraph. */
void format_wrapped(FILE *file, const char *text, int indent, int column, int width);

/* Length of the UTF-8 character at `at`, as RFC 3629 has it (no overlong forms, no surrogates); 0:
 * none.  nbytes > 0. */
size_t format_utf8_length(const unsigned char *at, size_t nbytes);

/* Any bytes as text that is safe to show and can be read back: \n \t \r \\, \xNN for what is
 * neither printable nor UTF-8, and a backslash before the characters of `special`. */
void format_escaped(FILE *file, const unsigned char *bytes, size_t nbytes, const char *special);

/* The name among names[n] that `text` was probably meant to be; NULL: none is near. */
const char *format_suggest(const char *text, const char *const *names, size_t n);

/* Columns of the terminal behind `file`, at most 100; 80 when it is no terminal. */
int format_width(FILE *file);
/* May text to `file` be coloured?  A terminal that is not dumb, and NO_COLOR is unset or empty. */
int format_colored(FILE *file);

#endif
