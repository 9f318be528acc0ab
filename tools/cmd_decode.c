/* cmd_decode.c: isobit decode: ids back to text. */
#include <stdio.h>
#include <string.h>

#include "coding.h"

typedef struct decode_values {
    coding_values coding; /* begins with the common values */
    int jsonl;
} decode_values;

static const option_spec decode_options[] = {
    CODING_OPTIONS("ids as encode wrote them, "),
    {.name = "jsonl", .letter = 'j', .type = OPTION_FLAG, .offset = offsetof(decode_values, jsonl),
     .help = "write a document a line as {\"text\": ...}, instead of one after another"},
};

static int run_decode(tool_session *session, void *values) {
    decode_values *v = values;
    if (v->coding.inputs.count > 1) {
        return error_usage(session->command->name, "one input at a time, found %zu",
                           v->coding.inputs.count);
    }
    isb_encode_options options;
    const int code = coding_options_from(session, &v->coding, &options);
    if (code != 0) return code;
    options.jsonl_out = v->jsonl;
    const char *input = v->coding.inputs.count ? v->coding.inputs.items[0] : "-";
    isb_encode_result result;
    const isb_status status =
        isb_decode_file(session->context, input, v->coding.out, &options, &result);
    if (status != ISB_OK) return error_status(session, status);
    return coding_report(session, &v->coding, &result);
}

const tool_command command_decode = {
    .name = "decode",
    .summary = "turn token ids back into text",
    .synopsis = "[--tokenizer SPEC [--m1 M1] | --model DIR] [-o FILE] [FILE]",
    .description =
        "The inverse of encode: reads ids from the file (standard input without one) and writes "
        "the documents' bytes.",
    .examples = "  echo hello | isobit encode | isobit decode\n"
                "  isobit decode --model m2 --format u16 -o book.txt book.ids",
    .options = decode_options,
    .n_options = sizeof decode_options / sizeof *decode_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(decode_values, coding.inputs),
    .values_nbytes = sizeof(decode_values),
    .run = run_decode,
};
