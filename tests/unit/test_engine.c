/* The engine against a plain forward pass in double, and against itself: one token at a time on
 * one thread of the portable tier gives the bits that every batch, split, rewind, tier and
 * thread count must give. */
#include <math.h>
#include <stdatomic.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "check.h"
#include "nn/engine.h"
#include "nn/graph.h"
#include "nn/position.h"

enum { N_STREAMS = 5, N_TOKENS = 640, N_CLOSE = 40 };

typedef struct test_shape {
    int64_t V, C, L, H, F, T;
    isb_activation activation;
    isb_position position;
    int tie;
} test_shape;

static const test_shape shapes[] = {
    {257, 32, 2, 4, 36, 20, ISB_ACTIVATION_SILU, ISB_POSITION_ROPE, 1},
    {19, 24, 3, 3, 20, 150, ISB_ACTIVATION_RELU, ISB_POSITION_T5, 1},
    {70, 36, 1, 2, 44, 7, ISB_ACTIVATION_SILU, ISB_POSITION_ROPE, 0},
    {5, 8, 2, 4, 4, 1, ISB_ACTIVATION_RELU, ISB_POSITION_ROPE, 0},
    {90, 80, 2, 1, 300, 64, ISB_ACTIVATION_SILU, ISB_POSITION_T5, 1},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static isb_context *make_context(const char *cpu, int n_threads) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.cpu = cpu;
    options.n_threads = n_threads;
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    return ctx;
}

static isb_model *make_model(isb_context *ctx, const test_shape *s, uint64_t seed) {
    isb_model_config config;
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &config));
    config.vocab_size = s->V;
    config.hidden_size = s->C;
    config.n_layers = s->L;
    config.n_heads = s->H;
    config.intermediate_size = s->F;
    config.context_length = s->T;
    config.activation = s->activation;
    config.position = s->position;
    config.tie_embeddings = s->tie;
    CHECK_OK(ctx, isb_model_config_check(ctx, &config));
    isb_model *model = NULL;
    CHECK_OK(ctx, isb__model_create(ctx, &config, &model));
    isb__model_init_weights(model, seed);
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (size_t t = 0; t < model->n_tensors;
         ++t) { /* larger than at the start of training, so that attention matters */
        const isb__tensor *tensor = &model->tensors[t];
        const double scale = tensor->is_vector ? 0.2 : 1.5 / sqrt((double)tensor->cols);
        for (size_t i = 0; i < tensor->count; ++i) {
            model->data[tensor->offset + i] =
                (float)((tensor->is_vector ? 1.0 : 0.0) + scale * isb__rng_normal(&rng));
        }
    }
    return model;
}

/* ---- a plain forward pass in double ---- */

static void plain_norm(const isb_model_config *c, const double *x, const float *gain, double *y) {
    double sum = 0;
    for (int64_t i = 0; i < c->hidden_size; ++i) sum += x[i] * x[i];
    const double s = 1 / sqrt(sum / (double)c->hidden_size + c->norm_eps);
    for (int64_t i = 0; i < c->hidden_size; ++i) y[i] = x[i] * s * (double)gain[i];
}

static void plain_product(const float *w, int64_t n_out, int64_t n_in, const double *x, double *y) {
    for (int64_t o = 0; o < n_out; ++o) {
        y[o] = 0;
        for (int64_t i = 0; i < n_in; ++i) y[o] += (double)w[o * n_in + i] * x[i];
    }
}

static void plain_rotate(const isb_model_config *c, double position, double *x) {
    const int64_t D = c->hidden_size / c->n_heads;
    for (int64_t h = 0; h < c->n_heads; ++h, x += D) {
        for (int64_t i = 0; i < D / 2; ++i) {
            const double angle = position * pow(c->rope_theta, -2.0 * (double)i / (double)D);
            const double a = x[i], b = x[i + D / 2];
            x[i] = a * cos(angle) - b * sin(angle);
            x[i + D / 2] = b * cos(angle) + a * sin(angle);
        }
    }
}

