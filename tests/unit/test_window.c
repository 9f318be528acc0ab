/* Window arithmetic: 192-bit integers against strings of bits, and the geometry of cells against
 * its definition. */
#include "check.h"

#include "base/context.h"
#include "base/rng.h"
#include "code/window.h"

/* ---- 192-bit integers, naively: one byte a bit, least significant first ---- */

enum { N = 192 };
typedef struct bits {
    uint8_t bit[N];
} bits;

static bits to_bits(isb__u192 a) {
    bits r;
    for (int i = 0; i < N; i++) r.bit[i] = a.w[i / 64] >> (i % 64) & 1;
    return r;
}
static int same(isb__u192 a, const bits *b) {
    const bits c = to_bits(a);
    return memcmp(&c, b, sizeof c) == 0;
}
static bits add_bits(const bits *a, const bits *b, int negate) {
    bits r;
    int carry = negate;
    for (int i = 0; i < N; i++) {
        const int sum = a->bit[i] + (b->bit[i] ^ negate) + carry;
        r.bit[i] = sum & 1;
        carry = sum >> 1;
    }
    return r;
}
static bits shift_bits(const bits *a, int left) {
    bits r;
    for (int i = 0; i < N; i++) r.bit[i] = i - left >= 0 && i - left < N ? a->bit[i - left] : 0;
    return r;
}
static bits multiply_bits(const bits *a, uint32_t m) {
    bits r = {{0}};
    for (int i = 0; i < 32; i++) {
        const bits shifted = shift_bits(a, i);
        if (m >> i & 1) r = add_bits(&r, &shifted, 0);
    }
    return r;
}
static int compare_bits(const bits *a, const bits *b) {
    for (int i = N - 1; i >= 0; i--) {
        if (a->bit[i] != b->bit[i]) return a->bit[i] < b->bit[i] ? -1 : 1;
    }
    return 0;
}

static isb__u192 random_u192(isb__rng *rng) {
    isb__u192 a;
    for (int i = 0; i < 3; i++) {
        const uint64_t kind = isb__rng_below(rng, 6);
        a.w[i] = kind == 0   ? 0
                 : kind == 1 ? UINT64_MAX
                             : isb__rng_u64(rng) >> isb__rng_below(rng, 64);
    }
    return a;
}

static void test_arithmetic(isb__rng *rng) {
    for (int turn = 0; turn < 20000; turn++) {
        const isb__u192 a = random_u192(rng);
        const isb__u192 b = turn % 10 ? random_u192(rng) : a;
        const bits x = to_bits(a), y = to_bits(b);
        const int n = (int)isb__rng_below(rng, N);
        const uint32_t m = (uint32_t)(turn % 3 ? isb__rng_below(rng, 65537) : isb__rng_u64(rng));
        const bits sum = add_bits(&x, &y, 0), difference = add_bits(&x, &y, 1);
        const bits left = shift_bits(&x, n), right = shift_bits(&x, -n),
                   product = multiply_bits(&x, m);
        int length = N;
        while (length > 0 && !x.bit[length - 1]) --length;
        CHECK(same(isb__u192_add(a, b), &sum));
        CHECK(same(isb__u192_sub(a, b), &difference));
        CHECK(same(isb__u192_shift_left(a, n), &left));
        CHECK(same(isb__u192_shift_right(a, n), &right));
        CHECK(same(isb__u192_multiply(a, m), &product));
        CHECK_EQ(isb__u192_compare(a, b), compare_bits(&x, &y));
        CHECK_EQ(isb__u192_length(a), length);
    }
}

/* ---- geometry, in 64 bits where b <= 16 ---- */

static void random_cdf(isb__rng *rng, int precision, int skew, uint16_t *cdf) {
    uint64_t weights[256];
    uint32_t wide[257];
    for (int x = 0; x < 256; x++)
        weights[x] = UINT64_C(1) << isb__rng_below(rng, (uint64_t)skew + 1);
    isb__cdf_from_weights(weights, 256, precision, wide);
    for (int x = 0; x < 256; x++) cdf[x] = (uint16_t)wide[x];
}

typedef struct interval {
    uint64_t low, high;
} interval;

static interval child_interval(const isb__window *w, const uint16_t *cdf, int precision, int x) {
    const uint64_t low = w->low.w[0], range = w->high.w[0] - low; /* < 2^48, times < 2^16 */
    interval child = {low, w->high.w[0]};
    const uint64_t odd = w->exact && w->depth > 0;
    if (x > 0) child.low = (low + (range * cdf[x] >> precision)) | odd;
    if (x < 255) child.high = (low + (range * cdf[x + 1] >> precision)) | odd;
    return child;
}
static int holds(interval i, uint64_t cell) {
    return i.low <= cell << 32 && (cell + 1) << 32 <= i.high;
}
static int holds_a_cell(interval i) { return holds(i, (i.low + UINT32_MAX) >> 32); }

