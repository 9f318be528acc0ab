/* M1 written down a second time, from docs/m1.md alone: plain loops over single numbers, sums in 64 bits, the whole text
 * from its start.  Slow, and nothing to be clever about: what the engine is checked against. */
#ifndef ISB_TESTS_M1_REFERENCE_H
#define ISB_TESTS_M1_REFERENCE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nn/model.h"

typedef struct ref_matrix {
    size_t n, k;
    int8_t *q;
    float *s;
} ref_matrix;

typedef struct ref_layer {
    const float *norm1, *norm2, *bias;
    ref_matrix qkv, o, gate_up, down;
} ref_layer;

typedef struct ref_m1 {
    const isb_model *model;
    size_t C, H, D, L, F, T;
    float eps;
    ref_matrix embed, head;
    ref_layer *layers;
} ref_m1;

/* ---- rules of arithmetic ---- */

static inline float ref_max(float a, float b) { return a > b ? a : b; }
static inline float ref_min(float a, float b) { return a < b ? a : b; }

static inline float ref_quantise(size_t n, const float *v, int8_t *q) {
    float m = 0;
    for (size_t i = 0; i < n; ++i) {
        const float a = fabsf(v[i]);
        if (a > m) m = a;
    }
    memset(q, 0, n);
    if (!(m >= 0x1p-100f)) return 0;
    const float inv = 127.0f / m;
    for (size_t i = 0; i < n; ++i)
        q[i] = (int8_t)nearbyintf(ref_min(ref_max(v[i] * inv, -127.0f), 127.0f));
    return m / 127.0f;
}

static inline float ref_exp(float x) {
    static const float c[] = {0x1.123b6ap-7f, 0x1.5558fap-5f, 0x1.555490p-3f,
                              0x1.fffffcp-2f, 1.0f,           1.0f};
    x = ref_min(ref_max(x, -87.0f), 88.0f);
    const float product = x * 0x1.715476p+0f, t = product + 0x1.8p+23f, n = t - 0x1.8p+23f;
    const float high = n * 0x1.62e400p-1f, low = n * 0x1.7f7d1cp-20f, r = (x - high) - low;
    float p = 0x1.6a21acp-10f;
    for (int i = 0; i < 6; ++i) {
        p = p * r;
        p = p + c[i];
    }
    return ldexpf(p, (int)n);
}

/* ---- quantisation ---- */

static inline void *ref_alloc(size_t count, size_t size) {
    void *memory = calloc(count > 0 ? count : 1, size);
    if (!memory) abort();
    return memory;
}

static inline ref_matrix ref_matrix_of(const float *w, size_t n, size_t k) {
    ref_matrix m = {n, k, ref_alloc(n * k, 1), ref_alloc(n, sizeof(float))};
    for (size_t j = 0; j < n; ++j) m.s[j] = ref_quantise(k, w + j * k, m.q + j * k);
    return m;
}

static inline void ref_matrix_free(ref_matrix *m) {
    free(m->q);
    free(m->s);
}

static inline ref_m1 ref_m1_of(const isb_model *model) {
    const isb_model_config *c = &model->config;
    const isb__params *p = &model->params;
    ref_m1 m = {.model = model,
                .C = (size_t)c->hidden_size,
                .H = (size_t)c->n_heads,
                .L = (size_t)c->n_layers,
                .F = (size_t)c->intermediate_size,
                .T = (size_t)c->context_length,
                .eps = (float)c->norm_eps};
    m.D = m.C / m.H;
    m.embed = ref_matrix_of(p->embed, 257, m.C);
    m.head = ref_matrix_of(p->head, 257, m.C);
    m.layers = ref_alloc(m.L, sizeof *m.layers);
    for (size_t l = 0; l < m.L; ++l) {
        const isb__layer_params *from = &p->layers[l];
        m.layers[l] = (ref_layer){from->norm1,
                                  from->norm2,
                                  from->bias,
                                  ref_matrix_of(from->q, 3 * m.C, m.C),
                                  ref_matrix_of(from->o, m.C, m.C),
                                  ref_matrix_of(from->gate, 2 * m.F, m.C),
                                  ref_matrix_of(from->down, m.C, m.F)};
    }
    return m;
}

