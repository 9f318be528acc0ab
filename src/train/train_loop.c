/* Training: steps, logging, evaluation, checkpoints.
 *
 * A step reads all its micro-batches first, because the gradient is that of the mean over all
 * targets of the step and their number is only known then; each micro-batch adds its share to
 * one gradient.  Everything that decides the numbers is a function of the step and of earlier
 * losses, so a run that is resumed goes on with the bits that it would have had (budgets of time
 * alone excepted: time does not repeat).
 *
 * On R ranks, rank r does micro-batches r, r + R, ... of each step, and documents r, r + R, ... of
 * an evaluation.  All ranks run this loop and decide alike, from sums that all have; what only one
 * can know (an interruption, an error of the disk) they agree upon before they go on.  Rank 0
 * writes the files. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/ops.h"
#include "train/machine_peak.h"
#include "train/run.h"
#include "train/settings.h"
#include "train/spikes.h"

static const double PEAK_SECONDS = 0.05;

typedef struct loop {
    isb__run *run;
    isb__schedule schedule;
    uint64_t total_steps, tokens_per_step;
    isb__progress_state progress;
    double lr, grad_norm; /* of the last step */
    double peak;          /* FLOP/s of all ranks' product units; NaN: not known */
    uint64_t saved_step;  /* ISB__NO_STEP: not yet */
    uint64_t begin_tokens, logged_tokens; /* at the start, in the last line of the log */
    double begin_seconds, logged_seconds, logged_comm_seconds;
    bool log_waits; /* for room on the disk */
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

static bool is_writer(const isb__run *run) { return isb__comm_rank(run->comm) == 0; }

/* Reads this rank's micro-batches of the step; returns the number of targets in them. */
static uint64_t fill_batches(isb__run *run) {
    const isb_train_options *s = &run->settings;
    const size_t n = s->batch_rows * (size_t)s->model.context_length,
                 rank = (size_t)isb__comm_rank(run->comm),
                 n_ranks = (size_t)isb__comm_size(run->comm);
    uint64_t n_targets = 0;
    for (size_t a = 0; a < run->n_batches; ++a) {
        const uint64_t position = run->progress.step * s->accumulate + a * n_ranks + rank;
        isb__loader_fill(run->loader, position, run->inputs + a * n, run->targets + a * n,
                         run->starts + a * n);
        for (size_t i = 0; i < n; ++i) n_targets += run->targets[a * n + i] >= 0;
    }
    return n_targets;
}

/* The same for all ranks together.  Here all of them notice when one is to stop. */
static isb_status count_targets(isb__run *run, double *n_targets) {
    double sums[2] = {(double)fill_batches(run), isb__cancelled(run->ctx)};
    ISB_TRY(isb__comm_sum_f64(run->comm, 2, sums));
    if (sums[1] > 0) return isb__fail(run->ctx, ISB_ERR_CANCELLED, "stopped on request");
    *n_targets = sums[0];
    return ISB_OK;
}

/* Of this rank's micro-batches. */
static isb_status add_gradients(isb__run *run, double scale, double *nats) {
    const isb_train_options *s = &run->settings;
    const size_t n = s->batch_rows * (size_t)s->model.context_length;
    *nats = 0;
    ISB_TRY(run->trainer->ops->begin(run->trainer));
    for (size_t a = 0; a < run->n_batches; ++a) {
        const isb__batch batch = {run->inputs + a * n, run->targets + a * n, run->starts + a * n};
        isb__loss loss;
        ISB_TRY(run->trainer->ops->backward(run->trainer, &batch, (float)scale,
                                            (float)isb__setting(s->z_loss), &loss));
        *nats += loss.nats * scale;
    }
    return ISB_OK;
}

/* The gradient of the mean loss, and that loss in nats. */
static isb_status compute_gradient(isb__run *run, double *nats) {
    double n_targets = 1;
    ISB_TRY(count_targets(run, &n_targets));
    ISB_TRY(isb__comm_agree(run->comm, add_gradients(run, 1.0 / n_targets, nats)));
    return isb__comm_sum_f64(run->comm, 1, nats);
}

