/* AdamW and Adafactor over fixed slices of tensors.
 *
 * AdamW keeps two numbers per parameter and is one pass of ops->adamw, by each rank over its share.
 *
 * Adafactor keeps, for a matrix with both sides at least 128, only the means of the squared
 * gradient over each row and each column; their product, divided by the overall mean, stands for
 * the full second moment:
 *
 *     d = 1 - (t+1)^-0.8                                 t = 0, 1, ...
 *     r_i = d r_i + (1-d) mean_j (g_ij^2 + 1e-30)        c_j likewise over i
 *     u_ij = g_ij / sqrt(r_i / mean(r)) / sqrt(c_j)      other tensors: the second moment itself
 *     p_ij -= lr * max(RMS(p), 1e-3) / max(1, RMS(u)) * u_ij
 *
 * That needs sums over a whole tensor before the next pass can start, so a step is three passes
 * over all slices with a pass over tensors between them; each slice writes its own partial sums,
 * which are then added in order. Source: Shazeer and Stern 2018, algorithms 4 and 5; defaults as
 * in T5X (no momentum, no global clipping). */
#include "train/optimizer.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/plan.h"
#include "base/threads.h"
#include "kernels/ops.h"
#include "train/shares.h"

enum { SLICE = 1 << 16, CHUNK = 1024, MIN_FACTORED = 128, MAX_MOMENTS = 2 };
#define EPS_SQUARE 1e-30
#define EPS_SCALE 1e-3
#define DECAY_POWER 0.8

typedef struct moments {
    bool factored;
    float *second;                /* Adafactor, not factored: [count] */
    float *row, *col;             /* factored: [rows], [cols] */
    float *row_scale, *col_scale; /* scratch: 1 / sqrt(row / mean), 1 / sqrt(col) */
    size_t first_slice, end_slice;
    double step_size; /* Adafactor: lr * max(RMS(p), 1e-3) / max(1, RMS(u)) */
} moments;

/* Elements [begin, end) of a tensor; whole rows if it is factored. */
typedef struct slice {
    size_t tensor, begin, end;
    double *col_sums; /* factored: [cols], scratch */
    double grad_sq, update_sq, param_sq;
} slice;

/* AdamW's two moments of a block of tensors: this rank's part of them, and all of them after
 * pull() on rank 0.  With one rank these are the same. */
typedef struct block_state {
    float *mine[MAX_MOMENTS], *all[MAX_MOMENTS];
} block_state;

struct isb__optimizer {
    isb_context *ctx;
    const isb__ops *ops;
    size_t n_params, n_slices, n_states;
    isb__optimizer_options options;
    isb__param *params; /* [n_params] */
    moments *moments;   /* [n_params] */
    slice *slices;      /* [n_slices] */
    isb__shares shares;
    size_t n_mine, *mine; /* [n_slices]: the slices of this rank's share, ascending */
    block_state *states;  /* [shares.n_blocks]; AdamW */
    void *pulled_block;   /* the memory of `all` on rank 0 */
    bool pulled;          /* and not stepped since; on all ranks */
    char (*names)[112];   /* [n_params * MAX_MOMENTS] */
    void *block;
    size_t nbytes;
    /* the step under way */
    double gscale, lr, decay;
    float correct1, correct2;
};

static size_t count_of(const isb__param *p) { return p->rows * p->cols; }

static bool is_factored(const isb__optimizer *o, const isb__param *t) {
    return o->options.kind == ISB_OPTIMIZER_ADAFACTOR && !t->is_vector && t->rows >= MIN_FACTORED &&
           t->cols >= MIN_FACTORED;
}

static size_t slice_elements(const isb__optimizer *o, const isb__param *t) {
    if (!is_factored(o, t)) return SLICE;
    return t->cols >= SLICE ? t->cols : SLICE / t->cols * t->cols;
}

static size_t n_slices_of(const isb__optimizer *o, const isb__param *t) {
    const size_t step = slice_elements(o, t);
    return (count_of(t) + step - 1) / step;
}

static void plan_tensor(isb__optimizer *o, isb__plan *plan, size_t index) {
    const isb__param *t = &o->params[index];
    moments *m = &o->moments[index];
    if (o->options.kind == ISB_OPTIMIZER_ADAMW) return;
    m->factored = is_factored(o, t);
    if (!m->factored) {
        isb__plan_add(plan, "second moment", count_of(t) * sizeof(float), &m->second);
        return;
    }
    isb__plan_add(plan, "row moment", t->rows * sizeof(float), &m->row);
    isb__plan_add(plan, "column moment", t->cols * sizeof(float), &m->col);
    isb__plan_add(plan, "row scale", t->rows * sizeof(float), &m->row_scale);
    isb__plan_add(plan, "column scale", t->cols * sizeof(float), &m->col_scale);
}

