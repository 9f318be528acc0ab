/* What an open codebook is made of.  It never changes after isb__codebook_from_sorted().
 *
 *     bytes    | string of id 0 | string of id 1 | ...                       | zeros to copy too much from
 *     offsets  ^ [0]            ^ [1]                  [n_codes .. n_ids] all ^
 *
 * An id whose string is empty has no text: a special one, or one that no text is coded with (compiled windows). */
#ifndef ISB_CODEBOOK_CODEBOOK_STATE_H
#define ISB_CODEBOOK_CODEBOOK_STATE_H

#include "base/hash.h"
#include "codebook/automaton.h"
#include "codebook/codebook.h"

enum {
    ISB__CODEBOOK_NAME_NBYTES = 64, /* of codebooks and of special ids, with a NUL */
    ISB__CODEBOOK_KIND_NBYTES = 16,
    ISB__CODEBOOK_MAX_CARD_NBYTES = 1 << 20,
    ISB__CODEBOOK_MAX_TEXT_NBYTES = 1 << 26, /* all strings together */
    ISB__CODEBOOK_PADDING_NBYTES = 32
};

typedef char isb__special_name[ISB__CODEBOOK_NAME_NBYTES];

struct isb_codebook {
    isb_context *ctx; /* may be NULL */
    size_t n_codes, n_specials, n_strings, n_ids; /* n_strings: without cuts */
    size_t max_string_nbytes, memory_nbytes, file_nbytes;
    uint8_t *bytes;
    uint32_t *offsets; /* [n_ids + 1] */
    /* What is matched, in bytewise order: strings and cuts with the id of each; NULL where the strings are those of
     * ids 0, 1, ... (all but compiled windows). */
    size_t n_listed;
    uint8_t *listed_bytes;
    uint64_t *listed_offsets; /* [n_listed + 1] */
    uint32_t *ids;            /* [n_listed] */
    isb__special_name *specials; /* [n_specials] in order of ids */
    uint32_t *specials_order;    /* [n_specials] their numbers, in bytewise order of names */
    isb__automaton automaton;
    char name[ISB__CODEBOOK_NAME_NBYTES], kind[ISB__CODEBOOK_KIND_NBYTES];
    isb__id128 identity;
    char *card;
};

/* The file's format, without where it is stored (codebook_file.c). */
isb_status isb__codebook_parse(isb_context *ctx, const char *source, const uint8_t *file,
                               size_t nbytes, isb_codebook **codebook);

/* The codebook inside the library, and its name. */
#define ISB__RELEASED_NAME "english-65k"
const uint8_t *isb__released_codebook(size_t *nbytes);

static inline const uint8_t *isb__codebook_bytes(const isb_codebook *codebook, size_t id,
                                                 size_t *nbytes) {
    *nbytes = codebook->offsets[id + 1] - codebook->offsets[id];
    return codebook->bytes + codebook->offsets[id];
}
/* String i in bytewise order, cuts included. */
static inline const uint8_t *isb__codebook_listed(const isb_codebook *codebook, size_t i,
                                                  size_t *nbytes) {
    if (!codebook->ids) return isb__codebook_bytes(codebook, i, nbytes);
    *nbytes = (size_t)(codebook->listed_offsets[i + 1] - codebook->listed_offsets[i]);
    return codebook->listed_bytes + codebook->listed_offsets[i];
}

#endif
