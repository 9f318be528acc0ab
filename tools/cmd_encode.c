/* cmd_encode.c: isobit encode: text to ids. */
#include <stdio.h>
#include <string.h>

#include "coding.h"

typedef struct encode_values {
    coding_values coding; /* begins with the common values */
    corpus_values corpus;
    int whole;
} encode_values;

static const option_spec encode_options[] = {
    CODING_OPTIONS("ids, "),
    {.name = "whole", .letter = 'w', .type = OPTION_FLAG, .offset = offsetof(encode_values, whole),
     .help = "each input is one document of any bytes: no JSONL, no unpacking, no splitting"},
    CORPUS_OPTION_FORMAT(encode_values),
    CORPUS_OPTION_DOCUMENT(encode_values),
    CORPUS_OPTION_SPLIT(encode_values),
    CORPUS_OPTION_VALID(encode_values),
    CORPUS_OPTION_TEST(encode_values),
    CORPUS_OPTION_MAX(encode_values),
};

static int run_encode(tool_session *session, void *values) {
    encode_values *v = values;
    static const char *const standard_input[] = {"-"};
    isb_encode_options options;
    int code = coding_options_from(session, &v->coding, &options);
    if (code == 0 && v->coding.format <= ISB_IDS_U32) {
        code = refuse_terminal(session, v->coding.out, 0);
    }
    if (code == 0) code = corpus_options_from(session, &v->corpus, &options.corpus);
    if (code != 0) return code;
    options.whole_file = v->whole;
    const bool given = v->coding.inputs.count > 0;
    isb_encode_result result;
    const isb_status status =
        isb_encode_files(session->context, given ? v->coding.inputs.items : standard_input,
                         given ? v->coding.inputs.count : 1, v->coding.out, &options, &result);
    if (status != ISB_OK) return error_status(session, status);
    return coding_report(session, &v->coding, &result);
}

const tool_command command_encode = {
    .name = "encode",
    .summary = "turn text into token ids",
    .synopsis = "[--tokenizer SPEC [--m1 M1] | --model DIR] [-o FILE] [FILE ...]",
    .description =
        "Reads the files (standard input without any) as documents and writes their ids. Formats: "
        "text is a document a line, ids in decimal; json an object a line, {\"ids\": [...]}; u16 "
        "and u32 are little-endian ids of one document after another, without borders, so use "
        "them with --whole and one file when the text is to come back as it was. Text on a line "
        "each comes back with \"isobit decode --jsonl\", or joined without it.",
    .examples = "  echo hello | isobit encode\n"
                "  isobit encode --whole --model m2 --format u16 -o book.ids book.txt\n"
                "  isobit decode --model m2 --format u16 book.ids | cmp - book.txt",
    .options = encode_options,
    .n_options = sizeof encode_options / sizeof *encode_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(encode_values, coding.inputs),
    .values_nbytes = sizeof(encode_values),
    .run = run_encode,
};
