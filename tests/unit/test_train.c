/* Training runs on a small generated text: the loss falls; a resumed run is the uninterrupted
 * one bit for bit; damage, interruption and wrong options end as documented. */
#include <isobit/isobit.h>

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "train/settings.h"
#include "train_runs.h"

static void flip_byte(isb_context *ctx, const char *path, size_t offset_from_end) {
    uint8_t *data;
    size_t n;
    CHECK_OK(ctx, isb__file_read(ctx, path, 1 << 26, &data, &n));
    data[n - 1 - offset_from_end] ^= 16;
    CHECK_OK(ctx, isb__file_write(ctx, path, data, n));
    isb__free(ctx, data);
}

/* ---- what a run does ---- */

static void test_loss_falls(isb_context *ctx, const char *const *text) {
    isb_train_options o = small_run(text, at("learn"));
    isb_train_result r;
    o.max_steps = 150;
    o.lr = 1e-2;
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK_EQ(r.steps, 150);
    CHECK_EQ(r.tokens, 150 * 4 * 32);
    CHECK(r.train_loss_nats < 2.0 &&
          r.valid_loss_nats < 2.0); /* from ln 257 = 5.5; a uniform letter is about 2.6 */
    CHECK(r.valid_bits_per_byte < 3.0 && r.valid_bits_per_byte > 0.5);
    CHECK(r.memory_nbytes > (uint64_t)r.model.n_parameters * 16);
    CHECK(strcmp(r.model.tokenizer, "bytes") == 0 && r.model.config.vocab_size == 257);
    /* the folder's model is the trained one */
    isb_model *model;
    isb_model_info info;
    CHECK_OK(ctx, isb_model_load(ctx, at("learn"), &model));
    isb_model_get_info(model, &info);
    CHECK(strcmp(info.identity, r.model.identity) == 0);
    isb_model_free(model);
    CHECK_EQ(count_lines(ctx, at("learn/log.jsonl"), "\"lr\""), 15);
    CHECK_EQ(count_lines(ctx, at("learn/log.jsonl"), "\"valid_bits_per_byte\""), 10);
}

/* One run of 12 steps; another of 12, stopped at 5 by its budget, resumed: same weights,
 * optimiser, losses. */
static void test_resume_is_exact(isb_context *ctx, const char *const *text, isb_optimizer optimizer,
                                 size_t accumulate) {
    isb_train_options o = small_run(text, at("whole"));
    isb_train_result whole, part, rest;
    o.overwrite = 1;
    o.optimizer = optimizer;
    o.accumulate = accumulate;
    o.schedule = ISB_SCHEDULE_CONSTANT; /* others stretch with the budget, which differs */
    o.warmup_steps = 3;
    o.cut_share = 0.5;
    CHECK_OK(ctx, isb_train(ctx, &o, &whole));
    o.out_dir = at("parts");
    o.max_steps = 5;
    CHECK_OK(ctx, isb_train(ctx, &o, &part));
    isb_train_options again;
    isb_train_options_init(&again);
    again.out_dir = o.out_dir;
    again.resume = 1;
    again.max_steps = 12;
    CHECK_OK(ctx, isb_train(ctx, &again, &rest));
    CHECK_EQ(rest.steps, 12);
    CHECK(whole.train_loss_nats == rest.train_loss_nats &&
          whole.valid_loss_nats == rest.valid_loss_nats);
    CHECK(strcmp(whole.model.identity, rest.model.identity) == 0);
    CHECK(strcmp(part.model.identity, rest.model.identity) != 0);
    check_same_file(ctx, at("whole/model.safetensors"), at("parts/model.safetensors"));
    check_same_file(ctx, at("whole/checkpoints/step-00000012/optimizer.safetensors"),
                    at("parts/checkpoints/step-00000012/optimizer.safetensors"));
    /* a run that is done does nothing when resumed */
    CHECK_OK(ctx, isb_train(ctx, &again, &rest));
    CHECK(strcmp(whole.model.identity, rest.model.identity) == 0 &&
          whole.valid_loss_nats == rest.valid_loss_nats);
}

