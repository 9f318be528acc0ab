/* M1: its CDFs are those of a plain second writing of docs/m1.md, whatever the batch, the split into calls, rewinds,
 * tier and thread; and its file form holds what it should and nothing else. */
#include <isobit/m1.h>

#include "base/rng.h"
#include "check.h"
#include "m1/m1.h"
#include "m1_reference.h"
#include "small_models.h"
#include "temp_dir.h"

enum { WIDTH = ISB__N_SYMBOLS + 1, N_TEXTS = 3, MOST_BYTES = 4300, MOST_STREAMS = 64 };

typedef struct test_shape {
    int64_t C, H, L, F, T;
    isb_activation activation;
    isb_position position;
    int tie;
    size_t n_bytes, n_streams; /* what to run */
} test_shape;

#define SILU ISB_ACTIVATION_SILU
#define RELU ISB_ACTIVATION_RELU
#define ROPE ISB_POSITION_ROPE
#define T5 ISB_POSITION_T5
static const test_shape shapes[] = {
    {32, 2, 2, 48, 40, SILU, ROPE, 1, 700, 64}, /* many streams */
    {48, 3, 3, 80, 150, RELU, T5, 1, 500, 7},
    {64, 1, 2, 272, 64, SILU, T5, 0, 200, 7},
    {80, 4, 1, 144, 1, RELU, ROPE, 0, 100, 1},
    {144, 2, 1, 96, 600, SILU, ROPE, 1, 700, 2},     /* B is 14 */
    {16, 4, 1, 16, 7, SILU, ROPE, 0, MOST_BYTES, 7}, /* beyond the table of angles */
    {192, 3, 1, 128, 2049, RELU, T5, 0, 60, 1},      /* B is 12 */
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static uint8_t text[N_TEXTS][MOST_BYTES];
static uint32_t (*expected[N_TEXTS])[WIDTH]; /* after 0 .. n_bytes bytes */

static isb_model *make_model(isb_context *ctx, const test_shape *s, uint64_t seed) {
    isb_model_config config;
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &config));
    config.hidden_size = s->C;
    config.n_heads = s->H;
    config.n_layers = s->L;
    config.intermediate_size = s->F;
    config.context_length = s->T;
    config.activation = s->activation;
    config.position = s->position;
    config.tie_embeddings = s->tie;
    isb_model *model = NULL;
    CHECK_OK(ctx, isb__model_create(ctx, &config, &model));
    isb__model_init_weights(model, seed);
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (size_t t = 0; t < model->n_tensors; ++t) {
        const isb__tensor *tensor = &model->tensors[t];
        for (size_t i = 0; i < tensor->count; ++i) {
            float *w = &model->data[tensor->offset + i];
            *w = tensor->is_vector ? 0.5f + (float)isb__rng_uniform(&rng) : 5.0f * *w;
            if (strstr(tensor->name, "bias")) *w = 2.0f * (float)isb__rng_uniform(&rng) - 1.0f;
        }
    }
    return model;
}

/* ---- the same CDFs ---- */

static void make_expected(const isb_model *model, size_t n_bytes) {
    ref_m1 reference = ref_m1_of(model);
    size_t n_peaked = 0;
    for (int t = 0; t < N_TEXTS; ++t) {
        expected[t] = ref_alloc(n_bytes + 1, sizeof *expected[t]);
        ref_m1_run(&reference, text[t], n_bytes, expected[t][0]);
        for (size_t i = 0; i <= n_bytes; ++i) {
            for (int x = 0; x < 257; ++x)
                n_peaked += expected[t][i][x + 1] - expected[t][i][x] > 700;
        }
    }
    CHECK(n_peaked > n_bytes); /* the model says something */
    CHECK(memcmp(expected[0][0], expected[1][0], sizeof expected[0][0]) == 0);
    CHECK(memcmp(expected[0][n_bytes], expected[1][n_bytes], sizeof expected[0][0]) != 0);
    ref_m1_free(&reference);
}

/* What one worker does with its streams: random pieces, restarts, steps back, CDFs asked for again. */
typedef struct player {
    isb__cdf_source *source;
    size_t worker, first_stream, n_streams, n_bytes, most_piece;
    uint64_t seed;
    size_t n_wrong, n_failed, n_compared;
} player;

