/* Saves and finds checkpoints.
 *
 * A checkpoint is written to checkpoints/.new, synced and renamed, so a name step-N is always a
 * whole folder.  A disk can still damage files later: state.json has their checksums, and
 * finding verifies them. */
#include "train/train_state.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/path.h"
#include "train/settings.h"

#define FORMAT_NAME "isobit training state"
enum { FORMAT_VERSION = 2, STATE_LIMIT = 1 << 24, CHECKSUM_NBYTES = 17 };

static const char checkpoints_name[] = "checkpoints", temporary_name[] = "checkpoints/.new";
static const char *const checked_files[] = {"config.json", "model.safetensors",
                                            "optimizer.safetensors"};
enum { N_CHECKED = sizeof checked_files / sizeof *checked_files };

/* ---- checksums ---- */

static void checksum_text(const void *data, size_t nbytes, char text[CHECKSUM_NBYTES]) {
    snprintf(text, CHECKSUM_NBYTES, "%016" PRIx64, isb__hash64(data, nbytes, 0));
}

static isb_status checksum_file(isb_context *ctx, const char *dir, const char *name,
                                char text[CHECKSUM_NBYTES]) {
    char *path = NULL;
    isb__map map;
    ISB_TRY(isb__path_join(ctx, dir, name, &path));
    const isb_status status = isb__map_open(ctx, path, &map);
    isb__free(ctx, path);
    if (status != ISB_OK) return status;
    checksum_text(map.data, map.nbytes, text);
    isb__map_close(&map);
    return ISB_OK;
}

/* Of the object in a form that reading and writing keep: sorted, without spaces.  Returns 0
 * without memory. */
static int checksum_json(const json_t *object, char text[CHECKSUM_NBYTES]) {
    char *canonical = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    if (!canonical) return 0;
    checksum_text(canonical, strlen(canonical), text);
    free(canonical);
    return 1;
}

/* ---- names ---- */