static inline void ref_m1_free(ref_m1 *m) {
    ref_matrix_free(&m->embed);
    ref_matrix_free(&m->head);
    for (size_t l = 0; l < m->L; ++l) {
        ref_matrix_free(&m->layers[l].qkv);
        ref_matrix_free(&m->layers[l].o);
        ref_matrix_free(&m->layers[l].gate_up);
        ref_matrix_free(&m->layers[l].down);
    }
    free(m->layers);
}

/* ---- the network's parts ---- */

/* out[n] = f32(sum_k y[k] W[n][k]) * (sy * s[n]) */
static inline void ref_product(const ref_matrix *w, const int8_t *y, float sy, float *out) {
    for (size_t n = 0; n < w->n; ++n) {
        int64_t sum = 0;
        for (size_t k = 0; k < w->k; ++k) sum += (int64_t)y[k] * w->q[n * w->k + k];
        out[n] = (float)sum * (sy * w->s[n]);
    }
}

static inline float ref_norm(size_t n, const float *x, const float *g, float eps, int8_t *y) {
    float a[16] = {0};
    for (size_t i = 0; i < n; ++i) {
        const float square = x[i] * x[i];
        a[i % 16] = a[i % 16] + square;
    }
    for (int h = 8; h >= 1; h /= 2) {
        for (int l = 0; l < h; ++l) a[l] = a[l] + a[l + h];
    }
    const float mean = a[0] / (float)n, r = 1.0f / sqrtf(mean + eps);
    float *v = ref_alloc(n, sizeof *v);
    for (size_t i = 0; i < n; ++i) v[i] = x[i] * g[i];
    const float s = ref_quantise(n, v, y);
    free(v);
    return s * r;
}

