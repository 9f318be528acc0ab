/* The determinism matrix of one build, docs/determinism.md: every CDF and every code of fixed models and texts, for
 * every CPU tier of this machine, 1 to 4 threads, 1, 7 or 64 streams in a call, texts whole, in pieces, or byte by byte.
 * One hash for each model and text is recorded in matrix.txt, and every way of computing it must give that one.
 * scripts/matrix.sh repeats this program with other compilers, options and processors.
 *
 *     test_matrix                   compares a sixth of the cells with matrix.txt in the folder ISB_GOLDEN
 *     test_matrix all               all of them
 *     test_matrix write             prints a new one
 *     test_matrix files FOLDER      leaves the models and texts there: matrix_reference.py reads them */
#include <pthread.h>

#include "base/context.h"
#include "code/codec.h"
#include "m1/m1.h"
#include "matrix_models.h"

enum { MAX_THREADS = 4, MAX_STREAMS = 64, MAX_LINES = 64 };

/* ---- the recorded hashes ---- */
typedef struct golden_line {
    char model[16], text[16], what[16], hash[33];
} golden_line;
static golden_line golden[MAX_LINES];
static size_t n_golden, n_cells;
static bool writing, all_cells;

static void read_golden(void) {
    char path[1024];
    const char *folder = getenv("ISB_GOLDEN");
    snprintf(path, sizeof path, "%s/matrix.txt", folder ? folder : "tests/golden");
    FILE *file = fopen(path, "r");
    CHECK_FATAL(file != NULL);
    while (n_golden < MAX_LINES) {
        golden_line *line = &golden[n_golden];
        if (fscanf(file, "%15s %15s %15s %32s", line->model, line->text, line->what, line->hash) != 4)
            break;
        ++n_golden;
    }
    fclose(file);
}

/* One cell.  When writing, the first cell of a hash is the recorded one. */
static void check_hash(const char *model, const char *text, const char *what, const isb__id128 *hash,
                       const char *cell) {
    char hex[33], detail[160];
    ++n_cells;
    isb__id128_hex(hash, hex);
    golden_line *line = golden, *end = golden + n_golden;
    while (line < end && (strcmp(line->model, model) != 0 || strcmp(line->text, text) != 0 ||
                          strcmp(line->what, what) != 0)) {
        ++line;
    }
    if (line == end && writing && n_golden < MAX_LINES) {
        snprintf(line->model, sizeof line->model, "%s", model);
        snprintf(line->text, sizeof line->text, "%s", text);
        snprintf(line->what, sizeof line->what, "%s", what);
        memcpy(line->hash, hex, sizeof hex);
        ++n_golden;
        printf("%s %s %s %s\n", model, text, what, hex);
    }
    const bool known = line < golden + n_golden;
    snprintf(detail, sizeof detail, "%s %s %s, %s: %s, expected %s", model, text, what, cell, hex,
             known ? line->hash : "a line in matrix.txt");
    check_report(known && strcmp(line->hash, hex) == 0, __FILE__, __LINE__, "hash", detail);
}

/* ---- CDFs ---- */
typedef enum pieces { WHOLE, PIECES, BYTES, N_PIECES } pieces;
static const char *const pieces_names[N_PIECES] = {"whole", "in pieces", "byte by byte"};

/* All CDFs of a document: after 0, 1, 2, ... bytes. */
typedef struct result {
    uint32_t *cdfs; /* [nbytes + 1][258] */
    size_t done;    /* bytes given to M1 */
} result;

typedef struct work {
    isb__m1_engine *engine;
    const matrix_document *documents;
    result *results; /* [MATRIX_N_DOCUMENTS] */
    size_t worker, n_workers, n_streams;
    pieces pieces;
    isb_status status;
} work;

static uint32_t *row(const result *r, size_t position) { return r->cdfs + position * 258; }

/* The next request of a document; false when it is done.  The CDF of no bytes at all comes first, but last where the
 * text is given whole, so that a context also starts with many bytes. */
