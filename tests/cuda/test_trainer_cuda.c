/* The trainer of src/cuda against the CPU's: the same weights, the same batches, and then losses,
 * gradients, the norm, and the weights after three steps.
 *
 * Compiled twice: against the emulation of CUDA beside this file, on every machine, and against the
 * real library, where there is a GPU (else it says that it was skipped).  The trainer's sources are
 * the same; the emulated matrix products stand for cuBLASLt.
 *
 * Gradients are read from the first moments: after one step from zero they are (1 - beta1) times
 * the gradient. */
#include <math.h>

#include "base/rng.h"
#include "check.h"
#include "train/trainer.h"
#ifdef ISB_CUDA_EMULATION
#include "emulation/emulation_control.h"
#else
#include "base/devices.h"
#endif

enum { SKIPPED = 77, STEPS = 3 };

/* bf16 has 8 bits: rounding is off by up to 2^-9 of a value, 2^-9 / sqrt(3) = 0.11% in the mean.
 * A gradient goes through some twenty roundings per layer, forward and back, which add up like
 * independent errors: to 1% or 2% of a tensor's norm in these models.  What they do not do is lean
 * to one side: the part of a gradient along the true one is right to a fraction of a percent, while
 * a token, a key or a term left out or counted twice takes away or adds percents of it. */
static const double GRADIENT_TOLERANCE = 0.04, LEAN_TOLERANCE = 0.01;
/* Of the mean nats per token, and of one token's: logits of size 1 off by 0.5%. */
static const double LOSS_TOLERANCE = 5e-3, TOKEN_TOLERANCE = 0.06;
static const double NORM_TOLERANCE = 0.01;
/* Of the change of a tensor's weights over the steps: each begins where the last has led. */
static const double UPDATE_TOLERANCE = 0.1;

typedef struct shape {
    const char *what;
    int64_t V, C, H, L, F;
    size_t B, T;
    isb_activation activation;
    int tie, documents, recompute, composed;
    /* Tolerances times this: few elements average little, and with relu a gate near 0 whose sign
     * rounding changes is a whole term more or less. */
    double noise;
} shape;

static const shape shapes[] = {
    {"silu, tied", 300, 64, 2, 2, 96, 2, 48, ISB_ACTIVATION_SILU, 1, 0, 0, 0, 1},
    {"untied, documents", 1000, 64, 2, 2, 128, 2, 48, ISB_ACTIVATION_SILU, 0, 1, 0, 0, 1},
    {"relu", 60, 64, 2, 1, 128, 2, 40, ISB_ACTIVATION_RELU, 1, 0, 0, 0, 3},
    {"several tiles, documents, recomputed", 101, 64, 1, 3, 64, 1, 200, ISB_ACTIVATION_SILU, 1, 1,
     1, 0, 1},
    {"several tiles, no documents, untied", 64, 64, 2, 1, 64, 2, 130, ISB_ACTIVATION_SILU, 0, 0, 0,
     0, 1},
    {"odd widths, recomputed", 7, 12, 2, 2, 20, 3, 5, ISB_ACTIVATION_RELU, 0, 0, 1, 0, 10},
    {"wide heads", 33, 96, 1, 1, 32, 1, 70, ISB_ACTIVATION_SILU, 1, 1, 0, 0, 1},
    {"one token", 2, 4, 1, 1, 4, 1, 1, ISB_ACTIVATION_SILU, 1, 0, 0, 0, 10},
    {"composed embeddings", 90, 32, 2, 1, 32, 2, 40, ISB_ACTIVATION_SILU, 1, 0, 0, 1, 1},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

typedef struct batches {
    int32_t *inputs, *targets, *starts;
    isb__batch batch[2]; /* two micro-batches */
} batches;

typedef struct run {
    isb_model *model;
    isb__trainer *trainer;
    isb__tensor_ref *states;
    float *begin; /* the weights before the first step */
} run;

static isb_context *ctx;
static isb__compose_map *map; /* of the shape at hand */

static float rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static isb_model_config config_of(const shape *s) {
    isb_model_config config;
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &config));
    config.vocab_size = s->V;
    config.hidden_size = s->C;
    config.n_heads = s->H;
    config.n_layers = s->L;
    config.intermediate_size = s->F;
    config.context_length = (int64_t)s->T + 3;
    config.rope_theta = 100; /* so that few positions turn all pairs visibly */
    config.activation = s->activation;
    config.tie_embeddings = s->tie;
    return config;
}

