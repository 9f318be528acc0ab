/* Models as data: sizes and checks of configurations, initial weights, identity, and model
 * folders that are whole, cut short, flipped, or made by others. */
#include <math.h>

#include "base/io.h"
#include "base/rng.h"
#include "check.h"
#include "nn/checkpoint.h"
#include "temp_dir.h"

static isb_context *ctx;

static isb_model_config small_config(void) {
    isb_model_config config;
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &config));
    config.vocab_size = 10;
    config.hidden_size = 8;
    config.n_heads = 2;
    config.n_layers = 2;
    config.intermediate_size = 12;
    config.context_length = 16;
    return config;
}

static isb_model *small_model(const isb_model_config *config) {
    isb_model *model = NULL;
    CHECK_OK(ctx, isb__model_create(ctx, config, &model));
    isb__model_init_weights(model, 7);
    return model;
}

/* ---- configurations ---- */

/* Sizes without embeddings as the names say (2b: 1.6e9 without; the name counts embeddings). */
static void test_sizes(void) {
    static const struct {
        const char *name;
        double low, high;
    } sizes[] = {{"nano", 0.4e6, 0.6e6}, {"tiny", 1.5e6, 2e6},   {"3m", 3e6, 3.3e6},
                 {"25m", 24e6, 26e6},    {"113m", 112e6, 114e6}, {"403m", 402e6, 404e6},
                 {"2b", 1.6e9, 1.7e9}};
    isb_model_config config;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        CHECK_OK(ctx, isb_model_config_init(ctx, sizes[i].name, &config));
        CHECK_OK(ctx, isb_model_config_check(ctx, &config));
        const double n = (double)isb__model_count(&config, 0);
        CHECK(n >= sizes[i].low && n <= sizes[i].high);
        CHECK_EQ(isb__model_count(&config, 1) - isb__model_count(&config, 0),
                 config.vocab_size * config.hidden_size);
    }
    CHECK_STATUS(isb_model_config_init(ctx, "4m", &config), ISB_ERR_ARGUMENT);
    CHECK(strstr(isb_context_error(ctx), "25m") != NULL);
}

