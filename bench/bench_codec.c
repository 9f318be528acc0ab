/* Codes with an M1, both ways: MB/s, bits a byte, and how many bytes M1 was evaluated on for each.
 *
 *     bench_codec [--json] [--codes ac,16,32,64,128] [--threads N] [--streams N] [--document NBYTES]
 *                 [--bytes N] [--runs N] M1 FILE
 *
 * The first N bytes of FILE (all, unless told otherwise) are cut into documents.  A code is ac, or the
 * bits of a window (exact, M1 reset with every window).  Every run begins with a new codec, whose cache
 * is empty; times are medians of the runs and leave out the loading of M1.  What is decoded must be
 * the text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "code/codec.h"
#include "m1/m1.h"
#include "timer.h"

enum { MAX_RUNS = 101 };

typedef struct settings {
    const char *codes, *m1, *path;
    int json, threads, n_runs;
    size_t streams, document_nbytes, limit_nbytes;
} settings;

typedef struct bench {
    isb_context *ctx;
    const settings *set;
    uint8_t *text;
    size_t nbytes, n;
    isb__bytes_view *texts;
    isb__encoded *encoded;
    isb__ids_view *ids;
    isb__decoded *decoded;
} bench;

typedef struct case_result {
    double encode_s[MAX_RUNS], decode_s[MAX_RUNS];
    size_t streams, workers;
    uint64_t n_bits, encode_m1_bytes, decode_m1_bytes, cached_nodes;
} case_result;

static isb_status read_text(bench *b) {
    ISB_TRY(isb__file_read(b->ctx, b->set->path, SIZE_MAX, &b->text, &b->nbytes));
    if (b->set->limit_nbytes > 0 && b->set->limit_nbytes < b->nbytes)
        b->nbytes = b->set->limit_nbytes;
    const size_t size = b->set->document_nbytes;
    b->n = (b->nbytes + size - 1) / size;
    ISB_TRY(isb__alloc_array(b->ctx, b->n, sizeof *b->texts, &b->texts));
    ISB_TRY(isb__alloc_array(b->ctx, b->n, sizeof *b->encoded, &b->encoded));
    ISB_TRY(isb__alloc_array(b->ctx, b->n, sizeof *b->ids, &b->ids));
    ISB_TRY(isb__alloc_array(b->ctx, b->n, sizeof *b->decoded, &b->decoded));
    for (size_t i = 0; i < b->n; ++i) {
        const size_t at = i * size, left = b->nbytes - at;
        b->texts[i] = (isb__bytes_view){b->text + at, left < size ? left : size};
    }
    return ISB_OK;
}

static isb_status check_text(const bench *b) {
    for (size_t i = 0; i < b->n; ++i) {
        const isb__bytes_view *text = &b->texts[i];
        if (b->decoded[i].status != ISB_OK || b->decoded[i].nbytes != text->nbytes ||
            memcmp(b->decoded[i].bytes, text->data, text->nbytes) != 0)
            return isb__fail(b->ctx, ISB_ERR_CORRUPT, "document %zu is not what it was", i);
    }
    return ISB_OK;
}

/* Encodes with one codec and decodes with another: neither has seen the text. */
static isb_status run_once(bench *b, isb__codec *encoder, isb__codec *decoder, int run,
                           case_result *result) {
    isb__codec_stats stats;
    double before = bench_now_s();
    ISB_TRY(isb__codec_encode(encoder, b->n, b->texts, b->encoded, NULL, NULL));
    result->encode_s[run] = bench_now_s() - before;
    result->n_bits = 0;
    for (size_t i = 0; i < b->n; ++i) {
        b->ids[i] = (isb__ids_view){b->encoded[i].ids, b->encoded[i].count};
        result->n_bits += 8 * b->encoded[i].count;
    }
    before = bench_now_s();
    ISB_TRY(isb__codec_decode(decoder, b->n, b->ids, 0, b->decoded, NULL, NULL));
    result->decode_s[run] = bench_now_s() - before;
    isb__codec_stats_get(encoder, &stats);
    result->encode_m1_bytes = stats.m1_bytes;
    result->cached_nodes = stats.cached_nodes;
    isb__codec_stats_get(decoder, &stats);
    result->decode_m1_bytes = stats.m1_bytes;
    return check_text(b);
}

static isb_status make_codec(const bench *b, const isb__code_params *params, case_result *result,
                             isb__codec **codec) {
    isb__cdf_source source;
    ISB_TRY(isb__m1_open(b->ctx, b->set->m1, b->set->streams, &source));
    result->streams = source.max_streams;
    result->workers = source.n_workers;
    const isb_status status = isb__codec_create(b->ctx, params, &source, codec);
    if (status != ISB_OK && source.free) source.free(source.self);
    return status;
}