/* Weights that bf16 holds exactly, so that both trainers begin with the same. */
static isb_model *create_model(const shape *s, uint64_t seed) {
    isb__rng rng;
    isb_model *model = NULL;
    const isb_model_config config = config_of(s);
    CHECK_OK(ctx, isb__model_create(ctx, &config, &model));
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        const float mean = t->is_vector ? 1 : 0,
                    deviation = t->is_vector ? 0.2f : 1.0f / sqrtf((float)t->cols);
        for (size_t j = 0; j < t->count; ++j)
            model->data[t->offset + j] = rounded(mean + deviation * (float)isb__rng_normal(&rng));
    }
    return model;
}

static batches create_batches(const shape *s, uint64_t seed) {
    const size_t n = s->B * s->T;
    isb__rng rng;
    batches b = {calloc(2 * n, sizeof(int32_t)),
                 calloc(2 * n, sizeof(int32_t)),
                 calloc(2 * n, sizeof(int32_t)),
                 {{0}}};
    CHECK_FATAL(b.inputs && b.targets && b.starts);
    isb__rng_seed(&rng, seed + 1);
    int32_t start = 0;
    for (size_t i = 0; i < 2 * n; ++i) {
        if (i % s->T == 0)
            start = 0;
        else if (isb__rng_below(&rng, 20) == 0)
            start = (int32_t)(i % s->T);
        b.inputs[i] = (int32_t)isb__rng_below(&rng, (uint64_t)s->V);
        b.targets[i] = n > 1 && isb__rng_below(&rng, 5) == 0
                           ? -1
                           : (int32_t)isb__rng_below(&rng, (uint64_t)s->V);
        b.starts[i] = start;
    }
    for (size_t k = 0; k < 2; ++k)
        b.batch[k] = (isb__batch){b.inputs + k * n, b.targets + k * n,
                                  s->documents ? b.starts + k * n : NULL};
    return b;
}

static void free_batches(batches *b) {
    free(b->inputs);
    free(b->targets);
    free(b->starts);
}

/* Tokens of a few letters, which share many features; the last five have no string. */
static isb__compose_map *create_map(const shape *s, uint64_t seed) {
    enum { LONGEST = 6, N_FEATURES = 64 };
    const size_t n = (size_t)s->V - 5;
    uint64_t *begin = calloc(n + 1, sizeof *begin);
    uint8_t *bytes = malloc(n * LONGEST);
    isb__compose_map *made = NULL;
    isb__rng rng;
    CHECK_FATAL(begin && bytes);
    isb__rng_seed(&rng, seed + 2);
    for (size_t i = 0; i < n; ++i) {
        begin[i + 1] = begin[i] + 1 + isb__rng_below(&rng, LONGEST);
        for (uint64_t j = begin[i]; j < begin[i + 1]; ++j)
            bytes[j] = (uint8_t)('a' + isb__rng_below(&rng, 4));
    }
    CHECK_OK(ctx, isb__compose_map_create(ctx, (size_t)s->V, n, begin, bytes, N_FEATURES, &made));
    free(begin);
    free(bytes);
    return made;
}

/* eps is large enough that a step follows the size of a gradient, not its sign alone. */
static isb__trainer_options options_of(const shape *s, const char *device) {
    return (isb__trainer_options){
        .B = s->B,
        .T = s->T,
        .optimizer = {.kind = ISB_OPTIMIZER_ADAMW,
                      .beta1 = 0.9,
                      .beta2 = 0.95,
                      .eps = 1e-2,
                      .weight_decay = 0.1},
        .recompute = s->recompute,
        .compose = map,
        .device = device,
    };
}

static run create_run(const shape *s, const char *device, uint64_t seed) {
    run r = {.model = create_model(s, seed)};
    const isb__trainer_options options = options_of(s, device);
    const size_t nbytes = r.model->n_floats * sizeof(float);
    r.begin = malloc(nbytes);
    CHECK_FATAL(r.begin);
    memcpy(r.begin, r.model->data, nbytes);
    CHECK_OK(ctx, strcmp(device, "cpu") == 0
                      ? isb__trainer_cpu_create(ctx, r.model, &options, &r.trainer)
                      : isb__trainer_cuda_create(ctx, r.model, &options, &r.trainer));
    r.states = calloc(r.trainer->ops->n_states(r.trainer), sizeof *r.states);
    CHECK_FATAL(r.states);
    r.trainer->ops->states(r.trainer, r.states);
    return r;
}