#define CHECK_REFUSED(field, value, status)                        \
    do {                                                           \
        isb_model_config wrong = small_config();                   \
        wrong.field = (value);                                     \
        CHECK_STATUS(isb_model_config_check(ctx, &wrong), status); \
        CHECK(strstr(isb_context_error(ctx), #field) != NULL);     \
    } while (0)

static void test_check(void) {
    CHECK_REFUSED(vocab_size, 1, ISB_ERR_RANGE);
    CHECK_REFUSED(vocab_size, INT64_MAX, ISB_ERR_RANGE);
    CHECK_REFUSED(hidden_size, 6, ISB_ERR_SHAPE);
    CHECK_REFUSED(hidden_size, -8, ISB_ERR_RANGE);
    CHECK_REFUSED(n_heads, 0, ISB_ERR_RANGE);
    CHECK_REFUSED(n_heads, 3, ISB_ERR_SHAPE);
    CHECK_REFUSED(hidden_size, 1024, ISB_ERR_SHAPE); /* heads of 512 */
    CHECK_REFUSED(n_layers, 0, ISB_ERR_RANGE);
    CHECK_REFUSED(intermediate_size, 10, ISB_ERR_SHAPE);
    CHECK_REFUSED(context_length, 0, ISB_ERR_RANGE);
    CHECK_REFUSED(rope_theta, 0.5, ISB_ERR_RANGE);
    CHECK_REFUSED(norm_eps, -1.0, ISB_ERR_RANGE);
    CHECK_REFUSED(tie_embeddings, 2, ISB_ERR_RANGE);
    CHECK_REFUSED(struct_size, 0, ISB_ERR_ARGUMENT);
}

/* ---- parameters ---- */

static void test_layout(void) {
    isb_model_config config = small_config();
    config.position = ISB_POSITION_T5;
    config.tie_embeddings = 0;
    isb_model *model = small_model(&config);
    size_t total = 0, end = 0;
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        CHECK(t->offset % 16 == 0 && t->offset >= end && t->count == t->rows * t->cols);
        end = t->offset + t->count;
        total += t->count;
    }
    CHECK_EQ(total, isb__model_count(&config, 1));
    CHECK(end <= model->n_floats);
    const isb__layer_params *layer = &model->params.layers[1];
    CHECK(layer->k == layer->q + 64 && layer->v == layer->k + 64 && layer->up == layer->gate + 96);
    CHECK(model->params.head != model->params.embed && layer->bias != NULL);
    CHECK(layer->norm1[3] == 1 && layer->bias[5] == 0);
    isb_model_free(model);
}

static double deviation(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += (double)x[i] * (double)x[i];
    return sum / (double)n;
}

/* A function of seed and configuration alone; the deviations are those of the header. */
static void test_init(void) {
    isb_model_config config;
    isb_model *models[3];
    isb_context_options options;
    isb_context *serial = NULL;
    isb_context_options_init(&options);
    options.n_threads = 1;
    CHECK_OK(ctx, isb_context_create(&options, &serial));
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &config));
    for (int i = 0; i < 3; ++i) {
        CHECK_OK(ctx, isb__model_create(i == 1 ? serial : ctx, &config, &models[i]));
        isb__model_init_weights(models[i], i == 2 ? 6 : 5);
    }
    const size_t nbytes = models[0]->n_floats * sizeof(float);
    CHECK(memcmp(models[0]->data, models[1]->data, nbytes) == 0);
    CHECK(memcmp(models[0]->data, models[2]->data, nbytes) != 0);
    const isb__layer_params *layer = &models[0]->params.layers[0];
    CHECK(sqrt(deviation(layer->gate, 512 * 128)) > 0.0195 &&
          sqrt(deviation(layer->gate, 512 * 128)) < 0.0205);
    CHECK(sqrt(deviation(layer->down, 512 * 128)) > 0.00975 &&
          sqrt(deviation(layer->down, 512 * 128)) < 0.01025);
    for (int i = 0; i < 3; ++i) isb_model_free(models[i]);
    isb_context_free(serial);
}

/* Every weight and every field of the configuration counts. */
static void test_identity(void) {
    const isb_model_config config = small_config();
    isb_model *model = small_model(&config);
    const isb__id128 id = isb__model_identity(model);
    isb__id128 other = isb__model_identity(model);
    CHECK(memcmp(&id, &other, sizeof id) == 0);
    uint32_t *bits = (uint32_t *)(void *)&model->data[model->tensors[model->n_tensors - 1].offset];
    *bits ^= 1;
    other = isb__model_identity(model);
    CHECK(memcmp(&id, &other, sizeof id) != 0);
    *bits ^= 1;
    model->config.rope_theta += 1;
    other = isb__model_identity(model);
    CHECK(memcmp(&id, &other, sizeof id) != 0);
    isb_model_free(model);
}

static void test_flops(void) {
    isb_model_config config;
    CHECK_OK(ctx, isb_model_config_init(ctx, "3m", &config));
    const isb__model_flops flops = isb__model_forward_flops(&config, 256.5);
    CHECK(flops.matrices == 2.0 * 3 * (4 * 256 * 256 + 3 * 256 * 1024));
    CHECK(flops.attention == 2.0 * 3 * 2 * 256 * 256.5);
    CHECK(flops.logits == 2.0 * 256 * 257);
}

/* ---- folders ---- */

static const char *model_dir(const char *name) {
    const char *dir = temp_path(name);
    CHECK_OK(ctx, isb__dir_create(ctx, dir));
    return dir;
}

