/* M1 on a GPU: bytes per second by the number of streams, and of bytes that each gives in a call.
 *
 *     bench_m1_cuda [--m1 PATH] [--size NAME] [--context T] [--streams N] [--bytes N] [--device cuda:N] [--seconds S]
 *
 * One line a case: KB/s with a CDF of every byte, milliseconds a call.  Calls of one byte are what decoding does, those
 * of many what encoding does.  Streams restart when they have 1,024 bytes.  Without --m1 the weights are random and the
 * size is --size (3m): speed does not depend on them.  Built where nvcc is; says so and ends where there is no GPU. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "cuda/m1_cuda.h"
#include "timer.h"

#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

enum { DOCUMENT = 1024, CALL_NBYTES = 1 << 16 /* rows of a call, at most about */ };

typedef struct settings {
    const char *m1, *size, *device;
    long context;
    size_t n_streams, n_bytes;
    double seconds;
} settings;

typedef struct bench {
    isb__m1_cuda *engine;
    isb__cdf_request *requests; /* [n_streams] */
    uint32_t *cdfs;
    uint8_t *text; /* [DOCUMENT] */
    size_t n_streams, n_bytes, at;
    isb_status status;
} bench;

static void run_call(void *arg) {
    bench *b = arg;
    if (b->status != ISB_OK) return;
    const size_t stride = ISB__N_SYMBOLS + 1;
    for (size_t i = 0; i < b->n_streams; ++i) {
        b->requests[i] = (isb__cdf_request){.stream = i,
                                            .restart = b->at == 0,
                                            .bytes = b->text + b->at,
                                            .n_bytes = b->n_bytes,
                                            .n_cdfs = b->n_bytes,
                                            .cdfs = b->cdfs + i * b->n_bytes * stride};
    }
    b->at = (b->at + b->n_bytes) % DOCUMENT;
    b->status = isb__m1_cuda_evaluate(b->engine, b->n_streams, b->requests);
}

static isb_status run_case(isb_context *ctx, const isb__m1 *m1, const settings *s, size_t n_streams,
                           size_t n_bytes) {
    const isb__m1_cuda_options options = {
        .device = s->device, .n_streams = n_streams, .history = ISB__M1_HISTORY};
    bench b = {.n_streams = n_streams, .n_bytes = n_bytes};
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    b.status = isb__alloc_array(ctx, n_streams, sizeof *b.requests, &b.requests);
    if (b.status == ISB_OK)
        b.status = isb__alloc_array(ctx, n_streams * n_bytes * (ISB__N_SYMBOLS + 1), sizeof *b.cdfs,
                                    &b.cdfs);
    if (b.status == ISB_OK) b.status = isb__alloc(ctx, DOCUMENT, &b.text);
    for (size_t i = 0; b.text && i < DOCUMENT; ++i)
        b.text[i] = (uint8_t)('a' + isb__rng_below(&rng, 26));
    if (b.status == ISB_OK) b.status = isb__m1_cuda_create(ctx, m1, &options, &b.engine);
    if (b.status == ISB_OK) {
        const bench_time time = bench_run(run_call, &b, s->seconds);
        if (b.status == ISB_OK)
            printf("m1_cuda gpu \"%s\" streams %zu bytes %zu KB/s %.1f ms %.3f device GiB %.2f "
                   "spread %.1f%% commit " BENCH_COMMIT "\n",
                   isb__m1_cuda_name(b.engine), n_streams, n_bytes,
                   1e-3 * (double)(n_streams * n_bytes) / time.median_s, 1e3 * time.median_s,
                   (double)isb__m1_cuda_nbytes(b.engine) / (1 << 30), 100 * time.spread);
    }
    fflush(stdout);
    isb__m1_cuda_free(b.engine);
    isb__free(ctx, b.requests);
    isb__free(ctx, b.cdfs);
    isb__free(ctx, b.text);
    return b.status;
}

static isb_status run_cases(isb_context *ctx, const isb__m1 *m1, const settings *s) {
    static const size_t streams[] = {1, 16, 64, 256, 1024, 4096}, bytes[] = {1, 4, 16, 64, 256};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; ++i) {
        for (size_t j = 0; j < sizeof bytes / sizeof *bytes; ++j) {
            if ((s->n_streams && i > 0) || (s->n_bytes && j > 0)) continue;
            const size_t n_streams = s->n_streams ? s->n_streams : streams[i],
                         n_bytes = s->n_bytes ? s->n_bytes : bytes[j];
            if (!s->n_bytes && n_streams * n_bytes > CALL_NBYTES) continue;
            ISB_TRY(run_case(ctx, m1, s, n_streams, n_bytes));
        }
    }
    return ISB_OK;
}

static isb_status random_m1(isb_context *ctx, const settings *s, isb__m1 **m1) {
    isb_model_config config;
    isb_model *model = NULL;
    ISB_TRY(isb_model_config_init(ctx, s->size, &config));
    config.context_length = s->context;
    ISB_TRY(isb__model_create(ctx, &config, &model));
    isb__model_init_weights(model, 1);
    const isb_status status = isb__m1_from_model(ctx, model, s->size, m1);
    isb_model_free(model);
    return status;
}

static int parse(int argc, char **argv, settings *s) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (strcmp(name, "--m1") == 0)
            s->m1 = value;
        else if (strcmp(name, "--size") == 0)
            s->size = value;
        else if (strcmp(name, "--device") == 0)
            s->device = value;
        else if (strcmp(name, "--context") == 0)
            s->context = strtol(value, NULL, 10);
        else if (strcmp(name, "--streams") == 0)
            s->n_streams = strtoul(value, NULL, 10);
        else if (strcmp(name, "--bytes") == 0)
            s->n_bytes = strtoul(value, NULL, 10);
        else if (strcmp(name, "--seconds") == 0)
            s->seconds = strtod(value, NULL);
        else
            return 0;
    }
    return argc % 2 == 1 && DOCUMENT % (s->n_bytes ? s->n_bytes : 1) == 0;
}

int main(int argc, char **argv) {
    settings s = {.size = "3m", .device = "cuda", .context = 512, .seconds = 1};
    isb_context *ctx = NULL;
    isb__m1 *m1 = NULL;
    if (!parse(argc, argv, &s)) {
        fprintf(stderr,
                "usage: bench_m1_cuda [--m1 PATH] [--size NAME] [--context T] [--streams N] "
                "[--bytes N, a divisor of 1024] [--device cuda:N] [--seconds S]\n");
        return 2;
    }
    if (isb_context_create(NULL, &ctx) != ISB_OK) return 1;
    isb_status status = s.m1 ? isb__m1_load(ctx, s.m1, &m1) : random_m1(ctx, &s, &m1);
    if (status == ISB_OK) status = run_cases(ctx, m1, &s);
    if (status != ISB_OK) printf("m1_cuda: %s\n", isb_context_error(ctx));
    isb__m1_free(m1);
    isb_context_free(ctx);
    return status == ISB_OK || status == ISB_ERR_UNSUPPORTED ? 0 : 1;
}
