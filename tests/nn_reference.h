/* The transformer again, in double precision, as plainly as it can be said: the oracle of the
 * tests in this folder. Nothing is shared with src/nn but the order of the parameters in their
 * block. */
#ifndef ISB_TESTS_NN_REFERENCE_H
#define ISB_TESTS_NN_REFERENCE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/graph.h"

typedef struct reference {
    const isb_model *model;
    size_t B, T;
    const isb__batch *batch;
    double *params;                        /* [n_floats] */
    double *x, *n, *q, *k, *v, *y, *g, *u; /* one row of the batch: [T, C] or [T, F] */
    double *logits, *p;
} reference;

static inline double *reference_floats(size_t n) {
    double *x = calloc(n + 1, sizeof *x);
    if (!x) abort();
    return x;
}

static inline reference reference_create(const isb_model *model, size_t B, size_t T,
                                         const isb__batch *batch) {
    const size_t C = (size_t)model->config.hidden_size, F = (size_t)model->config.intermediate_size;
    reference r = {.model = model, .B = B, .T = T, .batch = batch};
    r.params = reference_floats(model->n_floats);
    for (size_t i = 0; i < model->n_floats; ++i) r.params[i] = (double)model->data[i];
    double **rows[] = {&r.x, &r.n, &r.q, &r.k, &r.v, &r.y};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) *rows[i] = reference_floats(T * C);
    r.g = reference_floats(T * F);
    r.u = reference_floats(T * F);
    r.logits = reference_floats((size_t)model->config.vocab_size);
    r.p = reference_floats(T);
    return r;
}

static inline void reference_free(reference *r) {
    double *all[] = {r->params, r->x, r->n, r->q, r->k, r->v, r->y, r->g, r->u, r->logits, r->p};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
}

/* The parameters of a tensor, found by name. */
static inline const double *reference_tensor(const reference *r, int64_t layer, const char *name) {
    char full[128];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "model.layers.%d.%s", (int)layer, name);
    for (size_t i = 0; i < r->model->n_tensors; ++i) {
        if (strcmp(r->model->tensors[i].name, full) == 0)
            return r->params + r->model->tensors[i].offset;
    }
    printf("no tensor %s\n", full);
    abort();
}

static inline void reference_norm(const reference *r, const double *g, const double *x, double *y) {
    const size_t C = (size_t)r->model->config.hidden_size;
    for (size_t t = 0; t < r->T; ++t) {
        double sum = 0;
        for (size_t c = 0; c < C; ++c) sum += x[t * C + c] * x[t * C + c];
        const double s = 1 / sqrt(sum / (double)C + r->model->config.norm_eps);
        for (size_t c = 0; c < C; ++c) y[t * C + c] = x[t * C + c] * s * g[c];
    }
}

/* y [T, n] (+)= x [T, k] W^T */
static inline void reference_linear(size_t T, size_t n, size_t k, const double *W, const double *x,
                                    double *y, int add) {
    for (size_t t = 0; t < T; ++t) {
        for (size_t i = 0; i < n; ++i) {
            double sum = 0;
            for (size_t j = 0; j < k; ++j) sum += W[i * k + j] * x[t * k + j];
            y[t * n + i] = add ? y[t * n + i] + sum : sum;
        }
    }
}

static inline void reference_rotate(const reference *r, double *x) {
    const size_t C = (size_t)r->model->config.hidden_size, H = (size_t)r->model->config.n_heads,
                 D = C / H;
    for (size_t t = 0; t < r->T; ++t) {
        for (size_t h = 0; h < H; ++h) {
            for (size_t i = 0; i < D / 2; ++i) {
                const double angle =
                    (double)t * pow(r->model->config.rope_theta, -2.0 * (double)i / (double)D);
                double *a = &x[t * C + h * D + i], *b = a + D / 2;
                const double a0 = *a, b0 = *b;
                *a = a0 * cos(angle) - b0 * sin(angle);
                *b = b0 * cos(angle) + a0 * sin(angle);
            }
        }
    }
}

static inline size_t reference_bucket(size_t distance) {
    if (distance < 16) return distance;
    const double bucket = 16 + floor(log((double)distance / 16) / log(128.0 / 16) * 16 + 1e-9);
    return bucket < 31 ? (size_t)bucket : 31;
}

