/* Composed embeddings: features of strings, the sparse products against plain loops, gradients
 * through the trainer, whole runs, and what is refused. */
#include <isobit/isobit.h>

#include <math.h>

#include "base/io.h"
#include "base/rng.h"
#include "check.h"
#include "data/id_strings.h"
#include "nn/compose.h"
#include "small_models.h"
#include "temp_dir.h"
#include "train/trainer.h"

enum { MANY = 1 << 20 }; /* buckets: hardly two features share one */

/* ---- strings ---- */

enum { MAX_STRINGS = 300 };
typedef struct strings {
    size_t n;
    uint64_t begin[MAX_STRINGS + 1];
    uint8_t bytes[8192];
} strings;

static void put(strings *s, const void *bytes, size_t nbytes) {
    CHECK_FATAL(s->n < MAX_STRINGS && s->begin[s->n] + nbytes <= sizeof s->bytes);
    memcpy(s->bytes + s->begin[s->n], bytes, nbytes);
    s->begin[s->n + 1] = s->begin[s->n] + nbytes;
    ++s->n;
}

static isb__compose_map *map_of(isb_context *ctx, const strings *s, size_t n_special,
                                size_t n_features) {
    isb__compose_map *map = NULL;
    CHECK_OK(ctx, isb__compose_map_create(ctx, s->n + n_special, s->n, s->begin, s->bytes,
                                          n_features, &map));
    return map;
}

/* Bytes of any kind, among them words and pieces of characters. */
static strings random_strings(uint64_t seed) {
    static const char *const parts[] = {"the", "The",  " ",        "cat", "\xc3\xa9t\xc3\xa9",
                                        "\n",  "\xe2", "\x80\x99", "s",   "2026"};
    strings s = {0};
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    while (s.n < 200) {
        char text[64] = "";
        size_t n = isb__rng_below(&rng, 6);
        for (size_t i = 0; i < n; ++i) strcat(text, parts[isb__rng_below(&rng, 10)]);
        n = strlen(text);
        if (n > 0 && isb__rng_below(&rng, 4) == 0)
            text[isb__rng_below(&rng, n)] = (char)isb__rng_below(&rng, 256);
        put(&s, text, n);
    }
    return s;
}

/* ---- features ---- */

static size_t count(const isb__compose_map *map, size_t row) {
    return map->row_begin[row + 1] - map->row_begin[row];
}

static size_t count_shared(const isb__compose_map *map, size_t a, size_t b) {
    size_t n = 0;
    for (uint32_t i = map->row_begin[a]; i < map->row_begin[a + 1]; ++i) {
        for (uint32_t j = map->row_begin[b]; j < map->row_begin[b + 1]; ++j)
            n += map->feature[i] == map->feature[j];
    }
    return n;
}

static void test_features(isb_context *ctx) {
    strings s = {0};
    put(&s, " the cat", 8); /* the cat; 3 + 3 3-grams; 2 + 2 4-grams; first, last, words */
    put(&s, " THE CAT", 8); /* all but the last byte */
    put(&s, "\xc3\xa9", 2); /* one character: word, <e>, first, last, words */
    put(&s, "\xc3", 1);     /* half of one: as many */
    put(&s, ", ", 2);       /* no word */
    put(&s, "", 0);         /* nothing */
    put(&s, "cat", 3);      /* the second word of the first, without its place */
    put(&s, "aaaaaa", 6);   /* aaa four times, aaaa three times */
    isb__compose_map *map = map_of(ctx, &s, 2, MANY);
    CHECK_EQ(map->n_rows, 10);
    CHECK_EQ(count(map, 0), 15);
    CHECK_EQ(count(map, 1), 15);
    CHECK_EQ(count_shared(map, 0, 1), 14);
    CHECK_EQ(count(map, 2), 5);
    CHECK_EQ(count(map, 3), 5);
    CHECK_EQ(count(map, 4), 3);
    CHECK_EQ(count(map, 5), 0);
    CHECK_EQ(count_shared(map, 0, 6), 7); /* cat, <ca cat at>, <cat cat>, last */
    CHECK_EQ(count(map, 7), 1 + 3 + 3 + 3);
    CHECK_EQ(count(map, 8) + count(map, 9), 0);
    CHECK(fabsf(map->weight[0] - 1 / sqrtf(15)) < 1e-6f);
    float most = 0;
    for (uint32_t i = map->row_begin[7]; i < map->row_begin[8]; ++i)
        most = fmaxf(most, map->weight[i]);
    CHECK(fabsf(most - 4 / sqrtf(15)) < 1e-6f); /* aaa, of 1 + 6 + 5 + 3 features */
    isb__compose_map_free(map);
}

