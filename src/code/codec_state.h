/* What the files of the codec share: its state, workers and lanes.
 *
 * A lane works on one document at a time and holds one of M1's streams.  A worker is a thread's
 * part of the codec: its lanes advance as far as they can without M1, and then what they ask for is
 * evaluated in one call (a wavefront), on the worker's own thread.  Workers share the documents
 * that are left, a count of bytes, and the cache of prefixes, all without locks; none waits for
 * another.  codec.c keeps the state, workers.c runs the workers, lane.c asks M1 and keeps what it
 * said, code_windows.c and code_ac.c are the two codes.
 *
 * Row q of a lane is the CDF for text[q].  The lane keeps it as M1 wrote it; `ac` uses it as it is,
 * and windows make it the starts of 256 bytes, 16 bits each, when they come to it.
 */
#ifndef ISB_CODE_CODEC_STATE_H
#define ISB_CODE_CODEC_STATE_H

#include "code/arena.h"
#include "code/bits.h"
#include "code/range_coder.h"
#include "code/trie.h"

/* A place in the tree of a window: an interval and, if the prefix is cached, its node. */
typedef struct isb__cursor {
    isb__window window;
    uint32_t node;   /* 0: not cached */
    uint32_t parent; /* the parent's node; 0: not cached */
    uint8_t byte;    /* the edge from the parent */
    int n_new;       /* prefixes that the window has put into the cache */
} isb__cursor;

typedef struct isb__lane {
    size_t slot; /* M1's stream */
    uint64_t
        serial; /* of the context: the stream is ours while the codec's serials[slot] says so */
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
    uint32_t *cdfs;
    size_t rows_first, n_rows, cdfs_capacity;
    /* What the lane waits for: rows want .. want_end, which takes M1 to context_end = want_end. */
    bool wanting;
    size_t want, want_end;

    size_t start;         /* ac: the next symbol; windows: the first byte of the present window */
    isb__bit_writer bits; /* encoding: the tokens */
    uint64_t n_windows;

    /* Windows. */
    isb__cursor cursor;
    int windows_in_context;
    uint16_t row[ISB__N_BYTES];       /* row_at, made for windows */
    size_t row_at;                    /* SIZE_MAX: none */
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
    uint32_t cdf[ISB__N_SYMBOLS + 1]; /* at the code's precision, if that is not M1's */
} isb__lane;

typedef struct isb__worker {
    _Alignas(ISB__ALIGNMENT) isb__codec *codec; /* no line is shared with another worker */
    size_t number;
    isb__lane *lanes; /* [n_lanes], a part of the codec's, and with them their streams */
    size_t n_lanes, n_busy;
    isb__cdf_request *requests; /* [n_lanes] */
    size_t document;            /* the last one that was worked on */
    uint64_t n_new_bytes;       /* that the job does not know of yet */
    int64_t likely_length;      /* of windows, in 1/16 byte: how far to look ahead */
    isb__arena ids, bytes;      /* outputs of the last encoding and decoding */
    isb__codec_stats stats;
} isb__worker;

struct isb__codec {
    isb_context *ctx;
    isb__code_params params;
    isb__cdf_source source;
    int n_symbols;       /* 256 for windows, 257 for ac */
    int first_precision; /* min(P, b) */
    bool check_windows;

    bool has_root;
    uint32_t root[ISB__N_SYMBOLS + 1]; /* the CDF of the empty context, as M1 wrote it */
    uint16_t root_row[ISB__N_BYTES];   /* the same for windows */
    uint16_t first_row[ISB__N_BYTES];  /* the same for a window's first byte */
    bool cached;                       /* reset_windows == 1: the trie is in use */
    isb__trie trie;

    uint64_t *serials; /* [n_lanes]: counts the contexts that each stream has had */
    isb__lane *lanes;  /* [max_streams] */
    size_t n_lanes;
    isb__cdf_request *requests; /* [max_streams] */
    isb__worker *workers;       /* [n_workers], at least one */
    size_t n_workers, n_streams_made;
};

typedef struct isb__job isb__job;
/* Sets a fresh lane to its document. */
typedef isb_status (*isb__start_fn)(isb__worker *worker, isb__lane *lane, isb__job *job);
/* Works until the document is done or M1 is wanted. */
typedef isb_status (*isb__advance_fn)(isb__worker *worker, isb__lane *lane, isb__job *job,
                                      bool *done);