static inline void reference_attention(const reference *r, int64_t layer, const int32_t *starts) {
    const isb_model_config *c = &r->model->config;
    const size_t C = (size_t)c->hidden_size, H = (size_t)c->n_heads, D = C / H;
    const double *bias =
        c->position == ISB_POSITION_T5
            ? reference_tensor(r, layer, "self_attn.relative_attention_bias.weight")
            : NULL;
    memset(r->y, 0, r->T * C * sizeof *r->y);
    for (size_t h = 0; h < H; ++h) {
        for (size_t t = 0; t < r->T; ++t) {
            double most = -INFINITY, sum = 0;
            const size_t first = starts ? (size_t)starts[t] : 0;
            for (size_t s = first; s <= t; ++s) {
                double dot = 0;
                for (size_t i = 0; i < D; ++i)
                    dot += r->q[t * C + h * D + i] * r->k[s * C + h * D + i];
                r->p[s] =
                    dot / sqrt((double)D) + (bias ? bias[h * 32 + reference_bucket(t - s)] : 0);
                most = fmax(most, r->p[s]);
            }
            for (size_t s = first; s <= t; ++s) sum += r->p[s] = exp(r->p[s] - most);
            for (size_t s = first; s <= t; ++s) {
                for (size_t i = 0; i < D; ++i)
                    r->y[t * C + h * D + i] += r->p[s] / sum * r->v[s * C + h * D + i];
            }
        }
    }
}

static inline void reference_layer(const reference *r, int64_t l, const int32_t *starts) {
    const isb_model_config *c = &r->model->config;
    const size_t C = (size_t)c->hidden_size, F = (size_t)c->intermediate_size;
    reference_norm(r, reference_tensor(r, l, "input_layernorm.weight"), r->x, r->n);
    reference_linear(r->T, C, C, reference_tensor(r, l, "self_attn.q_proj.weight"), r->n, r->q, 0);
    reference_linear(r->T, C, C, reference_tensor(r, l, "self_attn.k_proj.weight"), r->n, r->k, 0);
    reference_linear(r->T, C, C, reference_tensor(r, l, "self_attn.v_proj.weight"), r->n, r->v, 0);
    if (c->position == ISB_POSITION_ROPE) {
        reference_rotate(r, r->q);
        reference_rotate(r, r->k);
    }
    reference_attention(r, l, starts);
    reference_linear(r->T, C, C, reference_tensor(r, l, "self_attn.o_proj.weight"), r->y, r->x, 1);
    reference_norm(r, reference_tensor(r, l, "post_attention_layernorm.weight"), r->x, r->n);
    reference_linear(r->T, F, C, reference_tensor(r, l, "mlp.gate_proj.weight"), r->n, r->g, 0);
    reference_linear(r->T, F, C, reference_tensor(r, l, "mlp.up_proj.weight"), r->n, r->u, 0);
    for (size_t i = 0; i < r->T * F; ++i) {
        const double a = r->g[i],
                     act = c->activation == ISB_ACTIVATION_RELU ? fmax(a, 0) : a / (1 + exp(-a));
        r->g[i] = act * r->u[i];
    }
    reference_linear(r->T, C, F, reference_tensor(r, l, "mlp.down_proj.weight"), r->g, r->x, 1);
}

/* Of one row of the batch; returns sum of nats, adds sum of lse^2 to *z. */
static inline double reference_row(const reference *r, size_t b, double *z) {
    const isb_model_config *c = &r->model->config;
    const size_t C = (size_t)c->hidden_size, V = (size_t)c->vocab_size;
    const double *embed = reference_tensor(r, -1, "model.embed_tokens.weight");
    const double *head = c->tie_embeddings ? embed : reference_tensor(r, -1, "lm_head.weight");
    const int32_t *inputs = r->batch->inputs + b * r->T, *targets = r->batch->targets + b * r->T;
    for (size_t t = 0; t < r->T; ++t)
        memcpy(r->x + t * C, embed + (size_t)inputs[t] * C, C * sizeof *embed);
    for (int64_t l = 0; l < c->n_layers; ++l)
        reference_layer(r, l, r->batch->starts ? r->batch->starts + b * r->T : NULL);
    reference_norm(r, reference_tensor(r, -1, "model.norm.weight"), r->x, r->n);
    double nats = 0;
    for (size_t t = 0; t < r->T; ++t) {
        if (targets[t] < 0) continue;
        double most = -INFINITY, sum = 0;
        reference_linear(1, V, C, head, r->n + t * C, r->logits, 0);
        for (size_t i = 0; i < V; ++i) most = fmax(most, r->logits[i]);
        for (size_t i = 0; i < V; ++i) sum += exp(r->logits[i] - most);
        const double lse = most + log(sum);
        nats += lse - r->logits[targets[t]];
        *z += lse * lse;
    }
    return nats;
}

static inline double reference_loss(const reference *r, double z_weight) {
    double nats = 0, z = 0;
    for (size_t b = 0; b < r->B; ++b) nats += reference_row(r, b, &z);
    return nats + z_weight * z;
}

/* Central difference by parameter i. */
static inline double reference_gradient(const reference *r, size_t i, double z_weight) {
    const double h = 1e-5, was = r->params[i];
    r->params[i] = was + h;
    const double above = reference_loss(r, z_weight);
    r->params[i] = was - h;
    const double below = reference_loss(r, z_weight);
    r->params[i] = was;
    return (above - below) / (2 * h);
}

#endif