/* ---- steps that are left out ---- */

static isb_status fail_diverged(const loop *l, double nats, uint64_t n_skipped) {
    const isb_train_options *s = &l->run->settings;
    char wider[96] = "";
    if (isfinite(nats) && isfinite(l->grad_norm))
        snprintf(wider, sizeof wider, "; or resume with a spike_limit above %g", s->spike_limit);
    return isb__fail(l->run->ctx, ISB_ERR_DIVERGED,
                     "at step %" PRIu64 " the loss is %g and the gradient's norm %g, unusable for "
                     "the %" PRIu64 ". time in a row; the last checkpoint is untouched.  Train with "
                     "a lower lr than %g, a longer warm-up, or grad_clip%s",
                     l->run->progress.step, nats, l->grad_norm, n_skipped, s->lr, wider);
}

/* What a full disk does not take of the logs is written later, so nothing is lost if room is made. */
static isb_status unless_full(loop *l, isb_status status) {
    if (status != ISB_ERR_NO_SPACE) return status;
    if (!l->log_waits)
        isb__log(l->run->ctx, ISB_LOG_WARNING, "%s; training goes on, and tries again",
                 isb_context_error(l->run->ctx));
    l->log_waits = true;
    return ISB_OK;
}

static isb_status record_skipped(loop *l, double nats, const isb__spike *spike) {
    const uint64_t step = l->run->progress.step + 1;
    char text[160];
    if (isfinite(spike->expected)) {
        snprintf(text, sizeof text, "loss %.4g, expected %.4g +- %.2g", nats, spike->expected,
                 spike->spread);
    } else {
        snprintf(text, sizeof text, "loss %g, gradient norm %g", nats, l->grad_norm);
    }
    if (!is_writer(l->run)) return ISB_OK;
    isb__log(l->run->ctx, ISB_LOG_WARNING, "step %" PRIu64 " is left out: %s", step, text);
    return unless_full(l, isb__log_jsonl_note(l->run->log, (int64_t)step, "skipped", text));
}

/* The weights stay as they are. */
static isb_status skip_step(loop *l, double nats, const isb__spike *spike) {
    isb__train_progress *p = &l->run->progress;
    const isb_train_options *s = &l->run->settings;
    const uint64_t n = isb__spike_run(p->losses, p->step) + 1;
    if (n >= s->max_skipped || s->spike_limit < 0) return fail_diverged(l, nats, n);
    p->losses[p->step] = isb__spike_mark(nats);
    return isb__comm_agree(l->run->comm, record_skipped(l, nats, spike));
}

/* ---- one step, done or not ---- */

static isb_status update(loop *l, double nats) {
    isb__run *run = l->run;
    isb__train_progress *p = &run->progress;
    const double clip = isb__setting(run->settings.grad_clip);
    const double gscale = clip > 0 && l->grad_norm > clip ? clip / l->grad_norm : 1;
    ISB_TRY(run->trainer->ops->step(run->trainer, gscale, l->lr, p->step));
    p->losses[p->step] = (float)nats;
    return ISB_OK;
}

/* Where time decides when the run ends, all go by the clock of rank 0. */
static isb_status count_seconds(loop *l, double seconds) {
    isb__run *run = l->run;
    if (run->settings.max_minutes > 0)
        ISB_TRY(isb__comm_broadcast(run->comm, 0, sizeof seconds, &seconds));
    run->progress.seconds += seconds;
    return ISB_OK;
}

