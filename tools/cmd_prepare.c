/* cmd_prepare.c: isobit prepare */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "session.h"

typedef struct prepare_values {
    common_values common;
    text_list data;
    const char *tokenizer, *m1, *pieces, *out, *shard;
    corpus_values corpus;
    int one_file, check_windows, raw_bytes;
} prepare_values;

#define AT(field) .offset = offsetof(prepare_values, field)

static const option_spec prepare_options[] = {
    {.group = "Options", .name = "data", .letter = 'd', .metavar = "PATH ...", .type = OPTION_LIST,
     .complete = COMPLETE_FILE, AT(data),
     .help = "text files or folders, or \"-\" for standard input"},
    {.name = "tokenizer", .letter = 't', .metavar = "SPEC", .type = OPTION_TEXT,
     .complete = COMPLETE_CHOICES, .initial = "codebook", AT(tokenizer),
     .choices = "codebook|bytes|window:b=16|ac|static-ac",
     .help = "how text becomes tokens, see \"isobit help tokenizers\""},
    M1_OPTION(offsetof(prepare_values, m1), "the M1 that the tokenizer needs"),
    {.name = "pieces", .metavar = "FILE", .type = OPTION_TEXT, .complete = COMPLETE_FILE,
     AT(pieces),
     .help = "the strings of external ids, a line of JSON an id; kept beside the dataset for "
             "composed embeddings"},
    {.name = "out", .letter = 'o', .metavar = "PREFIX", .type = OPTION_TEXT,
     .complete = COMPLETE_FILE, AT(out),
     .help = "where the dataset goes: PREFIX.train.bin, .idx, .json and so on"},
    {.name = "one-file", .type = OPTION_FLAG, AT(one_file),
     .help = "one dataset PREFIX of the documents of --split, instead of PREFIX.train, "
             "PREFIX.valid and PREFIX.test"},
    {.name = "check-windows", .type = OPTION_FLAG, AT(check_windows),
     .help = "decode every window again and count the failures (variant=greedy has some)"},
    {.name = "raw-bytes", .type = OPTION_FLAG, AT(raw_bytes),
     .help = "let documents be read as raw bytes too, for \"isobit train --raw-share\"; for "
             "codebooks"},
    {.name = "shard", .metavar = "I/N", .type = OPTION_TEXT, AT(shard),
     .help = "do only part I of N, counted from 0, of the same text, for \"isobit merge\" to put "
             "together: so many processes or machines can share the work"},
    CORPUS_OPTION_FORMAT(prepare_values),
    CORPUS_OPTION_DOCUMENT(prepare_values),
    CORPUS_OPTION_SPLIT(prepare_values),
    CORPUS_OPTION_VALID(prepare_values),
    CORPUS_OPTION_TEST(prepare_values),
    CORPUS_OPTION_MAX(prepare_values),
};

static int report(const tool_session *session, const prepare_values *v,
                  const isb_prepare_result *r) {
    const double mb_per_s = r->seconds > 0 ? (double)r->n_bytes / r->seconds / 1e6 : 0;
    results *out = results_new("prepare");
    results_text(out, "out", "dataset", v->out);
    results_count(out, "n_documents", "documents", r->n_documents);
    results_count(out, "n_bytes", "bytes of text", r->n_bytes);
    results_count(out, "n_tokens", "tokens", r->n_tokens);
    results_real(out, "bytes_per_token", "bytes/token", 4, r->bytes_per_token);
    results_count(out, "n_windows", r->n_windows ? "windows" : NULL, r->n_windows);
    if (v->check_windows) {
        results_count(out, "n_windows_failed", "windows that do not decode", r->n_windows_failed);
        results_count(out, "n_documents_failed", "documents that do not decode",
                      r->n_documents_failed);
    }
    results_count(out, "m1_bytes", r->m1_bytes ? "bytes read by M1" : NULL, r->m1_bytes);
    results_seconds(out, "seconds", "time", r->seconds);
    results_real(out, "mb_per_s", "MB/s", 3, mb_per_s);
    return results_print(out, stdout, session->common->json);
}

/* "3/16" */
static int read_shard(const char *name, const char *text, isb_prepare_options *options) {
    if (!text) return 0;
    int end = 0;
    const bool digits = strspn(text, "0123456789/") == strlen(text);
    if (digits && sscanf(text, "%9" SCNu32 "/%9" SCNu32 "%n", &options->shard_index,
                         &options->n_shards, &end) == 2 &&
        text[end] == '\0' && options->n_shards > 0)
        return 0;
    return error_usage(name, "--shard takes I/N, for example 0/16 to 15/16");
}

static int run_prepare(tool_session *session, void *values) {
    const prepare_values *v = values;
    const char *name = session->command->name;
    if (v->data.count == 0) return error_usage(name, "--data is missing: which text?");
    if (!v->out) return error_usage(name, "--out PREFIX is missing: where does the dataset go?");
    if (v->corpus.split != ISB_SPLIT_ALL && !v->one_file) {
        return error_usage(name, "--split goes with --one-file");
    }
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    int code = corpus_options_from(session, &v->corpus, &options.corpus);
    if (code == 0) code = read_shard(name, v->shard, &options);
    if (code != 0) return code;
    options.tokenizer = v->tokenizer;
    options.m1_dir = v->m1;
    options.pieces_path = v->pieces;
    options.split_files = !v->one_file;
    options.check_windows = v->check_windows;
    options.raw_bytes = v->raw_bytes;
    isb_prepare_result result;
    const isb_status status =
        isb_prepare(session->context, v->data.items, v->data.count, v->out, &options, &result);
    if (status != ISB_OK) return error_status(session, status);
    return report(session, v, &result);
}

const tool_command command_prepare = {
    .name = "prepare",
    .summary = "turn text into a token dataset for training",
    .synopsis = "--data PATH ... --out PREFIX [--tokenizer SPEC [--m1 M1]]",
    .description =
        "Encodes documents and writes them in Megatron's form (PREFIX.bin, PREFIX.idx), with "
        "PREFIX.json saying what the ids mean. By default there are three datasets, PREFIX.train, "
        "PREFIX.valid and PREFIX.test: which one a document belongs to depends on its bytes "
        "alone. The same text and tokenizer give the same files, with any number of threads. A "
        "codebook is copied to PREFIX.isb-codebook, so that training needs nothing else. Nothing "
        "appears under the final names unless all went well.\n"
        "With --shard I/N the work is divided: N calls with the same options and text, on as many "
        "machines as one likes, write PREFIX.shard-0000I-of-0000N.*, and \"isobit merge PREFIX\" "
        "makes the files that one call would have made.",
    .examples = "  isobit prepare --data corpus/ --out tokens\n"
                "  isobit prepare --data corpus/ --tokenizer window:b=16 --m1 m1 --out windows\n"
                "  parallel isobit prepare --data corpus/ --out tokens --shard {}/4 ::: 0 1 2 3\n"
                "  zcat a.jsonl.gz | isobit prepare -d - --input-format jsonl --out tokens",
    .options = prepare_options,
    .n_options = sizeof prepare_options / sizeof *prepare_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(prepare_values, data),
    .values_nbytes = sizeof(prepare_values),
    .run = run_prepare,
};
