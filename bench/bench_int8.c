/* M1's kernels: integer products over the shapes of its models, and what is done for each row and each head.
 *
 *     bench_int8 [--threads N] [--tier NAME] [--json]
 *
 * One line a product: tier, threads (each with sums of its own; the weights are shared), shape, median and best time of
 * a call, spread, GOP/s at best (two operations a multiply-add), percent of the peak that registers alone allow on as
 * many threads.  Then all products of the three layers of 3m in turn, whose weights do not fit L2, on one thread.  Then one line
 * a kernel for the sizes of 3m: nanoseconds a call, and what all its calls for a row cost in a layer; last their sum, the
 * products at the rate they have in a batch of 32 rows. */
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/rng.h"
#include "kernels/int8.h"
#include "kernels/ops.h"
#include "peak.h"
#include "timer.h"

#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

enum {
    C = 256,
    F = 1024,
    D = 64,
    H = C / D,
    T = 256,
    V = 257,
    MAX_ROWS = 64,
    MAX_N = 2 * F,
    BATCH = 32,
    GAP = 16 /* so that rows of sums do not all fall on one set of the cache */
};

typedef struct shape {
    const char *name;
    size_t n, k;
} shape;

static const shape shapes[] = {{"nano qkv", 3 * 128, 128},
                               {"nano gate_up", 2 * 512, 128},
                               {"nano down", 128, 512},
                               {"3m qkv", 3 * C, C},
                               {"3m o", C, C},
                               {"3m gate_up", 2 * F, C},
                               {"3m down", C, F},
                               {"3m head", V, C}};
static const size_t row_counts[] = {1, 2, 4, 8, 16, 32, 64};

typedef struct bench {
    isb_context *ctx;
    const isb__int8_ops *ops;
    size_t m, n, k;
    int repeat, json;
    void *packed;
    int8_t *w, *a, *q, *values;
    int32_t *sums;
    uint8_t *keys, *high, *low;
    float *x, *y, *scales, *work;
    uint32_t *cdf;
    volatile float sink;
} bench;

static void product_task(void *arg, size_t task, int thread) {
    const bench *b = arg;
    (void)thread;
    const size_t ldc = isb__round_up(b->n, 16) + GAP;
    int32_t *sums = b->sums + task * MAX_ROWS * (MAX_N + GAP);
    for (int i = 0; i < b->repeat; ++i) {
        b->ops->product(b->m, b->n, b->k, b->a, b->k, b->packed, sums, ldc);
    }
}
static void run_product(void *arg) {
    bench *b = arg;
    isb__parallel(b->ctx, (size_t)isb__thread_count(b->ctx), product_task, b);
}

static void print_product(const bench *b, const char *name, bench_time t, double peak) {
    const int threads = isb__thread_count(b->ctx);
    const double calls = b->repeat, best = t.best_s / calls, median = t.median_s / calls;
    const double rate = 2.0 * (double)b->m * (double)b->n * (double)b->k * threads / best;
    if (b->json) {
        printf("{\"tier\":\"%s\",\"threads\":%d,\"name\":\"%s\",\"m\":%zu,\"n\":%zu,\"k\":%zu,"
               "\"median_us\":%.3f,"
               "\"best_us\":%.3f,\"spread\":%.3f,\"gop_per_s\":%.1f,\"percent_of_peak\":%.1f}\n",
               b->ops->tier, threads, name, b->m, b->n, b->k, 1e6 * median, 1e6 * best, t.spread,
               1e-9 * rate, peak > 0 ? 100 * rate / peak : 0);
    } else {
        printf("%-8s %7d %-13s %4zu %5zu %5zu %10.2f %10.2f %5.0f%% %8.1f %5.1f%%\n", b->ops->tier,
               threads, name, b->m, b->n, b->k, 1e6 * median, 1e6 * best, 100 * t.spread,
               1e-9 * rate, peak > 0 ? 100 * rate / peak : 0);
    }
    fflush(stdout);
}

