/* The cheap part of packing: docs/container.md, "What a writer does".
 *
 * M1 costs tens of microseconds a byte, so a chunk that it cannot help should not reach it: one
 * of a single value, one that zstd makes tiny, and one that looks like noise to zstd and to a
 * count of its bytes. */
#include "data/pack_chunk.h"

#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

enum { LEVEL = 9, HARD_LEVEL = 15, TINY = 8, NOISE_NUMERATOR = 31, NOISE_DENOMINATOR = 32 };

static bool is_one_value(const uint8_t *raw, size_t nbytes) {
    return memcmp(raw, raw + 1, nbytes - 1) == 0;
}

/* Whether two of the bytes, drawn without replacement, are equal at most 9/8 times as often as
 * in noise, 1 in 256.  An estimate without bias for chunks of any size, unlike that of Shannon's
 * entropy, which it bounds from below; and whole numbers: the same on every machine. */
static bool is_spread_evenly(const uint8_t *raw, size_t nbytes) {
    uint64_t counts[256] = {0}, pairs = 0;
    for (size_t i = 0; i < nbytes; i++) ++counts[raw[i]];
    for (int x = 0; x < 256; x++)
        if (counts[x] > 1) pairs += counts[x] * (counts[x] - 1);
    return pairs * 256 * 8 <= (uint64_t)nbytes * (nbytes - 1) * 9; /* below 2^59 */
}

static void set_kind(isb__packed_chunk *chunk, isb__container_kind kind, const uint8_t *payload,
                     size_t nbytes) {
    chunk->kind = kind;
    chunk->payload = payload;
    chunk->payload_nbytes = nbytes;
}

/* Stored, if zstd makes it no smaller. */
static isb_status pack_zstd(isb__chunk_zstd *zstd, isb__packed_chunk *chunk, int level) {
    set_kind(chunk, ISB__CONTAINER_STORED, chunk->raw, chunk->raw_nbytes);
    if (!zstd->pack) zstd->pack = ZSTD_createCCtx();
    if (!zstd->pack) return ISB_ERR_NO_MEMORY;
    const size_t n = ZSTD_compressCCtx(zstd->pack, chunk->zstd, chunk->raw_nbytes - 1, chunk->raw,
                                       chunk->raw_nbytes, level);
    if (!ZSTD_isError(n)) set_kind(chunk, ISB__CONTAINER_ZSTD, chunk->zstd, n);
    return ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation
               ? ISB_ERR_NO_MEMORY
               : ISB_OK;
}

/* A harder search is as cheap beside M1 as the first was beside reading. */
void isb__pack_chunk(isb__chunk_zstd *zstd, isb__packed_chunk *chunk) {
    const size_t raw = chunk->raw_nbytes;
    chunk->try_m1 = false;
    chunk->status = ISB_OK;
    if (is_one_value(chunk->raw, raw)) {
        set_kind(chunk, ISB__CONTAINER_FILL, chunk->raw, 1);
        return;
    }
    chunk->status = pack_zstd(zstd, chunk, LEVEL);
    const bool tiny = chunk->payload_nbytes <= raw / TINY,
               noise = chunk->payload_nbytes > raw / NOISE_DENOMINATOR * NOISE_NUMERATOR &&
                       is_spread_evenly(chunk->raw, raw);
    if (chunk->status != ISB_OK || tiny || noise) return;
    chunk->try_m1 = true;
    chunk->status = pack_zstd(zstd, chunk, HARD_LEVEL);
}

/* One frame, whose size is known before it is unpacked: a payload of several, or of none, is
 * damage. */
isb_status isb__unpack_zstd(isb__chunk_zstd *zstd, const uint8_t *payload, size_t payload_nbytes,
                            uint8_t *raw, size_t raw_nbytes) {
    static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    if (payload_nbytes < sizeof magic || memcmp(payload, magic, sizeof magic) != 0 ||
        ZSTD_getFrameContentSize(payload, payload_nbytes) != raw_nbytes ||
        ZSTD_findFrameCompressedSize(payload, payload_nbytes) != payload_nbytes) {
        return ISB_ERR_CORRUPT;
    }
    if (!zstd->unpack) zstd->unpack = ZSTD_createDCtx();
    if (!zstd->unpack) return ISB_ERR_NO_MEMORY;
    const size_t n = ZSTD_decompressDCtx(zstd->unpack, raw, raw_nbytes, payload, payload_nbytes);
    if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
        return ISB_ERR_NO_MEMORY;
    return n == raw_nbytes ? ISB_OK : ISB_ERR_CORRUPT;
}

void isb__chunk_zstd_free(isb__chunk_zstd *zstd) {
    ZSTD_freeCCtx(zstd->pack);
    ZSTD_freeDCtx(zstd->unpack);
    *zstd = (isb__chunk_zstd){0};
}
