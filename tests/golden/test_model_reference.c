/* The model against results of another program: scripts/reference_tensors.py (NumPy, float64)
 * wrote model_reference.txt. Compared are every gradient's norm, sum and some entries, the loss
 * of each token, logits of the inference engine, and ten losses of training with AdamW. */
#include <math.h>

#include "check.h"
#include "kernels/ops.h"
#include "nn/engine.h"
#include "nn/graph.h"

static isb_context *ctx;
static FILE *file;

static double number(void) {
    double x = 0;
    CHECK_FATAL(fscanf(file, "%lf", &x) == 1);
    return x;
}

static void word(const char *expected) {
    char text[64] = "";
    CHECK_FATAL(fscanf(file, "%63s", text) == 1);
    if (strcmp(text, expected) != 0) printf("found %s, expected %s\n", text, expected);
    CHECK_FATAL(strcmp(text, expected) == 0);
}

/* Float32 against float64: 1e-5 of the values' size, which is some tens of roundings. */
static void near_to(double found, double expected, double size, const char *what) {
    const double error = fabs(found - expected);
    if (error > 1e-5 * size) printf("%s: %.9g, expected %.9g\n", what, found, expected);
    CHECK(error <= 1e-5 * size);
}

/* ---- the formulas of the script ---- */

static float formula(size_t k, size_t i, double mean, double amplitude) {
    const double v = sin(12.9898 * (double)(i + 1) + 78.233 * (double)(k + 1)) * 43758.5453;
    return (float)(mean + amplitude * (2 * (v - floor(v)) - 1));
}

typedef struct one_model {
    isb_model *model;
    isb__graph *graph;
    size_t B, T;
    int32_t inputs[64], targets[64], starts[64];
    isb__batch batch;
    float *grads, *m, *v;
} one_model;

static void fill_batch(one_model *x, int documents) {
    const size_t V = (size_t)x->model->config.vocab_size;
    CHECK_FATAL(x->B * x->T <= 64);
    for (size_t b = 0; b < x->B; ++b) {
        for (size_t t = 0; t < x->T; ++t) {
            const size_t i = b * x->T + t, next = t + 1;
            x->inputs[i] = (int32_t)((5 * b + 7 * t + t * t) % V);
            x->targets[i] = (b + t) % 5 == 4 ? -1 : (int32_t)((5 * b + 7 * next + next * next) % V);
            x->starts[i] = documents ? (int32_t)(t - t % 8) : 0;
        }
    }
    x->batch = (isb__batch){x->inputs, x->targets, documents ? x->starts : NULL};
}

/* The rest of a "model" line. */
static one_model read_model(int *documents) {
    one_model x = {0};
    isb_model_config c;
    char name[64];
    CHECK_FATAL(fscanf(file, "%63s", name) == 1);
    printf("%s\n", name);
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &c));
    c.vocab_size = (int64_t)number();
    c.hidden_size = (int64_t)number();
    c.n_heads = (int64_t)number();
    c.n_layers = (int64_t)number();
    c.intermediate_size = (int64_t)number();
    x.T = (size_t)number();
    x.B = (size_t)number();
    c.context_length = (int64_t)x.T;
    c.position = number() != 0 ? ISB_POSITION_T5 : ISB_POSITION_ROPE;
    c.activation = number() != 0 ? ISB_ACTIVATION_RELU : ISB_ACTIVATION_SILU;
    c.tie_embeddings = (int)number();
    *documents = (int)number();
    c.rope_theta = number();
    c.norm_eps = number();
    const isb__graph_options options = {.B = x.B, .T = x.T, .training = 1, .use_exact = 1};
    CHECK_OK(ctx, isb__model_create(ctx, &c, &x.model));
    CHECK_OK(ctx, isb__graph_create(ctx, x.model, &options, &x.graph));
    float **blocks[] = {&x.grads, &x.m, &x.v};
    for (int i = 0; i < 3; ++i)
        CHECK_OK(ctx, isb__alloc_array(ctx, x.model->n_floats, sizeof(float), blocks[i]));
    return x;
}

static void free_model(one_model *x) {
    isb__free(ctx, x->grads);
    isb__free(ctx, x->m);
    isb__free(ctx, x->v);
    isb__graph_free(x->graph);
    isb_model_free(x->model);
}

/* ---- comparisons ---- */

static isb__tensor *find_tensor(const one_model *x, const char *name) {
    for (size_t i = 0; i < x->model->n_tensors; ++i) {
        if (strcmp(x->model->tensors[i].name, name) == 0) return &x->model->tensors[i];
    }
    printf("no tensor %s\n", name);
    CHECK_FATAL(0);
    return NULL;
}

/* "tensor" lines stand before the loss, weights first: two passes over them. */
static void read_tensors(one_model *x, int compare) {
    for (size_t k = 0; k < x->model->n_tensors; ++k) {
        char name[96];
        word("tensor");
        CHECK_FATAL(fscanf(file, "%95s", name) == 1);
        const isb__tensor *t = find_tensor(x, name);
        CHECK_EQ(t->rows, (size_t)number());
        CHECK_EQ(t->cols, (size_t)number());
        const double mean = number(), amplitude = number(), norm = number(), sum = number();
        const size_t n = (size_t)number();
        const float *g = x->grads + t->offset;
        for (size_t i = 0; i < n; ++i) {
            const size_t at = (size_t)number();
            const double expected = number();
            if (compare) near_to((double)g[at], expected, norm, name);
        }
        if (!compare) {
            for (size_t i = 0; i < t->count; ++i)
                x->model->data[t->offset + i] = formula(k, i, mean, amplitude);
            continue;
        }
        double found_norm = 0, found_sum = 0;
        for (size_t i = 0; i < t->count; ++i) {
            found_norm += (double)g[i] * (double)g[i];
            found_sum += (double)g[i];
        }
        near_to(sqrt(found_norm), norm, norm, name);
        near_to(found_sum, sum, norm * sqrt((double)t->count), name);
    }
}

