/* Hashes: published values, pieces against the whole, every length around the block sizes,
 * CRC-32C's check values. */
#include "base/hash.h"
#include "base/rng.h"
#include "check.h"

static void check_hex(const void *data, size_t nbytes, const char *expected) {
    isb__hasher *hasher = isb__hasher_create();
    CHECK_FATAL(hasher != NULL);
    isb__hasher_update(hasher, data, nbytes);
    const isb__id128 id = isb__hasher_finish(hasher);
    char hex[33];
    isb__id128_hex(&id, hex);
    check_report(strcmp(hex, expected) == 0, __FILE__, __LINE__, expected, hex);
}

static void test_golden(void) {
    CHECK_EQ(isb__hash64("", 0, 0), UINT64_C(0x2d06800538d394c2));
    CHECK_EQ(isb__hash64("abc", 3, 0), UINT64_C(0x78af5f94892f3950));
    CHECK(isb__hash64("abc", 3, 1) != isb__hash64("abc", 3, 0));
    check_hex("", 0, "99aa06d3014798d86001c324468d497f");
    check_hex("abc", 3, "06b05ab6733a618578af5f94892f3950");
}

static void test_pieces(uint64_t seed) {
    enum { N = 5000 };
    static uint8_t data[N];
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int i = 0; i < N; ++i) data[i] = (uint8_t)isb__rng_u64(&rng);
    for (size_t n = 0; n < N; n += n < 300 ? 1 : 97) {
        isb__hasher *whole = isb__hasher_create(), *pieces = isb__hasher_create(),
                    *low = isb__hasher_create();
        isb__hasher_update(whole, data, n);
        isb__hasher_update(low, data, n);
        for (size_t at = 0; at < n;) {
            const size_t piece = isb__rng_below(&rng, n - at + 1);
            isb__hasher_update(pieces, data + at, piece);
            at += piece;
        }
        const isb__id128 a = isb__hasher_finish(whole), b = isb__hasher_finish(pieces);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
        CHECK(isb__hasher_finish64(low) == isb__hash64(data, n, 0));
    }
}

/* RFC 3720, appendix B.4, and the catalogue's check value. */
static void test_crc32c(void) {
    uint8_t bytes[32];
    CHECK_EQ(isb__crc32c("123456789", 9), 0xe3069283);
    CHECK_EQ(isb__crc32c("", 0), 0);
    memset(bytes, 0, sizeof bytes);
    CHECK_EQ(isb__crc32c(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    CHECK_EQ(isb__crc32c(bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; ++i) bytes[i] = (uint8_t)i;
    CHECK_EQ(isb__crc32c(bytes, 32), 0x46dd794e);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    test_golden();
    test_pieces(seed);
    test_crc32c();
    return check_end();
}
