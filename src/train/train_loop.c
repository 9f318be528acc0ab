/* Training: steps, logging, evaluation, checkpoints.
 *
 * A step reads all its micro-batches first, because the gradient is that of the mean over all
 * targets of the step and their number is only known then; each micro-batch adds its share to
 * one gradient.  Everything that decides the numbers is a function of the step, so a run that is
 * resumed goes on with the bits that it would have had (budgets of time alone excepted: time
 * does not repeat). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "train/run.h"
#include "train/settings.h"

typedef struct loop {
    isb__run *run;
    isb__schedule schedule;
    uint64_t total_steps, tokens_per_step;
    isb__progress_state progress;
    double lr, grad_norm;                /* of the last step */
    uint64_t saved_step, evaluated_step; /* UINT64_MAX: not yet */
    uint64_t logged_tokens;
    double logged_seconds;
    double valid_nats, valid_bits_per_byte; /* NaN: not known */
} loop;

/* Share of the budget that is used: of whichever budget is nearest to its end. */
static double fraction_used(const loop *l) {
    const isb_train_options *s = &l->run->settings;
    const isb__train_progress *p = &l->run->progress;
    const double by_steps =
        l->total_steps == UINT64_MAX ? 0 : (double)p->step / (double)l->total_steps;
    const double by_time = s->max_minutes > 0 ? p->seconds / (60 * s->max_minutes) : 0;
    return fmin(1, fmax(by_steps, by_time));
}

/* ---- one step ---- */

/* Reads the step's micro-batches; returns the number of targets in them. */
static uint64_t fill_batches(isb__run *run) {
    const isb_train_options *s = &run->settings;
    const size_t n = s->batch_rows * (size_t)s->model.context_length;
    uint64_t n_targets = 0;
    for (size_t a = 0; a < s->accumulate; ++a) {
        const uint64_t position = run->progress.step * s->accumulate + a;
        isb__loader_fill(run->loader, position, run->inputs + a * n, run->targets + a * n,
                         run->starts + a * n);
        for (size_t i = 0; i < n; ++i) n_targets += run->targets[a * n + i] >= 0;
    }
    return n_targets;
}

/* The gradient of the mean loss, and that loss in nats. */
static isb_status compute_gradient(isb__run *run, double *nats) {
    const isb_train_options *s = &run->settings;
    const size_t n = s->batch_rows * (size_t)s->model.context_length;
    const double scale = 1.0 / (double)fill_batches(run);
    *nats = 0;
    ISB_TRY(run->trainer->ops->begin(run->trainer));
    for (size_t a = 0; a < s->accumulate; ++a) {
        const isb__batch batch = {run->inputs + a * n, run->targets + a * n, run->starts + a * n};
        isb__loss loss;
        ISB_TRY(run->trainer->ops->backward(run->trainer, &batch, (float)scale,
                                            (float)isb__setting(s->z_loss), &loss));
        *nats += loss.nats * scale;
    }
    return ISB_OK;
}

static isb_status check_finite(const loop *l, double nats, double norm) {
    if (isfinite(nats) && isfinite(norm)) return ISB_OK;
    return isb__fail(l->run->ctx, ISB_ERR_DIVERGED,
                     "at step %" PRIu64
                     " the loss is %g and the gradient's norm %g; the last checkpoint "
                     "is untouched.  Train with a lower lr than %g, a longer warm-up, or grad_clip",
                     l->run->progress.step, nats, norm, l->run->settings.lr);
}

static isb_status train_step(loop *l) {
    isb__run *run = l->run;
    isb__train_progress *p = &run->progress;
    const double begin_s = isb__now_s(), clip = isb__setting(run->settings.grad_clip);
    double nats;
    ISB_TRY(isb__grow_array(run->ctx, (size_t)p->step + 1, sizeof *p->losses, &run->losses_capacity,
                            &p->losses));
    ISB_TRY(compute_gradient(run, &nats));
    ISB_TRY(run->trainer->ops->reduce(run->trainer, &l->grad_norm));
    ISB_TRY(check_finite(l, nats, l->grad_norm));
    l->lr = isb__schedule_lr(&l->schedule, p->step, fraction_used(l));
    const double gscale = clip > 0 && l->grad_norm > clip ? clip / l->grad_norm : 1;
    ISB_TRY(run->trainer->ops->step(run->trainer, gscale, l->lr, p->step));
    p->losses[p->step++] = (float)nats;
    p->tokens += l->tokens_per_step;
    p->seconds += isb__now_s() - begin_s;
    return ISB_OK;
}