static void check_map(const isb__compose_map *map) {
    size_t wrong = 0;
    CHECK_EQ(map->row_begin[map->n_rows], map->n_weights);
    for (size_t r = 0; r < map->n_rows; ++r) {
        for (uint32_t i = map->row_begin[r]; i < map->row_begin[r + 1]; ++i) {
            wrong += map->feature[i] >= map->n_features || map->weight[i] <= 0;
            wrong += i > map->row_begin[r] && map->feature[i] <= map->feature[i - 1];
        }
    }
    CHECK_EQ(wrong, 0);
}

/* A row depends on its string alone. */
static void test_any_bytes(isb_context *ctx, uint64_t seed) {
    const strings s = random_strings(seed);
    isb__compose_map *map = map_of(ctx, &s, 1, 64);
    check_map(map);
    for (size_t i = 0; i < s.n; ++i) {
        strings one = {0};
        put(&one, s.bytes + s.begin[i], (size_t)(s.begin[i + 1] - s.begin[i]));
        isb__compose_map *alone = map_of(ctx, &one, 0, 64);
        const uint32_t at = map->row_begin[i];
        CHECK_FATAL(alone->n_weights == count(map, i));
        const size_t nbytes = alone->n_weights * sizeof *map->feature;
        CHECK(memcmp(alone->feature, map->feature + at, nbytes) == 0 &&
              memcmp(alone->weight, map->weight + at, nbytes) == 0);
        isb__compose_map_free(alone);
    }
    isb__compose_map_free(map);
    isb__compose_map *none = NULL;
    CHECK_STATUS(isb__compose_map_create(ctx, 1, 0, s.begin, s.bytes, 0, &none), ISB_ERR_RANGE);
    CHECK(none == NULL);
}

/* ---- products ---- */

enum { C = 180, N_FEATURES = 64 }; /* C: several tasks, the last short */

static float *random_floats(size_t n, isb__rng *rng) {
    float *x = calloc(n + 1, sizeof *x);
    CHECK_FATAL(x != NULL);
    for (size_t i = 0; i < n && rng; ++i) x[i] = (float)isb__rng_normal(rng);
    return x;
}

/* W as a dense matrix in double: to [n_rows, C] = W from, or to [n_features, C] = W^T from. */
static double *dense_product(const isb__compose_map *map, bool transposed, const float *from) {
    double *to = calloc((map->n_rows + map->n_features) * C, sizeof *to);
    CHECK_FATAL(to != NULL);
    for (size_t r = 0; r < map->n_rows; ++r) {
        for (uint32_t i = map->row_begin[r]; i < map->row_begin[r + 1]; ++i) {
            const size_t f = map->feature[i], a = transposed ? f : r, b = transposed ? r : f;
            for (size_t c = 0; c < C; ++c)
                to[a * C + c] += (double)map->weight[i] * (double)from[b * C + c];
        }
    }
    return to;
}

/* Sums of some 200 terms of size 1: about 200 x 2^-24. */
static void check_near(const float *got, const float *start, const double *wanted, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; ++i) {
        const double w = wanted[i] + (start ? (double)start[i] : 0);
        worst = fmax(worst, fabs((double)got[i] - w) / (fabs(w) + 1));
    }
    if (worst > 2e-5) printf("off by %g\n", worst);
    CHECK(worst <= 2e-5);
}

static void test_products(isb_context *ctx, uint64_t seed) {
    const strings s = random_strings(seed);
    isb__compose_map *map = map_of(ctx, &s, 1, N_FEATURES);
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    const size_t n_table = map->n_rows * C, n_shared = N_FEATURES * C;
    float *own = random_floats(n_table, &rng), *shared = random_floats(n_shared, &rng);
    float *table = random_floats(n_table, NULL), *dshared = random_floats(n_shared, &rng);
    double *forward = dense_product(map, false, shared), *back = dense_product(map, true, own);
    isb__compose_forward(map, C, own, shared, table);
    isb__compose_backward(map, C, own, dshared);
    check_near(table, own, forward, n_table);
    check_near(dshared, NULL, back, n_shared);
    isb_context *three = small_context(NULL, 3);
    isb__compose_map *other = map_of(three, &s, 1, N_FEATURES);
    float *again = random_floats(n_table + n_shared, NULL);
    isb__compose_forward(other, C, own, shared, again);
    isb__compose_backward(other, C, own, again + n_table);
    CHECK(memcmp(again, table, n_table * sizeof *table) == 0);
    CHECK(memcmp(again + n_table, dshared, n_shared * sizeof *table) == 0);
    isb__compose_map_free(other);
    isb_context_free(three);
    void *all[] = {own, shared, table, dshared, forward, back, again};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
    isb__compose_map_free(map);
}

