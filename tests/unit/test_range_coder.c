/* The range coder: what goes in comes out, both sides count the same bits, the length is the ideal
 * one, carries run. */
#include "check.h"

#include <math.h>

#include "base/context.h"
#include "base/rng.h"
#include "code/cdf.h"
#include "code/range_coder.h"

enum { MAX_SYMBOLS = 200000 };

static uint16_t symbols[MAX_SYMBOLS];
static uint64_t tells[MAX_SYMBOLS];

/* Codes n symbols and decodes them; returns the length in bytes, and in *ideal the ideal one in
 * bits. */
static size_t round_trip(const uint32_t *cdf, int n_symbols, int precision, size_t n,
                         double *ideal) {
    const size_t bound = isb__range_encoder_bound(n, precision);
    uint8_t *code = malloc(bound);
    CHECK_FATAL(code != NULL);
    isb__range_encoder encoder;
    isb__range_encoder_init(&encoder, code, bound);
    *ideal = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t lo = cdf[symbols[i]], hi = cdf[symbols[i] + 1];
        isb__range_encode(&encoder, lo, hi, precision);
        tells[i] = isb__range_encoder_tell(&encoder);
        *ideal += precision - log2((double)(hi - lo));
    }
    const size_t nbytes = isb__range_encoder_finish(&encoder);
    CHECK(!encoder.overflow && nbytes <= bound);
    CHECK(nbytes == 0 || code[nbytes - 1] != 0);

    isb__range_decoder decoder;
    uint8_t *exact_size = malloc(nbytes + 1); /* a read past the end shows under a sanitizer */
    CHECK_FATAL(exact_size != NULL);
    memcpy(exact_size, code, nbytes);
    isb__range_decoder_init(&decoder, exact_size, nbytes);
    size_t n_wrong = 0, n_tells = 0;
    for (size_t i = 0; i < n; i++) {
        n_wrong += isb__range_decode(&decoder, cdf, n_symbols, precision) != symbols[i];
        n_tells += isb__range_decoder_tell(&decoder) != tells[i];
    }
    CHECK_EQ(n_wrong, 0);
    CHECK_EQ(n_tells, 0);
    free(code);
    free(exact_size);
    return nbytes;
}

static void make_cdf(isb__rng *rng, int n_symbols, int precision, int skew, uint32_t *cdf) {
    uint64_t weights[257];
    for (int x = 0; x < n_symbols; x++)
        weights[x] = UINT64_C(1) << isb__rng_below(rng, (uint64_t)skew + 1);
    isb__cdf_from_weights(weights, n_symbols, precision, cdf);
}

static uint16_t draw(isb__rng *rng, const uint32_t *cdf, int precision) {
    const uint32_t point = (uint32_t)isb__rng_below(rng, UINT64_C(1) << precision);
    uint16_t x = 0;
    while (cdf[x + 1] <= point) ++x;
    return x;
}

static void test_random(isb__rng *rng) {
    uint32_t cdf[258];
    double ideal;
    for (int turn = 0; turn < 400; turn++) {
        const int n_symbols = turn % 4 ? 257 : 2 + (int)isb__rng_below(rng, 100);
        const int precision = 9 + turn % 8;
        make_cdf(rng, n_symbols, precision, turn % 30, cdf);
        const size_t n = (size_t)isb__rng_below(rng, 2000);
        for (size_t i = 0; i < n; i++) {
            symbols[i] = turn % 2 ? draw(rng, cdf, precision)
                                  : (uint16_t)isb__rng_below(rng, (uint64_t)n_symbols);
        }
        const size_t nbytes = round_trip(cdf, n_symbols, precision, n, &ideal);
        CHECK(8.0 * (double)nbytes <= ideal + 0.01 * (double)n + 16);
    }
}

