/* The engine's streams: requests become rows, rows are taken in groups, groups are cut into
 * slices for the threads.
 *
 * A stream's keys and values lie in a ring of T + history slots.  Position p is in slot p %
 * ring and sees positions p-T+1 .. p.  Since the ring is longer than T by the history, the keys
 * that a rewound stream needs are still there:
 *
 *     ring:     | history | context T                |
 *     oldest kept = top - ring             position   top
 *
 * A slice holds whole streams, because a token attends to the tokens of its own stream in the
 * same group; when one stream has most of the rows (a long prompt) or there are too few rows,
 * all threads work on one slice together. */
#include "nn/engine.h"

#include <assert.h>
#include <string.h>

#include "base/plan.h"
#include "nn/engine_state.h"
#include "nn/position.h"

enum {
    /* Floats between the blocks of two heads.  At a power of two from each other, the first keys of
     * all heads of all streams would fall into the same few sets of the caches. */
    HEAD_GAP = 5 * 64 / sizeof(float),
    TABLE_ROWS =
        4096, /* rotary angles kept; later positions compute theirs, about 1% of a token's work */
    LOGITS_NBYTES = 2 << 20, /* of one thread */
    LOGITS_ROWS = 64,
    SLICE_ROWS = 64,        /* activations of a slice stay in a core's L2 */
    MIN_ROWS_PER_THREAD = 4 /* fewer: the threads share the weights instead of the rows */
};

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* ---- set-up ---- */

static void plan_weights(isb__engine *e, isb__plan *plan) {
    const isb__gemm_kernel *kernel = e->ops->gemm_exact;
    for (size_t l = 0; l < e->L; ++l) {
        engine_layer *layer = &e->layers[l];
        isb__plan_add(plan, "qkv", isb__packed_b_nbytes(kernel, e->C, 3 * e->C), &layer->qkv.data);
        isb__plan_add(plan, "o", isb__packed_b_nbytes(kernel, e->C, e->C), &layer->o.data);
        isb__plan_add(plan, "gate_up", isb__packed_b_nbytes(kernel, e->C, 2 * e->F),
                      &layer->gate_up.data);
        isb__plan_add(plan, "down", isb__packed_b_nbytes(kernel, e->F, e->C), &layer->down.data);
        const int t5 = e->model->config.position == ISB_POSITION_T5;
        isb__plan_add(plan, "bias", t5 ? e->H * e->T * sizeof(float) : 0, &layer->bias);
    }
    isb__plan_add(plan, "head", isb__packed_b_nbytes(kernel, e->C, e->V), &e->head.data);
}

/* W is [out, in], B of x W^T is its transpose. */
static void pack(isb__engine *e, const float *w, size_t n_in, size_t n_out, isb__packed_b *packed) {
    isb__pack_b(e->ctx, e->ops->gemm_exact, n_in, n_out, isb__view_transposed(w, n_in), packed);
}

/* q, k, v lie one after another in the model's block, as do gate and up. */
static void pack_weights(isb__engine *e) {
    const isb__params *params = &e->model->params;
    for (size_t l = 0; l < e->L; ++l) {
        const isb__layer_params *from = &params->layers[l];
        engine_layer *to = &e->layers[l];
        assert(from->k == from->q + e->C * e->C && from->v == from->k + e->C * e->C);
        assert(from->up == from->gate + e->C * e->F);
        pack(e, from->q, e->C, 3 * e->C, &to->qkv);
        pack(e, from->o, e->C, e->C, &to->o);
        pack(e, from->gate, e->C, 2 * e->F, &to->gate_up);
        pack(e, from->down, e->F, e->C, &to->down);
        to->norm1 = from->norm1;
        to->norm2 = from->norm2;
        for (size_t i = 0; to->bias && i < e->H * e->T; ++i) {
            const size_t head = i / e->T, distance = e->T - 1 - i % e->T;
            to->bias[i] = from->bias[head * ISB__N_BUCKETS + isb__position_bucket(distance)];
        }
    }
    pack(e, params->head, e->C, e->V, &e->head);
}