/* ---- through the trainer ---- */

enum { B = 2, T = 24, MAX_STATES = 64, HIDDEN = 32 };

static const isb__tensor_ref *state(isb__trainer *t, const char *name, isb__tensor_ref *refs) {
    CHECK_FATAL(t->ops->n_states(t) <= MAX_STATES);
    t->ops->states(t, refs);
    for (size_t i = 0; i < t->ops->n_states(t); ++i) {
        if (strcmp(refs[i].name, name) == 0) return &refs[i];
    }
    printf("no state %s\n", name);
    CHECK_FATAL(!"the state is there");
    return NULL;
}

static isb__trainer *trainer_of(isb_context *ctx, isb_model *model, const isb__compose_map *map) {
    const isb__trainer_options options = {
        .B = B,
        .T = T,
        .optimizer = {.kind = ISB_OPTIMIZER_ADAMW,
                      .beta1 = 0.9,
                      .beta2 = 0.95,
                      .eps = 1e-8,
                      .weight_decay = 0.1},
        .compose = map};
    isb__trainer *trainer = NULL;
    CHECK_OK(ctx, isb__trainer_create(ctx, model, &options, &trainer));
    return trainer;
}

static double one_step(isb_context *ctx, isb__trainer *t, const isb__batch *batch, double lr,
                       uint64_t step) {
    isb__loss loss;
    double norm;
    CHECK_OK(ctx, t->ops->begin(t));
    CHECK_OK(ctx, t->ops->backward(t, batch, 0.25f, 0.01f, &loss));
    CHECK_OK(ctx, t->ops->reduce(t, &norm));
    CHECK_OK(ctx, t->ops->step(t, 1, lr, step));
    return norm;
}

/* After the first step with a rate of 0, AdamW's first moment is a tenth of the gradient.  That of
 * the table, which test_layers.c holds against differences, must be that of `own`, and W^T times it
 * that of `shared`. */
static void check_gradients(isb_context *ctx, const isb__compose_map *map, isb__trainer *composed,
                            isb__trainer *plain, const isb__batch *batch) {
    static isb__tensor_ref a[MAX_STATES], b[MAX_STATES], c[MAX_STATES];
    const double norm = one_step(ctx, composed, batch, 0, 0);
    const double norm_plain = one_step(ctx, plain, batch, 0, 0);
    const isb__tensor_ref *own = state(composed, "first.model.embed_tokens.weight", a);
    const isb__tensor_ref *table = state(plain, "first.model.embed_tokens.weight", b);
    const isb__tensor_ref *shared = state(composed, "first.embedding.shared", c);
    CHECK_FATAL(own->rows * own->cols == map->n_rows * HIDDEN && shared->rows == map->n_features);
    CHECK(memcmp(own->data, table->data, map->n_rows * HIDDEN * sizeof(float)) == 0);
    float *wanted = random_floats(map->n_features * HIDDEN, NULL);
    double worst = 0, most = 0, square = 0;
    for (size_t r = 0; r < map->n_rows; ++r) {
        for (uint32_t i = map->row_begin[r]; i < map->row_begin[r + 1]; ++i) {
            for (size_t k = 0; k < HIDDEN; ++k)
                wanted[map->feature[i] * HIDDEN + k] +=
                    map->weight[i] * table->data[r * HIDDEN + k];
        }
    }
    for (size_t i = 0; i < map->n_features * HIDDEN; ++i) {
        worst = fmax(worst, fabs((double)wanted[i] - (double)shared->data[i]));
        most = fmax(most, fabs((double)wanted[i]));
        square += 100 * (double)wanted[i] * (double)wanted[i];
    }
    CHECK(most > 0 && worst <= 1e-5 * most);
    CHECK(fabs(norm * norm - norm_plain * norm_plain - square) <= 1e-4 * norm * norm);
    free(wanted);
}

