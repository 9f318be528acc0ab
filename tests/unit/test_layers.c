/* The training graph: loss and every gradient against central differences of a reference in
 * double precision, the same bits for every number of threads, and what a caller can get wrong. */
#include "base/rng.h"
#include "check.h"
#include "nn/graph.h"
#include "nn_reference.h"

typedef struct shape {
    const char *what;
    int64_t V, C, H, L, F;
    size_t B, T;
    isb_position position;
    isb_activation activation;
    int tie, segments;
    size_t every; /* one of so many parameters is checked */
} shape;

static const shape shapes[] = {
    {"rope, silu, tied", 11, 12, 2, 2, 16, 2, 7, ISB_POSITION_ROPE, ISB_ACTIVATION_SILU, 1, 0, 1},
    {"rope, relu, untied, documents", 9, 8, 2, 1, 12, 3, 9, ISB_POSITION_ROPE, ISB_ACTIVATION_RELU,
     0, 1, 1},
    {"t5, relu, untied", 7, 12, 3, 2, 8, 1, 11, ISB_POSITION_T5, ISB_ACTIVATION_RELU, 0, 0, 1},
    {"t5, silu, tied, documents", 13, 8, 4, 2, 8, 2, 21, ISB_POSITION_T5, ISB_ACTIVATION_SILU, 1, 1,
     1},
    {"one token, one head", 5, 4, 1, 1, 4, 1, 1, ISB_POSITION_ROPE, ISB_ACTIVATION_SILU, 0, 0, 1},
    {"several blocks of queries", 17, 16, 2, 1, 20, 2, 151, ISB_POSITION_T5, ISB_ACTIVATION_SILU, 1,
     0, 53},
    {"several blocks, documents", 17, 16, 2, 1, 20, 1, 301, ISB_POSITION_ROPE, ISB_ACTIVATION_SILU,
     1, 1, 97},
};

typedef struct setup {
    isb_context *ctx;
    isb_model *model;
    int32_t *inputs, *targets, *starts;
    isb__batch batch;
    float *grads;
} setup;

static isb_context *context_with(int n_threads) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    return ctx;
}

static isb_model_config config_of(isb_context *ctx, const shape *s) {
    isb_model_config config;
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &config));
    config.vocab_size = s->V;
    config.hidden_size = s->C;
    config.n_heads = s->H;
    config.n_layers = s->L;
    config.intermediate_size = s->F;
    config.context_length = (int64_t)s->T + 3;
    config.rope_theta = 100; /* so that few positions turn all pairs visibly */
    config.position = s->position;
    config.activation = s->activation;
    config.tie_embeddings = s->tie;
    return config;
}

static void fill_batch(setup *u, const shape *s, isb__rng *rng) {
    int32_t start = 0;
    for (size_t i = 0; i < s->B * s->T; ++i) {
        if (i % s->T == 0)
            start = 0;
        else if (isb__rng_below(rng, 6) == 0)
            start = (int32_t)(i % s->T);
        u->inputs[i] = (int32_t)isb__rng_below(rng, (uint64_t)s->V);
        u->targets[i] =
            isb__rng_below(rng, 5) == 0 ? -1 : (int32_t)isb__rng_below(rng, (uint64_t)s->V);
        u->starts[i] = start;
    }
    u->batch = (isb__batch){u->inputs, u->targets, s->segments ? u->starts : NULL};
}

static setup setup_create(const shape *s, int n_threads, uint64_t seed, float weight) {
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    setup u = {.ctx = context_with(n_threads)};
    const isb_model_config config = config_of(u.ctx, s);
    CHECK_OK(u.ctx, isb__model_create(u.ctx, &config, &u.model));
    for (size_t i = 0; i < u.model->n_tensors; ++i) {
        const isb__tensor *t = &u.model->tensors[i];
        const float mean = t->is_vector ? 1 : 0, deviation = t->is_vector ? 0.3f : weight;
        for (size_t j = 0; j < t->count; ++j) {
            u.model->data[t->offset + j] = mean + deviation * (float)isb__rng_normal(&rng);
        }
    }
    u.inputs = calloc(s->B * s->T, sizeof *u.inputs);
    u.targets = calloc(s->B * s->T, sizeof *u.targets);
    u.starts = calloc(s->B * s->T, sizeof *u.starts);
    u.grads = calloc(u.model->n_floats, sizeof *u.grads);
    CHECK_FATAL(u.inputs && u.targets && u.starts && u.grads);
    fill_batch(&u, s, &rng);
    return u;
}

static void setup_free(setup *u) {
    free(u->inputs);
    free(u->targets);
    free(u->starts);
    free(u->grads);
    isb_model_free(u->model);
    isb_context_free(u->ctx);
}

