/* Training on GPUs: each rank has one, with the whole model.
 *
 *     weights     float32 and, for products, bf16   all of them on every rank
 *     gradients   float32                           all; after reduce() this rank's part is right
 *     moments     float32, two                      this rank's part (Rajbhandari et al. 2020)
 *
 * Blocks are laid out like the model's parameters, rounded up so that every rank's part is the same
 * size.  With composed embeddings (nn/compose.h) they hold `own` where the model has its table,
 * and `shared` after the last tensor; the table is on the device only in bf16, which is made from
 * the two after each step.  All memory on the device is one allocation, made at the start.
 *
 * backward() puts a whole micro-batch in line and waits only for its loss, which is known a third
 * of the way through: the device is not idle between micro-batches. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/gpu_compose.h"
#include "train/trainer.h"

enum { EVENT_LOSS = 4 /* cuda/feed.c has those before */, PART_STEP = 64, N_SUMS = 2 };

typedef struct trainer_cuda {
    isb__trainer base;
    isb__comm *comm;
    isb__gpu *gpu;
    isb__gpu_graph *graph;
    isb__feed *feed;
    isb__optimizer_options optimizer;
    isb__gpu_compose compose;
    size_t n_floats, n_padded; /* of the model and `shared`; of blocks on the device */
    size_t part, part_begin;   /* this rank's */
    void *d_memory;
    uint64_t device_nbytes;
    float *d_weights, *d_grads, *d_first, *d_second; /* moments: [part] */
    isb__bf16 *d_bf16;
    double *d_norm_parts, *d_norm;
    isb__gpu_slice *d_slices; /* of this rank's part */
    size_t n_slices;
    double *pinned;        /* [N_SUMS] */
    float *first, *second; /* [host_moments()], for checkpoints */
    float *own, *shared;   /* composed: on the host, likewise */
    char (*names)[128];    /* [2 * n_trained()] of the optimiser's state */
} trainer_cuda;

static trainer_cuda *cuda_of(const isb__trainer *trainer) { return (trainer_cuda *)trainer; }

/* What went wrong on the device, if anything has. */
static isb_status check_device(const trainer_cuda *t) {
    const char *text;
    const isb_status status = isb__gpu_status(t->gpu, &text);
    if (status == ISB_OK) return ISB_OK;
    return isb__fail(t->base.ctx, status, "%s: %s; resume the run from its last checkpoint",
                     isb__gpu_name(t->gpu), text);
}

static int is_composed(const trainer_cuda *t) { return t->compose.map != NULL; }

/* In a block. */
static size_t table_begin(const trainer_cuda *t) { return t->base.model->tensors[0].offset; }
static size_t shared_begin(const trainer_cuda *t) { return t->base.model->n_floats; }

static void make_table(const trainer_cuda *t) {
    isb__gpu_compose_forward(t->gpu, &t->compose, t->d_weights + table_begin(t),
                             t->d_weights + shared_begin(t), t->d_bf16 + table_begin(t));
}

/* ---- one step ---- */

static isb_status cuda_begin(isb__trainer *trainer) {
    const trainer_cuda *t = cuda_of(trainer);
    isb__gpu_zero(t->gpu, t->d_grads, t->n_padded * sizeof *t->d_grads);
    return check_device(t);
}

/* Waits until the loss is known. */
static void fetch_loss(const trainer_cuda *t) {
    isb__gpu_download(t->gpu, t->pinned, isb__gpu_graph_sums(t->graph), N_SUMS * sizeof *t->pinned);
    isb__gpu_mark(t->gpu, EVENT_LOSS, 0);
}

static isb_status take_loss(const trainer_cuda *t, const isb__gpu_batch *batch, isb__loss *loss) {
    isb__gpu_wait(t->gpu, EVENT_LOSS);
    ISB_TRY(check_device(t));
    *loss = (isb__loss){t->pinned[0], t->pinned[1], batch->n_targets};
    return ISB_OK;
}