/* ---- what happens between steps ---- */

static double mean_loss(const isb__train_progress *p, uint64_t last) {
    const uint64_t n = last < p->step ? last : p->step;
    double sum = 0;
    for (uint64_t i = p->step - n; i < p->step; ++i) sum += (double)p->losses[i];
    return n ? sum / (double)n : (double)NAN;
}

static isb_status write_metrics(isb__run *run, size_t n, const isb__metric *metrics) {
    const int64_t step = (int64_t)run->progress.step;
    ISB_TRY(isb__log_jsonl_write(run->log, step, n, metrics));
    return isb__tensorboard_write(run->tensorboard, step, n, metrics);
}

static isb_status log_step(loop *l) {
    isb__run *run = l->run;
    const isb__train_progress *p = &run->progress;
    const double nats = mean_loss(p, run->settings.log_every),
                 seconds = p->seconds - l->logged_seconds;
    const isb__metric metrics[] = {
        {"tokens", (double)p->tokens},
        {"seconds", p->seconds},
        {"loss", nats},
        {"bits_per_token", nats / log(2.0)},
        {"bits_per_byte", isb__bits_per_byte(&run->data.train->info, nats)},
        {"lr", l->lr},
        {"grad_norm", l->grad_norm},
        {"tokens_per_s", seconds > 0 ? (double)(p->tokens - l->logged_tokens) / seconds : 0},
        {"flops", isb__settings_flops_per_step(&run->settings) * (double)p->step},
    };
    l->logged_seconds = p->seconds;
    l->logged_tokens = p->tokens;
    return write_metrics(run, sizeof metrics / sizeof *metrics, metrics);
}

/* The same first documents every time, whole but for the last. */
static isb_status evaluate(loop *l) {
    isb__run *run = l->run;
    const isb_train_options *s = &run->settings;
    if (!run->scorer || l->evaluated_step == run->progress.step) return ISB_OK;
    isb__score score;
    isb__scorer_reset(run->scorer);
    const uint64_t max_targets =
        (uint64_t)s->eval_batches * s->batch_rows * (uint64_t)s->model.context_length;
    ISB_TRY(isb__scorer_add_dataset(run->scorer, run->data.valid, max_targets));
    ISB_TRY(isb__scorer_finish(run->scorer, &score));
    l->valid_nats = score.nats / (double)score.n_targets;
    l->valid_bits_per_byte = isb__bits_per_byte(&run->data.valid->info, l->valid_nats);
    l->evaluated_step = run->progress.step;
    const isb__metric metrics[] = {
        {"tokens", (double)run->progress.tokens},
        {"valid_loss", l->valid_nats},
        {"valid_bits_per_byte", l->valid_bits_per_byte},
    };
    return write_metrics(run, sizeof metrics / sizeof *metrics, metrics);
}

static isb_status save(loop *l) {
    isb__run *run = l->run;
    if (l->saved_step == run->progress.step) return ISB_OK;
    ISB_TRY(run->trainer->ops->pull(run->trainer));
    const isb__train_snapshot snapshot = {&run->settings, &run->progress,        run->model,
                                          run->trainer, run->data.fingerprint, run->data.prefix};
    ISB_TRY(isb__checkpoint_save(run->ctx, run->settings.out_dir, &snapshot));
    ISB_TRY(isb__model_publish(run->ctx, run->model, run->settings.out_dir));
    l->saved_step = run->progress.step;
    return ISB_OK;
}

static void describe(const loop *l, char *note, size_t capacity) {
    const double nats = mean_loss(&l->run->progress, l->run->settings.log_every);
    snprintf(note, capacity, "loss %.3f bits/byte %.3f", nats,
             isb__bits_per_byte(&l->run->data.train->info, nats));
}

/* With a budget of time, the total is what the present pace leads to. */
static void show_progress(loop *l, double fraction) {
    char note[96];
    const double tokens = (double)l->run->progress.tokens;
    if (fraction > 0 && l->run->settings.max_minutes > 0) l->progress.total = tokens / fraction;
    describe(l, note, sizeof note);
    isb__progress_update(&l->progress, tokens, note);
}

/* By default at each tenth of the run, unless so few steps lie between that evaluating would
 * take a tenth of the time: a batch costs a third of what it costs in training. */
