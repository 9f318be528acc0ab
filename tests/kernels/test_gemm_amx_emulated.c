/* The AMX micro kernel with the tile instructions emulated, so that its logic runs on every machine.
 *
 * The emulation follows the instruction set reference: eight tiles, each with the rows and bytes a row of its
 * configuration; TDPBF16PS adds pairs of products in order of k, taking subnormals as zero. */
#include <math.h>
#include <stdatomic.h>

#include "base/cpu.h"
#include "check.h"
#include "guard.h"
#include "kernels/tiers.h"

enum { N_TILES = 8, TILE_ROWS = 16, TILE_ROW_NBYTES = 64 };

static uint8_t tiles[N_TILES][TILE_ROWS][TILE_ROW_NBYTES];

static void emulate_zero(int t) { memset(tiles[t], 0, sizeof tiles[t]); }
static void emulate_load(int t, const void *p, size_t stride) {
    for (size_t row = 0; row < TILE_ROWS; ++row) {
        memcpy(tiles[t][row], (const uint8_t *)p + row * stride, TILE_ROW_NBYTES);
    }
}
static void emulate_store(int t, void *p, size_t stride) {
    for (size_t row = 0; row < TILE_ROWS; ++row) {
        memcpy((uint8_t *)p + row * stride, tiles[t][row], TILE_ROW_NBYTES);
    }
}
static float bf16_at(int t, size_t row, size_t i) {
    uint16_t half;
    memcpy(&half, &tiles[t][row][2 * i], sizeof half);
    if ((half & 0x7f80) == 0) half &= 0x8000;
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static void emulate_dpbf16(int c, int a, int b) {
    for (size_t i = 0; i < TILE_ROWS; ++i) {
        for (size_t j = 0; j < TILE_ROW_NBYTES / 4; ++j) {
            float sum;
            memcpy(&sum, &tiles[c][i][4 * j], sizeof sum);
            for (size_t p = 0; p < TILE_ROW_NBYTES / 4; ++p) {
                sum = fmaf(bf16_at(a, i, 2 * p), bf16_at(b, p, 2 * j), sum);
                sum = fmaf(bf16_at(a, i, 2 * p + 1), bf16_at(b, p, 2 * j + 1), sum);
            }
            memcpy(&tiles[c][i][4 * j], &sum, sizeof sum);
        }
    }
}

#define AMX_TARGET
#define AMX_ZERO(t) emulate_zero(t)
#define AMX_LOAD(t, p, stride) emulate_load(t, p, stride)
#define AMX_STORE(t, p, stride) emulate_store(t, p, stride)
#define AMX_DPBF16(c, a, b) emulate_dpbf16(c, a, b)
#include "kernels/x86/gemm_amx_template.h"

static uint16_t bf16_bits(float x) {
    const float rounded = round_bf16(x);
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* The packed formats by their definition; x(i, p) is x[i * stride + p * k_stride]. */
static void pack_a_plainly(size_t m, size_t k, const float *x, size_t stride, size_t k_stride,
                           uint16_t *panel) {
    for (size_t p = 0; p < isb__round_up(k, KR); ++p) {
        for (size_t i = 0; i < MR; ++i) {
            panel[p / KR * MR * KR + i * KR + p % KR] =
                i < m && p < k ? bf16_bits(x[i * stride + p * k_stride]) : 0;
        }
    }
}
static void pack_b_plainly(size_t k, size_t n, const float *x, size_t k_stride, size_t stride,
                           uint16_t *panel) {
    for (size_t p = 0; p < isb__round_up(k, KR); ++p) {
        for (size_t j = 0; j < NR; ++j) {
            panel[p / 2 * NR * 2 + j * 2 + p % 2] =
                j < n && p < k ? bf16_bits(x[j * stride + p * k_stride]) : 0;
        }
    }
}

typedef struct shape {
    size_t m, n, k;
    int accumulate;
} shape;

static int product_is_right(const shape *s, const float *a, const float *b, const float *before,
                            const float *got, size_t ldc) {
    for (size_t i = 0; i < s->m; ++i) {
        for (size_t j = 0; j < ldc && i * ldc + j < (s->m - 1) * ldc + s->n; ++j) {
            const float old = before[i * ldc + j], now = got[i * ldc + j];
            if (j >= s->n) {
                if (memcmp(&old, &now, sizeof now) != 0) return 0;
                continue;
            }
            double sum = s->accumulate ? (double)old : 0, size = fabs(sum);
            for (size_t p = 0; p < s->k; ++p) {
                const double term =
                    (double)round_bf16(a[i * s->k + p]) * (double)round_bf16(b[p * s->n + j]);
                sum += term;
                size += fabs(term);
            }
            if (!(fabs((double)now - sum) <= (double)(s->k + 2) * 0x1p-24 * size)) return 0;
        }
    }
    return 1;
}

static void test_micro(isb__rng *rng, shape s) {
    const size_t ldc = s.n + random_size(rng, 0, 3), c_size = (s.m - 1) * ldc + s.n,
                 kb = isb__round_up(s.k, KR);
    guard a = guard_alloc(s.m * s.k * sizeof(float)), b = guard_alloc(s.k * s.n * sizeof(float));
    guard a_panel = guard_alloc(MR * kb * 2), b_panel = guard_alloc(NR * kb * 2);
    guard c = guard_alloc(c_size * sizeof(float)), before = guard_alloc(c_size * sizeof(float));
    random_floats(rng, s.m * s.k, a.data);
    random_floats(rng, s.k * s.n, b.data);
    random_floats(rng, c_size, c.data);
    memcpy(before.data, c.data, c_size * sizeof(float));
    pack_a_plainly(s.m, s.k, a.data, s.k, 1, a_panel.data);
    pack_b_plainly(s.k, s.n, b.data, s.n, 1, b_panel.data);
    micro(s.m, s.n, kb, a_panel.data, b_panel.data, c.data, ldc, s.accumulate);
    CHECK(product_is_right(&s, a.data, b.data, before.data, c.data, ldc));
    guard *all[] = {&a, &b, &a_panel, &b_panel, &c, &before};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) guard_free(all[i]);
}

/* The packing of the AMX kernel takes AVX512_BF16 only: compare with the definition where there is that much. */
static void test_packing(isb__rng *rng) {
#if ISB__X86
    if (isb__cpu_detect() < ISB__CPU_AVX512X) {
        printf("packing of %s: not on this processor\n", isb__gemm_bf16_amx.name);
        return;
    }
    for (int round = 0; round < 200; ++round) {
        const size_t count = random_size(rng, 1, 32), k = random_size(rng, 1, 130),
                     kb = isb__round_up(k, KR);
        const size_t layout = isb__rng_below(rng, 3);
        const size_t stride = layout == 0 ? k + 1 : layout,
                     k_stride = layout == 0 ? 1 : layout * (count + 1);
        const size_t n = (count - 1) * stride + (k - 1) * k_stride + 1;
        guard x = guard_alloc(n * sizeof(float)), panel = guard_alloc(32 * kb * 2),
              expected = guard_alloc(32 * kb * 2);
        random_floats(rng, n, x.data);
        isb__gemm_bf16_amx.pack_a(count, k, x.data, (ptrdiff_t)stride, (ptrdiff_t)k_stride,
                                  panel.data);
        pack_a_plainly(count, k, x.data, stride, k_stride, expected.data);
        CHECK(memcmp(panel.data, expected.data, 32 * kb * 2) == 0);
        isb__gemm_bf16_amx.pack_b(k, count, x.data, (ptrdiff_t)k_stride, (ptrdiff_t)stride,
                                  panel.data);
        pack_b_plainly(k, count, x.data, k_stride, stride, expected.data);
        CHECK(memcmp(panel.data, expected.data, 32 * kb * 2) == 0);
        guard_free(&x);
        guard_free(&panel);
        guard_free(&expected);
    }
#else
    (void)rng;
#endif
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    const size_t edges[] = {1, 15, 16, 17, 31, 32};
    for (size_t i = 0; i < 36; ++i) {
        for (int accumulate = 0; accumulate < 2; ++accumulate) {
            test_micro(&rng,
                       (shape){edges[i / 6], edges[i % 6], random_size(&rng, 1, 200), accumulate});
        }
    }
    test_packing(&rng);
    return check_end();
}