/* What is saved is a plain model: it gives the loss that the trainer gives. */
static void check_fold(isb_context *ctx, isb__trainer *composed, const isb__batch *batch,
                       const char *dir) {
    isb_model *model = NULL;
    isb__loss a, b;
    CHECK_OK(ctx, composed->ops->pull(composed));
    CHECK_OK(ctx, isb__dir_create(ctx, dir));
    CHECK_OK(ctx, isb__model_save(ctx, composed->model, dir));
    CHECK_OK(ctx, isb_model_load(ctx, dir, &model));
    isb__trainer *plain = trainer_of(ctx, model, NULL);
    CHECK_OK(ctx, composed->ops->forward(composed, batch, NULL, &a));
    CHECK_OK(ctx, plain->ops->forward(plain, batch, NULL, &b));
    CHECK(a.nats == b.nats && a.nats > 0);
    isb__trainer_free(plain);
    isb_model_free(model);
}

static void test_trainer(isb_context *ctx, uint64_t seed, const char *dir) {
    const strings s = random_strings(seed);
    isb__compose_map *map = map_of(ctx, &s, 1, N_FEATURES);
    isb_model *model = small_model(ctx, (int64_t)map->n_rows, T, seed);
    int32_t inputs[B * T], targets[B * T];
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < B * T; ++i) {
        inputs[i] = (int32_t)isb__rng_below(&rng, map->n_rows);
        targets[i] = (int32_t)isb__rng_below(&rng, map->n_rows);
    }
    const isb__batch batch = {inputs, targets, NULL};
    static isb__tensor_ref refs[MAX_STATES];
    isb__trainer *composed = trainer_of(ctx, model, map);
    const isb__tensor_ref *shared = state(composed, "embedding.shared", refs);
    for (size_t i = 0; i < map->n_features * HIDDEN; ++i)
        shared->data[i] = 0.1f * (float)isb__rng_normal(&rng);
    CHECK_OK(ctx, composed->ops->push(composed));
    isb__trainer *plain = trainer_of(ctx, model, NULL); /* reads the table that push made */
    check_gradients(ctx, map, composed, plain, &batch);
    isb__trainer_free(plain);
    one_step(ctx, composed, &batch, 1e-2, 1);
    check_fold(ctx, composed, &batch, dir);
    isb__trainer_free(composed);
    isb__compose_map_free(map);
    isb_model_free(model);
}

static void test_trainer_refuses(isb_context *ctx, uint64_t seed) {
    const strings s = random_strings(seed);
    isb__compose_map *map = map_of(ctx, &s, 1, N_FEATURES);
    isb_model *model = small_model(ctx, (int64_t)map->n_rows + 1, T, seed);
    const isb__trainer_options options = {.B = B, .T = T, .compose = map};
    isb__trainer *trainer = NULL;
    CHECK_STATUS(isb__trainer_create(ctx, model, &options, &trainer), ISB_ERR_MISMATCH);
    model->config.tie_embeddings = 0;
    CHECK_STATUS(isb__trainer_create(ctx, model, &options, &trainer), ISB_ERR_UNSUPPORTED);
    CHECK(trainer == NULL);
    isb_model_free(model);
    isb__compose_map_free(map);
}

/* ---- runs ---- */