static bool next_request(const work *w, size_t document, size_t stream, isb__cdf_request *request) {
    result *r = &w->results[document];
    const size_t nbytes = w->documents[document].nbytes, left = nbytes - r->done;
    static uint32_t nothing;
    *request = (isb__cdf_request){.stream = stream};
    const bool started = row(r, 0)[257] != 0;
    if (left == 0 && started) return false;
    size_t n = left;
    if (w->pieces == WHOLE) request->restart = 1;
    if (w->pieces != WHOLE && !started) n = 0, request->restart = 1;
    if (w->pieces == PIECES && n > 1) n = 1 + (document * 5 + r->done * 3) % (n < 23 ? n : 23);
    if (w->pieces == BYTES && n > 1) n = 1;
    request->bytes = n ? w->documents[document].data + r->done : (const uint8_t *)&nothing;
    request->n_bytes = n;
    request->n_cdfs = n ? n : 1;
    request->cdfs = row(r, n ? r->done + 1 : 0);
    r->done += n;
    return true;
}

/* Documents first .. first + n_streams of this worker's, together, each in a stream of its own. */
static isb_status evaluate_group(work *w, size_t first) {
    for (;;) {
        isb__cdf_request requests[MAX_STREAMS];
        size_t n = 0;
        for (size_t i = 0; i < w->n_streams; i++) {
            const size_t document = (first + i) * w->n_workers + w->worker;
            if (document >= MATRIX_N_DOCUMENTS) break;
            n += next_request(w, document, w->worker * w->n_streams + i, &requests[n]);
        }
        if (n == 0) return ISB_OK;
        ISB_TRY(isb__m1_engine_evaluate(w->engine, w->worker, n, requests));
    }
}

static void *evaluate_share(void *arg) {
    work *w = arg;
    w->status = ISB_OK;
    for (size_t i = 0; i * w->n_workers + w->worker < MATRIX_N_DOCUMENTS; i += w->n_streams) {
        if (w->status == ISB_OK) w->status = evaluate_group(w, i);
    }
    return NULL;
}

/* The CDFs as bytes, the same for every byte order: starts of 257 symbols, 2 bytes each; the end is known. */
static isb__id128 hash_cdfs(const matrix_document *documents, const result *results) {
    isb__hasher *hasher = isb__hasher_create();
    CHECK_FATAL(hasher != NULL);
    bool ends = true;
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) {
        for (size_t p = 0; p <= documents[d].nbytes; p++) {
            uint8_t bytes[2 * 257];
            const uint32_t *cdf = row(&results[d], p);
            for (int x = 0; x < 257; x++) {
                bytes[2 * x] = (uint8_t)(cdf[x] & 255);
                bytes[2 * x + 1] = (uint8_t)(cdf[x] >> 8);
            }
            ends = ends && cdf[257] == UINT32_C(1) << ISB__CDF_PRECISION;
            isb__hasher_update(hasher, bytes, sizeof bytes);
        }
    }
    CHECK(ends);
    return isb__hasher_finish(hasher);
}

/* One cell: all documents on n_threads threads, n_streams documents in a call. */
static isb__id128 cdfs_of(isb_context *ctx, const isb__m1 *m1, const matrix_document *documents,
                          size_t n_threads, size_t n_streams, pieces how) {
    isb__m1_engine *engine = NULL;
    result results[MATRIX_N_DOCUMENTS] = {{0}};
    work works[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    CHECK_OK(ctx, isb__m1_engine_create(ctx, m1, n_streams * n_threads, n_threads, 0, &engine));
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) {
        results[d].cdfs = calloc(documents[d].nbytes + 1, 258 * sizeof(uint32_t));
        CHECK_FATAL(results[d].cdfs != NULL);
    }
    for (size_t i = 0; i < n_threads; i++) {
        works[i] = (work){.engine = engine, .documents = documents, .results = results, .worker = i,
                          .n_workers = n_threads, .n_streams = n_streams, .pieces = how};
        CHECK_FATAL(pthread_create(&threads[i], NULL, evaluate_share, &works[i]) == 0);
    }
    for (size_t i = 0; i < n_threads; i++) {
        CHECK_FATAL(pthread_join(threads[i], NULL) == 0);
        CHECK_OK(ctx, works[i].status);
    }
    const isb__id128 hash = hash_cdfs(documents, results);
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) free(results[d].cdfs);
    isb__m1_engine_free(engine);
    return hash;
}

/* Of a smaller matrix each number of threads, of streams, each way of giving text, but not with one another. */
static bool is_cell(const matrix_shape *shape, size_t n_threads, size_t batch, size_t how) {
    if (shape->far) return n_threads == 2 && batch == 2;
    return all_cells || (n_threads % 2 == 1 && (n_threads / 2 + batch + how) % 3 == 0);
}