static isb_status cuda_backward(isb__trainer *trainer, const isb__batch *batch, float scale,
                                float z_weight, isb__loss *loss) {
    const trainer_cuda *t = cuda_of(trainer);
    isb__gpu_batch on_device;
    ISB_TRY(isb__feed_put(t->feed, batch, &on_device));
    ISB_TRY(isb__gpu_graph_begin_backward(t->graph, &on_device, scale, z_weight));
    fetch_loss(t);
    ISB_TRY(isb__gpu_graph_end_backward(t->graph, &on_device));
    isb__feed_used(t->feed, &on_device);
    return take_loss(t, &on_device, loss);
}

static isb_status cuda_reduce(isb__trainer *trainer, double *norm) {
    const trainer_cuda *t = cuda_of(trainer);
    isb__gpu_compose_backward(t->gpu, &t->compose, t->d_grads + table_begin(t),
                              t->d_grads + shared_begin(t)); /* linear: ranks are summed after */
    if (isb__comm_size(t->comm) > 1) {
        ISB_TRY(isb__comm_barrier(t->comm)); /* who has died is noticed here, not in NCCL */
        isb__gpu_reduce_scatter(t->gpu, t->part, t->d_grads);
    }
    isb__gpu_sumsq(t->gpu, t->part, t->d_grads + t->part_begin, t->d_norm_parts, t->d_norm);
    isb__gpu_download(t->gpu, t->pinned, t->d_norm, sizeof *t->pinned);
    isb__gpu_finish(t->gpu);
    ISB_TRY(isb__comm_agree(t->comm, check_device(t)));
    double sum = t->pinned[0];
    ISB_TRY(isb__comm_sum_f64(t->comm, 1, &sum));
    *norm = sqrt(sum);
    return ISB_OK;
}

static isb_status cuda_step(isb__trainer *trainer, double gscale, double lr, uint64_t step) {
    const trainer_cuda *t = cuda_of(trainer);
    const isb__optimizer_options *o = &t->optimizer;
    const isb__gpu_adamw adamw = {
        .d_weights = t->d_weights,
        .d_grads = t->d_grads,
        .d_weights_bf16 = t->d_bf16,
        .d_first = t->d_first,
        .d_second = t->d_second,
        .moments_begin = t->part_begin,
        .gscale = (float)gscale,
        .lr = (float)lr,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .correct1 = (float)(1 / (1 - pow(o->beta1, (double)(step + 1)))),
        .correct2 = (float)(1 / (1 - pow(o->beta2, (double)(step + 1)))),
        .eps = (float)o->eps,
    };
    isb__gpu_adamw_step(t->gpu, &adamw, t->n_slices, t->d_slices);
    if (isb__comm_size(t->comm) > 1) {
        isb__gpu_all_gather(t->gpu, t->part, t->d_weights);
        isb__gpu_round(t->gpu, t->n_padded, t->d_weights, t->d_bf16);
    }
    make_table(t);
    return check_device(t);
}

static isb_status cuda_forward(isb__trainer *trainer, const isb__batch *batch, float *token_nats,
                               isb__loss *loss) {
    const trainer_cuda *t = cuda_of(trainer);
    isb__gpu_batch on_device;
    ISB_TRY(isb__feed_put(t->feed, batch, &on_device));
    ISB_TRY(isb__gpu_graph_forward(t->graph, &on_device));
    if (token_nats)
        isb__gpu_download(t->gpu, token_nats, isb__gpu_graph_nats(t->graph),
                          t->base.B * t->base.T * sizeof *token_nats);
    fetch_loss(t);
    isb__feed_used(t->feed, &on_device);
    return take_loss(t, &on_device, loss);
}

/* ---- what is kept ---- */

static size_t table_nfloats(const trainer_cuda *t) { return t->base.model->tensors[0].count; }

/* The ranks' parts of the moments to rank 0 (gather) or from it.  Rank 0 has whole blocks on the
 * host, beginning with its own part; the others have theirs alone. */
static isb_status move_moments(const trainer_cuda *t, int is_gather) {
    const int size = isb__comm_size(t->comm);
    float *const blocks[] = {t->first, t->second};
    size_t *parts = NULL;
    isb_status status = ISB_OK;
    if (size == 1) return ISB_OK;
    ISB_TRY(isb__alloc_array(t->base.ctx, (size_t)size + 1, sizeof *parts, &parts));
    for (int r = 0; r <= size; ++r) parts[r] = (size_t)r * t->part;
    for (int k = 0; k < 2 && status == ISB_OK; ++k)
        status = is_gather ? isb__comm_gather_f32(t->comm, parts, blocks[k], blocks[k])
                           : isb__comm_scatter_f32(t->comm, parts, blocks[k], blocks[k]);
    isb__free(t->base.ctx, parts);
    return status;
}