static void free_run(run *r) {
    isb__trainer_free(r->trainer);
    isb_model_free(r->model);
    free(r->states);
    free(r->begin);
}

/* One step over both micro-batches; gives the loss. */
static isb__loss train_step(run *r, const batches *b, float scale, uint64_t step, double *norm) {
    const isb__trainer_ops *ops = r->trainer->ops;
    isb__loss total = {0};
    CHECK_OK(ctx, ops->begin(r->trainer));
    for (int k = 0; k < 2; ++k) {
        isb__loss loss;
        CHECK_OK(ctx, ops->backward(r->trainer, &b->batch[k], scale, 1e-2f, &loss));
        total.nats += loss.nats;
        total.z += loss.z;
        total.n_targets += loss.n_targets;
    }
    CHECK_OK(ctx, ops->reduce(r->trainer, norm));
    CHECK_OK(ctx, ops->step(r->trainer, 0.5, 0.02, step));
    return total;
}

/* Of x = a - a0 against y = b - b0: |x - y| / |y|, and how far the part of x along y is from y. */
typedef struct difference {
    double off, lean;
} difference;

static difference difference_of(size_t n, const float *a, const float *a0, const float *b,
                                const float *b0) {
    double off = 0, size = 0, along = 0;
    for (size_t i = 0; i < n; ++i) {
        const double x = (double)a[i] - (a0 ? (double)a0[i] : 0),
                     y = (double)b[i] - (b0 ? (double)b0[i] : 0);
        off += (x - y) * (x - y);
        size += y * y;
        along += (x - y) * y;
    }
    if (size == 0 || !isfinite(off)) return (difference){off == 0 ? 0 : INFINITY, 0};
    return (difference){sqrt(off / size), fabs(along / size)};
}

enum { GRADIENT, LEAN, LOSS, TOKEN, NORM, UPDATE, N_KINDS };
static const char *const kinds[] = {"gradient", "gradient along", "loss",
                                    "token",    "norm",           "update"};
static double worst_seen[N_KINDS], noise;

static void compare(int kind, double off, double tolerance, const char *what) {
    const double allowed = noise * tolerance;
    worst_seen[kind] = fmax(worst_seen[kind], off);
    if (!(off <= allowed))
        printf("%s, %s: off by %g, allowed %g\n", what, kinds[kind], off, allowed);
    CHECK(off <= allowed);
}

static void compare_gradients(const run *gpu, const run *cpu) {
    const size_t n = cpu->trainer->ops->n_states(cpu->trainer);
    CHECK_EQ(gpu->trainer->ops->n_states(gpu->trainer), n);
    for (size_t i = 0; i < n; ++i) {
        const isb__tensor_ref *a = &gpu->states[i], *b = &cpu->states[i];
        CHECK(strcmp(a->name, b->name) == 0 && a->rows == b->rows && a->cols == b->cols);
        if (strncmp(b->name, "first.", 6) != 0) continue;
        const difference d = difference_of(b->rows * b->cols, a->data, NULL, b->data, NULL);
        compare(GRADIENT, d.off, GRADIENT_TOLERANCE, b->name);
        compare(LEAN, d.lean, LEAN_TOLERANCE, b->name);
    }
}

static void compare_weights(const run *gpu, const run *cpu) {
    for (size_t i = 0; i < cpu->model->n_tensors; ++i) {
        const isb__tensor *t = &cpu->model->tensors[i];
        const difference d =
            difference_of(t->count, gpu->model->data + t->offset, gpu->begin + t->offset,
                          cpu->model->data + t->offset, cpu->begin + t->offset);
        compare(UPDATE, d.off, UPDATE_TOLERANCE, t->name);
    }
}

/* What is composed, which the table shows only together. */
static void compare_composed(const run *gpu, const run *cpu) {
    const size_t n = cpu->trainer->ops->n_states(cpu->trainer);
    for (size_t i = n - 2; i < n; ++i) {
        const isb__tensor_ref *a = &gpu->states[i], *b = &cpu->states[i];
        const difference d = difference_of(a->rows * a->cols, a->data, NULL, b->data, NULL);
        compare(UPDATE, d.off, UPDATE_TOLERANCE, b->name);
    }
}

