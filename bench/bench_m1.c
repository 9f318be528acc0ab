/* M1 as codes see it: bytes in, CDFs out, over streams, bytes a call, contexts and threads.
 *
 *     bench_m1 [--json] [--cpu TIER] [--m1 PATH | --size nano|tiny|3m|... --context T] [--threads N] [--streams N]
 *              [--bytes N] [--short | --full] [--seconds S]
 *
 * Two contexts: `short` restarts every stream after 16 bytes, as codes of windows do; `full` has all of the model's
 * positions behind every byte, as `ac` has.  Each thread has its own streams.  One line a case: KB/s of all threads in the
 * median call and in the best one, the operations of products and attention a second in the best, two for a
 * multiply-add, and their percent of what the int8 units of as many threads can do from registers. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "m1/m1.h"
#include "peak.h"
#include "timer.h"

#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

enum { WINDOW = 16, TEXT_NBYTES = 1 << 14, MOST_STREAMS = 256, MOST_STEP = 64 };

typedef struct settings {
    const char *m1, *size, *cpu;
    int threads, json;
    int64_t context;
    size_t streams, bytes;
    int contexts; /* bit 0: short, bit 1: full */
    double budget_s;
} settings;

typedef struct bench {
    const settings *set;
    isb_context *ctx;
    isb__m1 *m1;
    isb__cdf_source source;
    size_t n_streams, step; /* of a thread; bytes a call */
    int full;
    uint8_t text[TEXT_NBYTES];
    uint32_t *cdfs; /* [threads, streams, step, 258] */
    size_t at[1024];
    isb_status status[1024];
} bench;

/* A call of one thread. */
static void call(bench *b, size_t thread, size_t n_bytes, size_t n_cdfs, int restart) {
    isb__cdf_request requests[MOST_STREAMS];
    for (size_t i = 0; i < b->n_streams; ++i) {
        const size_t stream = thread * b->n_streams + i;
        requests[i] = (isb__cdf_request){
            stream,  restart, b->text + (b->at[thread] + 37 * i) % (TEXT_NBYTES - 4096),
            n_bytes, n_cdfs,  b->cdfs + stream * MOST_STEP * (ISB__N_SYMBOLS + 1)};
    }
    b->at[thread] += n_bytes;
    if (b->status[thread] == ISB_OK)
        b->status[thread] = b->source.evaluate(b->source.self, thread, b->n_streams, requests);
}

static size_t run_bytes(const bench *b) { return b->full ? b->step : WINDOW; }

static void run_task(void *arg, size_t task, int thread) {
    bench *b = arg;
    (void)thread;
    for (size_t done = 0; done < run_bytes(b); done += b->step) {
        const int restart = !b->full && done == 0;
        const size_t left = run_bytes(b) - done, n = b->step < left ? b->step : left;
        call(b, task, n, n, restart);
    }
}

static void fill_task(void *arg, size_t task, int thread) {
    bench *b = arg;
    (void)thread;
    call(b, task, (size_t)b->m1->config.context_length, 0, 1);
}

static size_t n_threads_of(const bench *b) { return (size_t)isb__thread_count(b->ctx); }
static void timed(void *arg) {
    isb__parallel(((bench *)arg)->ctx, n_threads_of(arg), run_task, arg);
}

static void print_case(const bench *b, bench_time t, double peak) {
    const isb_model_config *c = &b->m1->config;
    const size_t n_threads = n_threads_of(b);
    const double bytes = (double)(n_threads * b->n_streams * run_bytes(b)), rate = bytes / t.best_s,
                 context = b->full ? (double)c->context_length : (double)(WINDOW + 3) / 2;
    const isb__model_flops ops = isb__model_forward_flops(c, context);
    const double op_rate = rate * (ops.matrices + ops.logits + ops.attention);
    printf(b->set->json
               ? "{\"threads\":%zu,\"context\":\"%s\",\"streams\":%zu,\"bytes_per_call\":%zu,"
                 "\"kb_per_s\":%.1f,\"best_kb_per_s\":%.1f,\"gop_per_s\":%.1f,\"percent_of_peak\":%"
                 ".1f,\"spread\":%.3f}\n"
               : "%7zu %7s %7zu %10zu %9.1f %9.1f %8.1f %5.1f%% %6.3f\n",
           n_threads, b->full ? "full" : "short", b->n_streams, b->step, 1e-3 * bytes / t.median_s,
           1e-3 * rate, 1e-9 * op_rate, peak > 0 ? 100 * op_rate / peak : 0, t.spread);
    fflush(stdout);
}

static isb_status first_failure(const bench *b) {
    for (size_t i = 0; i < n_threads_of(b); ++i) ISB_TRY(b->status[i]);
    return ISB_OK;
}

