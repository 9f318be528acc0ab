/* AdamW and Adafactor against plain double-precision references; the same bits whatever the
 * thread count. */
#include "train/optimizer.h"

#include <math.h>

#include "base/rng.h"
#include "check.h"

enum { N_STEPS = 4 };

/* Sides on both sides of 128, so that some matrices are factored; vectors; a bias table. */
static isb_model_config small_config(void) {
    isb_model_config c = {.struct_size = sizeof c};
    c.vocab_size = 1031;
    c.hidden_size = 128;
    c.n_layers = 1;
    c.n_heads = 4;
    c.intermediate_size = 96;
    c.context_length = 16;
    c.rope_theta = 10000;
    c.norm_eps = 1e-6;
    c.position = ISB_POSITION_T5;
    return c;
}

/* A gradient with some rows and one whole tensor at zero, as embeddings of unseen ids have. */
static void random_grads(const isb_model *model, isb__rng *rng, float *grads) {
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        for (size_t k = 0; k < t->count; ++k) {
            const int zero = i == 2 || (k / t->cols) % 7 == 3;
            grads[t->offset + k] = zero ? 0.0f : (float)(isb__rng_normal(rng) * 0.1);
        }
    }
}

typedef struct reference {
    double *p, *m, *v, *row, *col;
} reference;

static void reference_adamw(const isb__tensor *t, reference *r, const float *g, double gscale,
                            double lr, int step, const isb__optimizer_options *o) {
    for (size_t i = 0; i < t->count; ++i) {
        const double grad = (double)g[i] * gscale;
        r->m[i] = o->beta1 * r->m[i] + (1 - o->beta1) * grad;
        r->v[i] = o->beta2 * r->v[i] + (1 - o->beta2) * grad * grad;
        const double m = r->m[i] / (1 - pow(o->beta1, step + 1)),
                     v = r->v[i] / (1 - pow(o->beta2, step + 1));
        r->p[i] -= lr * (m / (sqrt(v) + o->eps) + (t->decay ? o->weight_decay : 0) * r->p[i]);
    }
}

static double root_mean_square(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += x[i] * x[i];
    return sqrt(sum / (double)n);
}

static void reference_second_moment(const isb__tensor *t, reference *r, const float *g,
                                    double gscale, double d, double *u) {
    const int factored = !t->is_vector && t->rows >= 128 && t->cols >= 128;
    double mean_row = 0;
    for (size_t i = 0; factored && i < t->rows; ++i) {
        double sum = 0;
        for (size_t j = 0; j < t->cols; ++j)
            sum += pow((double)g[i * t->cols + j] * gscale, 2) + 1e-30;
        r->row[i] = d * r->row[i] + (1 - d) * sum / (double)t->cols;
        mean_row += r->row[i] / (double)t->rows;
    }
    for (size_t j = 0; factored && j < t->cols; ++j) {
        double sum = 0;
        for (size_t i = 0; i < t->rows; ++i)
            sum += pow((double)g[i * t->cols + j] * gscale, 2) + 1e-30;
        r->col[j] = d * r->col[j] + (1 - d) * sum / (double)t->rows;
    }
    for (size_t k = 0; k < t->count; ++k) {
        const double grad = (double)g[k] * gscale;
        r->v[k] = d * r->v[k] + (1 - d) * (grad * grad + 1e-30);
        u[k] = factored ? grad / sqrt(r->row[k / t->cols] / mean_row) / sqrt(r->col[k % t->cols])
                        : grad / sqrt(r->v[k]);
    }
}

static void reference_adafactor(const isb__tensor *t, reference *r, const float *g, double gscale,
                                double lr, int step, const isb__optimizer_options *o) {
    double *u = calloc(t->count, sizeof *u);
    reference_second_moment(t, r, g, gscale, 1 - pow(step + 1, -0.8), u);
    const double clip = fmax(1, root_mean_square(u, t->count)),
                 scale = fmax(root_mean_square(r->p, t->count), 1e-3);
    for (size_t k = 0; k < t->count; ++k) {
        r->p[k] -= lr * scale / clip * u[k] + lr * (t->decay ? o->weight_decay : 0) * r->p[k];
    }
    free(u);
}

static reference *make_references(const isb_model *model) {
    reference *r = calloc(model->n_tensors, sizeof *r);
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        r[i].p = calloc(t->count, sizeof(double));
        r[i].m = calloc(t->count, sizeof(double));
        r[i].v = calloc(t->count, sizeof(double));
        r[i].row = calloc(t->rows, sizeof(double));
        r[i].col = calloc(t->cols, sizeof(double));
        for (size_t k = 0; k < t->count; ++k) r[i].p[k] = (double)model->data[t->offset + k];
    }
    return r;
}

