/* inputs.c: what the commands that read text share. */
#include "session.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int corpus_options_from(tool_session *session, const corpus_values *values,
                        isb_corpus_options *options) {
    if (values->valid_permille + values->test_permille > 1000) {
        return error_usage(session->command->name,
                           "--valid-permille and --test-permille are more than 1000 together");
    }
    options->format = (isb_text_format)values->input_format;
    options->split = (isb_split)values->split;
    options->plain_document_nbytes = (size_t)values->document_nbytes;
    options->max_nbytes = values->max_nbytes;
    options->valid_permille = (int)values->valid_permille;
    options->test_permille = (int)values->test_permille;
    return 0;
}

bool path_is_dir(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool path_is_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

bool path_is_file_beside(const char *path, const char *suffix) {
    char name[4096];
    const int n = snprintf(name, sizeof name, "%s%s", path, suffix);
    return n > 0 && n < (int)sizeof name && path_is_file(name);
}

bool path_is_dataset(const char *path) {
    return path_is_file_beside(path, ".json") || path_is_file_beside(path, ".train.json");
}

int refuse_terminal(tool_session *session, const char *out_path, int force) {
    if (force || strcmp(out_path, "-") != 0 || !isatty(STDOUT_FILENO)) return 0;
    return error_usage(session->command->name,
                       "binary data is not written to a terminal; name a file with -o");
}

int refuse_mixed_output(tool_session *session, const char *out_path) {
    if (!session->common->json || strcmp(out_path, "-") != 0) return 0;
    return error_usage(
        session->command->name,
        "--json and the data cannot both go to standard output; name a file with -o");
}