/* Nanoseconds a row at 32 rows, of all products of one layer of 3m, or of its head. */
static double run_products(bench *b, double peak, double *head_ns) {
    double layer_ns = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        b->n = shapes[i].n, b->k = shapes[i].k;
        b->ops->pack(b->n, b->k, b->w, b->packed);
        for (size_t j = 0; j < sizeof row_counts / sizeof *row_counts; ++j) {
            b->m = row_counts[j];
            b->repeat = 1 + (int)(4000000 / (b->m * b->n * b->k));
            const bench_time t = bench_run(run_product, b, 0.04);
            print_product(b, shapes[i].name, t, peak);
            const double ns = 1e9 * t.best_s / b->repeat / (double)b->m;
            if (b->m == BATCH && b->n == V) *head_ns = ns;
            if (b->m == BATCH && b->n != V && strncmp(shapes[i].name, "3m", 2) == 0) layer_ns += ns;
        }
    }
    return layer_ns;
}

/* ---- all layers, one thread ---- */

enum { LAYERS = 3, FIRST_OF_LAYER = 3, PRODUCTS_OF_LAYER = 4 };

typedef struct stack {
    bench *b;
    uint8_t *packed;
    size_t nbytes[PRODUCTS_OF_LAYER]; /* of one layer's; a multiple of 64 */
    double n_weights;                 /* of all layers */
} stack;

static void run_stack(void *arg) {
    const stack *s = arg;
    const bench *b = s->b;
    const uint8_t *packed = s->packed;
    for (int layer = 0; layer < LAYERS; ++layer) {
        for (int i = 0; i < PRODUCTS_OF_LAYER; packed += s->nbytes[i++]) {
            const shape *p = &shapes[FIRST_OF_LAYER + i];
            b->ops->product(b->m, p->n, p->k, b->a, p->k, packed, b->sums, p->n + GAP);
        }
    }
}

static isb_status stack_make(bench *b, stack *s) {
    size_t layer_nbytes = 0;
    s->n_weights = 0;
    for (int i = 0; i < PRODUCTS_OF_LAYER; ++i) {
        const shape *p = &shapes[FIRST_OF_LAYER + i];
        s->nbytes[i] = b->ops->packed_nbytes(p->n, p->k);
        s->n_weights += (double)LAYERS * (double)p->n * (double)p->k;
        layer_nbytes += s->nbytes[i];
    }
    ISB_TRY(isb__alloc(b->ctx, LAYERS * layer_nbytes, &s->packed));
    uint8_t *packed = s->packed;
    for (int i = 0; i < LAYERS * PRODUCTS_OF_LAYER; ++i) {
        const shape *p = &shapes[FIRST_OF_LAYER + i % PRODUCTS_OF_LAYER];
        b->ops->pack(p->n, p->k, b->w, packed);
        packed += s->nbytes[i % PRODUCTS_OF_LAYER];
    }
    return ISB_OK;
}

/* peak: of one thread */
static isb_status run_stacks(bench *b, double peak) {
    stack s = {.b = b};
    ISB_TRY(stack_make(b, &s));
    if (!b->json)
        printf("\n%-8s %-13s %4s %10s %10s %8s %6s\n", "tier", "products", "M", "median us",
               "best us", "GOP/s", "peak");
    for (size_t j = 0; j < sizeof row_counts / sizeof *row_counts; ++j) {
        b->m = row_counts[j];
        const bench_time t = bench_run(run_stack, &s, 0.1);
        const double rate = 2 * s.n_weights * (double)b->m / t.best_s;
        printf(b->json ? "{\"tier\":\"%s\",\"name\":\"%s\",\"m\":%zu,\"median_us\":%.2f,"
                         "\"best_us\":%.2f,\"gop_per_s\":%.1f,\"percent_of_peak\":%.1f}\n"
                       : "%-8s %-13s %4zu %10.2f %10.2f %8.1f %5.1f%%\n",
               b->ops->tier, "3m layers", b->m, 1e6 * t.median_s, 1e6 * t.best_s, 1e-9 * rate,
               peak > 0 ? 100 * rate / peak : 0);
    }
    isb__free(b->ctx, s.packed);
    return ISB_OK;
}

/* ---- kernels of rows and heads ---- */