static char root[512];
static const char *at(const char *name) {
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void write_file(isb_context *ctx, const char *name, const char *text) {
    CHECK_OK(ctx, isb__file_write(ctx, at(name), text, strlen(text)));
}

/* 64 documents, and as ids of a made-up tokenizer: a word an id. */
static void write_texts(isb_context *ctx) {
    static const char *const words[] = {"the ", "The ", "token ", "tokens ", "of ", "equal "};
    static char text[1 << 16], ids[1 << 16];
    size_t n = 0, m = 0;
    isb__rng rng;
    isb__rng_seed(&rng, 3);
    for (int d = 0; d < 64; ++d) {
        char line[1024] = "", list[256] = "";
        for (int w = 0; w < 40; ++w) {
            const size_t id = isb__rng_below(&rng, 6);
            strcat(line, words[id]);
            snprintf(list + strlen(list), 8, "%s%zu", w ? "," : "", id);
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"text\": \"%s\"}\n", line);
        m += (size_t)snprintf(ids + m, sizeof ids - m, "{\"text\": \"%s\", \"ids\": [%s]}\n", line,
                              list);
    }
    write_file(ctx, "text.jsonl", text);
    write_file(ctx, "ids.jsonl", ids);
    write_file(ctx, "good.pieces",
               "{\"piece\": \"the \"}\n{\"piece\": \"The \"}\n{\"bytes\": [116,111]}\n"
               "{\"piece\": \"tokens\"}\n{}\n{\"piece\": \"\\u0065qual \"}\n");
}

static isb_train_options options_for(const char *out) {
    isb_train_options o;
    isb_train_options_init(&o);
    o.out_dir = out;
    o.model = (isb_model_config){.struct_size = sizeof o.model,
                                 .hidden_size = 32,
                                 .n_layers = 1,
                                 .n_heads = 2,
                                 .intermediate_size = 64,
                                 .context_length = 32,
                                 .rope_theta = 10000,
                                 .norm_eps = 1e-6,
                                 .tie_embeddings = 1};
    o.batch_rows = 4;
    o.max_steps = 12;
    o.eval_batches = 2;
    o.schedule = ISB_SCHEDULE_CONSTANT;
    o.warmup_steps = 3;
    o.lr = 1e-2;
    o.overwrite = 1;
    o.embeddings = ISB_EMBEDDINGS_COMPOSED;
    return o;
}

static void check_same_file(isb_context *ctx, const char *a, const char *b) {
    uint8_t *x, *y;
    size_t n, m;
    CHECK_OK(ctx, isb__file_read(ctx, a, 1 << 26, &x, &n));
    CHECK_OK(ctx, isb__file_read(ctx, b, 1 << 26, &y, &m));
    CHECK(n == m && memcmp(x, y, n) == 0);
    isb__free(ctx, x);
    isb__free(ctx, y);
}

static void make_codebook(isb_context *ctx) {
    static const char *const list[] = {"the", "The", "token", "tokens", " of", " equal"};
    isb_codebook_text texts[6];
    isb_codebook *codebook = NULL;
    for (size_t i = 0; i < 6; ++i)
        texts[i] = (isb_codebook_text){(const uint8_t *)list[i], strlen(list[i])};
    CHECK_OK(ctx, isb_codebook_create(ctx, texts, 6, NULL, &codebook));
    CHECK_OK(ctx, isb_codebook_save(ctx, codebook, at("few.isb-codebook")));
    isb_codebook_free(codebook);
}

/* Another run of 12 steps on 3 threads; and one of 5, resumed to 12: the same bits. */
static void test_run(isb_context *ctx) {
    const char *const text[] = {at("text.jsonl")};
    isb_train_options o = options_for(at("whole"));
    isb_train_result whole, threads, part, rest;
    char tokenizer[1024];
    snprintf(tokenizer, sizeof tokenizer, "codebook:%s", at("few.isb-codebook"));
    o.text_paths = text;
    o.n_text_paths = 1;
    o.prepare.tokenizer = tokenizer;
    o.prepare.corpus.valid_permille = 100;
    CHECK_OK(ctx, isb_train(ctx, &o, &whole));
    isb_context *three = small_context(NULL, 3);
    o.out_dir = at("threads");
    CHECK_OK(three, isb_train(three, &o, &threads));
    isb_context_free(three);
    CHECK(strcmp(whole.model.identity, threads.model.identity) == 0);
    o.out_dir = at("parts");
    o.max_steps = 5;
    CHECK_OK(ctx, isb_train(ctx, &o, &part));
    isb_train_options again;
    isb_train_options_init(&again);
    again.out_dir = at("parts");
    again.resume = 1;
    again.max_steps = 12;
    again.embeddings = ISB_EMBEDDINGS_PLAIN;
    CHECK_STATUS(isb_train(ctx, &again, &rest), ISB_ERR_MISMATCH);
    again.embeddings = ISB_EMBEDDINGS_DEFAULT;
    CHECK_OK(ctx, isb_train(ctx, &again, &rest));
    CHECK(whole.valid_loss_nats == rest.valid_loss_nats);
    check_same_file(ctx, at("whole/model.safetensors"), at("parts/model.safetensors"));
    check_same_file(ctx, at("whole/checkpoints/step-00000012/optimizer.safetensors"),
                    at("parts/checkpoints/step-00000012/optimizer.safetensors"));
    o.embeddings = ISB_EMBEDDINGS_PLAIN;
    o.max_steps = 12;
    o.out_dir = at("plain");
    CHECK_OK(ctx, isb_train(ctx, &o, &part));
    CHECK(strcmp(whole.model.identity, part.model.identity) != 0);
    CHECK_EQ(whole.model.n_parameters, part.model.n_parameters);
    o.embeddings = (isb_embeddings)3;
    CHECK_STATUS(isb_train(ctx, &o, &part), ISB_ERR_RANGE);
    o.embeddings = ISB_EMBEDDINGS_COMPOSED;
    o.model.tie_embeddings = 0;
    CHECK_STATUS(isb_train(ctx, &o, &part), ISB_ERR_UNSUPPORTED);
    o.model.tie_embeddings = 1;
    o.prepare.tokenizer = "bytes";
    CHECK_STATUS(isb_train(ctx, &o, &part), ISB_ERR_ARGUMENT);
    CHECK(strstr(isb_context_error(ctx), "plain") != NULL);
}

/* Ids of another program: with their pieces they are composed too. */
static void test_pieces(isb_context *ctx) {
    const char *const ids[] = {at("ids.jsonl")};
    isb_prepare_options p;
    isb_train_result r;
    isb_train_options o = options_for(at("external"));
    isb_prepare_options_init(&p);
    p.tokenizer = "external:made-up,vocab=7";
    p.split_files = 1;
    p.corpus.valid_permille = 100;
    CHECK_OK(ctx, isb_prepare(ctx, ids, 1, at("made-up"), &p, NULL));
    o.dataset_prefix = at("made-up");
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_ARGUMENT);
    CHECK(strstr(isb_context_error(ctx), "--pieces") != NULL);
    p.pieces_path = at("good.pieces");
    CHECK_OK(ctx, isb_prepare(ctx, ids, 1, at("made-up"), &p, NULL));
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    /* other pieces make another run */
    write_file(ctx, "made-up.pieces", "{}\n{}\n{}\n{}\n{}\n{}\n");
    o.overwrite = 0;
    o.resume = 1;
    o.max_steps = 14;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_MISMATCH);
    CHECK_OK(ctx, isb_prepare(ctx, ids, 1, at("made-up"), &p, NULL));
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    p.tokenizer = "bytes";
    CHECK_STATUS(isb_prepare(ctx, ids, 1, at("bytes"), &p, NULL), ISB_ERR_ARGUMENT);
}

