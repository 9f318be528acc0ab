/* Matrix products over the ops table.
 *
 * The micro kernel multiplies two packed panels into an mr x nr tile of C.  Around it (Goto and van de Geijn 2008;
 * Van Zee and van de Geijn 2015):
 *
 *     for each super block of N, K, M whose packed operands fit the shared scratch (in L3)
 *         pack A and B                                 one parallel loop over panels
 *         for each tile of C                           one parallel loop
 *             for each block of kc                     the A block, tile rows x kc, stays in L2
 *                 for each B panel, for each A panel   micro kernel
 *
 * Packed operands lie in blocks of kc, each block a row of panels, so that what a tile reads is contiguous:
 *
 *     | panel 0, k 0..kc | panel 1, k 0..kc | ... || panel 0, k kc..2kc | panel 1, k kc..2kc | ... || ...
 *
 * All blocks of k of one element of C follow in order with C as the accumulator, so the result does not depend on any
 * block size, on the number of threads, or on who runs which task. */
#include "nn/matmul.h"

#include <assert.h>
#include <string.h>

enum {
    SHARED_NBYTES = 8 << 20, /* of each packed operand; both lie in L3 together */
    SUPER_K = 2048,          /* longest k of a super block */
    SERIAL_WORK = 1 << 20, /* multiply-adds below which a parallel loop costs more than it gains */
    TASKS_PER_THREAD = 4   /* at least, so that threads finish together */
};

struct isb__matmul_scratch {
    isb_context *ctx;
    size_t shared_nbytes[2]; /* of packed A and of packed B */
    size_t thread_nbytes[2]; /* the same, one block each, per thread */
    char *shared[2];
    char *threads; /* n_threads times: A block, B block */
};

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }
static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* ---- packed operands ---- */

typedef isb__packed packed;

static packed packed_make(const isb__gemm_kernel *kernel, size_t width, size_t extent, size_t k,
                          void *data) {
    return (packed){kernel, width, isb__round_up(extent, width), k, data, 0};
}

static size_t block_k(const packed *x, size_t at_k) {
    return isb__round_up(min_size(x->kernel->kc, x->k - at_k), x->kernel->kr);
}

/* The panel that begins at row or column `at` (a multiple of width), its part in the block that begins at `at_k`. */
static char *packed_panel(const packed *x, size_t at, size_t at_k) {
    return x->data + (at_k * x->extent + at * block_k(x, at_k)) * x->kernel->element_nbytes;
}

/* Packs rows [at, at + width) of a (or columns of b) for all k. */
static void pack_a_panel(const packed *x, isb__view a, size_t M, size_t at) {
    const isb__gemm_kernel *kernel = x->kernel;
    for (size_t k = 0; k < x->k; k += kernel->kc) {
        kernel->pack_a(min_size(x->width, M - at), min_size(kernel->kc, x->k - k),
                       a.data + (ptrdiff_t)at * a.rs + (ptrdiff_t)k * a.cs, a.rs, a.cs,
                       packed_panel(x, at, k));
    }
}

static void pack_b_panel(const packed *x, isb__view b, size_t N, size_t at) {
    const isb__gemm_kernel *kernel = x->kernel;
    for (size_t k = 0; k < x->k; k += kernel->kc) {
        kernel->pack_b(min_size(kernel->kc, x->k - k), min_size(x->width, N - at),
                       b.data + (ptrdiff_t)at * b.cs + (ptrdiff_t)k * b.rs, b.rs, b.cs,
                       packed_panel(x, at, k));
    }
}

/* ---- one tile of C ---- */

/* Bytes from one panel to the next. */
typedef struct strides {
    size_t a, b;
} strides;

static size_t panel_nbytes(const packed *x, size_t k) {
    const size_t block = k / x->kernel->kc * x->kernel->kc;
    return x->width * block_k(x, block) * x->kernel->element_nbytes;
}

