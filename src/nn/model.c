/* The model as data: sizes by name, the checks of a configuration, the list of tensors, initial
 * weights, identity.
 *
 * All parameters lie in one block, tensor after tensor:
 *
 *     | embed | norm1 q k v o norm2 gate up down (bias) | ... next layer ... | norm | (head) |
 *
 * Each begins at a multiple of 16 floats.  Widths are multiples of 4, so matrices have no gap
 * after them: q, k, v are one matrix [3C, C] and gate, up one matrix [2F, C], and each group is
 * one product.  Gradients and optimiser moments are blocks of the same form. */
#include "nn/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "nn/checkpoint.h"
#include "nn/position.h"

/* ---- configurations ---- */

typedef struct preset {
    const char *name;
    int64_t hidden_size, n_heads, n_layers, intermediate_size;
} preset;

/* 3m and larger: the table of sizes in Lester et al. 2024. */
static const preset presets[] = {
    {"nano", 128, 4, 2, 512},   {"tiny", 192, 6, 3, 768},    {"3m", 256, 4, 3, 1024},
    {"25m", 512, 8, 6, 2048},   {"113m", 768, 12, 12, 3072}, {"403m", 1024, 16, 24, 4096},
    {"2b", 2048, 32, 24, 8192},
};
enum { N_PRESETS = sizeof presets / sizeof *presets };

static const preset *preset_find(const char *name) {
    for (size_t i = 0; name && i < N_PRESETS; ++i) {
        if (strcmp(presets[i].name, name) == 0) return &presets[i];
    }
    return NULL;
}

isb_status isb_model_config_init(isb_context *ctx, const char *size_name,
                                 isb_model_config *config) {
    const preset *p = preset_find(size_name);
    if (!p) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "unknown model size '%s'; sizes are nano, tiny, 3m, 25m, 113m, 403m, 2b",
                         size_name ? size_name : "(null)");
    }
    *config = (isb_model_config){
        .struct_size = sizeof *config,
        .vocab_size = 257,
        .hidden_size = p->hidden_size,
        .n_layers = p->n_layers,
        .n_heads = p->n_heads,
        .intermediate_size = p->intermediate_size,
        .context_length = 512,
        .rope_theta = 10000,
        .norm_eps = 1e-6,
        .activation = ISB_ACTIVATION_SILU,
        .position = ISB_POSITION_ROPE,
        .tie_embeddings = 1,
    };
    return ISB_OK;
}

static isb_status check_range(isb_context *ctx, const char *field, int64_t value, int64_t low,
                              int64_t high, int64_t step) {
    if (value < low || value > high) {
        return isb__fail(ctx, ISB_ERR_RANGE, "%s is %lld; allowed are %lld to %lld", field,
                         (long long)value, (long long)low, (long long)high);
    }
    if (value % step != 0) {
        return isb__fail(ctx, ISB_ERR_SHAPE, "%s is %lld; it must be a multiple of %lld", field,
                         (long long)value, (long long)step);
    }
    return ISB_OK;
}

static isb_status check_heads(isb_context *ctx, const isb_model_config *c) {
    if (c->hidden_size % c->n_heads != 0) {
        return isb__fail(ctx, ISB_ERR_SHAPE, "hidden_size %lld is not a multiple of n_heads %lld",
                         (long long)c->hidden_size, (long long)c->n_heads);
    }
    const int64_t head_size = c->hidden_size / c->n_heads;
    if (head_size % 2 != 0 || head_size > 256) {
        return isb__fail(ctx, ISB_ERR_SHAPE,
                         "head size hidden_size / n_heads is %lld; it must be even and at most 256",
                         (long long)head_size);
    }
    return ISB_OK;
}

