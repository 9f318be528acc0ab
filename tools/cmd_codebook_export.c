/* cmd_codebook_export.c: isobit codebook export */
#include <stdio.h>
#include <string.h>

#include "codebooks.h"

typedef struct export_values {
    common_values common;
    text_list codebook;
    const char *to, *out;
} export_values;

static const option_spec export_options[] = {
    {.group = "Options", .name = "to", .metavar = "FORMAT", .type = OPTION_WORD,
     .complete = COMPLETE_CHOICES, .choices = "tokenizer.json|rwkv|gguf|text",
     .offset = offsetof(export_values, to), .help = "what it is to become, see above"},
    {.name = "out", .letter = 'o', .metavar = "FILE", .type = OPTION_TEXT,
     .complete = COMPLETE_FILE, .initial = "-", .offset = offsetof(export_values, out),
     .help = "where to write; - is standard output"},
};

static int check(tool_session *session, const export_values *v) {
    if (!v->to) return error_usage(session->command->name, "--to FORMAT is missing: which form?");
    if (strcmp(v->to, "gguf") == 0 && strcmp(v->out, "-") == 0) {
        return error_usage(session->command->name,
                           "gguf is not written to standard output; name a file with -o");
    }
    return 0;
}

static int run_export(tool_session *session, void *values) {
    const export_values *v = values;
    const char *where = NULL;
    isb_codebook *codebook = NULL;
    int code = check(session, v);
    if (code == 0) code = codebook_operand(session, &v->codebook, &where);
    if (code == 0) code = codebook_open(session, where, &codebook);
    if (code != 0) return code;
    const isb_status status = isb_codebook_export(session->context, codebook, v->to, v->out);
    if (status != ISB_OK) code = error_status(session, status);
    isb_codebook_free(codebook);
    return code;
}

const tool_command command_codebook_export = {
    .name = "codebook export",
    .summary = "write a codebook for other programs",
    .synopsis = "[CODEBOOK] --to FORMAT [-o FILE]",
    .description =
        "tokenizer.json is read by Hugging Face tokenizers and transformers, rwkv is the "
        "vocabulary text of RWKV-World, gguf a file with llama.cpp's tokenizer section and no "
        "weights, text an id and its escaped string a line. All cut text into the same ids as "
        "isobit does. CODEBOOK is a file or the name of one built in; without it english-65k.",
    .examples = "  isobit codebook export --to tokenizer.json -o tokenizer.json\n"
                "  isobit codebook export mine.isb-codebook --to text | head",
    .options = export_options,
    .n_options = sizeof export_options / sizeof *export_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(export_values, codebook),
    .values_nbytes = sizeof(export_values),
    .run = run_export,
};