static int compare_steps(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* "step-" and digits, then `suffix`. */
static bool parse_name(const char *name, const char *suffix, uint64_t *step) {
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return false;
    char *end;
    errno = 0;
    *step = strtoull(name + 5, &end, 10);
    return errno == 0 && strcmp(end, suffix) == 0;
}

static isb_status step_path(isb_context *ctx, const char *out_dir, uint64_t step, char **path) {
    char name[64];
    snprintf(name, sizeof name, "%s/step-%08" PRIu64, checkpoints_name, step);
    return isb__path_join(ctx, out_dir, name, path);
}

/* A crash in the middle of replacing step-N left step-N.old: put back or removed. */
static isb_status recover(isb_context *ctx, const char *out_dir, uint64_t step) {
    char *path = NULL;
    ISB_TRY(step_path(ctx, out_dir, step, &path));
    const isb_status status = isb__dir_recover(ctx, path);
    isb__free(ctx, path);
    return status;
}

/* The steps that have a checkpoint, ascending.  Returns owned. */
static isb_status list_steps(isb_context *ctx, const char *out_dir, uint64_t **steps,
                             size_t *count) {
    char *dir = NULL, **names = NULL;
    size_t n_names = 0, capacity = 0;
    uint64_t step;
    isb_status status = ISB_OK;
    *steps = NULL;
    *count = 0;
    ISB_TRY_GOTO(isb__path_join(ctx, out_dir, checkpoints_name, &dir));
    if (isb__path_is_dir(dir)) ISB_TRY_GOTO(isb__dir_list(ctx, dir, &names, &n_names));
    for (size_t i = 0; i < n_names; ++i) {
        const bool old = parse_name(names[i], ".old", &step);
        if (old) ISB_TRY_GOTO(recover(ctx, out_dir, step));
        if (!old && !parse_name(names[i], "", &step)) continue;
        ISB_TRY_GOTO(isb__grow_array(ctx, *count + 1, sizeof **steps, &capacity, steps));
        (*steps)[(*count)++] = step;
    }
    if (*count > 0) qsort(*steps, *count, sizeof **steps, compare_steps);
fail:
    isb__names_free(ctx, names, n_names);
    isb__free(ctx, dir);
    if (status != ISB_OK) {
        isb__free(ctx, *steps);
        *steps = NULL;
        *count = 0;
    }
    return status;
}

/* ---- saving ---- */

/* The trainer's tensors and the losses.  Returns owned. */
static isb_status list_tensors(isb_context *ctx, const isb__trainer *trainer, uint64_t n_losses,
                               float *losses, isb__tensor_ref **refs, size_t *count) {
    const size_t n = trainer->ops->n_states(trainer);
    ISB_TRY(isb__alloc_array(ctx, n + 1, sizeof **refs, refs));
    trainer->ops->states(trainer, *refs);
    *count = 0;
    for (size_t i = 0; i < n; ++i) /* those that are on rank 0 only have no data here */
        if ((*refs)[i].data) (*refs)[(*count)++] = (*refs)[i];
    if (n_losses > 0) (*refs)[(*count)++] = (isb__tensor_ref){"loss", 1, (size_t)n_losses, losses};
    return ISB_OK;
}

static isb_status save_optimizer(isb_context *ctx, const char *dir, const isb__train_snapshot *s) {
    isb__tensor_ref *refs = NULL;
    char *path = NULL;
    size_t n;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(
        list_tensors(ctx, s->trainer, s->progress->step, s->progress->losses, &refs, &n));
    ISB_TRY_GOTO(isb__path_join(ctx, dir, "optimizer.safetensors", &path));
    ISB_TRY_GOTO(isb__safetensors_write(ctx, path, n, refs));
fail:
    isb__free(ctx, path);
    isb__free(ctx, refs);
    return status;
}

static isb_status describe_files(isb_context *ctx, const char *dir, json_t *files) {
    for (size_t i = 0; i < N_CHECKED; ++i) {
        char sum[CHECKSUM_NBYTES];
        ISB_TRY(checksum_file(ctx, dir, checked_files[i], sum));
        if (json_object_set_new(files, checked_files[i], json_string(sum)) != 0) {
            return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for the training state");
        }
    }
    return ISB_OK;
}

/* NULL if there was none. */
static json_t *eval_object(const isb__train_eval *eval) {
    if (eval->step == ISB__NO_STEP) return NULL;
    return json_pack("{s:I, s:f}", "step", (json_int_t)eval->step, "loss", eval->nats);
}

/* The whole state; takes `files`.  NULL: no memory. */
static json_t *state_object(const isb__train_snapshot *s, json_t *files) {
    const isb__train_progress *p = s->progress;
    char sum[CHECKSUM_NBYTES];
    json_t *root = json_pack(
        "{s:s, s:i, s:I, s:I, s:f, s:I, s:o*, s:o*, s:s, s:s?, s:s?, s:s, s:s, s:o, s:o}", "format",
        FORMAT_NAME,
        "version", FORMAT_VERSION, "step", (json_int_t)p->step, "tokens", (json_int_t)p->tokens,
        "seconds", p->seconds, "loader_position", (json_int_t)(p->step * s->settings->accumulate),
        "valid", eval_object(&p->last), "best", eval_object(&p->best), "fingerprint",
        s->fingerprint, "dataset_prefix", s->dataset_prefix, "device", s->settings->device,
        "tokenizer", s->model->tokenizer, isb__identity_key(s->model->tokenizer), s->model->tokenizer_identity,
        "options", isb__settings_to_json(s->settings), "files", files);
    if (root && checksum_json(root, sum) &&
        json_object_set_new(root, "checksum", json_string(sum)) == 0)
        return root;
    json_decref(root);
    return NULL;
}

static isb_status save_state(isb_context *ctx, const char *dir, const isb__train_snapshot *s) {
    json_t *files = json_object();
    char *path = NULL;
    isb_status status = describe_files(ctx, dir, files);
    if (status != ISB_OK) {
        json_decref(files);
        return status;
    }
    json_t *root = state_object(s, files);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    if (!text) return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for the training state");
    status = isb__path_join(ctx, dir, "state.json", &path);
    if (status == ISB_OK) status = isb__file_write(ctx, path, text, strlen(text));
    isb__free(ctx, path);
    free(text);
    return status;
}

static isb_status write_folder(isb_context *ctx, const char *dir, const isb__train_snapshot *s) {
    ISB_TRY(isb__dir_remove(ctx, dir));
    ISB_TRY(isb__dir_create(ctx, dir));
    ISB_TRY(isb__model_save(ctx, s->model, dir));
    ISB_TRY(save_optimizer(ctx, dir, s));
    return save_state(ctx, dir, s);
}

static isb_status remove_step(isb_context *ctx, const char *out_dir, uint64_t step) {
    char *path = NULL;
    ISB_TRY(step_path(ctx, out_dir, step, &path));
    const isb_status status = isb__dir_remove(ctx, path);
    isb__free(ctx, path);
    return status;
}

static isb_status prune(isb_context *ctx, const char *out_dir, uint64_t newest, size_t keep) {
    uint64_t *steps = NULL;
    size_t n, n_kept = 0;
    ISB_TRY(list_steps(ctx, out_dir, &steps, &n));
    isb_status status = ISB_OK;
    for (size_t i = n; i-- > 0 && status == ISB_OK;) {
        if (steps[i] <= newest && n_kept < keep) {
            ++n_kept;
        } else {
            status = remove_step(ctx, out_dir, steps[i]);
        }
    }
    isb__free(ctx, steps);
    return status;
}

static isb_status explain_no_space(isb_context *ctx) {
    char cause[ISB__ERROR_NBYTES];
    snprintf(cause, sizeof cause, "%s", isb_context_error(ctx));
    return isb__fail(
        ctx, ISB_ERR_NO_SPACE,
        "%s; no checkpoint was written and the older ones are untouched: free some space",
        cause);
}

isb_status isb__checkpoint_save(isb_context *ctx, const char *out_dir,
                                const isb__train_snapshot *s) {
    char *temporary = NULL, *path = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, out_dir, temporary_name, &temporary));
    ISB_TRY_GOTO(step_path(ctx, out_dir, s->progress->step, &path));
    status = write_folder(ctx, temporary, s);
    if (status == ISB_OK) status = isb__dir_commit(ctx, temporary, path);
    if (status == ISB_ERR_NO_SPACE) status = explain_no_space(ctx);
    if (status != ISB_OK) {
        (void)isb__dir_remove(ctx, temporary);
        goto fail;
    }
    ISB_TRY_GOTO(prune(ctx, out_dir, s->progress->step, s->settings->keep));
