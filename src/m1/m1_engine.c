/* M1's engine: streams with rings of keys and values, requests that become rows, rows taken in groups.
 *
 * A stream's ids are its boundary and then its bytes.  Position p is in slot p % ring and sees positions p-T+1 .. p.
 * The ring is longer than T by as much as a stream may be rewound, or a group may be ahead of its first row:
 *
 *     ring:     | history | context T                |
 *     oldest kept = top - ring             position   top
 *
 * Threads have nothing in common but the weights, so any number of them may evaluate at once, each its own streams with
 * its own worker. */
#include <math.h>
#include <string.h>

#include "base/plan.h"
#include "m1/m1_engine_state.h"
#include "nn/position.h"

enum {
    /* Bytes between two heads.  At a power of two from each other, the same slots of all heads of all streams would
     * fall into the same few sets of the caches. */
    HEAD_GAP = 5 * 64,
    TABLE_ROWS = 4096 /* angles kept; later positions compute theirs */
};

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }
static size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

/* ---- set-up ---- */

static int32_t weight_limit(size_t T) {
    const int nbits = T <= 512 ? 15 : T <= 1024 ? 14 : T <= 2048 ? 13 : 12;
    return (1 << nbits) - 1;
}

static void set_sizes(isb__m1_engine *e, size_t history) {
    const isb_model_config *c = &e->m1->config;
    e->C = (size_t)c->hidden_size;
    e->H = (size_t)c->n_heads;
    e->D = e->C / e->H;
    e->L = (size_t)c->n_layers;
    e->F = (size_t)c->intermediate_size;
    e->T = (size_t)c->context_length;
    e->C_padded = round_up(e->C, ISB__INT8_ALIGN);
    e->D_padded = round_up(e->D, ISB__INT8_ALIGN);
    e->F_padded = round_up(e->F, ISB__INT8_ALIGN);
    e->widest = round_up(max_size(max_size(3 * e->C, 2 * M1_CHUNK), ISB__N_SYMBOLS), 16);
    e->history = history;
    e->ring = round_up(e->T + max_size(history, M1_GROUP_ROWS), ISB__KEY_GROUP);
    e->most_slots = round_up(e->T, ISB__KEY_GROUP) + ISB__KEY_GROUP;
    e->head_nbytes = round_up(e->ring * (2 * e->D + 4 * sizeof(float)), 64) + HEAD_GAP;
    e->chunk_nbytes = round_up(e->ops->packed_nbytes(2 * min_size(M1_CHUNK, e->F), e->C), 64);
    /* groups begin and end beyond the context: room for distances that are not looked at */
    e->bias_stride = c->position == ISB_POSITION_T5 ? e->T + 2 * ISB__KEY_GROUP : 0;
    e->table_rows = c->position == ISB_POSITION_ROPE ? TABLE_ROWS : 0;
    e->limit = weight_limit(e->T);
    e->inverse_sqrt_D = 1.0f / sqrtf((float)e->D);
}

static void plan_matrix(const isb__m1_engine *e, isb__plan *plan, const isb__m1_matrix *m,
                        m1_packed *packed) {
    *packed = (m1_packed){m->n, m->k, NULL, m->s};
    isb__plan_add(plan, "packed weights", e->ops->packed_nbytes(m->n, m->k), &packed->data);
}

static void plan_weights(isb__m1_engine *e, isb__plan *plan) {
    const size_t n_chunks = (e->F + M1_CHUNK - 1) / M1_CHUNK, P = e->D / 2, f = sizeof(float);
    for (size_t l = 0; l < e->L; ++l) {
        const isb__m1_layer *from = &e->m1->layers[l];
        m1_engine_layer *to = &e->layers[l];
        plan_matrix(e, plan, &from->qkv, &to->qkv);
        plan_matrix(e, plan, &from->o, &to->o);
        plan_matrix(e, plan, &from->down, &to->down);
        isb__plan_add(plan, "gate and up", n_chunks * e->chunk_nbytes, &to->gate_up);
        isb__plan_add(plan, "bias", e->H * e->bias_stride * f, &to->bias);
    }
    plan_matrix(e, plan, &e->m1->head, &e->head);
    isb__plan_add(plan, "cosines", e->table_rows * P * f, &e->cosines);
    isb__plan_add(plan, "sines", e->table_rows * P * f, &e->sines);
    isb__plan_add(plan, "first keys", e->L * e->H * e->D_padded, &e->first_keys);
    isb__plan_add(plan, "first values", e->L * e->H * e->D_padded, &e->first_values);
    isb__plan_add(plan, "first scales", e->L * e->H * f, &e->first_key_scales);
    isb__plan_add(plan, "first scales", e->L * e->H * f, &e->first_value_scales);
}

