/* Files NAME.isb-m1.  The identity and the checksum are made right, so that what is behind them is read.  What opens must
 * be written back as it was, and must run: CDFs that are CDFs, the same at once and byte by byte. */
#include <stdlib.h>
#include <string.h>

#include "m1/m1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

enum { SIZES_AT = 16, NAME_AT = 64, IDENTITY_AT = 112, HEADER_NBYTES = 128, CHECKSUM_NBYTES = 8 };
enum { N_BYTES = 24, WIDTH = ISB__N_SYMBOLS + 1 };

static void require(int condition) {
    if (!condition) abort();
}

static void sign(uint8_t *file, size_t nbytes) {
    static const char rules[] = "isobit-m1-2";
    isb__hasher *hasher = isb__hasher_create();
    require(hasher != NULL);
    isb__hasher_update(hasher, rules, sizeof rules);
    isb__hasher_update(hasher, file + SIZES_AT, NAME_AT - SIZES_AT);
    isb__hasher_update(hasher, file + HEADER_NBYTES, nbytes - HEADER_NBYTES - CHECKSUM_NBYTES);
    const isb__id128 identity = isb__hasher_finish(hasher);
    memcpy(file + IDENTITY_AT, identity.bytes, sizeof identity.bytes);
    const uint64_t sum = isb__hash64(file, nbytes - CHECKSUM_NBYTES, 0);
    for (size_t i = 0; i < CHECKSUM_NBYTES; ++i)
        file[nbytes - CHECKSUM_NBYTES + i] = (uint8_t)(sum >> 8 * i);
}

static void check_written(const isb__m1 *m1, const uint8_t *file, size_t nbytes) {
    uint8_t *again = NULL;
    size_t again_nbytes = 0;
    require(isb__m1_to_bytes(m1, &again, &again_nbytes) == ISB_OK);
    require(again_nbytes == nbytes && memcmp(again, file, nbytes) == 0);
    isb__free(m1->ctx, again);
}

static void check_runs(isb_context *ctx, const isb__m1 *m1, const uint8_t *bytes) {
    static uint32_t whole[N_BYTES][WIDTH], one[WIDTH];
    isb__m1_engine *engine = NULL;
    require(isb__m1_engine_create(ctx, m1, 2, 1, 0, &engine) == ISB_OK);
    const isb__cdf_request all = {0, 1, bytes, N_BYTES, N_BYTES, whole[0]};
    require(isb__m1_engine_evaluate(engine, 0, 1, &all) == ISB_OK);
    for (size_t i = 0; i < N_BYTES; ++i) {
        const isb__cdf_request next = {1, i == 0, bytes + i, 1, 1, one};
        require(isb__m1_engine_evaluate(engine, 0, 1, &next) == ISB_OK);
        require(memcmp(one, whole[i], sizeof one) == 0);
        require(one[0] == 0 && one[ISB__N_SYMBOLS] == UINT32_C(1) << ISB__CDF_PRECISION);
        for (int x = 0; x < ISB__N_SYMBOLS; ++x) require(one[x] < one[x + 1]);
    }
    isb__m1_engine_free(engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes) {
    static isb_context *ctx;
    isb__m1 *m1 = NULL;
    if (!ctx) require(isb_context_create(NULL, &ctx) == ISB_OK);
    uint8_t *file = malloc(nbytes + 1);
    require(file != NULL);
    memcpy(file, data, nbytes);
    if (nbytes >= HEADER_NBYTES + CHECKSUM_NBYTES) sign(file, nbytes);
    if (isb__m1_from_bytes(ctx, "the input", file, nbytes, &m1) == ISB_OK) {
        check_written(m1, file, nbytes);
        check_runs(ctx, m1, file + HEADER_NBYTES);
        isb__m1_free(m1);
    }
    free(file);
    return 0;
}