static isb__graph_options options_of(const shape *s, int training) {
    return (isb__graph_options){.B = s->B, .T = s->T, .training = training};
}

static void run_backward(setup *u, const shape *s, int exact, float scale, float z_weight,
                         isb__loss *loss) {
    isb__graph *graph = NULL;
    isb__graph_options options = options_of(s, 1);
    options.use_exact = exact;
    CHECK_OK(u->ctx, isb__graph_create(u->ctx, u->model, &options, &graph));
    CHECK_OK(u->ctx, isb__graph_backward(graph, &u->batch, scale, z_weight, u->grads, loss));
    isb__graph_free(graph);
}

/* ---- against the reference ---- */

/* Of a tensor's largest gradient.  Typical errors are 1e-6, a few roundings; a layer that
 * divides by a small rms may enlarge them tenfold.  A wrong term shows as 1e-2 or more. */
static const double GRADIENT_TOLERANCE = 1e-4;

static void check_tensor(const setup *u, const reference *r, const isb__tensor *t, double scale,
                         double z_weight, size_t every) {
    double worst = 0, most = 0.05;
    size_t n = 0;
    for (size_t j = every == 1 ? 0 : t->offset % every; j < t->count; j += every, ++n) {
        const double wanted = scale * reference_gradient(r, t->offset + j, z_weight);
        most = fmax(most, fabs(wanted));
        worst = fmax(worst, fabs(wanted - (double)u->grads[t->offset + j]));
    }
    if (worst > GRADIENT_TOLERANCE * most)
        printf("%s: off by %g, largest %g, %zu checked\n", t->name, worst, most, n);
    CHECK(worst <= GRADIENT_TOLERANCE * most);
}

static void test_gradients(const shape *s, uint64_t seed) {
    const float scale = 0.5f, z_weight = 0.05f;
    setup u = setup_create(s, 2, seed, 0.4f);
    isb__loss loss;
    run_backward(&u, s, 1, scale, z_weight, &loss);
    reference r = reference_create(u.model, s->B, s->T, &u.batch);
    const double wanted = reference_loss(&r, 0), wanted_z = reference_loss(&r, 1) - wanted;
    printf("%s: %.6f nats, %.6f expected\n", s->what, loss.nats, wanted);
    CHECK(fabs(loss.nats - wanted) <= 2e-6 * (wanted + 1));
    CHECK(fabs(loss.z - wanted_z) <= 4e-6 * (wanted_z + 1));
    int64_t n_targets = 0;
    for (size_t i = 0; i < s->B * s->T; ++i) n_targets += u.targets[i] >= 0;
    CHECK_EQ(loss.n_targets, n_targets);
    for (size_t i = 0; i < u.model->n_tensors; ++i) {
        check_tensor(&u, &r, &u.model->tensors[i], (double)scale, (double)z_weight, s->every);
    }
    reference_free(&r);
    setup_free(&u);
}

