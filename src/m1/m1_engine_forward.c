/* The layers of M1, as docs/m1.md gives them, on rows of any streams together.
 *
 * Sums of integers have no order, so a row's result cannot depend on what else is in the group; the float32 operations
 * between them are row by row, in kernels that have one order.
 *
 * The keys and values of all rows are stored before any row attends, so bytes of one stream that came in one call see
 * each other exactly as if they had come one by one: a row looks at the slots up to its own position.
 *
 * What a core does for a group stays in its caches: weights are walked once for all rows, and the wide product of gate
 * and up is made in chunks of columns, whose sums become the next product's input before the next chunk comes. */
#include <string.h>

#include "m1/m1_engine_state.h"

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

static void embed(const isb__m1_engine *e, m1_worker *w) {
    const isb__m1_matrix *embed = &e->m1->embed;
    for (size_t r = 0; r < w->n_rows; ++r) {
        const size_t id = (size_t)w->rows[r].id;
        const int8_t *q = embed->q + id * e->C;
        float *x = w->x + r * e->C;
        for (size_t i = 0; i < e->C; ++i) x[i] = (float)q[i] * embed->s[id];
    }
}

static void norm(const isb__m1_engine *e, m1_worker *w, const float *gain) {
    const float eps = (float)e->m1->config.norm_eps;
    for (size_t r = 0; r < w->n_rows; ++r)
        w->s[r] = e->ops->norm(e->C, w->x + r * e->C, gain, eps, w->y + r * e->C_padded);
}

/* c = y W^T; returns the stride of its rows. */
static size_t product(const isb__m1_engine *e, m1_worker *w, const m1_packed *p, const int8_t *y,
                      size_t y_stride) {
    const size_t stride = (p->n + 15) / 16 * 16;
    e->ops->product(w->n_rows, p->n, p->k, y, y_stride, p->data, w->c, stride);
    return stride;
}

/* x += y W^T */
static void add_product(const isb__m1_engine *e, m1_worker *w, const m1_packed *p, const int8_t *y,
                        size_t y_stride) {
    const size_t stride = product(e, w, p, y, y_stride);
    for (size_t r = 0; r < w->n_rows; ++r)
        e->ops->scale_add(p->n, w->c + r * stride, w->s[r], p->s, w->x + r * e->C);
}

/* ---- attention ---- */

/* The only row at position 0 is the engine's own, when it is made. */
static void keep_first(const isb__m1_engine *e, const m1_worker *w, size_t layer, size_t head,
                       float key_scale, float value_scale) {
    const size_t i = layer * e->H + head;
    memcpy(e->first_keys + i * e->D_padded, w->key, e->D);
    memcpy(e->first_values + i * e->D_padded, w->value, e->D);
    e->first_key_scales[i] = key_scale;
    e->first_value_scales[i] = value_scale;
}

/* From a row of sums of qkv: its queries for later, its keys and values for all later positions. */
static void store_row(const isb__m1_engine *e, m1_worker *w, size_t layer, size_t r) {
    const m1_row *row = &w->rows[r];
    const isb__int8_ops *ops = e->ops;
    float *q = w->qkv, *k = q + e->C, *v = k + e->C;
    ops->scale(3 * e->C, w->c + r * 3 * e->C, w->s[r], e->layers[layer].qkv.s, q);
    if (row->cosines) isb__rope_rotate(2 * e->H, e->D, row->cosines, row->sines, q);
    for (size_t h = 0; h < e->H; ++h) {
        const m1_head head = m1_head_of(e, row->stream, layer, h);
        w->q_scales[r * e->H + h] =
            ops->quantise(e->D, q + h * e->D, w->q + (r * e->H + h) * e->D_padded);
        const float key_scale = ops->quantise(e->D, k + h * e->D, w->key),
                    value_scale = ops->quantise(e->D, v + h * e->D, w->value);
        m1_store(e, &head, row->position, w->key, key_scale, w->value, value_scale);
        if (row->position == 0) keep_first(e, w, layer, h, key_scale, value_scale);
    }
}

/* The slots that a row sees, in whole groups; the first n_high groups are the last ones of the ring, the others, if
 * any, the first ones. */
typedef struct m1_span {
    size_t first_group, n_groups, n_high; /* groups */
    size_t begin, end;                    /* slots among them */
} m1_span;

static m1_span span_of(const isb__m1_engine *e, const m1_row *row) {
    const size_t n = min_size(row->position + 1, e->T), slot = (row->position + 1 - n) % e->ring;
    m1_span s = {.first_group = slot / ISB__KEY_GROUP, .begin = slot % ISB__KEY_GROUP};
    s.end = s.begin + n;
    s.n_groups = (s.end + ISB__KEY_GROUP - 1) / ISB__KEY_GROUP;
    s.n_high = min_size(s.n_groups, e->ring / ISB__KEY_GROUP - s.first_group);
    return s;
}

/* Four at a time: compilers make vector instructions of it, which round as the scalar ones do. */
static void scale_sums(size_t D, const int32_t *sums, float scale, float *o) {
    for (size_t d = 0; d < D; d += 4) {
        for (size_t i = d; i < d + 4; ++i) o[i] = (float)sums[i] * scale;
    }
}

