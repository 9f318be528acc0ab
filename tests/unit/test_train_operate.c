/* Operating a training run: spikes, the best model, locks, memory, numbers that are none, full
 * disks. */
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/available.h"
#include "base/hash.h"
#include "train/settings.h"
#include "train/train_state.h"
#include "train_runs.h"

/* ---- spikes ---- */

/* A trained model at a rate that teaches next to nothing: losses are noise, and with a limit below
 * it many steps are left out; which ones is the same after a resume. */
static void test_spikes(isb_context *ctx, const char *const *text) {
    isb_train_options o = small_run(text, at("spiky"));
    isb_train_result whole, rest;
    o.out_dir = at("calm");
    o.max_steps = 80;
    o.lr = 1e-2;
    CHECK_OK(ctx, isb_train(ctx, &o, &whole));
    CHECK_EQ(whole.skipped_steps, 0);
    o.init_from = at("calm");
    o.out_dir = at("spiky");
    o.schedule = ISB_SCHEDULE_CONSTANT;
    o.warmup_steps = 2;
    o.max_steps = 60;
    o.lr = 1e-6;
    o.spike_limit = 0.5;
    o.max_skipped = 60;
    CHECK_OK(ctx, isb_train(ctx, &o, &whole));
    CHECK(whole.skipped_steps > 2 && whole.skipped_steps < 35);
    CHECK_EQ(count_lines(ctx, at("spiky/log.jsonl"), "\"skipped\": \"loss "), whole.skipped_steps);
    o.out_dir = at("spiky-parts");
    for (o.max_steps = 25; o.max_steps <= 60; o.max_steps += 35) {
        CHECK_OK(ctx, isb_train(ctx, &o, &rest));
        o.resume = 1;
    }
    CHECK(strcmp(whole.model.identity, rest.model.identity) == 0);
    CHECK_EQ(whole.skipped_steps, rest.skipped_steps);
    check_same_file(ctx, at("spiky/checkpoints/step-00000060/optimizer.safetensors"),
                    at("spiky-parts/checkpoints/step-00000060/optimizer.safetensors"));
    CHECK_EQ(count_lines(ctx, at("spiky-parts/log.jsonl"), "\"skipped\""), rest.skipped_steps);

    o.out_dir = at("too-spiky");
    o.resume = 0;
    o.max_steps = 60;
    o.max_skipped = 1;
    CHECK_STATUS(isb_train(ctx, &o, &rest), ISB_ERR_DIVERGED);
    CHECK(strstr(isb_context_error(ctx), "spike_limit above 0.5") != NULL);
    o.spike_limit = -1; /* off */
    o.overwrite = 1;
    CHECK_OK(ctx, isb_train(ctx, &o, &rest));
    CHECK_EQ(rest.skipped_steps, 0);
}

/* ---- the best model ---- */

/* A rate that first helps and then harms. */
static void test_best(isb_context *ctx, const char *const *text) {
    isb_train_options o = small_run(text, at("best"));
    isb_train_result r, again;
    isb_model *model = NULL;
    isb_model_info info;
    o.max_steps = 60;
    o.eval_every = 5;
    o.lr = 0.3;
    o.schedule = ISB_SCHEDULE_CONSTANT;
    o.warmup_steps = 60;
    o.spike_limit = -1;
    o.keep_best = 1;
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK(r.best_step > 0 && r.best_step < 60 && r.best_step % 5 == 0);
    CHECK(r.best_bits_per_byte < r.valid_bits_per_byte);
    CHECK_OK(ctx, isb_model_load(ctx, at("best/best"), &model));
    isb_model_get_info(model, &info);
    CHECK(strcmp(info.identity, r.model.identity) != 0);
    isb_model_free(model);
    char line[64];
    snprintf(line, sizeof line, "{\"step\": %d, \"tokens\": %d, \"valid_loss\"", (int)r.best_step,
             (int)r.best_step * 128);
    CHECK_EQ(count_lines(ctx, at("best/log.jsonl"), line), 1);
    /* known after a resume, and the same as that of the run cut off at that step */
    isb_train_options rest;
    isb_train_options_init(&rest);
    rest.out_dir = o.out_dir;
    rest.resume = 1;
    rest.max_steps = 62;
    CHECK_OK(ctx, isb_train(ctx, &rest, &again));
    CHECK(again.best_step == r.best_step && again.best_bits_per_byte == r.best_bits_per_byte);
    o.out_dir = at("best-cut");
    o.max_steps = r.best_step;
    CHECK_OK(ctx, isb_train(ctx, &o, &again));
    check_same_file(ctx, at("best/best/model.safetensors"), at("best-cut/model.safetensors"));
    /* replaced with the run */
    o.out_dir = at("best");
    o.overwrite = 1;
    o.keep_best = 0;
    o.max_steps = 2;
    CHECK_OK(ctx, isb_train(ctx, &o, &again));
    CHECK(!isb__path_exists(at("best/best")) && again.best_step == 0);
}