static void plan_streams(isb__m1_engine *e, isb__plan *plan) {
    isb__plan_add(plan, "streams", e->n_streams * sizeof *e->streams, &e->streams);
    isb__plan_add(plan, "keys and values", e->n_streams * e->L * e->H * e->head_nbytes, &e->cache);
    isb__plan_add(plan, "bytes", e->n_streams * e->ring, &e->bytes);
}

static void plan_worker(const isb__m1_engine *e, isb__plan *plan, m1_worker *w) {
    const size_t R = M1_GROUP_ROWS, f = sizeof(float), slots = e->most_slots, P = e->D / 2;
    isb__plan_add(plan, "x", R * e->C * f, &w->x);
    isb__plan_add(plan, "y", R * e->C_padded, &w->y);
    isb__plan_add(plan, "c", R * e->widest * f, &w->c);
    isb__plan_add(plan, "qkv", 3 * e->C * f, &w->qkv);
    isb__plan_add(plan, "q", R * e->H * e->D_padded, &w->q);
    isb__plan_add(plan, "q scales", R * e->H * f, &w->q_scales);
    isb__plan_add(plan, "key", e->D_padded, &w->key);
    isb__plan_add(plan, "value", e->D_padded, &w->value);
    isb__plan_add(plan, "o", R * e->C * f, &w->o);
    isb__plan_add(plan, "h", R * e->F * f, &w->h);
    isb__plan_add(plan, "quantised h", R * e->F_padded, &w->hq);
    isb__plan_add(plan, "row cosines", e->table_rows > 0 ? R * P * f : 0, &w->row_cosines);
    isb__plan_add(plan, "row sines", e->table_rows > 0 ? R * P * f : 0, &w->row_sines);
    isb__plan_add(plan, "scores", slots * f, &w->scores);
    isb__plan_add(plan, "sums", round_up(e->D, 16) * f, &w->sums);
    isb__plan_add(plan, "work", slots * f, &w->work);
    isb__plan_add(plan, "high", slots, &w->high);
    isb__plan_add(plan, "low", slots, &w->low);
    isb__plan_add(plan, "logits", round_up(ISB__N_SYMBOLS, 16) * f, &w->z);
}

static isb_status allocate(isb__m1_engine *e) {
    isb__plan plan;
    ISB_TRY(isb__alloc_array(e->ctx, e->L, sizeof *e->layers, &e->layers));
    ISB_TRY(isb__alloc_array(e->ctx, e->n_workers, sizeof *e->workers, &e->workers));
    isb__plan_begin(&plan, e->ctx);
    plan_weights(e, &plan);
    e->nbytes += isb__plan_nbytes(&plan);
    ISB_TRY(isb__plan_commit(&plan, &e->weights));
    isb__plan_begin(&plan, e->ctx);
    plan_streams(e, &plan);
    e->nbytes += isb__plan_nbytes(&plan);
    ISB_TRY(isb__plan_commit(&plan, &e->block));
    for (size_t i = 0; i < e->n_workers; ++i) {
        isb__plan_begin(&plan, e->ctx);
        plan_worker(e, &plan, &e->workers[i]);
        e->nbytes += isb__plan_nbytes(&plan);
        ISB_TRY(isb__plan_commit(&plan, &e->workers[i].block));
    }
    return ISB_OK;
}

static void pack(const isb__m1_engine *e, const isb__m1_matrix *m, const m1_packed *packed) {
    e->ops->pack(m->n, m->k, m->q, packed->data);
}