/* The result does not depend on the number of threads. */
static void test_threads(isb_context *ctx, const char *const *text) {
    isb_context_options options;
    isb_context *three = NULL;
    isb_context_options_init(&options);
    options.n_threads = 3;
    CHECK_FATAL(isb_context_create(&options, &three) == ISB_OK);
    isb_train_result a, b;
    isb_train_options o = small_run(text, at("threads"));
    o.overwrite = 1;
    CHECK_OK(ctx, isb_train(ctx, &o, &a));
    CHECK_OK(three, isb_train(three, &o, &b));
    CHECK(strcmp(a.model.identity, b.model.identity) == 0);
    isb_context_free(three);
}

/* ---- checkpoints ---- */

static int warnings;
static void count_warnings(void *user, isb_log_level level, const char *message) {
    (void)user;
    if (level == ISB_LOG_WARNING && strstr(message, "damaged")) ++warnings;
}

/* Steps 4, 8, 12 saved, two kept; the newest is damaged: resuming goes on from 8 and makes the
 * same 12. */
static void test_damaged(const char *const *text, const char *file) {
    isb_context_options options;
    isb_context *ctx = NULL;
    isb_context_options_init(&options);
    options.log = count_warnings;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    isb_train_options o = small_run(text, at("damaged"));
    isb_train_result a, b;
    char path[600];
    o.overwrite = 1;
    o.save_every = 4;
    CHECK_OK(ctx, isb_train(ctx, &o, &a));
    CHECK(!isb__path_exists(at("damaged/checkpoints/step-00000004")));
    CHECK(isb__path_exists(at("damaged/checkpoints/step-00000008")));
    snprintf(path, sizeof path, "%s/%s", at("damaged/checkpoints/step-00000012"), file);
    flip_byte(ctx, path, 40);
    o.overwrite = 0;
    o.resume = 1;
    warnings = 0;
    CHECK_OK(ctx, isb_train(ctx, &o, &b));
    CHECK_EQ(warnings, 1);
    CHECK(strcmp(a.model.identity, b.model.identity) == 0 &&
          a.train_loss_nats == b.train_loss_nats);
    CHECK_EQ(
        count_lines(ctx, at("damaged/log.jsonl"), "{\"step\": 12, \"tokens\": 1536, \"seconds\""),
        1);

    snprintf(path, sizeof path, "%s/%s", at("damaged/checkpoints/step-00000012"), file);
    flip_byte(ctx, path, 40);
    snprintf(path, sizeof path, "%s/%s", at("damaged/checkpoints/step-00000008"), file);
    CHECK(unlink(path) == 0);
    CHECK_STATUS(isb_train(ctx, &o, &b), ISB_ERR_CORRUPT);
    isb_context_free(ctx);
}

/* A run cut off while it wrote a checkpoint, or while it replaced one, leaves litter that does
 * not matter. */
static void test_litter(isb_context *ctx, const char *const *text) {
    isb_train_options o = small_run(text, at("litter"));
    isb_train_result a, b;
    CHECK_OK(ctx, isb_train(ctx, &o, &a));
    CHECK_OK(ctx, isb__dir_create(ctx, at("litter/checkpoints/.new")));
    CHECK_OK(ctx, isb__file_write(ctx, at("litter/checkpoints/.new/model.safetensors"), "half", 4));
    CHECK(rename(at("litter/checkpoints/step-00000012"),
                 at("litter/checkpoints/step-00000012.old")) == 0);
    CHECK(unlink(at("litter/config.json")) == 0); /* torn between the two renames */
    o.resume = 1;
    o.max_steps = 14;
    CHECK_OK(ctx, isb_train(ctx, &o, &b));
    CHECK_EQ(b.steps, 14);
    CHECK(!isb__path_exists(at("litter/checkpoints/.new")));
    CHECK(isb__path_exists(at("litter/config.json")));
}

