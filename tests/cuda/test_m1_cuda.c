/* M1's engine of src/cuda against the CPU's portable one: the same integers, to the last.
 *
 * Compiled twice, as test_trainer_cuda.c is: against the emulation of CUDA beside this file, on every machine, and
 * against the real library, where there is a GPU. */
#include <math.h>

#include "base/rng.h"
#include "check.h"
#include "cuda/gpu_m1.h"
#include "cuda/m1_cuda.h"
#include "kernels/int8.h"
#include "m1/m1_device.h"
#include "nn/rope.h"
#ifdef ISB_CUDA_EMULATION
#include "emulation/emulation_control.h"
#else
#include "base/devices.h"
#endif

enum { SKIPPED = 77, STRIDE = ISB__N_SYMBOLS + 1, MOST_STREAMS = 8 };

typedef struct shape {
    const char *what;
    int64_t C, H, L, F, T;
    isb_activation activation;
    isb_position position;
    int tie;
    size_t history, max_rows; /* of the engine */
    /* Of all weights; below 1, of the embedding, and the inverse of the last norm's: what is between is near the least
     * that is not taken as zero. */
    float scale;
} shape;

#define ROPE ISB_POSITION_ROPE
#define T5 ISB_POSITION_T5
#define SILU ISB_ACTIVATION_SILU
#define RELU ISB_ACTIVATION_RELU
static const shape shapes[] = {
    {"rotary, silu, tied", 32, 2, 2, 48, 24, SILU, ROPE, 1, 40, 0, 8},
    {"T5, relu, untied", 48, 3, 2, 80, 19, RELU, T5, 0, 7, 33, 8},
    {"T5, a far bucket", 32, 1, 1, 32, 150, SILU, T5, 1, 5, 64, 8},
    {"rotary, heads of 4, context of 1", 16, 4, 1, 16, 1, RELU, ROPE, 0, 16, 5, 8},
    {"wider than a tile, groups of one row", 80, 5, 1, 144, 9, SILU, ROPE, 1, 3, 1, 8},
    {"a head of 256", 256, 1, 1, 64, 20, SILU, ROPE, 0, 20, 0, 4},
    {"a head of 96", 96, 1, 2, 96, 37, RELU, ROPE, 1, 0, 50, 8},
    {"overflow", 32, 2, 2, 48, 12, SILU, ROPE, 1, 9, 0, 0x1p+62f},
    {"overflow, T5, relu", 32, 4, 2, 48, 12, RELU, T5, 0, 9, 0, 0x1p+50f},
    {"almost zero", 32, 2, 1, 32, 12, SILU, ROPE, 0, 9, 0, 0x1p-90f},
    {"zero or not", 32, 2, 1, 32, 12, SILU, T5, 0, 9, 0, 0x1p-95f},
    {"mostly zero", 32, 2, 1, 32, 12, RELU, ROPE, 0, 9, 0, 0x1p-96f},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* One call for a whole text: more than a ring at once; and contexts whose weights have fewer bits. */
static const shape long_shapes[] = {
    {"more than a ring", 32, 2, 2, 32, 40, SILU, ROPE, 1, 0, 0, 8},
    {"14 bits", 16, 1, 1, 16, 1000, SILU, ROPE, 1, 0, 0, 8},
    {"13 bits", 16, 1, 1, 16, 1500, SILU, T5, 1, 0, 0, 8},
    {"12 bits", 16, 1, 1, 16, 2200, SILU, ROPE, 1, 0, 0, 8},
};
enum { N_LONG_SHAPES = sizeof long_shapes / sizeof *long_shapes };

static isb_context *ctx;

static float scale_of(const shape *s, const char *tensor) {
    if (s->scale > 1) return s->scale;
    if (strcmp(tensor, "model.embed_tokens.weight") == 0) return s->scale;
    return strcmp(tensor, "model.norm.weight") == 0 ? 0.3f / s->scale : 8;
}

static isb__m1 *create_m1(const shape *s, uint64_t seed) {
    isb__rng rng;
    isb_model_config config;
    isb_model *model = NULL;
    isb__m1 *m1 = NULL;
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &config));
    config.hidden_size = s->C;
    config.n_heads = s->H;
    config.n_layers = s->L;
    config.intermediate_size = s->F;
    config.context_length = s->T;
    config.activation = s->activation;
    config.position = s->position;
    config.tie_embeddings = s->tie;
    CHECK_OK(ctx, isb__model_create(ctx, &config, &model));
    isb__model_init_weights(model, seed);
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        for (size_t j = 0; j < t->count; ++j)
            model->data[t->offset + j] *=
                scale_of(s, t->name) * (0.5f + (float)isb__rng_uniform(&rng));
        if (strstr(t->name, "bias") == NULL) continue;
        for (size_t j = 0; j < t->count; ++j)
            model->data[t->offset + j] = (float)isb__rng_normal(&rng);
    }
    CHECK_OK(ctx, isb__m1_from_model(ctx, model, s->what, &m1));
    isb_model_free(model);
    return m1;
}

