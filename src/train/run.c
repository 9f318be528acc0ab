/* Sets a training run up: options, data, model, memory, files; in this order, so that what is
 * wrong is found before what takes long, and an older run is replaced last. */
#include "train/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/plan.h"
#include "comm/launch.h"
#include "data/options.h"
#include "train/estimate.h"
#include "train/settings.h"

enum { DEFAULT_CONTEXT = 512, CUT_MIN = 4 };
#define DEFAULT_RAW_SHARE 0.1

void isb_train_options_init(isb_train_options *options) {
    *options = (isb_train_options){.struct_size = sizeof *options};
    options->model.struct_size = sizeof options->model;
    isb_prepare_options_init(&options->prepare);
}

int isb_train_rank(int *n_ranks) {
    if (n_ranks) *n_ranks = isb__launch_size();
    return isb__launch_rank();
}

/* ---- options ---- */

static isb_status check_options(isb_context *ctx, const isb_train_options *o) {
    const bool prefix = o->dataset_prefix != NULL, text = o->n_text_paths > 0;
    if (!o->out_dir || !*o->out_dir)
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "out_dir is missing: the folder to train in");
    if (prefix && text) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "both dataset_prefix and text_paths are given; train on one of the two");
    }
    if (!prefix && !text && !o->resume) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "nothing to train on: give dataset_prefix or text_paths");
    }
    if (o->resume && o->overwrite) {
        return isb__fail(
            ctx, ISB_ERR_ARGUMENT,
            "both resume and overwrite are set; choose whether the run in %s goes on or is "
            "replaced",
            o->out_dir);
    }
    bool exists = false;
    if (!o->resume && !o->overwrite) ISB_TRY(isb__run_exists(ctx, o->out_dir, &exists));
    if (exists) {
        return isb__fail(
            ctx, ISB_ERR_EXISTS,
            "%s holds a run already; resume it, overwrite it, or choose another folder",
            o->out_dir);
    }
    return ISB_OK;
}

/* What is not given comes from the checkpoint. */
static isb_status merge_checkpoint(isb__run *run, const isb__checkpoint *c) {
    isb_train_options *s = &run->settings;
    ISB_TRY(isb__settings_merge(run->ctx, c->options, s));
    if (!s->dataset_prefix && s->n_text_paths == 0) s->dataset_prefix = c->dataset_prefix;
    if (!s->device && c->device) {
        snprintf(run->device, sizeof run->device, "%s", c->device);
        s->device = run->device;
    }
    return ISB_OK;
}

static isb_status check_fingerprint(const isb__run *run, const isb__checkpoint *c) {
    if (strcmp(run->data.fingerprint, c->fingerprint) == 0) return ISB_OK;
    return isb__fail(
        run->ctx, ISB_ERR_MISMATCH,
        "the training data has fingerprint %s, but the checkpoint in %s was trained on %s; "
        "resume with the same data",
        run->data.fingerprint, c->dir, c->fingerprint);
}

/* ---- the model ---- */

static isb_status check_vocabulary(const isb__run *run, int64_t vocab_size, const char *whose) {
    const isb_dataset_info *info = &run->data.train->info;
    if (vocab_size == info->n_ids) return ISB_OK;
    return isb__fail(
        run->ctx, ISB_ERR_MISMATCH,
        "%s has a vocabulary of %lld ids, but the data has %lld with the boundary (%s)", whose,
        (long long)vocab_size, (long long)info->n_ids, info->tokenizer);
}

static isb_status check_origin(const isb__run *run, const isb_model *model, const char *dir) {
    const isb_dataset_info *info = &run->data.train->info;
    ISB_TRY(check_vocabulary(run, model->config.vocab_size, dir));
    if (model->first_byte_id != info->first_byte_id) {
        return isb__fail(run->ctx, ISB_ERR_MISMATCH, "%s %s raw bytes, and the data %s", dir,
                         model->first_byte_id > 0 ? "was trained with" : "does not read",
                         info->first_byte_id > 0 ? "has them" : "was prepared without");
    }
    if (strcmp(model->tokenizer, info->tokenizer) == 0 &&
        strcmp(model->tokenizer_identity, info->tokenizer_identity) == 0)
        return ISB_OK;
    return isb__fail(run->ctx, ISB_ERR_MISMATCH,
                     "%s was trained on ids of %s ('%s'), but the data has ids of %s ('%s')", dir,
                     model->tokenizer, model->tokenizer_identity, info->tokenizer,
                     info->tokenizer_identity);
}