/* both: room for the rows of a chunk of gate and of up, one after another. */
static void pack_gate_up(const isb__m1_engine *e, size_t layer, int8_t *both) {
    const int8_t *gate = e->m1->layers[layer].gate_up.q, *up = gate + e->F * e->C;
    uint8_t *packed = e->layers[layer].gate_up;
    for (size_t f = 0; f < e->F; f += M1_CHUNK, packed += e->chunk_nbytes) {
        const size_t n = min_size(M1_CHUNK, e->F - f);
        memcpy(both, gate + f * e->C, n * e->C);
        memcpy(both + n * e->C, up + f * e->C, n * e->C);
        e->ops->pack(2 * n, e->C, both, packed);
    }
}

/* By slot in a row's groups: the last position attended to, the own one, is followed by up to 15 others of its group. */
static void fill_bias(const isb__m1_engine *e, const float *from, float *to) {
    for (size_t h = 0; h < e->H; ++h) {
        for (size_t distance = 0; distance < e->T; ++distance) {
            to[(h + 1) * e->bias_stride - ISB__KEY_GROUP - 1 - distance] =
                from[h * ISB__N_BUCKETS + isb__position_bucket(distance)];
        }
    }
}

static isb_status pack_weights(isb__m1_engine *e) {
    int8_t *both = NULL;
    ISB_TRY(isb__alloc_array(e->ctx, 2 * M1_CHUNK, e->C, &both));
    for (size_t l = 0; l < e->L; ++l) {
        const isb__m1_layer *from = &e->m1->layers[l];
        const m1_engine_layer *to = &e->layers[l];
        pack(e, &from->qkv, &to->qkv);
        pack(e, &from->o, &to->o);
        pack_gate_up(e, l, both);
        pack(e, &from->down, &to->down);
        if (to->bias) fill_bias(e, from->bias, to->bias);
    }
    pack(e, &e->m1->head, &e->head);
    isb__free(e->ctx, both);
    return ISB_OK;
}

/* ---- rows ---- */

/* Streams that began together stand at the same position: beyond the table, where angles take some percent of a byte's
 * time, the row before has them as a rule. */
static void find_angles(const isb__m1_engine *e, m1_worker *w, m1_row *row) {
    const size_t pairs = e->D / 2, r = (size_t)(row - w->rows);
    if (r > 0 && row[-1].position == row->position) {
        row->cosines = row[-1].cosines;
        row->sines = row[-1].sines;
    } else if (row->position < e->table_rows) {
        row->cosines = e->cosines + row->position * pairs;
        row->sines = e->sines + row->position * pairs;
    } else {
        isb__rope_table(&e->rope, row->position, 1, w->row_cosines + r * pairs,
                        w->row_sines + r * pairs);
        row->cosines = w->row_cosines + r * pairs;
        row->sines = w->row_sines + r * pairs;
    }
}

static void add_row(const isb__m1_engine *e, m1_worker *w, size_t stream, size_t position, int id,
                    uint32_t *cdf) {
    m1_row *row = &w->rows[w->n_rows++];
    *row = (m1_row){.stream = stream, .position = position, .id = id, .cdf = cdf};
    if (e->table_rows > 0) find_angles(e, w, row);
}

static void learn_first(isb__m1_engine *e) {
    add_row(e, &e->workers[0], 0, 0, ISB__END, e->first_cdf);
    isb__m1_forward(e, &e->workers[0]);
}

static void place_first(const isb__m1_engine *e, size_t stream) {
    for (size_t i = 0; i < e->L * e->H; ++i) {
        const m1_head head = m1_head_of(e, stream, i / e->H, i % e->H);
        m1_store(e, &head, 0, e->first_keys + i * e->D_padded, e->first_key_scales[i],
                 e->first_values + i * e->D_padded, e->first_value_scales[i]);
    }
    e->streams[stream].position = e->streams[stream].top = 1;
}

/* ---- life ---- */

isb_status isb__m1_engine_create(isb_context *ctx, const isb__m1 *m1, size_t n_streams,
                                 size_t n_workers, size_t history, isb__m1_engine **engine) {
    isb__m1_engine *e = NULL;
    *engine = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *e, &e));
    e->ctx = ctx;
    e->m1 = m1;
    e->ops = isb__int8_ops_for(ctx->cpu);
    e->n_streams = n_streams;
    e->n_workers = n_workers;
    set_sizes(e, history);
    isb_status status = allocate(e);
    if (status == ISB_OK) status = pack_weights(e);
    if (status != ISB_OK) {
        isb__m1_engine_free(e);
        return status;
    }
    if (e->table_rows > 0) {
        isb__rope_init(&e->rope, e->D, m1->config.rope_theta);
        isb__rope_table(&e->rope, 0, e->table_rows, e->cosines, e->sines);
    }
    learn_first(e);
    *engine = e;
    return ISB_OK;
}

