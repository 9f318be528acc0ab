/* Codebooks as tokenizers, from end to end: specs, any bytes there and back, ids of 32 bits, datasets, a model's own
 * copy, special ids, mixed-up codebooks; and the same ids imported as another program's, which must give the same
 * model. */
#include <isobit/isobit.h>

#include <math.h>

#include "base/io.h"
#include "base/rng.h"
#include "check.h"
#include "data/dataset.h"
#include "data/tokenizer.h"
#include "small_models.h"
#include "temp_dir.h"

static isb_context *ctx;

static const char *const words[] = {"the",  " the", " token", " of",     " equal", " information",
                                    " is",  " a",   " win",   " window", "dow",    "\n\n",
                                    " and", " mod", "el",     "\xff\x80"};
enum { N_WORDS = sizeof words / sizeof *words };

/* Some words, every pair of bytes if `wide`, and a special id after the boundary. */
static void make_codebook(const char *name, const char *path, int n_words, bool wide) {
    static uint8_t pairs[65536][2];
    static isb_codebook_text strings[N_WORDS + 65536];
    static const char *const specials[] = {"<|pad|>"};
    size_t n = 0;
    for (int i = 0; i < n_words; ++i)
        strings[n++] = (isb_codebook_text){(const uint8_t *)words[i], strlen(words[i])};
    for (uint32_t i = 0; wide && i < 65536; ++i) {
        pairs[i][0] = (uint8_t)(i >> 8);
        pairs[i][1] = (uint8_t)i;
        strings[n++] = (isb_codebook_text){pairs[i], 2};
    }
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.name = name;
    options.specials = specials;
    options.n_specials = 1;
    isb_codebook *codebook = NULL;
    CHECK_OK(ctx, isb_codebook_create(ctx, strings, n, &options, &codebook));
    CHECK_OK(ctx, isb_codebook_save(ctx, codebook, path));
    isb_codebook_free(codebook);
}

static void write_text(const char *path, int n_documents, uint64_t seed) {
    static char text[1 << 18];
    size_t n = 0;
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int d = 0; d < n_documents; ++d) {
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"text\": \"");
        for (int w = 5 + (int)isb__rng_below(&rng, 40); w > 0; --w)
            n +=
                (size_t)snprintf(text + n, sizeof text - n, "%s ", words[isb__rng_below(&rng, 11)]);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s\"}\n", d % 5 ? "" : "\\u00e9\\n");
        CHECK_FATAL(n < sizeof text - 1024);
    }
    temp_write(path, text, n);
}

/* ---- specs ---- */