static void compare_forward(const run *gpu, const run *cpu, const shape *s, const batches *b) {
    const size_t n = s->B * s->T;
    float *nats[2] = {calloc(n, sizeof(float)), calloc(n, sizeof(float))};
    isb__loss loss[2];
    CHECK_FATAL(nats[0] && nats[1]);
    for (int k = 0; k < 2; ++k) {
        isb__trainer *t = (k == 0 ? gpu : cpu)->trainer;
        CHECK_OK(ctx, t->ops->forward(t, &b->batch[0], nats[k], &loss[k]));
    }
    CHECK_EQ(loss[0].n_targets, loss[1].n_targets);
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
        compare(TOKEN, fabs((double)nats[0][i] - (double)nats[1][i]), TOKEN_TOLERANCE, "a token");
        CHECK(b->targets[i] >= 0 || nats[0][i] == 0);
        sum += (double)nats[0][i];
    }
    CHECK(fabs(sum - loss[0].nats) <= 1e-6 * sum);
    for (int k = 0; k < 2; ++k) free(nats[k]);
}

static void compare_losses(const isb__loss *gpu, const isb__loss *cpu) {
    const double n = (double)cpu->n_targets;
    CHECK_EQ(gpu->n_targets, cpu->n_targets);
    compare(LOSS, fabs(gpu->nats - cpu->nats) / n, LOSS_TOLERANCE * fmax(1, cpu->nats / n), "nats");
    compare(LOSS, fabs(gpu->z - cpu->z) / n, 4 * LOSS_TOLERANCE * fmax(1, cpu->z / n), "lse^2");
}

static void test_training(const shape *s, uint64_t seed) {
    map = s->composed ? create_map(s, seed) : NULL;
    run gpu = create_run(s, "cuda", seed), cpu = create_run(s, "cpu", seed);
    batches b = create_batches(s, seed);
    const float scale = 1.0f / (float)(s->B * s->T);
    printf("%s\n", s->what);
    noise = s->noise;
    memset(worst_seen, 0, sizeof worst_seen);
    compare_forward(&gpu, &cpu, s, &b);
    for (uint64_t step = 0; step < STEPS; ++step) {
        double norms[2];
        const isb__loss losses[2] = {train_step(&gpu, &b, scale, step, &norms[0]),
                                     train_step(&cpu, &b, scale, step, &norms[1])};
        compare_losses(&losses[0], &losses[1]);
        compare(NORM, fabs(norms[0] - norms[1]) / norms[1],
                step == 0 ? NORM_TOLERANCE : UPDATE_TOLERANCE, "all tensors");
        CHECK_OK(ctx, gpu.trainer->ops->pull(gpu.trainer));
        if (step == 0) compare_gradients(&gpu, &cpu);
    }
    compare_weights(&gpu, &cpu);
    if (s->composed) compare_composed(&gpu, &cpu);
    for (int i = 0; i < N_KINDS; ++i)
        printf("    %-15s off by up to %.5f\n", kinds[i], worst_seen[i]);
    free_batches(&b);
    free_run(&gpu);
    free_run(&cpu);
    isb__compose_map_free(map);
    map = NULL;
}

/* The state of one trainer, given to another, goes on to the same bits. */
static void test_resuming(uint64_t seed) {
    const shape *s = &shapes[1];
    run first = create_run(s, "cuda", seed), second = create_run(s, "cuda", seed + 1);
    batches b = create_batches(s, seed);
    const size_t nbytes = first.model->n_floats * sizeof(float),
                 n = first.trainer->ops->n_states(first.trainer);
    double norms[2];
    train_step(&first, &b, 0.01f, 0, &norms[0]);
    CHECK_OK(ctx, first.trainer->ops->pull(first.trainer));
    memcpy(second.model->data, first.model->data, nbytes);
    for (size_t i = 0; i < n; ++i)
        memcpy(second.states[i].data, first.states[i].data,
               first.states[i].rows * first.states[i].cols * sizeof(float));
    CHECK_OK(ctx, second.trainer->ops->push(second.trainer));
    const isb__loss a = train_step(&first, &b, 0.01f, 1, &norms[0]);
#ifdef ISB_CUDA_EMULATION
    emulation_reverse(1); /* no order of threads may matter */
#endif
    const isb__loss c = train_step(&second, &b, 0.01f, 1, &norms[1]);
#ifdef ISB_CUDA_EMULATION
    emulation_reverse(0);
#endif
    CHECK(a.nats == c.nats && a.z == c.z && norms[0] == norms[1]);
    CHECK_OK(ctx, first.trainer->ops->pull(first.trainer));
    CHECK_OK(ctx, second.trainer->ops->pull(second.trainer));
    CHECK(memcmp(first.model->data, second.model->data, nbytes) == 0);
    free_batches(&b);
    free_run(&first);
    free_run(&second);
}

