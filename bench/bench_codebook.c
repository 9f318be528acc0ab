/* Codebooks: how fast text becomes ids and ids become text.
 *
 *     bench_codebook [--json] [CODEBOOK [TEXT]]
 *
 * Without a codebook: the released one.  Without a text: 16 MB of the codebook's own strings drawn at random, which no
 * cache and no predictor can know; plain text is faster.  One line a case: MB/s of text, best and median; "load" in
 * milliseconds.  One thread, unless the case says otherwise. */
#include <stdio.h>
#include <string.h>

#include <isobit/isobit.h>

#include "base/rng.h"
#include "codebook/matcher.h"
#include "timer.h"

enum { MAX_TEXT = 64 << 20, RANDOM_TEXT = 16 << 20, DOCUMENT_NBYTES = 4096 };

typedef struct bench {
    isb_context *contexts[2]; /* of 1 and 2 threads */
    const char *path;
    isb_codebook *codebook;
    uint8_t *text, *back;
    uint32_t *ids;
    uint16_t *ids_u16;
    uint64_t *offsets;
    isb_codebook_text *documents;
    size_t nbytes, n_ids, n_documents;
    int bad;
} bench;

static void require(bench *b, int condition) { b->bad |= !condition; }

static void run_naive(void *arg) {
    bench *b = arg;
    require(b, isb__codebook_encode_naive(b->codebook, b->text, b->nbytes, b->ids) == b->n_ids);
}
/* Pieces that are too short for lanes. */
static void run_one_lane(void *arg) {
    bench *b = arg;
    isb__ids_out out = {.ids = b->ids, .capacity = b->nbytes};
    isb__state state = ISB__STATE_ROOT;
    for (size_t i = 0; i < b->nbytes; i += ISB__ONE_LANE_NBYTES) {
        const size_t left = b->nbytes - i;
        isb__match(b->codebook, &state, b->text + i,
                   left < ISB__ONE_LANE_NBYTES ? left : ISB__ONE_LANE_NBYTES, &out);
    }
    isb__match_end(b->codebook, &state, &out);
    require(b, out.n == b->n_ids);
}
static void run_encode(void *arg) {
    bench *b = arg;
    size_t n;
    require(b,
            isb_codebook_encode(b->codebook, b->text, b->nbytes, b->ids, b->nbytes, &n) == ISB_OK);
    require(b, n == b->n_ids);
}
static void run_encode_u16(void *arg) {
    bench *b = arg;
    size_t n;
    require(b, isb_codebook_encode_u16(b->codebook, b->text, b->nbytes, b->ids_u16, b->nbytes,
                                       &n) == ISB_OK);
}
static void run_count(void *arg) {
    bench *b = arg;
    require(b, isb_codebook_count(b->codebook, b->text, b->nbytes) == b->n_ids);
}
static void run_batch(bench *b, int threads) {
    require(b, isb_codebook_encode_batch(b->contexts[threads - 1], b->codebook, b->documents,
                                         b->n_documents, b->ids, b->nbytes, b->offsets) == ISB_OK);
}
static void run_batch_1(void *arg) { run_batch(arg, 1); }
static void run_batch_2(void *arg) { run_batch(arg, 2); }
static void run_decode(void *arg) {
    bench *b = arg;
    size_t n;
    require(b,
            isb_codebook_decode(b->codebook, b->ids, b->n_ids, b->back, b->nbytes, &n) == ISB_OK);
    require(b, n == b->nbytes);
}
static void run_decode_u16(void *arg) {
    bench *b = arg;
    size_t n;
    require(b, isb_codebook_decode_u16(b->codebook, b->ids_u16, b->n_ids, b->back, b->nbytes, &n) ==
                   ISB_OK);
}
static void run_load(void *arg) {
    bench *b = arg;
    isb_codebook *codebook;
    require(b, isb_codebook_open(b->contexts[0], b->path, &codebook) == ISB_OK);
    isb_codebook_free(codebook);
}

/* In this order: decoding needs the ids of encoding. */
static const struct {
    const char *name;
    void (*run)(void *);
    int needs_u16;
} cases[] = {{"encode, definition", run_naive, 0},
             {"encode, one lane", run_one_lane, 0},
             {"encode_u16", run_encode_u16, 1},
             {"count", run_count, 0},
             {"encode_batch, 1 thread", run_batch_1, 0},
             {"encode_batch, 2 threads", run_batch_2, 0},
             {"encode", run_encode, 0},
             {"decode", run_decode, 0},
             {"decode_u16", run_decode_u16, 1},
             {"load", run_load, 0}};