static void lay_slices(isb__optimizer *o, isb__plan *plan) {
    size_t next = 0;
    for (size_t i = 0; i < o->n_params; ++i) {
        const isb__param *t = &o->params[i];
        const size_t step = slice_elements(o, t);
        o->moments[i].first_slice = next;
        for (size_t begin = 0; begin < count_of(t); begin += step) {
            slice *s = &o->slices[next++];
            s->tensor = i;
            s->begin = begin;
            s->end = count_of(t) - begin < step ? count_of(t) : begin + step;
            if (is_factored(o, t))
                isb__plan_add(plan, "column sums", t->cols * sizeof(double), &s->col_sums);
        }
        o->moments[i].end_slice = next;
    }
}

/* Pieces are slices: whole tensors' slices never lie on two ranks. */
static isb_status divide(isb__optimizer *o) {
    isb__piece *pieces = NULL;
    ISB_TRY(isb__alloc_array(o->ctx, o->n_slices, sizeof *pieces, &pieces));
    for (size_t i = 0; i < o->n_slices; ++i) {
        const slice *s = &o->slices[i];
        const isb__param *t = &o->params[s->tensor];
        pieces[i] = (isb__piece){t->data + s->begin, t->grad + s->begin, s->end - s->begin};
    }
    const isb_status status =
        isb__shares_create(o->ctx, o->options.comm, o->n_slices, pieces, &o->shares);
    isb__free(o->ctx, pieces);
    ISB_TRY(status);
    ISB_TRY(isb__alloc_array(o->ctx, o->n_slices, sizeof *o->mine, &o->mine));
    for (size_t i = 0; i < o->n_slices; ++i) {
        const slice *s = &o->slices[i];
        if (isb__shares_own(&o->shares, o->params[s->tensor].data + s->begin))
            o->mine[o->n_mine++] = i;
    }
    return isb__alloc_array(o->ctx, o->shares.n_blocks, sizeof *o->states, &o->states);
}

static void plan_adamw(isb__optimizer *o, isb__plan *plan) {
    for (size_t b = 0; b < o->shares.n_blocks; ++b) {
        const size_t n = isb__block_count(&o->shares, &o->shares.blocks[b]);
        for (int k = 0; k < MAX_MOMENTS; ++k)
            isb__plan_add(plan, "adamw moment", n * sizeof(float), &o->states[b].mine[k]);
    }
}

static bool is_alone(const isb__optimizer *o) { return isb__comm_size(o->options.comm) == 1; }

static isb_status alloc_lists(isb__optimizer *o) {
    for (size_t i = 0; i < o->n_params; ++i) o->n_slices += n_slices_of(o, &o->params[i]);
    ISB_TRY(isb__alloc_array(o->ctx, o->n_params, sizeof *o->moments, &o->moments));
    ISB_TRY(isb__alloc_array(o->ctx, o->n_slices, sizeof *o->slices, &o->slices));
    return isb__alloc_array(o->ctx, o->n_params * MAX_MOMENTS, sizeof *o->names, &o->names);
}

static isb_status allocate(isb__optimizer *o) {
    isb__plan plan;
    ISB_TRY(alloc_lists(o));
    isb__plan_begin(&plan, o->ctx);
    for (size_t i = 0; i < o->n_params; ++i) plan_tensor(o, &plan, i);
    lay_slices(o, &plan);
    const isb_status status = divide(o);
    if (status != ISB_OK) {
        isb__plan_cancel(&plan);
        return status;
    }
    if (o->options.kind == ISB_OPTIMIZER_ADAMW) plan_adamw(o, &plan);
    o->nbytes = isb__plan_nbytes(&plan);
    ISB_TRY(isb__plan_commit(&plan, &o->block));
    for (size_t b = 0; b < o->shares.n_blocks && is_alone(o); ++b)
        memcpy(o->states[b].all, o->states[b].mine, sizeof o->states[b].all);
    return ISB_OK;
}

/* ---- the state ---- */