static double norm_of(const float *x, const float *y, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
        const double d = (double)x[i] - (y ? (double)y[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

/* The fast kernels may round to bf16: 8 bits, errors of 2^-9 a product, which partly cancel in
 * sums.  The second term is for gradients that are differences of larger things.  Not for relu,
 * where a rounding may switch a channel on or off. */
static void test_close(const shape *s, uint64_t seed) {
    setup u = setup_create(s, 2, seed, 0.2f);
    const size_t n_floats = u.model->n_floats;
    isb__loss exact_loss, close_loss;
    run_backward(&u, s, 1, 1, 0, &exact_loss);
    float *exact = malloc(n_floats * sizeof *exact);
    CHECK_FATAL(exact != NULL);
    memcpy(exact, u.grads, n_floats * sizeof *exact);
    memset(u.grads, 0, n_floats * sizeof *exact);
    run_backward(&u, s, 0, 1, 0, &close_loss);
    CHECK(fabs(close_loss.nats - exact_loss.nats) <= 5e-3 * exact_loss.nats);
    const double all = norm_of(exact, NULL, n_floats);
    for (size_t i = 0; i < u.model->n_tensors; ++i) {
        const isb__tensor *t = &u.model->tensors[i];
        const double norm = norm_of(exact + t->offset, NULL, t->count);
        const double error = norm_of(exact + t->offset, u.grads + t->offset, t->count);
        if (error > 0.05 * norm + 0.01 * all)
            printf("%s: error %g of %g, all %g\n", t->name, error, norm, all);
        CHECK(error <= 0.05 * norm + 0.01 * all);
    }
    free(exact);
    setup_free(&u);
}

/* ---- the same bits ---- */

static void test_threads(uint64_t seed) {
    static const shape s = {"threads",           300, 64, 4, 2, 96, 3, 170, ISB_POSITION_T5,
                            ISB_ACTIVATION_SILU, 0,   1,  1};
    setup one = setup_create(&s, 1, seed, 0.1f);
    isb__loss one_loss;
    run_backward(&one, &s, 0, 1, 1e-4f, &one_loss);
    for (int n = 2; n <= 3; ++n) {
        setup many = setup_create(&s, n, seed, 0.1f);
        isb__loss loss;
        run_backward(&many, &s, 0, 1, 1e-4f, &loss);
        CHECK(loss.nats == one_loss.nats && loss.z == one_loss.z);
        CHECK(memcmp(many.grads, one.grads, one.model->n_floats * sizeof *one.grads) == 0);
        setup_free(&many);
    }
    setup_free(&one);
}

/* Activations that are made again give the same bits, in less memory. */
static void test_recompute(const shape *s, uint64_t seed) {
    for (int exact = 0; exact < 2; ++exact) {
        setup kept = setup_create(s, 2, seed, 0.3f), made = setup_create(s, 3, seed, 0.3f);
        isb__graph *graph = NULL;
        isb__loss kept_loss, made_loss;
        isb__graph_options options = options_of(s, 1);
        const size_t kept_nbytes =
            isb__graph_estimate_nbytes(made.ctx, &made.model->config, &options);
        run_backward(&kept, s, exact, 1, 1e-3f, &kept_loss);
        options.use_exact = exact;
        options.recompute = 1;
        CHECK_OK(made.ctx, isb__graph_create(made.ctx, made.model, &options, &graph));
        for (int pass = 0; pass < 2; ++pass) { /* the second finds what the first left */
            memset(made.grads, 0, made.model->n_floats * sizeof *made.grads);
            CHECK_OK(made.ctx, isb__graph_backward(graph, &made.batch, 1, 1e-3f, made.grads,
                                                   &made_loss));
            CHECK(kept_loss.nats == made_loss.nats && kept_loss.z == made_loss.z);
            CHECK(memcmp(kept.grads, made.grads, kept.model->n_floats * sizeof(float)) == 0);
        }
        CHECK_EQ(isb__graph_nbytes(graph),
                 isb__graph_estimate_nbytes(made.ctx, &made.model->config, &options));
        if (s->L > 1 && !exact) CHECK(isb__graph_nbytes(graph) < kept_nbytes);
        isb__graph_free(graph);
        setup_free(&kept);
        setup_free(&made);
    }
}

/* Evaluation gives the training pass's loss, and token losses that add up to it. */
static void test_forward_only(uint64_t seed) {
    const shape *s = &shapes[3];
    setup u = setup_create(s, 2, seed, 0.3f);
    isb__graph *graph = NULL;
    isb__loss trained, evaluated;
    float nats[64];
    const isb__graph_options training = options_of(s, 1), evaluation = options_of(s, 0);
    run_backward(&u, s, 0, 1, 0, &trained);
    CHECK_OK(u.ctx, isb__graph_create(u.ctx, u.model, &evaluation, &graph));
    CHECK_OK(u.ctx, isb__graph_forward(graph, &u.batch, nats, &evaluated));
    CHECK(trained.nats == evaluated.nats && trained.z == evaluated.z);
    double sum = 0;
    for (size_t i = 0; i < s->B * s->T; ++i) {
        sum += (double)nats[i];
        CHECK(u.targets[i] >= 0 ? nats[i] > 0 : nats[i] == 0);
    }
    CHECK(sum == evaluated.nats);
    CHECK(isb__graph_nbytes(graph) <
          isb__graph_estimate_nbytes(u.ctx, &u.model->config, &training));
    CHECK_EQ(isb__graph_nbytes(graph),
             isb__graph_estimate_nbytes(u.ctx, &u.model->config, &evaluation));
    isb__graph_free(graph);
    setup_free(&u);
}

/* A vocabulary whose logits take several chunks: the gradient of a batch is the sum of its rows'
 * gradients. */
static void test_chunks(uint64_t seed) {
    static const shape all = {
        "chunks", 65537, 8, 1, 1, 8, 3, 100, ISB_POSITION_ROPE, ISB_ACTIVATION_SILU, 0, 0, 1};
    shape row = all;
    row.B = 1;
    setup whole = setup_create(&all, 2, seed, 0.2f), parts = setup_create(&all, 2, seed, 0.2f);
    isb__loss loss, part_loss;
    double nats = 0, worst = 0, most = 0;
    run_backward(&whole, &all, 1, 1, 1e-3f, &loss);
    for (size_t b = 0; b < all.B; ++b) {
        parts.batch = (isb__batch){parts.inputs + b * all.T, parts.targets + b * all.T, NULL};
        run_backward(&parts, &row, 1, 1, 1e-3f, &part_loss);
        nats += part_loss.nats;
    }
    for (size_t i = 0; i < whole.model->n_floats; ++i) {
        most = fmax(most, fabs((double)whole.grads[i]));
        worst = fmax(worst, fabs((double)whole.grads[i] - (double)parts.grads[i]));
    }
    CHECK(fabs(nats - loss.nats) <= 1e-9 * nats);
    CHECK(most > 0 && worst <= 1e-5 * most);
    setup_free(&whole);
    setup_free(&parts);
}

/* ---- use ---- */

/* Plain gradient descent on one batch: it must be learnt by heart. */
static void test_overfit(uint64_t seed) {
    static const shape s = {"overfit",           20, 32, 4, 2, 64, 2, 12, ISB_POSITION_ROPE,
                            ISB_ACTIVATION_SILU, 1,  0,  1};
    setup u = setup_create(&s, 2, seed, 0.15f);
    isb__graph *graph = NULL;
    isb__loss loss = {0};
    double first = 0;
    const isb__graph_options options = options_of(&s, 1);
    CHECK_OK(u.ctx, isb__graph_create(u.ctx, u.model, &options, &graph));
    for (int step = 0; step < 80; ++step) {
        memset(u.grads, 0, u.model->n_floats * sizeof *u.grads);
        CHECK_OK(u.ctx, isb__graph_backward(graph, &u.batch, 1.0f / 20, 0, u.grads, &loss));
        if (step == 0) first = loss.nats;
        for (size_t i = 0; i < u.model->n_floats; ++i) u.model->data[i] -= 0.3f * u.grads[i];
        isb__graph_weights_changed(graph);
    }
    printf("overfit: %.3f to %.3f nats\n", first, loss.nats);
    CHECK(loss.nats < 0.1 * first);
    isb__graph_free(graph);
    setup_free(&u);
}

static void test_misuse(uint64_t seed) {
    const shape *s = &shapes[0];
    setup u = setup_create(s, 2, seed, 0.3f);
    isb__graph *graph = NULL;
    isb__loss loss;
    const isb__graph_options options = options_of(s, 1), too_long = {.B = 1, .T = s->T + 4},
                             empty = {.T = s->T};
    CHECK_STATUS(isb__graph_create(u.ctx, u.model, &too_long, &graph), ISB_ERR_SHAPE);
    CHECK_STATUS(isb__graph_create(u.ctx, u.model, &empty, &graph), ISB_ERR_SHAPE);
    CHECK(graph == NULL);
    CHECK_OK(u.ctx, isb__graph_create(u.ctx, u.model, &options, &graph));
    u.inputs[s->T + 2] = (int32_t)s->V;
    CHECK_STATUS(isb__graph_forward(graph, &u.batch, NULL, &loss), ISB_ERR_RANGE);
    CHECK(strstr(isb_context_error(u.ctx), "row 1, token 2") != NULL);
    u.inputs[s->T + 2] = 0;
    u.targets[0] = -2;
    CHECK_STATUS(isb__graph_forward(graph, &u.batch, NULL, &loss), ISB_ERR_RANGE);
    u.targets[0] = -1;
    u.batch.starts = u.starts;
    u.starts[3] = 4;
    CHECK_STATUS(isb__graph_backward(graph, &u.batch, 1, 0, u.grads, &loss), ISB_ERR_RANGE);
    u.batch.starts = NULL;
    isb_context_cancel(u.ctx);
    CHECK_STATUS(isb__graph_backward(graph, &u.batch, 1, 0, u.grads, &loss), ISB_ERR_CANCELLED);
    isb_context_cancel_clear(u.ctx);
    CHECK_OK(u.ctx, isb__graph_backward(graph, &u.batch, 1, 0, u.grads, &loss));
    for (size_t i = 0; i < s->B * s->T; ++i) u.targets[i] = -1;
    memset(u.grads, 0, u.model->n_floats * sizeof *u.grads);
    CHECK_OK(u.ctx, isb__graph_backward(graph, &u.batch, 1, 0, u.grads, &loss));
    CHECK(loss.nats == 0 && loss.n_targets == 0);
    int all_zero = 1;
    for (size_t i = 0; i < u.model->n_floats; ++i) all_zero &= u.grads[i] == 0;
    CHECK(all_zero);
    isb__graph_free(graph);
    setup_free(&u);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        test_gradients(&shapes[i], seed + i);
        if (shapes[i].activation == ISB_ACTIVATION_SILU) test_close(&shapes[i], seed + i);
        test_recompute(&shapes[i], seed + i);
    }
    test_threads(seed);
    test_forward_only(seed);
    test_chunks(seed);
    test_overfit(seed);
    test_misuse(seed);
    return check_end();
}
