/* Small training runs on a generated text, for tests of training. */
#ifndef ISB_TESTS_TRAIN_RUNS_H
#define ISB_TESTS_TRAIN_RUNS_H

#include <isobit/isobit.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "check.h"
#include "nn/model.h"

static char root[64]; /* in memory where there is such a folder: checkpoints are synced */

static inline const char *at(const char *name) {
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

/* JSONL documents of words from a small list: easy to learn. */
static inline void write_text(isb_context *ctx, const char *path, int n_documents, uint64_t seed) {
    static const char *const words[] = {"the", "token", "of",     "equal", "information",
                                        "is",  "a",     "window", "and",   "model"};
    static char text[1 << 18];
    size_t n = 0;
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int d = 0; d < n_documents; ++d) {
        n += (size_t)snprintf(text + n, sizeof text - n, "{\"text\": \"");
        const int n_words = 5 + (int)isb__rng_below(&rng, 40);
        for (int w = 0; w < n_words; ++w) {
            n +=
                (size_t)snprintf(text + n, sizeof text - n, "%s ", words[isb__rng_below(&rng, 10)]);
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "\"}\n");
        CHECK_FATAL(n < sizeof text - 1024);
    }
    CHECK_OK(ctx, isb__file_write(ctx, path, text, n));
}

static inline isb_model_config small_model(void) {
    isb_model_config c = {.struct_size = sizeof c};
    c.hidden_size = 32;
    c.n_layers = 1;
    c.n_heads = 2;
    c.intermediate_size = 64;
    c.context_length = 32;
    c.rope_theta = 10000;
    c.norm_eps = 1e-6;
    c.tie_embeddings = 1;
    return c;
}

static inline isb_train_options small_run(const char *const *text, const char *out) {
    isb_train_options o;
    isb_train_options_init(&o);
    o.text_paths = text;
    o.n_text_paths = 1;
    o.prepare.tokenizer = "bytes";
    o.prepare.corpus.valid_permille = 100;
    o.out_dir = out;
    o.model = small_model();
    o.batch_rows = 4;
    o.max_steps = 12;
    o.eval_batches = 2;
    o.seed = 7;
    return o;
}

static inline void check_same_file(isb_context *ctx, const char *a, const char *b) {
    uint8_t *x, *y;
    size_t n, m;
    CHECK_OK(ctx, isb__file_read(ctx, a, 1 << 26, &x, &n));
    CHECK_OK(ctx, isb__file_read(ctx, b, 1 << 26, &y, &m));
    const int same = n == m && memcmp(x, y, n) == 0;
    check_report(same, __FILE__, __LINE__, "equal files", same ? "" : a);
    isb__free(ctx, x);
    isb__free(ctx, y);
}

static inline int count_lines(isb_context *ctx, const char *path, const char *with) {
    uint8_t *data;
    size_t n;
    int count = 0;
    CHECK_OK(ctx, isb__file_read(ctx, path, 1 << 26, &data, &n));
    for (char *line = strtok((char *)data, "\n"); line; line = strtok(NULL, "\n"))
        count += strstr(line, with) != NULL;
    isb__free(ctx, data);
    return count;
}

/* A folder for the runs with a text in it, whose name is returned. */
static inline const char *begin_runs(isb_context *ctx, uint64_t seed) {
    static char path[512];
    snprintf(root, sizeof root, "%s/isb-test-train-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK_FATAL(mkdtemp(root) != NULL);
    snprintf(path, sizeof path, "%s", at("text.jsonl"));
    write_text(ctx, path, 300, seed);
    return path;
}
static inline void end_runs(isb_context *ctx) { CHECK_OK(ctx, isb__dir_remove(ctx, root)); }

#endif