/* C[m, n] (+)= A block * B block for kb elements of k. */
static void multiply_block(const isb__gemm_kernel *kernel, size_t m, size_t n, size_t kb,
                           strides step, const char *a, const char *b, float *c, size_t ldc,
                           int accumulate) {
    for (size_t j = 0; j < n; j += kernel->nr, b += step.b) {
        const size_t nb = min_size(kernel->nr, n - j);
        const char *a_panel = a;
        for (size_t i = 0; i < m; i += kernel->mr, a_panel += step.a) {
            kernel->micro(min_size(kernel->mr, m - i), nb, kb, a_panel, b, c + i * ldc + j, ldc,
                          accumulate);
        }
    }
}

static void kernel_begin(const isb__gemm_kernel *kernel) {
    if (kernel->begin) kernel->begin();
}
static void kernel_end(const isb__gemm_kernel *kernel) {
    if (kernel->end) kernel->end();
}

static void zero_c(size_t M, size_t N, float *c, size_t ldc) {
    for (size_t i = 0; i < M; ++i) memset(c + i * ldc, 0, N * sizeof *c);
}

/* ---- products on all threads ---- */

/* A super block in work: C[m, n] (+)= A[m, k] * B[k, n].  B is columns [b_begin, b_begin + n) and k from b_begin_k of `b`. */
typedef struct product {
    packed a, b;
    isb__view a_view, b_view;
    size_t m, n, k, b_begin, b_begin_k;
    size_t n_a_tasks, n_b_tasks, a_task, b_task; /* packing: tasks, and rows or columns of one */
    size_t tile_m, tile_n, tiles_n;
    float *c;
    size_t ldc;
    int accumulate;
} product;

static void pack_task(void *arg, size_t task, int thread) {
    const product *p = arg;
    (void)thread;
    if (task < p->n_a_tasks) {
        const size_t end = min_size((task + 1) * p->a_task, p->m);
        for (size_t i = task * p->a_task; i < end; i += p->a.width)
            pack_a_panel(&p->a, p->a_view, p->m, i);
    } else {
        task -= p->n_a_tasks;
        const size_t end = min_size((task + 1) * p->b_task, p->n);
        for (size_t j = task * p->b_task; j < end; j += p->b.width)
            pack_b_panel(&p->b, p->b_view, p->n, j);
    }
}

static void tile_task(void *arg, size_t task, int thread) {
    const product *p = arg;
    (void)thread;
    const isb__gemm_kernel *kernel = p->a.kernel;
    const size_t i = task / p->tiles_n * p->tile_m, j = task % p->tiles_n * p->tile_n;
    const size_t m = min_size(p->tile_m, p->m - i), n = min_size(p->tile_n, p->n - j);
    float *c = p->c + i * p->ldc + j;
    kernel_begin(kernel);
    for (size_t k = 0; k < p->k; k += kernel->kc) {
        const strides step = {panel_nbytes(&p->a, k), panel_nbytes(&p->b, p->b_begin_k + k)};
        multiply_block(kernel, m, n, block_k(&p->a, k), step, packed_panel(&p->a, i, k),
                       packed_panel(&p->b, p->b_begin + j, p->b_begin_k + k), c, p->ldc,
                       p->accumulate || k > 0);
    }
    kernel_end(kernel);
}

static void run_tasks(isb_context *ctx, size_t n_tasks, isb__task_fn fn, product *p, size_t work) {
    if (work >= SERIAL_WORK) {
        isb__parallel(ctx, n_tasks, fn, p);
    } else {
        for (size_t task = 0; task < n_tasks; ++task) fn(p, task, 0);
    }
}

/* Rows or columns of one packing task: whole panels, at least 8192 elements. */
static size_t pack_task_extent(const packed *x) {
    return x->width * max_size(1, 8192 / (x->width * x->k));
}