typedef struct player_stream {
    size_t at, text, n_restarts;
    uint32_t (*cdfs)[WIDTH];
} player_stream;

static isb__cdf_request next_request(player *p, player_stream *s, size_t stream, isb__rng *rng) {
    int restart = s->at == 0;
    if (!restart && s->n_restarts < 2 && isb__rng_below(rng, 30) == 0) {
        restart = 1;
        s->at = 0;
        ++s->n_restarts;
    }
    if (!restart && isb__rng_below(rng, 8) == 0) {
        const size_t most = s->at < p->most_piece ? s->at : p->most_piece,
                     back = isb__rng_below(rng, most + 1);
        p->n_failed += p->source->rewind(p->source->self, stream, back) != ISB_OK;
        s->at -= back;
    }
    size_t n = isb__rng_below(rng, p->most_piece + 1);
    if (n > p->n_bytes - s->at) n = p->n_bytes - s->at;
    const size_t n_cdfs = n == 0 ? 1 : isb__rng_below(rng, n + 1);
    return (isb__cdf_request){stream, restart, text[s->text] + s->at, n, n_cdfs, s->cdfs[0]};
}

static void compare(player *p, const player_stream *s, const isb__cdf_request *request) {
    const size_t first = s->at + 1 - request->n_cdfs;
    p->n_compared += request->n_cdfs;
    p->n_wrong += memcmp(request->cdfs, expected[s->text][first],
                         request->n_cdfs * sizeof expected[0][0]) != 0;
}

static void play(player *p) {
    isb__rng rng;
    isb__rng_seed(&rng, p->seed);
    player_stream streams[MOST_STREAMS];
    for (size_t i = 0; i < p->n_streams; ++i) {
        streams[i] = (player_stream){.text = (p->first_stream + i) % N_TEXTS};
        streams[i].cdfs = ref_alloc(p->most_piece + 1, sizeof *streams[i].cdfs);
    }
    for (size_t done = 0; done < p->n_streams && p->n_wrong + p->n_failed == 0;) {
        isb__cdf_request requests[MOST_STREAMS];
        size_t n = 0, who[MOST_STREAMS];
        for (size_t i = 0; i < p->n_streams; ++i) {
            if (streams[i].at == p->n_bytes || isb__rng_below(&rng, 5) == 0) continue;
            who[n] = i;
            requests[n++] = next_request(p, &streams[i], p->first_stream + i, &rng);
        }
        p->n_failed += p->source->evaluate(p->source->self, p->worker, n, requests) != ISB_OK;
        for (size_t i = 0; i < n; ++i) {
            player_stream *s = &streams[who[i]];
            s->at += requests[i].n_bytes;
            compare(p, s, &requests[i]);
            done += s->at == p->n_bytes;
        }
    }
    for (size_t i = 0; i < p->n_streams; ++i) free(streams[i].cdfs);
}

static void play_task(void *arg, size_t task, int thread) {
    (void)thread;
    play((player *)arg + task);
}

/* All workers at once, each with its share of the streams. */
static void check_tier(const isb_model *model, const test_shape *s, const char *cpu, int n_threads,
                       size_t most_piece, uint64_t seed) {
    isb_context *ctx = small_context(cpu, n_threads);
    isb__cdf_source source;
    isb__m1 *m1 = NULL;
    player players[4];
    CHECK_OK(ctx, isb__m1_from_model(ctx, model, "test", &m1));
    CHECK_OK(ctx, isb__m1_source(ctx, m1, 1, s->n_streams * (size_t)n_threads, &source));
    CHECK_EQ(source.n_symbols, 257);
    CHECK_EQ(source.precision_nbits, 16);
    CHECK_EQ(source.n_workers, n_threads);
    CHECK_EQ(source.max_streams, s->n_streams * (size_t)n_threads);
    for (int i = 0; i < n_threads; ++i) {
        const size_t worker = (size_t)(n_threads - 1 - i);
        players[i] = (player){&source,    worker,     (size_t)i * s->n_streams, s->n_streams,
                              s->n_bytes, most_piece, seed + (uint64_t)i,       0,
                              0,          0};
    }
    isb__parallel(ctx, (size_t)n_threads, play_task, players);
    for (int i = 0; i < n_threads; ++i) {
        CHECK_EQ(players[i].n_wrong, 0);
        CHECK_EQ(players[i].n_failed, 0);
        CHECK(players[i].n_compared > s->n_bytes / 10);
    }
    source.free(source.self);
    isb_context_free(ctx);
}

