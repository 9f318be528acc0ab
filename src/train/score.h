/* The loss of whole documents, each token once: what evaluation and validation share.
 *
 * A document x[0..n) is read as the boundary, x, the boundary: n + 1 targets.  What does not fit
 * the context T goes on in a further piece, whose first `stride` targets were scored already and
 * only serve as context.  Pieces of any documents are packed into B rows of T, first row that
 * has room, and see only themselves. */
#ifndef ISB_TRAIN_SCORE_H
#define ISB_TRAIN_SCORE_H

#include "data/dataset.h"
#include "nn/graph.h"

typedef struct isb__score {
    double nats; /* sum of -ln p over the targets */
    uint64_t n_targets;
    double seconds; /* in the model */
} isb__score;

/* A forward pass over [B, T], like isb__graph_forward(). */
typedef struct isb__forward {
    isb_status (*run)(void *model, const isb__batch *batch, float *token_nats, isb__loss *loss);
    void *model; /* borrowed */
    size_t B, T;
} isb__forward;
isb__forward isb__forward_of_graph(isb__graph *graph, size_t B, size_t T);

typedef struct isb__scorer isb__scorer;
/* stride < T.  boundary: the last id.  Errors: RANGE (stride), NO_MEMORY. */
isb_status isb__scorer_create(isb_context *ctx, const isb__forward *forward, size_t stride,
                              int32_t boundary, isb__scorer **scorer);
void isb__scorer_free(isb__scorer *scorer);
/* Reports targets scored to `progress` (borrowed) from now on. */
void isb__scorer_show(isb__scorer *scorer, isb__progress_state *progress);
/* Starts again from nothing. */
void isb__scorer_reset(isb__scorer *scorer);
/* One document.  ended == 0: it goes on, so that its end is no target.  Errors: CANCELLED, those
 * of the graph. */
isb_status isb__scorer_add(isb__scorer *scorer, const int32_t *ids, size_t count, int ended);
/* Documents of a model with raw bytes are read in one of its views from now on: each begins with the
 * boundary and the view's marker, which is no target.  strings: borrowed; datasets are read as the
 * bytes of their tokens; NULL: as tokens.  first_byte_id: data/dataset_raw.h. */
void isb__scorer_set_view(isb__scorer *scorer, int64_t first_byte_id, bool bytes,
                          const isb__id_strings *strings);
/* Evaluates what is left and gives the sums. */
isb_status isb__scorer_finish(isb__scorer *scorer, isb__score *score);

/* Documents of a dataset in stored order, up to `max_targets` (0: all); the last may be cut
 * short. */
isb_status isb__scorer_add_dataset(isb__scorer *scorer, const isb__dataset *dataset,
                                   uint64_t max_targets);
/* Of these documents, every n_shares-th from `share` on. */
isb_status isb__scorer_add_share(isb__scorer *scorer, const isb__dataset *dataset,
                                 uint64_t max_targets, uint64_t share, uint64_t n_shares);

/* Bits per byte of a loss in nats per target, by the dataset's own totals: its targets are
 * tokens and one boundary a document. */
double isb__bits_per_byte(const isb_dataset_info *info, double nats_per_target);
/* The same where a share of the targets is raw bytes: the bits of all targets by the bytes that all
 * of them stand for. */
double isb__bits_per_byte_mixed(const isb_dataset_info *info, double nats_per_target,
                                double raw_share);

#endif