/* ---- both engines ---- */

typedef struct both {
    isb__m1 *m1;
    isb__m1_cuda *gpu;
    isb__m1_engine *cpu;
    size_t n_streams, history;
    size_t position[MOST_STREAMS], top[MOST_STREAMS]; /* bytes */
    size_t n_compared, n_sharp; /* CDFs; those in which a symbol has more than 1 in 64 */
} both;

static both create_both(const shape *s, size_t n_streams, uint64_t seed) {
    both b = {.m1 = create_m1(s, seed), .n_streams = n_streams, .history = s->history};
    const isb__m1_cuda_options options = {
        .device = "cuda", .n_streams = n_streams, .history = s->history, .max_rows = s->max_rows};
    CHECK_OK(ctx, isb__m1_cuda_create(ctx, b.m1, &options, &b.gpu));
    CHECK_OK(ctx, isb__m1_engine_create(ctx, b.m1, n_streams, 1, s->history, &b.cpu));
    CHECK_EQ(isb__m1_cuda_n_streams(b.gpu), n_streams);
    return b;
}

static void free_both(both *b) {
    isb__m1_cuda_free(b->gpu);
    isb__m1_engine_free(b->cpu);
    isb__m1_free(b->m1);
}

static int is_sharp(const uint32_t *cdf) {
    for (size_t x = 0; x < ISB__N_SYMBOLS; ++x) {
        if (cdf[x + 1] - cdf[x] > 1 << (ISB__CDF_PRECISION - 6)) return 1;
    }
    return 0;
}

/* One call to both.  The requests' cdfs are set here. */
static void evaluate(both *b, const char *what, size_t n, isb__cdf_request *requests) {
    size_t n_cdfs = 0;
    for (size_t i = 0; i < n; ++i) n_cdfs += requests[i].n_cdfs;
    uint32_t *cpu = calloc(2 * n_cdfs * STRIDE + 1, sizeof *cpu), *gpu = cpu + n_cdfs * STRIDE;
    CHECK_FATAL(cpu);
    for (size_t i = 0, at = 0; i < n; at += requests[i++].n_cdfs)
        requests[i].cdfs = cpu + at * STRIDE;
    CHECK_OK(ctx, isb__m1_engine_evaluate(b->cpu, 0, n, requests));
    for (size_t i = 0, at = 0; i < n; at += requests[i++].n_cdfs)
        requests[i].cdfs = gpu + at * STRIDE;
    CHECK_OK(ctx, isb__m1_cuda_evaluate(b->gpu, n, requests));
    size_t wrong = 0;
    for (size_t i = 0; i < n_cdfs; ++i) {
        wrong += memcmp(cpu + i * STRIDE, gpu + i * STRIDE, STRIDE * sizeof *cpu) != 0;
        b->n_sharp += is_sharp(cpu + i * STRIDE);
    }
    if (wrong > 0) printf("%s: %zu of %zu CDFs differ\n", what, wrong, n_cdfs);
    CHECK_EQ(wrong, 0);
    b->n_compared += n_cdfs;
    free(cpu);
}

/* ---- random calls: some of the streams, restarts, nothing or much to append, rewinds ---- */