static isb_status run_new(bench *b, const isb__code_params *params, int run, case_result *result) {
    isb__codec *encoder = NULL, *decoder = NULL;
    isb_status status = make_codec(b, params, result, &encoder);
    if (status == ISB_OK) status = make_codec(b, params, result, &decoder);
    if (status == ISB_OK) status = run_once(b, encoder, decoder, run, result);
    isb__codec_free(encoder);
    isb__codec_free(decoder);
    return status;
}

static double median(double *times, int n) {
    qsort(times, (size_t)n, sizeof *times, bench_compare);
    return times[n / 2];
}

static void print_case(const bench *b, const char *code, case_result *r) {
    const double nbytes = (double)b->nbytes, encode_s = median(r->encode_s, b->set->n_runs),
                 decode_s = median(r->decode_s, b->set->n_runs);
    const char *const form =
        b->set->json
            ? "{\"code\":\"%s\",\"threads\":%d,\"streams\":%zu,\"bytes\":%zu,\"bits_per_byte\":%."
              "4f,"
              "\"encode_mb_per_s\":%.4f,\"decode_mb_per_s\":%.4f,\"encode_m1_bytes_per_byte\":%.4f,"
              "\"decode_m1_bytes_per_byte\":%.4f,\"cached_prefixes\":%.0f}\n"
            : "%-5s %7d %7zu %10zu %9.4f %11.4f %11.4f %9.4f %9.4f %9.0f\n";
    printf(form, code, isb__thread_count(b->ctx), r->streams, b->nbytes, (double)r->n_bits / nbytes,
           1e-6 * nbytes / encode_s, 1e-6 * nbytes / decode_s, (double)r->encode_m1_bytes / nbytes,
           (double)r->decode_m1_bytes / nbytes, (double)r->cached_nodes);
    fflush(stdout);
}

static isb_status run_code(bench *b, const char *code) {
    isb__code_params params;
    case_result result;
    const bool ac = strcmp(code, "ac") == 0;
    isb__code_params_init(&params, ac ? ISB__CODE_AC : ISB__CODE_EQUAL_INFO);
    if (!ac) params.window_nbits = atoi(code);
    params.token_nbits = 8;
    for (int run = 0; run < b->set->n_runs; ++run) ISB_TRY(run_new(b, &params, run, &result));
    print_case(b, code, &result);
    return ISB_OK;
}

static isb_status run_all(bench *b) {
    char codes[256];
    ISB_TRY(read_text(b));
    if (!b->set->json)
        printf("%-5s %7s %7s %10s %9s %11s %11s %9s %9s %9s\n", "code", "threads", "streams",
               "bytes", "bits/byte", "encode MB/s", "decode MB/s", "enc M1/B", "dec M1/B",
               "prefixes");
    snprintf(codes, sizeof codes, "%s", b->set->codes);
    for (char *code = strtok(codes, ","); code; code = strtok(NULL, ","))
        ISB_TRY(run_code(b, code));
    return ISB_OK;
}

static int usage(void) {
    fprintf(stderr, "usage: bench_codec [--json] [--codes ac,16,32,64,128] [--threads N] "
                    "[--streams N] [--document NBYTES] [--bytes N] [--runs N] M1 FILE\n");
    return 2;
}

static int parse(int argc, char **argv, settings *set) {
    for (int i = 1; i < argc; ++i) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0)
            set->json = 1;
        else if (strcmp(argv[i], "--codes") == 0)
            set->codes = value, ++i;
        else if (strcmp(argv[i], "--threads") == 0)
            set->threads = atoi(value), ++i;
        else if (strcmp(argv[i], "--streams") == 0)
            set->streams = (size_t)atoi(value), ++i;
        else if (strcmp(argv[i], "--document") == 0)
            set->document_nbytes = (size_t)atoi(value), ++i;
        else if (strcmp(argv[i], "--bytes") == 0)
            set->limit_nbytes = (size_t)atol(value), ++i;
        else if (strcmp(argv[i], "--runs") == 0)
            set->n_runs = atoi(value), ++i;
        else if (argv[i][0] == '-' || set->path)
            return 0;
        else if (!set->m1)
            set->m1 = argv[i];
        else
            set->path = argv[i];
    }
    return set->path && set->n_runs > 0 && set->n_runs <= MAX_RUNS && set->document_nbytes > 0;
}

int main(int argc, char **argv) {
    settings set = {.codes = "ac,32,64,128", .n_runs = 3, .document_nbytes = 16 << 10};
    if (!parse(argc, argv, &set)) return usage();
    bench b = {.set = &set};
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = set.threads;
    isb_status status = isb_context_create(&options, &b.ctx);
    if (status == ISB_OK) status = run_all(&b);
    if (status != ISB_OK)
        fprintf(stderr, "%s: %s\n", isb_status_sentence(status),
                b.ctx ? isb_context_error(b.ctx) : "");
    void *const owned[] = {b.text, b.texts, b.encoded, b.ids, b.decoded};
    for (size_t i = 0; b.ctx && i < sizeof owned / sizeof *owned; ++i) isb__free(b.ctx, owned[i]);
    isb_context_free(b.ctx);
    return status != ISB_OK;
}
