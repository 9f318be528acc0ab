/* Token datasets: Megatron's indexed format, memory-mapped.  docs/formats.md has every byte.
 *
 *   PREFIX.bin   ids of all documents, one after another, little-endian uint16 or int32
 *   PREFIX.idx   how many, how long, and where each document is
 *   PREFIX.json  ours: tokenizer, its identity, counts, checksums of the other two
 *   PREFIX.raw   with raw bytes only: dataset_raw.h
 *
 * A codebook's dataset has the codebook beside it, PREFIX.isb-codebook, once for .train, .valid and
 * .test together.
 *
 * A dataset holds codes only: the document boundary (id n_codes) is put between documents when rows
 * are read, so 65,536 codes fit uint16. */
#ifndef ISB_DATA_DATASET_H
#define ISB_DATA_DATASET_H

#include <isobit/data.h>

#include "base/context.h"
#include "base/io.h"
#include "data/dataset_raw.h"

typedef struct isb__dataset_writer isb__dataset_writer;
/* Of `what` these are used: tokenizer, tokenizer_identity (the canonical text, 32 digits or ""),
 * n_codes, n_ids, first_byte_id.  strings: borrowed until commit, for first_byte_id; else NULL.
 * n_codes decides the id type: <= 65536: uint16, else int32.  Errors: RANGE
 * (n_codes, n_ids), those of files. */
isb_status isb__dataset_writer_open(isb_context *ctx, const char *prefix,
                                    const isb_dataset_info *what, const isb__id_strings *strings,
                                    isb__dataset_writer **writer);
/* document_nbytes: with raw bytes, the length of what the ids decode to (CORRUPT at commit, if the
 * sums differ).  Errors: RANGE (an id >= n_codes; 2^31 tokens in one document), NO_SPACE, NO_MEMORY. */
isb_status isb__dataset_writer_add(isb__dataset_writer *writer, const uint32_t *ids, size_t count,
                                   uint64_t document_nbytes);
/* Commits the three or four files, .json last; frees the writer.  On failure none of the three is left;
 * neither is an older dataset of this name if files were already being renamed. */
isb_status isb__dataset_writer_commit(isb__dataset_writer *writer);
void isb__dataset_writer_abort(isb__dataset_writer *writer);
/* Where a file about the ids of this dataset is: PREFIX + suffix, or that of PREFIX without .train,
 * .valid or .test; *path == NULL: neither.  Returns owned. */
isb_status isb__dataset_find_beside(isb_context *ctx, const char *prefix, const char *suffix,
                                    char **path);
/* The same for .isb-codebook. */
isb_status isb__dataset_find_codebook(isb_context *ctx, const char *prefix, char **path);
/* Removes the files, as far as they are there. */
void isb__dataset_remove(const char *prefix);

typedef struct isb__dataset {
    isb_context *ctx;
    isb_dataset_info info;
    isb__map bin;
    int32_t *lengths; /* [n_documents] tokens; owned, since those in the .idx are not aligned */
    uint64_t *starts; /* [n_documents + 1] first id's index; owned */
    uint64_t bin_checksum; /* what the .json says */
    isb__map raw;                /* with raw bytes: */
    const uint64_t *raw_starts;  /* [n_documents + 1] first byte; in the map */
    const uint64_t *raw_anchors; /* first byte of every 4096th token; in the map */
    char *prefix;
} isb__dataset;
/* Checks everything but the ids themselves: the .json, the whole .idx, the size of the .bin.
 * Errors: NOT_FOUND (no .json: not a dataset, or one that was never finished), FORMAT, VERSION,
 * CORRUPT, each naming the file, what was expected and what was found. */
isb_status isb__dataset_open(isb_context *ctx, const char *prefix, isb__dataset **dataset);
void isb__dataset_close(isb__dataset *dataset);
/* Reads all ids: checksum and range.  Errors: CORRUPT. */
isb_status isb__dataset_verify(const isb__dataset *dataset);
/* ids [from, from+count) of the concatenation, widened.  An id that is no code (a damaged .bin,
 * which _verify() finds) is given as 0, so that no table is overrun. */
void isb__dataset_read(const isb__dataset *dataset, uint64_t from, size_t count, int32_t *ids);

/* ---- training rows ----
 * The stream is a ring: boundary, document, boundary, document, ..., and round to the first
 * boundary (documents in stored order), L = n_tokens + n_documents ids long.  Row r of an epoch
 * reads the T+1 consecutive ids from ring position r*T + shift: inputs = ids[0..T-1], targets =
 * ids[1..T].  There are ceil(L / T) rows; the last is short unless T divides L, and is padded with
 * boundary inputs and targets of -1.  So every id is a target exactly once an epoch.  The order of
 * rows is isb__permute() keyed by (seed, epoch); shift is drawn per epoch.  All is a pure function
 * of (seed, position): nothing but the position needs to be saved. starts: attention begins at the
 * last boundary at or before t (documents do not see each other) when isolate_documents, else at 0.
 *
 * Of a dataset with raw bytes there are two rings, of tokens and of bytes, and each document begins
 * with its boundary and the marker of the view; a marker is no target.  A share of the rows, evenly
 * spread, is of bytes; the rows of either view, counted alone, are its epochs as above.
 */
typedef struct isb__loader_options {
    size_t B, T;
    uint64_t seed;
    int isolate_documents;
    /* M1 for windows: a share `cut_share` of the rows is cut at random places.  At a cut the input
     * is replaced by a boundary, as if a window had just begun: its target is the byte itself, and
     * attention starts afresh.  The replaced id was the previous position's target already, and
     * nothing after the cut could see it, so no id is lost and no target changes.  There is no cut
     * where the target is a boundary: a window never begins only to find that the text is over.
     * Piece lengths are geometric with a mean drawn per row, log-uniform in [cut_min, T]. cut_share
     * 0: off.  cut_min 0: 1. */
    double cut_share;
    size_t cut_min;
    double raw_share;               /* of rows, 0 .. 1; for a dataset with raw bytes */
    const isb__id_strings *strings; /* borrowed; what its ids decode to, if raw_share > 0 */
} isb__loader_options;
typedef struct isb__loader isb__loader;
/* dataset: borrowed, must outlive.  Errors: EMPTY (no tokens at all), RANGE (B, T, cut_share,
 * cut_min, raw_share), MISMATCH (raw_share without raw bytes, or with cuts). */
isb_status isb__loader_create(isb_context *ctx, const isb__dataset *dataset,
                              const isb__loader_options *options, isb__loader **loader);
void isb__loader_free(isb__loader *loader);
/* Of the view of tokens. */
uint64_t isb__loader_rows_per_epoch(const isb__loader *loader);
/* Fills batch number `position` (rows B*position .. of the endless sequence of epochs); arrays [B,
 * T]. */
void isb__loader_fill(const isb__loader *loader, uint64_t position, int32_t *inputs,
                      int32_t *targets, int32_t *starts);

#endif