/* Keeping less changes memory, not one bit of the result. */
static void test_recompute(uint64_t seed) {
    shape s = shapes[3];
    double norms[2];
    uint64_t host, device[2];
    s.recompute = 0;
    run kept = create_run(&s, "cuda", seed);
    s.recompute = 1;
    run again = create_run(&s, "cuda", seed);
    batches b = create_batches(&s, seed);
    train_step(&kept, &b, 0.01f, 0, &norms[0]);
    train_step(&again, &b, 0.01f, 0, &norms[1]);
    CHECK(norms[0] == norms[1]);
    kept.trainer->ops->memory(kept.trainer, &host, &device[0]);
    again.trainer->ops->memory(again.trainer, &host, &device[1]);
    CHECK(device[1] < device[0]);
    free_batches(&b);
    free_run(&kept);
    free_run(&again);
}

/* ---- what a caller can get wrong ---- */

static isb_status try_create(const shape *s, const isb__trainer_options *options,
                             isb_position position) {
    isb_model_config config = config_of(s);
    isb_model *model = NULL;
    isb__trainer *trainer = NULL;
    config.position = position;
    CHECK_OK(ctx, isb__model_create(ctx, &config, &model));
    const isb_status status = isb__trainer_cuda_create(ctx, model, options, &trainer);
    CHECK((status == ISB_OK) == (trainer != NULL));
    isb__trainer_free(trainer);
    isb_model_free(model);
    return status;
}

static void test_refusals(void) {
    shape s = shapes[0];
    isb__trainer_options options = options_of(&s, "cuda");
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_OK);
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_T5), ISB_ERR_UNSUPPORTED);
    options.device = "cuda:0";
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_OK);
    options.device = "cuda:99";
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_ERR_UNSUPPORTED);
    options.device = "cuda:x";
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_ERR_ARGUMENT);
    options = options_of(&s, "cuda");
    options.optimizer.kind = ISB_OPTIMIZER_ADAFACTOR;
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_ERR_UNSUPPORTED);
    options = options_of(&s, "cuda");
    options.T = s.T + 100;
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_ERR_SHAPE);
    map = create_map(&s, 1);
    options = options_of(&s, "cuda");
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_OK);
    s.tie = 0;
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_ERR_UNSUPPORTED);
    s.tie = 1;
    s.V += 1;
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_ERR_MISMATCH);
    isb__compose_map_free(map);
    map = NULL;
    s.H = 1;
    s.C = 132;
    options = options_of(&s, "cuda");
    CHECK_STATUS(try_create(&s, &options, ISB_POSITION_ROPE), ISB_ERR_UNSUPPORTED);
}

static void test_bad_batch(uint64_t seed) {
    const shape *s = &shapes[0];
    run r = create_run(s, "cuda", seed);
    batches b = create_batches(s, seed);
    isb__loss loss;
    b.inputs[3] = (int32_t)s->V;
    CHECK_STATUS(r.trainer->ops->backward(r.trainer, &b.batch[0], 1, 0, &loss), ISB_ERR_RANGE);
    b.inputs[3] = 0;
    b.starts[5] = 6;
    b.batch[0].starts = b.starts;
    CHECK_STATUS(r.trainer->ops->forward(r.trainer, &b.batch[0], NULL, &loss), ISB_ERR_RANGE);
    b.starts[5] = 5;
    CHECK_STATUS(r.trainer->ops->forward(r.trainer, &b.batch[0], NULL, &loss), ISB_OK);
    free_batches(&b);
    free_run(&r);
}

