/* Matrix products: every kernel of this machine over the shapes that training and generation use.
 *
 *     bench_gemm [--threads N] [--json] [--kernel NAME] [--shape M,N,K]
 *
 * One line a case: kernel, threads, operation, shape, median and best time, spread, GFLOP/s (of the median), percent of
 * the peak that registers alone allow on as many threads, ratio to the portable kernel; oneDNN's float32 product beside
 * the float32 kernels where the library was found at build time.
 *
 *     nn  C = A B            nt  C = A B', B stored by rows of N      tn  C = A' B, A stored by rows of K
 *     pk  C = A B, B packed beforehand                              th  nt on the calling thread (attention) */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/rng.h"
#include "nn/matmul.h"
#include "peak.h"
#include "timer.h"

#ifdef ISB_HAVE_DNNL
#include <dnnl.h>
#endif
#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

typedef enum operation { OP_NN, OP_NT, OP_TN, OP_PACKED, OP_THREAD } operation;
static const char *const operation_names[] = {"nn", "nt", "tn", "pk", "th"};

typedef struct shape {
    operation op;
    size_t m, n, k;
} shape;

static const shape shapes[] = {
    {OP_NN, 512, 512, 512},     {OP_NN, 1024, 1024, 1024},
    {OP_NN, 2048, 2048, 2048},  {OP_NT, 4096, 1024, 256},
    {OP_NT, 2048, 2048, 512},   {OP_NN, 2048, 512, 2048}, /* training, forward */
    {OP_TN, 512, 2048, 4096},   {OP_NT, 1024, 8192, 256}, /* dW; logits */
    {OP_PACKED, 1, 2048, 512},  {OP_PACKED, 8, 2048, 512},
    {OP_PACKED, 64, 2048, 512}, {OP_PACKED, 1, 8192, 2048},
    {OP_PACKED, 8, 8192, 2048}, {OP_PACKED, 1024, 2048, 512},
    {OP_THREAD, 64, 64, 64},    {OP_THREAD, 512, 512, 64},
    {OP_THREAD, 512, 64, 512},
};

typedef struct bench {
    isb_context *ctx;
    isb__matmul_scratch *scratch;
    const isb__gemm_kernel *kernel;
    isb__packed_b packed;
    shape s;
    float *a, *b, *c;
    int json;
} bench;

static void product(void *arg) {
    bench *x = arg;
    const shape s = x->s;
    const isb__view a =
        s.op == OP_TN ? isb__view_transposed(x->a, s.m) : isb__view_row_major(x->a, s.k);
    const isb__view b = s.op == OP_NT || s.op == OP_THREAD ? isb__view_transposed(x->b, s.k)
                                                           : isb__view_row_major(x->b, s.n);
    if (s.op == OP_PACKED) {
        isb__matmul_packed(x->ctx, x->scratch, s.m, a, &x->packed, x->c, s.n, 0);
    } else if (s.op == OP_THREAD) {
        isb__matmul_on_thread(x->kernel, x->scratch, 0, s.m, s.n, s.k, a, b, x->c, s.n, 0);
    } else {
        isb__matmul(x->ctx, x->kernel, x->scratch, s.m, s.n, s.k, a, b, x->c, s.n, 0);
    }
}

#ifdef ISB_HAVE_DNNL
/* OpenMP reads its variable when it is loaded, so the number of threads is set by call. */
static void set_openmp_threads(int n) {
    void (*set)(int);
    void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&set, &symbol, sizeof set);
    if (symbol) set(n);
}

static void product_dnnl(void *arg) {
    const bench *x = arg;
    const shape s = x->s;
    const char ta = s.op == OP_TN ? 'T' : 'N', tb = s.op == OP_NT || s.op == OP_THREAD ? 'T' : 'N';
    dnnl_sgemm(ta, tb, (dnnl_dim_t)s.m, (dnnl_dim_t)s.n, (dnnl_dim_t)s.k, 1.0f, x->a,
               (dnnl_dim_t)(ta == 'T' ? s.m : s.k), x->b, (dnnl_dim_t)(tb == 'T' ? s.k : s.n), 0.0f,
               x->c, (dnnl_dim_t)s.n);
}
#endif

static void print_case(const bench *x, const char *name, bench_time t, double peak, double ref) {
    const double flop = 2.0 * (double)x->s.m * (double)x->s.n * (double)x->s.k,
                 rate = flop / t.median_s;
    const int threads = x->s.op == OP_THREAD ? 1 : isb__thread_count(x->ctx);
    const double share = peak > 0 ? 100 * rate / (peak * threads / isb__thread_count(x->ctx)) : 0;
    if (x->json) {
        printf("{\"kernel\":\"%s\",\"threads\":%d,\"op\":\"%s\",\"m\":%zu,\"n\":%zu,\"k\":%zu,"
               "\"median_us\":%.2f,"
               "\"best_us\":%.2f,\"spread\":%.3f,\"gflop_per_s\":%.1f,\"percent_of_peak\":%.1f,"
               "\"ratio_to_ref\":%.1f}\n",
               name, threads, operation_names[x->s.op], x->s.m, x->s.n, x->s.k, 1e6 * t.median_s,
               1e6 * t.best_s, t.spread, 1e-9 * rate, share, rate / ref);
    } else {
        printf("%-20s %7d %2s %5zu %5zu %5zu %10.1f %10.1f %5.0f%% %8.1f %5.1f%% %7.0f\n", name,
               threads, operation_names[x->s.op], x->s.m, x->s.n, x->s.k, 1e6 * t.median_s,
               1e6 * t.best_s, 100 * t.spread, 1e-9 * rate, share, rate / ref);
    }
    fflush(stdout);
}

