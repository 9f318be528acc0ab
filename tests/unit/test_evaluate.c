/* Evaluation: a model that knows nothing costs log2 V a target; each target is scored once
 * whatever the stride; packing changes nothing; the formulas, worked out by hand. */
#include <isobit/isobit.h>

#include <math.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "check.h"
#include "nn/checkpoint.h"
#include "train/score.h"

static char root[64];

static const char *at(const char *name) {
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void check_close(double actual, double expected, double tolerance, int line) {
    const int ok = fabs(actual - expected) <= tolerance * fabs(expected);
    char text[80];
    snprintf(text, sizeof text, "got %.12g, expected %.12g", actual, expected);
    check_report(ok, __FILE__, line, "value", ok ? "" : text);
}
#define CLOSE(actual, expected, tolerance) check_close(actual, expected, tolerance, __LINE__)

enum { T = 16 };

/* random == 0: all parameters are 0, so every id is as probable as any other. */
static isb_model *make_model(isb_context *ctx, int random, uint64_t seed) {
    isb_model_config c = {
        .struct_size = sizeof c, .vocab_size = 257, .hidden_size = 32, .n_layers = 2, .n_heads = 2};
    c.intermediate_size = 48;
    c.context_length = T;
    c.rope_theta = 10000;
    c.norm_eps = 1e-6;
    isb_model *model;
    CHECK_OK(ctx, isb__model_create(ctx, &c, &model));
    if (random) {
        isb__model_init_weights(model, seed);
        for (size_t i = 0; i < model->n_floats; ++i)
            model->data[i] *= 4; /* so that the context matters */
    }
    strcpy(model->tokenizer, "bytes");
    return model;
}

static void save_model(isb_context *ctx, isb_model *model, const char *dir) {
    CHECK_OK(ctx, isb__dir_create(ctx, dir));
    CHECK_OK(ctx, isb__model_save(ctx, model, dir));
}

/* ---- the scorer ---- */

enum { N_DOCUMENTS = 23, MAX_LENGTH = 100 };
typedef struct documents {
    int32_t ids[N_DOCUMENTS][MAX_LENGTH];
    size_t lengths[N_DOCUMENTS];
    size_t n_ids;
} documents;

static void draw_documents(documents *d, uint64_t seed) {
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    d->n_ids = 0;
    for (size_t i = 0; i < N_DOCUMENTS; ++i) {
        d->lengths[i] =
            i < 4 ? i * T / 2
                  : (size_t)isb__rng_below(&rng, MAX_LENGTH + 1); /* 0, T/2, T, 3T/2 among them */
        for (size_t k = 0; k < d->lengths[i]; ++k)
            d->ids[i][k] = (int32_t)isb__rng_below(&rng, 256);
        d->n_ids += d->lengths[i];
    }
}

/* One piece a call, alone in its row: what the scorer must equal. */
static double score_plainly(isb_context *ctx, isb__graph *graph, const int32_t *ids, size_t count,
                            size_t stride) {
    double nats = 0;
    size_t scored = 0;
    while (scored < count + 1) {
        int32_t inputs[T], targets[T];
        const size_t from = scored == 0 ? 0 : scored - stride;
        size_t n = 0;
        for (size_t k = from; k < count + 1 && n < T; ++k, ++n) {
            inputs[n] = k == 0 ? 256 : ids[k - 1];
            targets[n] = k < scored ? -1 : k == count ? 256 : ids[k];
        }
        for (size_t i = n; i < T; ++i) {
            inputs[i] = 0;
            targets[i] = -1;
        }
        const isb__batch batch = {inputs, targets, NULL};
        isb__loss loss;
        CHECK_OK(ctx, isb__graph_forward(graph, &batch, NULL, &loss));
        nats += loss.nats;
        scored = from + n;
    }
    return nats;
}

static void test_scorer(isb_context *ctx, uint64_t seed, size_t B, size_t stride) {
    documents d;
    draw_documents(&d, seed);
    isb_model *model = make_model(ctx, 1, seed);
    isb__graph *graph, *single;
    isb__scorer *scorer;
    isb__score score;
    const isb__graph_options many = {.B = B, .T = T}, one = {.B = 1, .T = T};
    CHECK_OK(ctx, isb__graph_create(ctx, model, &many, &graph));
    CHECK_OK(ctx, isb__graph_create(ctx, model, &one, &single));
    const isb__forward forward = isb__forward_of_graph(graph, B, T);
    CHECK_OK(ctx, isb__scorer_create(ctx, &forward, stride, 256, &scorer));
    double expected = 0;
    for (size_t i = 0; i < N_DOCUMENTS; ++i) {
        CHECK_OK(ctx, isb__scorer_add(scorer, d.ids[i], d.lengths[i], 1));
        expected += score_plainly(ctx, single, d.ids[i], d.lengths[i], stride);
    }
    CHECK_OK(ctx, isb__scorer_finish(scorer, &score));
    CHECK_EQ(score.n_targets, d.n_ids + N_DOCUMENTS);
    CLOSE(score.nats, expected, 2e-3); /* bf16 products round by up to 2^-9, in another tiling */
    isb__scorer_reset(scorer);
    CHECK_OK(ctx, isb__scorer_add(scorer, d.ids[3], d.lengths[3], 0));
    CHECK_OK(ctx, isb__scorer_finish(scorer, &score));
    CHECK_EQ(score.n_targets, d.lengths[3]);
    isb__scorer_free(scorer);
    isb__graph_free(single);
    isb__graph_free(graph);
    isb_model_free(model);
}

/* ---- isb_evaluate ---- */

static isb_evaluate_result evaluate(isb_context *ctx, const char *model, const char *text,
                                    size_t stride) {
    isb_evaluate_options o;
    isb_evaluate_result r;
    isb_evaluate_options_init(&o);
    o.model_dir = model;
    o.stride = stride;
    CHECK_OK(ctx, isb_evaluate(ctx, &text, 1, &o, &r));
    return r;
}

static void test_uniform(isb_context *ctx, const char *text, uint64_t n_documents,
                         uint64_t n_bytes) {
    isb_model *model = make_model(ctx, 0, 0);
    char dir[512];
    snprintf(dir, sizeof dir, "%s", at("uniform"));
    save_model(ctx, model, dir);
    isb_model_free(model);
    const double bits = log2(257) * (double)(n_bytes + n_documents);
    for (size_t stride = 0; stride < T; stride += 5) {
        const isb_evaluate_result r = evaluate(ctx, dir, text, stride);
        CHECK_EQ(r.n_documents, n_documents);
        CHECK_EQ(r.n_bytes, n_bytes);
        CHECK_EQ(r.n_tokens, n_bytes);
        CLOSE(r.bits_per_byte, bits / (double)n_bytes, 1e-6);
        CLOSE(r.bits_per_token, r.bits_per_byte, 1e-12);
        CHECK(r.bytes_per_token == 1 && r.uniform_bits_per_byte == 8);
        /* C 32, L 2, F 48, V 257 */
        const double n = 2 * (4 * 32 * 32 + 3 * 32 * 48 + 2 * 32) + 32;
        CLOSE(r.flops_per_byte, 2 * n, 1e-12);
        CHECK(r.flops_per_byte_m1 == r.flops_per_byte);
        CLOSE(r.flops_per_byte_all,
              2.0 * 2 * (4 * 32 * 32 + 3 * 32 * 48) + 2.0 * 2 * 2 * 32 * (T + 1) / 2 +
                  2.0 * 32 * 257,
              1e-12);
        CHECK(r.tokens_per_s > 0 && r.seconds > 0);
    }
}

static void test_dataset_and_errors(isb_context *ctx, const char *text, uint64_t seed) {
    isb_model *model = make_model(ctx, 1, seed);
    char dir[512], prefix[512];
    snprintf(dir, sizeof dir, "%s", at("random"));
    snprintf(prefix, sizeof prefix, "%s", at("tokens"));
    save_model(ctx, model, dir);
    isb_prepare_options p;
    isb_prepare_options_init(&p);
    p.tokenizer = "bytes";
    CHECK_OK(ctx, isb_prepare(ctx, &text, 1, prefix, &p, NULL));
    const isb_evaluate_result a = evaluate(ctx, dir, text, 3);
    isb_evaluate_options o;
    isb_evaluate_result b;
    isb_evaluate_options_init(&o);
    o.model_dir = dir;
    o.dataset_prefix = prefix;
    o.stride = 3;
    o.tensorboard_dir = at("events");
    CHECK_OK(ctx, isb_evaluate(ctx, NULL, 0, &o, &b));
    CHECK(a.bits_per_byte == b.bits_per_byte && a.n_tokens == b.n_tokens &&
          a.n_documents == b.n_documents);
    CHECK(isb__path_is_dir(at("events")));

    CHECK_STATUS(isb_evaluate(ctx, &text, 1, &o, &b), ISB_ERR_ARGUMENT);
    o.stride = T;
    CHECK_STATUS(isb_evaluate(ctx, NULL, 0, &o, &b), ISB_ERR_RANGE);
    o.stride = 0;
    o.context_length = T + 1;
    CHECK_STATUS(isb_evaluate(ctx, NULL, 0, &o, &b), ISB_ERR_RANGE);
    o.context_length = T / 2;
    CHECK_OK(ctx, isb_evaluate(ctx, NULL, 0, &o, &b));
    CHECK(b.bits_per_byte != a.bits_per_byte);
    o.dataset_prefix = NULL;
    CHECK_STATUS(isb_evaluate(ctx, NULL, 0, &o, &b), ISB_ERR_ARGUMENT);
    const char *empty = at("empty.txt");
    CHECK_OK(ctx, isb__file_write(ctx, empty, "", 0));
    CHECK_STATUS(isb_evaluate(ctx, &empty, 1, &o, &b), ISB_ERR_EMPTY);
    o.model_dir = "/nonexistent";
    CHECK_STATUS(isb_evaluate(ctx, &text, 1, &o, &b), ISB_ERR_NOT_FOUND);
    isb_model_free(model);
}

/* An M2 over windows of an untrained M1: M1's cost is counted, and ids of another tokenizer are
 * refused. */
static void test_compressed(isb_context *ctx, const char *text) {
    const char *texts[] = {text};
    char m1[512], m2[512], prefix[512];
    snprintf(m1, sizeof m1, "%s", at("random")); /* made by the test above */
    snprintf(m2, sizeof m2, "%s", at("m2"));
    snprintf(prefix, sizeof prefix, "%s", at("tokens"));
    isb_train_options o;
    isb_train_result trained;
    isb_train_options_init(&o);
    o.text_paths = texts;
    o.n_text_paths = 1;
    o.prepare.tokenizer = "window:b=16,token=8";
    o.m1_dir = m1;
    o.out_dir = m2;
    o.model = (isb_model_config){
        .struct_size = sizeof o.model, .hidden_size = 32, .n_layers = 1, .n_heads = 2};
    o.model.intermediate_size = 32;
    o.model.context_length = T;
    o.model.rope_theta = 10000;
    o.model.norm_eps = 1e-6;
    o.max_steps = 2;
    CHECK_OK(ctx, isb_train(ctx, &o, &trained));
    const isb_evaluate_result r = evaluate(ctx, m2, text, 0);
    const double n1 = 2 * (4 * 32 * 32 + 3 * 32 * 48 + 2 * 32) + 32,
                 n2 = (4 * 32 * 32 + 3 * 32 * 32 + 2 * 32) + 32;
    CHECK(r.n_tokens > 0 && r.n_tokens != r.n_bytes);
    CLOSE(r.bytes_per_token, (double)r.n_bytes / (double)r.n_tokens, 1e-12);
    CLOSE(r.uniform_bits_per_byte, 8 / r.bytes_per_token, 1e-12);
    CLOSE(r.bits_per_byte, r.bits_per_token / r.bytes_per_token, 1e-12);
    CLOSE(r.flops_per_byte, 2 * n2 / r.bytes_per_token, 1e-12);
    CLOSE(r.flops_per_byte_m1 - r.flops_per_byte, 2 * n1, 1e-9);
    /* windows of 16 bits, two tokens: M1 looks back over half of their bytes in the mean */
    const double span = 2 * r.bytes_per_token;
    const double m1_all =
        2.0 * 2 * (4 * 32 * 32 + 3 * 32 * 48) + 2.0 * 2 * 2 * 32 * (span + 1) / 2 + 2.0 * 32 * 257;
    const double m2_all =
        2.0 * (4 * 32 * 32 + 3 * 32 * 32) + 2.0 * 2 * 32 * (T + 1) / 2 + 2.0 * 32 * 257;
    CLOSE(r.flops_per_byte_all, m2_all / r.bytes_per_token + m1_all, 1e-9);

    isb_evaluate_options e;
    isb_evaluate_result ignored;
    isb_evaluate_options_init(&e);
    e.model_dir = m2;
    e.dataset_prefix = prefix;
    CHECK_STATUS(isb_evaluate(ctx, NULL, 0, &e, &ignored), ISB_ERR_MISMATCH);
}

/* Words in documents of many lengths; returns the bytes. */
static uint64_t write_text(isb_context *ctx, const char *path, int n_documents, uint64_t seed) {
    static char text[1 << 17];
    size_t n = 0;
    uint64_t n_bytes = 0;
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int d = 0; d < n_documents; ++d) {
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"text\": \"");
        for (uint64_t length = isb__rng_below(&rng, 90); length > 0; --length, ++n_bytes) {
            text[n++] = (char)('a' + isb__rng_below(&rng, 20));
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "\"}\n");
    }
    CHECK_OK(ctx, isb__file_write(ctx, path, text, n));
    return n_bytes;
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    snprintf(root, sizeof root, "%s/isb-test-evaluate-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK_FATAL(mkdtemp(root) != NULL);
    test_scorer(ctx, seed, 1, 0);
    test_scorer(ctx, seed, 3, 0);
    test_scorer(ctx, seed, 5, 1);
    test_scorer(ctx, seed, 5, T - 1);
    enum { N = 200 };
    char text[512];
    snprintf(text, sizeof text, "%s", at("text.jsonl"));
    const uint64_t n_bytes = write_text(ctx, text, N, seed);
    test_uniform(ctx, text, N, n_bytes);
    test_dataset_and_errors(ctx, text, seed);
    test_compressed(ctx, text);
    CHECK_OK(ctx, isb__dir_remove(ctx, root));
    isb_context_free(ctx);
    return check_end();
}