void isb__m1_engine_free(isb__m1_engine *e) {
    if (!e) return;
    for (size_t i = 0; e->workers && i < e->n_workers; ++i) isb__free(e->ctx, e->workers[i].block);
    isb__free(e->ctx, e->workers);
    isb__free(e->ctx, e->block);
    isb__free(e->ctx, e->weights);
    isb__free(e->ctx, e->layers);
    isb__free(e->ctx, e);
}

size_t isb__m1_engine_nbytes(const isb__m1_engine *e) { return e->nbytes; }

/* ---- requests ---- */

isb_status isb__m1_engine_rewind(isb__m1_engine *e, size_t stream, size_t n) {
    m1_stream *s = &e->streams[stream];
    if (n == 0) return ISB_OK;
    if (n >= s->position || s->top - (s->position - n) > e->history) return ISB_ERR_RANGE;
    s->position -= n;
    return ISB_OK;
}

/* A call's rows, in groups of about even size. */
typedef struct m1_call {
    isb__m1_engine *e;
    m1_worker *w;
    size_t group_rows;
} m1_call;

static isb_status run_group(const m1_call *call) {
    if (isb__cancelled(call->e->ctx)) {
        call->w->n_rows = 0;
        return ISB_ERR_CANCELLED;
    }
    isb__m1_forward(call->e, call->w);
    return ISB_OK;
}

static isb_status take_row(const m1_call *call, size_t stream, size_t position, int id,
                           uint32_t *cdf) {
    add_row(call->e, call->w, stream, position, id, cdf);
    return call->w->n_rows == call->group_rows ? run_group(call) : ISB_OK;
}

/* The CDF at the stream's present position: the last id once more, which gives the same keys and the same bits. */
static isb_status take_present(const m1_call *call, const isb__cdf_request *request) {
    const isb__m1_engine *e = call->e;
    const size_t last = e->streams[request->stream].position - 1;
    if (last == 0) {
        memcpy(request->cdfs, e->first_cdf, sizeof e->first_cdf);
        return ISB_OK;
    }
    return take_row(call, request->stream, last,
                    e->bytes[request->stream * e->ring + last % e->ring], request->cdfs);
}

static isb_status take_request(const m1_call *call, const isb__cdf_request *request) {
    const isb__m1_engine *e = call->e;
    m1_stream *s = &e->streams[request->stream];
    const bool present = request->n_cdfs > request->n_bytes;
    uint32_t *cdf = request->cdfs + (present ? ISB__N_SYMBOLS + 1 : 0);
    if (request->restart || s->position == 0) place_first(e, request->stream);
    if (present) ISB_TRY(take_present(call, request));
    for (size_t i = 0; i < request->n_bytes; ++i, ++s->position) {
        const bool wanted = i + request->n_cdfs >= request->n_bytes;
        e->bytes[request->stream * e->ring + s->position % e->ring] = request->bytes[i];
        s->top = max_size(s->top, s->position + 1);
        ISB_TRY(
            take_row(call, request->stream, s->position, request->bytes[i], wanted ? cdf : NULL));
        if (wanted) cdf += ISB__N_SYMBOLS + 1;
    }
    return ISB_OK;
}

isb_status isb__m1_engine_evaluate(isb__m1_engine *e, size_t worker, size_t n,
                                   const isb__cdf_request *requests) {
    size_t n_rows = 0;
    for (size_t i = 0; i < n; ++i) n_rows += max_size(requests[i].n_bytes, requests[i].n_cdfs);
    const size_t n_groups = (n_rows + M1_GROUP_ROWS - 1) / M1_GROUP_ROWS;
    const m1_call call = {e, &e->workers[worker],
                          n_groups > 0 ? (n_rows + n_groups - 1) / n_groups : 0};
    for (size_t i = 0; i < n; ++i) ISB_TRY(take_request(&call, &requests[i]));
    return call.w->n_rows > 0 ? run_group(&call) : ISB_OK;
}
