/* Datasets that can be read as tokens and as raw bytes (mixed training, docs/training.md).
 *
 * The ids on disk are the tokens alone: the bytes are what they decode to.  After the tokenizer's
 * own ids come those of the second view:
 *
 *     0 .. n_codes-1 | boundary, specials | 256 bytes      | <|tokens|>       | <|bytes|>
 *                                           first_byte_id .. first_byte_id+256, +257     n_ids-1
 *
 * A document is read as  boundary <|tokens|> token ...  or  boundary <|bytes|> byte ...
 *
 * PREFIX.raw says where in the bytes documents and tokens are, so that a row of bytes can begin
 * anywhere; numbers are little-endian uint64:
 *
 *     0  magic, 8 bytes    8  documents    16  tokens    24  tokens between two anchors
 *    32  first byte of each document, and the number of all bytes: [documents + 1]
 *        first byte of tokens 0, 4096, 8192, ...:                  [(tokens + 4095) / 4096] */
#ifndef ISB_DATA_DATASET_RAW_H
#define ISB_DATA_DATASET_RAW_H

#include "data/id_strings.h"

enum { ISB__RAW_IDS = 258, ISB__RAW_ANCHOR_NTOKENS = 4096, ISB__RAW_HEADER_NWORDS = 4 };
#define ISB__RAW_MAGIC "isb-raw\1"
#define ISB__RAW_SUFFIX ".raw"

static inline int64_t isb__tokens_marker(int64_t first_byte_id) { return first_byte_id + 256; }
static inline int64_t isb__bytes_marker(int64_t first_byte_id) { return first_byte_id + 257; }

struct isb__dataset;

/* The table while a dataset is written. */
typedef struct isb__raw_table {
    isb_context *ctx;
    const isb__id_strings *strings; /* borrowed; NULL: no table */
    uint64_t *starts, *anchors;     /* [n_documents], [n_anchors] */
    size_t n_documents, n_anchors, starts_capacity, anchors_capacity;
    uint64_t n_tokens, n_bytes;
} isb__raw_table;
isb_status isb__raw_table_add(isb__raw_table *table, const uint32_t *ids, size_t count);
void isb__raw_table_free(isb__raw_table *table);

/* Is `words` [n_words] the table of a dataset with these counts?  Says why not. */
bool isb__raw_table_fits(const uint64_t *words, size_t n_words, uint64_t n_documents,
                         uint64_t n_tokens, uint64_t n_bytes, const char **why);

/* Bytes [from, from + count) of a document as ids.  The dataset has a table.  A damaged .bin gives
 * other bytes, no failure. */
void isb__dataset_read_raw(const struct isb__dataset *dataset, const isb__id_strings *strings,
                           uint64_t document, uint64_t from, size_t count, int32_t *ids);
/* All bytes of a document as ids of `first_byte_id`, by its tokens alone; returns owned memory, grown
 * as needed. */
isb_status isb__dataset_decode_raw(const struct isb__dataset *dataset,
                                   const isb__id_strings *strings, int64_t first_byte_id,
                                   uint64_t document, size_t *capacity, int32_t **ids,
                                   size_t *count);

#endif
