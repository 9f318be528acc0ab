/* isb_evaluate(): bits per byte of a model on documents, and what they cost.
 *
 * Text goes through the model's tokenizer document by document, each document's tokens through
 * the scorer (train/score.h), and the sums into the formulas of the header. */
#include <isobit/evaluate.h>
#include <isobit/m1.h>

#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "data/encode.h"
#include "data/options.h"
#include "data/tokenizer.h"
#include "train/score.h"
#include "train/tensorboard.h"

enum { BATCH_NTOKENS = 4096 }; /* rows x context: enough to keep the matrix products busy */

typedef struct evaluation {
    isb_context *ctx;
    const isb_evaluate_options *options;
    isb_model *model;
    isb__tokenizer *tokenizer;
    isb__graph *graph;
    isb__scorer *scorer;
    size_t T;
    isb_corpus *corpus;
    isb__progress_state progress; /* in targets */
    isb__id_strings strings;      /* for bytes of a dataset's tokens */
    int32_t *ids;                 /* one document, widened */
    size_t ids_capacity;
    uint64_t n_documents, n_bytes, n_tokens;
} evaluation;

void isb_evaluate_options_init(isb_evaluate_options *options) {
    *options = (isb_evaluate_options){.struct_size = sizeof *options};
    isb_corpus_options_init(&options->corpus);
}

/* ---- set-up ---- */

static isb_status check(isb_context *ctx, const isb_evaluate_options *o, size_t n_paths) {
    ISB_TRY(ISB__CHECK_OPTIONS(ctx, o, "isb_evaluate_options"));
    if (!o->model_dir)
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "model_dir is missing: the model to evaluate");
    if ((unsigned)o->view > ISB_VIEW_BYTES)
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "unknown view %d", (int)o->view);
    if (o->dataset_prefix && n_paths > 0) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "both text and dataset_prefix are given; evaluate on one of the two");
    }
    if (o->dataset_prefix || n_paths > 0) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_ARGUMENT, "nothing to evaluate on: give text or dataset_prefix");
}

static isb_status choose_context(evaluation *e) {
    const size_t most = (size_t)e->model->config.context_length;
    e->T = e->options->context_length ? e->options->context_length : most;
    if (e->T <= most) return ISB_OK;
    return isb__fail(e->ctx, ISB_ERR_RANGE,
                     "context_length is %zu, but the model was trained on at most %zu tokens", e->T,
                     most);
}

static isb_status open(evaluation *e) {
    const isb_evaluate_options *o = e->options;
    ISB_TRY(isb_model_load(e->ctx, o->model_dir, &e->model));
    ISB_TRY(
        isb__tokenizer_open_for_model(e->ctx, e->model, o->model_dir, o->m1_dir, &e->tokenizer));
    ISB_TRY(choose_context(e));
    const size_t B = e->T < BATCH_NTOKENS ? BATCH_NTOKENS / e->T : 1;
    const isb__graph_options options = {.B = B, .T = e->T};
    ISB_TRY(isb__graph_create(e->ctx, e->model, &options, &e->graph));
    const isb__forward forward = isb__forward_of_graph(e->graph, B, e->T);
    return isb__scorer_create(e->ctx, &forward, o->stride, (int32_t)e->tokenizer->n_codes,
                              &e->scorer);
}

static bool reads_bytes(const evaluation *e) { return e->options->view == ISB_VIEW_BYTES; }

static isb_status set_view(evaluation *e) {
    const int64_t first = e->tokenizer->first_byte_id;
    if (first == 0 && reads_bytes(e)) {
        return isb__fail(e->ctx, ISB_ERR_MISMATCH,
                         "%s reads tokens only: it was not trained with raw bytes",
                         e->options->model_dir);
    }
    if (first == 0) return ISB_OK;
    if (reads_bytes(e))
        ISB_TRY(isb__id_strings_of_codebook(e->ctx, e->tokenizer->codebook, &e->strings));
    isb__scorer_set_view(e->scorer, first, reads_bytes(e), reads_bytes(e) ? &e->strings : NULL);
    return ISB_OK;
}

