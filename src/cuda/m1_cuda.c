/* M1's engine on a GPU: streams, requests and groups of rows.  What is computed, and why it is the
 * same everywhere, is docs/m1.md; how, is in m1_product.cu, m1_attention.cu and m1_rows.cu.
 *
 * Requests become rows, a row being one position of a stream.  Rows are taken in groups, which go
 * through the layers together.  All keys and values of a group are stored before any row attends,
 * so bytes that came in one call see each other as if they had come one by one.  The host fills
 * one group while the device is at the other:
 *
 *     host     rows 0   rows 1   CDFs 0, rows 2   CDFs 1, rows 3   ...
 *     device            rows 0   rows 1           rows 2           ...
 *
 * A stream's keys lie in a ring; position p is in slot p % ring.  The ring is longer than the
 * context by what can be rewound, or comes in one group, so that neither overwrites a key that is
 * still attended to.
 *
 * Every stream begins with the boundary.  Its keys, values and CDF are computed once, in a stream
 * of its own, and copied to whichever stream restarts: codes of windows restart every few bytes. */
#include "cuda/m1_cuda.h"

#include <stdlib.h>
#include <string.h>

#include "cuda/gpu_graph.h"
#include "cuda/gpu_m1.h"
#include "m1/m1_device.h"
#include "nn/position.h"
#include "nn/rope.h"

enum {
    MOST_STREAMS = 4096,
    LIMIT_STREAMS = 1 << 24,
    DEFAULT_ROWS = 4096,
    RUN_ROWS = 256, /* of one stream in a group, at least */
    LOGITS_STRIDE = 260,
    N_GROUPS = 2
};

typedef struct layer_weights {
    float *norm1, *norm2, *bias; /* bias: [H, T] by distance, NULL if rotary */
    isb__gpu_m1_matrix qkv, o, gate_up, down;
} layer_weights;

typedef struct stream_state {
    uint64_t position; /* of its next row: 0 when it is empty, else 1 + bytes */
    uint64_t top;      /* the furthest it has been: older keys than top - ring are overwritten */
} stream_state;

/* A group on the host, in memory that the device copies from and to. */
typedef struct group {
    isb__gpu_m1_row *rows;   /* [max_rows] */
    isb__gpu_m1_tile *tiles; /* [max_rows] */
    uint32_t *wanted;        /* [max_rows]: the rows whose CDFs are */
    uint32_t *begun;         /* [n_streams]: streams that get the boundary first */
    uint16_t *cdfs;          /* [max_rows, ISB__GPU_M1_CDF_STRIDE] */
    uint32_t **outs;         /* [max_rows] where those go */
    size_t n_rows, n_tiles, n_wanted, n_begun;
    size_t run; /* of the last row's stream */
    void *pinned;
} group;

struct isb__m1_cuda {
    isb_context *ctx;
    const isb__m1 *m1;
    isb__gpu *gpu;
    size_t C, H, D, L, F, T;
    size_t n_streams, history, max_rows, ring, nbytes;
    int32_t limit; /* of attention weights: 2^B - 1 */

    stream_state *streams; /* [n_streams] */
    uint8_t *bytes;        /* [n_streams, ring]: the byte of each slot */
    uint32_t first_cdf[ISB__N_SYMBOLS + 1];
    group groups[N_GROUPS];
    size_t current; /* the one that is filled */

    /* On the device, in one allocation. */
    void *d_memory;
    layer_weights *layers; /* [L]; itself on the host */
    isb__gpu_m1_matrix embed, head;
    float *d_norm;
    uint64_t *d_steps;
    isb__gpu_m1_cache cache; /* of n_streams, and the boundary's */
    isb__gpu_m1_row *d_rows;
    isb__gpu_m1_tile *d_tiles;
    uint32_t *d_wanted, *d_begun;
    float *d_x;         /* [max_rows, C] residual */
    float *d_qkv;       /* [max_rows, 3C] */
    float *d_h;         /* [max_rows, max(C, F)] before it is quantised: of attention, of gate */
    int8_t *d_y;        /* [max_rows, max(C, F)] input of a product; and queries */
    float *d_sy, *d_qs; /* [max_rows], [max_rows, H] */
    float *d_cosines, *d_sines; /* [max_rows, D / 2] */
    float *d_z;                 /* [max_rows, LOGITS_STRIDE] */
    uint16_t *d_cdfs;
};