static isb_status run_streams(bench *b, size_t n_streams, double peak) {
    static const size_t steps[] = {1, 16, 64};
    b->n_streams = n_streams;
    ISB_TRY(isb__m1_source(b->ctx, b->m1, 0, n_streams * n_threads_of(b), &b->source));
    for (b->full = 0; b->full < 2; ++b->full) {
        if (!(b->set->contexts >> b->full & 1)) continue;
        isb__parallel(b->ctx, n_threads_of(b), fill_task, b);
        for (size_t i = 0; i < sizeof steps / sizeof *steps; ++i) {
            b->step = steps[i];
            if (b->set->bytes > 0 && b->step != b->set->bytes) continue;
            if (!b->full && b->step > WINDOW) continue;
            print_case(b, bench_run(timed, b, b->set->budget_s), peak);
        }
    }
    b->source.free(b->source.self);
    return first_failure(b);
}

static isb_status open_m1(bench *b) {
    isb_model_config config;
    isb_model *model = NULL;
    if (b->set->m1) return isb__m1_load(b->ctx, b->set->m1, &b->m1);
    ISB_TRY(isb_model_config_init(b->ctx, b->set->size, &config));
    config.context_length = b->set->context;
    ISB_TRY(isb__model_create(b->ctx, &config, &model));
    isb__model_init_weights(model, 1);
    const isb_status status = isb__m1_from_model(b->ctx, model, b->set->size, &b->m1);
    isb_model_free(model);
    return status;
}

static isb_status run(bench *b) {
    static const size_t streams[] = {1, 16, 32, 64};
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    for (size_t i = 0; i < TEXT_NBYTES; ++i) b->text[i] = (uint8_t)isb__rng_u64(&rng);
    ISB_TRY(isb__alloc_array(b->ctx, n_threads_of(b) * MOST_STREAMS * MOST_STEP,
                             (ISB__N_SYMBOLS + 1) * sizeof *b->cdfs, &b->cdfs));
    ISB_TRY(open_m1(b));
    const double peak = peak_measure(b->ctx, isb__peak_of_int8(b->ctx->cpu));
    const isb_model_config *c = &b->m1->config;
    if (!b->set->json) {
        printf("%s, %s, commit %s, %s\n", isb__cpu_model_name(), __VERSION__, BENCH_COMMIT,
               isb__cpu_tier_name(b->ctx->cpu));
        printf("C %lld, L %lld, H %lld, F %lld, T %lld; int8 peak %.0f GOP/s\n",
               (long long)c->hidden_size, (long long)c->n_layers, (long long)c->n_heads,
               (long long)c->intermediate_size, (long long)c->context_length, 1e-9 * peak);
        printf("%7s %7s %7s %10s %9s %9s %8s %6s %6s\n", "threads", "context", "streams",
               "bytes/call", "KB/s", "best KB/s", "GOP/s", "peak", "spread");
    }
    if (b->set->streams > 0) return run_streams(b, b->set->streams, peak);
    for (size_t i = 0; i < sizeof streams / sizeof *streams; ++i)
        ISB_TRY(run_streams(b, streams[i], peak));
    return ISB_OK;
}

static isb_status run_threads(const settings *set, int n_threads) {
    static bench b;
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    options.cpu = set->cpu;
    memset(&b, 0, sizeof b);
    b.set = set;
    isb_status status = isb_context_create(&options, &b.ctx);
    if (status == ISB_OK) status = run(&b);
    if (status != ISB_OK)
        fprintf(stderr, "%s: %s\n", isb_status_sentence(status),
                b.ctx ? isb_context_error(b.ctx) : "");
    isb__m1_free(b.m1);
    if (b.ctx) isb__free(b.ctx, b.cdfs);
    isb_context_free(b.ctx);
    return status;
}

static int usage(void) {
    fprintf(stderr, "usage: bench_m1 [--json] [--cpu TIER] [--m1 PATH | --size NAME --context T] "
                    "[--threads N] [--streams N] [--bytes 1|16|64] [--short | --full] "
                    "[--seconds S]\n");
    return 2;
}

int main(int argc, char **argv) {
    settings set = {.size = "3m", .context = 256, .contexts = 3, .budget_s = 0.3};
    for (int i = 1; i < argc; ++i) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        const int flag = strcmp(option, "--json") == 0    ? 1
                         : strcmp(option, "--short") == 0 ? 2
                         : strcmp(option, "--full") == 0  ? 3
                                                          : 0;
        if (flag == 1) set.json = 1;
        if (flag > 1) set.contexts = flag - 1;
        if (flag) continue;
        ++i;
        if (strcmp(option, "--cpu") == 0)
            set.cpu = value;
        else if (strcmp(option, "--m1") == 0)
            set.m1 = value;
        else if (strcmp(option, "--size") == 0)
            set.size = value;
        else if (strcmp(option, "--context") == 0)
            set.context = atoll(value);
        else if (strcmp(option, "--threads") == 0)
            set.threads = atoi(value);
        else if (strcmp(option, "--streams") == 0)
            set.streams = (size_t)atoi(value);
        else if (strcmp(option, "--bytes") == 0)
            set.bytes = (size_t)atoi(value);
        else if (strcmp(option, "--seconds") == 0)
            set.budget_s = atof(value);
        else
            return usage();
    }
    if (set.streams > MOST_STREAMS || set.threads > 1024) return usage();
    if (set.threads > 0) return run_threads(&set, set.threads) != ISB_OK;
    return run_threads(&set, 1) != ISB_OK || run_threads(&set, 2) != ISB_OK;
}