/* AdamW's moment k of a tensor, whole; NULL: only in parts. */
static float *whole_moment(const isb__optimizer *o, const isb__param *t, int k) {
    const isb__block *block = isb__shares_block(&o->shares, t->data);
    float *all = o->states[block - o->shares.blocks].all[k];
    return all ? all + (t->data - block->data) : NULL;
}

/* Names and lists every tensor of the state, in a fixed order; returns how many there are.  refs
 * may be NULL. */
static size_t list_states(const isb__optimizer *o, isb__tensor_ref *refs) {
    const bool adamw = o->options.kind == ISB_OPTIMIZER_ADAMW;
    size_t n = 0;
    for (size_t i = 0; i < o->n_params; ++i) {
        const isb__param *t = &o->params[i];
        const moments *m = &o->moments[i];
        const isb__tensor_ref candidates[] = {
            {"first.", t->rows, t->cols, adamw ? whole_moment(o, t, 0) : NULL},
            {"second.", t->rows, t->cols, adamw ? whole_moment(o, t, 1) : m->second},
            {"row.", 1, t->rows, m->row},
            {"col.", 1, t->cols, m->col}};
        for (size_t k = 0; k < sizeof candidates / sizeof *candidates; ++k) {
            const bool there = adamw ? k < MAX_MOMENTS : candidates[k].data != NULL;
            if (!there) continue;
            snprintf(o->names[n], sizeof o->names[n], "%s%s", candidates[k].name, t->name);
            if (refs) {
                refs[n] = candidates[k];
                refs[n].name = o->names[n];
            }
            ++n;
        }
    }
    return n;
}

size_t isb__optimizer_n_tensors(const isb__optimizer *o) { return o->n_states; }
void isb__optimizer_tensors(const isb__optimizer *o, isb__tensor_ref *refs) {
    list_states(o, refs);
}
size_t isb__optimizer_nbytes(const isb__optimizer *o) { return o->nbytes; }

void isb__params_of_model(const isb_model *model, float *grads, isb__param *params) {
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        params[i] = (isb__param){.rows = t->rows,
                                 .cols = t->cols,
                                 .is_vector = t->is_vector,
                                 .decay = t->decay,
                                 .data = model->data + t->offset,
                                 .grad = grads + t->offset};
        snprintf(params[i].name, sizeof params[i].name, "%s", t->name);
    }
}

static isb_status create_plain(isb_context *ctx, size_t n_params, const isb__param *params,
                               const isb__optimizer_options *options, isb__optimizer **optimizer) {
    isb__optimizer *o = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *o, &o));
    o->ctx = ctx;
    o->ops = isb__ops_for(ctx->cpu);
    o->n_params = n_params;
    o->options = *options;
    *optimizer = o;
    ISB_TRY(isb__alloc_array(ctx, n_params, sizeof *o->params, &o->params));
    memcpy(o->params, params, n_params * sizeof *params);
    return ISB_OK;
}

isb_status isb__optimizer_create(isb_context *ctx, size_t n_params, const isb__param *params,
                                 const isb__optimizer_options *options,
                                 isb__optimizer **optimizer) {
    isb__optimizer *o = NULL;
    isb_status status = ISB_OK;
    *optimizer = NULL;
    ISB_TRY_GOTO(create_plain(ctx, n_params, params, options, &o));
    ISB_TRY_GOTO(allocate(o));
    o->n_states = list_states(o, NULL);
    *optimizer = o;
    return ISB_OK;
fail:
    isb__optimizer_free(o);
    return status;
}

/* AdamW's moments are planned by blocks, which come to the same: tensors begin where a plan's
 * regions would. */
isb_status isb__optimizer_estimate_nbytes(isb_context *ctx, size_t n_params,
                                          const isb__param *params,
                                          const isb__optimizer_options *options, size_t *nbytes) {
    isb__optimizer *o = NULL;
    isb_status status = ISB_OK;
    isb__plan plan;
    float *pointer;
    ISB_TRY_GOTO(create_plain(ctx, n_params, params, options, &o));
    ISB_TRY_GOTO(alloc_lists(o));
    isb__plan_begin(&plan, ctx);
    for (size_t i = 0; i < n_params; ++i) plan_tensor(o, &plan, i);
    lay_slices(o, &plan);
    for (size_t i = 0; i < n_params && options->kind == ISB_OPTIMIZER_ADAMW; ++i) {
        for (int k = 0; k < MAX_MOMENTS; ++k)
            isb__plan_add(&plan, "adamw moment", count_of(&params[i]) * sizeof(float), &pointer);
    }
    *nbytes = isb__plan_nbytes(&plan);
    status = plan.status;
    isb__plan_cancel(&plan);
fail:
    isb__optimizer_free(o);
    return status;
}

