/* isb_train_estimate_run(): the settings that a run would have, from its data and checkpoint, and
 * what they take. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "data/options.h"
#include "data/tokenizer.h"
#include "train/estimate.h"
#include "train/train_data.h"
#include "train/train_state.h"

enum { DEFAULT_CONTEXT = 512 };

/* What is needed of the data: how many ids there are, and with composed embeddings their strings. */
typedef struct vocabulary {
    int64_t n_ids;
    isb__id_strings strings;
} vocabulary;

/* Text is not tokenised for an estimate: its tokenizer knows the ids. */
static isb_status ask_tokenizer(isb_context *ctx, const isb_train_options *o, vocabulary *v) {
    const char *spec = o->prepare.tokenizer ? o->prepare.tokenizer : "codebook";
    isb__tokenizer *tokenizer = NULL;
    isb_status status = ISB_OK;
    ISB_TRY(isb__tokenizer_open(ctx, spec, o->m1_dir ? o->m1_dir : o->prepare.m1_dir, &tokenizer));
    v->n_ids = tokenizer->n_ids;
    if (o->embeddings != ISB_EMBEDDINGS_PLAIN && tokenizer->codebook)
        status = isb__id_strings_of_codebook(ctx, tokenizer->codebook, &v->strings);
    isb__tokenizer_free(tokenizer);
    return status;
}

static isb_status ask_dataset(isb_context *ctx, const isb_train_options *o, vocabulary *v) {
    isb__train_data data;
    ISB_TRY(isb__train_data_open(ctx, o, 0, &data));
    v->n_ids = data.train->info.n_ids;
    v->strings = data.strings;
    data.strings = (isb__id_strings){0};
    isb__train_data_close(&data);
    return ISB_OK;
}

static isb_status complete_model(isb_context *ctx, isb_train_options *o, int64_t n_ids) {
    isb_model_config *c = &o->model;
    if (c->hidden_size == 0) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "the model has no size; fill `model` with isb_model_config_init()");
    }
    if (c->vocab_size == 0) c->vocab_size = n_ids;
    if (c->context_length == 0) c->context_length = DEFAULT_CONTEXT;
    return isb_model_config_check(ctx, c);
}

/* The shape of the model that training starts from. */
static isb_status take_shape(isb_context *ctx, isb_train_options *o) {
    char *path = NULL;
    isb__config_file file;
    if (!o->init_from || o->model.hidden_size != 0) return ISB_OK;
    ISB_TRY(isb__path_join(ctx, o->init_from, "config.json", &path));
    const isb_status status = isb__config_json_read(ctx, path, &file);
    isb__free(ctx, path);
    ISB_TRY(status);
    const int64_t context_length = o->model.context_length;
    o->model = file.config;
    if (context_length != 0) o->model.context_length = context_length;
    return ISB_OK;
}

/* ---- how fast it went ---- */

static const char speed_key[] = "\"tokens_per_s\": ";
static const size_t LOG_LIMIT = (size_t)1 << 30;

/* Of the last line that says it; 0 without one. */
static double last_speed(const char *text) {
    double speed = 0;
    for (const char *at = text; (at = strstr(at, speed_key)) != NULL; at += sizeof speed_key - 1)
        speed = strtod(at + sizeof speed_key - 1, NULL);
    return speed;
}

static isb_status read_speed(isb_context *ctx, const char *out_dir, double *speed) {
    char *path = NULL;
    uint8_t *text = NULL;
    size_t nbytes;
    isb_status status = ISB_OK;
    *speed = 0;
    if (!out_dir) return ISB_OK;
    ISB_TRY(isb__path_join(ctx, out_dir, "log.jsonl", &path));
    if (isb__path_exists(path)) status = isb__file_read(ctx, path, LOG_LIMIT, &text, &nbytes);
    if (status == ISB_OK && text) *speed = last_speed((const char *)text);
    isb__free(ctx, text);
    isb__free(ctx, path);
    return status;
}

