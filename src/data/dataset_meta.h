/* PREFIX.json, and what reader and writer share about the other two files. */
#ifndef ISB_DATA_DATASET_META_H
#define ISB_DATA_DATASET_META_H

#include "data/dataset.h"

/* PREFIX.idx; numbers are little-endian and unaligned.
 *
 *     0  magic, 9 bytes     17  dtype, uint8        26  number of documents + 1, uint64
 *     9  version, uint64    18  number of sequences (= documents), uint64
 *    34  lengths int32 [n] | offsets in .bin int64 [n] | first sequences int64 [n + 1] */
enum {
    ISB__IDX_MAGIC_NBYTES = 9,
    ISB__IDX_VERSION_AT = 9,
    ISB__IDX_DTYPE_AT = 17,
    ISB__IDX_SEQUENCES_AT = 18,
    ISB__IDX_DOCUMENTS_AT = 26,
    ISB__IDX_HEADER_NBYTES = 34,
    ISB__IDX_DOCUMENT_NBYTES = 20, /* what each document adds */
    ISB__DTYPE_INT32 = 4,
    ISB__DTYPE_UINT16 = 8
};
#define ISB__IDX_MAGIC "MMIDIDX\0" /* and the NUL of the literal: 9 bytes */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "dataset files are mapped as they are: little-endian only");

typedef struct isb__dataset_meta {
    isb_dataset_info info;
    uint64_t bin_checksum, idx_checksum, raw_checksum; /* XXH3-64, seed 0 */
} isb__dataset_meta;

/* prefix + suffix (".bin"); returns owned. */
isb_status isb__dataset_path(isb_context *ctx, const char *prefix, const char *suffix, char **path);
isb_status isb__dataset_meta_write(isb_context *ctx, isb__writer *writer,
                                   const isb__dataset_meta *meta);
isb_status isb__dataset_meta_read(isb_context *ctx, const char *path, isb__dataset_meta *meta);

#endif