fail:
    isb__free(ctx, path);
    isb__free(ctx, temporary);
    return status;
}

/* ---- numbers that are none ---- */

static size_t first_not_finite(const float *x, size_t n) {
    size_t i = 0;
    while (i < n && isfinite(x[i])) ++i;
    return i;
}

/* The losses (spikes.h) are not for this. */
static isb_status check_finite(isb_context *ctx, size_t n, const isb__tensor_ref *refs,
                               const char *where) {
    for (size_t i = 0; i < n; ++i) {
        const size_t count = refs[i].rows * refs[i].cols,
                     at = first_not_finite(refs[i].data, count);
        if (at == count) continue;
        return isb__fail(ctx, ISB_ERR_CORRUPT,
                         "%s: the tensor %s has %g at element %zu of %zu, which no training can "
                         "go on from; take an earlier checkpoint or another model",
                         where, refs[i].name, (double)refs[i].data[at], at, count);
    }
    return ISB_OK;
}

isb_status isb__model_check_finite(isb_context *ctx, const isb_model *model, const char *where) {
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        const isb__tensor_ref ref = {t->name, t->rows, t->cols, model->data + t->offset};
        ISB_TRY(check_finite(ctx, 1, &ref, where));
    }
    return ISB_OK;
}

/* ---- finding ---- */

