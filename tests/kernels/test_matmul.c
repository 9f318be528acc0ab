/* Matrix products: right on every kernel; the same bits for every number of threads, for packed and unpacked B, and on
 * one thread; exact kernels the same bits on every tier. */
#include <math.h>

#include "base/context.h"
#include "check.h"
#include "guard.h"
#include "nn/matmul.h"

enum { MAX_THREADS = 4 };

typedef struct shape {
    size_t m, n, k;
} shape;

/* Small, odd, flat and tall; more than one block of k, of M and of N; more than one super block of k, M and N. */
static const shape shapes[] = {
    {1, 1, 1},      {1, 33, 70},    {7, 5, 3},       {3, 700, 300},   {14, 32, 384},
    {15, 33, 385},  {64, 64, 64},   {130, 300, 90},  {600, 40, 50},   {40, 1100, 60},
    {33, 70, 2500}, {520, 530, 65}, {1100, 9, 2100}, {9, 1100, 2100},
};

typedef enum way { WAY_PLAIN, WAY_PACKED, WAY_ON_THREAD, N_WAYS } way;

typedef struct problem {
    shape s;
    int a_transposed, b_transposed, accumulate;
    size_t ldc;
    guard a, b, c; /* c: what is accumulated to */
} problem;

static problem problem_make(isb__rng *rng, shape s) {
    problem p = {.s = s, .ldc = s.n + random_size(rng, 0, 3)};
    p.a_transposed = (int)isb__rng_below(rng, 2);
    p.b_transposed = (int)isb__rng_below(rng, 2);
    p.accumulate = (int)isb__rng_below(rng, 2);
    p.a = guard_alloc(s.m * s.k * sizeof(float));
    p.b = guard_alloc(s.k * s.n * sizeof(float));
    p.c = guard_alloc(((s.m - 1) * p.ldc + s.n) * sizeof(float));
    random_floats(rng, s.m * s.k, p.a.data);
    random_floats(rng, s.k * s.n, p.b.data);
    random_floats(rng, (s.m - 1) * p.ldc + s.n, p.c.data);
    return p;
}

static void problem_free(problem *p) {
    guard_free(&p->a);
    guard_free(&p->b);
    guard_free(&p->c);
}

static isb__view view_a(const problem *p) {
    return p->a_transposed ? isb__view_transposed(p->a.data, p->s.m)
                           : isb__view_row_major(p->a.data, p->s.k);
}
static isb__view view_b(const problem *p) {
    return p->b_transposed ? isb__view_transposed(p->b.data, p->s.k)
                           : isb__view_row_major(p->b.data, p->s.n);
}
static size_t c_nbytes(const problem *p) {
    return ((p->s.m - 1) * p->ldc + p->s.n) * sizeof(float);
}

/* C by one way with n_threads; the caller frees. */
static guard solve(const problem *p, const isb__gemm_kernel *kernel, way how, int n_threads) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    isb_context *ctx = NULL;
    isb__matmul_scratch *scratch = NULL;
    const shape s = p->s;
    guard c = guard_alloc(c_nbytes(p));
    memcpy(c.data, p->c.data, c_nbytes(p));
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    CHECK_OK(ctx, isb__matmul_scratch_create(ctx, s.m, s.n, s.k, &scratch));
    if (how == WAY_PLAIN) {
        isb__matmul(ctx, kernel, scratch, s.m, s.n, s.k, view_a(p), view_b(p), c.data, p->ldc,
                    p->accumulate);
    } else if (how == WAY_PACKED) {
        const size_t nbytes = isb__packed_b_nbytes(kernel, s.k, s.n);
        guard packed =
            guard_alloc(isb__round_up(nbytes, 64)); /* then it begins on a multiple of 64 */
        isb__packed_b b = {.data = packed.data};
        isb__pack_b(ctx, kernel, s.k, s.n, view_b(p), &b);
        isb__matmul_packed(ctx, scratch, s.m, view_a(p), &b, c.data, p->ldc, p->accumulate);
        guard_free(&packed);
    } else {
        isb__matmul_on_thread(kernel, scratch, n_threads - 1, s.m, s.n, s.k, view_a(p), view_b(p),
                              c.data, p->ldc, p->accumulate);
    }
    isb__matmul_scratch_free(scratch);
    isb_context_free(ctx);
    return c;
}