/* One query against keys begin .. t of one head; k, v: [t, C]. */
static void plain_attend(const isb_model_config *c, const float *bias, const double *q,
                         const double *k, const double *v, int64_t t, int64_t h, double *y) {
    const int64_t C = c->hidden_size, D = C / c->n_heads,
                  begin = t + 1 > c->context_length ? t + 1 - c->context_length : 0;
    double sum = 0;
    for (int64_t i = 0; i < D; ++i) y[h * D + i] = 0;
    for (int64_t j = begin; j <= t; ++j) {
        double score = 0;
        for (int64_t i = 0; i < D; ++i) score += q[h * D + i] * k[j * C + h * D + i];
        score /= sqrt((double)D);
        if (bias)
            score +=
                (double)bias[h * ISB__N_BUCKETS + (int64_t)isb__position_bucket((size_t)(t - j))];
        sum += exp(score);
        for (int64_t i = 0; i < D; ++i) y[h * D + i] += exp(score) * v[j * C + h * D + i];
    }
    for (int64_t i = 0; i < D; ++i) y[h * D + i] /= sum;
}

static void plain_layer(const isb_model_config *c, const isb__layer_params *p, int64_t n,
                        double *x) {
    const int64_t C = c->hidden_size, F = c->intermediate_size;
    double *k = calloc((size_t)(2 * n * C), sizeof *k), *v = k + n * C;
    double *y = calloc((size_t)(3 * C + 2 * F), sizeof *y), *q = y + C, *add = q + C,
           *gate = add + C, *up = gate + F;
    for (int64_t t = 0; t < n; ++t) {
        plain_norm(c, x + t * C, p->norm1, y);
        plain_product(p->q, C, C, y, q);
        plain_product(p->k, C, C, y, k + t * C);
        plain_product(p->v, C, C, y, v + t * C);
        if (c->position == ISB_POSITION_ROPE) plain_rotate(c, (double)t, q);
        if (c->position == ISB_POSITION_ROPE) plain_rotate(c, (double)t, k + t * C);
        for (int64_t h = 0; h < c->n_heads; ++h) plain_attend(c, p->bias, q, k, v, t, h, y);
        plain_product(p->o, C, C, y, add);
        for (int64_t i = 0; i < C; ++i) x[t * C + i] += add[i];
        plain_norm(c, x + t * C, p->norm2, y);
        plain_product(p->gate, F, C, y, gate);
        plain_product(p->up, F, C, y, up);
        for (int64_t i = 0; i < F; ++i) {
            const double g = gate[i];
            gate[i] = (c->activation == ISB_ACTIVATION_RELU ? (g > 0 ? g : 0) : g / (1 + exp(-g))) *
                      up[i];
        }
        plain_product(p->down, C, F, gate, add);
        for (int64_t i = 0; i < C; ++i) x[t * C + i] += add[i];
    }
    free(k);
    free(y);
}

static void plain_forward(const isb_model *model, const int32_t *tokens, int64_t n,
                          double *logits) {
    const isb_model_config *c = &model->config;
    const int64_t C = c->hidden_size, V = c->vocab_size;
    double *x = calloc((size_t)((n + 1) * C), sizeof *x), *y = x + n * C;
    for (int64_t i = 0; i < n * C; ++i)
        x[i] = (double)model->params.embed[tokens[i / C] * C + i % C];
    for (int64_t l = 0; l < c->n_layers; ++l) plain_layer(c, &model->params.layers[l], n, x);
    for (int64_t t = 0; t < n; ++t) {
        plain_norm(c, x + t * C, model->params.norm, y);
        plain_product(model->params.head, V, C, y, logits + t * V);
    }
    free(x);
}

/* ---- the reference: one token a call ---- */

typedef struct test_case {
    isb_model *model;
    size_t V;
    int32_t tokens[N_STREAMS][N_TOKENS];
    float *logits; /* [N_STREAMS, N_TOKENS, V] */
} test_case;

static float *reference_row(const test_case *t, size_t stream, size_t position) {
    return t->logits + (stream * N_TOKENS + position) * t->V;
}

typedef struct copy_target {
    test_case *t;
    size_t stream, position;
} copy_target;

static void copy_sink(void *user, size_t request, size_t row, const float *logits) {
    const copy_target *target = user;
    if (request == 0 && row == 0) {
        memcpy(reference_row(target->t, target->stream, target->position), logits,
               target->t->V * sizeof *logits);
    }
}

static void make_reference(isb_context *ctx, test_case *t, isb__rng *rng) {
    isb__engine *engine = NULL;
    CHECK_OK(ctx, isb__engine_create(ctx, t->model, 1, 1, &engine));
    for (size_t s = 0; s < N_STREAMS; ++s) {
        for (size_t p = 0; p < N_TOKENS; ++p) {
            t->tokens[s][p] = (int32_t)isb__rng_below(rng, t->V);
            if (p == 0 && s < 3)
                t->tokens[s][0] = t->tokens[0][0]; /* the engine keeps what a first token gives */
            copy_target target = {t, s, p};
            const isb__engine_request request = {0, p == 0, &t->tokens[s][p], 1, 1};
            CHECK_OK(ctx, isb__engine_evaluate(engine, 1, &request, copy_sink, &target));
        }
    }
    CHECK_EQ(isb__engine_position(engine, 0), N_TOKENS);
    isb__engine_free(engine);
}