/* Files may not grow past 60 KB, so the checkpoint does not fit: the older one stays, whole. */
static void test_no_space(isb_context *ctx, const char *const *text) {
    isb_train_options o = small_run(text, at("full"));
    isb_train_result r;
    struct rlimit old, small;
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    o.resume = 1;
    o.max_steps = 20;
    signal(SIGXFSZ, SIG_IGN); /* the write fails instead */
    CHECK_FATAL(getrlimit(RLIMIT_FSIZE, &old) == 0);
    small = old;
    small.rlim_cur = 60000;
    CHECK_FATAL(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const isb_status status = isb_train(ctx, &o, &r);
    CHECK_FATAL(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK_EQ(status, ISB_ERR_NO_SPACE);
    CHECK(!isb__path_exists(at("full/checkpoints/.new")));
    CHECK(!isb__path_exists(at("full/checkpoints/step-00000020")));
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK_EQ(r.steps, 20);
}

/* ---- interruption ---- */

/* Slower than reports follow each other, so that none is left out. */
static isb_context *to_cancel;
static void cancel_when_training(void *user, const isb_progress *progress) {
    (void)user;
    if (strcmp(progress->task, "train") != 0 || progress->finished) return;
    usleep(120000);
    if (progress->done >= 3 * 4 * 32) isb_context_cancel(to_cancel);
}

static void test_cancel(isb_context *ctx, const char *const *text) {
    isb_context_options options;
    isb_train_result a, b;
    isb_train_options o = small_run(text, at("uncancelled"));
    o.max_steps = 30;
    CHECK_OK(ctx, isb_train(ctx, &o, &a));
    isb_context_options_init(&options);
    options.progress = cancel_when_training;
    CHECK_FATAL(isb_context_create(&options, &to_cancel) == ISB_OK);
    o.out_dir = at("cancelled");
    CHECK_STATUS(isb_train(to_cancel, &o, &b), ISB_ERR_CANCELLED);
    CHECK(strstr(isb_context_error(to_cancel), "resume") != NULL);
    CHECK_EQ(b.steps, 3);
    isb_context_free(to_cancel);
    o.resume = 1;
    CHECK_OK(ctx, isb_train(ctx, &o, &b));
    CHECK_EQ(b.steps, 30);
    CHECK(strcmp(a.model.identity, b.model.identity) == 0 &&
          a.train_loss_nats == b.train_loss_nats);
}

/* ---- errors ---- */

static void test_options(isb_context *ctx, const char *const *text) {
    isb_train_result r;
    isb_train_options o = small_run(text, at("options"));
    o.n_text_paths = 0;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_ARGUMENT);
    o = small_run(text, NULL);
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_ARGUMENT);
    o = small_run(text, at("options"));
    o.struct_size = 0;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_ARGUMENT);
    o = small_run(text, at("options"));
    o.model.hidden_size = 0;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_ARGUMENT);
    o = small_run(text, at("options"));
    o.model.vocab_size = 300;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_MISMATCH);
    CHECK(strstr(isb_context_error(ctx), "300") && strstr(isb_context_error(ctx), "257"));
    o = small_run(text, at("options"));
    o.lr = -1;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_RANGE);
    o = small_run(text, at("options"));
    o.beta2 = 1;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_RANGE);
    o = small_run(text, at("options"));
    o.model.context_length = 1 << 19;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_EMPTY);
    o = small_run(text, at("options"));
    o.resume = 1;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_NOT_FOUND);
    const char *missing[] = {"/nonexistent/file"};
    o = small_run(missing, at("options"));
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_NOT_FOUND);
    CHECK_OK(ctx, isb__file_write(ctx, at("empty.txt"), "", 0));
    const char *empty[] = {at("empty.txt")};
    o = small_run(empty, at("options"));
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_EMPTY);
}

/* An older run is replaced only on request; its options decide what resuming may ask for. */
static void test_existing(isb_context *ctx, const char *const *text) {
    isb_train_result r;
    isb_train_options o = small_run(text, at("existing"));
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_EXISTS);
    o.resume = 1;
    o.lr = 0.5;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_MISMATCH);
    CHECK(strstr(isb_context_error(ctx), "0.5") != NULL);
    o.lr = 0;
    o.model.n_layers = 2;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_MISMATCH);
    o = small_run(text, at("existing"));
    o.overwrite = 1;
    o.max_steps = 3;
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK(!isb__path_exists(at("existing/checkpoints/step-00000012")));
    CHECK(isb__path_exists(at("existing/checkpoints/step-00000003")));
}