static void check_shape(const test_shape *s, uint64_t seed) {
    isb_context *ctx = small_context("ref", 1);
    isb_model *model = make_model(ctx, s, seed);
    make_expected(model, s->n_bytes);
    for (int tier = 0; tier <= (int)isb__cpu_detect(); ++tier) {
        const char *cpu = isb__cpu_tier_name((isb__cpu_tier)tier);
        check_tier(model, s, cpu, 1 + tier % 3, tier == 1 ? 1 : 70, seed + (uint64_t)tier);
    }
    for (int t = 0; t < N_TEXTS; ++t) free(expected[t]);
    isb_model_free(model);
    isb_context_free(ctx);
}

static void test_cdfs(uint64_t seed) {
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int t = 0; t < N_TEXTS; ++t) {
        for (int i = 0; i < MOST_BYTES; ++i) text[t][i] = (uint8_t)isb__rng_below(&rng, 256);
    }
    for (size_t i = 0; i < N_SHAPES; ++i) check_shape(&shapes[i], seed + 100 * i);
}

/* ---- rewinds, cancellation ---- */

static void test_limits(uint64_t seed) {
    isb_context *ctx = small_context(NULL, 1);
    isb_model *model = make_model(ctx, &shapes[0], seed);
    isb__cdf_source source;
    isb__m1 *m1 = NULL;
    uint32_t cdf[WIDTH], again[WIDTH];
    CHECK_OK(ctx, isb__m1_from_model(ctx, model, "test", &m1));
    CHECK_OK(ctx, isb__m1_source(ctx, m1, 1, 2, &source));
    const isb__cdf_request whole = {1, 1, text[0], 2000, 1, cdf};
    CHECK_OK(ctx, source.evaluate(source.self, 0, 1, &whole));
    CHECK_OK(ctx, source.rewind(source.self, 1, 512));
    CHECK_STATUS(source.rewind(source.self, 1, 1), ISB_ERR_RANGE);
    const isb__cdf_request rest = {1, 0, text[0] + 1488, 512, 1, again};
    CHECK_OK(ctx, source.evaluate(source.self, 0, 1, &rest));
    CHECK(memcmp(cdf, again, sizeof cdf) == 0);
    CHECK_STATUS(source.rewind(source.self, 0, 1), ISB_ERR_RANGE); /* it has no bytes */
    isb_context_cancel(ctx);
    CHECK_STATUS(source.evaluate(source.self, 0, 1, &whole), ISB_ERR_CANCELLED);
    isb_context_cancel_clear(ctx);
    CHECK_OK(ctx, source.evaluate(source.self, 0, 1, &whole));
    CHECK(memcmp(cdf, again, sizeof cdf) == 0);
    source.free(source.self);
    isb_model_free(model);
    isb_context_free(ctx);
}

/* ---- identities ---- */

static isb__id128 identity_of(isb_context *ctx, const isb_model *model, const char *name) {
    isb__m1 *m1 = NULL;
    CHECK_OK(ctx, isb__m1_from_model(ctx, model, name, &m1));
    const isb__id128 identity = m1->identity;
    isb__m1_free(m1);
    return identity;
}

