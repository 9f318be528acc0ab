/* From a trained model to int8: docs/m1.md, "From a trained model".
 *
 * Each row of a matrix gets the step that its largest weight needs: w is about s q with q in [-127, 127].  Rounding then
 * costs about s / sqrt(12) a weight, in random directions, which sums over a row of hundreds average away.  Activations
 * are quantised likewise, each row when it is made. */
#include <math.h>
#include <string.h>

#include "base/io.h"
#include "base/plan.h"
#include "kernels/int8.h"
#include "m1/m1_state.h"
#include "nn/position.h"

/* ---- sizes ---- */

typedef struct size_limit {
    const char *field;
    int64_t value, low, high, step; /* step: 1 or 16 */
} size_limit;

static isb_status check_limit(isb_context *ctx, const char *where, size_limit limit) {
    if (limit.value >= limit.low && limit.value <= limit.high && limit.value % limit.step == 0)
        return ISB_OK;
    return isb__fail(ctx, ISB_ERR_SHAPE, "%s: %s is %lld; an M1 has %lld to %lld%s", where,
                     limit.field, (long long)limit.value, (long long)limit.low,
                     (long long)limit.high, limit.step > 1 ? ", a multiple of 16" : "");
}

static isb_status check_heads(isb_context *ctx, const char *where, const isb_model_config *c) {
    const int64_t D = c->n_heads > 0 ? c->hidden_size / c->n_heads : 0;
    if (D >= 4 && D <= 256 && D % 4 == 0 && D * c->n_heads == c->hidden_size) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_SHAPE,
                     "%s: %lld heads of a hidden size of %lld; the size of a head must be a "
                     "multiple of 4 from 4 to 256",
                     where, (long long)c->n_heads, (long long)c->hidden_size);
}

isb_status isb__m1_check_sizes(isb_context *ctx, const char *where, const isb_model_config *c) {
    const size_limit limits[] = {
        {"vocab_size", c->vocab_size, ISB__N_SYMBOLS, ISB__N_SYMBOLS, 1},
        {"hidden_size", c->hidden_size, 16, 8192, 16},
        {"n_layers", c->n_layers, 1, 64, 1},
        {"intermediate_size", c->intermediate_size, 16, 32768, 16},
        {"context_length", c->context_length, 1, 4096, 1},
        {"activation", (int64_t)c->activation, ISB_ACTIVATION_SILU, ISB_ACTIVATION_RELU, 1},
        {"position", (int64_t)c->position, ISB_POSITION_ROPE, ISB_POSITION_T5, 1},
        {"tie_embeddings", c->tie_embeddings, 0, 1, 1},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; ++i)
        ISB_TRY(check_limit(ctx, where, limits[i]));
    ISB_TRY(check_heads(ctx, where, c));
    if (!((float)c->norm_eps > 0 && c->norm_eps < 1 && c->rope_theta >= 1 &&
          c->rope_theta <= 1e12)) {
        return isb__fail(ctx, ISB_ERR_SHAPE,
                         "%s: norm_eps %g must lie between 0 and 1, rope_theta %g between 1 and "
                         "1e12",
                         where, c->norm_eps, c->rope_theta);
    }
    if (isb__m1_file_nbytes(c) <= UINT32_MAX) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_SHAPE, "%s: %llu bytes as an M1; the file has 4 GiB at most",
                     where, (unsigned long long)isb__m1_file_nbytes(c));
}

/* ---- memory ---- */

static void set_sizes(isb__m1 *m1, const isb_model_config *config) {
    const size_t C = (size_t)config->hidden_size, F = (size_t)config->intermediate_size;
    m1->config = *config;
    m1->config.struct_size = sizeof m1->config;
    m1->config.norm_eps = (double)(float)config->norm_eps; /* as the file has it */
    m1->embed = m1->head = (isb__m1_matrix){.n = ISB__N_SYMBOLS, .k = C};
    for (int64_t l = 0; l < config->n_layers; ++l) {
        m1->layers[l] = (isb__m1_layer){.qkv = {.n = 3 * C, .k = C},
                                        .o = {.n = C, .k = C},
                                        .gate_up = {.n = 2 * F, .k = C},
                                        .down = {.n = C, .k = F}};
    }
}

static void plan_tensor(void *user, void *tensor, size_t count, size_t size) {
    const size_t padded = size == sizeof(float) ? (count + 15) / 16 * 16 : count;
    isb__plan_add(user, "weights", padded * size, tensor);
}

isb_status isb__m1_create(isb_context *ctx, const isb_model_config *c, isb__m1 **m1) {
    isb_status status = ISB_OK;
    isb__m1 *made = NULL;
    isb__plan plan;
    *m1 = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *made, &made));
    made->ctx = ctx;
    ISB_TRY_GOTO(isb__alloc_array(ctx, (size_t)c->n_layers, sizeof *made->layers, &made->layers));
    set_sizes(made, c);
    isb__plan_begin(&plan, ctx);
    isb__m1_visit_tensors(made, plan_tensor, &plan);
    ISB_TRY_GOTO(isb__plan_commit(&plan, &made->block));
    if (made->config.tie_embeddings) made->head = made->embed;
    *m1 = made;
    return ISB_OK;