static void test_init_from(isb_context *ctx, const char *const *text) {
    isb_train_result a, b;
    isb_train_options o = small_run(text, at("first"));
    CHECK_OK(ctx, isb_train(ctx, &o, &a));
    o.out_dir = at("second");
    o.init_from = at("first");
    o.model = (isb_model_config){.struct_size = sizeof o.model};
    o.max_steps = 1;
    CHECK_OK(ctx, isb_train(ctx, &o, &b));
    CHECK_EQ(b.model.config.hidden_size, 32);
    CHECK(fabs(b.train_loss_nats - a.train_loss_nats) < 0.5);
    o.overwrite = 1;
    o.model = small_model();
    o.model.n_layers = 2;
    CHECK_STATUS(isb_train(ctx, &o, &b), ISB_ERR_MISMATCH);
}

/* An absurd learning rate without clipping. */
static void test_diverges(isb_context *ctx, const char *const *text) {
    isb_train_result r;
    isb_train_options o = small_run(text, at("diverged"));
    o.lr = 900;
    o.grad_clip = -1;
    o.weight_decay = 900;
    o.warmup_steps = 1;
    o.max_steps = 200;
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_DIVERGED);
    CHECK(strstr(isb_context_error(ctx), "lower lr") != NULL);
}

/* ---- compressed tokens, from the M1 to the M2 ---- */

static void test_two_models(isb_context *ctx, const char *const *text) {
    isb_train_result r;
    isb_train_options o = small_run(text, at("m1"));
    o.cut_share = 0.5;
    o.max_steps = 30;
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    o = small_run(text, at("m2"));
    o.prepare.tokenizer = "window:b=16,token=8";
    CHECK_STATUS(isb_train(ctx, &o, &r), ISB_ERR_ARGUMENT);
    o.m1_dir = at("m1");
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK(r.model.tokenizer_identity[0] != '\0' && strncmp(r.model.tokenizer, "window:", 7) == 0);
    CHECK(isb__path_exists(at("m2/m1/model.safetensors")));
    CHECK(!isb__path_exists(at("m2/m1/checkpoints")));
    /* another M1 does not fit the tokens */
    isb_train_options other = small_run(text, at("m1-other"));
    other.seed = 8;
    CHECK_OK(ctx, isb_train(ctx, &other, &r));
    isb_train_options p = small_run(text, at("m2b"));
    p.text_paths = NULL;
    p.n_text_paths = 0;
    p.dataset_prefix = at("m2/data/tokens");
    p.m1_dir = at("m1-other");
    CHECK_STATUS(isb_train(ctx, &p, &r), ISB_ERR_MISMATCH);
    p.m1_dir = at("m2/m1");
    CHECK_OK(ctx, isb_train(ctx, &p, &r));
    CHECK(isfinite(r.valid_bits_per_byte)); /* PREFIX.valid was found */
    /* resumed without naming anything again */
    isb_train_options again;
    isb_train_options_init(&again);
    again.out_dir = at("m2");
    again.resume = 1;
    again.max_steps = 15;
    CHECK_OK(ctx, isb_train(ctx, &again, &r));
    CHECK_EQ(r.steps, 15);
}

/* The tokens are made again only when the text or the tokenizer changed. */
static void test_reuse(isb_context *ctx, const char *const *text) {
    struct stat before, same, changed;
    isb_train_result r;
    isb_train_options o = small_run(text, at("reuse"));
    o.overwrite = 1;
    o.max_steps = 1;
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK(stat(at("reuse/data/tokens.train.bin"), &before) == 0);
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK(stat(at("reuse/data/tokens.train.bin"), &same) == 0);
    CHECK(before.st_ino == same.st_ino && before.st_mtim.tv_nsec == same.st_mtim.tv_nsec);
    o.prepare.corpus.valid_permille = 50;
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK(stat(at("reuse/data/tokens.train.bin"), &changed) == 0);
    CHECK(before.st_size != changed.st_size);
}

/* ---- settings and the static M1 ---- */

