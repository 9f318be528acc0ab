/* M1 as the coder sees it: bytes in, CDFs out, over sizes, streams, tokens a call and threads.
 *
 *     bench_engine [--json] [--cpu TIER] [--size nano|tiny|3m|...] [--threads N] [--streams N]
 *                  [--seconds S]
 *
 * Two contexts: `window` restarts every stream after 16 bytes, as codes of windows do; `full`
 * has all of the model's 512 positions behind every byte, as `ac` has.  One line a case: bytes
 * and CDFs a second (of the median call), GFLOP/s of the products alone, and their percent of
 * the peak that float32 multiply-adds have on as many threads. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "data/m1.h"
#include "peak.h"
#include "timer.h"

#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

enum { WINDOW = 16, TEXT_NBYTES = 4096, MAX_STREAMS = 1024, MAX_STEP = 16 };

typedef struct bench {
    isb_context *ctx;
    isb_model *model;
    isb__cdf_source source;
    isb__cdf_request requests[MAX_STREAMS];
    uint8_t text[TEXT_NBYTES];
    uint32_t *cdfs;
    size_t n_streams, step, at;
    int full;
    isb_status status;
} bench;

static void call(bench *b, size_t step, size_t n_cdfs, int restart) {
    for (size_t s = 0; s < b->n_streams; ++s) {
        b->requests[s] =
            (isb__cdf_request){s,    restart, b->text + (b->at + s) % (TEXT_NBYTES - 512),
                               step, n_cdfs,  b->cdfs + s * MAX_STEP * (ISB__N_SYMBOLS + 1)};
    }
    b->at += step;
    if (b->status == ISB_OK)
        b->status = b->source.evaluate(b->source.self, b->n_streams, b->requests);
}

static void timed(void *arg) {
    bench *b = arg;
    if (b->full) {
        call(b, b->step, b->step, 0);
    } else {
        for (size_t done = 0; done < WINDOW; done += b->step) call(b, b->step, b->step, done == 0);
    }
}

typedef struct settings {
    const char *size, *cpu;
    int threads;
    size_t streams;
    int json;
    double budget_s;
} settings;

static void print_case(const bench *b, const settings *set, const char *size, bench_time t,
                       double peak) {
    const double bytes = (double)b->n_streams * (double)(b->full ? b->step : WINDOW),
                 rate = bytes / t.median_s;
    const isb__model_flops flops = isb__model_forward_flops(&b->model->config, 0);
    const double flop_rate = bytes * (flops.matrices + flops.logits) / t.median_s;
    const char *context = b->full ? "full" : "window";
    const int threads = isb__thread_count(b->ctx);
    if (set->json) {
        printf("{\"size\":\"%s\",\"threads\":%d,\"context\":\"%s\",\"streams\":%zu,\"bytes_per_"
               "call\":%zu,\"median_us\":%.1f,"
               "\"best_us\":%.1f,\"spread\":%.3f,\"bytes_per_s\":%.0f,\"gflop_per_s\":%.2f,"
               "\"percent_of_peak\":%.1f}\n",
               size, threads, context, b->n_streams, b->step, 1e6 * t.median_s, 1e6 * t.best_s,
               t.spread, rate, 1e-9 * flop_rate, 100 * flop_rate / peak);
    } else {
        printf("%-5s %7d %7s %7zu %10zu %10.1f %10.1f %5.0f%% %9.0f %8.1f %5.1f%%\n", size, threads,
               context, b->n_streams, b->step, 1e6 * t.median_s, 1e6 * t.best_s, 100 * t.spread,
               rate, 1e-9 * flop_rate, 100 * flop_rate / peak);
    }
    fflush(stdout);
}

static isb_status run_streams(bench *b, const settings *set, const char *size, size_t n_streams,
                              double peak) {
    b->n_streams = n_streams;
    ISB_TRY(isb__m1_from_model(b->ctx, b->model, n_streams, &b->source));
    for (b->full = 0; b->full < 2; ++b->full) {
        call(b, 512, 0, 1);
        for (b->step = 1; b->step <= MAX_STEP; b->step *= MAX_STEP) {
            const bench_time t = bench_run(timed, b, set->budget_s);
            if (b->status == ISB_OK) print_case(b, set, size, t, peak);
        }
    }
    b->source.free(b->source.self);
    return b->status;
}

static isb_status run_size(bench *b, const settings *set, const char *size, double peak) {
    static const size_t streams[] = {1, 16, 64, 256};
    isb_model_config config;
    ISB_TRY(isb_model_config_init(b->ctx, size, &config));
    ISB_TRY(isb__model_create(b->ctx, &config, &b->model));
    isb__model_init_weights(b->model, 1);
    isb_status status = ISB_OK;
    for (size_t i = 0; i < sizeof streams / sizeof *streams && status == ISB_OK; ++i) {
        if (set->streams == 0 || set->streams == streams[i])
            status = run_streams(b, set, size, streams[i], peak);
    }
    isb_model_free(b->model);
    return status;
}

static isb_status run(bench *b, const settings *set) {
    const isb__gemm_kernel *kernel = isb__ops_for(b->ctx->cpu)->gemm_exact;
    const double peak = peak_measure(b->ctx, peak_of_kernel(kernel));
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    for (size_t i = 0; i < TEXT_NBYTES; ++i) b->text[i] = (uint8_t)isb__rng_u64(&rng);
    ISB_TRY(isb__alloc_array(b->ctx, (size_t)MAX_STREAMS * MAX_STEP * (ISB__N_SYMBOLS + 1),
                             sizeof *b->cdfs, &b->cdfs));
    if (!set->json) {
        printf("%s, %s, commit %s, kernel %s, peak %.0f GFLOP/s\n", isb__cpu_model_name(),
               __VERSION__, BENCH_COMMIT, kernel->name, 1e-9 * peak);
        printf("%-5s %7s %7s %7s %10s %10s %10s %6s %9s %8s %6s\n", "size", "threads", "context",
               "streams", "bytes/call", "median us", "best us", "spread", "bytes/s", "GFLOP/s",
               "peak");
    }
    isb_status status = ISB_OK;
    if (set->size)
        status = run_size(b, set, set->size, peak);
    else if ((status = run_size(b, set, "nano", peak)) == ISB_OK)
        status = run_size(b, set, "3m", peak);
    isb__free(b->ctx, b->cdfs);
    return status;
}

static isb_status run_threads(const settings *set, int n_threads) {
    static bench b;
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    options.cpu = set->cpu;
    b = (bench){0};
    isb_status status = isb_context_create(&options, &b.ctx);
    if (status == ISB_OK) status = run(&b, set);
    if (status != ISB_OK)
        fprintf(stderr, "%s: %s\n", isb_status_sentence(status),
                b.ctx ? isb_context_error(b.ctx) : "");
    isb_context_free(b.ctx);
    return status;
}

int main(int argc, char **argv) {
    settings set = {.budget_s = 0.3};
    for (int i = 1; i < argc; ++i) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0)
            set.json = 1;
        else if (strcmp(argv[i], "--cpu") == 0)
            set.cpu = value, ++i;
        else if (strcmp(argv[i], "--size") == 0)
            set.size = value, ++i;
        else if (strcmp(argv[i], "--threads") == 0)
            set.threads = atoi(value), ++i;
        else if (strcmp(argv[i], "--streams") == 0)
            set.streams = (size_t)atoi(value), ++i;
        else if (strcmp(argv[i], "--seconds") == 0)
            set.budget_s = atof(value), ++i;
        else {
            fprintf(stderr, "usage: bench_engine [--json] [--cpu TIER] [--size NAME] [--threads N] "
                            "[--streams 1|16|64|256] "
                            "[--seconds S]\n");
            return 2;
        }
    }
    if (set.threads > 0) return run_threads(&set, set.threads) != ISB_OK;
    return run_threads(&set, 1) != ISB_OK || run_threads(&set, 2) != ISB_OK;
}