/* Tiles are as tall as mc and as wide as nc, less where threads would be left without work; even in height. */
static void choose_tiles(product *p, size_t n_threads) {
    const isb__gemm_kernel *kernel = p->a.kernel;
    const size_t wanted = n_threads == 1 ? 1 : n_threads * TASKS_PER_THREAD;
    p->tile_m = isb__round_up(ceil_div(p->m, ceil_div(p->m, kernel->mc)), kernel->mr);
    p->tile_n = min_size(kernel->nc, isb__round_up(p->n, kernel->nr));
    for (;;) {
        p->tiles_n = ceil_div(p->n, p->tile_n);
        if (ceil_div(p->m, p->tile_m) * p->tiles_n >= wanted) return;
        if (p->tile_n >= p->tile_m && p->tile_n > kernel->nr) {
            p->tile_n = isb__round_up(p->tile_n / 2, kernel->nr);
        } else if (p->tile_m > kernel->mr) {
            p->tile_m = isb__round_up(p->tile_m / 2, kernel->mr);
        } else if (p->tile_n > kernel->nr) {
            p->tile_n = isb__round_up(p->tile_n / 2, kernel->nr);
        } else {
            return;
        }
    }
}

/* Packs what is to be packed (B only if `pack_b`; A always), then computes. */
static void run_product(isb_context *ctx, product *p, int pack_b) {
    p->a_task = pack_task_extent(&p->a);
    p->b_task = pack_task_extent(&p->b);
    p->n_a_tasks = ceil_div(p->m, p->a_task);
    p->n_b_tasks = pack_b ? ceil_div(p->n, p->b_task) : 0;
    const size_t pack_work = 8 * p->k * (p->m + (pack_b ? p->n : 0));
    run_tasks(ctx, p->n_a_tasks + p->n_b_tasks, pack_task, p, pack_work);
    choose_tiles(p, (size_t)isb__thread_count(ctx));
    run_tasks(ctx, ceil_div(p->m, p->tile_m) * p->tiles_n, tile_task, p, p->n * p->k * (p->m + 8));
}

/* Longest k of a super block: whole blocks of kc. */
static size_t super_k(const isb__gemm_kernel *kernel, size_t K) {
    return min_size(isb__round_up(K, kernel->kr), max_size(1, SUPER_K / kernel->kc) * kernel->kc);
}

/* Rows or columns, in whole panels, of a super block of k that fit the bytes. */
static size_t super_extent(const isb__gemm_kernel *kernel, size_t width, size_t extent, size_t k,
                           size_t nbytes) {
    const size_t fit =
        nbytes / (isb__round_up(k, kernel->kr) * kernel->element_nbytes) / width * width;
    assert(fit > 0);
    return min_size(fit, isb__round_up(extent, width));
}

/* All of C, by super blocks.  b_ready: B packed whole, or NULL. */
static void multiply(isb_context *ctx, const isb__gemm_kernel *kernel, isb__matmul_scratch *scratch,
                     size_t M, size_t N, size_t K, isb__view a, isb__view b, const packed *b_ready,
                     float *c, size_t ldc, int accumulate) {
    if (K == 0 && !accumulate) zero_c(M, N, c, ldc);
    if (M == 0 || N == 0 || K == 0) return;
    const size_t sk = super_k(kernel, K);
    const size_t sm = super_extent(kernel, kernel->mr, M, sk, scratch->shared_nbytes[0]);
    const size_t sn =
        b_ready ? N : super_extent(kernel, kernel->nr, N, sk, scratch->shared_nbytes[1]);
    for (size_t j = 0; j < N; j += sn) {
        for (size_t k = 0; k < K; k += sk) {
            for (size_t i = 0; i < M; i += sm) {
                product p = {
                    .m = min_size(sm, M - i), .n = min_size(sn, N - j), .k = min_size(sk, K - k)};
                p.a = packed_make(kernel, kernel->mr, p.m, p.k, scratch->shared[0]);
                p.b = b_ready ? *b_ready
                              : packed_make(kernel, kernel->nr, p.n, p.k, scratch->shared[1]);
                p.b_begin = b_ready ? j : 0;
                p.b_begin_k = b_ready ? k : 0;
                p.a_view =
                    (isb__view){a.data + (ptrdiff_t)i * a.rs + (ptrdiff_t)k * a.cs, a.rs, a.cs};
                if (!b_ready)
                    p.b_view =
                        (isb__view){b.data + (ptrdiff_t)k * b.rs + (ptrdiff_t)j * b.cs, b.rs, b.cs};
                p.c = c + i * ldc + j;
                p.ldc = ldc;
                p.accumulate = accumulate || k > 0;
                run_product(ctx, &p, !b_ready && i == 0);
            }
        }
    }
}