static void check_cdfs(isb_context *ctx, const matrix_shape *shape, const isb__m1 *m1, int text,
                       const matrix_document *documents) {
    static const size_t batches[] = {1, 7, 64};
    for (size_t n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
            for (pieces how = WHOLE; how < N_PIECES; how++) {
                if (!is_cell(shape, n_threads, i, how)) continue;
                char cell[96];
                snprintf(cell, sizeof cell, "%s, %zu threads, %zu streams, %s", isb_context_cpu(ctx),
                         n_threads, batches[i], pieces_names[how]);
                const isb__id128 hash = cdfs_of(ctx, m1, documents, n_threads, batches[i], how);
                check_hash(shape->name, matrix_texts[text], "cdfs", &hash, cell);
            }
        }
    }
}

/* ---- codes ---- */
static const struct code {
    const char *name;
    isb__code_kind kind;
    int window_nbits, reset_windows;
} codes[] = {{"ac", ISB__CODE_AC, 0, 0},
             {"window16", ISB__CODE_EQUAL_INFO, 16, 1},
             {"window32", ISB__CODE_EQUAL_INFO, 32, 0}};

static isb__id128 hash_codes(const isb__encoded *encoded) {
    isb__hasher *hasher = isb__hasher_create();
    CHECK_FATAL(hasher != NULL);
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) {
        for (size_t i = 0; i < encoded[d].count; i++) {
            const uint8_t byte = (uint8_t)encoded[d].ids[i];
            isb__hasher_update(hasher, &byte, 1);
        }
        const uint8_t count[2] = {(uint8_t)encoded[d].count, (uint8_t)(encoded[d].count >> 8)};
        isb__hasher_update(hasher, count, 2);
    }
    return isb__hasher_finish(hasher);
}

/* What was encoded decodes to the same documents.  encoded is the codec's until it decodes. */
static void check_decode(isb_context *ctx, isb__codec *codec, const matrix_document *documents,
                         const isb__encoded *encoded) {
    isb__ids_view views[MATRIX_N_DOCUMENTS];
    isb__decoded decoded[MATRIX_N_DOCUMENTS];
    uint32_t *ids[MATRIX_N_DOCUMENTS];
    bool same = true;
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) {
        ids[d] = malloc(encoded[d].count * sizeof *ids[d] + 1);
        CHECK_FATAL(ids[d] != NULL);
        if (encoded[d].count > 0) memcpy(ids[d], encoded[d].ids, encoded[d].count * sizeof *ids[d]);
        views[d] = (isb__ids_view){ids[d], encoded[d].count};
    }
    CHECK_OK(ctx, isb__codec_decode(codec, MATRIX_N_DOCUMENTS, views, 0, decoded, NULL, NULL));
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) {
        same = same && decoded[d].status == ISB_OK && decoded[d].nbytes == documents[d].nbytes &&
               (documents[d].nbytes == 0 ||
                memcmp(decoded[d].bytes, documents[d].data, documents[d].nbytes) == 0);
        free(ids[d]);
    }
    CHECK(same);
}

static void check_code(isb_context *ctx, const matrix_shape *shape, isb__m1 *m1, int text,
                       const matrix_document *documents, const struct code *code,
                       size_t n_streams) {
    isb__code_params params;
    isb__cdf_source source;
    isb__codec *codec = NULL;
    isb__bytes_view views[MATRIX_N_DOCUMENTS];
    isb__encoded encoded[MATRIX_N_DOCUMENTS];
    char cell[96];
    isb__code_params_init(&params, code->kind);
    params.token_nbits = 8;
    if (code->window_nbits) params.window_nbits = code->window_nbits;
    params.reset_windows = code->reset_windows;
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++)
        views[d] = (isb__bytes_view){documents[d].data, documents[d].nbytes};
    CHECK_OK(ctx, isb__m1_source(ctx, m1, 0, n_streams, &source));
    CHECK_OK(ctx, isb__codec_create(ctx, &params, &source, &codec));
    isb__codec_limit_cache(codec, 1 << 20);
    CHECK_OK(ctx, isb__codec_encode(codec, MATRIX_N_DOCUMENTS, views, encoded, NULL, NULL));
    const isb__id128 hash = hash_codes(encoded);
    snprintf(cell, sizeof cell, "%s, %d threads, %zu streams", isb_context_cpu(ctx),
             isb_context_threads(ctx), n_streams);
    check_hash(shape->name, matrix_texts[text], code->name, &hash, cell);
    check_decode(ctx, codec, documents, encoded);
    isb__codec_free(codec);
}

/* ---- all ---- */