static size_t larger_size(size_t a, size_t b) { return a > b ? a : b; }
static size_t smaller_size(size_t a, size_t b) { return a < b ? a : b; }
static int is_rotary(const isb__m1_cuda *e) { return e->m1->config.position == ISB_POSITION_ROPE; }

static isb_status check_device(const isb__m1_cuda *e) {
    const char *text;
    const isb_status status = isb__gpu_status(e->gpu, &text);
    if (status == ISB_OK) return ISB_OK;
    return isb__fail(e->ctx, status, "%s: %s; start again, or use the cpu", isb__gpu_name(e->gpu),
                     text);
}

/* ---- the layers ---- */

static void upload_group(const isb__m1_cuda *e, const group *g) {
    isb__gpu_upload(e->gpu, e->d_rows, g->rows, g->n_rows * sizeof *g->rows);
    isb__gpu_upload(e->gpu, e->d_tiles, g->tiles, g->n_tiles * sizeof *g->tiles);
    if (g->n_wanted > 0)
        isb__gpu_upload(e->gpu, e->d_wanted, g->wanted, g->n_wanted * sizeof *g->wanted);
}

static void run_layer(const isb__m1_cuda *e, const group *g, size_t l) {
    const layer_weights *w = &e->layers[l];
    isb__gpu *gpu = e->gpu;
    const size_t M = g->n_rows, C = e->C, F = e->F;
    const float eps = (float)e->m1->config.norm_eps;
    const int relu = e->m1->config.activation == ISB_ACTIVATION_RELU;
    isb__gpu_m1_norm(gpu, M, C, eps, e->d_x, NULL, w->norm1, e->d_y, e->d_sy);
    isb__gpu_m1_product(gpu, M, e->d_y, e->d_sy, &w->qkv, e->d_qkv, 3 * C);
    isb__gpu_m1_heads(gpu, &e->cache, l, M, e->d_rows, e->d_cosines, e->d_sines, e->d_qkv, e->d_y,
                      e->d_qs);
    isb__gpu_m1_attention(gpu, &e->cache, l, g->n_tiles, e->d_tiles, e->d_rows, e->d_y, e->d_qs,
                          w->bias, e->limit, e->d_h);
    isb__gpu_m1_quantise(gpu, M, C, e->d_h, e->d_y, e->d_sy);
    isb__gpu_m1_product_add(gpu, M, e->d_y, e->d_sy, &w->o, e->d_x, C);
    isb__gpu_m1_norm(gpu, M, C, eps, e->d_x, NULL, w->norm2, e->d_y, e->d_sy);
    isb__gpu_m1_product_gate(gpu, M, relu, e->d_y, e->d_sy, &w->gate_up, e->d_h);
    isb__gpu_m1_quantise(gpu, M, F, e->d_h, e->d_y, e->d_sy);
    isb__gpu_m1_product_add(gpu, M, e->d_y, e->d_sy, &w->down, e->d_x, C);
}

static void fetch_cdfs(const isb__m1_cuda *e, group *g) {
    const size_t n = g->n_wanted;
    isb__gpu_m1_norm(e->gpu, n, e->C, (float)e->m1->config.norm_eps, e->d_x, e->d_wanted, e->d_norm,
                     e->d_y, e->d_sy);
    isb__gpu_m1_product(e->gpu, n, e->d_y, e->d_sy, &e->head, e->d_z, LOGITS_STRIDE);
    isb__gpu_m1_cdf(e->gpu, n, e->d_z, LOGITS_STRIDE, e->d_cdfs);
    isb__gpu_download(e->gpu, g->cdfs, e->d_cdfs, n * ISB__GPU_M1_CDF_STRIDE * sizeof *g->cdfs);
}