void isb__matmul(isb_context *ctx, const isb__gemm_kernel *kernel, isb__matmul_scratch *scratch,
                 size_t M, size_t N, size_t K, isb__view a, isb__view b, float *c, size_t ldc,
                 int accumulate) {
    multiply(ctx, kernel, scratch, M, N, K, a, b, NULL, c, ldc, accumulate);
}

/* ---- B packed beforehand ---- */

size_t isb__packed_b_nbytes(const isb__gemm_kernel *kernel, size_t K, size_t N) {
    return isb__round_up(K, kernel->kr) * isb__round_up(N, kernel->nr) * kernel->element_nbytes;
}

void isb__pack_b(isb_context *ctx, const isb__gemm_kernel *kernel, size_t K, size_t N, isb__view b,
                 isb__packed_b *result) {
    *result = (isb__packed_b){kernel, K, N, result->data};
    if (K == 0 || N == 0) return;
    product p = {
        .n = N, .k = K, .b_view = b, .b = packed_make(kernel, kernel->nr, N, K, result->data)};
    p.b_task = pack_task_extent(&p.b);
    p.n_b_tasks = ceil_div(N, p.b_task);
    run_tasks(ctx, p.n_b_tasks, pack_task, &p, 8 * K * N);
}

void isb__matmul_packed(isb_context *ctx, isb__matmul_scratch *scratch, size_t M, isb__view a,
                        const isb__packed_b *b, float *c, size_t ldc, int accumulate) {
    const packed ready = packed_make(b->kernel, b->kernel->nr, b->N, b->K, b->data);
    multiply(ctx, b->kernel, scratch, M, b->N, b->K, a, (isb__view){NULL, 0, 0}, &ready, c, ldc,
             accumulate);
}

/* ---- operands packed by parts ---- */

isb__packed isb__packed_a_at(const isb__gemm_kernel *kernel, size_t M, size_t K, void *data) {
    return packed_make(kernel, kernel->mr, M, K, data);
}

isb__packed isb__packed_b_at(const isb__gemm_kernel *kernel, size_t K, size_t N, void *data) {
    packed x = packed_make(kernel, kernel->nr, N, K, data);
    x.is_b = 1;
    return x;
}

size_t isb__packed_nbytes(const isb__packed *x) {
    return x->extent * isb__round_up(x->k, x->kernel->kr) * x->kernel->element_nbytes;
}

/* Element k of the panel at `at`, and how many follow in the same block. */
static char *packed_at(const packed *x, size_t at, size_t k) {
    const size_t block = k / x->kernel->kc * x->kernel->kc;
    return packed_panel(x, at, block) + (k - block) * x->width * x->kernel->element_nbytes;
}
static size_t left_in_block(const packed *x, size_t k) { return x->kernel->kc - k % x->kernel->kc; }

void isb__pack_part(const isb__packed *to, size_t at, size_t extent, size_t k, size_t n_k,
                    isb__view x) {
    const isb__gemm_kernel *kernel = to->kernel;
    assert(at % to->width == 0 && k % kernel->kr == 0);
    for (size_t done = 0, n; done < n_k; done += n) {
        n = min_size(n_k - done, left_in_block(to, k + done));
        for (size_t i = 0; i < extent; i += to->width) {
            const float *from = x.data + (ptrdiff_t)i * x.rs + (ptrdiff_t)done * x.cs;
            const size_t width = min_size(to->width, extent - i);
            char *panel = packed_at(to, at + i, k + done);
            if (to->is_b) {
                kernel->pack_b(n, width, from, x.cs, x.rs, panel);
            } else {
                kernel->pack_a(width, n, from, x.rs, x.cs, panel);
            }
        }
    }
}