fail:
    isb__m1_free(made);
    return status;
}

void isb__m1_free(isb__m1 *m1) {
    if (!m1) return;
    isb__free(m1->ctx, m1->block);
    isb__free(m1->ctx, m1->layers);
    isb__free(m1->ctx, m1);
}

/* ---- quantisation ---- */

static isb_status check_is_byte_model(isb_context *ctx, const isb_model *model) {
    const bool bytes = model->tokenizer[0] == '\0' || strcmp(model->tokenizer, "bytes") == 0;
    if (model->config.vocab_size == ISB__N_SYMBOLS && bytes) return ISB_OK;
    return isb__fail(
        ctx, ISB_ERR_SHAPE,
        "an M1 models bytes: tokenizer \"bytes\" and %d ids; this model has tokenizer \"%s\" "
        "and %lld ids; train one with the tokenizer bytes",
        ISB__N_SYMBOLS, model->tokenizer, (long long)model->config.vocab_size);
}

static isb_status check_finite(isb_context *ctx, const isb_model *model) {
    for (size_t t = 0; t < model->n_tensors; ++t) {
        const isb__tensor *tensor = &model->tensors[t];
        for (size_t i = 0; i < tensor->count; ++i) {
            if (isfinite(model->data[tensor->offset + i])) continue;
            return isb__fail(ctx, ISB_ERR_RANGE,
                             "weight %zu of %s is infinite or not a number; training diverged: "
                             "take an older checkpoint",
                             i, tensor->name);
        }
    }
    return ISB_OK;
}

/* The const of a tensor is for those who use the M1; here it is made. */
static void fill_floats(const float *to, const float *from, size_t n) {
    memcpy((float *)to, from, n * sizeof *to);
}

/* w: [n, k], the rows one after another.  row: room for an aligned row. */
static void fill_matrix(const isb__int8_ops *ops, const isb__m1_matrix *m, const float *w,
                        int8_t *row) {
    for (size_t j = 0; j < m->n; ++j) {
        ((float *)m->s)[j] = ops->quantise(m->k, w + j * m->k, row);
        memcpy((int8_t *)m->q + j * m->k, row, m->k);
    }
}

/* q, k, v lie one after another in the model, as do gate and up (nn/model.c). */
static void fill(const isb__int8_ops *ops, isb__m1 *m1, const isb__params *params, int8_t *row) {
    const size_t C = m1->embed.k, H = (size_t)m1->config.n_heads;
    fill_matrix(ops, &m1->embed, params->embed, row);
    for (int64_t l = 0; l < m1->config.n_layers; ++l) {
        const isb__layer_params *from = &params->layers[l];
        const isb__m1_layer *to = &m1->layers[l];
        fill_floats(to->norm1, from->norm1, C);
        fill_matrix(ops, &to->qkv, from->q, row);
        fill_matrix(ops, &to->o, from->o, row);
        fill_floats(to->norm2, from->norm2, C);
        fill_matrix(ops, &to->gate_up, from->gate, row);
        fill_matrix(ops, &to->down, from->down, row);
        if (to->bias) fill_floats(to->bias, from->bias, H * ISB__N_BUCKETS);
    }
    fill_floats(m1->norm, params->norm, C);
    if (!m1->config.tie_embeddings) fill_matrix(ops, &m1->head, params->head, row);
}

isb_status isb__m1_from_model(isb_context *ctx, const isb_model *model, const char *name,
                              isb__m1 **m1) {
    isb_status status = ISB_OK;
    isb__m1 *made = NULL;
    int8_t *row = NULL;
    *m1 = NULL;
    ISB_TRY(check_is_byte_model(ctx, model));
    ISB_TRY(isb__m1_check_sizes(ctx, "the model", &model->config));
    ISB_TRY(check_finite(ctx, model));
    ISB_TRY(isb__m1_create(ctx, &model->config, &made));
    const size_t widest =
        made->layers[0].down.k > made->embed.k ? made->layers[0].down.k : made->embed.k;
    ISB_TRY_GOTO(isb__alloc_array(ctx, widest, sizeof *row, &row));
    fill(isb__int8_ops_for(ctx->cpu), made, &model->params, row);
    strncpy(made->name, name, ISB__M1_NAME_NBYTES);
    ISB_TRY_GOTO(isb__m1_identify(made));
    isb__free(ctx, row);
    *m1 = made;
    return ISB_OK;
fail:
    isb__free(ctx, row);
    isb__m1_free(made);
    return status;
}