/* Puts the group in line. */
static void run_group(const isb__m1_cuda *e, group *g) {
    if (g->n_begun > 0) {
        isb__gpu_upload(e->gpu, e->d_begun, g->begun, g->n_begun * sizeof *g->begun);
        isb__gpu_m1_begin(e->gpu, &e->cache, g->n_begun, e->d_begun, (uint32_t)e->n_streams);
    }
    if (g->n_rows > 0) {
        upload_group(e, g);
        isb__gpu_m1_embed(e->gpu, g->n_rows, e->d_rows, &e->embed, e->d_x);
        if (is_rotary(e))
            isb__gpu_m1_angles(e->gpu, g->n_rows, e->D, e->d_rows, e->d_steps, e->d_cosines,
                               e->d_sines);
        for (size_t l = 0; l < e->L; ++l) run_layer(e, g, l);
        if (g->n_wanted > 0) fetch_cdfs(e, g);
    }
}

/* ---- groups ---- */

static void empty_group(group *g) { g->n_rows = g->n_tiles = g->n_wanted = g->n_begun = 0; }

/* Waits for a group and hands out its CDFs. */
static isb_status collect(isb__m1_cuda *e, size_t which) {
    group *g = &e->groups[which];
    if (g->n_rows == 0 && g->n_begun == 0) return ISB_OK;
    isb__gpu_wait(e->gpu, (int)which);
    const isb_status status = check_device(e);
    for (size_t i = 0; i < g->n_wanted && status == ISB_OK; ++i) {
        const uint16_t *from = g->cdfs + i * ISB__GPU_M1_CDF_STRIDE;
        for (size_t x = 0; x < ISB__N_SYMBOLS; ++x) g->outs[i][x] = from[x];
        g->outs[i][ISB__N_SYMBOLS] = 1 << ISB__CDF_PRECISION;
    }
    empty_group(g);
    return status;
}

/* Starts the group that was filled, and empties the other to be filled next. */
static isb_status start_group(isb__m1_cuda *e) {
    ISB_TRY(isb__check_cancel(e->ctx));
    run_group(e, &e->groups[e->current]);
    isb__gpu_mark(e->gpu, (int)e->current, 0);
    e->current = (e->current + 1) % N_GROUPS;
    return collect(e, e->current);
}

/* Starts what is left and waits for everything; or, after an error, drops it. */
static isb_status finish_groups(isb__m1_cuda *e, isb_status status) {
    if (status == ISB_OK) status = start_group(e);
    if (status == ISB_OK) status = collect(e, (e->current + 1) % N_GROUPS);
    if (status == ISB_OK) return ISB_OK;
    isb__gpu_finish(e->gpu);
    for (size_t i = 0; i < N_GROUPS; ++i) empty_group(&e->groups[i]);
    return status;
}

/* cdf: where the row's goes; NULL: nowhere. */
static void add_row(isb__m1_cuda *e, size_t stream, uint64_t position, uint32_t id, uint32_t *cdf) {
    group *g = &e->groups[e->current];
    const uint32_t r = (uint32_t)g->n_rows++, slot = (uint32_t)(position % e->ring);
    g->rows[r] = (isb__gpu_m1_row){position, (uint32_t)stream, slot, id, 0};
    g->run = r > 0 && g->rows[r - 1].stream == stream ? g->run + 1 : 1;
    if (cdf) {
        g->outs[g->n_wanted] = cdf;
        g->wanted[g->n_wanted++] = r;
    }
    if (g->run % ISB__GPU_M1_TILE == 1)
        g->tiles[g->n_tiles++] = (isb__gpu_m1_tile){r, 1};
    else
        ++g->tiles[g->n_tiles - 1].count;
}

/* A stream's rows in a group must not overwrite what the first of them attends to. */
static isb_status take_row(isb__m1_cuda *e, size_t stream, uint64_t position, uint32_t id,
                           uint32_t *cdf) {
    const group *g = &e->groups[e->current];
    add_row(e, stream, position, id, cdf);
    return g->n_rows == e->max_rows || g->run == e->ring - e->T ? start_group(e) : ISB_OK;
}

/* ---- requests ---- */