void isb__multiply_part(isb__part a, isb__part b, size_t m, size_t n, size_t k, float *c,
                        size_t ldc, int accumulate) {
    const isb__gemm_kernel *kernel = a.packed->kernel;
    kernel_begin(kernel);
    for (size_t done = 0, part; done < k; done += part) {
        const size_t at_a = a.k + done, at_b = b.k + done;
        part = min_size(k - done, min_size(left_in_block(a.packed, at_a),
                                           left_in_block(b.packed, at_b)));
        const strides step = {panel_nbytes(a.packed, at_a), panel_nbytes(b.packed, at_b)};
        multiply_block(kernel, m, n, isb__round_up(part, kernel->kr), step,
                       packed_at(a.packed, a.at, at_a), packed_at(b.packed, b.at, at_b), c, ldc,
                       accumulate || done > 0);
    }
    kernel_end(kernel);
}

void isb__multiply_packed(isb_context *ctx, const isb__packed *a, const isb__packed *b, size_t M,
                          size_t N, float *c, size_t ldc, int accumulate) {
    assert(a->k == b->k && a->k > 0);
    product p = {.a = *a, .b = *b, .m = M, .n = N, .k = a->k, .c = c, .ldc = ldc,
                 .accumulate = accumulate};
    choose_tiles(&p, (size_t)isb__thread_count(ctx));
    run_tasks(ctx, ceil_div(M, p.tile_m) * p.tiles_n, tile_task, &p, N * p.k * (M + 8));
}

/* ---- on one thread ---- */

void isb__matmul_on_thread(const isb__gemm_kernel *kernel, isb__matmul_scratch *scratch, int thread,
                           size_t M, size_t N, size_t K, isb__view a, isb__view b, float *c,
                           size_t ldc, int accumulate) {
    if (K == 0 && !accumulate) zero_c(M, N, c, ldc);
    char *a_block =
        scratch->threads + (size_t)thread * (scratch->thread_nbytes[0] + scratch->thread_nbytes[1]);
    char *b_block = a_block + scratch->thread_nbytes[0];
    kernel_begin(kernel);
    for (size_t j = 0; j < N; j += kernel->nc) {
        const size_t n = min_size(kernel->nc, N - j);
        for (size_t k = 0; k < K; k += kernel->kc) {
            const size_t kb = min_size(kernel->kc, K - k);
            const packed pb = packed_make(kernel, kernel->nr, n, kb, b_block);
            const isb__view bk = {b.data + (ptrdiff_t)k * b.rs + (ptrdiff_t)j * b.cs, b.rs, b.cs};
            for (size_t at = 0; at < n; at += kernel->nr) pack_b_panel(&pb, bk, n, at);
            for (size_t i = 0; i < M; i += kernel->mc) {
                const size_t m = min_size(kernel->mc, M - i);
                const packed pa = packed_make(kernel, kernel->mr, m, kb, a_block);
                const isb__view ak = {a.data + (ptrdiff_t)i * a.rs + (ptrdiff_t)k * a.cs, a.rs,
                                      a.cs};
                for (size_t at = 0; at < m; at += kernel->mr) pack_a_panel(&pa, ak, m, at);
                multiply_block(kernel, m, n, block_k(&pa, 0),
                               (strides){panel_nbytes(&pa, 0), panel_nbytes(&pb, 0)}, a_block,
                               b_block, c + i * ldc + j, ldc, accumulate || k > 0);
            }
        }
    }
    kernel_end(kernel);
}

