/* Checksums.  XXH3 is the work of Yann Collet (libxxhash); its values are stable since 0.8.0. */
#include "base/hash.h"

#include <xxhash.h>

uint64_t isb__hash64(const void *data, size_t nbytes, uint64_t seed) {
    return XXH3_64bits_withSeed(data, nbytes, seed);
}

/* isb__hasher is a name for XXH3_state_t; the 64 and 128-bit digests share one state. */
isb__hasher *isb__hasher_create(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state) XXH3_128bits_reset(state);
    return (isb__hasher *)state;
}

void isb__hasher_update(isb__hasher *hasher, const void *data, size_t nbytes) {
    if (nbytes > 0) XXH3_128bits_update((XXH3_state_t *)hasher, data, nbytes);
}

isb__id128 isb__hasher_finish(isb__hasher *hasher) {
    isb__id128 id;
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest((XXH3_state_t *)hasher));
    for (int i = 0; i < 16; ++i) id.bytes[i] = canonical.digest[i];
    XXH3_freeState((XXH3_state_t *)hasher);
    return id;
}

uint64_t isb__hasher_finish64(isb__hasher *hasher) {
    const uint64_t digest = XXH3_64bits_digest((XXH3_state_t *)hasher);
    XXH3_freeState((XXH3_state_t *)hasher);
    return digest;
}

void isb__id128_hex(const isb__id128 *id, char hex[33]) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; ++i) {
        hex[2 * i] = digits[id->bytes[i] >> 4];
        hex[2 * i + 1] = digits[id->bytes[i] & 15];
    }
    hex[32] = '\0';
}

/* CRC-32C (Castagnoli), bits reflected, polynomial 0x82f63b78, four bits at a time.  Entry i is i
 * shifted right four times, with the polynomial subtracted after each bit that falls out. */
uint32_t isb__crc32c(const void *data, size_t nbytes) {
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *bytes = data;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < nbytes; ++i) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