static void test_settings(isb_context *ctx) {
    isb_train_options o;
    isb_train_options_init(&o);
    o.model = small_model();
    o.model.vocab_size = 257;
    o.max_tokens = 1000001;
    o.batch_rows = 2;
    CHECK_OK(ctx, isb__settings_resolve(ctx, &o));
    CHECK_EQ(isb__settings_tokens_per_step(&o), 64);
    CHECK_EQ(isb__settings_total_steps(&o), 15626);
    CHECK_EQ(o.warmup_steps, 312);
    o.max_flops = 10 * isb__settings_flops_per_step(&o);
    CHECK_EQ(isb__settings_total_steps(&o), 10);
    /* 6 N per token, and attention, and logits: C 32, F 64, V 257, mean context 16.5 */
    const double per_token = 2 * (4 * 32 * 32 + 3 * 32 * 64) + 2 * 2 * 32 * 16.5 + 2 * 32 * 257;
    CHECK(fabs(isb__settings_flops_per_step(&o) / (3 * 64 * per_token) - 1) < 1e-12);

    /* saved and merged into nothing, they come back; off stays off */
    isb_train_options back;
    isb_train_options_init(&back);
    o.weight_decay = -1;
    o.seed = UINT64_MAX;
    o.z_loss = 1.0 / 3;
    json_t *saved = isb__settings_to_json(&o);
    CHECK_OK(ctx, isb__settings_merge(ctx, saved, &back));
    CHECK_OK(ctx, isb__settings_resolve(ctx, &back));
    CHECK(back.weight_decay == -1 && back.seed == UINT64_MAX && back.z_loss == 1.0 / 3 &&
          back.lr == o.lr);
    CHECK(memcmp(&back.model, &o.model, sizeof o.model) == 0);
    CHECK(isb__setting(back.weight_decay) == 0);
    json_object_del(saved, "lr");
    CHECK_STATUS(isb__settings_merge(ctx, saved, &back), ISB_ERR_CORRUPT);
    json_decref(saved);
}

static void test_static(isb_context *ctx, const char *const *text) {
    isb_corpus_options corpus;
    isb_corpus_options_init(&corpus);
    CHECK_OK(ctx, isb_train_static(ctx, text, 1, &corpus, at("static"), 0));
    CHECK_STATUS(isb_train_static(ctx, text, 1, &corpus, at("static"), 0), ISB_ERR_EXISTS);
    CHECK_OK(ctx, isb_train_static(ctx, text, 1, &corpus, at("static"), 1));
    const char *empty[] = {at("empty.txt")};
    CHECK_STATUS(isb_train_static(ctx, empty, 1, &corpus, at("static2"), 0), ISB_ERR_EMPTY);
    isb_train_result r;
    isb_train_options o = small_run(text, at("m2-static"));
    o.prepare.tokenizer = "static-ac:token=8";
    o.m1_dir = at("static");
    CHECK_OK(ctx, isb_train(ctx, &o, &r));
    CHECK(isb__path_exists(at("m2-static/m1/static.json")) ||
          isb__path_exists(at("m2-static/m1/config.json")));
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    isb_context_options options;
    isb_context *ctx = NULL;
    isb_context_options_init(&options);
    options.n_threads = 2;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    const char *text[] = {begin_runs(ctx, seed)};
    test_loss_falls(ctx, text);
    test_resume_is_exact(ctx, text, ISB_OPTIMIZER_ADAMW, 1);
    test_resume_is_exact(ctx, text, ISB_OPTIMIZER_ADAFACTOR, 1);
    test_resume_is_exact(ctx, text, ISB_OPTIMIZER_ADAMW, 3);
    test_threads(ctx, text);
    test_damaged(text, "model.safetensors");
    test_damaged(text, "optimizer.safetensors");
    test_damaged(text, "state.json");
    test_litter(ctx, text);
    test_no_space(ctx, text);
    test_cancel(ctx, text);
    test_options(ctx, text);
    test_existing(ctx, text);
    test_init_from(ctx, text);
    test_diverges(ctx, text);
    test_two_models(ctx, text);
    test_reuse(ctx, text);
    test_settings(ctx);
    test_static(ctx, text);
    end_runs(ctx);
    isb_context_free(ctx);
    return check_end();
}
