/* A codec turns documents (any bytes) into token ids and back.
 *
 *   bytes       id = byte                                          no M1
 *   ac          one arithmetic code over the document and its END  M1 context never reset
 *   equal-info  windows of b bits each, from a reset coder         M1 reset every window, every k windows, or never
 *
 * A token is n = 1, 8 or 16 consecutive bits of the code, first bit most significant, so ids are 0 .. 2^n - 1.
 * Documents are coded one by one, each from a fresh state; a document's ids depend on its bytes, M1 and the
 * parameters alone.  The empty document has no tokens under bytes and equal-info.
 *
 * Variants of equal-info (docs/codes.md has the proofs; paper: Lester et al. 2024, section 3.3 and appendix A.5):
 *   exact   a window ends on a cell of its own node: lossless for every byte string, nothing is padded
 *   greedy  the paper's default: zero-padded; not uniquely decodable, failures are counted
 *   delay   the paper's lossless variant: trailing bytes that do not change the padded bits move to the next window
 */
#ifndef ISB_CODE_CODEC_H
#define ISB_CODE_CODEC_H

#include "code/cdf.h"

typedef enum isb__code_kind {
    ISB__CODE_BYTES = 0,
    ISB__CODE_AC = 1,
    ISB__CODE_EQUAL_INFO = 2
} isb__code_kind;
typedef enum isb__window_variant {
    ISB__EXACT = 0,
    ISB__GREEDY = 1,
    ISB__DELAY = 2
} isb__window_variant;

typedef struct isb__code_params {
    isb__code_kind kind;
    isb__window_variant variant;
    int window_nbits;    /* b: 8 .. 128 */
    int token_nbits;     /* n: 1, 8 or 16; n <= b */
    int reset_windows;   /* M1 is reset every k windows; 0: never */
    int precision_nbits; /* P: 8 .. 16 (ac: 9 .. 16); windows use min(P, b) for the first byte */
} isb__code_params;

void isb__code_params_init(isb__code_params *params, isb__code_kind kind);
/* Errors: RANGE, with the field, the value and what is allowed. */
isb_status isb__code_params_check(isb_context *ctx, const isb__code_params *params);

typedef struct isb__codec isb__codec;

/* source: takes (its free() is called with the codec); may be NULL for ISB__CODE_BYTES only. */
isb_status isb__codec_create(isb_context *ctx, const isb__code_params *params,
                             const isb__cdf_source *source, isb__codec **codec);
void isb__codec_free(isb__codec *codec);
int64_t isb__codec_n_codes(const isb__codec *codec); /* 256, 2 or 65536 */
const isb__code_params *isb__codec_params(const isb__codec *codec);

typedef struct isb__bytes_view {
    const uint8_t *data;
    size_t nbytes;
} isb__bytes_view;
typedef struct isb__ids_view {
    const uint32_t *ids;
    size_t count;
} isb__ids_view;

/* Output of one document; memory is the codec's and lasts until its next encoding, or decoding. */
typedef struct isb__encoded {
    const uint32_t *ids;
    size_t count;
    size_t n_windows;
} isb__encoded;
typedef struct isb__decoded {
    const uint8_t *bytes;
    size_t nbytes;
    size_t n_windows;
    isb_status status;
} isb__decoded;

/* Many documents at once: that is where the speed is, since M1 evaluates their streams together.  out: [n].
 * progress in bytes may be NULL: called as progress(user, bytes_done). */
isb_status isb__codec_encode(isb__codec *codec, size_t n, const isb__bytes_view *documents,
                             isb__encoded *out, void (*progress)(void *user, double done),
                             void *user);
/* A document whose ids no text has (an ac stream without its END, an id out of range, a padding that is not zero) gets
 * status CORRUPT or UNDECODABLE of its own and the bytes that could be decoded; the call itself then succeeds.
 * limit_nbytes: a document that is longer ends there, with CORRUPT (0: 1 GiB). */
isb_status isb__codec_decode(isb__codec *codec, size_t n, const isb__ids_view *documents,
                             size_t limit_nbytes, isb__decoded *out,
                             void (*progress)(void *user, double done), void *user);

/* Streaming decode of one document's ids as a generator makes them: yields the bytes of each window when it is whole.
 * bytes and equal-info only (UNSUPPORTED for ac).  The returned memory lasts until the stream's next call.  push:
 * CORRUPT for an id out of range, which is ignored; UNDECODABLE for a window that no text has (greedy, delay), which
 * is skipped.  Other streams and other calls of the codec may come between two pushes. */
typedef struct isb__decode_stream isb__decode_stream;
isb_status isb__decode_stream_create(isb__codec *codec, isb__decode_stream **stream);
isb_status isb__decode_stream_push(isb__decode_stream *stream, uint32_t id, const uint8_t **bytes,
                                   size_t *nbytes);
void isb__decode_stream_free(isb__decode_stream *stream);

/* Statistics since the codec was made. */
typedef struct isb__codec_stats {
    uint64_t bytes, tokens, windows;              /* of the documents encoded */
    uint64_t windows_checked, windows_failed;     /* while isb__codec_check_windows() is on */
    uint64_t documents_checked, documents_failed; /* documents with a window that fails */
    /* bytes M1 was evaluated on, encoding and decoding: more than the text's or, cached, fewer */
    uint64_t m1_bytes;
    uint64_t cached_nodes, cache_nbytes;
} isb__codec_stats;
void isb__codec_stats_get(const isb__codec *codec, isb__codec_stats *stats);
/* Decode each window again while encoding (any variant) and count the differences. */
void isb__codec_check_windows(isb__codec *codec, int on);
/* Memory for the cache of prefixes (reset_windows == 1); the default is 512 MiB.  It changes the speed only. */
void isb__codec_limit_cache(isb__codec *codec, size_t limit_nbytes);

#endif