static int same_identity(const isb__id128 *a, const isb__id128 *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static void test_identity(uint64_t seed) {
    isb_context *ctx = small_context(NULL, 1);
    isb_model *model = make_model(ctx, &shapes[1], seed);
    isb_model_config *c = &model->config;
    const isb_model_config config = *c;
    const isb__id128 base = identity_of(ctx, model, "one"), other = identity_of(ctx, model, "two");
    CHECK(same_identity(&base, &other)); /* the name is not part of it */
    for (int change = 0; change < 5; ++change) {
        if (change == 0) c->context_length += 1;
        if (change == 1) c->norm_eps *= 2;
        if (change == 2) c->rope_theta += 1;
        if (change == 3) c->activation = ISB_ACTIVATION_SILU;
        if (change == 4) model->data[0] *= -3;
        const isb__id128 changed = identity_of(ctx, model, "one");
        CHECK(!same_identity(&base, &changed));
        *c = config;
    }
    isb_model_free(model);
    isb_context_free(ctx);
}

/* ---- files ---- */

static void put_u32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; ++i) at[i] = (uint8_t)(value >> 8 * i);
}

/* Makes a changed file believable: identity and checksum are right. */
static void sign(uint8_t *data, size_t nbytes) {
    static const char rules[] = "isobit-m1-2";
    isb__hasher *hasher = isb__hasher_create();
    isb__hasher_update(hasher, rules, sizeof rules);
    isb__hasher_update(hasher, data + 16, 48);
    isb__hasher_update(hasher, data + 128, nbytes - 136);
    const isb__id128 identity = isb__hasher_finish(hasher);
    memcpy(data + 112, identity.bytes, 16);
    const uint64_t sum = isb__hash64(data, nbytes - 8, 0);
    for (int i = 0; i < 8; ++i) data[nbytes - 8 + (size_t)i] = (uint8_t)(sum >> 8 * i);
}

/* In a block of exactly its size, so that sanitizers see every byte read beyond. */
static isb_status read_copy(isb_context *ctx, const uint8_t *data, size_t nbytes) {
    uint8_t *copy = ref_alloc(nbytes, 1);
    isb__m1 *m1 = NULL;
    memcpy(copy, data, nbytes);
    const isb_status status = isb__m1_from_bytes(ctx, "the copy", copy, nbytes, &m1);
    CHECK((status == ISB_OK) == (m1 != NULL));
    isb__m1_free(m1);
    free(copy);
    return status;
}

static void check_damage(isb_context *ctx, const uint8_t *file, size_t nbytes, isb__rng *rng) {
    uint8_t *data = ref_alloc(nbytes, 1);
    size_t n_read = 0;
    for (size_t i = 0; i < 300; ++i) {
        const size_t at = i < 128 ? i : isb__rng_below(rng, nbytes);
        memcpy(data, file, nbytes);
        data[at] ^= (uint8_t)(1u << isb__rng_below(rng, 8));
        n_read += read_copy(ctx, data, nbytes) == ISB_OK;
        n_read += read_copy(ctx, file, i < 140 ? i : isb__rng_below(rng, nbytes)) == ISB_OK;
    }
    CHECK_EQ(n_read, 0);
    free(data);
}

/* Every number of the header as wrong as can be, in a file that is otherwise sound. */
static void check_lies(isb_context *ctx, const uint8_t *file, size_t nbytes) {
    static const uint32_t lies[] = {0, 1, 3, 4, 15, 17, 100, 0x7fffffff, 0x80000000, UINT32_MAX};
    uint8_t *data = ref_alloc(nbytes, 1);
    size_t n_read = 0;
    for (size_t field = 12; field < 64; field += 4) {
        for (size_t i = 0; i < sizeof lies / sizeof *lies; ++i) {
            memcpy(data, file, nbytes);
            put_u32(data + field, lies[i]);
            if (memcmp(data, file, nbytes) == 0) continue;
            sign(data, nbytes);
            const isb_status status = read_copy(ctx, data, nbytes);
            const bool harmless = field == 20 || (field >= 36 && field <= 44) || field >= 52;
            n_read += status == ISB_OK && !harmless;
            CHECK(status == ISB_OK || status == ISB_ERR_SHAPE || status == ISB_ERR_CORRUPT);
        }
    }
    CHECK_EQ(n_read, 0);
    free(data);
}

typedef struct lie {
    size_t at;
    uint8_t bytes[4];
    isb_status status;
} lie;