/* A block of A is packed once and meets all of B, which streams by. */
void isb__matmul_packed_on_thread(isb__matmul_scratch *scratch, int thread, size_t M, isb__view a,
                                  const isb__packed_b *b, float *c, size_t ldc, int accumulate) {
    const isb__gemm_kernel *kernel = b->kernel;
    const packed ready = packed_make(kernel, kernel->nr, b->N, b->K, b->data);
    if (b->K == 0 && !accumulate) zero_c(M, b->N, c, ldc);
    char *a_block =
        scratch->threads + (size_t)thread * (scratch->thread_nbytes[0] + scratch->thread_nbytes[1]);
    kernel_begin(kernel);
    for (size_t i = 0; i < M; i += kernel->mc) {
        const size_t m = min_size(kernel->mc, M - i);
        for (size_t k = 0; k < b->K; k += kernel->kc) {
            const packed pa =
                packed_make(kernel, kernel->mr, m, min_size(kernel->kc, b->K - k), a_block);
            const isb__view ak = {a.data + (ptrdiff_t)i * a.rs + (ptrdiff_t)k * a.cs, a.rs, a.cs};
            for (size_t at = 0; at < m; at += kernel->mr) pack_a_panel(&pa, ak, m, at);
            multiply_block(kernel, m, b->N, block_k(&pa, 0),
                           (strides){panel_nbytes(&pa, 0), panel_nbytes(&ready, k)}, a_block,
                           packed_panel(&ready, 0, k), c + i * ldc, ldc, accumulate || k > 0);
        }
    }
    kernel_end(kernel);
}

/* ---- scratch ---- */

/* Bytes of `extent` rows or columns, padded; no more than `cap` as long as one panel fits. */
static size_t operand_nbytes(const isb__gemm_kernel *kernel, size_t width, size_t extent, size_t k,
                             size_t cap) {
    const size_t row_nbytes = isb__round_up(max_size(k, 1), kernel->kr) * kernel->element_nbytes;
    const size_t nbytes = isb__round_up(max_size(extent, 1), width) * row_nbytes;
    return isb__round_up(min_size(nbytes, max_size(cap, width * row_nbytes)), ISB__ALIGNMENT);
}

static void scratch_need(isb__matmul_scratch *s, const isb__gemm_kernel *kernel, size_t M, size_t N,
                         size_t K) {
    const size_t sk = super_k(kernel, K);
    const size_t need[4] = {operand_nbytes(kernel, kernel->mr, M, sk, SHARED_NBYTES),
                            operand_nbytes(kernel, kernel->nr, N, sk, SHARED_NBYTES),
                            operand_nbytes(kernel, kernel->mr, min_size(M, kernel->mc),
                                           min_size(K, kernel->kc), SIZE_MAX),
                            operand_nbytes(kernel, kernel->nr, min_size(N, kernel->nc),
                                           min_size(K, kernel->kc), SIZE_MAX)};
    for (int i = 0; i < 2; ++i) {
        s->shared_nbytes[i] = max_size(s->shared_nbytes[i], need[i]);
        s->thread_nbytes[i] = max_size(s->thread_nbytes[i], need[2 + i]);
    }
}

isb_status isb__matmul_scratch_create(isb_context *ctx, size_t max_m, size_t max_n, size_t max_k,
                                      isb__matmul_scratch **scratch) {
    *scratch = NULL;
    isb__matmul_scratch *s = NULL;
    isb_status status = ISB_OK;
    ISB_TRY(isb__alloc(ctx, sizeof *s, &s));
    s->ctx = ctx;
    const isb__gemm_kernel *kernel;
    isb__cpu_tier needed;
    for (size_t i = 0; (kernel = isb__gemm_kernel_at(i, &needed)) != NULL; ++i) {
        if (needed <= ctx->cpu) scratch_need(s, kernel, max_m, max_n, max_k);
    }
    ISB_TRY_GOTO(isb__alloc(ctx, s->shared_nbytes[0], &s->shared[0]));
    ISB_TRY_GOTO(isb__alloc(ctx, s->shared_nbytes[1], &s->shared[1]));
    ISB_TRY_GOTO(isb__alloc_array(ctx, (size_t)isb__thread_count(ctx),
                                  s->thread_nbytes[0] + s->thread_nbytes[1], &s->threads));
    *scratch = s;
    return ISB_OK;
fail:
    isb__matmul_scratch_free(s);
    return status;
}

void isb__matmul_scratch_free(isb__matmul_scratch *scratch) {
    if (!scratch) return;
    isb__free(scratch->ctx, scratch->shared[0]);
    isb__free(scratch->ctx, scratch->shared[1]);
    isb__free(scratch->ctx, scratch->threads);
    isb__free(scratch->ctx, scratch);
}
