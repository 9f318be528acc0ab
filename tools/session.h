/* session.h: what a running command has at hand. */
#ifndef ISB_TOOLS_SESSION_H
#define ISB_TOOLS_SESSION_H

#include <isobit/isobit.h>

#include "errors.h"
#include "options.h"
#include "display.h"
#include "results.h"

typedef struct tool_session {
    const tool_command *command;
    const common_values *common;
    parsed_options *parsed;
    isb_context *context;
    progress_display progress;
} tool_session;

/* In the order in which help lists them. */
extern const tool_command command_train, command_prepare, command_merge, command_encode,
    command_decode, command_compress, command_decompress, command_quantize, command_eval,
    command_generate, command_codebook, command_info;
extern const tool_command *const commands[];
extern const size_t n_commands;

/* NULL: no command has that name. */
const tool_command *command_find(const char *name);
/* Among the subcommands of a group, by the last word of their names. */
const tool_command *command_find_in(const tool_command *group, const char *word);
/* "build" of "codebook build" */
const char *command_word(const tool_command *command);
/* The i-th of all commands that run: a group's subcommands instead of it; NULL past the last. */
const tool_command *command_leaf(size_t i);

/* ---- what several commands share: inputs.c ---- */

#define RELEASED_M1 "english-3m" /* the M1 in the library */

/* --m1: every command takes all that the library does. */
#define M1_OPTION(at, text)                                                                        \
    {.name = "m1", .metavar = "M1", .type = OPTION_TEXT, .complete = COMPLETE_FILE, .offset = at,  \
     .help = text "; a folder, a file or a name: see \"isobit help m1\""}

/* The options that say how text is read; the values' struct holds them as `corpus`. */
typedef struct corpus_values {
    int input_format, split;
    uint64_t document_nbytes, max_nbytes, valid_permille, test_permille;
} corpus_values;

#define CORPUS_OPTION_FORMAT(values)                                                               \
    {.name = "input-format", .metavar = "FORMAT", .type = OPTION_CHOICE,                           \
     .complete = COMPLETE_CHOICES, .choices = "auto|plain|jsonl", .initial = "auto",               \
     .offset = offsetof(values, corpus.input_format),                                              \
     .help = "auto goes by the name: .jsonl and .ndjson hold a document a line in their "          \
             "\"text\" field, other files are plain text; .gz and .zst are seen through"}
#define CORPUS_OPTION_DOCUMENT(values)                                                             \
    {.name = "document-size", .metavar = "BYTES", .type = OPTION_COUNT,                            \
     .offset = offsetof(values, corpus.document_nbytes),                                           \
     .help = "cut plain text into documents at the first blank line after so many bytes; "         \
             "without it a file is one document"}
#define CORPUS_OPTION_MAX(values)                                                                  \
    {.name = "max-bytes", .metavar = "N", .type = OPTION_COUNT,                                    \
     .offset = offsetof(values, corpus.max_nbytes), .low = 1,                                      \
     .help = "stop after N bytes of text"}
#define CORPUS_OPTION_VALID(values)                                                                \
    {.name = "valid-permille", .metavar = "N", .type = OPTION_COUNT, .initial = "20",              \
     .high = 1000, .offset = offsetof(values, corpus.valid_permille),                              \
     .help = "documents in a thousand kept for validation"}
#define CORPUS_OPTION_TEST(values)                                                                 \
    {.name = "test-permille", .metavar = "N", .type = OPTION_COUNT, .initial = "20", .high = 1000, \
     .offset = offsetof(values, corpus.test_permille),                                             \
     .help = "documents in a thousand kept for the test"}
#define CORPUS_OPTION_SPLIT(values)                                                                \
    {.name = "split", .metavar = "NAME", .type = OPTION_CHOICE, .complete = COMPLETE_CHOICES,      \
     .choices = "all|train|valid|test", .initial = "all",                                          \
     .offset = offsetof(values, corpus.split),                                                     \
     .help = "read only these documents; which one a document belongs to depends on its bytes "    \
             "alone"}

/* Errors (said; the exit code is returned): shares of more than 1000 together. */
int corpus_options_from(tool_session *session, const corpus_values *values,
                        isb_corpus_options *options);

/* Is it the prefix of a prepared dataset: PREFIX.json or PREFIX.train.json exists? */
bool path_is_dataset(const char *path);
/* Is it a folder, or a file? */
bool path_is_dir(const char *path);
bool path_is_file(const char *path);
/* Is there a file of that name with the suffix? */
bool path_is_file_beside(const char *path, const char *suffix);

/* Ids, archives and other bytes that would upset a terminal: an error unless `force`.  Returns 0 or
 * the exit code. */
int refuse_terminal(tool_session *session, const char *out_path, int force);
/* --json on standard output cannot go together with data there. */
int refuse_mixed_output(tool_session *session, const char *out_path);

#endif