static isb_status cuda_pull(isb__trainer *trainer) {
    const trainer_cuda *t = cuda_of(trainer);
    const size_t nbytes = t->part * sizeof(float);
    isb__gpu_download(t->gpu, trainer->model->data, t->d_weights,
                      trainer->model->n_floats * sizeof(float));
    if (is_composed(t))
        isb__gpu_download(t->gpu, t->shared, t->d_weights + shared_begin(t),
                          t->compose.n_shared * sizeof(float));
    isb__gpu_download(t->gpu, t->first, t->d_first, nbytes);
    isb__gpu_download(t->gpu, t->second, t->d_second, nbytes);
    isb__gpu_finish(t->gpu);
    ISB_TRY(isb__comm_agree(t->comm, check_device(t)));
    if (is_composed(t)) {
        float *table = trainer->model->params.embed;
        memcpy(t->own, table, table_nfloats(t) * sizeof *t->own);
        isb__compose_forward(t->compose.map, t->compose.C, t->own, t->shared, table);
    }
    return move_moments(t, 1);
}

static isb_status cuda_push(isb__trainer *trainer) {
    const trainer_cuda *t = cuda_of(trainer);
    const size_t nbytes = t->part * sizeof(float);
    ISB_TRY(move_moments(t, 0));
    isb__gpu_zero(t->gpu, t->d_weights, t->n_padded * sizeof(float));
    isb__gpu_upload(t->gpu, t->d_weights, trainer->model->data,
                    trainer->model->n_floats * sizeof(float));
    if (is_composed(t)) {
        isb__gpu_upload(t->gpu, t->d_weights + table_begin(t), t->own,
                        table_nfloats(t) * sizeof(float));
        isb__gpu_upload(t->gpu, t->d_weights + shared_begin(t), t->shared,
                        t->compose.n_shared * sizeof(float));
    }
    isb__gpu_round(t->gpu, t->n_padded, t->d_weights, t->d_bf16);
    isb__gpu_upload(t->gpu, t->d_first, t->first, nbytes);
    isb__gpu_upload(t->gpu, t->d_second, t->second, nbytes);
    make_table(t);
    isb__gpu_finish(t->gpu);
    return check_device(t);
}

/* What is trained: the model's tensors and, composed, `shared`. */
static size_t n_trained(const trainer_cuda *t) {
    return t->base.model->n_tensors + (is_composed(t) ? 1 : 0);
}

static isb__tensor trained(const trainer_cuda *t, size_t i) {
    const isb_model *model = t->base.model;
    if (i < model->n_tensors) return model->tensors[i];
    return (isb__tensor){.name = "embedding.shared",
                         .rows = t->compose.map->n_features,
                         .cols = t->compose.C,
                         .offset = shared_begin(t),
                         .count = t->compose.n_shared,
                         .decay = model->tensors[0].decay};
}

static size_t cuda_n_states(const isb__trainer *trainer) {
    const trainer_cuda *t = cuda_of(trainer);
    return 2 * n_trained(t) + (is_composed(t) ? 2 : 0);
}

/* As the CPU's trainer names and orders them, so that either goes on from the other's checkpoint.
 * Whole moments are on rank 0. */
static void cuda_states(const isb__trainer *trainer, isb__tensor_ref *refs) {
    const trainer_cuda *t = cuda_of(trainer);
    for (size_t i = 0; i < 2 * n_trained(t); ++i) {
        const isb__tensor tensor = trained(t, i / 2);
        float *block = i % 2 == 0 ? t->first : t->second;
        snprintf(t->names[i], sizeof t->names[i], "%s.%s", i % 2 == 0 ? "first" : "second",
                 tensor.name);
        refs[i] = (isb__tensor_ref){t->names[i], tensor.rows, tensor.cols,
                                    isb__comm_rank(t->comm) == 0 ? block + tensor.offset : NULL};
    }
    if (!is_composed(t)) return;
    refs += 2 * n_trained(t);
    refs[0] = (isb__tensor_ref){"embedding.own", t->compose.map->n_rows, t->compose.C, t->own};
    refs[1] =
        (isb__tensor_ref){"embedding.shared", t->compose.map->n_features, t->compose.C, t->shared};
}