static void test_specs(void) {
    static const char *const good[] = {"codebook:small.isb-codebook", "small.isb-codebook",
                                       "codebook:unusual"};
    isb__tokenizer *t = NULL;
    make_codebook("unusual", "unusual", N_WORDS, false); /* a file's name is its own affair */
    for (size_t i = 0; i < sizeof good / sizeof *good; ++i) {
        CHECK_OK(ctx, isb__tokenizer_open(ctx, good[i], NULL, &t));
        CHECK(strcmp(t->spec, i < 2 ? "codebook:little" : "codebook:unusual") == 0);
        CHECK_EQ(strlen(t->identity), 32);
        CHECK_EQ(t->n_codes, 256 + N_WORDS);
        CHECK_EQ(t->n_ids, t->n_codes + 2);
        CHECK(t->m1_flops_per_byte == 0 && isb__tokenizer_is_concatenable(t));
        isb__tokenizer_free(t);
    }
    CHECK_OK(ctx, isb__tokenizer_open(ctx, "external:sp,vocab=1000", NULL, &t));
    CHECK(t->n_codes == 999 && t->n_ids == 1000 && t->identity[0] == '\0');
    isb__tokenizer_free(t);
    static const char *const bad[] = {
        "external",          "external:",          "external:x",          "external:,vocab=9",
        "external:x,vocab=", "external:x,vocab=2", "external:x,vocab=9y", "external:x,vocab=-9",
        "codebook:"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        CHECK_STATUS(isb__tokenizer_open(ctx, bad[i], NULL, &t), ISB_ERR_ARGUMENT);
    CHECK_STATUS(isb__tokenizer_open(ctx, "codebook:nowhere", NULL, &t), ISB_ERR_NOT_FOUND);
}

/* ---- any bytes ---- */

enum { N_DOCUMENTS = 8 };

/* Streamed id by id, the bytes are those of the whole. */
static void check_stream(isb__tokenizer *t, const isb__ids_view *ids, const isb__bytes_view *text) {
    isb__token_stream stream;
    CHECK_OK(ctx, isb__token_stream_open(t, &stream));
    size_t at = 0;
    for (size_t i = 0; i < ids->count; ++i) {
        const uint8_t *bytes;
        size_t n;
        CHECK_OK(ctx, isb__token_stream_push(&stream, ids->ids[i], &bytes, &n));
        CHECK_FATAL(at + n <= text->nbytes && memcmp(text->data + at, bytes, n) == 0);
        at += n;
    }
    CHECK_EQ(at, text->nbytes);
    const uint8_t *bytes;
    size_t n;
    CHECK_STATUS(isb__token_stream_push(&stream, (uint32_t)t->n_codes, &bytes, &n),
                 ISB_ERR_CORRUPT);
    isb__token_stream_close(&stream);
}

static void test_round_trip(const char *spec, uint64_t seed) {
    static uint8_t bytes[N_DOCUMENTS][3000];
    isb__bytes_view documents[N_DOCUMENTS];
    isb__encoded encoded[N_DOCUMENTS];
    isb__ids_view ids[N_DOCUMENTS];
    isb__decoded decoded[N_DOCUMENTS];
    isb__tokenizer *t = NULL;
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    CHECK_OK(ctx, isb__tokenizer_open(ctx, spec, NULL, &t));
    for (size_t d = 0; d < N_DOCUMENTS; ++d) {
        const size_t n = d == 0 ? 0 : (size_t)isb__rng_below(&rng, 3000);
        for (size_t i = 0; i < n;) { /* words and noise */
            const char *word = words[isb__rng_below(&rng, N_WORDS)];
            const size_t length = strlen(word);
            if (isb__rng_below(&rng, 4) == 0 || i + length > n) {
                bytes[d][i++] = (uint8_t)isb__rng_u64(&rng);
            } else {
                memcpy(bytes[d] + i, word, length);
                i += length;
            }
        }
        documents[d] = (isb__bytes_view){bytes[d], n};
    }
    CHECK_OK(ctx, isb__tokenizer_encode(t, N_DOCUMENTS, documents, encoded, NULL, NULL));
    for (size_t d = 0; d < N_DOCUMENTS; ++d) {
        uint32_t *copy = calloc(encoded[d].count + 1, sizeof *copy);
        if (encoded[d].count > 0) memcpy(copy, encoded[d].ids, encoded[d].count * sizeof *copy);
        ids[d] = (isb__ids_view){copy, encoded[d].count};
    }
    CHECK_OK(ctx, isb__tokenizer_decode(t, N_DOCUMENTS, ids, 0, decoded, NULL, NULL));
    for (size_t d = 0; d < N_DOCUMENTS; ++d) {
        CHECK_EQ(decoded[d].status, ISB_OK);
        CHECK(decoded[d].nbytes == documents[d].nbytes &&
              memcmp(decoded[d].bytes, bytes[d], decoded[d].nbytes) == 0);
        check_stream(t, &ids[d], &documents[d]);
    }
    /* What cannot be decoded, and what is longer than allowed, spoils its own document only. */
    ((uint32_t *)ids[1].ids)[ids[1].count - 1] = (uint32_t)t->n_ids;
    CHECK_OK(ctx, isb__tokenizer_decode(t, 3, ids, documents[2].nbytes - 1, decoded, NULL, NULL));
    CHECK(decoded[1].status == ISB_ERR_CORRUPT && decoded[2].status == ISB_ERR_CORRUPT);
    CHECK(memcmp(decoded[1].bytes, bytes[1], decoded[1].nbytes) == 0);
    for (size_t d = 0; d < N_DOCUMENTS; ++d) free((void *)ids[d].ids);
    isb__tokenizer_free(t);
}

/* ---- datasets and files of ids ---- */

static void prepare(const char *tokenizer, const char *path, const char *prefix, int split_files,
                    isb_prepare_result *result) {
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = tokenizer;
    options.split_files = split_files;
    options.corpus.valid_permille = options.corpus.test_permille = 150;
    CHECK_OK(ctx, isb_prepare(ctx, &path, 1, prefix, &options, result));
}

/* The dataset's ids decode to the corpus, document by document. */
static void check_dataset(const char *prefix, const char *path, const char *spec, int id_nbytes) {
    isb__dataset *dataset = NULL;
    isb__tokenizer *t = NULL;
    isb_corpus *corpus = NULL;
    CHECK_OK(ctx, isb__dataset_open(ctx, prefix, &dataset));
    CHECK_OK(ctx, isb__dataset_verify(dataset));
    CHECK_OK(ctx, isb__tokenizer_open(ctx, spec, NULL, &t));
    CHECK(strcmp(dataset->info.tokenizer, t->spec) == 0);
    CHECK(strcmp(dataset->info.tokenizer_identity, t->identity) == 0);
    CHECK_EQ(dataset->info.n_codes, t->n_codes);
    CHECK_EQ(dataset->info.n_ids, t->n_ids);
    CHECK_EQ(dataset->info.id_nbytes, id_nbytes);
    CHECK_OK(ctx, isb_corpus_open(ctx, &path, 1, NULL, &corpus));
    for (uint64_t d = 0; d < dataset->info.n_documents; ++d) {
        static int32_t wide[4096];
        static uint32_t ids[4096];
        const size_t count = (size_t)dataset->lengths[d];
        CHECK_FATAL(count <= 4096);
        isb__dataset_read(dataset, dataset->starts[d], count, wide);
        for (size_t i = 0; i < count; ++i) ids[i] = (uint32_t)wide[i];
        const isb__ids_view view = {ids, count};
        isb__decoded decoded;
        CHECK_OK(ctx, isb__tokenizer_decode(t, 1, &view, 0, &decoded, NULL, NULL));
        const uint8_t *text;
        size_t nbytes;
        CHECK_OK(ctx, isb_corpus_next(corpus, &text, &nbytes));
        CHECK_FATAL(text && decoded.nbytes == nbytes);
        CHECK(memcmp(decoded.bytes, text, nbytes) == 0);
    }
    isb_corpus_free(corpus);
    isb__tokenizer_free(t);
    isb__dataset_close(dataset);
}

static void test_datasets(void) {
    isb_prepare_result result;
    prepare("small.isb-codebook", "text.jsonl", "narrow", 0, &result);
    check_dataset("narrow", "text.jsonl", "narrow.isb-codebook", 2);
    CHECK(result.n_windows == 0 && result.m1_bytes == 0 && result.bytes_per_token > 2);
    prepare("wide.isb-codebook", "text.jsonl", "wide", 0, &result);
    check_dataset("wide", "text.jsonl", "wide.isb-codebook", 4);
    /* nothing is left behind when it fails */
    temp_write("broken.jsonl", "{\"text\":\"a\"}\n{\n", 15);
    const char *broken = "broken.jsonl";
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = "small.isb-codebook";
    const int n_files = temp_count(".");
    CHECK_STATUS(isb_prepare(ctx, &broken, 1, "lost", &options, NULL), ISB_ERR_CORRUPT);
    CHECK_EQ(temp_count("."), n_files);
}

static void test_files(const char *tokenizer, bool narrow) {
    static uint8_t bytes[5000];
    isb__rng rng;
    isb__rng_seed(&rng, 5);
    for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = (uint8_t)isb__rng_u64(&rng);
    temp_write("noise", bytes, sizeof bytes);
    const char *path = "noise";
    for (int f = ISB_IDS_U16; f <= ISB_IDS_JSON; ++f) {
        isb_encode_options options;
        isb_encode_options_init(&options);
        options.tokenizer = tokenizer;
        options.format = (isb_ids_format)f;
        options.whole_file = 1;
        const isb_status status = isb_encode_files(ctx, &path, 1, "ids", &options, NULL);
        CHECK_EQ(status, f == ISB_IDS_U16 && !narrow ? ISB_ERR_ARGUMENT : ISB_OK);
        if (status != ISB_OK) continue;
        CHECK_OK(ctx, isb_decode_file(ctx, "ids", "back", &options, NULL));
        CHECK(temp_holds("back", bytes, sizeof bytes));
    }
}

/* ---- models ---- */

static isb_status train(const char *prefix, const char *out, int resume, uint64_t steps,
                        isb_train_result *result) {
    isb_train_options o;
    isb_train_options_init(&o);
    o.dataset_prefix = prefix;
    o.out_dir = out;
    o.resume = resume;
    o.max_steps = steps;
    o.eval_batches = 2;
    o.seed = 7;
    if (!resume) {
        o.batch_rows = 4;
        o.model = (isb_model_config){
            .struct_size = sizeof o.model, .hidden_size = 16, .n_layers = 1, .n_heads = 2};
        o.model.intermediate_size = 32;
        o.model.context_length = 16;
        o.model.rope_theta = 10000;
        o.model.norm_eps = 1e-6;
        o.model.tie_embeddings = 1;
    }
    return isb_train(ctx, &o, result);
}

static isb_evaluate_result evaluate(const char *model, const char *text, const char *prefix) {
    isb_evaluate_options o;
    isb_evaluate_result r;
    isb_evaluate_options_init(&o);
    o.model_dir = model;
    o.dataset_prefix = prefix;
    CHECK_OK(ctx, isb_evaluate(ctx, &text, prefix ? 0 : 1, &o, &r));
    return r;
}

static int count_bytes(void *user, const uint8_t *bytes, size_t nbytes) {
    (void)bytes;
    *(size_t *)user += nbytes;
    return 0;
}

/* Weights that ask for the special id: it is not drawn, and the end is not mistaken for it. */
static void check_specials_never_drawn(const char *dir) {
    isb_model *model = NULL;
    CHECK_OK(ctx, isb_model_load(ctx, dir, &model));
    CHECK_EQ(model->boundary, model->config.vocab_size - 2);
    const size_t C = (size_t)model->config.hidden_size, V = (size_t)model->config.vocab_size;
    for (size_t v = 0; v < V; ++v) /* every state points to the last id */
        for (size_t c = 0; c < C; ++c) model->params.embed[v * C + c] = v == V - 1 ? 50.0f : 0.5f;
    CHECK_OK(ctx, isb__dir_create(ctx, "pointing"));
    CHECK_OK(ctx, isb__model_save(ctx, model, "pointing"));
    isb_codebook *codebook = NULL;
    CHECK_OK(ctx, isb_codebook_open(ctx, "small.isb-codebook", &codebook));
    CHECK_OK(ctx, isb_codebook_save(ctx, codebook, "pointing/tokenizer.isb-codebook"));
    isb_codebook_free(codebook);
    isb_generate_options o;
    isb_generate_result r;
    isb_generate_options_init(&o);
    size_t n_bytes = 0;
    o.model_dir = "pointing";
    o.prompt = (const uint8_t *)"the token";
    o.prompt_nbytes = 9;
    o.max_tokens = 50;
    o.ignore_end = 1;
    o.write = count_bytes;
    o.write_user = &n_bytes;
    CHECK_OK(ctx, isb_generate(ctx, &o, &r));
    CHECK_EQ(r.n_tokens, 50);
    CHECK(n_bytes >= 50 && n_bytes == r.n_bytes && r.n_prompt_tokens == 2);
    isb_model_free(model);
}

static void test_model(void) {
    isb_prepare_result prepared;
    isb_train_result r;
    prepare("small.isb-codebook", "text.jsonl", "tokens", 1, &prepared);
    CHECK_OK(ctx, train("tokens", "m2", 0, 6, &r));
    CHECK_EQ(r.model.config.vocab_size, 256 + N_WORDS + 2);
    CHECK(strcmp(r.model.tokenizer, "codebook:little") == 0);
    /* text and dataset are measured alike, to the last bit */
    prepare("small.isb-codebook", "text.jsonl", "all", 0, &prepared);
    const isb_evaluate_result a = evaluate("m2", "text.jsonl", NULL),
                              b = evaluate("m2", NULL, "all");
    CHECK(a.bits_per_byte == b.bits_per_byte && a.n_bytes == b.n_bytes);
    CHECK(a.flops_per_byte_m1 == a.flops_per_byte);
    check_specials_never_drawn("m2");
    CHECK_OK(ctx, train("tokens", "m2", 1, 8, &r));

    /* another codebook in its place is found out, with both names */
    make_codebook("little", "tokens.isb-codebook", N_WORDS - 1, false);
    CHECK_STATUS(train("tokens", "other", 0, 2, &r), ISB_ERR_MISMATCH);
    CHECK(strstr(isb_context_error(ctx), r.model.tokenizer_identity) != NULL);
    CHECK_STATUS(train("tokens", "m2", 1, 9, &r), ISB_ERR_MISMATCH);
    /* the run's own copy is enough to go on */
    CHECK(remove("tokens.isb-codebook") == 0);
    CHECK_OK(ctx, train("tokens", "m2", 1, 10, &r));
    CHECK_STATUS(train("tokens", "third", 0, 2, &r), ISB_ERR_NOT_FOUND);
    make_codebook("little", "m2/tokenizer.isb-codebook", N_WORDS - 1, false);
    isb_generate_options o;
    isb_generate_options_init(&o);
    o.model_dir = "m2";
    CHECK_STATUS(isb_generate(ctx, &o, NULL), ISB_ERR_MISMATCH);
    CHECK_STATUS(train("tokens", "m2", 1, 11, &r), ISB_ERR_MISMATCH);
    make_codebook("little", "m2/tokenizer.isb-codebook", N_WORDS, false);
}

/* ---- ids of another program ---- */

/* The corpus' ids as another program would write them. */
static void write_external(const char *path, bool with_text) {
    isb__tokenizer *t = NULL;
    isb_corpus *corpus = NULL;
    const char *from = "text.jsonl";
    FILE *file = fopen(path, "w");
    CHECK_FATAL(file != NULL);
    CHECK_OK(ctx, isb__tokenizer_open(ctx, "small.isb-codebook", NULL, &t));
    CHECK_OK(ctx, isb_corpus_open(ctx, &from, 1, NULL, &corpus));
    for (;;) {
        isb__bytes_view text;
        isb__encoded encoded;
        CHECK_OK(ctx, isb_corpus_next(corpus, &text.data, &text.nbytes));
        if (!text.data) break;
        CHECK_OK(ctx, isb__tokenizer_encode(t, 1, &text, &encoded, NULL, NULL));
        fprintf(file, "{\"ids\": [");
        for (size_t i = 0; i < encoded.count; ++i)
            fprintf(file, "%s%u", i ? ", " : "", (unsigned)encoded.ids[i]);
        fprintf(file, "], \"n_bytes\": %zu", text.nbytes);
        if (with_text) fprintf(file, ", \"text\": \"");
        for (size_t i = 0; with_text && i < text.nbytes; ++i)
            fprintf(file, text.data[i] == '\n' ? "\\n" : "%c", text.data[i]);
        fprintf(file, with_text ? "\"}\n" : "}\n");
    }
    isb_corpus_free(corpus);
    isb__tokenizer_free(t);
    CHECK(fclose(file) == 0);
}

static void check_same_file(const char *a, const char *b) {
    uint8_t *data = NULL;
    size_t n;
    CHECK_OK(ctx, isb__file_read(ctx, a, 1 << 26, &data, &n));
    CHECK(temp_holds(b, data, n));
    isb__free(ctx, data);
}

static void expect_refused(const char *line, isb_status status, const char *says, int split_files) {
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = "external:x,vocab=100";
    options.split_files = split_files;
    const char *path = "line.jsonl";
    temp_write(path, line, strlen(line));
    CHECK_STATUS(isb_prepare(ctx, &path, 1, "refused", &options, NULL), status);
    const int good = strstr(isb_context_error(ctx), says) != NULL;
    if (!good) printf("%s\n", isb_context_error(ctx));
    CHECK(good);
}

static void test_external(void) {
    char spec[64];
    isb_prepare_result ours, theirs;
    isb_train_result r;
    snprintf(spec, sizeof spec, "external:same,vocab=%d", 256 + N_WORDS + 1);
    write_external("with.jsonl", true);
    write_external("without.jsonl", false);
    prepare("small.isb-codebook", "text.jsonl", "ours", 1, &ours);
    prepare(spec, "with.jsonl", "theirs", 1, &theirs);
    CHECK(ours.n_bytes == theirs.n_bytes && ours.n_tokens == theirs.n_tokens);
    static const char *const sides[] = {"train", "valid", "test"};
    for (int i = 0; i < 3; ++i) {
        char a[64], b[64];
        snprintf(a, sizeof a, "ours.%s.bin", sides[i]);
        snprintf(b, sizeof b, "theirs.%s.bin", sides[i]);
        check_same_file(a, b);
        snprintf(a, sizeof a, "ours.%s.idx", sides[i]);
        snprintf(b, sizeof b, "theirs.%s.idx", sides[i]);
        check_same_file(a, b);
    }
    prepare(spec, "without.jsonl", "whole", 0, &theirs);
    CHECK(ours.n_bytes == theirs.n_bytes && ours.n_tokens == theirs.n_tokens);

    CHECK_OK(ctx, train("theirs", "foreign", 0, 4, &r));
    CHECK_EQ(r.model.config.vocab_size, 256 + N_WORDS + 1);
    CHECK(evaluate("foreign", NULL, "whole").bits_per_byte > 0);
    isb_evaluate_options e;
    isb_evaluate_result ignored;
    const char *text = "text.jsonl";
    isb_evaluate_options_init(&e);
    e.model_dir = "foreign";
    CHECK_STATUS(isb_evaluate(ctx, &text, 1, &e, &ignored), ISB_ERR_UNSUPPORTED);
    isb_generate_options o;
    isb_generate_options_init(&o);
    o.model_dir = "foreign";
    CHECK_STATUS(isb_generate(ctx, &o, NULL), ISB_ERR_UNSUPPORTED);
    CHECK(strstr(isb_context_error(ctx), "external:same") != NULL);

    expect_refused("{\"ids\": [1, 99], \"n_bytes\": 3}\n", ISB_ERR_CORRUPT, "id 99", 0);
    expect_refused("{\"ids\": [1], \"n_bytes\": 3}\n", ISB_ERR_CORRUPT, "no \"text\"", 1);
    expect_refused("{\"ids\": [1]}\n", ISB_ERR_CORRUPT, "neither", 0);
    expect_refused("{\"ids\": [1], \"n_bytes\": -3}\n", ISB_ERR_CORRUPT, "n_bytes", 0);
    expect_refused("{\"ids\": [1], \"n_bytes\": 4, \"text\": \"\\u00e9a\"}\n", ISB_ERR_CORRUPT,
                   "length of", 0);
    expect_refused("{\"n_bytes\": 3}\n", ISB_ERR_CORRUPT, "no array", 0);
    expect_refused("{\"ids\": [x], \"n_bytes\": 3}\n", ISB_ERR_CORRUPT, "line.jsonl:1", 0);
    expect_refused("{\"ids\": [1], \"text\": 7}\n", ISB_ERR_CORRUPT, "not a string", 0);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    CHECK_FATAL(chdir(temp_dir_begin()) == 0);
    ctx = small_context(NULL, 2);
    make_codebook("little", "small.isb-codebook", N_WORDS, false);
    make_codebook("many", "wide.isb-codebook", N_WORDS, true);
    write_text("text.jsonl", 120, seed);
    test_specs();
    test_round_trip("small.isb-codebook", seed);
    test_round_trip("wide.isb-codebook", seed);
    test_datasets();
    test_files("small.isb-codebook", true);
    test_files("wide.isb-codebook", false);
    test_model();
    test_external();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