void isb__optimizer_free(isb__optimizer *o) {
    if (!o) return;
    isb__free(o->ctx, o->pulled_block);
    isb__free(o->ctx, o->block);
    isb__free(o->ctx, o->states);
    isb__free(o->ctx, o->mine);
    isb__shares_free(&o->shares);
    isb__free(o->ctx, o->names);
    isb__free(o->ctx, o->slices);
    isb__free(o->ctx, o->moments);
    isb__free(o->ctx, o->params);
    isb__free(o->ctx, o);
}

/* ---- gradients ---- */

static void zero_task(void *arg, size_t task, int thread) {
    const isb__optimizer *o = arg;
    (void)thread;
    const slice *s = &o->slices[task];
    memset(o->params[s->tensor].grad + s->begin, 0, (s->end - s->begin) * sizeof(float));
}

void isb__optimizer_zero(isb__optimizer *o) { isb__parallel(o->ctx, o->n_slices, zero_task, o); }

static void norm_task(void *arg, size_t task, int thread) {
    const isb__optimizer *o = arg;
    (void)thread;
    slice *s = &o->slices[o->mine[task]];
    s->grad_sq = o->ops->sumsq(s->end - s->begin, o->params[s->tensor].grad + s->begin);
}

isb_status isb__optimizer_reduce(isb__optimizer *o, double *norm) {
    double total = 0;
    ISB_TRY(isb__shares_reduce(&o->shares, o->options.kind == ISB_OPTIMIZER_ADAFACTOR));
    isb__parallel(o->ctx, o->n_mine, norm_task, o);
    for (size_t i = 0; i < o->n_mine; ++i) total += o->slices[o->mine[i]].grad_sq;
    ISB_TRY(isb__comm_sum_f64(o->options.comm, 1, &total));
    *norm = sqrt(total);
    return ISB_OK;
}

static double rate_of(const isb__param *p) { return p->rate > 0 ? p->rate : 1; }

/* ---- AdamW ---- */

static void adamw_task(void *arg, size_t task, int thread) {
    const isb__optimizer *o = arg;
    (void)thread;
    const slice *s = &o->slices[o->mine[task]];
    const isb__param *t = &o->params[s->tensor];
    const isb__optimizer_options *a = &o->options;
    float *data = t->data + s->begin;
    const isb__block *block = isb__shares_block(&o->shares, data);
    const block_state *state = &o->states[block - o->shares.blocks];
    const size_t at = (size_t)(data - block->data) - isb__block_begin(&o->shares, block);
    const double rate = rate_of(t);
    o->ops->adamw(s->end - s->begin, data, t->grad + s->begin, state->mine[0] + at,
                  state->mine[1] + at, (float)o->gscale, (float)(o->lr * rate), (float)a->beta1,
                  (float)a->beta2, o->correct1, o->correct2, (float)a->eps,
                  t->decay ? (float)(a->weight_decay / rate) : 0.0f);
}

static void adamw_step(isb__optimizer *o, uint64_t step) {
    o->correct1 = (float)(1 / (1 - pow(o->options.beta1, (double)(step + 1))));
    o->correct2 = (float)(1 / (1 - pow(o->options.beta2, (double)(step + 1))));
    isb__parallel(o->ctx, o->n_mine, adamw_task, o);
}

/* ---- Adafactor ---- */

static float decayed(const isb__optimizer *o, float old, double mean_square) {
    return (float)(o->decay * (double)old + (1 - o->decay) * (mean_square + EPS_SQUARE));
}

/* Row moments and this slice's share of the column sums. */
static void factored_moments(const isb__optimizer *o, const slice *s) {
    const isb__param *t = &o->params[s->tensor];
    const moments *m = &o->moments[s->tensor];
    const double scale = o->gscale * o->gscale;
    memset(s->col_sums, 0, t->cols * sizeof *s->col_sums);
    for (size_t i = s->begin / t->cols; i < s->end / t->cols; ++i) {
        const float *g = t->grad + i * t->cols;
        m->row[i] = decayed(o, m->row[i], o->ops->sumsq(t->cols, g) * scale / (double)t->cols);
        for (size_t j = 0; j < t->cols; ++j) s->col_sums[j] += (double)g[j] * (double)g[j];
    }
}