static isb_status check_state(isb__checkpoint *c, const char *path) {
    json_t *root = c->state;
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format || strcmp(format, FORMAT_NAME) != 0) {
        return isb__fail(c->ctx, ISB_ERR_FORMAT,
                         "%s is no training state: its format is not \"%s\"", path, FORMAT_NAME);
    }
    const json_int_t version = json_integer_value(json_object_get(root, "version"));
    if (version != FORMAT_VERSION) {
        return isb__fail(c->ctx, ISB_ERR_VERSION, "%s has version %lld, expected %d", path,
                         (long long)version, FORMAT_VERSION);
    }
    const char *written = json_string_value(json_object_get(root, "checksum"));
    char expected[CHECKSUM_NBYTES], found[CHECKSUM_NBYTES];
    snprintf(expected, sizeof expected, "%s", written ? written : "");
    json_object_del(root, "checksum");
    if (!checksum_json(root, found))
        return isb__fail(c->ctx, ISB_ERR_NO_MEMORY, "no memory to check %s", path);
    if (strcmp(expected, found) == 0) return ISB_OK;
    return isb__fail(c->ctx, ISB_ERR_CORRUPT, "%s has checksum %s, it says %s", path, found,
                     expected);
}

static isb__train_eval read_eval(const json_t *root, const char *name) {
    const json_t *eval = json_object_get(root, name);
    if (!eval) return (isb__train_eval){ISB__NO_STEP, 0};
    return (isb__train_eval){(uint64_t)json_integer_value(json_object_get(eval, "step")),
                             json_real_value(json_object_get(eval, "loss"))};
}

/* With the checksum right, the fields are those that were written. */
static void take_fields(isb__checkpoint *c) {
    c->options = json_object_get(c->state, "options");
    c->fingerprint = json_string_value(json_object_get(c->state, "fingerprint"));
    c->dataset_prefix = json_string_value(json_object_get(c->state, "dataset_prefix"));
    c->device = json_string_value(json_object_get(c->state, "device"));
    c->progress.step = (uint64_t)json_integer_value(json_object_get(c->state, "step"));
    c->progress.tokens = (uint64_t)json_integer_value(json_object_get(c->state, "tokens"));
    c->progress.seconds = json_real_value(json_object_get(c->state, "seconds"));
    c->progress.last = read_eval(c->state, "valid");
    c->progress.best = read_eval(c->state, "best");
}

static isb_status read_state(isb__checkpoint *c) {
    char *path = NULL;
    uint8_t *text = NULL;
    size_t nbytes;
    json_error_t error;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(c->ctx, c->dir, "state.json", &path));
    ISB_TRY_GOTO(isb__file_read(c->ctx, path, STATE_LIMIT, &text, &nbytes));
    c->state = json_loadb((const char *)text, nbytes, JSON_REJECT_DUPLICATES, &error);
    if (!c->state) {
        ISB_TRY_GOTO(isb__fail(c->ctx, ISB_ERR_CORRUPT, "%s is not JSON: %s, near byte %d", path,
                               error.text, error.position));
    }
    ISB_TRY_GOTO(check_state(c, path));
    take_fields(c);
fail:
    isb__free(c->ctx, text);
    isb__free(c->ctx, path);
    return status;
}

static isb_status verify_files(const isb__checkpoint *c) {
    const json_t *files = json_object_get(c->state, "files");
    for (size_t i = 0; i < N_CHECKED; ++i) {
        const char *expected = json_string_value(json_object_get(files, checked_files[i]));
        char found[CHECKSUM_NBYTES];
        ISB_TRY(checksum_file(c->ctx, c->dir, checked_files[i], found));
        if (expected && strcmp(expected, found) == 0) continue;
        return isb__fail(c->ctx, ISB_ERR_CORRUPT, "%s/%s has checksum %s, state.json says %s",
                         c->dir, checked_files[i], found, expected ? expected : "nothing");
    }
    return ISB_OK;
}

isb_status isb__checkpoint_open(isb_context *ctx, const char *out_dir, uint64_t step,
                                isb__checkpoint *c) {
    *c = (isb__checkpoint){.ctx = ctx};
    isb_status status = step_path(ctx, out_dir, step, &c->dir);
    if (status == ISB_OK) status = read_state(c);
    if (status != ISB_OK) isb__checkpoint_close(c);
    return status;
}