static void plan_work(isb__engine *e, isb__plan *plan) {
    const size_t R = e->max_rows, P = e->D / 2, f = sizeof(float),
                 n_threads = (size_t)isb__thread_count(e->ctx);
    isb__plan_add(plan, "streams", e->n_streams * sizeof *e->streams, &e->streams);
    isb__plan_add(plan, "keys and values",
                  e->ring / ENGINE_BLOCK * e->n_streams * e->L * 2 * e->H * e->head_stride * f,
                  &e->cache);
    isb__plan_add(plan, "tokens", e->n_streams * e->ring * sizeof *e->tokens, &e->tokens);
    isb__plan_add(plan, "first keys and values", e->L * 2 * e->C * f, &e->first_cache);
    isb__plan_add(plan, "first logits", e->V * f, &e->first_logits);
    isb__plan_add(plan, "rows", R * sizeof *e->rows, &e->rows);
    isb__plan_add(plan, "slices", R * sizeof *e->slices, &e->slices);
    isb__plan_add(plan, "cosines", e->table_rows * P * f, &e->cosines);
    isb__plan_add(plan, "sines", e->table_rows * P * f, &e->sines);
    isb__plan_add(plan, "row_cosines", R * P * f, &e->row_cosines);
    isb__plan_add(plan, "row_sines", R * P * f, &e->row_sines);
    isb__plan_add(plan, "x", R * e->C * f, &e->x);
    isb__plan_add(plan, "y", R * e->C * f, &e->y);
    isb__plan_add(plan, "qkv", R * 3 * e->C * f, &e->qkv);
    isb__plan_add(plan, "gate_up", R * 2 * e->F * f, &e->gate_up);
    isb__plan_add(plan, "h", R * e->F * f, &e->h);
    isb__plan_add(plan, "scores", n_threads * e->H * (e->T + 1) * f, &e->scores);
    isb__plan_add(plan, "logits", n_threads * e->logits_rows * e->V * f, &e->logits);
}

static void set_sizes(isb__engine *e, size_t n_streams, size_t max_rows) {
    const isb_model_config *c = &e->model->config;
    e->C = (size_t)c->hidden_size;
    e->H = (size_t)c->n_heads;
    e->D = e->C / e->H;
    e->L = (size_t)c->n_layers;
    e->F = (size_t)c->intermediate_size;
    e->V = (size_t)c->vocab_size;
    e->T = (size_t)c->context_length;
    e->ring = isb__round_up(e->T + ISB__ENGINE_HISTORY, ENGINE_BLOCK);
    e->head_stride = isb__round_up(ENGINE_BLOCK * e->D, 16) + HEAD_GAP;
    e->n_streams = n_streams;
    e->max_rows = max_rows == 0 ? ISB__ENGINE_HISTORY : min_size(max_rows, ISB__ENGINE_HISTORY);
    e->first_token = -1;
    e->table_rows = c->position == ISB_POSITION_ROPE ? TABLE_ROWS : 0;
    e->logits_rows = max_size(
        1, min_size(LOGITS_NBYTES / sizeof(float) / e->V, min_size(LOGITS_ROWS, e->max_rows)));
}

static isb_status allocate(isb__engine *e) {
    isb__plan plan;
    ISB_TRY(isb__alloc_array(e->ctx, e->L, sizeof *e->layers, &e->layers));
    isb__plan_begin(&plan, e->ctx);
    plan_weights(e, &plan);
    e->nbytes += isb__plan_nbytes(&plan);
    ISB_TRY(isb__plan_commit(&plan, &e->weights));
    isb__plan_begin(&plan, e->ctx);
    plan_work(e, &plan);
    e->nbytes += isb__plan_nbytes(&plan);
    ISB_TRY(isb__plan_commit(&plan, &e->block));
    const size_t widest = max_size(max_size(3 * e->C, 2 * e->F), e->V);
    return isb__matmul_scratch_create(e->ctx, e->max_rows, widest, max_size(e->C, e->F),
                                      &e->scratch);
}

isb_status isb__engine_create(isb_context *ctx, const isb_model *model, size_t n_streams,
                              size_t max_rows, isb__engine **engine) {
    *engine = NULL;
    isb__engine *e = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *e, &e));
    e->ctx = ctx;
    e->model = model;
    e->ops = isb__ops_for(ctx->cpu);
    set_sizes(e, n_streams, max_rows);
    const isb_status status = allocate(e);
    if (status != ISB_OK) {
        isb__engine_free(e);
        return status;
    }
    pack_weights(e);
    if (e->table_rows > 0) {
        isb__rope_init(&e->rope, e->D, model->config.rope_theta);
        isb__rope_table(&e->rope, 0, e->table_rows, e->cosines, e->sines);
    }
    *engine = e;
    return ISB_OK;
}

