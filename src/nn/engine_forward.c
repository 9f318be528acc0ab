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
                memcpy(engine_cache(e, row->stream, layer, which, head) + slot * e->D,
                       k + which * e->C + head * e->D, e->D * sizeof *k);
            }
        }
    }
}

/* ---- attention ---- */

/* The keys of a row, oldest first: at most T of them, in at most two runs of slots. */
typedef struct key_range {
    size_t count, first_slot, first_count;
} key_range;

static key_range keys_of_row(const isb__engine *e, const engine_row *row) {
    const size_t count = row->position + 1 < e->T ? row->position + 1 : e->T;
    const size_t slot = (row->position + 1 - count) % e->ring, to_end = e->ring - slot;
    return (key_range){count, slot, count < to_end ? count : to_end};
}

/* y = sum over keys of softmax(q . k + bias) v, for one row and head. */
static void attend(const isb__engine *e, size_t layer, size_t r, size_t head, float *scores) {
    const isb__ops *ops = e->ops;
    const size_t D = e->D;
    const key_range keys = keys_of_row(e, &e->rows[r]);
    const float *k = engine_cache(e, e->rows[r].stream, layer, 0, head);
    const float *v = engine_cache(e, e->rows[r].stream, layer, 1, head);
    const float *q = e->qkv + r * 3 * e->C + head * D;
    float *y = e->y + r * e->C + head * D;
    const size_t n1 = keys.first_count, n2 = keys.count - n1;
    ops->dots(n1, D, q, k + keys.first_slot * D, D, scores);
    ops->dots(n2, D, q, k, D, scores + n1);
    if (e->layers[layer].bias) {
        const float *bias = e->layers[layer].bias + (head + 1) * e->T - keys.count;
        for (size_t j = 0; j < keys.count; ++j) scores[j] += bias[j];
    }
    const float most = ops->max(keys.count, scores);
    for (size_t j = 0; j < keys.count; ++j) scores[j] -= most;
    ops->exp(keys.count, scores, scores);
    const float inverse = 1.0f / ops->sum(keys.count, scores);
    memset(y, 0, D * sizeof *y);
    ops->axpys(n1, D, scores, v + keys.first_slot * D, D, y);
    ops->axpys(n2, D, scores + n1, v, D, y);
    for (size_t i = 0; i < D; ++i) y[i] *= inverse;
}

/* Head by head, so that the tokens of one stream find its keys in the cache of the processor. */
static void attend_rows(isb__engine *e, size_t layer, size_t begin, size_t end, int thread) {
    float *scores = e->scores + (size_t)thread * e->T;
    for (size_t head = 0; head < e->H; ++head) {
        for (size_t r = begin; r < end; ++r) attend(e, layer, r, head, scores);
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
        attend(s->e, s->layer, r, head, s->e->scores + (size_t)thread * s->e->T);
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
                 row_work = 4 * e->C * keys_of_row(e, &e->rows[slice.end - 1]).count;
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