static size_t host_moments(const trainer_cuda *t) {
    return isb__comm_rank(t->comm) == 0 ? t->n_padded : t->part;
}

static void cuda_memory(const isb__trainer *trainer, uint64_t *host_nbytes,
                        uint64_t *device_nbytes) {
    const trainer_cuda *t = cuda_of(trainer);
    *host_nbytes = isb__feed_host_nbytes(t->feed) + 2 * host_moments(t) * sizeof(float);
    if (is_composed(t)) *host_nbytes += (table_nfloats(t) + t->compose.n_shared) * sizeof(float);
    *device_nbytes = t->device_nbytes;
}

/* ---- set-up ---- */

static void cuda_free(isb__trainer *trainer) {
    trainer_cuda *t = cuda_of(trainer);
    isb_context *ctx = trainer->ctx;
    if (t->gpu) {
        isb__gpu_finish(t->gpu);
        isb__gpu_leave(t->gpu);
        isb__feed_free(t->feed);
        isb__gpu_graph_free(t->graph);
        if (t->pinned) isb__gpu_free_pinned(t->gpu, t->pinned);
        if (t->d_memory) isb__gpu_free(t->gpu, t->d_memory);
        isb__gpu_close(t->gpu);
    }
    isb__free(ctx, t->first);
    isb__free(ctx, t->second);
    isb__free(ctx, t->names);
    isb__free(ctx, t->own);
    isb__free(ctx, t->shared);
    isb__free(ctx, t);
}

static const isb__trainer_ops cuda_ops = {cuda_free,     cuda_begin,   cuda_backward, cuda_reduce,
                                          cuda_step,     cuda_forward, cuda_pull,     cuda_push,
                                          cuda_n_states, cuda_states,  cuda_memory};

static isb_status check_options(isb_context *ctx, const isb_model_config *c,
                                const isb__trainer_options *options) {
    const isb__compose_map *map = options->compose;
    if (options->optimizer.kind != ISB_OPTIMIZER_ADAMW) {
        return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                         "on GPUs the optimiser is adamw; choose it, or train on the cpu");
    }
    if (!map) return ISB_OK;
    if (!c->tie_embeddings) {
        return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                         "composed embeddings are for a model whose output matrix is the "
                         "embedding; leave untied out, or choose plain embeddings");
    }
    if (map->n_rows == (size_t)c->vocab_size) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_MISMATCH,
                     "the composed embeddings are for %zu ids, the model has %lld", map->n_rows,
                     (long long)c->vocab_size);
}

/* "cuda" is the GPU of this process' place on its machine, "cuda:N" one by number. */
static isb_status parse_device(isb_context *ctx, const char *device, isb__comm *comm, int *index) {
    *index = isb__comm_local_rank(comm);
    if (strcmp(device, "cuda") == 0) return ISB_OK;
    char *end = NULL;
    const char *digits = device + strlen("cuda:");
    const int is_numbered = strncmp(device, "cuda:", 5) == 0 && *digits >= '0' && *digits <= '9';
    const long number = is_numbered ? strtol(digits, &end, 10) : -1;
    if (!is_numbered || *end != '\0' || number > 1023) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "device is '%s'; expected cuda, or cuda:N, N counting from 0", device);
    }
    if (isb__comm_local_size(comm) > 1) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "device is '%s' for all %d processes of this machine; with several, give "
                         "cuda, and each takes the GPU of its rank",
                         device, isb__comm_local_size(comm));
    }
    *index = (int)number;
    return ISB_OK;
}

static isb_status open_gpu(trainer_cuda *t, const char *device) {
    isb_context *ctx = t->base.ctx;
    char reason[ISB__GPU_TEXT_NBYTES] = "";
    int index;
    ISB_TRY(parse_device(ctx, device, t->comm, &index));
    isb_status status = isb__gpu_open(index, &t->gpu, reason);
    if (status == ISB_OK) status = isb__gpu_products_open(t->gpu, reason);
    if (status == ISB_OK) return ISB_OK;
    return isb__fail(ctx, status, "cannot use GPU %d: %s (isobit info lists those there are)",
                     index, reason);
}