static void moments_task(void *arg, size_t task, int thread) {
    const isb__optimizer *o = arg;
    (void)thread;
    const slice *s = &o->slices[task];
    const moments *m = &o->moments[s->tensor];
    if (m->factored) {
        factored_moments(o, s);
        return;
    }
    const float *g = o->params[s->tensor].grad;
    for (size_t i = s->begin; i < s->end; ++i) {
        const double scaled = (double)g[i] * o->gscale;
        m->second[i] = decayed(o, m->second[i], scaled * scaled);
    }
}

/* Column moments from the slices' sums; then both factors of 1 / sqrt(second moment). */
static void factors_task(void *arg, size_t task, int thread) {
    const isb__optimizer *o = arg;
    (void)thread;
    const isb__param *t = &o->params[task];
    const moments *m = &o->moments[task];
    if (!m->factored) return;
    const double scale = o->gscale * o->gscale / (double)t->rows;
    for (size_t j = 0; j < t->cols; ++j) {
        double sum = 0;
        for (size_t s = m->first_slice; s < m->end_slice; ++s) sum += o->slices[s].col_sums[j];
        m->col[j] = decayed(o, m->col[j], sum * scale);
        m->col_scale[j] = (float)(1 / sqrt((double)m->col[j]));
    }
    double mean = 0;
    for (size_t i = 0; i < t->rows; ++i) mean += (double)m->row[i];
    mean /= (double)t->rows;
    for (size_t i = 0; i < t->rows; ++i)
        m->row_scale[i] = (float)(1 / sqrt((double)m->row[i] / mean));
}

/* u for elements [begin, begin + n), which lie in one row if the tensor is factored. */
static void update_chunk(const isb__optimizer *o, size_t tensor, size_t begin, size_t n, float *u) {
    const isb__param *t = &o->params[tensor];
    const moments *m = &o->moments[tensor];
    const float *g = t->grad + begin;
    if (m->factored) {
        const float scale = (float)(o->gscale * (double)m->row_scale[begin / t->cols]);
        const float *col = m->col_scale + begin % t->cols;
        for (size_t i = 0; i < n; ++i) u[i] = g[i] * scale * col[i];
    } else {
        const float scale = (float)o->gscale;
        for (size_t i = 0; i < n; ++i) u[i] = g[i] * scale / sqrtf(m->second[begin + i]);
    }
}

static size_t chunk_nelements(const isb__optimizer *o, const slice *s, size_t begin) {
    size_t n = s->end - begin < CHUNK ? s->end - begin : CHUNK;
    if (o->moments[s->tensor].factored) {
        const size_t row_left = o->params[s->tensor].cols - begin % o->params[s->tensor].cols;
        n = n < row_left ? n : row_left;
    }
    return n;
}

static void norms_task(void *arg, size_t task, int thread) {
    const isb__optimizer *o = arg;
    (void)thread;
    slice *s = &o->slices[task];
    float u[CHUNK];
    s->update_sq = 0;
    s->param_sq = o->ops->sumsq(s->end - s->begin, o->params[s->tensor].data + s->begin);
    for (size_t begin = s->begin, n; begin < s->end; begin += n) {
        n = chunk_nelements(o, s, begin);
        update_chunk(o, s->tensor, begin, n, u);
        s->update_sq += o->ops->sumsq(n, u);
    }
}

static void set_step_sizes(isb__optimizer *o) {
    for (size_t i = 0; i < o->n_params; ++i) {
        moments *m = &o->moments[i];
        double update_sq = 0, param_sq = 0;
        for (size_t s = m->first_slice; s < m->end_slice; ++s) {
            update_sq += o->slices[s].update_sq;
            param_sq += o->slices[s].param_sq;
        }
        const double n = (double)count_of(&o->params[i]);
        m->step_size = o->lr * rate_of(&o->params[i]) * fmax(sqrt(param_sq / n), EPS_SCALE) /
                       fmax(1.0, sqrt(update_sq / n));
    }
}

static void apply_task(void *arg, size_t task, int thread) {
    const isb__optimizer *o = arg;
    (void)thread;
    const slice *s = &o->slices[task];
    const isb__param *t = &o->params[s->tensor];
    const float step = (float)o->moments[s->tensor].step_size;
    const float keep = t->decay ? (float)(1 - o->lr * o->options.weight_decay) : 1.0f;
    float u[CHUNK];
    for (size_t begin = s->begin, n; begin < s->end; begin += n) {
        float *p = t->data + begin;
        n = chunk_nelements(o, s, begin);
        update_chunk(o, s->tensor, begin, n, u);
        for (size_t i = 0; i < n; ++i) p[i] = p[i] * keep - step * u[i];
    }
}