static isb_status open_step(isb_context *ctx, const char *out_dir, uint64_t step,
                            isb__checkpoint *c) {
    ISB_TRY(isb__checkpoint_open(ctx, out_dir, step, c));
    const isb_status status = verify_files(c);
    if (status != ISB_OK) isb__checkpoint_close(c);
    return status;
}

void isb__checkpoint_close(isb__checkpoint *c) {
    if (!c->ctx) return;
    json_decref(c->state);
    isb__free(c->ctx, c->dir);
    *c = (isb__checkpoint){0};
}

/* Failures that are the checkpoint's and not the machine's. */
static bool is_damage(isb_status status) {
    return status == ISB_ERR_CORRUPT || status == ISB_ERR_FORMAT || status == ISB_ERR_VERSION ||
           status == ISB_ERR_NOT_FOUND || status == ISB_ERR_IO || status == ISB_ERR_RANGE;
}

isb_status isb__checkpoint_find(isb_context *ctx, const char *out_dir, isb__checkpoint *c) {
    uint64_t *steps = NULL;
    size_t n;
    *c = (isb__checkpoint){0};
    ISB_TRY(list_steps(ctx, out_dir, &steps, &n));
    isb_status status =
        isb__fail(ctx, ISB_ERR_NOT_FOUND,
                  "%s has no checkpoint to resume from; start the run without resume", out_dir);
    for (size_t i = n; i-- > 0;) {
        status = open_step(ctx, out_dir, steps[i], c);
        if (status == ISB_OK || !is_damage(status)) break;
        isb__log(ctx, ISB_LOG_WARNING, "skipping the damaged checkpoint of step %" PRIu64 ": %s",
                 steps[i], isb_context_error(ctx));
    }
    isb__free(ctx, steps);
    if (n > 0 && is_damage(status)) {
        return isb__fail(ctx, ISB_ERR_CORRUPT,
                         "all %zu checkpoints in %s are damaged; start again with overwrite", n,
                         out_dir);
    }
    return status;
}

isb_status isb__checkpoint_is_published(const isb__checkpoint *c, const char *out_dir, bool *same) {
    static const char *const published[] = {"config.json", "model.safetensors"};
    const json_t *files = json_object_get(c->state, "files");
    *same = true;
    for (size_t i = 0; i < sizeof published / sizeof *published && *same; ++i) {
        const char *expected = json_string_value(json_object_get(files, published[i]));
        char found[CHECKSUM_NBYTES];
        const isb_status status = checksum_file(c->ctx, out_dir, published[i], found);
        if (status == ISB_ERR_NO_MEMORY) return status;
        *same = status == ISB_OK && expected && strcmp(expected, found) == 0;
    }
    return ISB_OK;
}

isb_status isb__checkpoint_load_trainer(const isb__checkpoint *c, const isb__trainer *trainer,
                                        float *losses) {
    isb__tensor_ref *refs = NULL;
    char *path = NULL;
    size_t n;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(list_tensors(c->ctx, trainer, c->progress.step, losses, &refs, &n));
    ISB_TRY_GOTO(isb__path_join(c->ctx, c->dir, "optimizer.safetensors", &path));
    ISB_TRY_GOTO(isb__safetensors_read(c->ctx, path, n, refs));
    ISB_TRY_GOTO(check_finite(c->ctx, c->progress.step > 0 ? n - 1 : n, refs, path));
fail:
    isb__free(c->ctx, path);
    isb__free(c->ctx, refs);
    return status;
}

/* ---- the run's folder ---- */

static isb_status move_up(isb_context *ctx, const char *from_dir, const char *to_dir,
                          const char *name) {
    char *from = NULL, *to = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, from_dir, name, &from));
    ISB_TRY_GOTO(isb__path_join(ctx, to_dir, name, &to));
    if (rename(from, to) != 0)
        ISB_TRY_GOTO(isb__fail_errno(ctx, errno, "cannot rename the new file to", to));
    ISB_TRY_GOTO(isb__path_sync_parent(ctx, to));
fail:
    isb__free(ctx, to);
    isb__free(ctx, from);
    return status;
}