/* An empty stream gets the boundary. */
static void begin_stream(isb__m1_cuda *e, const isb__cdf_request *request) {
    stream_state *s = &e->streams[request->stream];
    group *g = &e->groups[e->current];
    if (!request->restart && s->position > 0) return;
    *s = (stream_state){1, 1};
    g->begun[g->n_begun++] = (uint32_t)request->stream;
}

/* The CDF at the present position once more: of the boundary it is known, and the last byte is
 * evaluated again, in its place. */
static isb_status take_present(isb__m1_cuda *e, const isb__cdf_request *request) {
    const uint64_t last = e->streams[request->stream].position - 1;
    if (last == 0) {
        memcpy(request->cdfs, e->first_cdf, sizeof e->first_cdf);
        return ISB_OK;
    }
    return take_row(e, request->stream, last, e->bytes[request->stream * e->ring + last % e->ring],
                    request->cdfs);
}

static isb_status take_request(isb__m1_cuda *e, const isb__cdf_request *request) {
    stream_state *s = &e->streams[request->stream];
    const int is_present = request->n_cdfs > request->n_bytes;
    uint32_t *cdf = request->cdfs;
    begin_stream(e, request);
    if (is_present) {
        ISB_TRY(take_present(e, request));
        cdf += ISB__N_SYMBOLS + 1;
    }
    for (size_t i = 0; i < request->n_bytes; ++i, ++s->position) {
        const int is_wanted = i + request->n_cdfs >= request->n_bytes;
        const uint8_t byte = request->bytes[i];
        e->bytes[request->stream * e->ring + s->position % e->ring] = byte;
        if (s->top <= s->position) s->top = s->position + 1;
        ISB_TRY(take_row(e, request->stream, s->position, byte, is_wanted ? cdf : NULL));
        if (is_wanted) cdf += ISB__N_SYMBOLS + 1;
    }
    return ISB_OK;
}

isb_status isb__m1_cuda_evaluate(isb__m1_cuda *e, size_t n, const isb__cdf_request *requests) {
    isb_status status = ISB_OK;
    isb__gpu_use(e->gpu);
    for (size_t i = 0; i < n && status == ISB_OK; ++i) status = take_request(e, &requests[i]);
    return finish_groups(e, status);
}

isb_status isb__m1_cuda_rewind(isb__m1_cuda *e, size_t stream, size_t n) {
    stream_state *s = &e->streams[stream];
    if (n == 0) return ISB_OK;
    if (n >= s->position || s->top - (s->position - n) > e->history) return ISB_ERR_RANGE;
    s->position -= n;
    return ISB_OK;
}

/* ---- memory ---- */

static void plan_matrix(isb__gpu_plan *plan, const isb__m1_matrix *from, isb__gpu_m1_matrix *to) {
    *to = (isb__gpu_m1_matrix){from->n, from->k, isb__gpu_plan_take(plan, from->n, from->k, 1),
                               isb__gpu_plan_take(plan, from->n, 1, sizeof(float))};
}

static void plan_weights(isb__m1_cuda *e, isb__gpu_plan *plan) {
    const isb__m1 *m1 = e->m1;
    plan_matrix(plan, &m1->embed, &e->embed);
    e->head = e->embed;
    if (!m1->config.tie_embeddings) plan_matrix(plan, &m1->head, &e->head);
    e->d_norm = isb__gpu_plan_take(plan, e->C, 1, sizeof(float));
    for (size_t l = 0; l < e->L; ++l) {
        layer_weights *w = &e->layers[l];
        w->norm1 = isb__gpu_plan_take(plan, e->C, 1, sizeof(float));
        w->norm2 = isb__gpu_plan_take(plan, e->C, 1, sizeof(float));
        w->bias = is_rotary(e) ? NULL : isb__gpu_plan_take(plan, e->H, e->T, sizeof(float));
        plan_matrix(plan, &m1->layers[l].qkv, &w->qkv);
        plan_matrix(plan, &m1->layers[l].o, &w->o);
        plan_matrix(plan, &m1->layers[l].gate_up, &w->gate_up);
        plan_matrix(plan, &m1->layers[l].down, &w->down);
    }
}