static void evaluation_free(evaluation *e) {
    isb__id_strings_free(&e->strings);
    isb_corpus_free(e->corpus);
    isb__free(e->ctx, e->ids);
    isb__scorer_free(e->scorer);
    isb__graph_free(e->graph);
    isb__tokenizer_free(e->tokenizer);
    isb_model_free(e->model);
}

/* ---- documents ---- */

/* How much text is to come is known only as a share of the files. */
static isb_status score_document(void *user, const isb__bytes_view *document,
                                 const isb__encoded *encoded) {
    evaluation *e = user;
    const double fraction = isb_corpus_fraction(e->corpus);
    const bool bytes = reads_bytes(e);
    const size_t count = bytes ? document->nbytes : encoded->count;
    const int32_t first = (int32_t)e->tokenizer->first_byte_id;
    e->n_tokens += count;
    ++e->n_documents;
    e->progress.total = fraction > 0 ? (double)(e->n_tokens + e->n_documents) / fraction : 0;
    ISB_TRY(isb__grow_array(e->ctx, count, sizeof *e->ids, &e->ids_capacity, &e->ids));
    for (size_t i = 0; i < count; ++i)
        e->ids[i] = bytes ? first + document->data[i] : (int32_t)encoded->ids[i];
    return isb__scorer_add(e->scorer, e->ids, count, 1);
}

static isb_status score_text(evaluation *e, const char *const *paths, size_t n_paths) {
    ISB_TRY(isb_corpus_open(e->ctx, paths, n_paths, &e->options->corpus, &e->corpus));
    isb__encode_job job = {
        .ctx = e->ctx, .tokenizer = e->tokenizer, .corpus = e->corpus, .task = "encode"};
    job.sink = score_document;
    job.user = e;
    const isb_status status = isb__encode_corpus(&job);
    e->n_bytes = job.n_bytes;
    return status;
}

static isb_status check_dataset(const evaluation *e, const isb_dataset_info *info) {
    const isb__tokenizer *t = e->tokenizer;
    if (strcmp(info->tokenizer, t->spec) == 0 && strcmp(info->tokenizer_identity, t->identity) == 0)
        return ISB_OK;
    return isb__fail(e->ctx, ISB_ERR_MISMATCH,
                     "the dataset %s has ids of %s ('%s'), but the model reads ids of %s ('%s')",
                     e->options->dataset_prefix, info->tokenizer, info->tokenizer_identity, t->spec,
                     t->identity);
}

static isb_status score_dataset(evaluation *e) {
    isb__dataset *dataset = NULL;
    ISB_TRY(isb__dataset_open(e->ctx, e->options->dataset_prefix, &dataset));
    isb_status status = check_dataset(e, &dataset->info);
    e->progress.total = (double)((reads_bytes(e) ? dataset->info.n_bytes : dataset->info.n_tokens) +
                                 dataset->info.n_documents);
    if (status == ISB_OK) status = isb__scorer_add_dataset(e->scorer, dataset, 0);
    e->n_documents = dataset->info.n_documents;
    e->n_bytes = dataset->info.n_bytes;
    e->n_tokens = reads_bytes(e) ? dataset->info.n_bytes : dataset->info.n_tokens;
    isb__dataset_close(dataset);
    return status;
}

/* ---- formulas ---- */

/* Bytes between two resets of M1, or 0 if it is not reset within a document. */
static double bytes_per_reset(const evaluation *e, double bytes_per_token) {
    const isb__code_params *p = isb__codec_params(e->tokenizer->codec);
    if (p->kind != ISB__CODE_EQUAL_INFO || p->reset_windows == 0) return 0;
    return bytes_per_token * (double)p->window_nbits / (double)p->token_nbits *
           (double)p->reset_windows;
}

/* All products of M1 for one byte.  It looks back to its last reset, which in windows is a few
 * bytes away. */
static isb_status m1_flops_all(const evaluation *e, double bytes_per_token, double *flops) {
    *flops = 0;
    if (e->tokenizer->m1_flops_per_byte == 0) return ISB_OK;
    isb_m1_info m1;
    ISB_TRY(isb_m1_get_info(e->ctx, e->tokenizer->m1_dir, &m1));
    const double reset = bytes_per_reset(e, bytes_per_token),
                 most = (double)m1.config.context_length;
    const double span = reset > 0 && reset < most ? reset : most;
    const isb__model_flops f = isb__model_forward_flops(&m1.config, (span + 1) / 2);
    *flops = f.matrices + f.attention + f.logits;
    return ISB_OK;
}