/* One call of isb__codec_encode() or isb__codec_decode(). */
struct isb__job {
    isb__codec *codec;
    size_t n;
    const isb__bytes_view *texts; /* encoding */
    isb__encoded *encoded;
    const isb__ids_view *codes; /* decoding */
    size_t limit_nbytes;
    isb__decoded *decoded;
    void (*progress)(void *user, double done);
    void *user;
    isb__start_fn start;
    isb__advance_fn advance;

    size_t *order; /* [n] documents, the largest first */
    size_t n_workers;
    atomic_size_t next; /* in order: nobody has taken it yet */
    _Atomic uint64_t bytes_done;
    atomic_bool failed; /* set by the first worker to fail, which then tells why: */
    isb_status status;
    size_t failed_document;
    bool has_text; /* it ran on the calling thread, and the context has the text */
};

/* ---- codec.c ---- */
/* Computes what the empty context says, once, and makes room in the cache for n_more prefixes.  On
 * the calling thread, before workers start. */
isb_status isb__codec_prepare(isb__codec *codec, size_t n_more);

/* ---- workers.c ---- */
isb_status isb__job_run(isb__job *job);
/* CANCELLED if another worker has failed, or the call was cancelled. */
isb_status isb__job_check(const isb__job *job);

/* ---- lane.c ---- */
void isb__lane_free(isb_context *ctx, isb__lane *lane);
/* Forgets the document before; keeps the memory. */
void isb__lane_reset(isb__lane *lane);
/* Starts a context at text position `start`. */
void isb__lane_new_context(isb__lane *lane, size_t start);
/* Takes back the bytes of the present window, as if they had never been. */
void isb__lane_drop_window(isb__lane *lane);
/* The CDF at text position q, at the code's precision, or NULL if M1 must be asked.  Valid until the
 * next call for this lane. */
const uint32_t *isb__lane_cdf(const isb__codec *codec, isb__lane *lane, size_t q);
/* The same for windows; and that of the present window's first byte. */
const uint16_t *isb__lane_row(const isb__codec *codec, isb__lane *lane, size_t q);
const uint16_t *isb__lane_first_row(const isb__codec *codec, isb__lane *lane);
/* Asks for the rows q .. end (end <= text_nbytes). */
void isb__lane_want(isb__lane *lane, size_t q, size_t end);
/* Appends a byte to the text that is being decoded.  Errors: NO_MEMORY. */
isb_status isb__lane_push_byte(isb_context *ctx, isb__lane *lane, uint8_t byte);
/* Evaluates what the lanes want, in one call of M1.  After a failure no lane owns its stream any
 * more. */
isb_status isb__lanes_evaluate(isb__worker *worker, isb__lane *lanes, size_t n);

/* ---- code_windows.c ---- */
isb_status isb__windows_start_encode(isb__worker *worker, isb__lane *lane, isb__job *job);
isb_status isb__windows_encode(isb__worker *worker, isb__lane *lane, isb__job *job, bool *done);
isb_status isb__windows_start_decode(isb__worker *worker, isb__lane *lane, isb__job *job);
isb_status isb__windows_decode(isb__worker *worker, isb__lane *lane, isb__job *job, bool *done);
/* Sets the lane to decode one window, and does so until it is done or M1 is wanted.  *done with
 * *status UNDECODABLE: no text has this code, and the bytes are as before; CORRUPT: more than
 * limit_nbytes. */
void isb__windows_begin_cell(const isb__codec *codec, isb__lane *lane, isb__u192 cell);
isb_status isb__windows_decode_cell(isb__worker *worker, isb__lane *lane, size_t limit_nbytes,
                                    bool *done, isb_status *status);

/* ---- code_ac.c ---- */
isb_status isb__ac_start_encode(isb__worker *worker, isb__lane *lane, isb__job *job);
isb_status isb__ac_encode(isb__worker *worker, isb__lane *lane, isb__job *job, bool *done);
isb_status isb__ac_start_decode(isb__worker *worker, isb__lane *lane, isb__job *job);
isb_status isb__ac_decode(isb__worker *worker, isb__lane *lane, isb__job *job, bool *done);

#endif
