/* The layers of the engine, on rows of any streams together.
 *
 *     x = embedding
 *     for each layer:
 *         y = norm(x)            q k v = y Wqkv
 *         keys and values go to the caches
 *         y = attention          x += y Wo
 *         y = norm(x)            gate, up = y Wgu
 *         h = act(gate) * up     x += h Wdown
 *     logits = norm(x) Whead     only for the rows that want them
 *
 * The keys and values of all rows are stored before any row attends, so tokens of one stream that
 * came in one call see each other exactly as if they had come one by one.
 *
 * Every sum has one order that depends on nothing but the row's own context: products are one
 * chain of fused multiply-adds over k, attention runs from the oldest key to the newest, norms
 * use the 16 lanes of ops->dot.  Divisions and square roots are IEEE's.  The rest is how the
 * work is dealt out: a slice runs on one thread through all layers, or all threads share each
 * step of a single slice. */
#include <math.h>
#include <string.h>

#include "nn/engine_state.h"

enum { CHUNK_ROWS = 16, SHARED_WORK = 1 << 17 /* float operations worth waking threads for */ };

/* ---- steps: what happens to rows [begin, end) ---- */

typedef void (*step_fn)(isb__engine *e, size_t layer, size_t begin, size_t end, int thread);

static void embed_rows(isb__engine *e, size_t layer, size_t begin, size_t end, int thread) {
    (void)layer, (void)thread;
    for (size_t r = begin; r < end; ++r) {
        memcpy(e->x + r * e->C, e->model->params.embed + (size_t)e->rows[r].token * e->C,
               e->C * sizeof *e->x);
    }
}

static void norm_rows(isb__engine *e, const float *gain, size_t begin, size_t end) {
    const float epsilon = (float)e->model->config.norm_eps;
    for (size_t r = begin; r < end; ++r) {
        const float *x = e->x + r * e->C;
        const float mean = e->ops->dot(e->C, x, x) / (float)e->C;
        e->ops->scale_mul(e->C, x, 1.0f / sqrtf(mean + epsilon), gain, e->y + r * e->C);
    }
}

static void norm1_rows(isb__engine *e, size_t layer, size_t begin, size_t end, int thread) {
    (void)thread;
    norm_rows(e, e->layers[layer].norm1, begin, end);
}

static void norm2_rows(isb__engine *e, size_t layer, size_t begin, size_t end, int thread) {
    (void)thread;
    norm_rows(e, e->layers[layer].norm2, begin, end);
}

static void final_norm_rows(isb__engine *e, size_t layer, size_t begin, size_t end, int thread) {
    (void)layer, (void)thread;
    norm_rows(e, e->model->params.norm, begin, end);
}

static void activate_rows(isb__engine *e, size_t layer, size_t begin, size_t end, int thread) {
    (void)layer, (void)thread;
    const int relu = e->model->config.activation == ISB_ACTIVATION_RELU;
    for (size_t r = begin; r < end; ++r) {
        const float *gate = e->gate_up + r * 2 * e->F;
        (relu ? e->ops->relu_mul : e->ops->silu_mul)(e->F, gate, gate + e->F, e->h + r * e->F);
    }
}

/* Rotates queries and keys, scales queries, and puts keys and values into the caches. */
static void store_rows(isb__engine *e, size_t layer, size_t begin, size_t end, int thread) {
    (void)thread;
    const float scale = 1.0f / sqrtf((float)e->D);
    for (size_t r = begin; r < end; ++r) {
        const engine_row *row = &e->rows[r];
        float *q = e->qkv + r * 3 * e->C, *k = q + e->C;
        if (row->cosines) isb__rope_rotate(2 * e->H, e->D, row->cosines, row->sines, q);
        for (size_t i = 0; i < e->C; ++i) q[i] *= scale;
        const size_t slot = row->position % e->ring;
        for (size_t which = 0; which < 2; ++which) {
            for (size_t head = 0; head < e->H; ++head) {
                memcpy(engine_cache(e, row->stream, layer, which, head, slot),
                       k + which * e->C + head * e->D, e->D * sizeof *k);
            }
        }
    }
}

/* ---- attention ---- */

/* Of n keys from the slot on, those in its block. */
static size_t block_keys(size_t slot, size_t n) {
    const size_t left = ENGINE_BLOCK - slot % ENGINE_BLOCK;
    return n < left ? n : left;
}

/* At most the last T positions, oldest first. */
static size_t count_keys(const isb__engine *e, const engine_row *row) {
    return row->position + 1 < e->T ? row->position + 1 : e->T;
}

/* A row's queries of heads [h0, h1), and what they attend to: n keys from position `first` on. */
typedef struct attention {
    isb__engine *e;
    const engine_row *row;
    size_t layer, h0, h1, n, first;
    const float *q; /* [C] */
    float *y;       /* [C] */
    float *scores;  /* [H, T] */
    float *sums;    /* [H] */
} attention;