static isb_status fill_result(const evaluation *e, const isb__score *score,
                              isb_evaluate_result *r) {
    const isb_model_config *config = &e->model->config;
    const double bits = score->nats / log(2.0), n_bytes = (double)e->n_bytes,
                 n_tokens = (double)e->n_tokens;
    const isb__model_flops f = isb__model_forward_flops(config, ((double)e->T + 1) / 2);
    double m1_all;
    *r = (isb_evaluate_result){
        .n_documents = e->n_documents, .n_bytes = e->n_bytes, .n_tokens = e->n_tokens};
    r->bits_per_byte = bits / n_bytes;
    r->bits_per_token = bits / n_tokens;
    r->bytes_per_token = n_bytes / n_tokens;
    ISB_TRY(m1_flops_all(e, r->bytes_per_token, &m1_all));
    r->flops_per_byte = 2 * (double)isb__model_count(config, 0) / r->bytes_per_token;
    r->flops_per_byte_m1 = r->flops_per_byte + e->tokenizer->m1_flops_per_byte;
    r->flops_per_byte_all = (f.matrices + f.attention + f.logits) / r->bytes_per_token + m1_all;
    const double n_symbols = reads_bytes(e) ? 256 : (double)e->tokenizer->n_codes;
    r->uniform_bits_per_byte = log2(n_symbols) / r->bytes_per_token;
    r->tokens_per_s = score->seconds > 0 ? n_tokens / score->seconds : 0;
    return ISB_OK;
}

static isb_status write_tensorboard(isb_context *ctx, const char *dir,
                                    const isb_evaluate_result *r) {
    const isb__metric metrics[] = {
        {"eval/bits_per_byte", r->bits_per_byte},
        {"eval/bits_per_token", r->bits_per_token},
        {"eval/bytes_per_token", r->bytes_per_token},
        {"eval/flops_per_byte", r->flops_per_byte},
        {"eval/flops_per_byte_m1", r->flops_per_byte_m1},
        {"eval/flops_per_byte_all", r->flops_per_byte_all},
    };
    isb__tensorboard *tensorboard = NULL;
    ISB_TRY(isb__dir_create(ctx, dir));
    ISB_TRY(isb__tensorboard_open(ctx, dir, -1, &tensorboard));
    const isb_status status =
        isb__tensorboard_write(tensorboard, 0, sizeof metrics / sizeof *metrics, metrics);
    isb__tensorboard_close(tensorboard);
    return status;
}

static isb_status evaluate(evaluation *e, const char *const *paths, size_t n_paths,
                           isb_evaluate_result *result) {
    isb__score score;
    ISB_TRY(open(e));
    ISB_TRY(set_view(e));
    const double start_s = isb__now_s();
    isb__progress_begin(&e->progress, e->ctx, "evaluate", "token", 0);
    isb__scorer_show(e->scorer, &e->progress);
    ISB_TRY(e->options->dataset_prefix ? score_dataset(e) : score_text(e, paths, n_paths));
    if (e->n_bytes == 0) return isb__fail(e->ctx, ISB_ERR_EMPTY, "there is no text to evaluate on");
    ISB_TRY(isb__scorer_finish(e->scorer, &score));
    isb__progress_end(&e->progress, (double)score.n_targets, "");
    const double seconds = isb__now_s() - start_s;
    isb_evaluate_result found;
    ISB_TRY(fill_result(e, &score, &found));
    found.seconds = seconds;
    if (e->options->tensorboard_dir)
        ISB_TRY(write_tensorboard(e->ctx, e->options->tensorboard_dir, &found));
    *result = found;
    return ISB_OK;
}

isb_status isb_evaluate(isb_context *ctx, const char *const *paths, size_t n_paths,
                        const isb_evaluate_options *options, isb_evaluate_result *result) {
    evaluation e = {.ctx = ctx, .options = options};
    *result = (isb_evaluate_result){0};
    ISB_TRY(check(ctx, options, n_paths));
    const isb_status status = evaluate(&e, paths, n_paths, result);
    evaluation_free(&e);
    return status;
}