void isb__engine_free(isb__engine *e) {
    if (!e) return;
    isb__matmul_scratch_free(e->scratch);
    isb__free(e->ctx, e->block);
    isb__free(e->ctx, e->weights);
    isb__free(e->ctx, e->layers);
    isb__free(e->ctx, e);
}

size_t isb__engine_nbytes(const isb__engine *e) { return e->nbytes; }
size_t isb__engine_position(const isb__engine *e, size_t stream) {
    return e->streams[stream].position;
}

/* ---- streams ---- */

isb_status isb__engine_rewind(isb__engine *e, size_t stream, size_t n) {
    engine_stream *s = &e->streams[stream];
    if (n > s->position || s->top - (s->position - n) > ISB__ENGINE_HISTORY) {
        return isb__fail(e->ctx, ISB_ERR_RANGE,
                         "cannot rewind a stream by %zu tokens: it has %zu, and reached %zu; the "
                         "history is %d tokens",
                         n, s->position, s->top, ISB__ENGINE_HISTORY);
    }
    s->position -= n;
    return ISB_OK;
}

static isb_status check_request(isb__engine *e, const isb__engine_request *request) {
    assert(request->stream < e->n_streams);
    assert(request->n_logits <= max_size(request->n_tokens, 1));
    for (size_t i = 0; i < request->n_tokens; ++i) {
        if (request->tokens[i] < 0 || (size_t)request->tokens[i] >= e->V) {
            return isb__fail(e->ctx, ISB_ERR_RANGE,
                             "token id %d at place %zu; the model has ids 0 to %zu",
                             (int)request->tokens[i], i, e->V - 1);
        }
    }
    if (request->n_tokens == 0 && request->n_logits > 0 &&
        (request->restart || e->streams[request->stream].position == 0)) {
        return isb__fail(e->ctx, ISB_ERR_RANGE,
                         "logits of an empty stream were asked for; give it a token first");
    }
    return ISB_OK;
}

/* Brings the stream to where the request's first token goes.  A request for the last token's
 * logits alone repeats that token: the same position, the same keys, the same bits. */
static void begin_request(isb__engine *e, const isb__engine_request *request) {
    engine_stream *s = &e->streams[request->stream];
    if (request->restart) *s = (engine_stream){0, 0};
    if (request->n_tokens == 0 && request->n_logits > 0) --s->position;
}

static size_t request_rows(const isb__engine_request *request) {
    return request->n_tokens == 0 ? request->n_logits : request->n_tokens;
}

static void add_row(isb__engine *e, const isb__engine_request *request, size_t index,
                    size_t token_index) {
    engine_stream *s = &e->streams[request->stream];
    const size_t n = request_rows(request), first_wanted = n - request->n_logits, r = e->n_rows++;
    int32_t *kept = &e->tokens[request->stream * e->ring + s->position % e->ring];
    if (request->n_tokens > 0) *kept = request->tokens[token_index];
    engine_row *row = &e->rows[r];
    *row = (engine_row){
        .stream = request->stream, .position = s->position, .request = index, .token = *kept};
    row->logits =
        token_index < first_wanted ? ENGINE_NO_LOGITS : (ptrdiff_t)(token_index - first_wanted);
    if (e->table_rows > 0) {
        const size_t pairs = e->D / 2;
        const int in_table = row->position < e->table_rows;
        row->cosines = in_table ? e->cosines + row->position * pairs : e->row_cosines + r * pairs;
        row->sines = in_table ? e->sines + row->position * pairs : e->row_sines + r * pairs;
        if (!in_table)
            isb__rope_table(&e->rope, row->position, 1, e->row_cosines + r * pairs,
                            e->row_sines + r * pairs);
    }
    s->position += 1;
    s->top = max_size(s->top, s->position);
}

/* ---- groups ---- */

static size_t longest_run(const isb__engine *e) {
    size_t longest = 0;
    for (size_t r = 0, run = 0; r < e->n_rows; ++r) {
        run = r > 0 && e->rows[r].stream == e->rows[r - 1].stream ? run + 1 : 1;
        longest = max_size(longest, run);
    }
    return longest;
}

/* Cuts the group between streams into slices of about even size; one slice for all threads
 * where that cannot be. */