static void test_bad_pieces(isb_context *ctx) {
    static const struct {
        const char *text;
        isb_status status;
        const char *says;
    } cases[] = {
        {"{\"piece\": \"a\"}\n", ISB_ERR_MISMATCH, "only 1 lines"},
        {"{}\n{}\n{}\n", ISB_ERR_MISMATCH, "more than 2 lines"},
        {"{}\n{\"piece\": 3}\n", ISB_ERR_CORRUPT, ":2: \"piece\" is not a string"},
        {"{\"bytes\": [256]}\n{}\n", ISB_ERR_CORRUPT, "above 255"},
        {"{\"bytes\": \"a\"}\n{}\n", ISB_ERR_CORRUPT, "not an array"},
        {"{\"bytes\": [-1]}\n{}\n", ISB_ERR_CORRUPT, ":1: "},
        {"{\"piece\": \"a\", \"bytes\": [1]}\n{}\n", ISB_ERR_CORRUPT, "both"},
        {"the\n{}\n", ISB_ERR_CORRUPT, ":1: "},
    };
    isb__id_strings read;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        write_file(ctx, "bad.pieces", cases[i].text);
        CHECK_STATUS(isb__id_strings_read(ctx, at("bad.pieces"), 2, &read), cases[i].status);
        CHECK(read.begin == NULL && read.bytes == NULL);
        CHECK(strstr(isb_context_error(ctx), cases[i].says) != NULL);
    }
    write_file(ctx, "two.pieces", "{\"piece\": \" \\u00e9\"}\n{\"bytes\": [0, 255]}\n");
    CHECK_OK(ctx, isb__id_strings_read(ctx, at("two.pieces"), 2, &read));
    CHECK_EQ(read.begin[1], 3);
    CHECK_EQ(read.begin[2], 5);
    CHECK(memcmp(read.bytes, " \xc3\xa9\0\xff", 5) == 0);
    isb__id_strings_free(&read);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    isb_context *ctx = small_context(NULL, 1);
    snprintf(root, sizeof root, "%s", temp_dir_begin());
    test_features(ctx);
    test_any_bytes(ctx, seed);
    test_products(ctx, seed);
    test_trainer(ctx, seed, at("folded"));
    test_trainer_refuses(ctx, seed);
    write_texts(ctx);
    make_codebook(ctx);
    test_run(ctx);
    test_pieces(ctx);
    test_bad_pieces(ctx);
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