static inline double ref_ln(double x) {
    int e = 0;
    while (x > 1.5) x = x * 0.5, e = e + 1;
    while (x < 0.7) x = x * 2, e = e - 1;
    const double s = (x - 1) / (x + 1), s2 = s * s;
    double sum = 0;
    for (int k = 25; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
    return (2 * s) * sum + e * 0x1.62e42fefa39efp-1;
}

static inline double ref_exp_double(double x) {
    const double ln2 = 0x1.62e42fefa39efp-1;
    int n = 0;
    while (x < -0.5 * ln2) x = x + ln2, n = n + 1;
    double sum = 1;
    for (int k = 18; k >= 1; --k) sum = 1 + (x / k) * sum;
    for (; n > 0; --n) sum = sum / 2;
    return sum;
}

static inline void ref_angle(double theta, size_t D, size_t i, uint64_t p, float *cosine,
                             float *sine) {
    const double exponent = ((-ref_ln(theta)) * (double)(2 * i)) / (double)D;
    const uint64_t step =
        (uint64_t)(ref_exp_double(exponent) * 0x1.45f306dc9c883p-3 * 18446744073709551616.0);
    const uint64_t turns = p * step;
    const unsigned quarter = (unsigned)((turns + ((uint64_t)1 << 61)) >> 62);
    const int64_t rest = (int64_t)(turns - ((uint64_t)quarter << 62));
    const double x = ((double)rest * 0x1p-64) * 0x1.921fb54442d18p+2, x2 = x * x;
    double s = 0, c = 0;
    for (int k = 16; k >= 2; k -= 2) {
        s = ((1 - s) * x2) / (k * (k + 1));
        c = ((1 - c) * x2) / (k * (k - 1));
    }
    s = x * (1 - s);
    c = 1 - c;
    *cosine = (float)(quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s);
    *sine = (float)(quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c);
}

static inline void ref_rotate(const ref_m1 *m, size_t p, float *head) {
    for (size_t i = 0; i < m->D / 2; ++i) {
        float cosine, sine;
        ref_angle(m->model->config.rope_theta, m->D, i, p, &cosine, &sine);
        const float a = head[i], b = head[i + m->D / 2];
        const float ac = a * cosine, bs = b * sine, bc = b * cosine, as = a * sine;
        head[i] = ac - bs;
        head[i + m->D / 2] = bc + as;
    }
}

/* Raffel et al. 2020: 0 to 15 for themselves, then 16 steps by the logarithm up to 128. */
static inline size_t ref_bucket(size_t distance) {
    if (distance < 16) return distance;
    const double steps = log((double)distance / 16) / log(8.0) * 16;
    const size_t bucket = 16 + (size_t)(steps + 1e-9);
    return bucket < 31 ? bucket : 31;
}

/* What all positions of a layer have left for later ones. */
typedef struct ref_cache {
    int8_t *keys, *values; /* [position, C] */
    float *ks, *vs;        /* [position, H] */
} ref_cache;

static inline void ref_attend(const ref_m1 *m, const ref_layer *layer, const ref_cache *cache,
                              size_t p, size_t h, const float *q, float *o) {
    const size_t D = m->D, first = p + 1 > m->T ? p + 1 - m->T : 0, n = p + 1 - first;
    const int B = m->T <= 512 ? 15 : m->T <= 1024 ? 14 : m->T <= 2048 ? 13 : 12;
    int8_t *qq = ref_alloc(D, 1);
    float *t = ref_alloc(n, sizeof *t), most = -INFINITY, top = 0;
    const float qs = ref_quantise(D, q, qq), a = qs * (1.0f / sqrtf((float)D));
    for (size_t j = 0; j < n; ++j) {
        const int8_t *key = cache->keys + (first + j) * m->C + h * D;
        int64_t sum = 0;
        for (size_t d = 0; d < D; ++d) sum += (int64_t)qq[d] * key[d];
        t[j] = (float)sum * (a * cache->ks[(first + j) * m->H + h]);
        if (layer->bias) t[j] = t[j] + layer->bias[h * 32 + ref_bucket(p - (first + j))];
        most = ref_max(most, t[j]);
    }
    uint32_t z = 0;
    for (size_t j = 0; j < n; ++j) {
        const float w = ref_exp(t[j] - most);
        z += (uint32_t)nearbyintf(w * 0x1p19f);
        t[j] = w * cache->vs[(first + j) * m->H + h];
        top = ref_max(top, t[j]);
    }
    memset(o, 0, D * sizeof *o);
    if (top >= 0x1p-100f) {
        const float c = (float)((1 << B) - 1) / top, sum_of_weights = (float)z * 0x1p-19f,
                    scale = 1.0f / (c * sum_of_weights);
        for (size_t d = 0; d < D; ++d) {
            int64_t sum = 0;
            for (size_t j = 0; j < n; ++j)
                sum +=
                    (int64_t)nearbyintf(t[j] * c) * cache->values[(first + j) * m->C + h * D + d];
            o[d] = (float)sum * scale;
        }
    }
    free(t);
    free(qq);
}

static inline void ref_attention(const ref_m1 *m, const ref_layer *layer, ref_cache *cache,
                                 size_t p, float *x) {
    const size_t C = m->C, D = m->D;
    int8_t *y = ref_alloc(C, 1);
    float *u = ref_alloc(3 * C, sizeof *u), *o = ref_alloc(C, sizeof *o);
    float s = ref_norm(C, x, layer->norm1, m->eps, y);
    ref_product(&layer->qkv, y, s, u);
    for (size_t h = 0; h < m->H; ++h) {
        if (!layer->bias) {
            ref_rotate(m, p, u + h * D);
            ref_rotate(m, p, u + C + h * D);
        }
        cache->ks[p * m->H + h] = ref_quantise(D, u + C + h * D, cache->keys + p * C + h * D);
        cache->vs[p * m->H + h] = ref_quantise(D, u + 2 * C + h * D, cache->values + p * C + h * D);
    }
    for (size_t h = 0; h < m->H; ++h) ref_attend(m, layer, cache, p, h, u + h * D, o + h * D);
    s = ref_quantise(C, o, y);
    ref_product(&layer->o, y, s, u);
    for (size_t i = 0; i < C; ++i) x[i] = x[i] + u[i];
    free(o);
    free(u);
    free(y);
}

static inline void ref_mlp(const ref_m1 *m, const ref_layer *layer, float *x) {
    const size_t C = m->C, F = m->F;
    int8_t *y = ref_alloc(C + F, 1);
    float *u = ref_alloc(2 * F + C, sizeof *u), *h = ref_alloc(F, sizeof *h);
    float s = ref_norm(C, x, layer->norm2, m->eps, y);
    ref_product(&layer->gate_up, y, s, u);
    for (size_t n = 0; n < F; ++n) {
        const float g = u[n], silu = g / (1.0f + ref_exp(-g));
        h[n] =
            (m->model->config.activation == ISB_ACTIVATION_SILU ? silu : ref_max(g, 0)) * u[F + n];
    }
    s = ref_quantise(F, h, y);
    ref_product(&layer->down, y, s, u);
    for (size_t i = 0; i < C; ++i) x[i] = x[i] + u[i];
    free(h);
    free(u);
    free(y);
}

static inline void ref_cdf(const float *z, uint32_t *cdf) {
    uint64_t w[257], sum = 0;
    uint32_t n[257], used = 0;
    size_t largest = 0;
    float m = -INFINITY;
    for (int x = 0; x < 257; ++x) m = ref_max(m, z[x]);
    for (int x = 0; x < 257; ++x) sum += w[x] = (uint64_t)(ref_exp(z[x] - m) * 0x1p22f);
    if (sum == 0) sum = w[0] = 1;
    const double r = 65279.0 / (double)sum;
    for (size_t x = 0; x < 257; ++x) {
        used += n[x] = 1 + (uint32_t)((double)w[x] * r);
        if (w[x] > w[largest]) largest = x;
    }
    n[largest] += 65536 - used;
    cdf[0] = 0;
    for (int x = 0; x < 257; ++x) cdf[x + 1] = cdf[x] + n[x];
}

/* cdfs: [n + 1][258], after 0 .. n bytes. */
static inline void ref_m1_run(const ref_m1 *m, const uint8_t *bytes, size_t n, uint32_t *cdfs) {
    ref_cache *caches = ref_alloc(m->L, sizeof *caches);
    int8_t *y = ref_alloc(m->C, 1);
    float *x = ref_alloc(m->C, sizeof *x), z[257];
    for (size_t l = 0; l < m->L; ++l) {
        caches[l] = (ref_cache){ref_alloc((n + 1) * m->C, 1), ref_alloc((n + 1) * m->C, 1),
                                ref_alloc((n + 1) * m->H, sizeof(float)),
                                ref_alloc((n + 1) * m->H, sizeof(float))};
    }
    for (size_t p = 0; p <= n; ++p) {
        const size_t id = p == 0 ? 256 : bytes[p - 1];
        for (size_t i = 0; i < m->C; ++i) x[i] = (float)m->embed.q[id * m->C + i] * m->embed.s[id];
        for (size_t l = 0; l < m->L; ++l) {
            ref_attention(m, &m->layers[l], &caches[l], p, x);
            ref_mlp(m, &m->layers[l], x);
        }
        const float s = ref_norm(m->C, x, m->model->params.norm, m->eps, y);
        ref_product(&m->head, y, s, z);
        ref_cdf(z, cdfs + p * 258);
    }
    for (size_t l = 0; l < m->L; ++l) {
        free(caches[l].keys);
        free(caches[l].values);
        free(caches[l].ks);
        free(caches[l].vs);
    }
    free(caches);
    free(x);
    free(y);
}

#endif
