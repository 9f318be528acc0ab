/* Training steps on one GPU, without data: gradient of a micro-batch, its norm, AdamW.
 *
 *     bench_train_cuda [--size NAME] [--vocab V] [--rows B] [--context T] [--seconds S]
 *                      [--recompute] [--device cuda:N]
 *
 * One line a case, of several sizes and vocabularies where none is named: tokens/s, FLOP/s (all
 * products, 3 x forward), their share of what one product of 8192 x 8192 x 8192 reaches on this
 * GPU, and memory.  Built where nvcc is; says so and ends where there is no GPU. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "cuda/gpu.h"
#include "timer.h"
#include "train/trainer.h"

#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

typedef struct settings {
    const char *size, *device;
    long vocab;
    size_t B, T;
    double seconds;
    int recompute;
} settings;

/* ---- what a large product reaches ---- */

enum { EXTENT = 8192, PRODUCTS = 10 };

typedef struct product {
    isb__gpu *gpu;
    isb__bf16 *d_x, *d_W, *d_y;
} product;

static void run_products(void *arg) {
    const product *p = arg;
    for (int i = 0; i < PRODUCTS; ++i)
        isb__gpu_linear(p->gpu, EXTENT, EXTENT, EXTENT, p->d_x, p->d_W, p->d_y);
    isb__gpu_finish(p->gpu);
}

/* FLOP/s; 0: there is no such GPU, and *reason says why. */
static double product_flops_per_s(int index, char *reason) {
    const size_t nbytes = (size_t)EXTENT * EXTENT * sizeof(isb__bf16);
    product p = {0};
    double flops_per_s = 0;
    if (isb__gpu_open(index, &p.gpu, reason) != ISB_OK) return 0;
    if (isb__gpu_products_open(p.gpu, reason) != ISB_OK) {
        isb__gpu_close(p.gpu);
        return 0;
    }
    unsigned char *d_memory = isb__gpu_alloc(p.gpu, 3 * nbytes);
    if (d_memory) {
        p.d_x = (isb__bf16 *)d_memory;
        p.d_W = (isb__bf16 *)(d_memory + nbytes);
        p.d_y = (isb__bf16 *)(d_memory + 2 * nbytes);
        isb__gpu_zero(p.gpu, d_memory, 3 * nbytes);
        const bench_time time = bench_run(run_products, &p, 1);
        flops_per_s = PRODUCTS * 2.0 * EXTENT * EXTENT * EXTENT / time.median_s;
        printf("gpu \"%s\" product %.1f TFLOP/s commit " BENCH_COMMIT "\n", isb__gpu_name(p.gpu),
               flops_per_s * 1e-12);
        isb__gpu_free(p.gpu, d_memory);
    } else {
        snprintf(reason, ISB__GPU_TEXT_NBYTES, "it has no %zu bytes free", 3 * nbytes);
    }
    isb__gpu_close(p.gpu);
    return flops_per_s;
}

/* ---- a case ---- */

typedef struct bench {
    isb_context *ctx;
    isb_model *model;
    isb__trainer *trainer;
    int32_t *ids;
    isb__batch batch;
    uint64_t step;
    isb_status status;
} bench;

static isb_status one_step(bench *b) {
    const isb__trainer_ops *ops = b->trainer->ops;
    isb__loss loss;
    double norm;
    const float scale = 1.0f / (float)(b->trainer->B * b->trainer->T);
    ISB_TRY(ops->begin(b->trainer));
    ISB_TRY(ops->backward(b->trainer, &b->batch, scale, 1e-4f, &loss));
    ISB_TRY(ops->reduce(b->trainer, &norm));
    return ops->step(b->trainer, norm > 1 ? 1 / norm : 1, 1e-4, b->step++);
}

static void run_step(void *arg) {
    bench *b = arg;
    if (b->status == ISB_OK) b->status = one_step(b);
}

static isb_status set_up(bench *b, const settings *s, const char *size, long vocab) {
    const size_t n = s->B * s->T;
    isb_model_config config;
    isb__rng rng;
    const isb__trainer_options options = {
        .B = s->B,
        .T = s->T,
        .optimizer = {.kind = ISB_OPTIMIZER_ADAMW,
                      .beta1 = 0.9,
                      .beta2 = 0.95,
                      .eps = 1e-8,
                      .weight_decay = 0.1},
        .recompute = s->recompute,
        .device = s->device,
    };
    ISB_TRY(isb_model_config_init(b->ctx, size, &config));
    config.vocab_size = vocab;
    config.context_length = (int64_t)s->T;
    ISB_TRY(isb__model_create(b->ctx, &config, &b->model));
    isb__model_init_weights(b->model, 1);
    ISB_TRY(isb__alloc_array(b->ctx, 2 * n, sizeof *b->ids, &b->ids));
    isb__rng_seed(&rng, 1);
    for (size_t i = 0; i < 2 * n; ++i) b->ids[i] = (int32_t)isb__rng_below(&rng, (uint64_t)vocab);
    b->batch = (isb__batch){b->ids, b->ids + n, NULL};
    return isb__trainer_cuda_create(b->ctx, b->model, &options, &b->trainer);
}