static isb__cdf_request random_request(both *b, size_t stream, isb__rng *rng, const uint8_t *text,
                                       size_t most) {
    static const size_t small[] = {0, 1, 1, 1, 2, 5};
    isb__cdf_request request = {.stream = stream};
    request.restart = isb__rng_below(rng, 6) == 0;
    request.n_bytes =
        isb__rng_below(rng, 4) == 0 ? isb__rng_below(rng, most) : small[isb__rng_below(rng, 6)];
    request.bytes = text + isb__rng_below(rng, most);
    switch (isb__rng_below(rng, 3)) {
    case 0: request.n_cdfs = request.n_bytes; break;
    case 1: request.n_cdfs = isb__rng_below(rng, request.n_bytes + 1); break;
    default: request.n_cdfs = request.n_bytes + 1; break; /* the present one, too */
    }
    if (request.restart) b->position[stream] = b->top[stream] = 0;
    b->position[stream] += request.n_bytes;
    if (b->top[stream] < b->position[stream]) b->top[stream] = b->position[stream];
    return request;
}

static void random_rewind(both *b, size_t stream, isb__rng *rng) {
    const size_t n = isb__rng_below(rng, b->history + 3),
                 back = b->top[stream] - b->position[stream] + n;
    const int is_good = n == 0 || (n <= b->position[stream] && back <= b->history);
    const isb_status expected = is_good ? ISB_OK : ISB_ERR_RANGE;
    CHECK_STATUS(isb__m1_engine_rewind(b->cpu, stream, n), expected);
    CHECK_STATUS(isb__m1_cuda_rewind(b->gpu, stream, n), expected);
    if (is_good) b->position[stream] -= n;
}

static void shuffle(isb__rng *rng, size_t n, size_t *x) {
    for (size_t i = n; i > 1; --i) {
        const size_t j = isb__rng_below(rng, i), kept = x[i - 1];
        x[i - 1] = x[j];
        x[j] = kept;
    }
}

static void test_random(const shape *s, uint64_t seed) {
    enum { TEXT = 4096 };
    isb__rng rng;
    uint8_t text[TEXT];
    size_t order[MOST_STREAMS];
    both b = create_both(s, MOST_STREAMS, seed);
    const size_t most = (size_t)s->T + 50;
    CHECK_FATAL(2 * most < TEXT);
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < TEXT; ++i)
        text[i] = (uint8_t)(isb__rng_below(&rng, 3) > 0 ? 'a' + isb__rng_below(&rng, 26)
                                                        : isb__rng_below(&rng, 256));
    for (int round = 0; round < (s->C > 90 ? 4 : 10); ++round) {
        isb__cdf_request requests[MOST_STREAMS];
        const size_t n = isb__rng_below(&rng, MOST_STREAMS + 1);
        for (size_t i = 0; i < MOST_STREAMS; ++i) order[i] = i;
        shuffle(&rng, MOST_STREAMS, order);
        for (size_t i = 0; i < n; ++i) requests[i] = random_request(&b, order[i], &rng, text, most);
        evaluate(&b, s->what, n, requests);
        random_rewind(&b, isb__rng_below(&rng, MOST_STREAMS), &rng);
    }
    printf("%s: %zu CDFs, %zu far from flat\n", s->what, b.n_compared, b.n_sharp);
    if (s->scale <= 8) CHECK(b.n_sharp > b.n_compared / 2); /* a comparison of something */
    free_both(&b);
}

/* Few streams, longer than the context. */
static void test_long(const shape *s, uint64_t seed) {
    isb__rng rng;
    uint8_t text[3000];
    both b = create_both(s, 1, seed);
    isb__cdf_request request = {.bytes = text, .n_cdfs = 300};
    request.n_bytes = (size_t)s->T + (s->T < 100 ? 560 : 200);
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < sizeof text; ++i) text[i] = (uint8_t)isb__rng_below(&rng, 256);
    CHECK_FATAL(request.n_bytes <= sizeof text);
    evaluate(&b, s->what, 1, &request);
    CHECK(b.n_sharp > b.n_compared / 2);
    free_both(&b);
}

/* ---- kernels by themselves, with what models hardly give ---- */

static isb__gpu *open_gpu(void) {
    isb__gpu *gpu = NULL;
    char reason[ISB__GPU_TEXT_NBYTES] = "";
    CHECK_FATAL(isb__gpu_open(0, &gpu, reason) == ISB_OK);
    return gpu;
}