/* scores[h][j] = q . key j (+ bias) */
static void score_keys(const attention *a) {
    const isb__engine *e = a->e;
    for (size_t j = 0, count; j < a->n; j += count) {
        const size_t slot = (a->first + j) % e->ring;
        count = block_keys(slot, a->n - j);
        for (size_t h = a->h0; h < a->h1; ++h) {
            const float *keys = engine_cache(e, a->row->stream, a->layer, 0, h, slot);
            e->ops->dots(count, e->D, a->q + h * e->D, keys, e->D, a->scores + h * e->T + j);
        }
    }
    if (!e->layers[a->layer].bias) return;
    for (size_t h = a->h0; h < a->h1; ++h) {
        const float *bias = e->layers[a->layer].bias + (h + 1) * e->T - a->n;
        for (size_t j = 0; j < a->n; ++j) a->scores[h * e->T + j] += bias[j];
    }
}

/* scores become exp(score - largest), sums their sums. */
static void exponentiate(const attention *a) {
    const isb__ops *ops = a->e->ops;
    for (size_t h = a->h0; h < a->h1; ++h) {
        float *scores = a->scores + h * a->e->T;
        const float most = ops->max(a->n, scores);
        for (size_t j = 0; j < a->n; ++j) scores[j] -= most;
        ops->exp(a->n, scores, scores);
        a->sums[h] = ops->sum(a->n, scores);
    }
}

static void mix_values(const attention *a) {
    const isb__engine *e = a->e;
    memset(a->y + a->h0 * e->D, 0, (a->h1 - a->h0) * e->D * sizeof *a->y);
    for (size_t j = 0, count; j < a->n; j += count) {
        const size_t slot = (a->first + j) % e->ring;
        count = block_keys(slot, a->n - j);
        for (size_t h = a->h0; h < a->h1; ++h) {
            const float *values = engine_cache(e, a->row->stream, a->layer, 1, h, slot);
            e->ops->axpys(count, e->D, a->scores + h * e->T + j, values, e->D, a->y + h * e->D);
        }
    }
    for (size_t h = a->h0; h < a->h1; ++h) {
        const float inverse = 1.0f / a->sums[h];
        for (size_t i = 0; i < e->D; ++i) a->y[h * e->D + i] *= inverse;
    }
}

/* y = sum over keys of softmax(q . k + bias) v, for heads [h0, h1) of one row.  Block by block and
 * head by head within it: that is the order in which the caches lie in memory. */
static void attend(isb__engine *e, size_t layer, size_t r, size_t h0, size_t h1, int thread) {
    const engine_row *row = &e->rows[r];
    attention a = {.e = e, .row = row, .layer = layer, .h0 = h0, .h1 = h1};
    a.n = count_keys(e, row);
    a.first = row->position + 1 - a.n;
    a.q = e->qkv + r * 3 * e->C;
    a.y = e->y + r * e->C;
    a.scores = e->scores + (size_t)thread * e->H * (e->T + 1);
    a.sums = a.scores + e->H * e->T;
    score_keys(&a);
    exponentiate(&a);
    mix_values(&a);
}

/* Several tokens of one stream go head by head: they find its keys in the processor's cache. */
static void attend_rows(isb__engine *e, size_t layer, size_t begin, size_t end, int thread) {
    for (size_t r = begin, next; r < end; r = next) {
        for (next = r + 1; next < end && e->rows[next].stream == e->rows[r].stream;) ++next;
        const size_t step = next == r + 1 ? e->H : 1;
        for (size_t h = 0; h < e->H; h += step) {
            for (size_t i = r; i < next; ++i) attend(e, layer, i, h, h + step, thread);
        }
    }
}

/* ---- steps and products, on one thread or on all ---- */

typedef struct shared_step {
    isb__engine *e;
    step_fn fn;
    size_t layer, begin, end;
} shared_step;

static void step_task(void *arg, size_t task, int thread) {
    const shared_step *s = arg;
    const size_t begin = s->begin + task * CHUNK_ROWS, end = begin + CHUNK_ROWS;
    s->fn(s->e, s->layer, begin, end < s->end ? end : s->end, thread);
}

static void attend_head_task(void *arg, size_t task, int thread) {
    const shared_step *s = arg;
    const size_t head = task % s->e->H, begin = s->begin + task / s->e->H * CHUNK_ROWS,
                 end = begin + CHUNK_ROWS;
    for (size_t r = begin; r < end && r < s->end; ++r) {
        attend(s->e, s->layer, r, head, head + 1, thread);
    }
}

/* row_work: about how many float operations a row takes. */
static void step(isb__engine *e, engine_slice slice, step_fn fn, size_t layer, size_t row_work) {
    const size_t n = slice.end - slice.begin;
    if (slice.thread != ENGINE_ALL_THREADS) {
        fn(e, layer, slice.begin, slice.end, slice.thread);
    } else if (n * row_work < SHARED_WORK) {
        fn(e, layer, slice.begin, slice.end, 0);
    } else {
        shared_step s = {e, fn, layer, slice.begin, slice.end};
        isb__parallel(e->ctx, (n + CHUNK_ROWS - 1) / CHUNK_ROWS, step_task, &s);
    }
}

