/* cmd_eval.c: isobit eval */
#include <stdio.h>

#include "session.h"

typedef struct eval_values {
    common_values common;
    text_list data;
    const char *model, *m1, *tensorboard;
    corpus_values corpus;
    uint64_t context, stride;
    int view;
} eval_values;

#define AT(field) .offset = offsetof(eval_values, field)

static const option_spec eval_options[] = {
    {.group = "Options", .name = "model", .letter = 'm', .metavar = "DIR", .type = OPTION_TEXT,
     .complete = COMPLETE_DIR, AT(model), .help = "the model to measure"},
    {.name = "data", .letter = 'd', .metavar = "PATH ...", .type = OPTION_LIST,
     .complete = COMPLETE_FILE, AT(data),
     .help = "text files or folders, \"-\" for standard input, or the prefix of a dataset of the "
             "same tokenizer"},
    M1_OPTION(offsetof(eval_values, m1),
              "the M1 of the model's tokenizer, without it the copy in the model's folder"),
    {.name = "context", .metavar = "N", .type = OPTION_COUNT, .low = 8, .high = 1048576,
     AT(context), .help = "tokens the model may look back at; the model's own without it"},
    {.name = "stride", .metavar = "N", .type = OPTION_COUNT, AT(stride),
     .help = "in documents longer than the context, tokens of overlap that are read again but "
             "not scored: slower, and fairer to the first tokens of each piece"},
    {.name = "view", .metavar = "NAME", .type = OPTION_CHOICE, .complete = COMPLETE_CHOICES,
     .choices = "tokens|bytes", .initial = "tokens", AT(view),
     .help = "how a model trained with raw bytes (--raw-share) reads"},
    {.name = "tensorboard", .metavar = "DIR", .type = OPTION_TEXT, .complete = COMPLETE_DIR,
     AT(tensorboard), .help = "write the results there as TensorBoard events too"},
    CORPUS_OPTION_SPLIT(eval_values),
    CORPUS_OPTION_FORMAT(eval_values),
    CORPUS_OPTION_DOCUMENT(eval_values),
    CORPUS_OPTION_VALID(eval_values),
    CORPUS_OPTION_TEST(eval_values),
    CORPUS_OPTION_MAX(eval_values),
};

static int report(const tool_session *session, const eval_values *v, const isb_evaluate_result *r) {
    results *out = results_new("eval");
    results_text(out, "model", "model", v->model);
    results_count(out, "n_documents", "documents", r->n_documents);
    results_count(out, "n_bytes", "bytes of text", r->n_bytes);
    results_count(out, "n_tokens", "tokens", r->n_tokens);
    results_real(out, "bytes_per_token", "bytes/token", 4, r->bytes_per_token);
    results_real(out, "bits_per_token", "bits/token", 4, r->bits_per_token);
    results_real(out, "bits_per_byte", "bits/byte", 4, r->bits_per_byte);
    results_real(out, "uniform_bits_per_byte", "  of a model that knows nothing", 4,
                 r->uniform_bits_per_byte);
    results_si(out, "flops_per_byte", "FLOPs/byte, without M1", r->flops_per_byte);
    results_si(out, "flops_per_byte_m1", "FLOPs/byte, with M1", r->flops_per_byte_m1);
    results_si(out, "flops_per_byte_all", "FLOPs/byte, all products", r->flops_per_byte_all);
    results_si(out, "tokens_per_s", "tokens/s", r->tokens_per_s);
    results_seconds(out, "seconds", "time", r->seconds);
    return results_print(out, stdout, session->common->json);
}

/* `tokens` with --split test means the dataset tokens.test, as prepare wrote it.  *prefix: NULL
 * when the data is text. Returns 0 or the exit code. */
static int find_dataset(const tool_session *session, const eval_values *v, char *name,
                        size_t nbytes, const char **prefix) {
    static const char *const parts[] = {"", ".train", ".valid", ".test"};
    const char *data = v->data.items[0];
    *prefix = NULL;
    if (v->data.count != 1 || !path_is_dataset(data)) return 0;
    const int n = snprintf(name, nbytes, "%s%s", data, parts[v->corpus.split]);
    if (n < (int)nbytes && path_is_file_beside(name, ".json")) {
        *prefix = name;
        return 0;
    }
    if (v->corpus.split == ISB_SPLIT_ALL) {
        return error_usage(session->command->name,
                           "%s is divided: add --split train, valid or test", data);
    }
    return error_at(session->command->name, ISB_ERR_NOT_FOUND, "there is no dataset %s", name);
}

static int run_eval(tool_session *session, void *values) {
    const eval_values *v = values;
    const char *name = session->command->name;
    if (!v->model) return error_usage(name, "--model DIR is missing: which model?");
    if (v->data.count == 0) return error_usage(name, "--data is missing: which text?");
    char prefix[4096];
    isb_evaluate_options options;
    isb_evaluate_options_init(&options);
    int code = corpus_options_from(session, &v->corpus, &options.corpus);
    if (code == 0) code = find_dataset(session, v, prefix, sizeof prefix, &options.dataset_prefix);
    if (code != 0) return code;
    options.model_dir = v->model;
    options.m1_dir = v->m1;
    options.context_length = (size_t)v->context;
    options.stride = (size_t)v->stride;
    options.tensorboard_dir = v->tensorboard;
    options.view = (isb_view)v->view;
    const bool text = options.dataset_prefix == NULL;
    isb_evaluate_result result;
    const isb_status status = isb_evaluate(session->context, text ? v->data.items : NULL,
                                           text ? v->data.count : 0, &options, &result);
    if (status != ISB_OK) return error_status(session, status);
    return report(session, v, &result);
}

const tool_command command_eval = {
    .name = "eval",
    .summary = "measure a model: bits/byte, bytes/token, FLOPs/byte",
    .synopsis = "--model DIR --data PATH ... [--split NAME] [OPTION ...]",
    .description =
        "Measures how well a model predicts text, in units that compare across tokenizers:\n\n"
        "  bits/byte  = (sum over tokens of -log2 p(token)) / bytes of raw text\n"
        "  bits/token = the same sum / tokens\n"
        "  FLOPs/byte = 2 N / (bytes/token)              without M1\n"
        "  FLOPs/byte = 2 N / (bytes/token) + 2 N1       with M1\n"
        "  FLOPs/byte = 2 P / (bytes/token) + 2 P1       all products\n\n"
        "P and P1 are the multiply-adds of all matrices, attention and logits for a token of the "
        "model and a byte of its M1. The sum includes the end of each document. N and N1 are the "
        "parameters of the model and of its M1 without embedding and output matrix. Each document "
        "is read from its start; one longer than the context T is read in pieces of T tokens, so "
        "each token is scored once.\n\n"
        "Use text that was never trained on: other files, or --split test of the training text.",
    .examples = "  isobit eval --model m2 --data corpus/ --split test\n"
                "  isobit eval --model m2 --data news.jsonl.zst --json",
    .options = eval_options,
    .n_options = sizeof eval_options / sizeof *eval_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(eval_values, data),
    .values_nbytes = sizeof(eval_values),
    .run = run_eval,
};