static void *put(isb__gpu *gpu, const void *from, size_t nbytes) {
    void *d_memory = isb__gpu_alloc(gpu, nbytes);
    CHECK_FATAL(d_memory);
    isb__gpu_upload(gpu, d_memory, from, nbytes);
    isb__gpu_finish(gpu);
    return d_memory;
}

static void get(isb__gpu *gpu, void *to, void *d_from, size_t nbytes) {
    isb__gpu_download(gpu, to, d_from, nbytes);
    isb__gpu_finish(gpu);
    isb__gpu_free(gpu, d_from);
}

/* Numbers of usual size, a few equal ones, all floats with many NaNs or few, or almost zero. */
static float any_float(isb__rng *rng, int kind) {
    uint32_t bits = (uint32_t)isb__rng_below(rng, UINT64_C(1) << 32);
    float x;
    if (kind == 0) return (float)isb__rng_normal(rng) * 4;
    if (kind == 4) return (float)isb__rng_normal(rng) * 0x1p-102f;
    if (kind == 1) return (float)isb__rng_below(rng, 3);
    if (kind == 2) bits = isb__rng_below(rng, 2) ? 0x7fc00000u : bits;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Positions far beyond 2^32. */
static void test_angles(uint64_t seed) {
    enum { M = 100, D = 64, P = D / 2 };
    isb__gpu *gpu = open_gpu();
    isb__rng rng;
    isb__rope rope;
    isb__gpu_m1_row rows[M];
    float expected[2 * M * P], found[2 * M * P];
    memset(rows, 0, sizeof rows);
    isb__rng_seed(&rng, seed);
    isb__rope_init(&rope, D, 10000);
    for (size_t r = 0; r < M; ++r) {
        rows[r].position = isb__rng_below(&rng, UINT64_C(1) << (1 + r % 60));
        isb__rope_table(&rope, rows[r].position, 1, expected + r * P, expected + (M + r) * P);
    }
    isb__gpu_m1_row *d_rows = put(gpu, rows, sizeof rows);
    uint64_t *d_steps = put(gpu, rope.step, P * sizeof *rope.step);
    float *d_angles = put(gpu, found, sizeof found);
    isb__gpu_m1_angles(gpu, M, D, d_rows, d_steps, d_angles, d_angles + M * P);
    get(gpu, found, d_angles, sizeof found);
    CHECK(memcmp(found, expected, sizeof found) == 0);
    isb__gpu_free(gpu, d_rows);
    isb__gpu_free(gpu, d_steps);
    isb__gpu_close(gpu);
}

static void test_rows(uint64_t seed) {
    enum { M = 43, C = 80, Z = ISB__N_SYMBOLS };
    const isb__int8_ops *ops = isb__int8_ops_for(ctx->cpu);
    isb__gpu *gpu = open_gpu();
    isb__rng rng;
    static float x[M * C], gain[C], z[M * Z], s[M];
    static int8_t y[M * C], expected[2 * C];
    static uint16_t cdfs[M * ISB__GPU_M1_CDF_STRIDE];
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < M * C; ++i) x[i] = any_float(&rng, (int)(i / C % 5));
    for (size_t i = 0; i < M * Z; ++i) z[i] = i / Z == 1 ? NAN : any_float(&rng, (int)(i / Z % 5));
    for (size_t i = 0; i < C; ++i) gain[i] = any_float(&rng, i % 9 == 5 ? 3 : 0);
    float *d_x = put(gpu, x, sizeof x), *d_gain = put(gpu, gain, sizeof gain),
          *d_z = put(gpu, z, sizeof z), *d_s = put(gpu, s, sizeof s);
    int8_t *d_y = put(gpu, y, sizeof y);
    uint16_t *d_cdfs = put(gpu, cdfs, sizeof cdfs);

    isb__gpu_m1_norm(gpu, M, C, 1e-6f, d_x, NULL, d_gain, d_y, d_s);
    isb__gpu_download(gpu, y, d_y, sizeof y);
    isb__gpu_download(gpu, s, d_s, sizeof s);
    isb__gpu_finish(gpu);
    for (size_t r = 0; r < M; ++r) {
        const float scale = ops->norm(C, x + r * C, gain, 1e-6f, expected);
        CHECK(memcmp(y + r * C, expected, C) == 0);
        CHECK(memcmp(&scale, &s[r], sizeof scale) == 0 || (isnan(scale) && isnan(s[r])));
    }
    isb__gpu_m1_quantise(gpu, M, C, d_x, d_y, d_s);
    get(gpu, y, d_y, sizeof y);
    get(gpu, s, d_s, sizeof s);
    for (size_t r = 0; r < M; ++r) {
        const float scale = ops->quantise(C, x + r * C, expected);
        CHECK(memcmp(y + r * C, expected, C) == 0);
        CHECK(memcmp(&scale, &s[r], sizeof scale) == 0);
    }
    isb__gpu_m1_cdf(gpu, M, d_z, Z, d_cdfs);
    get(gpu, cdfs, d_cdfs, sizeof cdfs);
    for (size_t r = 0; r < M; ++r) {
        uint32_t cdf[STRIDE];
        int wrong = 0;
        ops->cdf(z + r * Z, cdf);
        for (size_t i = 0; i < Z; ++i) wrong += cdf[i] != cdfs[r * ISB__GPU_M1_CDF_STRIDE + i];
        CHECK_EQ(wrong, 0);
    }
    isb__gpu_free(gpu, d_x);
    isb__gpu_free(gpu, d_gain);
    isb__gpu_free(gpu, d_z);
    isb__gpu_close(gpu);
}