static void cut_slices(isb__engine *e) {
    const size_t R = e->n_rows, n_threads = (size_t)isb__thread_count(e->ctx);
    e->n_slices = 0;
    if (n_threads > 1 &&
        (R < MIN_ROWS_PER_THREAD * n_threads || longest_run(e) > (R + R / 4) / n_threads)) {
        e->slices[e->n_slices++] = (engine_slice){0, R, ENGINE_ALL_THREADS};
        return;
    }
    const size_t rounds = (R + SLICE_ROWS * n_threads - 1) / (SLICE_ROWS * n_threads),
                 n = rounds * n_threads;
    for (size_t begin = 0; begin < R;) {
        size_t end = max_size(begin + 1, R * (e->n_slices + 1) / n);
        while (end < R && e->rows[end].stream == e->rows[end - 1].stream) ++end;
        e->slices[e->n_slices++] = (engine_slice){begin, end, 0};
        begin = end;
    }
}

static void slice_task(void *arg, size_t task, int thread) {
    isb__engine *e = arg;
    engine_slice slice = e->slices[task];
    slice.thread = thread;
    isb__engine_forward(e, slice);
}

static isb_status run_group(isb__engine *e) {
    ISB_TRY(isb__check_cancel(e->ctx));
    cut_slices(e);
    if (e->slices[0].thread == ENGINE_ALL_THREADS)
        isb__engine_forward(e, e->slices[0]);
    else
        isb__parallel(e->ctx, e->n_slices, slice_task, e);
    e->n_rows = 0;
    return ISB_OK;
}

/* ---- first tokens ---- */

static void keep_first_logits(void *user, size_t request, size_t row, const float *logits) {
    isb__engine *e = user;
    (void)request, (void)row;
    memcpy(e->first_logits, logits, e->V * sizeof *logits);
}

/* Position 0 of head `head` of the stream's keys or values, and its copy. */
static void copy_first(isb__engine *e, size_t stream, int keep) {
    for (size_t i = 0; i < e->L * 2 * e->H; ++i) {
        float *cache = engine_cache(e, stream, 0, 0, 0, 0) + i * e->head_stride,
              *first = e->first_cache + i * e->D;
        memcpy(keep ? first : cache, keep ? cache : first, e->D * sizeof *cache);
    }
}

/* The first token of a stream, on its own, with its logits; kept.  The group must be empty. */
static isb_status learn_first(isb__engine *e, const isb__engine_request *request) {
    const isb__engine_request first = {request->stream, 1, request->tokens, 1, 1};
    const isb__logits_sink sink = e->sink;
    void *user = e->sink_user;
    e->sink = keep_first_logits;
    e->sink_user = e;
    add_row(e, &first, 0, 0);
    const isb_status status = run_group(e);
    e->sink = sink;
    e->sink_user = user;
    if (status != ISB_OK) return status;
    copy_first(e, request->stream, 1);
    e->streams[request->stream] = (engine_stream){0, 0};
    e->first_token = request->tokens[0];
    return ISB_OK;
}

/* Puts the known first token into an empty stream. */
static void place_first(isb__engine *e, const isb__engine_request *request, size_t index) {
    copy_first(e, request->stream, 0);
    e->tokens[request->stream * e->ring] = e->first_token;
    e->streams[request->stream] = (engine_stream){1, 1};
    if (request->n_logits == request->n_tokens) e->sink(e->sink_user, index, 0, e->first_logits);
}

isb_status isb__engine_evaluate(isb__engine *e, size_t n, const isb__engine_request *requests,
                                isb__logits_sink sink, void *user) {
    for (size_t i = 0; i < n; ++i) ISB_TRY(check_request(e, &requests[i]));
    e->sink = sink;
    e->sink_user = user;
    e->n_rows = 0;
    for (size_t i = 0; i < n; ++i) {
        begin_request(e, &requests[i]);
        size_t t = 0;
        if (requests[i].n_tokens > 0 && e->streams[requests[i].stream].position == 0) {
            if (e->first_token < 0)
                ISB_TRY(
                    learn_first(e, &requests[i])); /* of the first request: the group is empty */
            if (e->first_token == requests[i].tokens[0]) {
                place_first(e, &requests[i], i);
                t = 1;
            }
        }
        for (; t < request_rows(&requests[i]); ++t) {
            add_row(e, &requests[i], i, t);
            if (e->n_rows == e->max_rows) ISB_TRY(run_group(e));
        }
    }
    return e->n_rows > 0 ? run_group(e) : ISB_OK;
}