static void compare_loss(one_model *x, const isb__loss *loss) {
    near_to(loss->nats, number(), loss->nats, "nats");
    near_to(loss->z, number(), loss->z, "z");
    word("token_nats");
    CHECK_EQ((size_t)number(), x->B * x->T);
    float nats[64];
    isb__loss again;
    CHECK_OK(ctx, isb__graph_forward(x->graph, &x->batch, nats, &again));
    for (size_t i = 0; i < x->B * x->T; ++i) near_to((double)nats[i], number(), 10, "token loss");
}

typedef struct logits_row {
    double values[64];
    size_t V;
    int n_rows;
} logits_row;

static void keep_row(void *user, size_t request, size_t row, const float *logits) {
    logits_row *kept = user;
    (void)request, (void)row;
    for (size_t i = 0; i < kept->V; ++i) kept->values[i] = (double)logits[i];
    ++kept->n_rows;
}

static void compare_logits(const one_model *x) {
    word("logits");
    const size_t b = (size_t)number(), t = (size_t)number(), V = (size_t)number();
    logits_row kept = {.V = V};
    CHECK_FATAL(V <= 64 && (int64_t)V == x->model->config.vocab_size);
    isb__engine *engine = NULL;
    CHECK_OK(ctx, isb__engine_create(ctx, x->model, 1, 0, &engine));
    const isb__engine_request request = {0, 1, x->inputs + b * x->T, t + 1, 1};
    CHECK_OK(ctx, isb__engine_evaluate(engine, 1, &request, keep_row, &kept));
    CHECK_EQ(kept.n_rows, 1);
    for (size_t i = 0; i < V; ++i) near_to(kept.values[i], number(), 3, "logit");
    isb__engine_free(engine);
}

/* Ten steps amplify rounding: AdamW's first steps move every parameter by lr, however small its
 * gradient. */
static void compare_training(one_model *x, double z_weight) {
    word("training");
    const double lr = number(), beta1 = number(), beta2 = number(), eps = number(),
                 decay = number();
    const int n_steps = (int)number();
    const isb__ops *ops = isb__ops_for(ctx->cpu);
    for (int step = 1; step <= n_steps; ++step) {
        isb__loss loss;
        const double expected = number();
        int n_targets = 0;
        for (size_t i = 0; i < x->B * x->T; ++i) n_targets += x->targets[i] >= 0;
        memset(x->grads, 0, x->model->n_floats * sizeof *x->grads);
        CHECK_OK(ctx, isb__graph_backward(x->graph, &x->batch, 1.0f / (float)n_targets,
                                          (float)z_weight, x->grads, &loss));
        near_to(loss.nats / n_targets, expected, 5 * expected, "training loss");
        const float c1 = (float)(1 / (1 - pow(beta1, step))),
                    c2 = (float)(1 / (1 - pow(beta2, step)));
        for (size_t i = 0; i < x->model->n_tensors; ++i) {
            const isb__tensor *t = &x->model->tensors[i];
            ops->adamw(t->count, x->model->data + t->offset, x->grads + t->offset, x->m + t->offset,
                       x->v + t->offset, 1, (float)lr, (float)beta1, (float)beta2, c1, c2,
                       (float)eps, t->decay ? (float)decay : 0);
        }
        isb__graph_weights_changed(x->graph);
    }
}

static void test_model(void) {
    int documents;
    one_model x = read_model(&documents);
    const long tensors_at = ftell(file);
    read_tensors(&x, 0);
    fill_batch(&x, documents);
    word("loss");
    const double z_weight = number();
    isb__loss loss;
    CHECK_OK(ctx, isb__graph_backward(x.graph, &x.batch, 1, (float)z_weight, x.grads, &loss));
    CHECK_FATAL(fseek(file, tensors_at, SEEK_SET) == 0);
    read_tensors(&x, 1);
    word("loss");
    (void)number();
    compare_loss(&x, &loss);
    if (!documents) compare_logits(&x);
    compare_training(&x, z_weight);
    free_model(&x);
}

int main(int argc, char **argv) {
    (void)check_begin(argc, argv);
    const char *folder = getenv("ISB_GOLDEN");
    char path[1024], text[64];
    snprintf(path, sizeof path, "%s/model_reference.txt", folder ? folder : "tests/golden");
    file = fopen(path, "r");
    CHECK_FATAL(file != NULL);
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    word("isobit-model-reference");
    CHECK_EQ((int)number(), 1);
    int n_models = 0;
    for (; fscanf(file, "%63s", text) == 1; ++n_models) {
        CHECK_FATAL(strcmp(text, "model") == 0);
        test_model();
    }
    CHECK_EQ(n_models, 2);
    isb_context_free(ctx);
    fclose(file);
    return check_end();
}