static void free_references(reference *r, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        free(r[i].p);
        free(r[i].m);
        free(r[i].v);
        free(r[i].row);
        free(r[i].col);
    }
    free(r);
}

static isb_status create_optimizer(isb_context *ctx, const isb_model *model, float *grads,
                                   const isb__optimizer_options *options,
                                   isb__optimizer **optimizer) {
    isb__param *params = calloc(model->n_tensors, sizeof *params);
    isb__params_of_model(model, grads, params);
    const isb_status status =
        isb__optimizer_create(ctx, model->n_tensors, params, options, optimizer);
    free(params);
    return status;
}

/* N_STEPS steps on random gradients; `compare`: after each, parameters against the reference,
 * relative to the largest change so far: float32 with about ten rounded operations a step, so
 * 1e-5 of it plus an ulp of the parameter. */
static void run(isb_context *ctx, uint64_t seed, const isb__optimizer_options *options, int compare,
                isb_model **result) {
    const isb_model_config config = small_config();
    isb_model *model;
    isb__optimizer *optimizer;
    CHECK_OK(ctx, isb__model_create(ctx, &config, &model));
    isb__model_init_weights(model, seed);
    float *grads = calloc(model->n_floats, sizeof *grads);
    CHECK_OK(ctx, create_optimizer(ctx, model, grads, options, &optimizer));
    CHECK(isb__optimizer_nbytes(optimizer) > 0);
    reference *r = make_references(model);
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    const double lr = 0.01, gscale = 0.7;
    for (int step = 0; step < N_STEPS; ++step) {
        random_grads(model, &rng, grads);
        CHECK_OK(ctx, isb__optimizer_step(optimizer, gscale, lr, (uint64_t)step));
        for (size_t i = 0; compare && i < model->n_tensors; ++i) {
            const isb__tensor *t = &model->tensors[i];
            (options->kind == ISB_OPTIMIZER_ADAMW ? reference_adamw : reference_adafactor)(
                t, &r[i], grads + t->offset, gscale, lr, step, options);
            double worst = 0;
            for (size_t k = 0; k < t->count; ++k) {
                const double p = (double)model->data[t->offset + k];
                worst = fmax(worst, fabs(p - r[i].p[k]) / (1e-5 * lr + 2e-7 * fabs(p)));
            }
            char text[160];
            snprintf(text, sizeof text, "%s, step %d: %.3g of the tolerance", t->name, step, worst);
            check_report(worst <= (double)(step + 1), __FILE__, __LINE__, "parameters",
                         worst <= (double)(step + 1) ? "" : text);
        }
    }
    free_references(r, model->n_tensors);
    free(grads);
    isb__optimizer_free(optimizer);
    *result = model;
}

static isb_context *context_of(int n_threads) {
    isb_context_options options;
    isb_context *ctx = NULL;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    return ctx;
}

static void test_kind(isb_context *one, isb_context *three, uint64_t seed, isb_optimizer kind,
                      double weight_decay) {
    const isb__optimizer_options options = {kind, 0.9, 0.95, 1e-8, weight_decay, NULL, 0};
    isb_model *a, *b;
    run(one, seed, &options, 1, &a);
    run(three, seed, &options, 0, &b);
    CHECK(memcmp(a->data, b->data, a->n_floats * sizeof(float)) == 0);
    isb_model_free(a);
    isb_model_free(b);
}

static void test_norm_and_zero(isb_context *one, isb_context *three, uint64_t seed) {
    const isb_model_config config = small_config();
    const isb__optimizer_options options = {ISB_OPTIMIZER_ADAFACTOR, 0.9, 0.95, 1e-8, 0, NULL, 0};
    isb_context *contexts[] = {one, three};
    double norms[2], expected = 0;
    for (int k = 0; k < 2; ++k) {
        isb_model *model;
        isb__optimizer *optimizer;
        CHECK_OK(contexts[k], isb__model_create(contexts[k], &config, &model));
        float *grads = calloc(model->n_floats, sizeof *grads);
        CHECK_OK(contexts[k], create_optimizer(contexts[k], model, grads, &options, &optimizer));
        isb__rng rng;
        isb__rng_seed(&rng, seed);
        random_grads(model, &rng, grads);
        CHECK_OK(contexts[k], isb__optimizer_reduce(optimizer, &norms[k]));
        for (size_t i = 0; k == 0 && i < model->n_floats; ++i)
            expected += (double)grads[i] * (double)grads[i];
        isb__optimizer_zero(optimizer);
        double none = 1;
        CHECK_OK(contexts[k], isb__optimizer_reduce(optimizer, &none));
        CHECK(none == 0);
        free(grads);
        isb__optimizer_free(optimizer);
        isb_model_free(model);
    }
    CHECK(norms[0] == norms[1]);
    CHECK(fabs(norms[0] - sqrt(expected)) <= 1e-6 * sqrt(expected));
}