static void test_round_trip(void) {
    isb_model_config config = small_config();
    config.norm_eps = 1.2345678901234567e-5;
    config.rope_theta = 500000;
    for (int i = 0; i < 4; ++i) {
        config.position = i & 1 ? ISB_POSITION_T5 : ISB_POSITION_ROPE;
        config.activation = i & 2 ? ISB_ACTIVATION_RELU : ISB_ACTIVATION_SILU;
        config.tie_embeddings = i < 2;
        isb_model *model = small_model(&config), *loaded = NULL;
        snprintf(model->tokenizer, sizeof model->tokenizer, "window:b=16,\"quoted\"");
        snprintf(model->tokenizer_identity, sizeof model->tokenizer_identity,
                 "0123456789abcdef0123456789abcdef");
        const char *dir = model_dir("round");
        CHECK_OK(ctx, isb__model_save(ctx, model, dir));
        CHECK_OK(ctx, isb_model_load(ctx, dir, &loaded));
        isb_model_info before, after;
        isb_model_get_info(model, &before);
        isb_model_get_info(loaded, &after);
        CHECK(memcmp(model->data, loaded->data, model->n_floats * sizeof(float)) == 0);
        CHECK(strcmp(before.identity, after.identity) == 0 && strlen(after.identity) == 32);
        CHECK(after.config.norm_eps == config.norm_eps &&
              after.config.rope_theta == config.rope_theta);
        CHECK(after.config.position == config.position &&
              after.config.activation == config.activation);
        CHECK(strcmp(after.tokenizer, before.tokenizer) == 0 &&
              strcmp(after.tokenizer_identity, before.tokenizer_identity) == 0);
        CHECK_EQ(after.n_parameters, isb__model_count(&config, 1));
        isb_model_free(loaded);
        isb_model_free(model);
    }
}

static size_t read_whole(const char *path, uint8_t **data) {
    size_t nbytes = 0;
    CHECK_OK(ctx, isb__file_read(ctx, path, 1 << 24, data, &nbytes));
    return nbytes;
}

static isb_status load_changed(const char *path, const uint8_t *data, size_t nbytes) {
    isb_model *model = NULL;
    temp_write(path, data, nbytes);
    const isb_status status = isb_model_load(ctx, temp_path("bad"), &model);
    isb_model_free(model);
    return status;
}

/* Any bit, header or data, and any length. */
static void test_damage(uint64_t seed) {
    const isb_model_config config = small_config();
    isb_model *model = small_model(&config);
    CHECK_OK(ctx, isb__model_save(ctx, model, model_dir("bad")));
    char path[1024];
    snprintf(path, sizeof path, "%s", temp_path("bad/model.safetensors"));
    uint8_t *data = NULL;
    const size_t nbytes = read_whole(path, &data);
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < nbytes; i += i < 3000 ? 1 : 97) {
        const uint8_t was = data[i];
        data[i] ^= (uint8_t)(1u << isb__rng_below(&rng, 8));
        const isb_status status = load_changed(path, data, nbytes);
        if (status == ISB_OK)
            printf("a flipped bit in byte %zu is not found: %.40s\n", i,
                   data + (i < 20 ? 8 : i - 20));
        CHECK(status != ISB_OK);
        data[i] = was;
    }
    data[nbytes - 3] ^= 4;
    CHECK_STATUS(load_changed(path, data, nbytes), ISB_ERR_CORRUPT);
    CHECK(strstr(isb_context_error(ctx), "model.norm.weight") &&
          strstr(isb_context_error(ctx), "checksum"));
    data[nbytes - 3] ^= 4;
    for (size_t n = 0; n < nbytes; n += n < 100 ? 1 : 211)
        CHECK_STATUS(load_changed(path, data, n), ISB_ERR_CORRUPT);
    CHECK_STATUS(load_changed(path, data, nbytes), ISB_OK);
    isb__free(ctx, data);
    isb_model_free(model);
}

/* A file of others: header text and as many bytes of data, then read as tensor "a" [2, 3]. */
static isb_status read_foreign(const char *header, uint64_t announced, size_t data_nbytes,
                               float *values) {
    uint8_t file[2048] = {0};
    const uint64_t length = announced ? announced : strlen(header);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, strlen(header));
    static const uint16_t halves[6] = {0x3c00, 0xc000, 0x0001, 0x8000, 0x3555, 0x7c00};
    memcpy(file + 8 + strlen(header), halves, sizeof halves);
    const char *path = temp_path("foreign.safetensors");
    temp_write(path, file, 8 + strlen(header) + data_nbytes);
    const isb__tensor_ref a = {"a", 2, 3, values};
    return isb__safetensors_read(ctx, path, 1, &a);
}

