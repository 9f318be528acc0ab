/* coding.h: what encode and decode share. */
#ifndef ISB_TOOLS_CODING_H
#define ISB_TOOLS_CODING_H

#include "session.h"

typedef struct coding_values {
    common_values common;
    text_list inputs;
    const char *tokenizer, *m1, *model, *out;
    int format;
} coding_values;

#define CODING_OPTIONS(what)                                                                       \
    {.group = "Options", .name = "tokenizer", .letter = 't', .metavar = "SPEC",                    \
     .type = OPTION_TEXT, .complete = COMPLETE_CHOICES,                                            \
     .choices = "codebook|bytes|window:b=16|ac|static-ac",                                         \
     .offset = offsetof(coding_values, tokenizer),                                                 \
     .help = "what the ids mean, see \"isobit help tokenizers\"; the default codebook without "     \
             "this and --model"},                                                                  \
    M1_OPTION(offsetof(coding_values, m1), "the M1 that the tokenizer needs"),                     \
    {.name = "model", .letter = 'm', .metavar = "DIR", .type = OPTION_TEXT,                        \
     .complete = COMPLETE_DIR, .offset = offsetof(coding_values, model),                           \
     .help = "use the tokenizer of this model"},                                                   \
    {.name = "format", .letter = 'f', .metavar = "NAME", .type = OPTION_CHOICE,                    \
     .complete = COMPLETE_CHOICES, .choices = "u16|u32|text|json", .initial = "text",              \
     .offset = offsetof(coding_values, format), .help = what "see above"},                         \
    {.name = "out", .letter = 'o', .metavar = "FILE", .type = OPTION_TEXT,                         \
     .complete = COMPLETE_FILE, .initial = "-", .offset = offsetof(coding_values, out),            \
     .help = "where to write; - is standard output"}

/* Returns 0 or the exit code. */
int coding_options_from(tool_session *session, const coding_values *values,
                        isb_encode_options *options);
/* Says how it went when a file was named: as a note on standard error, or with --json on standard
 * output. */
int coding_report(tool_session *session, const coding_values *values,
                  const isb_encode_result *result);

#endif