/* A rate of 4 is four times the learning rate, and the decay that there was. */
static void test_rate(isb_context *ctx, uint64_t seed, isb_optimizer kind) {
    enum { ROWS = 150, COLS = 130, COUNT = ROWS * COLS };
    static float data[2][COUNT], grad[COUNT];
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < COUNT; ++i) {
        data[0][i] = data[1][i] = (float)isb__rng_normal(&rng);
        grad[i] = (float)isb__rng_normal(&rng);
    }
    for (int k = 0; k < 2; ++k) {
        const isb__optimizer_options options = {kind, 0.9, 0.95, 1e-8, k ? 0.1 : 0.1 / 4, NULL, 0};
        const isb__param param = {.name = "table",
                                  .rows = ROWS,
                                  .cols = COLS,
                                  .decay = 1,
                                  .rate = k ? 4 : 0,
                                  .data = data[k],
                                  .grad = grad};
        isb__optimizer *optimizer;
        CHECK_OK(ctx, isb__optimizer_create(ctx, 1, &param, &options, &optimizer));
        for (uint64_t step = 0; step < 3; ++step)
            CHECK_OK(ctx, isb__optimizer_step(optimizer, 1, k ? 1e-2 : 4e-2, step));
        isb__optimizer_free(optimizer);
    }
    double worst = 0;
    for (size_t i = 0; i < COUNT; ++i)
        worst = fmax(worst, fabs((double)data[0][i] - (double)data[1][i]));
    CHECK(worst < 1e-5); /* steps are 0.04 */
}

/* The state's names are distinct, and it holds what each kind needs: two numbers per parameter,
 * or far fewer. */
static void test_state(isb_context *ctx, isb_optimizer kind) {
    const isb_model_config config = small_config();
    const isb__optimizer_options options = {kind, 0.9, 0.95, 1e-8, 0, NULL, 0};
    isb_model *model;
    isb__optimizer *optimizer;
    CHECK_OK(ctx, isb__model_create(ctx, &config, &model));
    float *grads = calloc(model->n_floats, sizeof *grads);
    CHECK_OK(ctx, create_optimizer(ctx, model, grads, &options, &optimizer));
    const size_t n = isb__optimizer_n_tensors(optimizer);
    isb__tensor_ref *refs = calloc(n, sizeof *refs);
    isb__optimizer_tensors(optimizer, refs);
    size_t count = 0, n_params = 0;
    for (size_t i = 0; i < n; ++i) {
        count += refs[i].rows * refs[i].cols;
        for (size_t k = 0; k < i; ++k) CHECK(strcmp(refs[i].name, refs[k].name) != 0);
    }
    for (size_t i = 0; i < model->n_tensors; ++i) n_params += model->tensors[i].count;
    if (kind == ISB_OPTIMIZER_ADAMW) CHECK_EQ(count, 2 * n_params);
    if (kind == ISB_OPTIMIZER_ADAFACTOR) CHECK(count < n_params / 4);
    free(refs);
    free(grads);
    isb__optimizer_free(optimizer);
    isb_model_free(model);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    isb_context *one = context_of(1), *three = context_of(3);
    test_kind(one, three, seed, ISB_OPTIMIZER_ADAMW, 0.1);
    test_rate(one, seed, ISB_OPTIMIZER_ADAMW);
    test_rate(one, seed, ISB_OPTIMIZER_ADAFACTOR);
    test_kind(one, three, seed, ISB_OPTIMIZER_ADAFACTOR, 0);
    test_kind(one, three, seed, ISB_OPTIMIZER_ADAFACTOR, 0.1);
    test_norm_and_zero(one, three, seed);
    test_state(one, ISB_OPTIMIZER_ADAMW);
    test_state(one, ISB_OPTIMIZER_ADAFACTOR);
    isb_context_free(one);
    isb_context_free(three);
    return check_end();
}