static isb_status train_step(loop *l) {
    isb__run *run = l->run;
    isb__train_progress *p = &run->progress;
    const isb_train_options *s = &run->settings;
    const double begin_s = isb__now_s();
    double nats;
    ISB_TRY(isb__grow_array(run->ctx, (size_t)p->step + 1, sizeof *p->losses, &run->losses_capacity,
                            &p->losses));
    ISB_TRY(compute_gradient(run, &nats));
    ISB_TRY(run->trainer->ops->reduce(run->trainer, &l->grad_norm));
    l->lr = isb__schedule_lr(&l->schedule, p->step, fraction_used(l));
    const isb__spike spike = isb__spike_find(p->losses, p->step, s->warmup_steps, s->spike_limit,
                                             nats, l->grad_norm);
    ISB_TRY(spike.found ? skip_step(l, nats, &spike) : update(l, nats));
    ++p->step;
    p->tokens += l->tokens_per_step;
    return count_seconds(l, isb__now_s() - begin_s);
}

/* ---- what happens between steps ---- */

static double mean_loss(const isb__train_progress *p, uint64_t last) {
    const uint64_t n = last < p->step ? last : p->step;
    double sum = 0;
    uint64_t count = 0;
    for (uint64_t i = p->step - n; i < p->step; ++i) {
        if (isb__spike_marked(p->losses[i])) continue;
        sum += (double)p->losses[i];
        ++count;
    }
    return count ? sum / (double)count : (double)NAN;
}

static isb_status write_metrics(loop *l, size_t n, const isb__metric *metrics) {
    const isb__run *run = l->run;
    const int64_t step = (int64_t)run->progress.step;
    if (!is_writer(run)) return ISB_OK;
    ISB_TRY(unless_full(l, isb__log_jsonl_write(run->log, step, n, metrics)));
    return unless_full(l, isb__tensorboard_write(run->tensorboard, step, n, metrics));
}

/* Share of the peak; NaN if the device's is not known. */
static double share_of_peak(const loop *l, double tokens_per_s) {
    const double flops_per_token =
        isb__settings_flops_per_step(&l->run->settings) / (double)l->tokens_per_step;
    return tokens_per_s * flops_per_token / l->peak;
}

/* Of the time since the last line; waiting for slower ranks is part of it. */
static double communication_share(const loop *l, double seconds) {
    const double comm_seconds = isb__comm_seconds(l->run->comm) - l->logged_comm_seconds;
    return seconds > 0 ? fmin(1, comm_seconds / seconds) : 0;
}

static double train_bits_per_byte(const isb__run *run, double nats) {
    return isb__bits_per_byte_mixed(&run->data.train->info, nats,
                                    isb__setting(run->settings.raw_share));
}

static isb_status log_step(loop *l) {
    isb__run *run = l->run;
    const isb__train_progress *p = &run->progress;
    const double nats = mean_loss(p, run->settings.log_every),
                 seconds = p->seconds - l->logged_seconds,
                 tokens = (double)(p->tokens - l->logged_tokens),
                 tokens_per_s = seconds > 0 ? tokens / seconds : 0;
    const isb__metric metrics[] = {
        {"tokens", (double)p->tokens},
        {"seconds", p->seconds},
        {"loss", nats},
        {"bits_per_token", nats / log(2.0)},
        {"bits_per_byte", train_bits_per_byte(run, nats)},
        {"lr", l->lr},
        {"grad_norm", l->grad_norm},
        {"tokens_per_s", tokens_per_s},
        {"peak_share", share_of_peak(l, tokens_per_s)},
        {"flops", isb__settings_flops_per_step(&run->settings) * (double)p->step},
        {"comm_share", communication_share(l, seconds)},
    };
    /* the last one is only of runs on several ranks */
    const size_t n = sizeof metrics / sizeof *metrics;
    l->logged_seconds = p->seconds;
    l->logged_tokens = p->tokens;
    l->logged_comm_seconds = isb__comm_seconds(run->comm);
    return write_metrics(l, isb__comm_size(run->comm) > 1 ? n : n - 1, metrics);
}

static double valid_bits_per_byte(const isb__run *run, const isb__train_eval *eval) {
    if (eval->step == ISB__NO_STEP) return (double)NAN;
    return isb__bits_per_byte(&run->data.valid->info, eval->nats);
}

