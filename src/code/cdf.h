/* The seam between models and codes: M1 as a source of integer CDFs.
 *
 * A CDF over S symbols at precision P is S+1 integers: 0 = c[0] < c[1] < ... < c[S] = 2^P; symbol x owns [c[x], c[x+1]).
 * Every symbol has at least 1.  S is 257: the 256 bytes, then END (256), the end of a document.  Codes that carry
 * their own end (windows) use the 256 bytes alone.
 *
 * A source holds `max_streams` independent contexts (streams), each a run of bytes since its reset, and evaluates
 * many of them in one call.  What a source returns depends on the stream's bytes alone: not on the batch, the order
 * of calls, the number of threads, or whether the bytes came at once or one by one.  That is what makes a code
 * decodable.
 */
#ifndef ISB_CODE_CDF_H
#define ISB_CODE_CDF_H

#include "base/context.h"
#include "base/hash.h"

enum { ISB__N_BYTES = 256, ISB__END = 256, ISB__N_SYMBOLS = 257, ISB__CDF_PRECISION = 16 };

/* One stream's part of a call: append n_bytes (>= 0) bytes to the stream, and give the CDF after each of the last
 * n_cdfs positions (n_cdfs <= n_bytes, or n_bytes == 0 and n_cdfs == 1: the CDF at the present position).
 * restart: empty the context first.  cdfs: [n_cdfs][n_symbols + 1]. */
typedef struct isb__cdf_request {
    size_t stream;
    int restart;
    const uint8_t *bytes; /* borrows for the call */
    size_t n_bytes, n_cdfs;
    uint32_t *cdfs;
} isb__cdf_request;

typedef struct isb__cdf_source {
    void *self;
    int n_symbols;       /* 256: bytes only; 257: bytes and END */
    int precision_nbits; /* P */
    size_t max_streams;
    size_t n_workers;    /* threads that may evaluate at once, at least 1 */
    isb__id128 identity; /* changes whenever any CDF could: exact weights and every parameter */
    /* Streams in one call are distinct.  Several threads may evaluate at once, each with its own number
     * worker < n_workers and its own streams.  Errors: NO_MEMORY, CANCELLED; contexts are then
     * undefined: restart them. */
    isb_status (*evaluate)(void *self, size_t worker, size_t n, const isb__cdf_request *requests);
    /* Forgets the last n bytes of a stream (n <= what it was given since its restart, and within a bounded history of
     * at least 512 bytes). */
    isb_status (*rewind)(void *self, size_t stream, size_t n);
    void (*free)(void *self); /* may be NULL */
} isb__cdf_source;

/* Evaluates the requests on all threads that the source has workers for: many streams, for a caller without threads
 * of its own.  Errors: as evaluate. */
isb_status isb__cdf_evaluate(isb_context *ctx, const isb__cdf_source *source, size_t n,
                             const isb__cdf_request *requests);

/* The CDF of weights w[0..n-1] (non-negative integers, sum > 0 and < 2^48): each symbol gets
 * 1 + floor(w * (2^P - n) / sum), and what is left over goes to the largest weight (the lowest index among equals).
 * cdf: [n+1].  Exact on every machine.  n <= 2^P. */
void isb__cdf_from_weights(const uint64_t *weights, int n, int precision_nbits, uint32_t *cdf);

/* The same CDF at a coarser precision and/or over the first n symbols only, every symbol again at least 1:
 * counts as weights to isb__cdf_from_weights(). */
void isb__cdf_requantise(const uint32_t *cdf, int n, int precision_nbits, uint32_t *out);

/* A row, for codes without END: where each of the 256 bytes starts, 16 bits each; the last one ends at 2^precision_nbits.
 * END's count goes to the byte with the largest count (the lowest among equals); at a precision that is not the
 * CDF's, the bytes' counts are requantised instead.  cdf_n: 256 or 257.  row: [256]. */
void isb__cdf_row(const uint32_t *cdf, int cdf_n, int cdf_precision_nbits, int precision_nbits,
                  uint16_t *row);
/* The row of a window's first byte, coarse enough that its borders lie between cells. */
void isb__cdf_first_row(const uint16_t *row, int precision_nbits, int first_precision_nbits,
                        uint16_t *first);

/* A source without context: one CDF for all positions (static-ac; and tests).  counts: [257]; takes nothing. */
isb_status isb__cdf_source_static(isb_context *ctx, const uint64_t *counts,
                                  isb__cdf_source *source);

#endif
