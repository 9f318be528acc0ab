/* Scores documents: cuts them into pieces, packs the pieces into rows, sums the losses.
 *
 *   document of 10 targets, T = 4, stride 1:       0 1 2 3 | (3) 4 5 6 | (6) 7 8 9
 *
 *   rows       | a a a a b b . . |     a piece's `starts` keep it to itself; what is left of a row
 *              | c c c c c c c d |     has no targets */
#include "train/score.h"

#include <math.h>
#include <string.h>

struct isb__scorer {
    isb_context *ctx;
    isb__forward forward;
    size_t B, T, stride;
    int32_t boundary;
    size_t n_lead; /* 1: `marker` comes before a document's own ids */
    int32_t marker;
    bool bytes;
    int64_t first_byte_id;
    const isb__id_strings *strings;
    int32_t *inputs, *targets, *starts; /* [B, T] */
    size_t *fill;                       /* [B] positions used */
    int32_t *ids;                       /* a document of a dataset */
    int32_t *led;                       /* a document after its marker */
    size_t ids_capacity, led_capacity;
    size_t n_used;                 /* positions used in all rows */
    isb__progress_state *progress; /* may be NULL */
    isb__score score;
};

static void clear_rows(isb__scorer *s) {
    for (size_t i = 0; i < s->B * s->T; ++i) {
        s->inputs[i] = s->boundary;
        s->targets[i] = -1;
        s->starts[i] = (int32_t)(i % s->T);
    }
    memset(s->fill, 0, s->B * sizeof *s->fill);
    s->n_used = 0;
}

void isb__scorer_reset(isb__scorer *s) {
    clear_rows(s);
    s->score = (isb__score){0};
}

void isb__scorer_show(isb__scorer *s, isb__progress_state *progress) { s->progress = progress; }

static isb_status allocate(isb__scorer *s) {
    ISB_TRY(isb__alloc_array(s->ctx, s->B * s->T, sizeof *s->inputs, &s->inputs));
    ISB_TRY(isb__alloc_array(s->ctx, s->B * s->T, sizeof *s->targets, &s->targets));
    ISB_TRY(isb__alloc_array(s->ctx, s->B * s->T, sizeof *s->starts, &s->starts));
    return isb__alloc_array(s->ctx, s->B, sizeof *s->fill, &s->fill);
}

static isb_status run_graph(void *graph, const isb__batch *batch, float *token_nats,
                            isb__loss *loss) {
    return isb__graph_forward(graph, batch, token_nats, loss);
}

isb__forward isb__forward_of_graph(isb__graph *graph, size_t B, size_t T) {
    return (isb__forward){run_graph, graph, B, T};
}

isb_status isb__scorer_create(isb_context *ctx, const isb__forward *forward, size_t stride,
                              int32_t boundary, isb__scorer **scorer) {
    const size_t T = forward->T;
    *scorer = NULL;
    if (stride >= T) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "stride is %zu; it must be less than the context of %zu tokens", stride,
                         T);
    }
    isb__scorer *s = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *s, &s));
    *s = (isb__scorer){
        .ctx = ctx, .forward = *forward, .B = forward->B, .T = T, .stride = stride,
        .boundary = boundary};
    const isb_status status = allocate(s);
    if (status != ISB_OK) {
        isb__scorer_free(s);
        return status;
    }
    clear_rows(s);
    *scorer = s;
    return ISB_OK;
}

void isb__scorer_free(isb__scorer *s) {
    if (!s) return;
    isb__free(s->ctx, s->ids);
    isb__free(s->ctx, s->led);
    isb__free(s->ctx, s->fill);
    isb__free(s->ctx, s->starts);
    isb__free(s->ctx, s->targets);
    isb__free(s->ctx, s->inputs);
    isb__free(s->ctx, s);
}

static isb_status flush(isb__scorer *s) {
    if (s->n_used == 0) return ISB_OK;
    ISB_TRY(isb__check_cancel(s->ctx));
    const isb__batch batch = {s->inputs, s->targets, s->starts};
    const double begin_s = isb__now_s();
    isb__loss loss;
    ISB_TRY(s->forward.run(s->forward.model, &batch, NULL, &loss));
    s->score.seconds += isb__now_s() - begin_s;
    s->score.nats += loss.nats;
    s->score.n_targets += (uint64_t)loss.n_targets;
    if (s->progress) isb__progress_update(s->progress, (double)s->score.n_targets, "");
    clear_rows(s);
    return ISB_OK;
}

/* The first row with room for n positions; evaluates the batch if none has. */
static isb_status find_row(isb__scorer *s, size_t n, size_t *row) {
    for (*row = 0; *row < s->B; ++*row) {
        if (s->T - s->fill[*row] >= n) return ISB_OK;
    }
    *row = 0;
    return flush(s);
}

/* Targets [from, from + n) of the document, those before `scored` as context only.  Input k is
 * id k - 1. */
