/* bf16 matrix kernel on AMX tiles: 32 x 32, 32 k a step, float32 sums.  Close class. */
#include "kernels/tiers.h"

#if ISB__X86

#include <stdatomic.h>
#include <string.h>

#include "kernels/x86/load_bf16.h"
#include "kernels/x86/target.h"

#define PACK_TARGET ISB_TARGET_AVX512X
#define PACK_K 2
#define PACK_ALONG isb__load_bf16_along
#define PACK_STEPS isb__load_bf16_steps
#include "kernels/x86/pack_avx512_template.h"

#define AMX_TARGET ISB_TARGET_AMX
#define AMX_ZERO(t) _tile_zero(t)
#define AMX_LOAD(t, p, stride) _tile_loadd(t, p, stride)
#define AMX_STORE(t, p, stride) _tile_stored(t, p, stride)
#define AMX_DPBF16(c, a, b) _tile_dpbf16ps(c, a, b)
#include "kernels/x86/gemm_amx_template.h"

/* One tile of A: 16 rows of 32 k; `rows` and n_k of them exist. */
ISB_TARGET_AVX512X ISB_INLINE void pack_a_tile(size_t rows, size_t n_k, const float *a, ptrdiff_t row_stride,
                                               ptrdiff_t col_stride, uint16_t *tile) {
    __m512i r[16];
    if (row_stride == 1) {
#define LOAD(s)                                                                                                \
    r[s] = 2 * s < n_k ? isb__load_bf16_along(a + (ptrdiff_t)(2 * s) * col_stride, col_stride, n_k - 2 * s,   \
                                              first16(rows))                                                   \
                       : _mm512_setzero_si512();
        ISB_REPEAT16(LOAD)
#undef LOAD
        transpose16(r);
    } else {
#define LOAD(i) r[i] = pack_row(i, rows, n_k, a, row_stride, col_stride);
        ISB_REPEAT16(LOAD)
#undef LOAD
    }
#define STORE(i) _mm512_storeu_si512(tile + i * KR, r[i]);
    ISB_REPEAT16(STORE)
#undef STORE
}

ISB_TARGET_AVX512X static void pack_a(size_t m, size_t k, const float *a, ptrdiff_t row_stride, ptrdiff_t col_stride,
                                      void *panel) {
    uint16_t *tile = panel;
    for (size_t p = 0; p < k; p += KR) {
        for (size_t i = 0; i < MR; i += TILE, tile += TILE * KR) {
            const float *from = a + (ptrdiff_t)p * col_stride + (i < m ? (ptrdiff_t)i * row_stride : 0);
            pack_a_tile(i < m ? m - i : 0, k - p, from, row_stride, col_stride, tile);
        }
    }
}

ISB_TARGET_AVX512X static void pack_b(size_t k, size_t n, const float *b, ptrdiff_t row_stride, ptrdiff_t col_stride,
                                      void *panel) {
    pack_panel(NR, n, k, isb__round_up(k, KR), b, col_stride, row_stride, panel);
}

/* All eight tiles are 16 rows of 64 bytes.  The layout is that of LDTILECFG.  Static, because gcc 12 tells its optimiser
 * that the instruction reads 8 bytes, and would drop the stores to the rest of a local. */
ISB_TARGET_AMX static void begin(void) {
    static const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_nbytes[16];
        uint8_t rows[16];
    } config = {.palette = 1,
                .row_nbytes = {64, 64, 64, 64, 64, 64, 64, 64},
                .rows = {TILE, TILE, TILE, TILE, TILE, TILE, TILE, TILE}};
    _tile_loadconfig(&config);
}

ISB_TARGET_AMX static void end(void) { _tile_release(); }

const isb__gemm_kernel isb__gemm_bf16_amx = {
    .name = "bf16_amx_32x32",
    .mr = MR, .nr = NR, .kr = KR,
    .mc = 512, .nc = 512, .kc = 512,
    .element_nbytes = sizeof(uint16_t),
    .pack_a = pack_a, .pack_b = pack_b, .micro = micro,
    .begin = begin, .end = end,
};

#endif