isb_status isb_model_config_check(isb_context *ctx, const isb_model_config *c) {
    if (c->struct_size != sizeof *c) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "struct_size of the model configuration is %zu, expected %zu; fill it "
                         "with isb_model_config_init() first",
                         c->struct_size, sizeof *c);
    }
    ISB_TRY(check_range(ctx, "vocab_size", c->vocab_size, 2, (int64_t)1 << 24, 1));
    ISB_TRY(check_range(ctx, "hidden_size", c->hidden_size, 4, 1 << 16, 4));
    ISB_TRY(check_range(ctx, "n_layers", c->n_layers, 1, 1 << 10, 1));
    ISB_TRY(check_range(ctx, "n_heads", c->n_heads, 1, 1 << 12, 1));
    ISB_TRY(check_range(ctx, "intermediate_size", c->intermediate_size, 4, 1 << 18, 4));
    ISB_TRY(check_range(ctx, "context_length", c->context_length, 1, 1 << 20, 1));
    ISB_TRY(check_heads(ctx, c));
    if (!(c->rope_theta >= 1 && c->rope_theta <= 1e12)) {
        return isb__fail(ctx, ISB_ERR_RANGE, "rope_theta is %g; allowed are 1 to 1e12",
                         c->rope_theta);
    }
    if (!(c->norm_eps > 0 && c->norm_eps < 1)) {
        return isb__fail(ctx, ISB_ERR_RANGE, "norm_eps is %g; it must lie between 0 and 1",
                         c->norm_eps);
    }
    ISB_TRY(check_range(ctx, "activation", (int64_t)c->activation, ISB_ACTIVATION_SILU,
                        ISB_ACTIVATION_RELU, 1));
    ISB_TRY(
        check_range(ctx, "position", (int64_t)c->position, ISB_POSITION_ROPE, ISB_POSITION_T5, 1));
    return check_range(ctx, "tie_embeddings", c->tie_embeddings, 0, 1, 1);
}

int64_t isb__model_count(const isb_model_config *c, int with_embeddings) {
    const int64_t C = c->hidden_size, F = c->intermediate_size;
    const int64_t bias = c->position == ISB_POSITION_T5 ? c->n_heads * ISB__N_BUCKETS : 0;
    const int64_t inner = c->n_layers * (4 * C * C + 3 * C * F + 2 * C + bias) + C;
    return inner + (with_embeddings ? c->vocab_size * C * (c->tie_embeddings ? 1 : 2) : 0);
}

isb__model_flops isb__model_forward_flops(const isb_model_config *c, double mean_context) {
    const double C = (double)c->hidden_size, F = (double)c->intermediate_size,
                 L = (double)c->n_layers;
    return (isb__model_flops){
        .matrices = 2 * L * (4 * C * C + 3 * C * F),
        .attention = 2 * L * 2 * C * mean_context, /* q k and p v */
        .logits = 2 * C * (double)c->vocab_size,
    };
}

/* ---- tensors ---- */

/* Appends tensors to the list, or only counts them while it is NULL. */
typedef struct tensor_list {
    isb__tensor *tensors;
    size_t count, n_floats;
} tensor_list;

static void add_tensor(tensor_list *list, int64_t layer, const char *name, size_t rows, size_t cols,
                       int kind) {
    const size_t count = rows * cols;
    if (list->tensors) {
        isb__tensor *t = &list->tensors[list->count];
        *t = (isb__tensor){.rows = rows,
                           .cols = cols,
                           .offset = list->n_floats,
                           .count = count,
                           .is_vector = kind == 'v',
                           .decay = kind == 'm'};
        if (layer < 0)
            snprintf(t->name, sizeof t->name, "%s", name);
        else
            snprintf(t->name, sizeof t->name, "model.layers.%lld.%s", (long long)layer, name);
    }
    ++list->count;
    list->n_floats += (count + 15) / 16 * 16;
}