static void attend(const isb__m1_engine *e, m1_worker *w, size_t layer, size_t r, size_t h) {
    const isb__int8_ops *ops = e->ops;
    const m1_row *row = &w->rows[r];
    const m1_head head = m1_head_of(e, row->stream, layer, h);
    const m1_span s = span_of(e, row);
    const size_t group = ISB__KEY_GROUP * e->D, n_low = s.n_groups - s.n_high,
                 first = s.first_group * ISB__KEY_GROUP, high = s.n_high * ISB__KEY_GROUP;
    const int8_t *q = w->q + (r * e->H + h) * e->D_padded;
    ops->scores(e->D, s.n_high, q, head.keys + s.first_group * group, w->scores);
    if (n_low > 0) ops->scores(e->D, n_low, q, head.keys, w->scores + high);
    /* distance 0 at the last slot but one before the end */
    const float *bias = e->layers[layer].bias;
    if (bias) bias += (h + 1) * e->bias_stride - ISB__KEY_GROUP - s.end;
    const float scale =
        ops->weights(s.n_groups, s.begin, s.end, w->scores,
                     w->q_scales[r * e->H + h] * e->inverse_sqrt_D, head.key_scales + first,
                     head.value_scales + first, bias, e->limit, w->work, w->high, w->low);
    ops->mix(e->D, s.n_high, w->high, w->low, head.values + s.first_group * group, w->sums, 0);
    if (n_low > 0) ops->mix(e->D, n_low, w->high + high, w->low + high, head.values, w->sums, 1);
    scale_sums(e->D, w->sums, scale, w->o + r * e->C + h * e->D);
}

/* Head by head for the rows of a stream, whose keys and values they share. */
static void attention(const isb__m1_engine *e, m1_worker *w, size_t layer) {
    for (size_t begin = 0, end; begin < w->n_rows; begin = end) {
        end = begin + 1;
        while (end < w->n_rows && w->rows[end].stream == w->rows[begin].stream) ++end;
        for (size_t h = 0; h < e->H; ++h) {
            for (size_t r = begin; r < end; ++r) attend(e, w, layer, r, h);
        }
    }
    for (size_t r = 0; r < w->n_rows; ++r)
        w->s[r] = e->ops->quantise(e->C, w->o + r * e->C, w->y + r * e->C_padded);
}

/* Keeps the rows that want a CDF, with what the rest of the last layer reads: the others have left their keys and values
 * and are done. */
static void keep_wanted(const isb__m1_engine *e, m1_worker *w) {
    const size_t queries = e->H * e->D_padded;
    size_t to = 0;
    for (size_t r = 0; r < w->n_rows; ++r) {
        if (!w->rows[r].cdf) continue;
        if (to != r) {
            w->rows[to] = w->rows[r];
            memcpy(w->x + to * e->C, w->x + r * e->C, e->C * sizeof *w->x);
            memcpy(w->q + to * queries, w->q + r * queries, queries);
            memcpy(w->q_scales + to * e->H, w->q_scales + r * e->H, e->H * sizeof *w->q_scales);
        }
        ++to;
    }
    w->n_rows = to;
}

/* ---- the rest ---- */

/* h = act(gate) * up, chunk by chunk; then quantised. */
static void gate_up(const isb__m1_engine *e, m1_worker *w, size_t layer) {
    const isb__int8_ops *ops = e->ops;
    const float *s = e->m1->layers[layer].gate_up.s;
    const uint8_t *packed = e->layers[layer].gate_up;
    const int relu = e->m1->config.activation == ISB_ACTIVATION_RELU;
    for (size_t f = 0; f < e->F; f += M1_CHUNK, packed += e->chunk_nbytes) {
        const size_t n = min_size(M1_CHUNK, e->F - f);
        ops->product(w->n_rows, 2 * n, e->C, w->y, e->C_padded, packed, w->c, 2 * n);
        for (size_t r = 0; r < w->n_rows; ++r) {
            const int32_t *c = w->c + r * 2 * n;
            (relu ? ops->gate_relu : ops->gate_silu)(n, c, c + n, w->s[r], s + f, s + e->F + f,
                                                     w->h + r * e->F + f);
        }
    }
    for (size_t r = 0; r < w->n_rows; ++r)
        w->s[r] = ops->quantise(e->F, w->h + r * e->F, w->hq + r * e->F_padded);
}

static void give_cdfs(const isb__m1_engine *e, m1_worker *w) {
    norm(e, w, e->m1->norm);
    const size_t stride = product(e, w, &e->head, w->y, e->C_padded);
    for (size_t r = 0; r < w->n_rows; ++r) {
        e->ops->scale(e->head.n, w->c + r * stride, w->s[r], e->head.s, w->z);
        e->ops->cdf(w->z, w->rows[r].cdf);
    }
}

static void run_layers(isb__m1_engine *e, m1_worker *w) {
    embed(e, w);
    for (size_t l = 0; l < e->L; ++l) {
        const m1_engine_layer *layer = &e->layers[l];
        norm(e, w, e->m1->layers[l].norm1);
        product(e, w, &layer->qkv, w->y, e->C_padded);
        for (size_t r = 0; r < w->n_rows; ++r) store_row(e, w, l, r);
        if (l + 1 == e->L) keep_wanted(e, w);
        if (w->n_rows == 0) return;
        attention(e, w, l);
        add_product(e, w, &layer->o, w->y, e->C_padded);
        norm(e, w, e->m1->layers[l].norm2);
        gate_up(e, w, l);
        add_product(e, w, &layer->down, w->hq, e->F_padded);
    }
    give_cdfs(e, w);
}

void isb__m1_forward(isb__m1_engine *e, m1_worker *w) {
    if (e->ops->begin) e->ops->begin();
    run_layers(e, w);
    if (e->ops->end) e->ops->end();
    w->n_rows = 0;
}