static void attention_step(isb__engine *e, engine_slice slice, size_t layer) {
    if (slice.begin == slice.end) return;
    const size_t n = slice.end - slice.begin,
                 row_work = 4 * e->C * count_keys(e, &e->rows[slice.end - 1]);
    if (slice.thread != ENGINE_ALL_THREADS || n * row_work < SHARED_WORK) {
        attend_rows(e, layer, slice.begin, slice.end,
                    slice.thread == ENGINE_ALL_THREADS ? 0 : slice.thread);
    } else {
        shared_step s = {e, NULL, layer, slice.begin, slice.end};
        isb__parallel(e->ctx, (n + CHUNK_ROWS - 1) / CHUNK_ROWS * e->H, attend_head_task, &s);
    }
}

/* c (+)= a b on the slice's rows. */
static void product(isb__engine *e, engine_slice slice, const float *a, const isb__packed_b *b,
                    float *c, int accumulate) {
    const size_t n = slice.end - slice.begin;
    const isb__view view = isb__view_row_major(a + slice.begin * b->K, b->K);
    c += slice.begin * b->N;
    if (slice.thread == ENGINE_ALL_THREADS) {
        isb__matmul_packed(e->ctx, e->scratch, n, view, b, c, b->N, accumulate);
    } else {
        isb__matmul_packed_on_thread(e->scratch, slice.thread, n, view, b, c, b->N, accumulate);
    }
}

/* ---- the model ---- */

/* Moves the rows that want logits to the front of the slice, with what the rest of the last
 * layer reads: the others have left their keys and values and are done. */
static engine_slice keep_wanted_rows(isb__engine *e, engine_slice slice) {
    size_t to = slice.begin;
    for (size_t r = slice.begin; r < slice.end; ++r) {
        if (e->rows[r].logits == ENGINE_NO_LOGITS) continue;
        if (to != r) {
            e->rows[to] = e->rows[r];
            memcpy(e->x + to * e->C, e->x + r * e->C, e->C * sizeof *e->x);
            memcpy(e->qkv + to * 3 * e->C, e->qkv + r * 3 * e->C, e->C * sizeof *e->qkv);
        }
        ++to;
    }
    slice.end = to;
    return slice;
}

typedef struct sink_step {
    isb__engine *e;
    const float *logits;
    size_t begin;
} sink_step;

static void sink_task(void *arg, size_t task, int thread) {
    const sink_step *s = arg;
    (void)thread;
    const engine_row *row = &s->e->rows[s->begin + task];
    s->e->sink(s->e->sink_user, row->request, (size_t)row->logits, s->logits + task * s->e->V);
}

/* Logits of a few rows at a time, so that [rows, V] stays small. */
static void give_logits(isb__engine *e, engine_slice slice) {
    const int shared = slice.thread == ENGINE_ALL_THREADS;
    float *logits = e->logits + (shared ? 0 : (size_t)slice.thread) * e->logits_rows * e->V;
    for (size_t r = slice.begin; r < slice.end; r += e->logits_rows) {
        const size_t n = slice.end - r < e->logits_rows ? slice.end - r : e->logits_rows;
        const isb__view view = isb__view_row_major(e->y + r * e->C, e->C);
        sink_step s = {e, logits, r};
        if (shared) {
            isb__matmul_packed(e->ctx, e->scratch, n, view, &e->head, logits, e->V, 0);
            isb__parallel(e->ctx, n, sink_task, &s);
        } else {
            isb__matmul_packed_on_thread(e->scratch, slice.thread, n, view, &e->head, logits, e->V,
                                         0);
            for (size_t i = 0; i < n; ++i) sink_task(&s, i, slice.thread);
        }
    }
}

void isb__engine_forward(isb__engine *e, engine_slice slice) {
    const size_t C = e->C, F = e->F;
    step(e, slice, embed_rows, 0, C);
    for (size_t l = 0; l < e->L; ++l) {
        const engine_layer *layer = &e->layers[l];
        step(e, slice, norm1_rows, l, 4 * C);
        product(e, slice, e->y, &layer->qkv, e->qkv, 0);
        step(e, slice, store_rows, l, 8 * C);
        if (l + 1 == e->L) slice = keep_wanted_rows(e, slice);
        attention_step(e, slice, l);
        product(e, slice, e->y, &layer->o, e->x, 1);
        step(e, slice, norm2_rows, l, 4 * C);
        product(e, slice, e->y, &layer->gate_up, e->gate_up, 0);
        step(e, slice, activate_rows, l, 20 * F);
        product(e, slice, e->h, &layer->down, e->x, 1);
    }
    step(e, slice, final_norm_rows, 0, 4 * C);
    give_logits(e, slice);
}