/* Joins the GPUs of all ranks. */
static isb_status join(trainer_cuda *t) {
    isb_context *ctx = t->base.ctx;
    const int rank = isb__comm_rank(t->comm), size = isb__comm_size(t->comm);
    unsigned char id[ISB__GPU_ID_NBYTES] = {0};
    char reason[ISB__GPU_TEXT_NBYTES] = "";
    isb_status status = rank == 0 ? isb__gpu_make_id(t->gpu, id, reason) : ISB_OK;
    if (status != ISB_OK) status = isb__fail(ctx, status, "GPU of rank %d: %s", rank, reason);
    ISB_TRY(isb__comm_agree(t->comm, status));
    ISB_TRY(isb__comm_broadcast(t->comm, 0, sizeof id, id));
    status = isb__gpu_join(t->gpu, rank, size, id, reason);
    if (status != ISB_OK) status = isb__fail(ctx, status, "GPU of rank %d: %s", rank, reason);
    return isb__comm_agree(t->comm, status);
}

static void divide(trainer_cuda *t) {
    const size_t size = (size_t)isb__comm_size(t->comm), step = size * PART_STEP;
    t->n_floats = t->base.model->n_floats + t->compose.n_shared;
    t->n_padded = (t->n_floats + step - 1) / step * step;
    t->part = t->n_padded / size;
    t->part_begin = (size_t)isb__comm_rank(t->comm) * t->part;
}

/* Of the table, or what it is composed of: the first tensor and `shared`. */
static double rate_of(const trainer_cuda *t, size_t i) {
    const double rate = t->optimizer.embedding_rate;
    return (i == 0 || i == t->base.model->n_tensors) && rate > 0 ? rate : 1;
}

/* Slices of this rank's part; slices == NULL: only counts them. */
static size_t list_slices(const trainer_cuda *t, isb__gpu_slice *slices) {
    const size_t part_end = t->part_begin + t->part;
    size_t n = 0;
    for (size_t i = 0; i < n_trained(t); ++i) {
        const isb__tensor tensor = trained(t, i);
        const double rate = rate_of(t, i);
        const size_t end =
            tensor.offset + tensor.count < part_end ? tensor.offset + tensor.count : part_end;
        size_t at = tensor.offset > t->part_begin ? tensor.offset : t->part_begin;
        for (; at < end; at += ISB__GPU_SLICE, ++n) {
            if (!slices) continue;
            slices[n].begin = at;
            slices[n].count = (uint32_t)(end - at < ISB__GPU_SLICE ? end - at : ISB__GPU_SLICE);
            slices[n].rate = (float)rate;
            slices[n].weight_decay =
                tensor.decay ? (float)(t->optimizer.weight_decay / rate) : 0.0f;
        }
    }
    return n;
}

static void plan_memory(trainer_cuda *t, isb__gpu_plan *plan) {
    t->d_weights = isb__gpu_plan_take(plan, t->n_padded, 1, sizeof(float));
    t->d_bf16 = isb__gpu_plan_take(plan, t->n_padded, 1, sizeof(isb__bf16));
    t->d_grads = isb__gpu_plan_take(plan, t->n_padded, 1, sizeof(float));
    t->d_first = isb__gpu_plan_take(plan, t->part, 1, sizeof(float));
    t->d_second = isb__gpu_plan_take(plan, t->part, 1, sizeof(float));
    t->d_norm_parts = isb__gpu_plan_take(plan, isb__gpu_sumsq_parts(t->part), 1, sizeof(double));
    t->d_norm = isb__gpu_plan_take(plan, 1, 1, sizeof(double));
    t->d_slices = isb__gpu_plan_take(plan, t->n_slices, 1, sizeof *t->d_slices);
    isb__feed_set_memory(t->feed, isb__gpu_plan_take(plan, 1, isb__feed_device_nbytes(t->feed), 1));
    isb__gpu_compose_plan(&t->compose, plan);
    isb__gpu_graph_plan(t->graph, plan);
}