/* ---- two runs in one folder ---- */

static void test_lock(isb_context *ctx, const char *const *text) {
    isb_train_options o = small_run(text, at("locked"));
    isb_train_result r;
    isb__lock *lock = NULL;
    char pid[32];
    CHECK_OK(ctx, isb__dir_create(ctx, at("locked")));
    CHECK_OK(ctx, isb__lock_open(ctx, at("locked"), &lock));
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_BUSY);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    CHECK(strstr(isb_context_error(ctx), pid) != NULL);
    CHECK(!isb__path_exists(at("locked/log.jsonl")));
    isb__lock_close(lock);
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
}

/* ---- memory ---- */

static void test_estimate(isb_context *ctx, const char *const *text) {
    for (int i = 0; i < 8; ++i) {
        isb_train_options o = small_run(text, at("estimated"));
        isb_train_estimate e = {.struct_size = sizeof e};
        isb_train_result r;
        o.overwrite = 1;
        o.max_steps = 1;
        o.model.hidden_size = i % 2 ? 128 : 36;
        o.model.position = i % 2 ? ISB_POSITION_T5 : ISB_POSITION_ROPE;
        o.model.tie_embeddings = i % 4 < 2;
        o.recompute = i / 4;
        o.optimizer = i % 2 ? ISB_OPTIMIZER_ADAFACTOR : ISB_OPTIMIZER_ADAMW;
        o.accumulate = (size_t)i + 1;
        CHECK_OK(ctx, isb_train_estimate_run(ctx, &o, &e));
        CHECK_OK(ctx, isb_train(ctx, &o, &r));
#if defined(__SANITIZE_ADDRESS__) /* plans have red zones, as many as regions */
        CHECK(fabs((double)e.total_nbytes - (double)r.memory_nbytes) < 0.05 * (double)r.memory_nbytes);
#else
        CHECK_EQ(e.total_nbytes, r.memory_nbytes);
#endif
        CHECK_EQ(e.model.n_parameters, r.model.n_parameters);
        CHECK(e.steps == 1 && e.tokens == r.tokens && e.train_flops == r.train_flops);
        CHECK(e.tokens_per_s == 0 || i > 0);
        o.max_memory_nbytes = e.total_nbytes; /* just enough */
        CHECK_OK(ctx, isb_train(ctx, &o, &r));
    }
}

static void test_refusal(isb_context *ctx, const char *const *text) {
    isb_train_options o = small_run(text, at("refused"));
    isb_train_estimate e = {.struct_size = sizeof e};
    isb_train_result r;
    CHECK_OK(ctx, isb_train_estimate_run(ctx, &o, &e));
    CHECK(!isb__path_exists(at("refused")));
    o.max_memory_nbytes = e.total_nbytes - 1;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_NO_MEMORY);
    CHECK(strstr(isb_context_error(ctx), "--batch 2 --accumulate 2 (") != NULL);
    o.batch_rows = 2; /* as advised */
    o.accumulate = 2;
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK(r.memory_nbytes < o.max_memory_nbytes);
    o.overwrite = 1;
    o.max_memory_nbytes = 1000;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_NO_MEMORY);
    CHECK(isb__path_exists(at("refused/model.safetensors"))); /* the older run is still there */
}