static bool evaluation_due(const loop *l, double before, double after) {
    const isb_train_options *s = &l->run->settings;
    const uint64_t step = l->run->progress.step,
                   since = step - (l->evaluated_step == UINT64_MAX ? 0 : l->evaluated_step);
    if (s->eval_every > 0) return step % s->eval_every == 0;
    return floor(10 * after) > floor(10 * before) &&
           since * s->accumulate * 3 >= 10 * (uint64_t)s->eval_batches;
}

static isb_status after_step(loop *l, double before) {
    const isb_train_options *s = &l->run->settings;
    const uint64_t step = l->run->progress.step;
    const double after = fraction_used(l);
    show_progress(l, after);
    if (step % s->log_every == 0 || after >= 1) ISB_TRY(log_step(l));
    if (evaluation_due(l, before, after)) ISB_TRY(evaluate(l));
    if (s->save_every && step % s->save_every == 0) ISB_TRY(save(l));
    return ISB_OK;
}

/* ---- the run ---- */

static isb_status run_steps(loop *l) {
    for (double used = fraction_used(l); used < 1; used = fraction_used(l)) {
        ISB_TRY(isb__check_cancel(l->run->ctx));
        ISB_TRY(train_step(l));
        ISB_TRY(after_step(l, used));
    }
    ISB_TRY(evaluate(l));
    return save(l);
}

/* The weights are those after the last whole step.  The request to stop is set aside while they
 * are saved. */
static isb_status stop_cancelled(loop *l) {
    isb__run *run = l->run;
    const uint64_t step = run->progress.step;
    if (step == 0)
        return isb__fail(run->ctx, ISB_ERR_CANCELLED,
                         "training was interrupted before its first step");
    isb_context_cancel_clear(run->ctx);
    const isb_status status = save(l);
    isb_context_cancel(run->ctx);
    if (status != ISB_OK) return status;
    return isb__fail(run->ctx, ISB_ERR_CANCELLED,
                     "training was interrupted after step %" PRIu64
                     "; a checkpoint is in %s: resume to go on",
                     step, run->settings.out_dir);
}

static void start(loop *l, isb__run *run) {
    const isb__train_progress *p = &run->progress;
    *l = (loop){.run = run,
                .schedule = isb__settings_schedule(&run->settings),
                .saved_step = UINT64_MAX,
                .evaluated_step = UINT64_MAX};
    l->total_steps = isb__settings_total_steps(&run->settings);
    l->tokens_per_step = isb__settings_tokens_per_step(&run->settings);
    l->valid_nats = l->valid_bits_per_byte = (double)NAN;
    l->logged_tokens = p->tokens;
    l->logged_seconds = p->seconds;
    if (run->settings.resume) l->saved_step = p->step;
    const bool known = l->total_steps != UINT64_MAX;
    isb__progress_begin(&l->progress, run->ctx, "train", "token",
                        known ? (double)(l->total_steps * l->tokens_per_step) : 0);
    isb__progress_resume(&l->progress, (double)p->tokens);
}

static void finish(loop *l, isb_train_result *result) {
    const isb__run *run = l->run;
    const isb__train_progress *p = &run->progress;
    char note[96];
    describe(l, note, sizeof note);
    isb__progress_end(&l->progress, (double)p->tokens, note);
    const uint64_t tenth = p->step / 10;
    *result = (isb_train_result){.steps = p->step, .tokens = p->tokens, .seconds = p->seconds};
    result->train_flops = isb__settings_flops_per_step(&run->settings) * (double)p->step;
    result->tokens_per_s = p->seconds > 0 ? (double)p->tokens / p->seconds : 0;
    result->flops_per_s = p->seconds > 0 ? result->train_flops / p->seconds : 0;
    result->train_loss_nats = mean_loss(p, tenth > 0 ? tenth : 1);
    result->valid_loss_nats = l->valid_nats;
    result->valid_bits_per_byte = l->valid_bits_per_byte;
    result->memory_nbytes = run->memory_nbytes;
    isb_model_get_info(run->model, &result->model);
}

isb_status isb_train(isb_context *ctx, const isb_train_options *options, isb_train_result *result) {
    isb__run run;
    loop l;
    isb_train_result ignored;
    ISB_TRY(isb__run_open(ctx, options, &run));
    start(&l, &run);
    isb_status status = run_steps(&l);
    if (status == ISB_ERR_CANCELLED) status = stop_cancelled(&l);
    finish(&l, result ? result : &ignored);
    isb__run_close(&run);
    return status;
}