static void report(const bench *b, const settings *s, const char *size, long vocab, bench_time time,
                   double peak) {
    const isb__model_flops f =
        isb__model_forward_flops(&b->model->config, 0.5 * ((double)s->T + 1));
    const double tokens_per_s = (double)(s->B * s->T) / time.median_s,
                 flops_per_s = 3 * (f.matrices + f.attention + f.logits) * tokens_per_s;
    uint64_t host, device;
    b->trainer->ops->memory(b->trainer, &host, &device);
    printf("train_cuda size %s vocab %ld rows %zu context %zu%s tokens/s %.0f TFLOP/s %.1f (%.0f%% "
           "of a product) device GiB %.2f spread %.1f%%\n",
           size, vocab, s->B, s->T, s->recompute ? " recompute" : "", tokens_per_s,
           flops_per_s * 1e-12, 100 * flops_per_s / peak, (double)device / (1 << 30),
           100 * time.spread);
    fflush(stdout);
}

static int run_case(isb_context *ctx, const settings *s, const char *size, long vocab,
                    double peak) {
    bench b = {.ctx = ctx};
    b.status = set_up(&b, s, size, vocab);
    if (b.status == ISB_OK) {
        const bench_time time = bench_run(run_step, &b, s->seconds);
        if (b.status == ISB_OK) report(&b, s, size, vocab, time, peak);
    }
    const int too_large = b.status == ISB_ERR_NO_MEMORY;
    if (b.status != ISB_OK)
        printf("train_cuda size %s vocab %ld: %s\n", size, vocab, isb_context_error(ctx));
    isb__trainer_free(b.trainer);
    isb__free(ctx, b.ids);
    isb_model_free(b.model);
    return b.status == ISB_OK || too_large ? 0 : 1;
}

static int parse(int argc, char **argv, settings *s) {
    for (int i = 1; i < argc; ++i) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--recompute") == 0) {
            s->recompute = 1;
            continue;
        }
        if (strcmp(name, "--size") == 0)
            s->size = value;
        else if (strcmp(name, "--device") == 0)
            s->device = value;
        else if (strcmp(name, "--vocab") == 0)
            s->vocab = strtol(value, NULL, 10);
        else if (strcmp(name, "--rows") == 0)
            s->B = strtoul(value, NULL, 10);
        else if (strcmp(name, "--context") == 0)
            s->T = strtoul(value, NULL, 10);
        else if (strcmp(name, "--seconds") == 0)
            s->seconds = strtod(value, NULL);
        else
            return 0;
        ++i;
    }
    return 1;
}

int main(int argc, char **argv) {
    static const char *const sizes[] = {"25m", "113m", "403m"};
    static const long vocabs[] = {257, 32768, 65537, 262144};
    settings s = {.device = "cuda", .B = 16, .T = 1024, .seconds = 5};
    char reason[ISB__GPU_TEXT_NBYTES] = "";
    isb_context *ctx = NULL;
    if (!parse(argc, argv, &s)) {
        fprintf(stderr, "usage: bench_train_cuda [--size NAME] [--vocab V] [--rows B] "
                        "[--context T] [--seconds S] [--recompute] [--device cuda:N]\n");
        return 2;
    }
    const int index = strncmp(s.device, "cuda:", 5) == 0 ? (int)strtol(s.device + 5, NULL, 10) : 0;
    const double peak = product_flops_per_s(index, reason);
    if (peak == 0) {
        printf("train_cuda: GPU %d cannot be used: %s\n", index, reason);
        return 0;
    }
    if (isb_context_create(NULL, &ctx) != ISB_OK) return 1;
    int failed = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        for (size_t j = 0; j < sizeof vocabs / sizeof *vocabs; ++j) {
            if ((s.size && i > 0) || (s.vocab && j > 0)) continue;
            failed |=
                run_case(ctx, &s, s.size ? s.size : sizes[i], s.vocab ? s.vocab : vocabs[j], peak);
        }
    }
    isb_context_free(ctx);
    return failed;
}