static bool same_shape(const isb_model_config *a, const isb_model_config *b) {
    return a->hidden_size == b->hidden_size && a->n_layers == b->n_layers &&
           a->n_heads == b->n_heads && a->intermediate_size == b->intermediate_size &&
           a->activation == b->activation && a->position == b->position &&
           a->tie_embeddings == b->tie_embeddings;
}

/* Continues from the weights of `init_from`, whose shape is taken if none is given. */
static isb_status load_initial(isb__run *run) {
    isb_train_options *s = &run->settings;
    ISB_TRY(isb_model_load(run->ctx, s->init_from, &run->model));
    ISB_TRY(check_origin(run, run->model, s->init_from));
    isb_model_config *config = &run->model->config;
    if (s->model.hidden_size != 0 && !same_shape(&s->model, config)) {
        return isb__fail(
            run->ctx, ISB_ERR_MISMATCH,
            "the model in %s has another shape (hidden_size %lld, n_layers %lld) than asked "
            "for (%lld, %lld); leave the size out",
            s->init_from, (long long)config->hidden_size, (long long)config->n_layers,
            (long long)s->model.hidden_size, (long long)s->model.n_layers);
    }
    if (s->model.context_length != 0) config->context_length = s->model.context_length;
    s->model = *config;
    ISB_TRY(isb_model_config_check(run->ctx, config));
    return isb__model_check_finite(run->ctx, run->model, s->init_from);
}

static isb_status complete_model(isb__run *run) {
    isb_train_options *s = &run->settings;
    const isb_dataset_info *info = &run->data.train->info;
    if (s->model.hidden_size == 0) {
        return isb__fail(run->ctx, ISB_ERR_ARGUMENT,
                         "the model has no size; fill `model` with isb_model_config_init()");
    }
    if (s->model.vocab_size == 0) s->model.vocab_size = info->n_ids;
    if (s->model.context_length == 0) s->model.context_length = DEFAULT_CONTEXT;
    ISB_TRY(isb_model_config_check(run->ctx, &s->model));
    return check_vocabulary(run, s->model.vocab_size, "the model");
}

static isb_status create_model(isb__run *run) {
    const isb_train_options *s = &run->settings;
    const isb_dataset_info *info = &run->data.train->info;
    ISB_TRY(isb__model_create(run->ctx, &s->model, &run->model));
    isb__model_init_weights(run->model, s->seed);
    run->model->boundary = info->n_codes;
    run->model->first_byte_id = info->first_byte_id;
    snprintf(run->model->tokenizer, sizeof run->model->tokenizer, "%s", info->tokenizer);
    snprintf(run->model->tokenizer_identity, sizeof run->model->tokenizer_identity, "%s",
             info->tokenizer_identity);
    return ISB_OK;
}

static isb_status load_checkpoint_model(isb__run *run, const isb__checkpoint *c) {
    ISB_TRY(isb_model_load(run->ctx, c->dir, &run->model));
    ISB_TRY(check_origin(run, run->model, c->dir));
    return isb__model_check_finite(run->ctx, run->model, c->dir);
}

/* ---- memory ---- */

static isb_status open_loader(isb__run *run) {
    const isb_train_options *s = &run->settings;
    const isb_dataset_info *info = &run->data.train->info;
    const size_t T = (size_t)s->model.context_length;
    const isb__loader_options options = {.B = s->batch_rows,
                                         .T = T,
                                         .seed = s->seed,
                                         .isolate_documents = 1,
                                         .cut_share = s->cut_share,
                                         .cut_min = T < CUT_MIN ? T : CUT_MIN,
                                         .raw_share = isb__setting(s->raw_share),
                                         .strings = &run->data.strings};
    ISB_TRY(isb__loader_create(run->ctx, run->data.train, &options, &run->loader));
    const uint64_t n = info->n_tokens + info->n_documents;
    if (n >= T) return ISB_OK;
    return isb__fail(run->ctx, ISB_ERR_EMPTY,
                     "the training data has %" PRIu64
                     " ids, fewer than one row of %zu; give it more text or a "
                     "shorter context",
                     n, T);
}

