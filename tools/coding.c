/* coding.c: what encode and decode share. */
#include "coding.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int coding_options_from(tool_session *session, const coding_values *values,
                        isb_encode_options *options) {
    if (values->model && values->tokenizer) {
        return error_usage(session->command->name, "--model and --tokenizer exclude each other");
    }
    const int code = refuse_mixed_output(session, values->out);
    if (code != 0) return code;
    isb_encode_options_init(options);
    options->tokenizer = values->tokenizer; /* NULL: the default codebook, or the model's */
    options->m1_dir = values->m1;
    options->model_dir = values->model;
    options->format = (isb_ids_format)values->format;
    return 0;
}

int coding_report(tool_session *session, const coding_values *values,
                  const isb_encode_result *result) {
    if (strcmp(values->out, "-") == 0) return EXIT_OK;
    if (session->common->quiet && !session->common->json) return EXIT_OK;
    const double bytes = (double)result->n_bytes;
    results *out = results_new(session->command->name);
    results_text(out, "out", "file", values->out);
    results_count(out, "n_documents", "documents", result->n_documents);
    results_count(out, "n_bytes", "bytes of text", result->n_bytes);
    results_count(out, "n_tokens", "tokens", result->n_tokens);
    results_real(out, "bytes_per_token", "bytes/token", 4,
                 result->n_tokens ? bytes / (double)result->n_tokens : NAN);
    results_count(out, "n_windows", result->n_windows ? "windows" : NULL, result->n_windows);
    results_seconds(out, "seconds", "time", result->seconds);
    results_real(out, "mb_per_s", "MB/s", 3,
                 result->seconds > 0 ? bytes / result->seconds / 1e6 : NAN);
    return results_print(out, session->common->json ? stdout : stderr, session->common->json);
}