static void run_norm(bench *b) { b->sink = b->ops->norm(C, b->x, b->scales, 1e-5f, b->q); }
static void run_quantise_head(bench *b) { b->sink = b->ops->quantise(D, b->x, b->q); }
static void run_quantise_c(bench *b) { b->sink = b->ops->quantise(C, b->x, b->q); }
static void run_quantise_f(bench *b) { b->sink = b->ops->quantise(F, b->x, b->q); }
static void run_scale(bench *b) { b->ops->scale(3 * C, b->sums, 1e-3f, b->scales, b->y); }
static void run_scale_add(bench *b) { b->ops->scale_add(C, b->sums, 1e-9f, b->scales, b->y); }
static void run_gate(bench *b) {
    b->ops->gate_silu(F, b->sums, b->sums + F, 1e-5f, b->scales, b->scales + F, b->y);
}
static void run_store_key(bench *b) { b->ops->store_key(D, b->q, b->keys, 5); }
static void run_store_value(bench *b) { b->ops->store_value(D, b->q, b->values, 5); }
static void run_scores(bench *b) { b->ops->scores(D, T / ISB__KEY_GROUP, b->q, b->keys, b->sums); }
static void run_weights(bench *b) {
    b->sink = b->ops->weights(T / ISB__KEY_GROUP, 0, T, b->sums, 1e-4f, b->scales, b->scales, NULL,
                              32767, b->work, b->high, b->low);
}
static void run_mix(bench *b) {
    b->ops->mix(D, T / ISB__KEY_GROUP, b->high, b->low, b->values, b->sums, 0);
}
static void run_cdf(bench *b) { b->ops->cdf(b->x, b->cdf); }

static const struct {
    const char *name;
    void (*run)(bench *);
    int per_layer; /* calls a layer and row */
} kernels[] = {
    {"norm C", run_norm, 2},
    {"scale 3C", run_scale, 1},
    {"quantise D", run_quantise_head, 3 * H},
    {"store_key D", run_store_key, H},
    {"store_value D", run_store_value, H},
    {"scores D, T", run_scores, H},
    {"weights T", run_weights, H},
    {"mix D, T", run_mix, H},
    {"quantise C", run_quantise_c, 1},
    {"scale_add C", run_scale_add, 2},
    {"gate_silu F", run_gate, 1},
    {"quantise F", run_quantise_f, 1},
    {"cdf", run_cdf, 0},
};

typedef struct kernel_run {
    bench *b;
    void (*run)(bench *);
} kernel_run;

enum { KERNEL_REPEAT = 200 };

static void run_kernel(void *arg) {
    const kernel_run *r = arg;
    for (int i = 0; i < KERNEL_REPEAT; ++i) r->run(r->b);
}

static void run_kernels(bench *b, double products_ns, double head_ns) {
    double layer_ns = products_ns;
    if (!b->json)
        printf("\n%-8s %-16s %10s %10s %12s\n", "tier", "kernel of 3m", "median ns", "best ns",
               "ns a layer");
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; ++i) {
        kernel_run r = {b, kernels[i].run};
        const bench_time t = bench_run(run_kernel, &r, 0.04);
        const double best = 1e9 * t.best_s / KERNEL_REPEAT,
                     median = 1e9 * t.median_s / KERNEL_REPEAT;
        layer_ns += best * kernels[i].per_layer;
        printf(b->json ? "{\"tier\":\"%s\",\"kernel\":\"%s\",\"median_ns\":%.1f,\"best_ns\":%.1f,"
                         "\"layer_ns\":%.1f}\n"
                       : "%-8s %-16s %10.1f %10.1f %12.1f\n",
               b->ops->tier, kernels[i].name, median, best, best * kernels[i].per_layer);
    }
    printf(b->json ? "{\"tier\":\"%s\",\"kernel\":\"products\",\"layer_ns\":%.1f,\"head_ns\":%.1f,"
                     "\"all_ns\":%.1f}\n"
                   : "%-8s products of a layer %.0f ns a row, of the head %.0f; all kernels of a "
                     "layer %.0f ns a row\n",
           b->ops->tier, products_ns, head_ns, layer_ns);
}