/* Everything that window.h says of one node, by trying all cells and all children. */
static void check_node(const isb__window *w, const uint16_t *cdf, int precision) {
    const interval node = {w->low.w[0], w->high.w[0]};
    int64_t own = -1;
    int n_wrong = 0;
    for (uint64_t cell = (node.low + UINT32_MAX) >> 32; holds(node, cell); cell++) {
        int child = -1;
        for (int x = 0; x < 256; x++)
            child = holds(child_interval(w, cdf, precision, x), cell) ? x : child;
        const isb__u192 wide = {{cell, 0, 0}};
        n_wrong += isb__window_child_of_cell(w, cdf, precision, &wide) != child;
        if (child < 0 && own < 0) own = (int64_t)cell;
    }
    CHECK_EQ(n_wrong, 0);
    isb__u192 cell;
    const bool has = isb__window_own_cell(w, cdf, precision, &cell);
    CHECK_EQ(has ? (int64_t)cell.w[0] : -1, own);
    if (w->exact && w->depth == 1) CHECK(has);
    if (w->exact && w->depth == 0) CHECK(!has);
    for (int x = 0; x < 256; x++) {
        const interval child = child_interval(w, cdf, precision, x);
        isb__window next = *w;
        const bool entered = isb__window_descend(&next, cdf, precision, x);
        n_wrong += entered != holds_a_cell(child);
        n_wrong += child.high - child.low < 65535;
        n_wrong += entered ? next.low.w[0] != child.low || next.high.w[0] != child.high ||
                                 next.depth != w->depth + 1
                           : memcmp(&next, w, sizeof next) != 0;
    }
    CHECK_EQ(n_wrong, 0);
}

/* The shortest string: all lengths, and the leftmost block of each. */
static void check_padded_code(const isb__window *w) {
    const int q = w->nbits + 32;
    isb__u192 cell;
    int length;
    isb__window_padded_code(w, &cell, &length);
    for (int n = 0; n <= w->nbits; n++) {
        const isb__u192 unit = isb__u192_shift_left((isb__u192){{1, 0, 0}}, q - n);
        isb__u192 low = isb__u192_shift_left(isb__u192_shift_right(w->low, q - n), q - n);
        if (isb__u192_compare(low, w->low) < 0) low = isb__u192_add(low, unit);
        if (isb__u192_compare(isb__u192_add(low, unit), w->high) > 0) continue;
        CHECK_EQ(length, n);
        CHECK(isb__u192_compare(cell, isb__u192_shift_right(low, 32)) == 0);
        return;
    }
    CHECK(0); /* a node holds a whole cell */
}

/* Walks down random paths; at each node the claims hold. */
static void test_walks(isb__rng *rng, int b, int exact) {
    const int precision = 16, first = b < precision ? b : precision;
    uint16_t cdf[256];
    for (int turn = 0; turn < (b <= 16 ? 12 : 60); turn++) {
        isb__window w;
        isb__window_begin(&w, b, exact);
        for (;;) {
            const int p = w.depth == 0 ? first : precision;
            random_cdf(rng, p, turn % 25, cdf);
            if (b <= 16) check_node(&w, cdf, p);
            check_padded_code(&w);
            int x = -1;
            for (int tries = 0; tries < 30 && x < 0; tries++) {
                const int candidate = (int)isb__rng_below(rng, 256);
                if (isb__window_descend(&w, cdf, p, candidate)) x = candidate;
            }
            if (x < 0) break;
        }
    }
}

/* A wide window: the own cell is in the node and in no child, found by the children themselves. */
static void test_wide_own_cells(isb__rng *rng) {
    uint16_t cdf[256];
    for (int b = 20; b <= 128; b += 9) {
        for (int turn = 0; turn < 40; turn++) {
            isb__window w;
            isb__window_begin(&w, b, 1);
            for (bool going = true; going;) {
                random_cdf(rng, 16, turn % 20, cdf);
                isb__u192 cell;
                if (isb__window_own_cell(&w, cdf, 16, &cell)) {
                    CHECK_EQ(isb__window_child_of_cell(&w, cdf, 16, &cell), -1);
                    const isb__u192 begin = isb__u192_shift_left(cell, 32);
                    CHECK(isb__u192_compare(begin, w.low) >= 0 &&
                          isb__u192_compare(begin, w.high) < 0);
                    CHECK(isb__u192_length(cell) <= b);
                } else {
                    CHECK(w.depth != 1);
                }
                going = isb__window_descend(&w, cdf, 16, (int)isb__rng_below(rng, 256));
            }
        }
    }
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    test_arithmetic(&rng);
    static const int widths[] = {8, 9, 12, 16, 17, 32, 64, 100, 127, 128};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        test_walks(&rng, widths[i], 0);
        test_walks(&rng, widths[i], 1);
    }
    test_wide_own_cells(&rng);
    return check_end();
}