static isb_status allocate_device(trainer_cuda *t, int recompute) {
    const double gib = 1024.0 * 1024 * 1024;
    uint64_t unused, total;
    isb__gpu_plan plan = {0};
    plan_memory(t, &plan);
    isb__gpu_memory(t->gpu, &unused, &total);
    t->device_nbytes = plan.nbytes;
    t->d_memory = plan.nbytes <= unused ? isb__gpu_alloc(t->gpu, plan.nbytes) : NULL;
    if (!t->d_memory) {
        return isb__fail(t->base.ctx, ISB_ERR_NO_MEMORY,
                         "training needs %.3f GiB on %s, which has %.3f of %.3f free; a smaller "
                         "batch or context%s needs less",
                         (double)plan.nbytes / gib, isb__gpu_name(t->gpu), (double)unused / gib,
                         (double)total / gib, recompute ? "" : ", or recompute,");
    }
    plan = (isb__gpu_plan){.base = t->d_memory};
    plan_memory(t, &plan);
    ISB_TRY(isb__gpu_compose_upload(t->base.ctx, t->gpu, &t->compose));
    return isb__gpu_graph_set_weights(t->graph, t->d_weights, t->d_bf16, t->d_grads);
}

static isb_status upload_slices(trainer_cuda *t) {
    isb__gpu_slice *slices = NULL;
    ISB_TRY(isb__alloc_array(t->base.ctx, t->n_slices, sizeof *slices, &slices));
    list_slices(t, slices);
    isb__gpu_upload(t->gpu, t->d_slices, slices, t->n_slices * sizeof *slices);
    isb__gpu_finish(t->gpu);
    isb__free(t->base.ctx, slices);
    return check_device(t);
}

static isb_status allocate_host(trainer_cuda *t) {
    isb_context *ctx = t->base.ctx;
    ISB_TRY(isb__alloc_array(ctx, host_moments(t), sizeof *t->first, &t->first));
    ISB_TRY(isb__alloc_array(ctx, host_moments(t), sizeof *t->second, &t->second));
    ISB_TRY(isb__alloc_array(ctx, 2 * n_trained(t), sizeof t->names[0], &t->names));
    if (is_composed(t)) {
        ISB_TRY(isb__alloc_array(ctx, table_nfloats(t), sizeof *t->own, &t->own));
        ISB_TRY(isb__alloc_array(ctx, t->compose.n_shared, sizeof *t->shared, &t->shared));
        /* the table as it is, and nothing shared yet */
        memcpy(t->own, t->base.model->params.embed, table_nfloats(t) * sizeof *t->own);
    }
    t->pinned = isb__gpu_alloc_pinned(t->gpu, N_SUMS * sizeof *t->pinned);
    if (t->pinned) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no page-locked memory for the loss");
}

static isb_status set_up(trainer_cuda *t, const isb__trainer_options *options) {
    isb_context *ctx = t->base.ctx;
    const isb_model *model = t->base.model;
    ISB_TRY(check_options(ctx, &model->config, options));
    isb__gpu_compose_init(&t->compose, options->compose, (size_t)model->config.hidden_size);
    ISB_TRY(open_gpu(t, options->device));
    ISB_TRY(isb__gpu_graph_create(ctx, t->gpu, model, options->B, options->T, options->recompute,
                                  &t->graph));
    ISB_TRY(isb__feed_create(ctx, t->gpu, options->B, options->T, (size_t)model->config.vocab_size,
                             &t->feed));
    divide(t);
    t->n_slices = list_slices(t, NULL);
    ISB_TRY(allocate_device(t, options->recompute));
    ISB_TRY(upload_slices(t));
    return allocate_host(t);
}

isb_status isb__trainer_cuda_create(isb_context *ctx, isb_model *model,
                                    const isb__trainer_options *options, isb__trainer **trainer) {
    trainer_cuda *t = NULL;
    *trainer = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *t, &t));
    t->base = (isb__trainer){&cuda_ops, ctx, model, options->B, options->T};
    t->comm = options->comm;
    t->optimizer = options->optimizer;
    isb_status status = isb__comm_agree(t->comm, set_up(t, options));
    if (status == ISB_OK && isb__comm_size(t->comm) > 1) status = join(t);
    if (status == ISB_OK) status = cuda_push(&t->base);
    if (status != ISB_OK) {
        cuda_free(&t->base);
        return status;
    }
    *trainer = &t->base;
    return ISB_OK;
}