static void plan_work(isb__m1_cuda *e, isb__gpu_plan *plan) {
    const size_t R = e->max_rows, f = sizeof(float), widest = larger_size(e->C, e->F);
    e->d_steps = isb__gpu_plan_take(plan, ISB__ROPE_MAX_PAIRS, 1, sizeof *e->d_steps);
    e->d_rows = isb__gpu_plan_take(plan, R, 1, sizeof *e->d_rows);
    e->d_tiles = isb__gpu_plan_take(plan, R, 1, sizeof *e->d_tiles);
    e->d_wanted = isb__gpu_plan_take(plan, R, 1, sizeof *e->d_wanted);
    e->d_x = isb__gpu_plan_take(plan, R, e->C, f);
    e->d_qkv = isb__gpu_plan_take(plan, R, 3 * e->C, f);
    e->d_h = isb__gpu_plan_take(plan, R, widest, f);
    e->d_y = isb__gpu_plan_take(plan, R, widest, 1);
    e->d_sy = isb__gpu_plan_take(plan, R, 1, f);
    e->d_qs = isb__gpu_plan_take(plan, R, e->H, f);
    e->d_cosines = is_rotary(e) ? isb__gpu_plan_take(plan, R, e->D / 2, f) : NULL;
    e->d_sines = is_rotary(e) ? isb__gpu_plan_take(plan, R, e->D / 2, f) : NULL;
    e->d_z = isb__gpu_plan_take(plan, R, LOGITS_STRIDE, f);
    e->d_cdfs = isb__gpu_plan_take(plan, R, ISB__GPU_M1_CDF_STRIDE, sizeof *e->d_cdfs);
}

static void plan_streams(isb__m1_cuda *e, size_t n_streams, isb__gpu_plan *plan) {
    const size_t words = isb__gpu_m1_cache_words(&e->cache, n_streams + 1);
    e->cache.d_keys = isb__gpu_plan_take(plan, words, 1, sizeof *e->cache.d_keys);
    e->cache.d_values = isb__gpu_plan_take(plan, words, 1, sizeof *e->cache.d_values);
    e->cache.d_scales = isb__gpu_plan_take(plan, isb__gpu_m1_cache_scales(&e->cache, n_streams + 1),
                                           1, sizeof *e->cache.d_scales);
    e->d_begun = isb__gpu_plan_take(plan, n_streams, 1, sizeof *e->d_begun);
}

static size_t plan_all(isb__m1_cuda *e, size_t n_streams, void *memory) {
    isb__gpu_plan plan = {.base = memory};
    plan_weights(e, &plan);
    plan_work(e, &plan);
    plan_streams(e, n_streams, &plan);
    return plan.nbytes;
}

/* As many streams as take up to seven eighths of what is free. */
static size_t streams_that_fit(isb__m1_cuda *e, uint64_t n_free) {
    const size_t base = plan_all(e, 0, NULL), more = plan_all(e, 64, NULL) - base;
    const uint64_t usable = n_free - n_free / 8;
    const uint64_t n = usable > base ? (usable - base) / (more / 64) : 0;
    return n < 1 ? 1 : n < MOST_STREAMS ? (size_t)n : MOST_STREAMS;
}

static isb_status allocate_device(isb__m1_cuda *e) {
    const double gib = 1024.0 * 1024 * 1024;
    uint64_t unused, total;
    isb__gpu_memory(e->gpu, &unused, &total);
    if (e->n_streams == 0) e->n_streams = streams_that_fit(e, unused);
    e->nbytes = plan_all(e, e->n_streams, NULL);
    e->d_memory = e->nbytes <= unused ? isb__gpu_alloc(e->gpu, e->nbytes) : NULL;
    if (e->d_memory) {
        plan_all(e, e->n_streams, e->d_memory);
        return ISB_OK;
    }
    return isb__fail(e->ctx, ISB_ERR_NO_MEMORY,
                     "M1 with %zu streams needs %.3f GiB on %s, which has %.3f of %.3f free; fewer "
                     "streams need less",
                     e->n_streams, (double)e->nbytes / gib, isb__gpu_name(e->gpu),
                     (double)unused / gib, (double)total / gib);
}