static void adafactor_step(isb__optimizer *o, uint64_t step) {
    o->decay = 1 - pow((double)(step + 1), -DECAY_POWER);
    isb__parallel(o->ctx, o->n_slices, moments_task, o);
    isb__parallel(o->ctx, o->n_params, factors_task, o);
    isb__parallel(o->ctx, o->n_slices, norms_task, o);
    set_step_sizes(o);
    isb__parallel(o->ctx, o->n_slices, apply_task, o);
}

static void drop_pulled(isb__optimizer *o) {
    if (!o->pulled) return;
    isb__free(o->ctx, o->pulled_block);
    o->pulled_block = NULL;
    o->pulled = false;
    for (size_t b = 0; b < o->shares.n_blocks; ++b)
        memset(o->states[b].all, 0, sizeof o->states[b].all);
}

isb_status isb__optimizer_step(isb__optimizer *o, double gscale, double lr, uint64_t step) {
    drop_pulled(o);
    o->gscale = gscale;
    o->lr = lr;
    if (o->options.kind == ISB_OPTIMIZER_ADAFACTOR) {
        adafactor_step(o, step);
        return ISB_OK;
    }
    adamw_step(o, step);
    return isb__shares_gather(&o->shares);
}

/* ---- checkpoints ---- */

static isb_status allocate_pulled(isb__optimizer *o) {
    isb__plan plan;
    if (o->pulled_block || isb__comm_rank(o->options.comm) != 0) return ISB_OK;
    isb__plan_begin(&plan, o->ctx);
    for (size_t b = 0; b < o->shares.n_blocks; ++b) {
        for (int k = 0; k < MAX_MOMENTS; ++k)
            isb__plan_add(&plan, "whole moment", o->shares.blocks[b].n * sizeof(float),
                          &o->states[b].all[k]);
    }
    return isb__plan_commit(&plan, &o->pulled_block);
}

isb_status isb__optimizer_pull(isb__optimizer *o) {
    if (is_alone(o) || o->options.kind == ISB_OPTIMIZER_ADAFACTOR) return ISB_OK;
    ISB_TRY(isb__comm_agree(o->options.comm, allocate_pulled(o)));
    for (size_t b = 0; b < o->shares.n_blocks; ++b) {
        const block_state *s = &o->states[b];
        for (int k = 0; k < MAX_MOMENTS; ++k)
            ISB_TRY(isb__comm_gather_f32(o->options.comm, o->shares.blocks[b].parts, s->mine[k],
                                         s->all[k]));
    }
    o->pulled = true;
    return ISB_OK;
}

static isb_status push_factors(isb__optimizer *o) {
    isb__comm *comm = o->options.comm;
    for (size_t i = 0; i < o->n_params; ++i) {
        const isb__param *t = &o->params[i];
        const moments *m = &o->moments[i];
        if (m->second)
            ISB_TRY(isb__comm_broadcast(comm, 0, count_of(t) * sizeof *m->second, m->second));
        if (!m->row) continue;
        ISB_TRY(isb__comm_broadcast(comm, 0, t->rows * sizeof *m->row, m->row));
        ISB_TRY(isb__comm_broadcast(comm, 0, t->cols * sizeof *m->col, m->col));
    }
    return ISB_OK;
}

static isb_status push_moments(isb__optimizer *o) {
    for (size_t b = 0; b < o->shares.n_blocks; ++b) {
        const block_state *s = &o->states[b];
        for (int k = 0; k < MAX_MOMENTS; ++k)
            ISB_TRY(isb__comm_scatter_f32(o->options.comm, o->shares.blocks[b].parts, s->all[k],
                                          s->mine[k]));
    }
    return ISB_OK;
}

isb_status isb__optimizer_push(isb__optimizer *o) {
    if (is_alone(o)) return ISB_OK;
    ISB_TRY(isb__shares_broadcast(&o->shares));
    if (o->options.kind == ISB_OPTIMIZER_ADAFACTOR) return push_factors(o);
    return o->pulled ? push_moments(o) : ISB_OK; /* never pulled: nothing is known beside zeros */
}