static void check_single_lies(isb_context *ctx, const uint8_t *file, size_t nbytes, size_t C) {
    const lie lies[] = {
        {0, {'P', 'K', 3, 4}, ISB_ERR_FORMAT},
        {8, {2, 0, 0, 0}, ISB_ERR_VERSION},
        {128, {0x80, 0, 0, 0}, ISB_ERR_CORRUPT},              /* a weight of -128 */
        {128 + 257 * C, {0, 0, 0x80, 0x7f}, ISB_ERR_CORRUPT}, /* an infinite scale */
        {64, {'a', 0, 'b', 0}, ISB_ERR_CORRUPT},              /* a name with more behind it */
        {64, {27, '[', 'm', 0}, ISB_ERR_CORRUPT},             /* one that plays with terminals */
        {100, {1, 0, 0, 0}, ISB_ERR_CORRUPT},                 /* not zeros */
        {64, {'a', 'b', 'c', 'd'}, ISB_OK},
    };
    uint8_t *data = ref_alloc(nbytes, 1);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; ++i) {
        memcpy(data, file, nbytes);
        memcpy(data + lies[i].at, lies[i].bytes, 4);
        sign(data, nbytes);
        CHECK_STATUS(read_copy(ctx, data, nbytes), lies[i].status);
    }
    memcpy(data, file, nbytes);
    data[112] ^= 1; /* an identity of something else, with a checksum to fit */
    const uint64_t sum = isb__hash64(data, nbytes - 8, 0);
    for (int i = 0; i < 8; ++i) data[nbytes - 8 + (size_t)i] = (uint8_t)(sum >> 8 * i);
    CHECK_STATUS(read_copy(ctx, data, nbytes), ISB_ERR_CORRUPT);
    free(data);
}

static void test_bytes(uint64_t seed) {
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    isb_context *ctx = small_context(NULL, 1);
    for (size_t i = 0; i < 3; ++i) { /* rotary and tied, T5 and tied, T5 and not */
        isb_model *model = make_model(ctx, &shapes[i], seed);
        isb__m1 *m1 = NULL, *back = NULL;
        uint8_t *file = NULL, *again = NULL;
        size_t nbytes, again_nbytes;
        CHECK_OK(ctx, isb__m1_from_model(ctx, model, "small", &m1));
        CHECK_OK(ctx, isb__m1_to_bytes(m1, &file, &nbytes));
        CHECK_OK(ctx, isb__m1_from_bytes(ctx, "x", file, nbytes, &back));
        CHECK(strcmp(back->name, "small") == 0);
        CHECK(same_identity(&m1->identity, &back->identity));
        CHECK_OK(ctx, isb__m1_to_bytes(back, &again, &again_nbytes));
        CHECK(again_nbytes == nbytes && memcmp(file, again, nbytes) == 0);
        check_damage(ctx, file, nbytes, &rng);
        check_lies(ctx, file, nbytes);
        check_single_lies(ctx, file, nbytes, (size_t)shapes[i].C);
        isb__m1_free(back);
        isb__m1_free(m1);
        isb__free(ctx, file);
        isb__free(ctx, again);
        isb_model_free(model);
    }
    isb_context_free(ctx);
}

/* What no M1 can be made of. */
static void test_refused(uint64_t seed) {
    isb_context *ctx = small_context(NULL, 1);
    isb__m1 *m1 = NULL;
    test_shape wrong[] = {shapes[0], shapes[0], shapes[0], shapes[0]};
    wrong[0].C = 40;
    wrong[1].F = 36;
    wrong[2].T = 4097;
    wrong[3].H = 16; /* heads of 2 */
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        isb_model *model = make_model(ctx, &wrong[i], seed);
        CHECK_STATUS(isb__m1_from_model(ctx, model, "", &m1), ISB_ERR_SHAPE);
        isb_model_free(model);
    }
    isb_model *model = small_model(ctx, 300, 32, seed);
    CHECK_STATUS(isb__m1_from_model(ctx, model, "", &m1), ISB_ERR_SHAPE);
    isb_model_free(model);
    model = make_model(ctx, &shapes[0], seed);
    model->params.layers[1].down[5] = INFINITY;
    CHECK_STATUS(isb__m1_from_model(ctx, model, "", &m1), ISB_ERR_RANGE);
    CHECK(strstr(isb_context_error(ctx), "down_proj"));
    snprintf(model->tokenizer, sizeof model->tokenizer, "codebook:x");
    CHECK_STATUS(isb__m1_from_model(ctx, model, "", &m1), ISB_ERR_SHAPE);
    CHECK(m1 == NULL);
    isb_model_free(model);
    isb_context_free(ctx);
}