/* Static arithmetic coding costs what the counts say. */
static void test_ideal_length(isb__rng *rng) {
    uint32_t cdf[258];
    double ideal;
    for (int skew = 1; skew <= 21; skew += 10) {
        make_cdf(rng, 257, 16, skew, cdf);
        for (size_t i = 0; i < MAX_SYMBOLS; i++) symbols[i] = draw(rng, cdf, 16);
        const size_t nbytes = round_trip(cdf, 257, 16, MAX_SYMBOLS, &ideal);
        const double excess = (8.0 * (double)nbytes - ideal) / MAX_SYMBOLS;
        printf("ideal %.5f bits per symbol, excess %.7f\n", ideal / MAX_SYMBOLS, excess);
        CHECK(fabs(excess) < 0.001);
    }
}

/* Long runs of 0xFF that a carry turns into zeros, or that none reaches: values close to a border
 * of the first symbol. */
static void test_carries(isb__rng *rng) {
    uint32_t cdf[258];
    double ideal;
    static const uint32_t borders[] = {1, 2, 127, 128, 129, 254, 255};
    for (size_t b = 0; b < sizeof borders / sizeof *borders; b++) {
        for (int n_run = 0; n_run < 40; n_run++) {
            for (int last = 0; last < 4; last++) {
                /* Two symbols at precision 8: below the border the last, above it the first, again
                 * and again. */
                const uint32_t two[3] = {0, borders[b], 256};
                size_t n = 0;
                symbols[n++] = 0;
                for (int i = 0; i < n_run * 8; i++) symbols[n++] = 1;
                for (int i = 0; i < last; i++) symbols[n++] = (uint16_t)isb__rng_below(rng, 2);
                memcpy(cdf, two, sizeof two);
                round_trip(cdf, 2, 8, n, &ideal);
            }
        }
    }
    /* 0xFF bytes from the very start: the top of the range. */
    make_cdf(rng, 257, 16, 0, cdf);
    for (size_t i = 0; i < 5000; i++) symbols[i] = 256;
    round_trip(cdf, 257, 16, 5000, &ideal);
}

static void test_ends(void) {
    const uint32_t cdf[4] = {0, 1, 65535, 65536};
    double ideal;
    CHECK_EQ(round_trip(cdf, 3, 16, 0, &ideal), 0);
    for (size_t i = 0; i < 1000; i++) symbols[i] = 0;
    CHECK_EQ(round_trip(cdf, 3, 16, 1000, &ideal), 0); /* all zeros: nothing is written */
    /* The worst case stays within the bound. */
    for (size_t i = 0; i < 1000; i++) symbols[i] = i % 2 ? 0 : 2;
    const size_t nbytes = round_trip(cdf, 3, 16, 1000, &ideal);
    CHECK(nbytes > 1990 && nbytes <= isb__range_encoder_bound(1000, 16));
}

static void test_overflow(void) {
    uint8_t code[4] = {0, 0, 0, 77};
    isb__range_encoder encoder;
    isb__range_encoder_init(&encoder, code, 3);
    for (int i = 0; i < 10; i++) isb__range_encode(&encoder, 40000, 40001, 16);
    CHECK(isb__range_encoder_finish(&encoder) >= 20);
    CHECK(encoder.overflow);
    CHECK_EQ(code[3], 77);
}

/* Any bytes decode to some symbols. */
static void test_noise(isb__rng *rng) {
    uint32_t cdf[258];
    make_cdf(rng, 257, 16, 20, cdf);
    for (int turn = 0; turn < 200; turn++) {
        uint8_t code[64];
        const size_t nbytes = (size_t)isb__rng_below(rng, sizeof code);
        for (size_t i = 0; i < nbytes; i++) code[i] = turn ? (uint8_t)isb__rng_u64(rng) : 0xFF;
        isb__range_decoder decoder;
        isb__range_decoder_init(&decoder, code, nbytes);
        int in_range = 1;
        for (int i = 0; i < 300; i++) {
            const int x = isb__range_decode(&decoder, cdf, 257, 16);
            in_range &= x >= 0 && x < 257;
        }
        CHECK(in_range);
    }
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    test_random(&rng);
    test_ideal_length(&rng);
    test_carries(&rng);
    test_ends();
    test_overflow();
    test_noise(&rng);
    return check_end();
}
