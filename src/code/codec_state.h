/* What the files of the codec share: its state, and lanes.
 *
 * A lane works on one document at a time and holds one of M1's streams.  All lanes advance as far
 * as they can without M1; then what they ask for is evaluated in one call (a wavefront).  codec.c
 * runs the lanes, lane.c keeps what M1 said, code_windows.c and code_ac.c are the two codes.
 *
 * Row q of a lane is the CDF for text[q], quantised for the code: the starts of its 256 or 257
 * symbols, 16 bits each.
 */
#ifndef ISB_CODE_CODEC_STATE_H
#define ISB_CODE_CODEC_STATE_H

#include "code/bits.h"
#include "code/range_coder.h"
#include "code/trie.h"

/* A place in the tree of a window: an interval and, if the prefix is cached, its node. */
typedef struct isb__cursor {
    isb__window window;
    uint32_t node;   /* 0: not cached */
    uint32_t parent; /* the parent's node; 0: not cached */
    uint8_t byte;    /* the edge from the parent */
} isb__cursor;

typedef struct isb__lane {
    size_t slot;     /* M1's stream */
    uint64_t serial; /* of the context: the stream is ours while the codec's owners[slot] says so */
    size_t document;
    bool busy;

    /* The text that is known: the document when encoding, what is decoded so far when decoding
     * (then text == bytes). */
    const uint8_t *text;
    size_t text_nbytes;
    uint8_t *bytes;
    size_t bytes_capacity;

    /* M1's context is text[context_start .. context_end); n_rows rows are here, from rows_first. */
    size_t context_start, context_end;
    uint16_t *rows;
    size_t rows_first, n_rows, rows_capacity;
    /* What the lane waits for: rows want .. want_end, which takes M1 to context_end = want_end. */
    bool wanting;
    size_t want, want_end;

    size_t start;         /* ac: the next symbol; windows: the first byte of the present window */
    isb__bit_writer bits; /* encoding: the tokens */
    uint64_t n_windows;

    /* Windows. */
    isb__cursor cursor;
    int windows_in_context;
    uint16_t first_row[ISB__N_BYTES]; /* the first byte's, where it is not the codec's */
    size_t best_length;               /* encoding: the longest prefix with a code, and the code */
    isb__u192 best_cell;
    isb__u192 *path; /* delay: the padded codes of the prefixes of 1, 2, ... bytes */
    size_t path_capacity;
    bool failed;    /* a checked window of this document did not decode */
    isb__u192 cell; /* decoding: the window's code */
    bool in_window, matched;
    uint64_t windows_left;
    isb_status final_status; /* of a document whose windows all decode */

    /* Arithmetic code; the decoder runs the encoder as well, to see that the code is the one that
     * encoding gives. */
    isb__range_encoder encoder;
    isb__range_decoder decoder;
    uint8_t *code, *input;
    size_t code_capacity, input_capacity;
} isb__lane;

struct isb__codec {
    isb_context *ctx;
    isb__code_params params;
    isb__cdf_source source;
    int n_symbols;       /* 256 for windows, 257 for ac */
    int first_precision; /* min(P, b) */
    bool check_windows;
    isb__codec_stats stats;

    bool has_root;
    uint16_t root[ISB__N_SYMBOLS];     /* the row of the empty context */
    uint16_t root_first[ISB__N_BYTES]; /* the same for a window's first byte */
    bool cached;                       /* reset_windows == 1: the trie is in use */
    isb__trie trie;
    int64_t mean_length; /* of recent windows, in 1/16 byte: how far to look ahead */

    uint64_t *owners; /* [max_streams] serials; 0: nobody's */
    uint64_t last_serial;
    isb__lane *lanes; /* [max_streams] */
    size_t n_lanes;
    isb__cdf_request *requests; /* [max_streams] */
    uint32_t *cdfs;             /* what M1 writes */
    size_t cdfs_capacity;

    /* Outputs of the last call: all documents' in one array. */
    uint32_t *ids;
    uint8_t *bytes;
    size_t ids_capacity, bytes_capacity;
    size_t *offsets;
    size_t offsets_capacity;
};

/* One call of isb__codec_encode() or isb__codec_decode(). */
typedef struct isb__job {
    size_t n;
    const isb__bytes_view *texts; /* encoding */
    isb__encoded *encoded;
    const isb__ids_view *codes; /* decoding */
    size_t limit_nbytes;
    isb__decoded *decoded;
    size_t out_count; /* ids or bytes in the output array */
    uint64_t bytes_done;
    void (*progress)(void *user, double done);
    void *user;
    /* start: sets a fresh lane to its document.  advance: works until the document is done or M1 is
     * wanted. */
    isb_status (*start)(isb__codec *codec, isb__lane *lane, struct isb__job *job);
    isb_status (*advance)(isb__codec *codec, isb__lane *lane, struct isb__job *job, bool *done);
} isb__job;

/* ---- lane.c ---- */
void isb__lane_free(isb_context *ctx, isb__lane *lane);
/* Forgets the document before; keeps the memory. */
void isb__lane_reset(isb__lane *lane);
/* Starts a context at text position `start`. */
void isb__lane_new_context(isb__lane *lane, size_t start);
/* The row at text position q, or NULL if M1 must be asked. */
const uint16_t *isb__lane_row(const isb__codec *codec, const isb__lane *lane, size_t q);
/* The row of the present window's first byte, or NULL. */
const uint16_t *isb__lane_first_row(const isb__codec *codec, isb__lane *lane);
/* Asks for the rows q .. end (end <= text_nbytes). */
void isb__lane_want(isb__lane *lane, size_t q, size_t end);
/* Appends a byte to the text that is being decoded.  Errors: NO_MEMORY. */
isb_status isb__lane_push_byte(isb_context *ctx, isb__lane *lane, uint8_t byte);
/* Evaluates what the lanes want, in one call of M1.  After a failure no lane owns its stream any
 * more. */
isb_status isb__lanes_evaluate(isb__codec *codec, isb__lane *lanes, size_t n);
/* Computes the row of the empty context, once. */
isb_status isb__codec_prepare(isb__codec *codec);

/* ---- code_windows.c ---- */
isb_status isb__windows_start_encode(isb__codec *codec, isb__lane *lane, isb__job *job);
isb_status isb__windows_encode(isb__codec *codec, isb__lane *lane, isb__job *job, bool *done);
isb_status isb__windows_start_decode(isb__codec *codec, isb__lane *lane, isb__job *job);
isb_status isb__windows_decode(isb__codec *codec, isb__lane *lane, isb__job *job, bool *done);
/* Sets an empty lane to the start of a document. */
isb_status isb__windows_begin_document(isb__codec *codec, isb__lane *lane);
/* Sets the lane to decode one window, and does so until it is done or M1 is wanted.  *done with
 * *status UNDECODABLE: no text has this code, and the bytes are as before; CORRUPT: more than
 * limit_nbytes. */
void isb__windows_begin_cell(isb__codec *codec, isb__lane *lane, isb__u192 cell);
isb_status isb__windows_decode_cell(isb__codec *codec, isb__lane *lane, size_t limit_nbytes,
                                    bool *done, isb_status *status);

/* ---- code_ac.c ---- */
isb_status isb__ac_start_encode(isb__codec *codec, isb__lane *lane, isb__job *job);
isb_status isb__ac_encode(isb__codec *codec, isb__lane *lane, isb__job *job, bool *done);
isb_status isb__ac_start_decode(isb__codec *codec, isb__lane *lane, isb__job *job);
isb_status isb__ac_decode(isb__codec *codec, isb__lane *lane, isb__job *job, bool *done);

#endif