static isb_status prepare(bench *b) {
    const size_t threads = (size_t)isb__thread_count(b->ctx);
    isb_context *ctx = b->ctx;
    ISB_TRY(isb__alloc(ctx, (size_t)2 * MAX_N * F, &b->packed));
    ISB_TRY(isb__alloc_array(ctx, (size_t)MAX_N * F, 1, &b->w));
    ISB_TRY(isb__alloc_array(ctx, MAX_ROWS * F, 1, &b->a));
    ISB_TRY(isb__alloc_array(ctx, F, 1, &b->q));
    ISB_TRY(isb__alloc_array(ctx, T * D, 1, &b->values));
    ISB_TRY(isb__alloc_array(ctx, T * D, 1, &b->keys));
    ISB_TRY(isb__alloc_array(ctx, threads * MAX_ROWS * (MAX_N + GAP), sizeof *b->sums, &b->sums));
    ISB_TRY(isb__alloc_array(ctx, T, 1, &b->high));
    ISB_TRY(isb__alloc_array(ctx, T, 1, &b->low));
    ISB_TRY(isb__alloc_array(ctx, MAX_N, sizeof *b->x, &b->x));
    ISB_TRY(isb__alloc_array(ctx, MAX_N, sizeof *b->y, &b->y));
    ISB_TRY(isb__alloc_array(ctx, MAX_N, sizeof *b->scales, &b->scales));
    ISB_TRY(isb__alloc_array(ctx, MAX_N, sizeof *b->work, &b->work));
    ISB_TRY(isb__alloc_array(ctx, V + 1, sizeof *b->cdf, &b->cdf));
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    for (size_t i = 0; i < MAX_ROWS * F; ++i) b->a[i] = (int8_t)isb__rng_below(&rng, 256);
    for (size_t i = 0; i < MAX_N * F; ++i) b->w[i] = (int8_t)isb__rng_below(&rng, 256);
    for (size_t i = 0; i < F; ++i) b->q[i] = b->a[i];
    for (size_t i = 0; i < MAX_N; ++i) {
        b->x[i] = (float)isb__rng_uniform(&rng) * 8 - 4;
        b->y[i] = 0;
        b->scales[i] = (float)isb__rng_uniform(&rng);
        b->sums[i] = (int32_t)isb__rng_below(&rng, 200000) - 100000;
    }
    return ISB_OK;
}

static void release(bench *b) {
    void *all[] = {b->packed, b->w,   b->a, b->q, b->values, b->keys, b->sums,
                   b->high,   b->low, b->x, b->y, b->scales, b->work, b->cdf};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) isb__free(b->ctx, all[i]);
}

static isb_status run(bench *b, const char *only) {
    ISB_TRY(prepare(b));
    if (!b->json) printf("%s, %s, commit %s\n", isb__cpu_model_name(), __VERSION__, BENCH_COMMIT);
    for (int tier = 0; tier <= (int)b->ctx->cpu; ++tier) {
        b->ops = isb__int8_ops_for((isb__cpu_tier)tier);
        if (only && strcmp(only, b->ops->tier) != 0) continue;
        const double peak = peak_measure(b->ctx, isb__peak_of_int8((isb__cpu_tier)tier));
        if (!b->json) {
            printf("\n%s: peak of registers %.0f GOP/s\n", b->ops->tier, 1e-9 * peak);
            printf("%-8s %7s %-13s %4s %5s %5s %10s %10s %6s %8s %6s\n", "tier", "threads",
                   "product", "M", "N", "K", "median us", "best us", "spread", "GOP/s", "peak");
        }
        if (b->ops->begin) b->ops->begin();
        double head_ns = 0;
        const double products_ns = run_products(b, peak, &head_ns);
        ISB_TRY(run_stacks(b, peak / isb__thread_count(b->ctx)));
        run_kernels(b, products_ns, head_ns);
        if (b->ops->end) b->ops->end();
    }
    return ISB_OK;
}

int main(int argc, char **argv) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = 1;
    bench b = {0};
    const char *only = NULL;
    for (int i = 1; i < argc; ++i) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0) {
            b.json = 1;
        } else if (strcmp(argv[i], "--threads") == 0) {
            options.n_threads = atoi(value), ++i;
        } else if (strcmp(argv[i], "--tier") == 0) {
            only = value, ++i;
        } else {
            fprintf(stderr, "usage: bench_int8 [--threads N] [--tier NAME] [--json]\n");
            return 2;
        }
    }
    if (isb_context_create(&options, &b.ctx) != ISB_OK) return 1;
    const isb_status status = run(&b, only);
    if (status != ISB_OK)
        fprintf(stderr, "%s: %s\n", isb_status_sentence(status), isb_context_error(b.ctx));
    release(&b);
    isb_context_free(b.ctx);
    return status != ISB_OK;
}
