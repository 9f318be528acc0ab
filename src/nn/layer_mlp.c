/* The gated MLP (Shazeer 2020): down(act(gate x) * up x), act = silu or relu.
 *
 * A block of tokens goes through all of it at once.  The hidden rows are wide, so they are made a tile
 * of columns at a time, in L2, and packed there for the product that follows:
 *
 *     forward    gate, up = x W^T  ->  h = act(gate) up  ->  packed  ->  out = h Wdown^T
 *     backward   dh = dout Wdown  ->  h, dgate, dup  ->  packed along tokens, and along columns
 *                                                     ->  dx = dgate Wgate + dup Wup
 *
 * Of the hidden rows only gate and up go to memory; h is made again. */
#include "nn/layers.h"

static size_t tile_end(const isb__nn *nn, size_t begin, size_t F) {
    return begin + nn->tile < F ? begin + nn->tile : F;
}

void isb__mlp_forward_rows(const isb__nn *nn, const isb__mlp *mlp, isb__rows rows,
                           const isb__packed *x, float *gate_up, float *out) {
    const isb__work *work = &nn->work[rows.thread];
    const size_t F = mlp->F, ld = gate_up ? 2 * F : nn->tile;
    const isb__packed packed = isb__packed_a_at(nn->gemm, rows.n, F, work->wide_a[0]);
    float *h = work->tiles[0];
    for (size_t at = 0, end; at < F; at = end) {
        end = tile_end(nn, at, F);
        const size_t n = end - at;
        float *gate = gate_up ? gate_up + rows.begin * ld + at : work->tiles[1];
        float *up = gate_up ? gate + F : work->tiles[2];
        isb__linear_rows(rows, x, &mlp->gate->forward, at, n, gate, ld, 0);
        isb__linear_rows(rows, x, &mlp->up->forward, at, n, up, ld, 0);
        if (!out) continue;
        for (size_t i = 0; i < rows.n; ++i) {
            (mlp->relu ? nn->ops->relu_mul : nn->ops->silu_mul)(n, gate + i * ld, up + i * ld,
                                                                h + i * n);
        }
        isb__pack_part(&packed, 0, rows.n, at, n, isb__view_row_major(h, n));
    }
    if (out)
        isb__linear_rows(rows, &packed, &mlp->down->forward, 0, mlp->C, out + rows.begin * mlp->C,
                         mlp->C, 0);
}

/* h, dgate and dup [rows.n, n] from gate, up and dh. */
static void activation_backward(const isb__nn *nn, const isb__mlp *mlp, size_t n_rows, size_t n,
                                const float *gate, float *const tiles[4]) {
    const isb__ops *ops = nn->ops;
    for (size_t i = 0; i < n_rows; ++i, gate += 2 * mlp->F) {
        const float *up = gate + mlp->F, *dh = tiles[3] + i * n;
        float *dgate = tiles[1] + i * n, *dup = tiles[2] + i * n;
        (mlp->relu ? ops->relu_mul : ops->silu_mul)(n, gate, up, tiles[0] + i * n);
        (mlp->relu ? ops->relu_mul_backward : ops->silu_mul_backward)(n, gate, up, dh, dgate, dup);
    }
}

void isb__mlp_backward_rows(const isb__nn *nn, const isb__mlp *mlp, isb__rows rows,
                            const isb__packed *dout, const float *gate_up,
                            const isb__mlp_sums *sums, float *dx) {
    const isb__work *work = &nn->work[rows.thread];
    const size_t F = mlp->F;
    const isb__packed dgate = isb__packed_a_at(nn->gemm, rows.n, F, work->wide_a[0]),
                      dup = isb__packed_a_at(nn->gemm, rows.n, F, work->wide_a[1]);
    for (size_t at = 0, end; at < F; at = end) {
        end = tile_end(nn, at, F);
        const size_t n = end - at;
        isb__linear_rows(rows, dout, &mlp->down->backward, at, n, work->tiles[3], n, 0);
        activation_backward(nn, mlp, rows.n, n, gate_up + rows.begin * 2 * F + at, work->tiles);
        isb__pack_part(&dgate, 0, rows.n, at, n, isb__view_row_major(work->tiles[1], n));
        isb__pack_part(&dup, 0, rows.n, at, n, isb__view_row_major(work->tiles[2], n));
        isb__pack_tokens(&sums->h, rows, at, n, work->tiles[0], n);
        isb__pack_tokens(&sums->dgate, rows, at, n, work->tiles[1], n);
        isb__pack_tokens(&sums->dup, rows, at, n, work->tiles[2], n);
    }
    isb__linear_rows(rows, &dgate, &mlp->gate->backward, 0, mlp->C, dx, mlp->C, 0);
    isb__linear_rows(rows, &dup, &mlp->up->backward, 0, mlp->C, dx, mlp->C, 1);
}
