/* Template: the 32 x 32 micro kernel of AMX, as 2 x 2 tiles of 16 x 16 sums.
 *
 *     A panel   [k / 32][2][16][32] bf16    for each 32 k: two tiles of 16 rows
 *     B panel   [k / 2][32][2] bf16         16 rows of it are two tiles side by side, each row a pair of k for 16 columns
 *
 *                 B: tile 6    tile 7
 *     A: tile 4   C: 0         1            a step is 4 loads and 4 products: 64 cycles of tile arithmetic for 4 KiB
 *        tile 5      2         3
 *
 * The includer defines AMX_TARGET and the instructions AMX_ZERO(t), AMX_LOAD(t, p, stride_nbytes), AMX_STORE(...) and
 * AMX_DPBF16(c, a, b), t a literal; tests put an emulation in their place, so this logic runs on any machine.  It also
 * includes <stdatomic.h> and <string.h>. */

enum { TILE = 16, MR = 2 * TILE, NR = 2 * TILE, KR = 32, STEP_NBYTES = MR * KR * 2, B_STRIDE = NR * 4 };

/* C, at most 32 x 32, as whole tiles in a buffer. */
static void copy_in(size_t m, size_t n, const float *c, size_t ldc, float *buffer) {
    for (size_t i = 0; i < m; ++i) memcpy(buffer + i * NR, c + i * ldc, n * sizeof *c);
}
static void copy_out(size_t m, size_t n, const float *buffer, float *c, size_t ldc) {
    for (size_t i = 0; i < m; ++i) memcpy(c + i * ldc, buffer + i * NR, n * sizeof *c);
}

AMX_TARGET static void tiles_2x2(size_t n_steps, const char *a, const char *b, float *c, size_t ldc, int accumulate) {
    const size_t stride = ldc * sizeof *c;
    if (accumulate) {
        AMX_LOAD(0, c, stride);
        AMX_LOAD(1, c + TILE, stride);
        AMX_LOAD(2, c + TILE * ldc, stride);
        AMX_LOAD(3, c + TILE * ldc + TILE, stride);
    } else {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_ZERO(2);
        AMX_ZERO(3);
    }
    for (size_t s = 0; s < n_steps; ++s, a += STEP_NBYTES, b += STEP_NBYTES) {
        AMX_LOAD(6, b, B_STRIDE);
        AMX_LOAD(4, a, KR * 2);
        AMX_LOAD(7, b + TILE * 4, B_STRIDE);
        AMX_DPBF16(0, 4, 6);
        AMX_LOAD(5, a + STEP_NBYTES / 2, KR * 2);
        AMX_DPBF16(1, 4, 7);
        AMX_DPBF16(2, 5, 6);
        AMX_DPBF16(3, 5, 7);
    }
    AMX_STORE(0, c, stride);
    AMX_STORE(1, c + TILE, stride);
    AMX_STORE(2, c + TILE * ldc, stride);
    AMX_STORE(3, c + TILE * ldc + TILE, stride);
}

/* At most 16 rows: the lower tiles of A are not touched. */
AMX_TARGET static void tiles_1x2(size_t n_steps, const char *a, const char *b, float *c, size_t ldc, int accumulate) {
    const size_t stride = ldc * sizeof *c;
    if (accumulate) {
        AMX_LOAD(0, c, stride);
        AMX_LOAD(1, c + TILE, stride);
    } else {
        AMX_ZERO(0);
        AMX_ZERO(1);
    }
    for (size_t s = 0; s < n_steps; ++s, a += STEP_NBYTES, b += STEP_NBYTES) {
        AMX_LOAD(4, a, KR * 2);
        AMX_LOAD(6, b, B_STRIDE);
        AMX_LOAD(7, b + TILE * 4, B_STRIDE);
        AMX_DPBF16(0, 4, 6);
        AMX_DPBF16(1, 4, 7);
    }
    AMX_STORE(0, c, stride);
    AMX_STORE(1, c + TILE, stride);
}

AMX_TARGET static void micro(size_t m, size_t n, size_t kb, const void *a, const void *b, float *c, size_t ldc,
                             int accumulate) {
    float buffer[MR * NR];
    const int direct = n == NR && (m == TILE || m == MR);
    float *to = direct ? c : buffer;
    const size_t ldto = direct ? ldc : NR;
    if (accumulate && !direct) {
        memset(buffer, 0, sizeof buffer);
        copy_in(m, n, c, ldc, buffer);
        atomic_signal_fence(memory_order_seq_cst); /* gcc 12 does not know that a tile load reads memory */
    }
    if (m > TILE) {
        tiles_2x2(kb / KR, a, b, to, ldto, accumulate);
    } else {
        tiles_1x2(kb / KR, a, b, to, ldto, accumulate);
    }
    if (!direct) copy_out(m, n, buffer, c, ldc);
}
