/* Template: M1's products on AMX tiles, 32 x 32 sums as 2 x 2 tiles of 16 x 16.
 *
 *     W panel   [k / 64][2][16][16][4] int8   for each 64 k: two tiles of 16 outputs, 16 rows of four k
 *     a         as it is: a tile is 64 bytes of 16 rows, which the padding of rows allows
 *
 *                 W: tile 6    tile 7
 *     a: tile 4   c: 0         1            a step is 4 loads and 4 products: 64 cycles of tile arithmetic for 4 KiB
 *        tile 5      2         3
 *
 * Rows of a come in blocks of one size, at most 32, so that one tile configuration serves a call: tiles of the upper rows
 * have up to 16 and those of the lower rows what is left.  The last block overlaps the one before, and its sums are
 * written again.
 *
 * The includer defines AMX_TARGET and the instructions AMX_CONFIGURE(p), AMX_ZERO(t), AMX_LOAD(t, p, stride_nbytes),
 * AMX_STORE(...) and AMX_DPBSSD(c, a, b), t a literal; tests put an emulation in their place, so this logic runs on any
 * machine.  It also includes <stdatomic.h>, <string.h> and kernels/tiers.h. */

enum { TILE = 16, STEP = 64, TILE_NBYTES = TILE * STEP, PANEL = 2 * TILE, MAX_ROWS = 2 * TILE };

/* The layout of LDTILECFG. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_nbytes[16];
    uint8_t rows[16];
} tile_config;

static size_t panel_nbytes(size_t k) { return isb__round_up(k, STEP) * PANEL; }

static size_t packed_nbytes(size_t n, size_t k) {
    return isb__round_up(n, PANEL) / PANEL * panel_nbytes(k);
}

static void pack(size_t n, size_t k, const int8_t *w, void *packed) {
    memset(packed, 0, packed_nbytes(n, k));
    for (size_t j = 0; j < n; ++j) {
        int8_t *tiles = (int8_t *)packed + j / PANEL * panel_nbytes(k) + j / TILE % 2 * TILE_NBYTES;
        int8_t *column = tiles + j % TILE * 4;
        for (size_t i = 0; i < k; ++i) {
            column[i / STEP * 2 * TILE_NBYTES + i % STEP / 4 * STEP + i % 4] = w[j * k + i];
        }
    }
}

/* `lower` and `right`: whether there are such tiles; constants in each copy of this function. */
AMX_TARGET ISB_INLINE void tiles(int lower, int right, size_t n_steps, const int8_t *a, size_t lda,
                                 const int8_t *w, int32_t *c, size_t ldc) {
    const size_t stride = ldc * sizeof *c;
    AMX_ZERO(0);
    if (right) AMX_ZERO(1);
    if (lower) AMX_ZERO(2);
    if (lower && right) AMX_ZERO(3);
    for (size_t s = 0; s < n_steps; ++s, a += STEP, w += 2 * TILE_NBYTES) {
        AMX_LOAD(6, w, STEP);
        AMX_LOAD(4, a, lda);
        if (right) AMX_LOAD(7, w + TILE_NBYTES, STEP);
        AMX_DPBSSD(0, 4, 6);
        if (lower) AMX_LOAD(5, a + TILE * lda, lda);
        if (right) AMX_DPBSSD(1, 4, 7);
        if (lower) AMX_DPBSSD(2, 5, 6);
        if (lower && right) AMX_DPBSSD(3, 5, 7);
    }
    AMX_STORE(0, c, stride);
    if (right) AMX_STORE(1, c + TILE, stride);
    if (lower) AMX_STORE(2, c + TILE * ldc, stride);
    if (lower && right) AMX_STORE(3, c + TILE * ldc + TILE, stride);
}

AMX_TARGET static void block_rows(int lower, int right, size_t n_steps, const int8_t *a, size_t lda,
                                  const int8_t *w, int32_t *c, size_t ldc) {
    if (lower && right) {
        tiles(1, 1, n_steps, a, lda, w, c, ldc);
    } else if (lower) {
        tiles(1, 0, n_steps, a, lda, w, c, ldc);
    } else if (right) {
        tiles(0, 1, n_steps, a, lda, w, c, ldc);
    } else {
        tiles(0, 0, n_steps, a, lda, w, c, ldc);
    }
}

/* Volatile, because gcc 12 tells its optimiser that LDTILECFG reads 8 bytes, and would drop the stores to the rest. */
AMX_TARGET static void configure(size_t rows) {
    const uint8_t upper = (uint8_t)(rows < TILE ? rows : TILE);
    /* Without lower rows their tiles are not used, but none may be empty. */
    const uint8_t lower = (uint8_t)(rows > TILE ? rows - TILE : TILE);
    volatile tile_config config = {.palette = 1,
                                   .row_nbytes = {STEP, STEP, STEP, STEP, STEP, STEP, STEP, STEP},
                                   .rows = {upper, upper, lower, lower, upper, lower, TILE, TILE}};
    AMX_CONFIGURE((const void *)&config);
}

AMX_TARGET static void product(size_t m, size_t n, size_t k, const int8_t *a, size_t lda,
                               const void *packed, int32_t *c, size_t ldc) {
    const size_t n_blocks = (m + MAX_ROWS - 1) / MAX_ROWS, rows = (m + n_blocks - 1) / n_blocks;
    const size_t n_steps = isb__round_up(k, STEP) / STEP;
    const int8_t *w = packed;
    /* Both fences: gcc 12 does not know that tile loads read memory, nor that stores write it. */
    atomic_signal_fence(memory_order_seq_cst);
    configure(rows);
    for (size_t j = 0; j < n; j += PANEL, w += panel_nbytes(k)) {
        for (size_t block = 0; block < n_blocks; ++block) {
            const size_t r = block * rows + rows <= m ? block * rows : m - rows;
            block_rows(rows > TILE, n - j > TILE, n_steps, a + r * lda, lda, w, c + r * ldc + j,
                       ldc);
        }
    }
    atomic_signal_fence(memory_order_seq_cst);
}
