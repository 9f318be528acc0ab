/* Training passes: forward and backward of the graph; with --optimizer whole steps, that is also
 * the norm of the gradients, clipping and AdamW.  Without data.
 *
 *     bench_train [--threads N] [--json] [--size NAME] [--vocab V] [--rows B] [--context T]
 *                 [--seconds S] [--optimizer] [--recompute]
 *
 * One line a case: tokens/s, FLOP/s (all products, 3 x forward), percent of the peak that
 * registers alone allow and of what a product of 2048 x 2048 x 2048 reaches with the same kernel
 * and threads, and memory. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "nn/graph.h"
#include "nn/matmul.h"
#include "peak.h"
#include "timer.h"
#include "train/optimizer.h"

#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

typedef struct settings {
    int json, optimizer, recompute;
    const char *size;
    long vocab;
    size_t B, T;
    double seconds;
} settings;

typedef struct bench {
    isb_context *ctx;
    isb_model *model;
    isb__graph *graph;
    isb__optimizer *optimizer; /* NULL: passes alone */
    uint64_t step;
    float *grads;
    int32_t *ids;
    size_t B, T;
    isb_status status;
} bench;

/* ---- what a large product reaches ---- */

typedef struct product {
    isb_context *ctx;
    isb__matmul_scratch *scratch;
    float *a, *b, *c;
} product;
enum { PRODUCT_SIZE = 2048 };

static void multiply(void *arg) {
    const product *p = arg;
    const size_t n = PRODUCT_SIZE;
    isb__matmul(p->ctx, isb__ops_for(p->ctx->cpu)->gemm_close, p->scratch, n, n, n,
                isb__view_row_major(p->a, n), isb__view_row_major(p->b, n), p->c, n, 0);
}

static isb_status measure_product(isb_context *ctx, double *flop_per_s) {
    const size_t n = PRODUCT_SIZE;
    product p = {.ctx = ctx};
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__matmul_scratch_create(ctx, n, n, n, &p.scratch));
    ISB_TRY_GOTO(isb__alloc_array(ctx, n * n, sizeof(float), &p.a));
    ISB_TRY_GOTO(isb__alloc_array(ctx, n * n, sizeof(float), &p.b));
    ISB_TRY_GOTO(isb__alloc_array(ctx, n * n, sizeof(float), &p.c));
    for (size_t i = 0; i < n * n; ++i) p.a[i] = p.b[i] = (float)(i % 7) - 3;
    *flop_per_s = 2.0 * (double)n * (double)n * (double)n / bench_run(multiply, &p, 0.5).median_s;
fail:
    isb__free(ctx, p.c);
    isb__free(ctx, p.b);
    isb__free(ctx, p.a);
    isb__matmul_scratch_free(p.scratch);
    return status;
}

/* ---- training ---- */

static void pass(void *arg) {
    bench *x = arg;
    const isb__batch batch = {x->ids, x->ids + 1, NULL};
    isb__loss loss;
    isb__graph_weights_changed(x->graph); /* as after an optimiser's step */
    const isb_status status = isb__graph_backward(x->graph, &batch, 1e-3f, 1e-4f, x->grads, &loss);
    if (status != ISB_OK) x->status = status;
}

/* A pass and an update, clipped to a norm of 1. */
static void step(void *arg) {
    bench *x = arg;
    double norm = 0;
    isb__optimizer_zero(x->optimizer);
    pass(x);
    isb_status status = isb__optimizer_reduce(x->optimizer, &norm);
    if (status == ISB_OK)
        status = isb__optimizer_step(x->optimizer, norm > 1 ? 1 / norm : 1, 1e-4, x->step++);
    if (status != ISB_OK) x->status = status;
}

static isb_status prepare_optimizer(bench *x) {
    const isb__optimizer_options options = {.kind = ISB_OPTIMIZER_ADAMW,
                                            .beta1 = 0.9,
                                            .beta2 = 0.95,
                                            .eps = 1e-8,
                                            .weight_decay = 0.1};
    isb__param *params = NULL;
    ISB_TRY(isb__alloc_array(x->ctx, x->model->n_tensors, sizeof *params, &params));
    isb__params_of_model(x->model, x->grads, params);
    const isb_status status =
        isb__optimizer_create(x->ctx, x->model->n_tensors, params, &options, &x->optimizer);
    isb__free(x->ctx, params);
    return status;
}

static isb_status prepare(bench *x, const settings *s, const char *size, int64_t vocab) {
    const isb__graph_options options = {
        .B = x->B, .T = x->T, .training = 1, .recompute = s->recompute};
    isb_model_config config;
    ISB_TRY(isb_model_config_init(x->ctx, size, &config));
    config.vocab_size = vocab;
    config.context_length = (int64_t)x->T;
    ISB_TRY(isb__model_create(x->ctx, &config, &x->model));
    isb__model_init_weights(x->model, 1);
    ISB_TRY(isb__graph_create(x->ctx, x->model, &options, &x->graph));
    ISB_TRY(isb__alloc_array(x->ctx, x->model->n_floats, sizeof(float), &x->grads));
    ISB_TRY(isb__alloc_array(x->ctx, x->B * x->T + 1, sizeof(int32_t), &x->ids));
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    for (size_t i = 0; i <= x->B * x->T; ++i)
        x->ids[i] = (int32_t)isb__rng_below(&rng, (uint64_t)vocab);
    return s->optimizer ? prepare_optimizer(x) : ISB_OK;
}

static void release(bench *x) {
    isb__optimizer_free(x->optimizer);
    isb__free(x->ctx, x->ids);
    isb__free(x->ctx, x->grads);
    isb__graph_free(x->graph);
    isb_model_free(x->model);
    *x = (bench){.ctx = x->ctx, .B = x->B, .T = x->T};
}