/* The M1 read from its file; written again it is the same file. */
static isb__m1 *read_model(isb_context *ctx, const matrix_shape *shape) {
    matrix_bytes file = matrix_model(shape);
    isb__m1 *m1 = NULL;
    uint8_t *again = NULL;
    size_t again_nbytes = 0;
    CHECK_OK(ctx, isb__m1_from_bytes(ctx, shape->name, file.data, file.n, &m1));
    CHECK_OK(ctx, isb__m1_to_bytes(m1, &again, &again_nbytes));
    CHECK(again_nbytes == file.n && memcmp(again, file.data, file.n) == 0);
    check_hash(shape->name, "-", "identity", &m1->identity, isb_context_cpu(ctx));
    isb__free(ctx, again);
    free(file.data);
    return m1;
}

/* cpu NULL: what the machine has, or ISB_CPU. */
static isb_context *context(const char *cpu, int n_threads) {
    isb_context_options options;
    isb_context *ctx = NULL;
    isb_context_options_init(&options);
    options.cpu = cpu;
    options.n_threads = n_threads;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    return ctx;
}

static void check_tier(isb__cpu_tier tier, const matrix_shape *shape, int text,
                       const matrix_document *documents) {
    static const size_t n_streams[] = {1, 7, 64};
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        isb_context *ctx = context(isb__cpu_tier_name(tier), n_threads);
        isb__m1 *m1 = read_model(ctx, shape);
        if (n_threads == 1) check_cdfs(ctx, shape, m1, text, documents);
        for (size_t i = 0; i < sizeof codes / sizeof *codes && !shape->far; i++) {
            for (size_t k = 0; k < sizeof n_streams / sizeof *n_streams; k++) {
                if (is_cell(shape, (size_t)n_threads, k, i))
                    check_code(ctx, shape, m1, text, documents, &codes[i], n_streams[k]);
            }
        }
        isb__m1_free(m1);
        isb_context_free(ctx);
    }
}

/* ---- files for matrix_reference.py ---- */
static void write_file(const char *folder, const char *model, const char *end, const uint8_t *data,
                       size_t nbytes, const char *mode) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s", folder, model, end);
    FILE *file = fopen(path, mode);
    CHECK_FATAL(file != NULL);
    CHECK(fwrite(data, 1, nbytes, file) == nbytes);
    CHECK(fclose(file) == 0);
}

/* MODEL.isb-m1, MODEL.TEXT: of each document its length, 4 bytes, and its bytes. */
static int write_files(const char *folder) {
    for (size_t i = 0; i < MATRIX_N_SHAPES; i++) {
        const matrix_shape *shape = &matrix_shapes[i];
        matrix_bytes m1 = matrix_model(shape);
        write_file(folder, shape->name, ".isb-m1", m1.data, m1.n, "wb");
        free(m1.data);
        for (int text = 0; text < MATRIX_N_TEXTS; text++) {
            matrix_document documents[MATRIX_N_DOCUMENTS];
            char end[32];
            snprintf(end, sizeof end, ".%s", matrix_texts[text]);
            matrix_fill(shape, text, documents);
            for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) {
                uint8_t length[4];
                for (int k = 0; k < 4; k++) length[k] = (uint8_t)(documents[d].nbytes >> (8 * k));
                write_file(folder, shape->name, end, length, 4, d == 0 ? "wb" : "ab");
                write_file(folder, shape->name, end, documents[d].data, documents[d].nbytes, "ab");
            }
            free(documents[0].data);
        }
    }
    return check_end();
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "files") == 0) return write_files(argv[2]);
    writing = argc > 1 && strcmp(argv[1], "write") == 0;
    if (!writing) read_golden();
    all_cells = argc > 1 && strcmp(argv[1], "all") == 0;
    isb_context *ctx = context(NULL, 1);
    const isb__cpu_tier best = ctx->cpu;
    isb_context_free(ctx);
    for (size_t i = 0; i < MATRIX_N_SHAPES; i++) {
        for (int text = 0; text < MATRIX_N_TEXTS; text++) {
            matrix_document documents[MATRIX_N_DOCUMENTS];
            matrix_fill(&matrix_shapes[i], text, documents);
            for (int tier = ISB__CPU_REF; tier <= (int)best; tier++)
                check_tier((isb__cpu_tier)tier, &matrix_shapes[i], text, documents);
            free(documents[0].data);
        }
    }
    if (!writing) printf("%zu cells of the matrix, %zu hashes\n", n_cells, n_golden);
    return check_end();
}