static isb_status allocate_group(isb__m1_cuda *e, group *g) {
    const size_t R = e->max_rows;
    ISB_TRY(isb__alloc_array(e->ctx, R, sizeof *g->outs, &g->outs));
    isb__gpu_plan plan = {0};
    for (int counted = 0; counted < 2; ++counted) {
        g->rows = isb__gpu_plan_take(&plan, R, 1, sizeof *g->rows);
        g->tiles = isb__gpu_plan_take(&plan, R, 1, sizeof *g->tiles);
        g->wanted = isb__gpu_plan_take(&plan, R, 1, sizeof *g->wanted);
        g->begun = isb__gpu_plan_take(&plan, e->n_streams, 1, sizeof *g->begun);
        g->cdfs = isb__gpu_plan_take(&plan, R, ISB__GPU_M1_CDF_STRIDE, sizeof *g->cdfs);
        if (counted) return ISB_OK;
        g->pinned = isb__gpu_alloc_pinned(e->gpu, plan.nbytes);
        if (!g->pinned) break;
        plan = (isb__gpu_plan){.base = g->pinned};
    }
    return isb__fail(e->ctx, ISB_ERR_NO_MEMORY, "no %zu bytes of page-locked memory", plan.nbytes);
}

/* ---- set-up ---- */

static void upload_matrix(isb__gpu *gpu, const isb__m1_matrix *from, const isb__gpu_m1_matrix *to) {
    isb__gpu_upload(gpu, (void *)to->d_q, from->q, from->n * from->k);
    isb__gpu_upload(gpu, (void *)to->d_s, from->s, from->n * sizeof *from->s);
}

/* T5's biases by distance. */
static isb_status upload_bias(isb__m1_cuda *e, const float *from, float *d_to) {
    float *bias = NULL;
    ISB_TRY(isb__alloc_array(e->ctx, e->H * e->T, sizeof *bias, &bias));
    for (size_t i = 0; i < e->H * e->T; ++i)
        bias[i] = from[i / e->T * ISB__N_BUCKETS + isb__position_bucket(i % e->T)];
    isb__gpu_upload(e->gpu, d_to, bias, e->H * e->T * sizeof *bias);
    isb__gpu_finish(e->gpu);
    isb__free(e->ctx, bias);
    return ISB_OK;
}

static isb_status upload_weights(isb__m1_cuda *e) {
    const isb__m1 *m1 = e->m1;
    const size_t gains = e->C * sizeof(float);
    upload_matrix(e->gpu, &m1->embed, &e->embed);
    if (!m1->config.tie_embeddings) upload_matrix(e->gpu, &m1->head, &e->head);
    isb__gpu_upload(e->gpu, e->d_norm, m1->norm, gains);
    for (size_t l = 0; l < e->L; ++l) {
        const isb__m1_layer *from = &m1->layers[l];
        const layer_weights *to = &e->layers[l];
        isb__gpu_upload(e->gpu, to->norm1, from->norm1, gains);
        isb__gpu_upload(e->gpu, to->norm2, from->norm2, gains);
        upload_matrix(e->gpu, &from->qkv, &to->qkv);
        upload_matrix(e->gpu, &from->o, &to->o);
        upload_matrix(e->gpu, &from->gate_up, &to->gate_up);
        upload_matrix(e->gpu, &from->down, &to->down);
        if (!is_rotary(e)) ISB_TRY(upload_bias(e, from->bias, to->bias));
    }
    isb__rope rope;
    isb__rope_init(&rope, e->D, m1->config.rope_theta);
    isb__gpu_upload(e->gpu, e->d_steps, rope.step, rope.n_pairs * sizeof *rope.step);
    isb__gpu_finish(e->gpu);
    return check_device(e);
}

/* Fills the boundary's stream and its CDF. */
static isb_status learn_boundary(isb__m1_cuda *e) {
    add_row(e, e->n_streams, 0, ISB__END, e->first_cdf);
    return finish_groups(e, ISB_OK);
}