static isb_status plan_buffers(isb__run *run) {
    const isb_train_options *s = &run->settings;
    run->n_batches = s->accumulate / (size_t)isb__comm_size(run->comm);
    const size_t n_ids = run->n_batches * s->batch_rows * (size_t)s->model.context_length;
    isb__plan plan;
    isb__plan_begin(&plan, run->ctx);
    isb__plan_add(&plan, "inputs", n_ids * sizeof(int32_t), &run->inputs);
    isb__plan_add(&plan, "targets", n_ids * sizeof(int32_t), &run->targets);
    isb__plan_add(&plan, "starts", n_ids * sizeof(int32_t), &run->starts);
    run->memory_nbytes += isb__plan_nbytes(&plan);
    return isb__plan_commit(&plan, &run->block);
}

static isb_status forward(void *trainer, const isb__batch *batch, float *token_nats,
                          isb__loss *loss) {
    isb__trainer *t = trainer;
    return t->ops->forward(t, batch, token_nats, loss);
}

static isb_status open_scorer(isb__run *run) {
    const isb__forward by_trainer = {forward, run->trainer, run->trainer->B, run->trainer->T};
    if (!run->data.valid) return ISB_OK;
    return isb__scorer_create(run->ctx, &by_trainer, 0, (int32_t)run->data.train->info.n_codes,
                              &run->scorer);
}

static isb_status open_compose(isb__run *run) {
    const isb__id_strings *strings = &run->data.strings;
    if (run->settings.embeddings != ISB_EMBEDDINGS_COMPOSED) return ISB_OK;
    ISB_TRY(isb__compose_map_create(run->ctx, (size_t)run->settings.model.vocab_size, strings->n,
                                    strings->begin, strings->bytes, ISB__COMPOSE_FEATURES,
                                    &run->compose_map));
    run->memory_nbytes += isb__compose_map_nbytes(run->compose_map);
    return ISB_OK;
}

/* A GPU's memory is the trainer's to ask for. */
static isb_status check_memory(isb__run *run) {
    const isb_train_options *s = &run->settings;
    const uint64_t weights = run->model ? run->model->n_floats * sizeof(float) : 0,
                   map = run->compose_map ? isb__compose_map_nbytes(run->compose_map) : 0;
    if (s->device && strcmp(s->device, "cpu") != 0) return ISB_OK;
    return isb__estimate_check(run->ctx, s, run->compose_map, weights + map);
}

static isb_status open_trainer(isb__run *run) {
    const isb_train_options *s = &run->settings;
    const isb__trainer_options options = {
        .B = s->batch_rows,
        .T = (size_t)s->model.context_length,
        .optimizer = {.kind = s->optimizer,
                      .beta1 = isb__setting(s->beta1),
                      .beta2 = isb__setting(s->beta2),
                      .eps = isb__setting(s->eps),
                      .weight_decay = isb__setting(s->weight_decay),
                      .embedding_rate = s->embedding_lr},
        .recompute = s->recompute,
        .compose = run->compose_map,
        .comm = run->comm,
        .device = s->device};
    uint64_t host, device;
    ISB_TRY(isb__trainer_create(run->ctx, run->model, &options, &run->trainer));
    ISB_TRY(plan_buffers(run));
    run->trainer->ops->memory(run->trainer, &host, &device);
    run->memory_nbytes += run->model->n_floats * sizeof(float) + host + device;
    return open_scorer(run);
}

/* ---- state and files ---- */

static isb_status load_progress(isb__run *run, const isb__checkpoint *c) {
    isb__train_progress *p = &run->progress;
    const uint64_t step = c->progress.step;
    ISB_TRY(isb__grow_array(run->ctx, (size_t)step + 1, sizeof *p->losses, &run->losses_capacity,
                            &p->losses));
    ISB_TRY(run->trainer->ops->pull(run->trainer)); /* the memory to load into */
    ISB_TRY(isb__comm_agree(run->comm,
                            isb__checkpoint_load_trainer(c, run->trainer, p->losses)));
    ISB_TRY(run->trainer->ops->push(run->trainer));
    float *losses = p->losses;
    *p = c->progress;
    p->losses = losses;
    return ISB_OK;
}