#ifdef ISB_CUDA_EMULATION
/* Too little memory is told before anything runs; a failing device, after. */
static void test_failures(uint64_t seed) {
    const shape *s = &shapes[0];
    const isb__trainer_options options = options_of(s, "cuda");
    batches b = create_batches(s, seed);
    isb__loss loss;
    double norm;
    for (size_t mib = 0; mib < 70; mib += 23) {
        emulation_set_memory(mib << 20);
        CHECK_STATUS(try_create(s, &options, ISB_POSITION_ROPE),
                     mib < 69 ? ISB_ERR_NO_MEMORY : ISB_OK);
        CHECK_EQ(emulation_allocated(), 0);
    }
    emulation_set_memory((size_t)1 << 30);
    run r = create_run(s, "cuda", seed);
    emulation_break(1);
    CHECK_STATUS(r.trainer->ops->backward(r.trainer, &b.batch[0], 1, 0, &loss), ISB_ERR_DEVICE);
    emulation_break(0);
    CHECK_STATUS(r.trainer->ops->reduce(r.trainer, &norm), ISB_ERR_DEVICE); /* for good */
    free_run(&r);
    free_batches(&b);
    CHECK_EQ(emulation_allocated(), 0);
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

#ifdef ISB_CUDA_EMULATION
/* ---- several ranks, under mpirun; MPI stands for NCCL ---- */

static isb__comm *comm;

static size_t *equal_parts(size_t part) {
    const size_t size = (size_t)isb__comm_size(comm);
    size_t *parts = malloc((size + 1) * sizeof *parts);
    CHECK_FATAL(parts);
    for (size_t r = 0; r <= size; ++r) parts[r] = r * part;
    return parts;
}

static int sum_over_ranks(size_t part, float *x) {
    size_t *parts = equal_parts(part);
    const isb_status status = isb__comm_reduce_scatter_f32(comm, parts, x);
    free(parts);
    return status != ISB_OK;
}

static int gather_from_ranks(size_t part, float *x) {
    size_t *parts = equal_parts(part);
    const isb_status status = isb__comm_all_gather_f32(comm, parts, x);
    free(parts);
    return status != ISB_OK;
}

/* Two steps in which rank r has the micro-batch r, or one process has both; the state goes to the
 * host and back after each. */
static void train_ranks(const shape *s, const batches *b, isb__comm *among, isb_model *model) {
    isb__trainer_options options = options_of(s, "cuda");
    isb__trainer *t = NULL;
    isb__loss loss;
    double norm;
    options.comm = among;
    CHECK_OK(ctx, isb__trainer_cuda_create(ctx, model, &options, &t));
    const isb__trainer_ops *ops = t->ops;
    for (uint64_t step = 0; step < 2; ++step) {
        CHECK_OK(ctx, ops->begin(t));
        for (int k = 0; k < 2; ++k) {
            if (!among || isb__comm_rank(among) == k)
                CHECK_OK(ctx, ops->backward(t, &b->batch[k], 0.01f, 0, &loss));
        }
        CHECK_OK(ctx, ops->reduce(t, &norm));
        CHECK_OK(ctx, ops->step(t, 1, 0.02, step));
        /* there and back */
        CHECK_OK(ctx, ops->pull(t));
        CHECK_OK(ctx, ops->push(t));
    }
    CHECK_OK(ctx, ops->pull(t));
    printf("norm %.6f\n", norm);
    isb__trainer_free(t);
}

/* All the same as with one process, but for the order of two additions. */
static void test_ranks(const shape *s, uint64_t seed) {
    map = s->composed ? create_map(s, seed) : NULL;
    batches b = create_batches(s, seed);
    isb_model *alone = create_model(s, seed), *together = create_model(s, seed),
              *begin = create_model(s, seed);
    emulation_set_collectives(sum_over_ranks, gather_from_ranks);
    train_ranks(s, &b, NULL, alone);
    train_ranks(s, &b, comm, together);
    for (size_t i = 0; i < alone->n_tensors; ++i) {
        const isb__tensor *t = &alone->tensors[i];
        const difference d =
            difference_of(t->count, together->data + t->offset, begin->data + t->offset,
                          alone->data + t->offset, begin->data + t->offset);
        if (d.off > 2e-3) printf("%s: off by %g\n", t->name, d.off);
        CHECK(d.off <= 2e-3);
    }
    isb_model_free(alone);
    isb_model_free(together);
    isb_model_free(begin);
    free_batches(&b);
    isb__compose_map_free(map);
    map = NULL;
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
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
#ifdef ISB_CUDA_EMULATION
    CHECK_OK(ctx, isb__comm_open(ctx, &comm));
    if (isb__comm_size(comm) > 1) {
        test_ranks(&shapes[1], seed);
        test_ranks(&shapes[N_SHAPES - 1], seed);
        isb__comm_close(comm);
        isb_context_free(ctx);
        return check_end();
    }
    isb__comm_close(comm);
#endif
    for (int i = 0; i < N_SHAPES; ++i) test_training(&shapes[i], seed + (uint64_t)i);
    test_resuming(seed);
    test_recompute(seed);
    test_refusals();
    test_bad_batch(seed);
#ifdef ISB_CUDA_EMULATION
    test_failures(seed);
#endif
    isb_context_free(ctx);
    return check_end();
}
