/* Checksums and identities.  XXH3 (libxxhash) for both; CRC-32C for TensorBoard's record format. */
#ifndef ISB_BASE_HASH_H
#define ISB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t isb__hash64(const void *data, size_t nbytes, uint64_t seed);

/* 128-bit identity of a sequence of pieces; the same bytes in other pieces give the same
 * identity. */
typedef struct isb__hasher isb__hasher;
typedef struct isb__id128 {
    uint8_t bytes[16]; /* canonical, big-endian */
} isb__id128;
isb__hasher *isb__hasher_create(void); /* NULL when out of memory */
void isb__hasher_update(isb__hasher *hasher, const void *data, size_t nbytes);
isb__id128 isb__hasher_finish(isb__hasher *hasher); /* frees it */
/* frees it; low 64 bits of the same state by XXH3_64bits_digest */
uint64_t isb__hasher_finish64(isb__hasher *hasher);

/* 32 hex digits and a NUL. */
void isb__id128_hex(const isb__id128 *id, char hex[33]);

uint32_t isb__crc32c(const void *data, size_t nbytes);

#endif
