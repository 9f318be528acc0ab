/* M1's products on AMX with the tile instructions emulated, so that their logic runs on every machine.
 *
 * The emulation follows the instruction set reference: eight tiles, each with the rows and bytes a row of its
 * configuration, rows of which are all that a load or store touches; TDPBSSD adds four products of signed bytes. */
#include <stdatomic.h>

#include "check.h"
#include "guard.h"
#include "kernels/tiers.h"

#ifndef ISB_INLINE
#define ISB_INLINE static inline
#endif

enum { N_TILES = 8, TILE_ROWS = 16, TILE_ROW_NBYTES = 64 };

static int8_t tile_data[N_TILES][TILE_ROWS][TILE_ROW_NBYTES];
static size_t tile_rows[N_TILES], tile_row_nbytes[N_TILES];

static void emulate_configure(const void *p) {
    const uint8_t *config = p;
    CHECK(config[0] == 1 && config[1] == 0);
    for (int t = 0; t < N_TILES; ++t) {
        uint16_t nbytes;
        memcpy(&nbytes, config + 16 + 2 * t, sizeof nbytes);
        tile_rows[t] = config[48 + t];
        tile_row_nbytes[t] = nbytes;
        CHECK(tile_rows[t] >= 1 && tile_rows[t] <= TILE_ROWS);
        CHECK(nbytes >= 1 && nbytes <= TILE_ROW_NBYTES);
    }
    memset(tile_data, 0, sizeof tile_data);
}
static void emulate_zero(int t) { memset(tile_data[t], 0, sizeof tile_data[t]); }
static void emulate_load(int t, const void *p, size_t stride) {
    emulate_zero(t);
    for (size_t row = 0; row < tile_rows[t]; ++row) {
        memcpy(tile_data[t][row], (const uint8_t *)p + row * stride, tile_row_nbytes[t]);
    }
}
static void emulate_store(int t, void *p, size_t stride) {
    for (size_t row = 0; row < tile_rows[t]; ++row) {
        memcpy((uint8_t *)p + row * stride, tile_data[t][row], tile_row_nbytes[t]);
    }
}
/* The processor refuses tiles whose shapes do not match. */
static void emulate_dpbssd(int c, int a, int b) {
    CHECK(tile_rows[a] == tile_rows[c] && tile_row_nbytes[b] == tile_row_nbytes[c] &&
          tile_row_nbytes[a] == 4 * tile_rows[b]);
    for (size_t i = 0; i < tile_rows[c]; ++i) {
        for (size_t j = 0; j < tile_row_nbytes[c] / 4; ++j) {
            int32_t sum;
            memcpy(&sum, &tile_data[c][i][4 * j], sizeof sum);
            for (size_t p = 0; p < tile_row_nbytes[a]; ++p) {
                sum += tile_data[a][i][p] * tile_data[b][p / 4][4 * j + p % 4];
            }
            memcpy(&tile_data[c][i][4 * j], &sum, sizeof sum);
        }
    }
}

#define AMX_TARGET
#define AMX_CONFIGURE(p) emulate_configure(p)
#define AMX_ZERO(t) emulate_zero(t)
#define AMX_LOAD(t, p, stride) emulate_load(t, p, stride)
#define AMX_STORE(t, p, stride) emulate_store(t, p, stride)
#define AMX_DPBSSD(c, a, b) emulate_dpbssd(c, a, b)
#include "kernels/x86/int8_amx_template.h"

static void test_product(isb__rng *rng, size_t m, size_t n, size_t k) {
    const size_t k_padded = isb__round_up(k, ISB__INT8_ALIGN), n_padded = isb__round_up(n, 16);
    const size_t lda = k_padded + isb__rng_below(rng, 2) * ISB__INT8_ALIGN,
                 ldc = n_padded + isb__rng_below(rng, 2) * 16;
    guard a = guard_alloc((m - 1) * lda + k_padded), w = guard_alloc(n * k);
    guard packed = guard_alloc(packed_nbytes(n, k));
    guard c = guard_alloc(((m - 1) * ldc + n_padded) * sizeof(int32_t));
    int8_t *rows = a.data, *weights = w.data;
    const int32_t *got = c.data;
    for (size_t i = 0; i < (m - 1) * lda + k_padded; ++i) {
        const size_t at = i % lda;
        rows[i] = at >= k && at < k_padded ? 0 : (int8_t)isb__rng_below(rng, 256);
    }
    for (size_t i = 0; i < n * k; ++i) weights[i] = (int8_t)isb__rng_below(rng, 256);
    pack(n, k, weights, packed.data);
    product(m, n, k, rows, lda, packed.data, c.data, ldc);
    int ok = 1;
    for (size_t i = 0; i < (m - 1) * ldc + n_padded; ++i) {
        const size_t r = i / ldc, j = i % ldc;
        int64_t sum = 0;
        for (size_t p = 0; j < n && p < k; ++p)
            sum += (int64_t)rows[r * lda + p] * weights[j * k + p];
        if (j < n) ok &= got[i] == sum;
        if (j >= n_padded) ok &= (uint32_t)got[i] == 0xa5a5a5a5;
    }
    char detail[80];
    snprintf(detail, sizeof detail, "m %zu n %zu k %zu", m, n, k);
    check_report(ok, __FILE__, __LINE__, "product", detail);
    guard *all[] = {&a, &w, &packed, &c};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) guard_free(all[i]);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    for (size_t m = 1; m <= 70; ++m) {
        test_product(&rng, m, random_size(&rng, 1, 70), random_size(&rng, 1, 200));
    }
    for (size_t n = 1; n <= 66; ++n) test_product(&rng, random_size(&rng, 1, 40), n, 64);
    return check_end();
}