/* ---- paths ---- */

static uint64_t size_of_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static void test_paths(uint64_t seed) {
    isb_context *ctx = small_context(NULL, 2);
    isb__cdf_source a, b;
    isb_m1_info folder, file;
    char identity[33], dir[1024], path[1024];
    double flops = 0;
    snprintf(dir, sizeof dir, "%s", temp_path("m1"));
    snprintf(path, sizeof path, "%s", temp_path("small.isb-m1"));
    small_m1(ctx, seed, dir);
    CHECK_OK(ctx, isb_m1_quantise_file(ctx, dir, path, NULL, 0));
    CHECK_STATUS(isb_m1_quantise_file(ctx, dir, path, NULL, 0), ISB_ERR_EXISTS);
    CHECK_OK(ctx, isb_m1_quantise_file(ctx, dir, path, "small", 1));
    CHECK_STATUS(isb_m1_quantise_file(ctx, dir, path, "a name of more than thirty-one bytes", 1),
                 ISB_ERR_ARGUMENT);
    CHECK_OK(ctx, isb_m1_get_info(ctx, dir, &folder));
    CHECK_OK(ctx, isb_m1_get_info(ctx, path, &file));
    CHECK_OK(ctx, isb_m1_identity(ctx, path, identity));
    CHECK(strcmp(folder.identity, file.identity) == 0 && strcmp(file.identity, identity) == 0);
    CHECK(strcmp(file.name, "small") == 0 && strcmp(folder.name, "") == 0);
    CHECK(file.is_file && !folder.is_file && !file.is_static);
    CHECK(file.nbytes == size_of_file(path) && folder.nbytes == file.nbytes);
    CHECK_EQ(file.config.context_length, 32);
    CHECK_OK(ctx, isb__m1_flops_per_byte(ctx, path, &flops));
    CHECK_EQ(flops, 2 * (2 * (4 * 32 * 32 + 3 * 32 * 48 + 2 * 32) + 32));

    CHECK_OK(ctx, isb__m1_open(ctx, dir, 0, &a));
    CHECK_EQ(a.max_streams, 64); /* 32 for each of two threads */
    CHECK_OK(ctx, isb__m1_open(ctx, path, 2, &b));
    CHECK_EQ(b.max_streams, 2);
    CHECK(same_identity(&a.identity, &b.identity));
    b.free(b.self);
    a.free(a.self);
    CHECK_STATUS(isb__m1_open(ctx, temp_path("nothing"), 0, &a), ISB_ERR_NOT_FOUND);
    CHECK(strstr(isb_context_error(ctx), "in the library"));
    temp_write(temp_path("text"), "a text that is no model\n", 24);
    CHECK_STATUS(isb__m1_open(ctx, temp_path("text"), 0, &a), ISB_ERR_FORMAT);
    isb_context_free(ctx);
}

/* The M1 that comes with the library, if this one has it. */
static void test_released(void) {
    isb_context *ctx = small_context(NULL, 1);
    isb_m1_info info;
    size_t nbytes;
    if (isb__m1_released(&nbytes)) {
        CHECK_OK(ctx, isb_m1_get_info(ctx, "english-3m", &info));
        CHECK(strcmp(info.name, "english-3m") == 0);
        CHECK_EQ(info.nbytes, nbytes);
    } else {
        CHECK_STATUS(isb_m1_get_info(ctx, "english-3m", &info), ISB_ERR_NOT_FOUND);
    }
    isb_context_free(ctx);
}

/* ---- the loss of quantising ---- */