#define A_F16(begin, end) \
    "\"a\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[" #begin "," #end "]}"
#define B_F16(begin, end) \
    "\"b\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[" #begin "," #end "]}"

static void test_foreign(void) {
    float x[6];
    CHECK_OK(ctx, read_foreign("{" A_F16(0, 12) "}", 0, 12, x));
    CHECK(x[0] == 1 && x[1] == -2 && x[2] == 0x1p-24f && x[3] == 0 && signbit(x[3]) &&
          fabsf(x[4] - 1.0f / 3) < 1e-3f);
    CHECK(isinf(x[5]));
    CHECK_OK(ctx,
             read_foreign("{\"a\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]}}", 0,
                          12, x));
    CHECK(x[0] == 0.0078125f && x[1] == -2);
    CHECK_OK(ctx, read_foreign(
                      "{" B_F16(12, 18) "," A_F16(0, 12) ",\"__metadata__\":{\"format\":\"pt\"}}",
                      0, 18, x));
    static const struct {
        const char *header;
        uint64_t announced;
        size_t nbytes;
        isb_status status;
        const char *says;
    } bad[] = {
        {"{" A_F16(0, 12) "}", 0, 11, ISB_ERR_CORRUPT, "truncated"},
        {"{" A_F16(0, 12) "}", 0, 13, ISB_ERR_CORRUPT, "follow the last"},
        {"{" A_F16(0, 12) "," A_F16(0, 12) "}", 0, 12, ISB_ERR_CORRUPT, "duplicate"},
        {"{" A_F16(0, 12) "," B_F16(6, 12) "}", 0, 12, ISB_ERR_CORRUPT, "overlap"},
        {"{" A_F16(0, 12) "," B_F16(14, 20) "}", 0, 20, ISB_ERR_CORRUPT, "belong to no tensor"},
        {"{" A_F16(0, 12) "}", UINT64_MAX, 12, ISB_ERR_CORRUPT, "announce"},
        {"{" A_F16(0, 12) "}", 99999999, 12, ISB_ERR_CORRUPT, "announce"},
        {"{" A_F16(12, 0) "}", 0, 12, ISB_ERR_CORRUPT, "'a'"},
        {"{" A_F16(-1, 11) "}", 0, 12, ISB_ERR_CORRUPT, "'a'"},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         12, ISB_ERR_CORRUPT, "'a'"},
        {"{\"a\":{\"dtype\":\"Q4\",\"shape\":[2,3],\"data_offsets\":[0,3]}}", 0, 3, ISB_ERR_CORRUPT,
         "'a'"},
        {"{\"a\":{\"dtype\":\"I16\",\"shape\":[2,3],\"data_offsets\":[0,12]}}", 0, 12,
         ISB_ERR_UNSUPPORTED, "I16"},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[3,2],\"data_offsets\":[0,12]}}", 0, 12,
         ISB_ERR_SHAPE, "'a'"},
        {"{" B_F16(0, 6) "}", 0, 6, ISB_ERR_CORRUPT, "missing"},
        {"[]", 0, 0, ISB_ERR_CORRUPT, "JSON"},
        {"{\"a\":", 0, 0, ISB_ERR_CORRUPT, "JSON"},
        {"{\"__metadata__\":{\"isobit.version\":\"2\"}}", 0, 0, ISB_ERR_VERSION, "isobit.version"},
        {"{\"__metadata__\":{\"isobit.version\":\"1\",\"format\":\"pt\"}," A_F16(0, 12) "}", 0, 12,
         ISB_ERR_CORRUPT, "checksum"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        CHECK_STATUS(read_foreign(bad[i].header, bad[i].announced, bad[i].nbytes, x),
                     bad[i].status);
        if (!strstr(isb_context_error(ctx), bad[i].says))
            printf("%s: %s\n", bad[i].header, isb_context_error(ctx));
        CHECK(strstr(isb_context_error(ctx), bad[i].says) != NULL);
    }
}