/* After a crash: OUT/best, if it was being replaced, and half-written files. */
static isb_status mend_folder(isb__run *run) {
    char *path = NULL;
    ISB_TRY(isb__run_tidy(run->ctx, run->settings.out_dir));
    ISB_TRY(isb__path_join(run->ctx, run->settings.out_dir, "best", &path));
    const isb_status status = isb__dir_recover(run->ctx, path);
    isb__free(run->ctx, path);
    return status;
}

static isb_status open_files(isb__run *run, const isb__checkpoint *c) {
    const isb_train_options *s = &run->settings;
    const int64_t step = s->resume ? (int64_t)run->progress.step : -1;
    ISB_TRY(s->resume ? mend_folder(run) : isb__run_remove(run->ctx, s->out_dir));
    ISB_TRY(isb__train_data_copy_tokenizer(&run->data, s->out_dir));
    ISB_TRY(isb__log_jsonl_open(run->ctx, s->out_dir, step, &run->log));
    ISB_TRY(
        isb__tensorboard_open(run->ctx, s->out_dir, step < 0 ? -1 : step + 1, &run->tensorboard));
    bool published = true;
    if (s->resume) ISB_TRY(isb__checkpoint_is_published(c, s->out_dir, &published));
    return published ? ISB_OK : isb__model_publish(run->ctx, run->model, s->out_dir);
}

/* ---- several processes ---- */

/* A multiple of the number of processes; that by default. */
static isb_status divide_batch(isb__run *run) {
    isb_train_options *s = &run->settings;
    const size_t R = (size_t)isb__comm_size(run->comm), n = s->accumulate;
    char divisors[128] = "";
    if (n == 0) s->accumulate = R;
    if (n % R == 0) return ISB_OK;
    for (size_t d = 1, at = 0; d <= n && at < sizeof divisors - 32; ++d) {
        if (n % d == 0)
            at += (size_t)snprintf(divisors + at, sizeof divisors - at, "%s%zu", at ? ", " : "", d);
    }
    return isb__fail(run->ctx, ISB_ERR_RANGE,
                     "a step of %zu micro-batches (accumulate) cannot be divided between %zu "
                     "processes; start %s processes, or, in a new run, let accumulate be a multiple "
                     "of %zu",
                     n, R, divisors, R);
}

/* Text is tokenised by rank 0; the others then find what it made. */
static isb_status open_data(isb__run *run) {
    const isb_train_options *s = &run->settings;
    const bool first = isb__comm_rank(run->comm) == 0;
    isb_status status =
        first ? isb__train_data_open(run->ctx, s, s->resume, &run->data) : ISB_OK;
    ISB_TRY(isb__comm_agree(run->comm, status));
    status = first ? ISB_OK : isb__train_data_open(run->ctx, s, 1, &run->data);
    return isb__comm_agree(run->comm, status);
}

/* Everything that this process makes for itself. */
static isb_status open_parts(isb__run *run, const isb__checkpoint *c) {
    isb_train_options *s = &run->settings;
    if (s->resume) {
        ISB_TRY(check_fingerprint(run, c));
        ISB_TRY(load_checkpoint_model(run, c));
    } else {
        ISB_TRY(s->init_from ? load_initial(run) : complete_model(run));
    }
    ISB_TRY(divide_batch(run));
    if (s->raw_share == 0 && run->data.train->info.first_byte_id > 0)
        s->raw_share = DEFAULT_RAW_SHARE;
    isb__settings_choose_embeddings(s, run->data.strings.n > 0);
    ISB_TRY(isb__settings_resolve(run->ctx, s));
    ISB_TRY(open_loader(run));
    ISB_TRY(open_compose(run));
    ISB_TRY(check_memory(run));
    if (!run->model) ISB_TRY(create_model(run));
    return open_trainer(run);
}