static void write_fake(isb_context *ctx, const char *name, const char *content) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s", at("fake"), name);
    CHECK_OK(ctx, isb__file_write(ctx, path, content, strlen(content)));
}

static void test_available(isb_context *ctx) {
    const char *const folders[] = {"fake/proc/self", "fake/sys/fs/cgroup/a/b",
                                   "fake/sys/fs/cgroup/memory/c"};
    const char *fake = at("fake");
    CHECK(isb__memory_available() > 0);
    CHECK(isb__memory_available_below(at("nowhere")) == UINT64_MAX);
    for (size_t i = 0; i < 3; ++i) CHECK_OK(ctx, isb__dir_create(ctx, at(folders[i])));
    write_fake(ctx, "proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:   5000 kB\n");
    CHECK_EQ(isb__memory_available_below(fake), 5000 * 1024);
    write_fake(ctx, "proc/self/cgroup", "0::/a/b\n");
    write_fake(ctx, "sys/fs/cgroup/a/b/memory.max", "max\n");
    write_fake(ctx, "sys/fs/cgroup/a/b/memory.current", "1000\n");
    CHECK_EQ(isb__memory_available_below(fake), 5000 * 1024);
    write_fake(ctx, "sys/fs/cgroup/a/memory.max", "400000\n"); /* a group above */
    write_fake(ctx, "sys/fs/cgroup/a/memory.current", "100000\n");
    CHECK_EQ(isb__memory_available_below(fake), 300000);
    write_fake(ctx, "proc/self/cgroup", "5:cpu:/c\n4:memory,hugetlb:/c\n");
    write_fake(ctx, "sys/fs/cgroup/memory/c/memory.limit_in_bytes", "2000\n");
    write_fake(ctx, "sys/fs/cgroup/memory/c/memory.usage_in_bytes", "3000\n");
    CHECK_EQ(isb__memory_available_below(fake), 0);
    write_fake(ctx, "proc/self/cgroup", "4:memory:/\n"); /* a container: only the root is there */
    write_fake(ctx, "sys/fs/cgroup/memory/memory.limit_in_bytes", "7000\n");
    CHECK_EQ(isb__memory_available_below(fake), 7000);
}

/* ---- numbers that are none ---- */

static char *checksum_of(isb_context *ctx, const char *path) {
    static char text[17];
    uint8_t *data;
    size_t n;
    CHECK_OK(ctx, isb__file_read(ctx, path, 1 << 26, &data, &n));
    snprintf(text, sizeof text, "%016" PRIx64, isb__hash64(data, n, 0));
    isb__free(ctx, data);
    return text;
}

/* state.json says again what the files are. */
static void seal(isb_context *ctx, const char *dir, const char *file) {
    char path[700], state[700];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    snprintf(state, sizeof state, "%s/state.json", dir);
    json_t *root_object = json_load_file(state, 0, NULL);
    CHECK_FATAL(root_object != NULL);
    json_object_set_new(json_object_get(root_object, "files"), file,
                        json_string(checksum_of(ctx, path)));
    json_object_del(root_object, "checksum");
    char *text = json_dumps(root_object, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    char sum[17];
    snprintf(sum, sizeof sum, "%016" PRIx64, isb__hash64(text, strlen(text), 0));
    json_object_set_new(root_object, "checksum", json_string(sum));
    CHECK(json_dump_file(root_object, state, JSON_REAL_PRECISION(17)) == 0);
    json_decref(root_object);
    free(text);
}

static void test_nan_weights(isb_context *ctx, const char *const *text) {
    isb_train_options o = small_run(text, at("nan"));
    isb_train_result r;
    isb_model *model = NULL;
    char dir[600];
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    snprintf(dir, sizeof dir, "%s", at("nan/checkpoints/step-00000012"));
    CHECK_OK(ctx, isb_model_load(ctx, dir, &model));
    model->params.layers[0].gate[5] = (float)NAN;
    CHECK_OK(ctx, isb__model_save(ctx, model, dir));
    isb_model_free(model);
    seal(ctx, dir, "model.safetensors");
    seal(ctx, dir, "config.json");
    o.resume = 1;
    o.max_steps = 14;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_CORRUPT);
    CHECK(strstr(isb_context_error(ctx), "model.layers.0.mlp.gate_proj.weight") != NULL);
    CHECK(strstr(isb_context_error(ctx), "element 5") != NULL);
    o = small_run(text, at("from-nan"));
    o.init_from = dir;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_CORRUPT);
    CHECK(strstr(isb_context_error(ctx), "gate_proj") != NULL);
}

