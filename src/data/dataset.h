/* Token datasets: Megatron's indexed format, memory-mapped.
 *
 *   PREFIX.bin   ids of all documents, one after another, little-endian uint16 or int32
 *   PREFIX.idx   "MMIDIDX\0\0", version 1, dtype, counts, sequence lengths (int32), byte offsets (int64), document index (int64)
 *   PREFIX.json  ours: tokenizer, M1 identity, counts of documents, tokens and bytes, checksums of .bin and .idx
 *
 * A dataset holds codes only: the document boundary (id n_codes) is put between documents when rows are read, so 65,536
 * codes fit uint16. */
#ifndef ISB_DATA_DATASET_H
#define ISB_DATA_DATASET_H

#include <isobit/data.h>

#include "base/context.h"
#include "base/io.h"

typedef struct isb__dataset_writer isb__dataset_writer;
/* n_codes decides the id type: <= 65536: uint16, else int32. */
isb_status isb__dataset_writer_open(isb_context *ctx, const char *prefix, const char *tokenizer, const char *m1_identity,
                                    int64_t n_codes, isb__dataset_writer **writer);
isb_status isb__dataset_writer_add(isb__dataset_writer *writer, const uint16_t *ids, size_t count, uint64_t document_nbytes);
/* Commits the three files, .json last; frees the writer. */
isb_status isb__dataset_writer_commit(isb__dataset_writer *writer);
void isb__dataset_writer_abort(isb__dataset_writer *writer);

typedef struct isb__dataset {
    isb_context *ctx;
    isb_dataset_info info;
    isb__map bin, idx;
    const int32_t *lengths;        /* [n_documents] tokens */
    uint64_t *starts;              /* [n_documents + 1] first id's index; owned */
} isb__dataset;
isb_status isb__dataset_open(isb_context *ctx, const char *prefix, isb__dataset **dataset);
void isb__dataset_close(isb__dataset *dataset);
isb_status isb__dataset_verify(const isb__dataset *dataset);
/* ids [from, from+count) of the concatenation, widened. */
void isb__dataset_read(const isb__dataset *dataset, uint64_t from, size_t count, int32_t *ids);

/* ---- training rows ----
 * The stream is: boundary, document, boundary, document, ..., boundary (documents in stored order), n_stream ids long.  A row
 * is T+1 consecutive ids; row r begins at stream position r*T + shift.  The order of rows is isb__permute() of the row
 * number within the epoch, keyed by (seed, epoch); shift is drawn per epoch.  All a pure function of (seed, position):
 * nothing but the position needs to be saved.
 * inputs = ids[0..T-1], targets = ids[1..T].  starts: attention begins at the last boundary at or before t (documents do not see
 * each other) when isolate_documents. */
typedef struct isb__loader_options {
    size_t B, T;
    uint64_t seed;
    int isolate_documents;
    /* M1 for windows: in a share `cut_share` of the rows, cut the row at random places: put a boundary input there (its
     * target is the byte itself, the target before it is masked), attention starts afresh.  Piece lengths are geometric with
     * a mean drawn per row, log-uniform in [cut_min, T].  0: off. */
    double cut_share;
    size_t cut_min;
} isb__loader_options;
typedef struct isb__loader isb__loader;
isb_status isb__loader_create(isb_context *ctx, const isb__dataset *dataset, const isb__loader_options *options, isb__loader **loader);
void isb__loader_free(isb__loader *loader);
uint64_t isb__loader_rows_per_epoch(const isb__loader *loader);
/* Fills batch number `position` (B rows: B*position .. ); arrays [B, T]. */
void isb__loader_fill(const isb__loader *loader, uint64_t position, int32_t *inputs, int32_t *targets, int32_t *starts);

#endif