/* Fewer bits than ever: the model is kept.  A full disk leaves the older one. */
static isb_status keep_best(loop *l) {
    isb__run *run = l->run;
    isb__train_progress *p = &run->progress;
    const bool first = p->best.step == ISB__NO_STEP;
    if (!run->settings.keep_best || !(first || p->last.nats < p->best.nats)) return ISB_OK;
    ISB_TRY(run->trainer->ops->pull(run->trainer));
    isb_status status = ISB_OK;
    if (is_writer(run))
        status = isb__best_publish(run->ctx, run->model, &run->data, run->settings.out_dir);
    status = isb__comm_agree(run->comm, status);
    if (status == ISB_OK) p->best = p->last;
    if (status != ISB_ERR_NO_SPACE) return status;
    isb__log(run->ctx, ISB_LOG_WARNING, "the best model so far, of step %" PRIu64
             ", is not kept: %s", p->step, isb_context_error(run->ctx));
    return ISB_OK;
}

/* The same first documents every time, whole but for the last; of these, this rank's. */
static isb_status score_share(isb__run *run, isb__score *score) {
    const isb_train_options *s = &run->settings;
    const uint64_t max_targets =
        (uint64_t)s->eval_batches * s->batch_rows * (uint64_t)s->model.context_length;
    isb__scorer_reset(run->scorer);
    ISB_TRY(isb__scorer_add_share(run->scorer, run->data.valid, max_targets,
                                  (uint64_t)isb__comm_rank(run->comm),
                                  (uint64_t)isb__comm_size(run->comm)));
    return isb__scorer_finish(run->scorer, score);
}

/* Nats per target of all ranks' shares; bytes: of the view of raw bytes, where there are two. */
static isb_status score_view(isb__run *run, bool bytes, double *nats) {
    const int64_t first_byte_id = run->data.valid->info.first_byte_id;
    isb__score score = {0};
    if (first_byte_id > 0)
        isb__scorer_set_view(run->scorer, first_byte_id, bytes, &run->data.strings);
    ISB_TRY(isb__comm_agree(run->comm, score_share(run, &score)));
    double sums[] = {score.nats, (double)score.n_targets};
    ISB_TRY(isb__comm_sum_f64(run->comm, 2, sums));
    *nats = sums[0] / sums[1];
    return ISB_OK;
}

static isb_status evaluate_raw(loop *l) {
    isb__run *run = l->run;
    double nats;
    if (isb__setting(run->settings.raw_share) == 0) return ISB_OK;
    ISB_TRY(score_view(run, true, &nats));
    const isb__metric metrics[] = {
        {"valid_loss_raw", nats},
        {"valid_bits_per_byte_raw", isb__bits_per_byte_mixed(&run->data.valid->info, nats, 1)},
    };
    return isb__comm_agree(run->comm, write_metrics(l, sizeof metrics / sizeof *metrics, metrics));
}

static isb_status evaluate(loop *l) {
    isb__run *run = l->run;
    isb__train_progress *p = &run->progress;
    if (!run->scorer || p->last.step == p->step) return ISB_OK;
    double nats;
    ISB_TRY(score_view(run, false, &nats));
    p->last = (isb__train_eval){p->step, nats};
    ISB_TRY(evaluate_raw(l));
    ISB_TRY(keep_best(l));
    const isb__metric metrics[] = {
        {"tokens", (double)p->tokens},
        {"valid_loss", p->last.nats},
        {"valid_bits_per_byte", valid_bits_per_byte(run, &p->last)},
        {"best_bits_per_byte", valid_bits_per_byte(run, &p->best)},
    };
    /* the last one is only of runs that keep the best */
    const size_t n = sizeof metrics / sizeof *metrics;
    return isb__comm_agree(run->comm,
                           write_metrics(l, p->best.step == ISB__NO_STEP ? n - 1 : n, metrics));
}

/* Weights can overflow in a step whose loss was still a number: they must not push sound
 * checkpoints out. */