isb_status isb__model_publish(isb_context *ctx, const isb_model *model, const char *out_dir) {
    char *temporary = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, out_dir, ".latest.tmp", &temporary));
    ISB_TRY_GOTO(isb__dir_remove(ctx, temporary));
    ISB_TRY_GOTO(isb__dir_create(ctx, temporary));
    ISB_TRY_GOTO(isb__model_save(
        ctx, model, temporary)); /* both files whole and synced before either is moved */
    ISB_TRY_GOTO(move_up(ctx, temporary, out_dir, "model.safetensors"));
    ISB_TRY_GOTO(move_up(ctx, temporary, out_dir, "config.json"));
    ISB_TRY_GOTO(isb__dir_remove(ctx, temporary));
fail:
    isb__free(ctx, temporary);
    return status;
}

isb_status isb__best_publish(isb_context *ctx, const isb_model *model, const isb__train_data *data,
                             const char *out_dir) {
    char *temporary = NULL, *path = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, out_dir, ".best.tmp", &temporary));
    ISB_TRY_GOTO(isb__path_join(ctx, out_dir, "best", &path));
    ISB_TRY_GOTO(isb__dir_remove(ctx, temporary));
    ISB_TRY_GOTO(isb__dir_create(ctx, temporary));
    ISB_TRY_GOTO(isb__model_save(ctx, model, temporary));
    ISB_TRY_GOTO(isb__train_data_copy_tokenizer(data, temporary));
    ISB_TRY_GOTO(isb__dir_commit(ctx, temporary, path));
fail:
    if (status != ISB_OK && temporary) (void)isb__dir_remove(ctx, temporary);
    isb__free(ctx, path);
    isb__free(ctx, temporary);
    return status;
}

static const char *const run_files[] = {
    "checkpoints",       "log.jsonl", "config.json", "model.safetensors", "tokenizer.isb-codebook",
    "best",              "best.old",  ".best.tmp",   ".latest.tmp"};
enum { N_RUN_FILES = sizeof run_files / sizeof *run_files };

isb_status isb__run_exists(isb_context *ctx, const char *out_dir, bool *exists) {
    *exists = false;
    for (size_t i = 0; i < N_RUN_FILES && !*exists; ++i) {
        char *path = NULL;
        ISB_TRY(isb__path_join(ctx, out_dir, run_files[i], &path));
        *exists = isb__path_exists(path);
        isb__free(ctx, path);
    }
    return ISB_OK;
}

static bool belongs_to_run(const char *name) {
    for (size_t i = 0; i < N_RUN_FILES; ++i) {
        if (strcmp(name, run_files[i]) == 0) return true;
    }
    return strncmp(name, "events.out.tfevents.", 20) == 0;
}

/* Half a file that a killed process was writing: base/writer.c. */
static bool is_litter(const char *name) {
    const char *suffix = strstr(name, ".tmp.");
    for (size_t i = 0; i < N_RUN_FILES && suffix; ++i) {
        const size_t length = (size_t)(suffix - name);
        if (strlen(run_files[i]) == length && memcmp(name, run_files[i], length) == 0) return true;
    }
    return false;
}

static isb_status remove_names(isb_context *ctx, const char *out_dir,
                               bool (*chosen)(const char *name)) {
    char **names = NULL;
    size_t n = 0;
    ISB_TRY(isb__dir_list(ctx, out_dir, &names, &n));
    isb_status status = ISB_OK;
    for (size_t i = 0; i < n && status == ISB_OK; ++i) {
        char *path = NULL;
        if (!chosen(names[i])) continue;
        status = isb__path_join(ctx, out_dir, names[i], &path);
        if (status == ISB_OK) status = isb__dir_remove(ctx, path);
        isb__free(ctx, path);
    }
    isb__names_free(ctx, names, n);
    return status;
}

isb_status isb__run_remove(isb_context *ctx, const char *out_dir) {
    ISB_TRY(isb__run_tidy(ctx, out_dir));
    return remove_names(ctx, out_dir, belongs_to_run);
}

isb_status isb__run_tidy(isb_context *ctx, const char *out_dir) {
    return remove_names(ctx, out_dir, is_litter);
}