/* Kinds: m matrix, v vector (norm), b bias table. */
static void list_tensors(const isb_model_config *c, tensor_list *list) {
    const size_t V = (size_t)c->vocab_size, C = (size_t)c->hidden_size,
                 F = (size_t)c->intermediate_size;
    add_tensor(list, -1, "model.embed_tokens.weight", V, C, 'm');
    for (int64_t l = 0; l < c->n_layers; ++l) {
        add_tensor(list, l, "input_layernorm.weight", 1, C, 'v');
        add_tensor(list, l, "self_attn.q_proj.weight", C, C, 'm');
        add_tensor(list, l, "self_attn.k_proj.weight", C, C, 'm');
        add_tensor(list, l, "self_attn.v_proj.weight", C, C, 'm');
        add_tensor(list, l, "self_attn.o_proj.weight", C, C, 'm');
        add_tensor(list, l, "post_attention_layernorm.weight", 1, C, 'v');
        add_tensor(list, l, "mlp.gate_proj.weight", F, C, 'm');
        add_tensor(list, l, "mlp.up_proj.weight", F, C, 'm');
        add_tensor(list, l, "mlp.down_proj.weight", C, F, 'm');
        if (c->position == ISB_POSITION_T5) {
            add_tensor(list, l, "self_attn.relative_attention_bias.weight", (size_t)c->n_heads,
                       ISB__N_BUCKETS, 'b');
        }
    }
    add_tensor(list, -1, "model.norm.weight", 1, C, 'v');
    if (!c->tie_embeddings) add_tensor(list, -1, "lm_head.weight", V, C, 'm');
}

void isb__model_point(const isb_model *model, float *data, isb__layer_params *layers,
                      isb__params *params) {
    const isb_model_config *c = &model->config;
    const isb__tensor *t = model->tensors;
    params->embed = data + (t++)->offset;
    for (int64_t l = 0; l < c->n_layers; ++l) {
        layers[l].norm1 = data + (t++)->offset;
        layers[l].q = data + (t++)->offset;
        layers[l].k = data + (t++)->offset;
        layers[l].v = data + (t++)->offset;
        layers[l].o = data + (t++)->offset;
        layers[l].norm2 = data + (t++)->offset;
        layers[l].gate = data + (t++)->offset;
        layers[l].up = data + (t++)->offset;
        layers[l].down = data + (t++)->offset;
        layers[l].bias = c->position == ISB_POSITION_T5 ? data + (t++)->offset : NULL;
    }
    params->layers = layers;
    params->norm = data + (t++)->offset;
    params->head = c->tie_embeddings ? params->embed : data + t->offset;
}

isb_status isb__model_create_shape(isb_context *ctx, const isb_model_config *config,
                                   isb_model **model) {
    *model = NULL;
    ISB_TRY(isb_model_config_check(ctx, config));
    tensor_list list = {0};
    list_tensors(config, &list);
    isb_model *m = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__alloc(ctx, sizeof *m, &m));
    m->ctx = ctx;
    m->config = *config;
    m->boundary = config->vocab_size - 1;
    m->n_tensors = list.count;
    m->n_floats = list.n_floats;
    ISB_TRY_GOTO(isb__alloc_array(ctx, list.count, sizeof *m->tensors, &m->tensors));
    list = (tensor_list){.tensors = m->tensors};
    list_tensors(config, &list);
    snprintf(m->tokenizer, sizeof m->tokenizer, "bytes");
    *model = m;
    return ISB_OK;
fail:
    isb_model_free(m);
    return status;
}

isb_status isb__model_create(isb_context *ctx, const isb_model_config *config, isb_model **model) {
    isb_model *m = NULL;
    isb_status status = ISB_OK;
    *model = NULL;
    ISB_TRY(isb__model_create_shape(ctx, config, &m));
    ISB_TRY_GOTO(isb__alloc_array(ctx, (size_t)config->n_layers, sizeof(isb__layer_params),
                                  &m->layer_block));
    ISB_TRY_GOTO(isb__alloc_array(ctx, m->n_floats, sizeof *m->data, &m->data));
    isb__model_point(m, m->data, m->layer_block, &m->params);
    *model = m;
    return ISB_OK;
fail:
    isb_model_free(m);
    return status;
}