/* ---- full disks ---- */

static struct rlimit roomy;
static int n_full;
/* Room is made at the second warning. */
static void make_room(void *user, isb_log_level level, const char *message) {
    (void)user;
    if (level != ISB_LOG_WARNING || !strstr(message, "tries again at step")) return;
    if (++n_full == 2) CHECK(setrlimit(RLIMIT_FSIZE, &roomy) == 0);
}

static void limit_files(rlim_t nbytes) {
    CHECK_FATAL(getrlimit(RLIMIT_FSIZE, &roomy) == 0);
    struct rlimit small = roomy;
    small.rlim_cur = nbytes;
    CHECK_FATAL(setrlimit(RLIMIT_FSIZE, &small) == 0);
}

/* Checkpoints of steps 3 and 6 do not fit, that of step 9 does; the run is the one that never
 * lacked room. */
static void test_full_for_a_while(isb_context *ctx, const char *const *text) {
    isb_context_options options;
    isb_context *other = NULL;
    isb_train_options o = small_run(text, at("roomy"));
    isb_train_result a, b;
    CHECK_OK(ctx, isb_train(ctx, &o, &a));
    isb_context_options_init(&options);
    options.log = make_room;
    CHECK_FATAL(isb_context_create(&options, &other) == ISB_OK);
    o.out_dir = at("full");
    o.text_paths = NULL;
    o.n_text_paths = 0;
    o.dataset_prefix = at("roomy/data/tokens");
    o.save_every = 3;
    o.keep = 10;
    limit_files(60000);
    CHECK_OK(other, isb_train(other, &o, &b));
    CHECK(setrlimit(RLIMIT_FSIZE, &roomy) == 0);
    CHECK_EQ(n_full, 2);
    CHECK(strcmp(a.model.identity, b.model.identity) == 0);
    CHECK(!isb__path_exists(at("full/checkpoints/step-00000006")));
    CHECK(isb__path_exists(at("full/checkpoints/step-00000009")));
    CHECK(isb__path_exists(at("full/checkpoints/step-00000012")));
    isb_context_free(other);
}

/* A log that meets a full disk in the middle of a line is whole once there is room. */
static void test_appender(isb_context *ctx) {
    isb__appender *a = NULL;
    uint8_t *data;
    size_t n;
    CHECK_OK(ctx, isb__appender_open(ctx, at("log"), true, &a));
    CHECK_OK(ctx, isb__appender_add(a, "first\n", 6));
    limit_files(9);
    CHECK_STATUS(isb__appender_add(a, "second\n", 7), ISB_ERR_NO_SPACE);
    CHECK_STATUS(isb__appender_add(a, "third\n", 6), ISB_ERR_NO_SPACE);
    CHECK(setrlimit(RLIMIT_FSIZE, &roomy) == 0);
    CHECK_OK(ctx, isb__appender_add(a, "fourth\n", 7));
    isb__appender_close(a);
    CHECK_OK(ctx, isb__file_read(ctx, at("log"), 1000, &data, &n));
    CHECK(n == 26 && memcmp(data, "first\nsecond\nthird\nfourth\n", 26) == 0);
    isb__free(ctx, data);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    isb_context_options options;
    isb_context *ctx = NULL;
    isb_context_options_init(&options);
    options.n_threads = 2;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    signal(SIGXFSZ, SIG_IGN); /* a write past the limit fails instead */
    const char *text[] = {begin_runs(ctx, seed)};
    test_spikes(ctx, text);
    test_best(ctx, text);
    test_lock(ctx, text);
    test_estimate(ctx, text);
    test_refusal(ctx, text);
    test_available(ctx);
    test_nan_weights(ctx, text);
    test_full_for_a_while(ctx, text);
    test_appender(ctx);
    end_runs(ctx);
    isb_context_free(ctx);
    return check_end();
}
