/* Matrix products against oneDNN, an implementation that shares nothing with ours.  Built where oneDNN is installed.
 *
 * Tolerance: K roundings by a relative 2^-24 on either side, of independent signs, add up to about sqrt(K) 2^-23 sum|a b|
 * (their worst case, K in place of sqrt(K), would hide a wrong term); bf16 operands are rounded first, by 2^-8 each. */
#include <math.h>

#include <dnnl.h>

#include "base/rng.h"
#include "check.h"
#include "nn/matmul.h"

static void random_matrix(isb__rng *rng, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) x[i] = (float)(2 * isb__rng_uniform(rng) - 1);
}

static void check_shape(isb_context *ctx, isb__rng *rng, size_t M, size_t N, size_t K) {
    float *a = malloc(M * K * sizeof *a), *b = malloc(K * N * sizeof *b);
    float *ours = malloc(M * N * sizeof *ours), *theirs = malloc(M * N * sizeof *theirs);
    isb__matmul_scratch *scratch = NULL;
    CHECK_FATAL(a && b && ours && theirs);
    CHECK_OK(ctx, isb__matmul_scratch_create(ctx, M, N, K, &scratch));
    random_matrix(rng, M * K, a);
    random_matrix(rng, K * N, b);
    const dnnl_dim_t m = (dnnl_dim_t)M, n = (dnnl_dim_t)N, k = (dnnl_dim_t)K;
    CHECK_EQ(dnnl_sgemm('N', 'N', m, n, k, 1, a, k, b, n, 0, theirs, n), dnnl_success);

    isb__cpu_tier needed;
    const isb__gemm_kernel *kernel;
    for (size_t i = 0; (kernel = isb__gemm_kernel_at(i, &needed)) != NULL; i++) {
        if (needed > ctx->cpu) continue;
        isb__matmul(ctx, kernel, scratch, M, N, K, isb__view_row_major(a, K),
                    isb__view_row_major(b, N), ours, N, 0);
        const double rounding =
            kernel->element_nbytes == 2 ? ldexp(1, -7) : ldexp(1, -23) * sqrt((double)K);
        double worst = 0;
        for (size_t j = 0; j < M * N; j++) {
            double size = 0;
            for (size_t l = 0; l < K; l++)
                size += fabs((double)a[j / N * K + l] * (double)b[l * N + j % N]);
            const double error = fabs((double)ours[j] - (double)theirs[j]) / (rounding * size);
            worst = error > worst || isnan(error) ? error : worst;
        }
        printf("%-24s %4zu x %4zu x %4zu: %.3f of the tolerance\n", kernel->name, M, N, K, worst);
        CHECK(worst <= 1);
    }
    isb__matmul_scratch_free(scratch);
    free(a), free(b), free(ours), free(theirs);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb_context *ctx = NULL;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    check_shape(ctx, &rng, 1, 1, 1);
    check_shape(ctx, &rng, 17, 33, 65);
    check_shape(ctx, &rng, 128, 96, 300);
    check_shape(ctx, &rng, 200, 517, 129);
    isb_context_free(ctx);
    return check_end();
}