/* Tails in each direction, and the largest sums. */
static void test_product(size_t M, size_t n, size_t k, uint64_t seed) {
    isb__gpu *gpu = open_gpu();
    isb__rng rng;
    int8_t *y = calloc(M + n, k), *q = y + M * k;
    float *sy = calloc(M + n + 2 * M * n, sizeof *sy), *s = sy + M, *u = s + n, *x = u + M * n;
    CHECK_FATAL(y && sy);
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < (M + n) * k; ++i)
        y[i] = (int8_t)(i % (3 * k) < k ? 127 : (int)isb__rng_below(&rng, 255) - 127);
    for (size_t i = 0; i < M + n; ++i) sy[i] = (float)isb__rng_normal(&rng);
    for (size_t i = 0; i < M * n; ++i) x[i] = (float)isb__rng_normal(&rng);
    int8_t *d_y = put(gpu, y, M * k), *d_q = put(gpu, q, n * k);
    float *d_sy = put(gpu, sy, M * sizeof *sy), *d_s = put(gpu, s, n * sizeof *s),
          *d_u = put(gpu, u, M * n * sizeof *u), *d_x = put(gpu, x, M * n * sizeof *x);
    const isb__gpu_m1_matrix W = {n, k, d_q, d_s};
    isb__gpu_m1_product(gpu, M, d_y, d_sy, &W, d_u, n);
    isb__gpu_m1_product_add(gpu, M, d_y, d_sy, &W, d_x, n);
    float *found = calloc(2 * M * n, sizeof *found);
    CHECK_FATAL(found);
    get(gpu, found, d_u, M * n * sizeof *u);
    get(gpu, found + M * n, d_x, M * n * sizeof *x);
    size_t wrong = 0;
    for (size_t i = 0; i < M * n; ++i) {
        int32_t sum = 0;
        for (size_t j = 0; j < k; ++j) sum += y[i / n * k + j] * q[i % n * k + j];
        const float product = (float)sum * (sy[i / n] * s[i % n]);
        wrong += found[i] != product || found[M * n + i] != x[i] + product;
    }
    CHECK_EQ(wrong, 0);
    isb__gpu_free(gpu, d_y);
    isb__gpu_free(gpu, d_q);
    isb__gpu_free(gpu, d_sy);
    isb__gpu_free(gpu, d_s);
    isb__gpu_close(gpu);
    free(y);
    free(sy);
    free(found);
}