static isb_status add_piece(isb__scorer *s, const int32_t *ids, size_t count, size_t from, size_t n,
                            size_t scored) {
    size_t row = 0;
    ISB_TRY(find_row(s, n, &row));
    const size_t start = s->fill[row], at = row * s->T + start;
    for (size_t i = 0; i < n; ++i) {
        const size_t k = from + i;
        s->inputs[at + i] = k == 0 ? s->boundary : ids[k - 1];
        s->targets[at + i] = k < scored ? -1 : k < count ? ids[k] : s->boundary;
        s->starts[at + i] = (int32_t)start;
    }
    s->fill[row] += n;
    s->n_used += n;
    return ISB_OK;
}

void isb__scorer_set_view(isb__scorer *s, int64_t first_byte_id, bool bytes,
                          const isb__id_strings *strings) {
    s->n_lead = 1;
    s->marker = (int32_t)(bytes ? isb__bytes_marker(first_byte_id)
                                : isb__tokens_marker(first_byte_id));
    s->bytes = bytes;
    s->first_byte_id = first_byte_id;
    s->strings = strings;
}

static isb_status add_marker(isb__scorer *s, const int32_t **ids, size_t *count) {
    if (s->n_lead == 0) return ISB_OK;
    ISB_TRY(isb__grow_array(s->ctx, *count + 1, sizeof *s->led, &s->led_capacity, &s->led));
    s->led[0] = s->marker;
    if (*count > 0) memcpy(s->led + 1, *ids, *count * sizeof *s->led);
    *ids = s->led;
    ++*count;
    return ISB_OK;
}

isb_status isb__scorer_add(isb__scorer *s, const int32_t *ids, size_t count, int ended) {
    ISB_TRY(add_marker(s, &ids, &count));
    const size_t n_targets = count + (ended ? 1 : 0);
    for (size_t scored = s->n_lead; scored < n_targets;) {
        const size_t from = scored == s->n_lead ? 0 : scored - s->stride;
        const size_t n = n_targets - from < s->T ? n_targets - from : s->T;
        ISB_TRY(add_piece(s, ids, count, from, n, scored));
        scored = from + n;
    }
    return ISB_OK;
}

isb_status isb__scorer_finish(isb__scorer *s, isb__score *score) {
    ISB_TRY(flush(s));
    *score = s->score;
    return ISB_OK;
}

isb_status isb__scorer_add_dataset(isb__scorer *s, const isb__dataset *dataset,
                                   uint64_t max_targets) {
    return isb__scorer_add_share(s, dataset, max_targets, 0, 1);
}

/* The first `most` ids of a document in the view, or all; *whole: all. */
static isb_status read_document(isb__scorer *s, const isb__dataset *dataset, uint64_t d,
                                uint64_t most, size_t *count, bool *whole) {
    const uint64_t length = (uint64_t)dataset->lengths[d];
    if (s->bytes && s->strings) {
        ISB_TRY(isb__dataset_decode_raw(dataset, s->strings, s->first_byte_id, d, &s->ids_capacity,
                                        &s->ids, count));
        *whole = *count < most;
        if (!*whole) *count = (size_t)most;
        return ISB_OK;
    }
    *whole = length < most;
    *count = (size_t)(*whole ? length : most);
    ISB_TRY(isb__grow_array(s->ctx, *count, sizeof *s->ids, &s->ids_capacity, &s->ids));
    isb__dataset_read(dataset, dataset->starts[d], *count, s->ids);
    return ISB_OK;
}

isb_status isb__scorer_add_share(isb__scorer *s, const isb__dataset *dataset, uint64_t max_targets,
                                 uint64_t share, uint64_t n_shares) {
    uint64_t left = max_targets ? max_targets : UINT64_MAX;
    for (uint64_t d = 0; d < dataset->info.n_documents && left > 0; ++d) {
        size_t count;
        bool whole;
        ISB_TRY(read_document(s, dataset, d, left, &count, &whole));
        left -= count + whole;
        if (d % n_shares == share) ISB_TRY(isb__scorer_add(s, s->ids, count, whole));
    }
    return ISB_OK;
}

double isb__bits_per_byte_mixed(const isb_dataset_info *info, double nats_per_target,
                                double raw_share) {
    const double n_bytes = (double)info->n_bytes, n_documents = (double)info->n_documents;
    const double per_token = n_bytes / ((double)info->n_tokens + n_documents),
                 per_byte = n_bytes / (n_bytes + n_documents);
    if (info->n_bytes == 0) return (double)NAN;
    return nats_per_target / log(2.0) / ((1 - raw_share) * per_token + raw_share * per_byte);
}

double isb__bits_per_byte(const isb_dataset_info *info, double nats_per_target) {
    if (info->n_bytes == 0) return (double)NAN;
    return nats_per_target / log(2.0) * (double)(info->n_tokens + info->n_documents) /
           (double)info->n_bytes;
}