static isb_status check_weights(const loop *l) {
    char cause[ISB__ERROR_NBYTES];
    isb_context *ctx = l->run->ctx;
    if (isb__model_check_finite(ctx, l->run->model, "the model") == ISB_OK) return ISB_OK;
    snprintf(cause, sizeof cause, "%s", isb_context_error(ctx));
    return isb__fail(ctx, ISB_ERR_DIVERGED,
                     "after step %" PRIu64 " %s; the last checkpoint is untouched.  Train with a "
                     "lower lr than %g, a longer warm-up, or grad_clip",
                     l->run->progress.step, cause, l->run->settings.lr);
}

static isb_status write_checkpoint(const loop *l) {
    const isb__run *run = l->run;
    ISB_TRY(check_weights(l));
    const isb__train_snapshot snapshot = {&run->settings, &run->progress,        run->model,
                                          run->trainer, run->data.fingerprint, run->data.prefix};
    ISB_TRY(isb__checkpoint_save(run->ctx, run->settings.out_dir, &snapshot));
    return isb__model_publish(run->ctx, run->model, run->settings.out_dir);
}

static isb_status save(loop *l) {
    isb__run *run = l->run;
    if (l->saved_step == run->progress.step) return ISB_OK;
    ISB_TRY(run->trainer->ops->pull(run->trainer));
    ISB_TRY(isb__comm_agree(run->comm, is_writer(run) ? write_checkpoint(l) : ISB_OK));
    l->saved_step = run->progress.step;
    return ISB_OK;
}

/* In the middle of a run a full disk is no reason to stop: the next save tries again.  Nor is a
 * spike a moment to keep: the weights may be what is wrong. */
static isb_status save_if_due(loop *l, double fraction) {
    const isb_train_options *s = &l->run->settings;
    const isb__train_progress *p = &l->run->progress;
    if (!s->save_every || p->step % s->save_every != 0 || fraction >= 1) return ISB_OK;
    if (isb__spike_run(p->losses, p->step) > 0) return ISB_OK;
    const isb_status status = save(l);
    if (status != ISB_ERR_NO_SPACE) return status;
    isb__log(l->run->ctx, ISB_LOG_WARNING, "%s; training goes on, and tries again at step %" PRIu64,
             isb_context_error(l->run->ctx), p->step + s->save_every);
    return ISB_OK;
}

/* What there is room for is shown, from the left. */
static void describe(const loop *l, double tokens_per_s, char *note, size_t capacity) {
    const double nats = mean_loss(&l->run->progress, l->run->settings.log_every),
                 share = share_of_peak(l, tokens_per_s);
    int n = snprintf(note, capacity, "loss %.3f bits/byte %.3f", nats,
                     train_bits_per_byte(l->run, nats));
    if (share > 0) n += snprintf(note + n, capacity - (size_t)n, " peak %.0f%%", 100 * share);
    snprintf(note + n, capacity - (size_t)n, " lr %.2g", l->lr);
}

/* With a budget of time, the total is what the present pace leads to. */
static void show_progress(loop *l, double fraction) {
    char note[128];
    const isb__train_progress *p = &l->run->progress;
    const double tokens = (double)p->tokens, seconds = p->seconds - l->begin_seconds;
    const double tokens_per_s = seconds > 0 ? (tokens - (double)l->begin_tokens) / seconds : 0;
    if (fraction > 0 && l->run->settings.max_minutes > 0) l->progress.total = tokens / fraction;
    describe(l, tokens_per_s, note, sizeof note);
    isb__progress_update(&l->progress, tokens, note);
}

/* By default at each tenth of the run, unless so few steps lie between that evaluating would
 * take a tenth of the time: a batch costs a third of what it costs in training. */