/* act(gate) * up, whose last bits show those of e. */
static void test_gate(int relu, uint64_t seed) {
    enum { M = 600, F = 48, K = 32 };
    const isb__int8_ops *ops = isb__int8_ops_for(ctx->cpu);
    isb__gpu *gpu = open_gpu();
    isb__rng rng;
    static int8_t y[M * K], q[2 * F * K];
    static int32_t sums[2 * F];
    static float sy[M], s[2 * F], h[M * F], expected[F];
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < M * K; ++i) y[i] = (int8_t)((int)isb__rng_below(&rng, 255) - 127);
    for (size_t i = 0; i < 2 * F * K; ++i) q[i] = (int8_t)((int)isb__rng_below(&rng, 255) - 127);
    for (size_t i = 0; i < M; ++i) sy[i] = (float)isb__rng_uniform(&rng) * (i % 9 ? 0.01f : 1.0f);
    for (size_t i = 0; i < 2 * F; ++i) s[i] = (float)isb__rng_uniform(&rng) * 0.02f;
    int8_t *d_y = put(gpu, y, sizeof y), *d_q = put(gpu, q, sizeof q);
    float *d_sy = put(gpu, sy, sizeof sy), *d_s = put(gpu, s, sizeof s),
          *d_h = put(gpu, h, sizeof h);
    const isb__gpu_m1_matrix W = {2 * F, K, d_q, d_s};
    isb__gpu_m1_product_gate(gpu, M, relu, d_y, d_sy, &W, d_h);
    get(gpu, h, d_h, sizeof h);
    for (size_t r = 0; r < M; ++r) {
        for (size_t i = 0; i < 2 * F; ++i) {
            sums[i] = 0;
            for (size_t j = 0; j < K; ++j) sums[i] += y[r * K + j] * q[i * K + j];
        }
        (relu ? ops->gate_relu : ops->gate_silu)(F, sums, sums + F, sy[r], s, s + F, expected);
        CHECK(memcmp(h + r * F, expected, sizeof expected) == 0);
    }
    isb__gpu_free(gpu, d_y);
    isb__gpu_free(gpu, d_q);
    isb__gpu_free(gpu, d_sy);
    isb__gpu_free(gpu, d_s);
    isb__gpu_close(gpu);
}

/* ---- as a source; what can go wrong ---- */

static void test_source(uint64_t seed) {
    isb__m1 *m1 = create_m1(&shapes[0], seed);
    isb__cdf_source gpu = {0}, cpu = {0};
    uint32_t cdfs[2][4 * STRIDE];
    static const uint8_t text[] = "text";
    CHECK_OK(ctx, isb__m1_cuda_source(ctx, m1, 0, "cuda:0", 3, &gpu));
    CHECK_OK(ctx, isb__m1_source(ctx, m1, 0, 3, &cpu));
    CHECK(memcmp(&gpu.identity, &cpu.identity, sizeof gpu.identity) == 0);
    CHECK(gpu.n_symbols == cpu.n_symbols && gpu.precision_nbits == cpu.precision_nbits);
    CHECK_EQ(gpu.max_streams, 3);
    CHECK_EQ(gpu.n_workers, 1);
    isb__cdf_request request = {2, 0, text, 4, 4, cdfs[0]};
    for (int round = 0; round < 2; ++round) {
        request.cdfs = cdfs[0];
        CHECK_OK(ctx, gpu.evaluate(gpu.self, 0, 1, &request));
        request.cdfs = cdfs[1];
        CHECK_OK(ctx, cpu.evaluate(cpu.self, 0, 1, &request));
        CHECK(memcmp(cdfs[0], cdfs[1], sizeof cdfs[0]) == 0);
        CHECK_OK(ctx, gpu.rewind(gpu.self, 2, 2));
        CHECK_OK(ctx, cpu.rewind(cpu.self, 2, 2));
    }
    gpu.free(gpu.self);
    cpu.free(cpu.self);
#ifdef ISB_CUDA_EMULATION
    emulation_set_memory((size_t)64 << 20);
#endif
    CHECK_OK(ctx, isb__m1_cuda_source(ctx, m1, 1, "cuda", 0, &gpu)); /* m1 is its own from here */
    CHECK(gpu.max_streams > 1 && gpu.max_streams <= 4096);
    gpu.free(gpu.self);
#ifdef ISB_CUDA_EMULATION
    emulation_set_memory((size_t)1 << 30);
#endif
}