/* One text, on the GPU and on the CPU. */
static isb_status compare_with_cpu(isb__m1_cuda *e) {
    static const char text[] = "Integers have no order to lose: 0, 1, 2, 3 ... \xc3\xa9 42.";
    enum { N = sizeof text - 1, STRIDE = ISB__N_SYMBOLS + 1 };
    uint32_t *cdfs = NULL;
    isb__m1_engine *cpu = NULL;
    isb__cdf_request request = {.restart = 1, .bytes = (const uint8_t *)text, .n_bytes = N};
    request.n_cdfs = N;
    ISB_TRY(isb__alloc_array(e->ctx, (size_t)2 * N * STRIDE, sizeof *cdfs, &cdfs));
    isb_status status = isb__m1_engine_create(e->ctx, e->m1, 1, 1, 0, &cpu);
    request.cdfs = cdfs;
    if (status == ISB_OK) status = isb__m1_engine_evaluate(cpu, 0, 1, &request);
    request.cdfs = cdfs + N * STRIDE;
    if (status == ISB_OK) status = isb__m1_cuda_evaluate(e, 1, &request);
    if (status == ISB_OK && memcmp(cdfs, cdfs + N * STRIDE, N * STRIDE * sizeof *cdfs) != 0)
        status = isb__fail(e->ctx, ISB_ERR_DEVICE,
                           "%s gives other integers than this processor, so what it encodes could "
                           "not be decoded elsewhere; use the cpu",
                           isb__gpu_name(e->gpu));
    e->streams[0] = (stream_state){0, 0};
    isb__m1_engine_free(cpu);
    isb__free(e->ctx, cdfs);
    return status;
}

static isb_status open_gpu(isb__m1_cuda *e, const char *device) {
    char reason[ISB__GPU_TEXT_NBYTES] = "", *end = NULL;
    const int is_numbered =
        strncmp(device, "cuda:", 5) == 0 && device[5] >= '0' && device[5] <= '9';
    const long index = is_numbered ? strtol(device + 5, &end, 10) : 0;
    if (strcmp(device, "cuda") != 0 && (!is_numbered || *end != '\0' || index > 1023)) {
        return isb__fail(e->ctx, ISB_ERR_ARGUMENT,
                         "device is '%s'; expected cuda, or cuda:N, N counting from 0", device);
    }
    const isb_status status = isb__gpu_open((int)index, &e->gpu, reason);
    if (status == ISB_OK) return ISB_OK;
    return isb__fail(e->ctx, status, "cannot use GPU %ld: %s (isobit info lists those there are)",
                     index, reason);
}

static void set_sizes(isb__m1_cuda *e, const isb__m1_cuda_options *options) {
    const isb_model_config *c = &e->m1->config;
    e->C = (size_t)c->hidden_size;
    e->H = (size_t)c->n_heads;
    e->D = e->C / e->H;
    e->L = (size_t)c->n_layers;
    e->F = (size_t)c->intermediate_size;
    e->T = (size_t)c->context_length;
    e->limit = (1 << (e->T <= 512 ? 15 : e->T <= 1024 ? 14 : e->T <= 2048 ? 13 : 12)) - 1;
    e->history = options->history;
    e->n_streams = smaller_size(options->n_streams, LIMIT_STREAMS);
    e->max_rows = options->max_rows > 0 ? options->max_rows : DEFAULT_ROWS;
    const size_t spare = larger_size(e->history, smaller_size(e->max_rows, RUN_ROWS)),
                 step = ISB__GPU_M1_RING_STEP;
    e->ring = (e->T + spare + step - 1) / step * step;
    e->cache = (isb__gpu_m1_cache){.ring = e->ring, .L = e->L, .H = e->H, .D = e->D, .T = e->T};
}