static isb_status open_with(isb__run *run, const isb__checkpoint *c) {
    const isb_train_options *s = &run->settings;
    const bool first = isb__comm_rank(run->comm) == 0;
    if (s->resume) ISB_TRY(merge_checkpoint(run, c));
    ISB_TRY(open_data(run));
    ISB_TRY(isb__comm_agree(run->comm, open_parts(run, c)));
    /* other processors, other roundings: all begin with the weights of rank 0 */
    ISB_TRY(s->resume ? load_progress(run, c) : run->trainer->ops->push(run->trainer));
    return isb__comm_agree(run->comm, first ? open_files(run, c) : ISB_OK);
}

/* Rank 0 looks for one that is whole. */
static isb_status find_checkpoint(isb__run *run, isb__checkpoint *c) {
    const char *out_dir = run->settings.out_dir;
    const bool first = isb__comm_rank(run->comm) == 0;
    isb_status status = first ? isb__checkpoint_find(run->ctx, out_dir, c) : ISB_OK;
    ISB_TRY(isb__comm_agree(run->comm, status));
    uint64_t step = c->progress.step;
    ISB_TRY(isb__comm_broadcast(run->comm, 0, sizeof step, &step));
    status = first ? ISB_OK : isb__checkpoint_open(run->ctx, out_dir, step, c);
    return isb__comm_agree(run->comm, status);
}

/* Rank 0 speaks for all. */
static void be_quiet(isb__run *run) {
    if (isb__comm_rank(run->comm) == 0) return;
    run->ctx->options.log = NULL;
    run->ctx->options.progress = NULL;
}

/* The folder is this run's from here on.  One that is not there has nothing to resume. */
static isb_status lock_folder(isb__run *run) {
    const isb_train_options *s = &run->settings;
    if (isb__comm_rank(run->comm) != 0) return ISB_OK;
    if (!s->resume) ISB_TRY(isb__dir_create(run->ctx, s->out_dir));
    if (!isb__path_is_dir(s->out_dir)) return ISB_OK;
    return isb__lock_open(run->ctx, s->out_dir, &run->lock);
}

static isb_status open_run(isb__run *run, isb__checkpoint *checkpoint) {
    ISB_TRY(isb__comm_open(run->ctx, &run->comm));
    be_quiet(run);
    ISB_TRY(isb__comm_agree(run->comm, check_options(run->ctx, &run->settings)));
    ISB_TRY(isb__comm_agree(run->comm, lock_folder(run)));
    if (run->settings.resume) ISB_TRY(find_checkpoint(run, checkpoint));
    return open_with(run, checkpoint);
}

isb_status isb__run_open(isb_context *ctx, const isb_train_options *options, isb__run *run) {
    isb__checkpoint checkpoint = {0};
    const double begin_s = isb__now_s();
    *run = (isb__run){.ctx = ctx, .heard = ctx->options};
    ISB_TRY(ISB__CHECK_OPTIONS(ctx, options, "isb_train_options"));
    run->settings = *options;
    run->progress.last.step = run->progress.best.step = ISB__NO_STEP;
    const isb_status status = open_run(run, &checkpoint);
    isb__checkpoint_close(&checkpoint);
    if (status != ISB_OK) {
        isb__run_close(run);
    } else if (options->resume) {
        isb__log(ctx, ISB_LOG_INFO, "resumed at step %" PRIu64 " after %.2f s", run->progress.step,
                 isb__now_s() - begin_s);
    }
    return status;
}

void isb__run_close(isb__run *run) {
    isb__tensorboard_close(run->tensorboard);
    isb__log_jsonl_close(run->log);
    isb__free(run->ctx, run->progress.losses);
    isb__scorer_free(run->scorer);
    isb__free(run->ctx, run->block);
    isb__trainer_free(run->trainer);
    isb__compose_map_free(run->compose_map);
    isb__comm_close(run->comm);
    isb__loader_free(run->loader);
    isb_model_free(run->model);
    isb__train_data_close(&run->data);
    isb__lock_close(run->lock);
    run->ctx->options.log = run->heard.log;
    run->ctx->options.progress = run->heard.progress;
    *run = (isb__run){0};
}