/* ---- all of it ---- */

/* What the numbers of a checkpoint are: the weights, the optimiser's state, a loss a step. */
static uint64_t checkpoint_nbytes(const isb_train_options *s, const isb_train_estimate *e) {
    const uint64_t weights = (uint64_t)e->model.n_parameters * sizeof(float);
    const bool composed = s->embeddings == ISB_EMBEDDINGS_COMPOSED;
    return (composed ? e->parameters_nbytes : weights) + e->optimizer_nbytes + e->steps * sizeof(float);
}

static isb_status fill(isb_context *ctx, const isb_train_options *s, const isb__compose_map *map,
                       isb_train_estimate *e) {
    ISB_TRY(isb__estimate_memory(ctx, s, map, e));
    if (s->max_memory_nbytes > 0) e->available_nbytes = s->max_memory_nbytes;
    e->model.config = s->model;
    e->model.n_parameters = isb__model_count(&s->model, 1);
    e->model.n_parameters_no_embed = isb__model_count(&s->model, 0);
    const uint64_t steps = isb__settings_total_steps(s);
    e->steps = steps == UINT64_MAX ? 0 : steps;
    e->tokens = e->steps * isb__settings_tokens_per_step(s);
    e->flops_per_step = isb__settings_flops_per_step(s);
    e->train_flops = e->flops_per_step * (double)e->steps;
    e->checkpoint_nbytes = checkpoint_nbytes(s, e);
    ISB_TRY(read_speed(ctx, s->out_dir, &e->tokens_per_s));
    e->seconds = e->tokens_per_s > 0 ? (double)e->tokens / e->tokens_per_s : 0;
    return ISB_OK;
}

static isb_status estimate(isb_context *ctx, isb_train_options *s, vocabulary *v,
                           isb_train_estimate *e) {
    isb__compose_map *map = NULL;
    if (s->dataset_prefix) {
        ISB_TRY(ask_dataset(ctx, s, v));
    } else if (s->model.vocab_size == 0 || s->embeddings == ISB_EMBEDDINGS_COMPOSED) {
        ISB_TRY(ask_tokenizer(ctx, s, v));
    }
    ISB_TRY(take_shape(ctx, s));
    ISB_TRY(complete_model(ctx, s, v->n_ids));
    isb__settings_choose_embeddings(s, v->strings.n > 0);
    ISB_TRY(isb__settings_resolve(ctx, s));
    if (s->embeddings == ISB_EMBEDDINGS_COMPOSED)
        ISB_TRY(isb__compose_map_create(ctx, (size_t)s->model.vocab_size, v->strings.n,
                                        v->strings.begin, v->strings.bytes,
                                        ISB__COMPOSE_FEATURES, &map));
    const isb_status status = fill(ctx, s, map, e);
    isb__compose_map_free(map);
    return status;
}

isb_status isb_train_estimate_run(isb_context *ctx, const isb_train_options *options,
                                  isb_train_estimate *e) {
    isb__checkpoint checkpoint = {0};
    vocabulary v = {0};
    isb_status status = ISB_OK;
    ISB_TRY(ISB__CHECK_OPTIONS(ctx, options, "isb_train_options"));
    ISB_TRY(ISB__CHECK_OPTIONS(ctx, e, "isb_train_estimate"));
    *e = (isb_train_estimate){.struct_size = sizeof *e};
    isb_train_options settings = *options;
    if (settings.resume) {
        ISB_TRY(isb__checkpoint_find(ctx, settings.out_dir, &checkpoint));
        ISB_TRY_GOTO(isb__settings_merge(ctx, checkpoint.options, &settings));
    }
    ISB_TRY_GOTO(estimate(ctx, &settings, &v, e));
fail:
    isb__id_strings_free(&v.strings);
    isb__checkpoint_close(&checkpoint);
    return status;
}