/* float32 sums of up to 300 terms through three layers: relative 1e-4 is far above rounding,
 * far below any mistake. */
static void check_close(const test_case *t) {
    double *plain = calloc(N_CLOSE * t->V, sizeof *plain), worst = 0, largest = 0;
    plain_forward(t->model, t->tokens[0], N_CLOSE, plain);
    for (size_t i = 0; i < N_CLOSE * t->V; ++i) {
        worst = fmax(worst, fabs((double)t->logits[i] - plain[i]));
        largest = fmax(largest, fabs(plain[i]));
    }
    free(plain);
    CHECK(largest > 0.5);
    CHECK(worst < 1e-4 * largest);
}

/* What the training graph charges for each next token is what the engine's logits say. */
static void check_graph(isb_context *ctx, const test_case *t) {
    isb__graph *graph = NULL;
    isb__loss loss;
    float nats[N_CLOSE];
    const size_t T = (size_t)t->model->config.context_length, n = T < N_CLOSE ? T : N_CLOSE;
    const int32_t *targets = t->tokens[0] + 1;
    const isb__batch batch = {t->tokens[0], targets, NULL};
    const isb__graph_options options = {.B = 1, .T = n, .use_exact = 1};
    CHECK_OK(ctx, isb__graph_create(ctx, t->model, &options, &graph));
    CHECK_OK(ctx, isb__graph_forward(graph, &batch, nats, &loss));
    double worst = 0;
    for (size_t i = 0; i < n; ++i) {
        const float *logits = reference_row(t, 0, i);
        double sum = 0;
        for (size_t v = 0; v < t->V; ++v) sum += exp((double)(logits[v] - logits[targets[i]]));
        worst = fmax(worst, fabs(log(sum) - (double)nats[i]));
    }
    CHECK(worst < 1e-3);
    isb__graph_free(graph);
}

/* ---- any other way ---- */

typedef struct play {
    const test_case *t;
    size_t stream[N_STREAMS], first[N_STREAMS], n_wanted[N_STREAMS]; /* by request */
    atomic_int n_rows, n_wrong;
} play;