void isb_model_free(isb_model *model) {
    if (!model) return;
    isb_context *ctx = model->ctx;
    isb__free(ctx, model->data);
    isb__free(ctx, model->layer_block);
    isb__free(ctx, model->tensors);
    isb__free(ctx, model);
}

/* ---- initial weights ---- */

/* Floats of one generator: blocks are filled in any order with the same result. */
enum { INIT_BLOCK = 4096 };

typedef struct init_job {
    float *data;
    size_t count;
    uint64_t key;
    double deviation;
} init_job;

static void init_task(void *arg, size_t task, int thread) {
    (void)thread;
    const init_job *job = arg;
    const size_t begin = task * INIT_BLOCK,
                 end = begin + INIT_BLOCK < job->count ? begin + INIT_BLOCK : job->count;
    isb__rng rng;
    isb__rng_seed(&rng, isb__mix64(job->key, task));
    for (size_t i = begin; i < end; ++i)
        job->data[i] = (float)(job->deviation * isb__rng_normal(&rng));
}

static int name_ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), e = strlen(end);
    return n >= e && strcmp(name + n - e, end) == 0;
}

void isb__model_init_weights(isb_model *model, uint64_t seed) {
    const double into_residual = 1 / sqrt(2 * (double)model->config.n_layers);
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        float *data = model->data + t->offset;
        if (t->decay) {
            const int adds = name_ends_with(t->name, "o_proj.weight") ||
                             name_ends_with(t->name, "down_proj.weight");
            init_job job = {data, t->count, isb__mix64(seed, i),
                            adds ? 0.02 * into_residual : 0.02};
            isb__parallel(model->ctx, (t->count + INIT_BLOCK - 1) / INIT_BLOCK, init_task, &job);
        } else {
            for (size_t j = 0; j < t->count; ++j) data[j] = t->is_vector ? 1.0f : 0.0f;
        }
    }
}

/* ---- identity ---- */

/* The bytes hashed are fixed-width little-endian numbers and the tensors as they lie in a file. */
static void hash_config(isb__hasher *hasher, const isb_model_config *c) {
    const int64_t numbers[] = {c->vocab_size,
                               c->hidden_size,
                               c->n_layers,
                               c->n_heads,
                               c->intermediate_size,
                               c->context_length,
                               (int64_t)c->activation,
                               (int64_t)c->position,
                               c->tie_embeddings};
    const double reals[] = {c->rope_theta, c->norm_eps};
    isb__hasher_update(hasher, "isobit model 1", 14);
    isb__hasher_update(hasher, numbers, sizeof numbers);
    isb__hasher_update(hasher, reals, sizeof reals);
}

isb__id128 isb__model_identity(const isb_model *model) {
    isb__hasher *hasher = isb__hasher_create();
    if (!hasher) return (isb__id128){{0}};
    hash_config(hasher, &model->config);
    for (size_t i = 0; i < model->n_tensors; ++i) {
        isb__hasher_update(hasher, model->data + model->tensors[i].offset,
                           model->tensors[i].count * sizeof(float));
    }
    return isb__hasher_finish(hasher);
}

void isb_model_get_info(const isb_model *model, isb_model_info *info) {
    *info = (isb_model_info){
        .config = model->config,
        .n_parameters = isb__model_count(&model->config, 1),
        .n_parameters_no_embed = isb__model_count(&model->config, 0),
    };
    const isb__id128 id = isb__model_identity(model);
    isb__id128_hex(&id, info->identity);
    memcpy(info->tokenizer, model->tokenizer, sizeof info->tokenizer);
    memcpy(info->tokenizer_identity, model->tokenizer_identity, sizeof info->tokenizer_identity);
}