static void print_case(const bench *x, const settings *s, const char *size, int64_t vocab,
                       bench_time t, double peak, double product_rate) {
    const isb__model_flops f = isb__model_forward_flops(&x->model->config, ((double)x->T + 1) / 2);
    const double tokens_per_s = (double)(x->B * x->T) / t.median_s;
    const double rate = 3 * (f.matrices + f.attention + f.logits) * tokens_per_s;
    const double memory =
        (double)isb__graph_nbytes(x->graph) + 2.0 * sizeof(float) * (double)x->model->n_floats +
        (x->optimizer ? (double)isb__optimizer_nbytes(x->optimizer) : 0);
    const double share = peak > 0 ? 100 * rate / peak : 0;
    if (s->json) {
        printf(
            "{\"size\":\"%s\",\"vocab\":%lld,\"rows\":%zu,\"context\":%zu,\"threads\":%d,\"median_"
            "ms\":%.2f,\"best_ms\":%.2f,"
            "\"spread\":%.3f,\"tokens_per_s\":%.0f,\"gflop_per_s\":%.1f,\"percent_of_peak\":%.1f,"
            "\"percent_of_product\":%.1f,\"memory_nbytes\":%.0f}\n",
            size, (long long)vocab, x->B, x->T, isb__thread_count(x->ctx), 1e3 * t.median_s,
            1e3 * t.best_s, t.spread, tokens_per_s, 1e-9 * rate, share, 100 * rate / product_rate,
            memory);
    } else {
        printf("%-5s %6lld %3zu x %4zu %9.1f %9.1f %5.0f%% %9.0f %8.1f %5.1f%% %7.1f%% %8.0f\n",
               size, (long long)vocab, x->B, x->T, 1e3 * t.median_s, 1e3 * t.best_s, 100 * t.spread,
               tokens_per_s, 1e-9 * rate, share, 100 * rate / product_rate, memory / (1 << 20));
    }
    fflush(stdout);
}

static isb_status run_case(bench *x, const settings *s, const char *size, int64_t vocab,
                           double peak, double product_rate) {
    isb_status status = prepare(x, s, size, vocab);
    if (status == ISB_OK) {
        const bench_time t = bench_run(s->optimizer ? step : pass, x, s->seconds);
        status = x->status;
        if (status == ISB_OK) print_case(x, s, size, vocab, t, peak, product_rate);
    }
    release(x);
    return status;
}

static isb_status run(bench *x, const settings *s) {
    static const char *const sizes[] = {"nano", "3m", "25m"};
    static const int64_t vocabs[] = {257, 65537};
    const isb__gemm_kernel *kernel = isb__ops_for(x->ctx->cpu)->gemm_close;
    double product_rate = 0;
    const double peak = peak_measure(x->ctx, peak_of_kernel(kernel));
    ISB_TRY(measure_product(x->ctx, &product_rate));
    if (!s->json) {
        printf("%s, %s, commit %s, %s, %d threads: peak %.0f, large product %.0f GFLOP/s\n",
               isb__cpu_model_name(), __VERSION__, BENCH_COMMIT, kernel->name,
               isb__thread_count(x->ctx), 1e-9 * peak, 1e-9 * product_rate);
        printf("%-5s %6s %3s   %4s %9s %9s %6s %9s %8s %6s %8s %8s\n", "size", "V", "B", "T",
               "median ms", "best ms", "spread", "tokens/s", "GFLOP/s", "peak", "product", "MiB");
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        for (size_t j = 0; j < sizeof vocabs / sizeof *vocabs; ++j) {
            if (s->size && strcmp(s->size, sizes[i]) != 0) continue;
            if (s->vocab && s->vocab != vocabs[j]) continue;
            ISB_TRY(run_case(x, s, sizes[i], vocabs[j], peak, product_rate));
        }
    }
    return ISB_OK;
}

int main(int argc, char **argv) {
    isb_context_options options;
    isb_context_options_init(&options);
    settings s = {.B = 8, .T = 512, .seconds = 2};
    for (int i = 1; i < argc; ++i) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0)
            s.json = 1;
        else if (strcmp(argv[i], "--optimizer") == 0)
            s.optimizer = 1;
        else if (strcmp(argv[i], "--recompute") == 0)
            s.recompute = 1;
        else if (strcmp(argv[i], "--threads") == 0)
            options.n_threads = atoi(value), ++i;
        else if (strcmp(argv[i], "--size") == 0)
            s.size = value, ++i;
        else if (strcmp(argv[i], "--vocab") == 0)
            s.vocab = atol(value), ++i;
        else if (strcmp(argv[i], "--rows") == 0)
            s.B = strtoul(value, NULL, 10), ++i;
        else if (strcmp(argv[i], "--context") == 0)
            s.T = strtoul(value, NULL, 10), ++i;
        else if (strcmp(argv[i], "--seconds") == 0)
            s.seconds = atof(value), ++i;
        else {
            fprintf(stderr, "usage: bench_train [--threads N] [--json] [--size nano|3m|25m] "
                            "[--vocab 257|65537] [--rows B] "
                            "[--context T] [--seconds S] [--optimizer] [--recompute]\n");
            return 2;
        }
    }
    bench x = {.B = s.B, .T = s.T};
    if (isb_context_create(&options, &x.ctx) != ISB_OK) return 1;
    const isb_status status = run(&x, &s);
    if (status != ISB_OK)
        fprintf(stderr, "%s: %s\n", isb_status_sentence(status), isb_context_error(x.ctx));
    isb_context_free(x.ctx);
    return status != ISB_OK;
}