/* Replaces the first `from` in config.json by `to`. */
static isb_status load_edited(const char *from, const char *to) {
    const isb_model_config config = small_config();
    isb_model *model = small_model(&config), *loaded = NULL;
    const char *dir = model_dir("edited");
    CHECK_OK(ctx, isb__model_save(ctx, model, dir));
    char path[1024], text[8192];
    snprintf(path, sizeof path, "%s", temp_path("edited/config.json"));
    uint8_t *data = NULL;
    (void)read_whole(path, &data);
    const char *at = strstr((char *)data, from);
    if (!at) printf("%s is not in %s\n", from, (char *)data);
    CHECK_FATAL(at != NULL);
    const int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - (char *)data), (char *)data,
                           to, at + strlen(from));
    temp_write(path, text, (size_t)n);
    const isb_status status = isb_model_load(ctx, temp_path("edited"), &loaded);
    CHECK((loaded != NULL) == (status == ISB_OK));
    isb_model_free(loaded);
    isb_model_free(model);
    isb__free(ctx, data);
    return status;
}

static void test_config_json(void) {
    CHECK_STATUS(load_edited("\"llama\"", "\"llama\""), ISB_OK);
    CHECK_STATUS(load_edited("\"llama\"", "\"gpt2\""), ISB_ERR_FORMAT);
    CHECK(strstr(isb_context_error(ctx), "model_type") && strstr(isb_context_error(ctx), "gpt2"));
    CHECK_STATUS(load_edited("\"hidden_size\": 8", "\"hidden_size\": \"8\""), ISB_ERR_FORMAT);
    CHECK_STATUS(load_edited("\"intermediate_size\": 12", "\"intermediate_size\": 13"),
                 ISB_ERR_SHAPE);
    CHECK_STATUS(load_edited("\"vocab_size\": 10", "\"vocab_size\": 11"), ISB_ERR_SHAPE);
    CHECK_STATUS(load_edited("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 1"),
                 ISB_ERR_UNSUPPORTED);
    CHECK_STATUS(load_edited("\"attention_bias\": false", "\"attention_bias\": true"),
                 ISB_ERR_UNSUPPORTED);
    CHECK_STATUS(load_edited("\"head_dim\": 4", "\"head_dim\": 8"), ISB_ERR_UNSUPPORTED);
    CHECK_STATUS(load_edited("\"rope_theta\": 10000.0", "\"rope_theta\": 20000.0"),
                 ISB_ERR_CORRUPT);
    CHECK(strstr(isb_context_error(ctx), "do not belong together") != NULL);
    CHECK_STATUS(load_edited("\"version\": 1", "\"version\": 9"), ISB_ERR_VERSION);
    CHECK_STATUS(load_edited("\"use_cache\"", "\"vocab_size\""), ISB_ERR_CORRUPT);
    CHECK_STATUS(load_edited("\"architectures\"", "architectures"), ISB_ERR_CORRUPT);
    CHECK_STATUS(load_edited("\"rms_norm_eps\": 1e-6,", "\"rms_norm_eps\": 1e-6 ,"),
                 ISB_OK); /* short digits were written */
}

static void test_folders(void) {
    isb_model *model = NULL;
    CHECK_STATUS(isb_model_load(ctx, temp_path("nowhere"), &model), ISB_ERR_NOT_FOUND);
    temp_write(temp_path("file"), "x", 1);
    CHECK_STATUS(isb_model_load(ctx, temp_path("file"), &model), ISB_ERR_FORMAT);
    CHECK_STATUS(isb_model_load(ctx, model_dir("empty"), &model), ISB_ERR_NOT_FOUND);
    CHECK(strstr(isb_context_error(ctx), "config.json") != NULL);
    CHECK_STATUS(isb_model_load(ctx, NULL, &model), ISB_ERR_ARGUMENT);
    CHECK(model == NULL);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    temp_dir_begin();
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    test_sizes();
    test_check();
    test_layout();
    test_init();
    test_identity();
    test_flops();
    test_round_trip();
    test_damage(seed);
    test_foreign();
    test_config_json();
    test_folders();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