/* Against double: k + 2 roundings of sums, and for bf16 two operands rounded by 2^-8 each. */
static int is_right(const problem *p, const isb__gemm_kernel *kernel, const float *got) {
    const isb__view a = view_a(p), b = view_b(p);
    const double unit =
        (kernel->element_nbytes == 4 ? 0.0 : 2.01 * 0x1p-8) + (double)(p->s.k + 2) * 0x1p-24;
    for (size_t i = 0; i < p->s.m; ++i) {
        for (size_t j = 0; j < p->s.n; ++j) {
            double sum = p->accumulate ? (double)((const float *)p->c.data)[i * p->ldc + j] : 0,
                   size = fabs(sum);
            for (size_t k = 0; k < p->s.k; ++k) {
                const double term = (double)a.data[(ptrdiff_t)i * a.rs + (ptrdiff_t)k * a.cs] *
                                    (double)b.data[(ptrdiff_t)k * b.rs + (ptrdiff_t)j * b.cs];
                sum += term;
                size += fabs(term);
            }
            if (!(fabs((double)got[i * p->ldc + j] - sum) <= unit * size)) return 0;
        }
    }
    return 1;
}

static void report(const problem *p, const isb__gemm_kernel *kernel, way how, int n_threads,
                   const char *what, int ok) {
    char detail[160];
    snprintf(detail, sizeof detail,
             "%s M %zu N %zu K %zu, A%s B%s accumulate %d, way %d, %d threads", kernel->name,
             p->s.m, p->s.n, p->s.k, p->a_transposed ? "'" : "", p->b_transposed ? "'" : "",
             p->accumulate, (int)how, n_threads);
    check_report(ok, __FILE__, __LINE__, what, detail);
}

/* All ways and numbers of threads give the bits of the first; returns those (the caller frees). */
static guard test_kernel(const problem *p, const isb__gemm_kernel *kernel) {
    guard first = solve(p, kernel, WAY_PLAIN, 1);
    report(p, kernel, WAY_PLAIN, 1, "close to the product in double",
           is_right(p, kernel, first.data));
    for (int how = 0; how < N_WAYS; ++how) {
        for (int n_threads = 1; n_threads <= MAX_THREADS; ++n_threads) {
            if (how == WAY_PLAIN && n_threads == 1) continue;
            guard c = solve(p, kernel, (way)how, n_threads);
            report(p, kernel, (way)how, n_threads, "same bits",
                   memcmp(c.data, first.data, c_nbytes(p)) == 0);
            guard_free(&c);
        }
    }
    return first;
}

static void test_shape(isb__rng *rng, shape s) {
    problem p = problem_make(rng, s);
    const isb__gemm_kernel *kernel;
    isb__cpu_tier needed;
    guard exact = {0};
    for (size_t i = 0; (kernel = isb__gemm_kernel_at(i, &needed)) != NULL; ++i) {
        if (needed > isb__cpu_detect()) continue;
        guard c = test_kernel(&p, kernel);
        if (i == 0) {
            exact = c;
            continue;
        }
        if (kernel->element_nbytes == 4) {
            report(&p, kernel, WAY_PLAIN, 1, "same bits as the portable kernel",
                   memcmp(c.data, exact.data, c_nbytes(&p)) == 0);
        }
        guard_free(&c);
    }
    guard_free(&exact);
    problem_free(&p);
}

/* K = 0 is a sum of nothing; M = 0 or N = 0 touches nothing. */
static void test_empty(void) {
    isb_context *ctx = NULL;
    isb__matmul_scratch *scratch = NULL;
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    CHECK_OK(ctx, isb__matmul_scratch_create(ctx, 4, 4, 0, &scratch));
    const isb__gemm_kernel *kernel = isb__ops_for(ctx->cpu)->gemm_close;
    const isb__view none = {NULL, 0, 0};
    float c[6] = {1, 2, 3, 4, 5, 6};
    isb__matmul(ctx, kernel, scratch, 2, 2, 0, none, none, c, 3, 1);
    CHECK(c[0] == 1 && c[1] == 2 && c[3] == 4 && c[4] == 5);
    isb__matmul(ctx, kernel, scratch, 0, 2, 0, none, none, c, 3, 0);
    isb__matmul(ctx, kernel, scratch, 2, 0, 0, none, none, c, 3, 0);
    CHECK(c[0] == 1 && c[1] == 2 && c[3] == 4 && c[4] == 5);
    isb__matmul(ctx, kernel, scratch, 2, 2, 0, none, none, c, 3, 0);
    CHECK(c[0] == 0 && c[1] == 0 && c[2] == 3 && c[3] == 0 && c[4] == 0 && c[5] == 6);
    c[0] = 9;
    isb__matmul_on_thread(kernel, scratch, 0, 1, 1, 0, none, none, c, 3, 0);
    CHECK(c[0] == 0);
    CHECK_EQ(isb__packed_b_nbytes(kernel, 0, 5), 0);
    isb__matmul_scratch_free(scratch);
    isb__matmul_scratch_free(NULL);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    unsetenv("ISB_CPU"); /* every kernel that runs here is tried, with scratch for it */
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    test_empty();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) test_shape(&rng, shapes[i]);
    return check_end();
}
