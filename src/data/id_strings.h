/* The string of every id, where a tokenizer's ids have strings: a codebook's, or those that another
 * program's tokenizer was exported with, which lie beside the dataset as PREFIX.pieces.
 *
 * A file of pieces has a line of JSON an id, in order: {"piece": "the"} for text, {"bytes": [226]} for
 * bytes that are no text, {} for an id that stands for none.  docs/formats.md specifies it. */
#ifndef ISB_DATA_ID_STRINGS_H
#define ISB_DATA_ID_STRINGS_H

#include <isobit/codebook.h>

#include "base/context.h"

#define ISB__PIECES_SUFFIX ".pieces"

typedef struct isb__id_strings {
    isb_context *ctx;
    size_t n;
    uint64_t *begin; /* [n + 1]: string i is bytes[begin[i] .. begin[i + 1]) */
    uint8_t *bytes;
} isb__id_strings;

isb_status isb__id_strings_of_codebook(isb_context *ctx, const isb_codebook *codebook,
                                       isb__id_strings *strings);
/* n: how many ids there are.  Errors: CORRUPT (a line, with its place), MISMATCH (another number of
 * lines), those of files. */
isb_status isb__id_strings_read(isb_context *ctx, const char *path, size_t n,
                                isb__id_strings *strings);
/* The same, only to see whether it can be read. */
isb_status isb__id_strings_check(isb_context *ctx, const char *path, size_t n);
/* Copies the file to PREFIX.pieces. */
isb_status isb__id_strings_copy(isb_context *ctx, const char *path, const char *prefix);
/* Removes PREFIX.pieces, if it is there. */
void isb__id_strings_remove(const char *prefix);
uint64_t isb__id_strings_hash(const isb__id_strings *strings);
void isb__id_strings_free(isb__id_strings *strings);

#endif