static void compare_sink(void *user, size_t request, size_t row, const float *logits) {
    play *p = user;
    const float *expected = reference_row(p->t, p->stream[request], p->first[request] + row);
    ++p->n_rows;
    if (row >= p->n_wanted[request] || memcmp(expected, logits, p->t->V * sizeof *logits) != 0)
        ++p->n_wrong;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Moves each stream along its tokens in random steps, now and then back, until all have come to
 * the end. */
static void play_randomly(isb_context *ctx, const test_case *t, size_t max_rows, size_t max_step,
                          uint64_t seed) {
    isb__engine *engine = NULL;
    CHECK_OK(ctx, isb__engine_create(ctx, t->model, N_STREAMS, max_rows, &engine));
    CHECK(isb__engine_nbytes(engine) >
          N_STREAMS * (size_t)t->model->config.context_length * sizeof(float));
    play p = {.t = t};
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    size_t at[N_STREAMS] = {0}, top[N_STREAMS] = {0}, n_expected = 0, n_back = 0;
    for (size_t n_done = 0; n_done < N_STREAMS;) {
        isb__engine_request requests[N_STREAMS];
        size_t n = 0;
        for (size_t s = 0; s < N_STREAMS; ++s) {
            if (at[s] == N_TOKENS || isb__rng_below(&rng, 4) == 0) continue;
            if (at[s] > 0 && n_back < 40 && isb__rng_below(&rng, 8) == 0) {
                const size_t room = ISB__ENGINE_HISTORY - (top[s] - at[s]);
                const size_t back = isb__rng_below(&rng, smaller(room, at[s]) + 1);
                CHECK_OK(ctx, isb__engine_rewind(engine, s, back));
                at[s] -= back;
                ++n_back;
            }
            const size_t step = smaller(isb__rng_below(&rng, max_step + 1), N_TOKENS - at[s]);
            const size_t wanted = step == 0 ? at[s] > 0 : isb__rng_below(&rng, step + 1);
            requests[n] = (isb__engine_request){s, at[s] == 0, t->tokens[s] + at[s], step, wanted};
            at[s] += step;
            top[s] = at[s] > top[s] ? at[s] : top[s];
            p.stream[n] = s;
            p.first[n] = at[s] - wanted;
            p.n_wanted[n] = wanted;
            n_expected += wanted;
            ++n;
        }
        CHECK_OK(ctx, isb__engine_evaluate(engine, n, requests, compare_sink, &p));
        n_done = 0;
        for (size_t s = 0; s < N_STREAMS; ++s) {
            CHECK_EQ(isb__engine_position(engine, s), at[s]);
            n_done += at[s] == N_TOKENS;
        }
    }
    CHECK_EQ(p.n_rows, n_expected);
    CHECK_EQ(p.n_wrong, 0);
    isb__engine_free(engine);
}

static void test_shapes(uint64_t seed) {
    static const char *const tiers[] = {"ref", "avx2", "avx512", "avx512x", "amx"};
    isb_context *ctx = make_context("ref", 1);
    for (size_t s = 0; s < N_SHAPES; ++s) {
        test_case *t = calloc(1, sizeof *t);
        isb__rng rng;
        isb__rng_seed(&rng, seed + s);
        t->model = make_model(ctx, &shapes[s], seed + s);
        t->V = (size_t)shapes[s].V;
        t->logits = calloc(N_STREAMS * N_TOKENS * t->V, sizeof *t->logits);
        make_reference(ctx, t, &rng);
        check_close(t);
        check_graph(ctx, t);
        const int best = (int)isb__cpu_detect();
        for (int tier = 0; tier <= best; ++tier) {
            for (int n_threads = tier == best ? 1 : 2; n_threads <= (tier == best ? 3 : 2);
                 ++n_threads) {
                isb_context *other = make_context(tiers[tier], n_threads);
                play_randomly(other, t, 0, 64, seed + s + (uint64_t)(10 * tier + n_threads));
                if (tier == 2) play_randomly(other, t, 0, N_TOKENS, seed + s);
                if (tier == 1) play_randomly(other, t, 7, 30, seed + s);
                isb_context_free(other);
            }
        }
        free(t->logits);
        isb_model_free(t->model);
        free(t);
    }
    isb_context_free(ctx);
}

static void ignore_sink(void *user, size_t request, size_t row, const float *logits) {
    (void)request, (void)row, (void)logits;
    ++*(int *)user;
}

static void test_errors(uint64_t seed) {
    isb_context *ctx = make_context("ref", 1);
    isb_model *model = make_model(ctx, &shapes[1], seed);
    isb__engine *engine = NULL;
    CHECK_OK(ctx, isb__engine_create(ctx, model, 2, 0, &engine));
    int n_rows = 0;
    const int32_t good[] = {1, 2, 3}, bad[] = {1, 19}, negative[] = {-1};
    const isb__engine_request requests[] = {{0, 1, good, 3, 1}, {1, 1, bad, 2, 1}};
    CHECK_STATUS(isb__engine_evaluate(engine, 2, requests, ignore_sink, &n_rows), ISB_ERR_RANGE);
    CHECK_EQ(isb__engine_position(engine, 0), 0); /* nothing was evaluated */
    const isb__engine_request request = {0, 1, negative, 1, 1};
    CHECK_STATUS(isb__engine_evaluate(engine, 1, &request, ignore_sink, &n_rows), ISB_ERR_RANGE);
    const isb__engine_request empty = {0, 1, NULL, 0, 1};
    CHECK_STATUS(isb__engine_evaluate(engine, 1, &empty, ignore_sink, &n_rows), ISB_ERR_RANGE);
    CHECK_EQ(n_rows, 0);
    CHECK_OK(ctx, isb__engine_evaluate(engine, 1, requests, ignore_sink, &n_rows));
    CHECK_EQ(n_rows, 1);
    CHECK_STATUS(isb__engine_rewind(engine, 0, 4), ISB_ERR_RANGE);
    CHECK_OK(ctx, isb__engine_rewind(engine, 0, 3));
    CHECK_EQ(isb__engine_position(engine, 0), 0);
    isb_context_cancel(ctx);
    CHECK_STATUS(isb__engine_evaluate(engine, 1, requests, ignore_sink, &n_rows),
                 ISB_ERR_CANCELLED);
    isb_context_cancel_clear(ctx);
    CHECK_OK(ctx, isb__engine_evaluate(engine, 1, requests, ignore_sink, &n_rows));
    isb__engine_free(engine);
    isb_model_free(model);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    test_shapes(seed);
    test_errors(seed);
    return check_end();
}