static void run_case(bench *b, size_t which, int json) {
    const bench_time t = bench_run(cases[which].run, b, 0.5);
    if (cases[which].run == run_load) {
        printf(json ? "{\"case\":\"%s\",\"ms\":%.3f,\"median_ms\":%.3f}\n"
                    : "%-24s %8.2f ms    median %8.2f ms\n",
               cases[which].name, 1e3 * t.best_s, 1e3 * t.median_s);
    } else {
        const double mb = 1e-6 * (double)b->nbytes;
        printf(json ? "{\"case\":\"%s\",\"mb_per_s\":%.1f,\"median_mb_per_s\":%.1f}\n"
                    : "%-24s %8.1f MB/s  median %8.1f MB/s\n",
               cases[which].name, mb / t.best_s, mb / t.median_s);
    }
    fflush(stdout);
}

static void read_text(bench *b, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    b->nbytes = fread(b->text, 1, MAX_TEXT, file);
    fclose(file);
}

static void random_text(bench *b, size_t n_codes) {
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    while (b->nbytes < RANDOM_TEXT) {
        const uint8_t *string;
        size_t n;
        isb_codebook_string(b->codebook, (uint32_t)isb__rng_below(&rng, n_codes), &string, &n);
        memcpy(b->text + b->nbytes, string, n);
        b->nbytes += n;
    }
}

static void prepare(bench *b, const char *text_path) {
    isb_codebook_info info = {.struct_size = sizeof info};
    for (int i = 0; i < 2; ++i) {
        isb_context_options options;
        isb_context_options_init(&options);
        options.n_threads = i + 1;
        require(b, isb_context_create(&options, &b->contexts[i]) == ISB_OK);
    }
    if (isb_codebook_open(b->contexts[0], b->path, &b->codebook) != ISB_OK) {
        fprintf(stderr, "bench_codebook: %s\n", isb_context_error(b->contexts[0]));
        exit(1);
    }
    isb_codebook_get_info(b->codebook, &info);
    b->text = malloc(MAX_TEXT);
    if (text_path) {
        read_text(b, text_path);
    } else {
        random_text(b, (size_t)info.n_codes);
    }
    b->back = malloc(b->nbytes);
    b->ids = calloc(b->nbytes, sizeof *b->ids);
    b->ids_u16 = calloc(b->nbytes, sizeof *b->ids_u16);
    b->n_documents = (b->nbytes + DOCUMENT_NBYTES - 1) / DOCUMENT_NBYTES;
    b->documents = calloc(b->n_documents, sizeof *b->documents);
    b->offsets = calloc(b->n_documents + 1, sizeof *b->offsets);
    for (size_t i = 0; i < b->n_documents; ++i) {
        const size_t at = i * DOCUMENT_NBYTES, left = b->nbytes - at;
        b->documents[i] =
            (isb_codebook_text){b->text + at, left < DOCUMENT_NBYTES ? left : DOCUMENT_NBYTES};
    }
    b->n_ids = isb_codebook_count(b->codebook, b->text, b->nbytes);
    fprintf(stderr, "%s: %lld ids, %zu bytes of memory; %zu bytes of text, %.3f bytes an id; %s\n",
            info.name, (long long)info.n_ids, info.memory_nbytes, b->nbytes,
            (double)b->nbytes / (double)b->n_ids, isb__cpu_model_name());
}

int main(int argc, char **argv) {
    const int json = argc > 1 && strcmp(argv[1], "--json") == 0;
    if (argc > 3 + json) {
        fprintf(stderr, "usage: bench_codebook [--json] [CODEBOOK [TEXT]]\n");
        return 2;
    }
    bench b = {.path = argc > 1 + json ? argv[1 + json] : NULL};
    prepare(&b, argc > 2 + json ? argv[2 + json] : NULL);
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(b.codebook, &info);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        if (!cases[i].needs_u16 || info.n_ids <= 1 << 16) run_case(&b, i, json);
    }
    require(&b, memcmp(b.text, b.back, b.nbytes) == 0);
    free(b.text), free(b.back), free(b.ids), free(b.ids_u16), free(b.offsets), free(b.documents);
    isb_codebook_free(b.codebook);
    for (int i = 0; i < 2; ++i) isb_context_free(b.contexts[i]);
    if (b.bad) fprintf(stderr, "bench_codebook: wrong results\n");
    return b.bad;
}