static isb_status set_up(isb__m1_cuda *e, const isb__m1_cuda_options *options) {
    isb_context *ctx = e->ctx;
    set_sizes(e, options);
    ISB_TRY(isb__alloc_array(ctx, e->L, sizeof *e->layers, &e->layers));
    ISB_TRY(open_gpu(e, options->device));
    ISB_TRY(allocate_device(e));
    ISB_TRY(isb__alloc_array(ctx, e->n_streams, sizeof *e->streams, &e->streams));
    ISB_TRY(isb__alloc_array(ctx, e->n_streams, e->ring, &e->bytes));
    for (size_t i = 0; i < N_GROUPS; ++i) ISB_TRY(allocate_group(e, &e->groups[i]));
    ISB_TRY(upload_weights(e));
    ISB_TRY(learn_boundary(e));
    return compare_with_cpu(e);
}

isb_status isb__m1_cuda_create(isb_context *ctx, const isb__m1 *m1,
                               const isb__m1_cuda_options *options, isb__m1_cuda **engine) {
    isb__m1_cuda *e = NULL;
    *engine = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *e, &e));
    e->ctx = ctx;
    e->m1 = m1;
    const isb_status status = set_up(e, options);
    if (status != ISB_OK) {
        isb__m1_cuda_free(e);
        return status;
    }
    *engine = e;
    return ISB_OK;
}

void isb__m1_cuda_free(isb__m1_cuda *e) {
    if (!e) return;
    if (e->gpu) {
        isb__gpu_use(e->gpu);
        isb__gpu_finish(e->gpu);
        for (size_t i = 0; i < N_GROUPS; ++i) {
            if (e->groups[i].pinned) isb__gpu_free_pinned(e->gpu, e->groups[i].pinned);
        }
        if (e->d_memory) isb__gpu_free(e->gpu, e->d_memory);
        isb__gpu_close(e->gpu);
    }
    for (size_t i = 0; i < N_GROUPS; ++i) isb__free(e->ctx, e->groups[i].outs);
    isb__free(e->ctx, e->layers);
    isb__free(e->ctx, e->streams);
    isb__free(e->ctx, e->bytes);
    isb__free(e->ctx, e);
}

size_t isb__m1_cuda_n_streams(const isb__m1_cuda *e) { return e->n_streams; }
size_t isb__m1_cuda_nbytes(const isb__m1_cuda *e) { return e->nbytes; }
const char *isb__m1_cuda_name(const isb__m1_cuda *e) { return isb__gpu_name(e->gpu); }

/* ---- as a source of CDFs ---- */

typedef struct cuda_source {
    isb_context *ctx;
    isb__m1_cuda *engine;
    isb__m1 *owned; /* NULL: borrowed */
} cuda_source;

static isb_status source_evaluate(void *self, size_t worker, size_t n,
                                  const isb__cdf_request *requests) {
    (void)worker;
    return isb__m1_cuda_evaluate(((cuda_source *)self)->engine, n, requests);
}

static isb_status source_rewind(void *self, size_t stream, size_t n) {
    return isb__m1_cuda_rewind(((cuda_source *)self)->engine, stream, n);
}

static void source_free(void *self) {
    cuda_source *s = self;
    if (!s) return;
    isb__m1_cuda_free(s->engine);
    isb__m1_free(s->owned);
    isb__free(s->ctx, s);
}

isb_status isb__m1_cuda_source(isb_context *ctx, isb__m1 *m1, int take, const char *device,
                               size_t n_streams, isb__cdf_source *source) {
    cuda_source *s = NULL;
    const isb__m1_cuda_options options = {
        .device = device, .n_streams = n_streams, .history = ISB__M1_HISTORY};
    *source = (isb__cdf_source){0};
    ISB_TRY(isb__alloc(ctx, sizeof *s, &s));
    s->ctx = ctx;
    const isb_status status = isb__m1_cuda_create(ctx, m1, &options, &s->engine);
    if (status != ISB_OK) {
        source_free(s);
        return status;
    }
    s->owned = take ? m1 : NULL;
    *source = (isb__cdf_source){.self = s,
                                .n_symbols = ISB__N_SYMBOLS,
                                .precision_nbits = ISB__CDF_PRECISION,
                                .max_streams = isb__m1_cuda_n_streams(s->engine),
                                .n_workers = 1,
                                .identity = m1->identity,
                                .evaluate = source_evaluate,
                                .rewind = source_rewind,
                                .free = source_free};
    return ISB_OK;
}