static void test_measure(uint64_t seed) {
    isb_context *ctx = small_context(NULL, 2);
    isb_m1_measure_options options;
    isb_m1_measurement found;
    char dir[1024], path[1024];
    snprintf(dir, sizeof dir, "%s", temp_path("calm"));
    snprintf(path, sizeof path, "%s", temp_path("documents.jsonl"));
    static const char documents[] = "{\"text\": \"one document, and longer than the context is\"}\n"
                                    "{\"text\": \"\"}\n{\"text\": \"two\"}\n";
    const char *paths[] = {path};
    isb_model *model = small_model(ctx, 257, 32, seed);
    for (size_t i = 0; i < model->n_floats; ++i) model->data[i] *= 0.25f; /* as a trained one */
    small_save(ctx, model, "bytes", "", dir);
    isb_model_free(model);
    temp_write(path, documents, sizeof documents - 1);
    isb_m1_measure_options_init(&options);
    options.model_dir = dir;
    CHECK_OK(ctx, isb_m1_measure(ctx, paths, 1, &options, &found));
    CHECK_EQ(found.n_documents, 3);
    CHECK_EQ(found.n_bytes, 44 + 3);
    CHECK(found.bits_per_byte > 1 && found.model_bits_per_byte > 1);
    CHECK(fabs(found.loss) < 0.02);
    CHECK(found.loss == found.bits_per_byte / found.model_bits_per_byte - 1);
    CHECK(found.model_cdf_bits_per_byte != found.model_bits_per_byte);
    CHECK(fabs(found.model_cdf_bits_per_byte / found.model_bits_per_byte - 1) < 0.02);
    isb_context_free(ctx);
}

/* ---- byte counts ---- */

static void write_config(const char *dir_name, const char *json) {
    char path[1100];
    mkdir(temp_path(dir_name), 0777);
    snprintf(path, sizeof path, "%s/config.json", temp_path(dir_name));
    temp_write(path, json, strlen(json));
}

static void test_static(void) {
    isb_context *ctx = small_context(NULL, 1);
    uint64_t counts[ISB__N_SYMBOLS] = {0};
    isb__cdf_source source;
    isb_m1_info info;
    double flops = 1;
    CHECK_STATUS(isb__m1_write_static(ctx, temp_path("static"), counts), ISB_ERR_EMPTY);
    counts['e'] = 3000;
    counts['x'] = 1000;
    counts[256] = 10;
    for (int twice = 0; twice < 2; ++twice)
        CHECK_OK(ctx, isb__m1_write_static(ctx, temp_path("static"), counts));
    CHECK_EQ(temp_count(temp_path("static")), 1);
    CHECK_OK(ctx, isb__m1_open(ctx, temp_path("static"), 0, &source));
    CHECK_OK(ctx, isb__m1_flops_per_byte(ctx, temp_path("static"), &flops));
    CHECK(flops == 0);
    CHECK_OK(ctx, isb_m1_get_info(ctx, temp_path("static"), &info));
    CHECK(info.is_static && strlen(info.identity) == 32);
    uint32_t cdf[WIDTH], wanted[WIDTH];
    const isb__cdf_request request = {.restart = 1, .n_cdfs = 1, .cdfs = cdf};
    CHECK_OK(ctx, source.evaluate(source.self, 0, 1, &request));
    isb__cdf_from_weights(counts, ISB__N_SYMBOLS, 16, wanted);
    CHECK(memcmp(cdf, wanted, sizeof cdf) == 0);
    source.free(source.self);

    write_config("few", "{\"model_type\": \"isobit-static\", \"counts\": [1, 2]}");
    CHECK_STATUS(isb__m1_open(ctx, temp_path("few"), 0, &source), ISB_ERR_FORMAT);
    CHECK(strstr(isb_context_error(ctx), "257"));
    write_config("none", "{\"model_type\": \"isobit-static\"}");
    CHECK_STATUS(isb__m1_open(ctx, temp_path("none"), 0, &source), ISB_ERR_FORMAT);
    write_config("cut", "{\"model_type\": \"isobit-sta");
    CHECK_STATUS(isb__m1_open(ctx, temp_path("cut"), 0, &source), ISB_ERR_CORRUPT);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    temp_dir_begin();
    test_cdfs(seed);
    test_limits(seed);
    test_identity(seed);
    test_bytes(seed);
    test_refused(seed);
    test_paths(seed);
    test_released();
    test_measure(seed);
    test_static();
    temp_dir_end();
    return check_end();
}