/* FLOP/s of the portable kernel, on a shape that it finishes soon. */
static double measure_ref(bench *x) {
    isb__cpu_tier needed;
    x->kernel = isb__gemm_kernel_at(0, &needed);
    x->s = (shape){OP_NN, 128, 128, 128};
    return 2.0 * 128 * 128 * 128 / bench_run(product, x, 0.1).median_s;
}

static isb_status prepare(bench *x, size_t m, size_t n, size_t k) {
    ISB_TRY(isb__matmul_scratch_create(x->ctx, m, n, k, &x->scratch));
    ISB_TRY(isb__alloc_array(x->ctx, m * k, sizeof(float), &x->a));
    ISB_TRY(isb__alloc_array(x->ctx, k * n, sizeof(float), &x->b));
    ISB_TRY(isb__alloc_array(x->ctx, m * n, sizeof(float), &x->c));
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    for (size_t i = 0; i < m * k; ++i) x->a[i] = (float)isb__rng_uniform(&rng) - 0.5f;
    for (size_t i = 0; i < k * n; ++i) x->b[i] = (float)isb__rng_uniform(&rng) - 0.5f;
    return ISB_OK;
}

static void release(bench *x) {
    isb__matmul_scratch_free(x->scratch);
    isb__free(x->ctx, x->a);
    isb__free(x->ctx, x->b);
    isb__free(x->ctx, x->c);
    x->scratch = NULL;
    x->a = x->b = x->c = NULL;
}

static isb_status run_case(bench *x, const isb__gemm_kernel *kernel, shape s, double peak,
                           double ref) {
    x->kernel = kernel;
    x->s = s;
    if (s.op == OP_PACKED) {
        ISB_TRY(isb__alloc(x->ctx, isb__packed_b_nbytes(kernel, s.k, s.n), &x->packed.data));
        isb__pack_b(x->ctx, kernel, s.k, s.n, isb__view_row_major(x->b, s.n), &x->packed);
    }
    print_case(x, kernel->name, bench_run(product, x, 0.3), peak, ref);
    isb__free(x->ctx, x->packed.data);
    x->packed.data = NULL;
    return ISB_OK;
}

static isb_status run_shape(bench *x, shape s, const char *only, const double peaks[N_PEAKS],
                            double ref) {
    isb__cpu_tier needed;
    const isb__gemm_kernel *kernel;
    ISB_TRY(prepare(x, s.m, s.n, s.k));
    for (size_t i = 1; (kernel = isb__gemm_kernel_at(i, &needed)) != NULL; ++i) {
        if (needed > x->ctx->cpu || (only && !strstr(kernel->name, only))) continue;
        ISB_TRY(run_case(x, kernel, s, peaks[peak_of_kernel(kernel)], ref));
    }
#ifdef ISB_HAVE_DNNL
    set_openmp_threads(s.op == OP_THREAD ? 1 : isb__thread_count(x->ctx));
    x->s = s;
    print_case(x, "oneDNN sgemm", bench_run(product_dnnl, x, 0.3),
               peaks[x->ctx->cpu >= ISB__CPU_AVX512], ref);
#endif
    release(x);
    return ISB_OK;
}

static isb_status run(bench *x, const shape *one, const char *only) {
    double peaks[N_PEAKS];
    for (int kind = 0; kind < N_PEAKS; ++kind) peaks[kind] = peak_measure(x->ctx, (peak_kind)kind);
    ISB_TRY(prepare(x, 128, 128, 128));
    const double ref = measure_ref(x);
    release(x);
    if (!x->json) {
        printf("%s, %s, commit %s\n", isb__cpu_model_name(), __VERSION__, BENCH_COMMIT);
        printf("peak GFLOP/s: avx2 %.0f, avx512 %.0f, avx512x bf16 %.0f, amx bf16 %.0f; portable "
               "kernel %.2f\n",
               1e-9 * peaks[0], 1e-9 * peaks[1], 1e-9 * peaks[2], 1e-9 * peaks[3], 1e-9 * ref);
        printf("%-20s %7s %2s %5s %5s %5s %10s %10s %6s %8s %6s %7s\n", "kernel", "threads", "op",
               "M", "N", "K", "median us", "best us", "spread", "GFLOP/s", "peak", "x ref");
    }
    if (one->m) return run_shape(x, *one, only, peaks, ref);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
        ISB_TRY(run_shape(x, shapes[i], only, peaks, ref));
    return ISB_OK;
}

int main(int argc, char **argv) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = 1;
    bench x = {0};
    shape one = {OP_NN, 0, 0, 0};
    const char *only = NULL;
    for (int i = 1; i < argc; ++i) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0) {
            x.json = 1;
        } else if (strcmp(argv[i], "--threads") == 0) {
            options.n_threads = atoi(value), ++i;
        } else if (strcmp(argv[i], "--kernel") == 0) {
            only = value, ++i;
        } else if (strcmp(argv[i], "--shape") == 0 &&
                   sscanf(value, "%zu,%zu,%zu", &one.m, &one.n, &one.k) == 3) {
            ++i;
        } else {
            fprintf(stderr,
                    "usage: bench_gemm [--threads N] [--json] [--kernel NAME] [--shape M,N,K]\n");
            return 2;
        }
    }
    if (isb_context_create(&options, &x.ctx) != ISB_OK) return 1;
    const isb_status status = run(&x, &one, only);
    if (status != ISB_OK)
        fprintf(stderr, "%s: %s\n", isb_status_sentence(status), isb_context_error(x.ctx));
    release(&x);
    isb_context_free(x.ctx);
    return status != ISB_OK;
}