static void test_refusals(uint64_t seed) {
    isb__m1 *m1 = create_m1(&shapes[0], seed);
    static const struct {
        const char *device;
        isb_status status;
    } cases[] = {{"cuda:99", ISB_ERR_UNSUPPORTED}, {"cuda:x", ISB_ERR_ARGUMENT},
                 {"cuda:", ISB_ERR_ARGUMENT},      {"cuda:1x", ISB_ERR_ARGUMENT},
                 {"gpu", ISB_ERR_ARGUMENT},        {"cuda:0", ISB_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const isb__m1_cuda_options options = {.device = cases[i].device, .n_streams = 2};
        isb__m1_cuda *engine = NULL;
        CHECK_STATUS(isb__m1_cuda_create(ctx, m1, &options, &engine), cases[i].status);
        CHECK((engine != NULL) == (cases[i].status == ISB_OK));
        isb__m1_cuda_free(engine);
    }
    isb__m1_free(m1);
}

static void test_cancel(uint64_t seed) {
    both b = create_both(&shapes[0], 2, seed);
    isb__cdf_request request = {.bytes = (const uint8_t *)"abc", .n_bytes = 3};
    isb_context_cancel(ctx);
    CHECK_STATUS(isb__m1_cuda_evaluate(b.gpu, 1, &request), ISB_ERR_CANCELLED);
    isb_context_cancel_clear(ctx);
    request.restart = 1;
    request.n_cdfs = 3;
    evaluate(&b, "after a cancelled call", 1, &request);
    free_both(&b);
}

#ifdef ISB_CUDA_EMULATION
/* Blocks and threads from last to first. */
static void test_reversed(uint64_t seed) {
    emulation_reverse(1);
    for (int i = 0; i < 2; ++i) test_random(&shapes[i], seed);
    emulation_reverse(0);
}

static void test_failures(uint64_t seed) {
    both b = create_both(&shapes[0], 2, seed);
    const isb__m1_cuda_options options = {.device = "cuda", .n_streams = 4};
    isb__cdf_request request = {.bytes = (const uint8_t *)"abc", .n_bytes = 3};
    isb__m1_cuda *engine = NULL;
    emulation_break(1);
    CHECK_STATUS(isb__m1_cuda_evaluate(b.gpu, 1, &request), ISB_ERR_DEVICE);
    emulation_break(0);
    CHECK_STATUS(isb__m1_cuda_evaluate(b.gpu, 1, &request), ISB_ERR_DEVICE); /* for good */
    isb__m1_cuda_free(b.gpu);
    b.gpu = NULL;
    CHECK_EQ(emulation_allocated(), 0);
    emulation_set_memory((size_t)1 << 20);
    CHECK_STATUS(isb__m1_cuda_create(ctx, b.m1, &options, &engine), ISB_ERR_NO_MEMORY);
    CHECK_EQ(emulation_allocated(), 0);
    emulation_set_memory((size_t)1 << 30);
    free_both(&b);
}
#else
static int has_gpu(void) {
    int count = 0;
    char reason[256];
    isb__cuda_device device;
    (void)isb__cuda_device_count(&count, reason, sizeof reason);
    return count > 0 && isb__cuda_device_query(0, &device) == ISB_OK && device.compute_major >= 8;
}
#endif

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    isb_context_options options;
#ifndef ISB_CUDA_EMULATION
    if (!has_gpu()) {
        printf("skipped: no GPU of compute capability 8.0 or more\n");
        return SKIPPED;
    }
#endif
    isb_context_options_init(&options);
    options.n_threads = 1;
    options.cpu = "ref"; /* the definition */
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    test_angles(seed);
    test_rows(seed);
    test_product(1, 257, 16, seed);
    test_product(70, 65, 80, seed);
    test_product(64, 64, 128, seed);
    test_gate(0, seed);
    test_gate(1, seed);
    for (int i = 0; i < N_SHAPES; ++i) test_random(&shapes[i], seed + (uint64_t)i);
    for (int i = 0; i < N_LONG_SHAPES; ++i) test_long(&long_shapes[i], seed + (uint64_t)i);
    test_source(seed);
    test_refusals(seed);
    test_cancel(seed);
#ifdef ISB_CUDA_EMULATION
    test_reversed(seed);
    test_failures(seed);
#endif
    isb_context_free(ctx);
    return check_end();
}
