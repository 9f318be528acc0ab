/* Vector kernels: every tier of this machine, in cache and out of it.
 *
 *     bench_vector [--json]
 *
 * One line a case: kernel, tier, length, nanoseconds an element, GB/s of what is read and written, ratio to the portable
 * tier.  One thread. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/ops.h"
#include "timer.h"

enum { SHORT_N = 4096, LONG_N = 1 << 22, N_ARRAYS = 5 };

typedef struct bench {
    const isb__ops *ops;
    size_t n;
    float *x[N_ARRAYS];
    double sink;
} bench;

static void run_dot(void *arg) {
    bench *b = arg;
    b->sink += (double)b->ops->dot(b->n, b->x[0], b->x[1]);
}
static void run_exp(void *arg) {
    const bench *b = arg;
    b->ops->exp(b->n, b->x[0], b->x[1]);
}
static void run_silu_mul(void *arg) {
    const bench *b = arg;
    b->ops->silu_mul(b->n, b->x[0], b->x[1], b->x[2]);
}
static void run_silu_mul_backward(void *arg) {
    const bench *b = arg;
    b->ops->silu_mul_backward(b->n, b->x[0], b->x[1], b->x[2], b->x[3], b->x[4]);
}
static void run_softmax_xent(void *arg) {
    bench *b = arg;
    float lse;
    memcpy(b->x[1], b->x[0], b->n * sizeof *b->x[0]);
    b->sink += (double)b->ops->softmax_xent(b->n, b->x[1], 1, 1.0f, 1e-4f, &lse);
}
static void run_adamw(void *arg) {
    const bench *b = arg;
    b->ops->adamw(b->n, b->x[0], b->x[1], b->x[2], b->x[3], 1.0f, 1e-9f, 0.9f, 0.95f, 1.0f, 1.0f,
                  1e-8f, 0.1f);
}
static void run_sumsq(void *arg) {
    bench *b = arg;
    b->sink += b->ops->sumsq(b->n, b->x[0]);
}

/* floats_moved: read or written for each element */
static const struct {
    const char *name;
    void (*run)(void *);
    int floats_moved;
} cases[] = {{"dot", run_dot, 2},
             {"exp", run_exp, 2},
             {"silu_mul", run_silu_mul, 3},
             {"silu_mul_backward", run_silu_mul_backward, 5},
             {"softmax_xent", run_softmax_xent, 4},
             {"adamw", run_adamw, 7},
             {"sumsq", run_sumsq, 1}};

static void fill(bench *b) {
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    for (int i = 0; i < N_ARRAYS; ++i) {
        for (size_t j = 0; j < LONG_N; ++j) b->x[i][j] = (float)isb__rng_uniform(&rng);
    }
}

static void run_case(bench *b, size_t which, int json) {
    double ref_s = 0;
    for (int tier = 0; tier <= (int)isb__cpu_detect(); ++tier) {
        b->ops = isb__ops_for((isb__cpu_tier)tier);
        const bench_time t = bench_run(cases[which].run, b, 0.1);
        if (tier == 0) ref_s = t.median_s;
        const double ns = 1e9 * t.median_s / (double)b->n,
                     gb_per_s = 4.0 * cases[which].floats_moved / ns;
        printf(json ? "{\"kernel\":\"%s\",\"tier\":\"%s\",\"n\":%zu,\"ns_per_element\":%.4f,\"gb_"
                      "per_s\":%.2f,"
                      "\"ratio_to_ref\":%.2f}\n"
                    : "%-20s %-8s %8zu %8.4f ns %8.2f GB/s  x%.1f\n",
               cases[which].name, b->ops->tier, b->n, ns, gb_per_s, ref_s / t.median_s);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    const int json = argc > 1 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 + json) {
        fprintf(stderr, "usage: bench_vector [--json]\n");
        return 2;
    }
    bench b = {0};
    float *memory = malloc((size_t)N_ARRAYS * LONG_N * sizeof *memory);
    if (!memory) return 1;
    for (int i = 0; i < N_ARRAYS; ++i) b.x[i] = memory + (size_t)i * LONG_N;
    fill(&b);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        b.n = SHORT_N;
        run_case(&b, i, json);
        b.n = LONG_N;
        run_case(&b, i, json);
    }
    free(memory);
    return b.sink == 0.5; /* keeps the results alive */
}