static bool evaluation_due(const loop *l, double before, double after) {
    const isb_train_options *s = &l->run->settings;
    const isb__train_progress *p = &l->run->progress;
    const uint64_t step = p->step, since = step - (p->last.step == ISB__NO_STEP ? 0 : p->last.step);
    if (s->eval_every > 0) return step % s->eval_every == 0;
    return floor(10 * after) > floor(10 * before) &&
           since * s->accumulate * 3 >= 10 * (uint64_t)s->eval_batches;
}

static isb_status after_step(loop *l, double before) {
    const isb_train_options *s = &l->run->settings;
    const uint64_t step = l->run->progress.step;
    const double after = fraction_used(l);
    show_progress(l, after);
    if (step % s->log_every == 0 || after >= 1)
        ISB_TRY(isb__comm_agree(l->run->comm, log_step(l)));
    if (evaluation_due(l, before, after)) ISB_TRY(evaluate(l));
    return save_if_due(l, after);
}

/* ---- the run ---- */

static isb_status run_steps(loop *l) {
    for (double used = fraction_used(l); used < 1; used = fraction_used(l)) {
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

/* NaN for a device whose peak is not measured. */
static double find_peak(const isb__run *run) {
    isb_context *ctx = run->ctx;
    const char *device = run->settings.device;
    if (device && strcmp(device, "cpu") != 0) return (double)NAN;
    const double peak = isb__machine_peak(
        ctx, isb__peak_of(isb__ops_for(ctx->cpu)->gemm_close->name), PEAK_SECONDS);
    return peak > 0 ? peak * isb__comm_size(run->comm) : (double)NAN;
}

static void start(loop *l, isb__run *run) {
    const isb__train_progress *p = &run->progress;
    *l = (loop){.run = run,
                .schedule = isb__settings_schedule(&run->settings),
                .saved_step = run->settings.resume ? p->step : ISB__NO_STEP,
                .peak = find_peak(run)};
    l->total_steps = isb__settings_total_steps(&run->settings);
    l->tokens_per_step = isb__settings_tokens_per_step(&run->settings);
    l->begin_tokens = l->logged_tokens = p->tokens;
    l->begin_seconds = l->logged_seconds = p->seconds;
    l->logged_comm_seconds = isb__comm_seconds(run->comm);
    const bool known = l->total_steps != UINT64_MAX;
    isb__progress_begin(&l->progress, run->ctx, "train", "token",
                        known ? (double)(l->total_steps * l->tokens_per_step) : 0);
    isb__progress_resume(&l->progress, (double)p->tokens);
}

static void fill_result(const loop *l, isb_train_result *result) {
    const isb__run *run = l->run;
    const isb__train_progress *p = &run->progress;
    const uint64_t tenth = p->step / 10;
    *result = (isb_train_result){.steps = p->step, .tokens = p->tokens, .seconds = p->seconds};
    result->train_flops = isb__settings_flops_per_step(&run->settings) * (double)p->step;
    result->tokens_per_s = p->seconds > 0 ? (double)p->tokens / p->seconds : 0;
    result->flops_per_s = p->seconds > 0 ? result->train_flops / p->seconds : 0;
    result->peak_flops_per_s = l->peak;
    result->peak_share = share_of_peak(l, result->tokens_per_s);
    result->train_loss_nats = mean_loss(p, tenth > 0 ? tenth : 1);
    result->valid_loss_nats = p->last.step == p->step ? p->last.nats : (double)NAN;
    result->valid_bits_per_byte =
        p->last.step == p->step ? valid_bits_per_byte(run, &p->last) : (double)NAN;
    result->best_step = p->best.step == ISB__NO_STEP ? 0 : p->best.step;
    result->best_bits_per_byte = valid_bits_per_byte(run, &p->best);
    result->skipped_steps = isb__spike_count(p->losses, p->step);
    result->memory_nbytes = run->memory_nbytes;
    isb_model_get_info(run->model, &result->model);
}

static void finish(loop *l, isb_train_result *result) {
    char note[128];
    fill_result(l, result);
    describe(l, result->tokens_per_s, note, sizeof note);
    isb__progress_end(&l->progress, (double)result->tokens, note);
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
