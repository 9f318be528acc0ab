/* Defaults, limits, and the table of fields that a checkpoint keeps. */
#include "train/settings.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "nn/model.h"

#define DEFAULT_STEPS 1000
/* Warm-up: in trials with 400 steps, 40 of warm-up beat 10 by 0.09 bits/byte, and kept twice the
 * rate from diverging. */
#define WARMUP_SHARE 0.02
#define WARMUP_SHARE_MOST 0.1
#define WARMUP_SHARE_TIMED 0.05
enum { FEW_IDS = 1024 };
enum { WARMUP_STEPS = 100, WARMUP_STEPS_TIMED = 10, PAPER_WARMUP_STEPS = 10000 };

/* ---- the table ---- */

typedef enum field_type { FIELD_U64, FIELD_I64, FIELD_SIZE, FIELD_INT, FIELD_REAL } field_type;
/* MODEL: the configuration, taken as a whole.  MATCH: decides the numbers, so it stays as it
 * was.  BUDGET: as a group. FREE: may change. */
typedef enum field_group { GROUP_MODEL, GROUP_MATCH, GROUP_BUDGET, GROUP_FREE } field_group;

typedef struct field {
    const char *name;
    size_t offset;
    field_type type;
    field_group group;
} field;

_Static_assert(sizeof(int) == sizeof(isb_optimizer) && sizeof(int) == sizeof(isb_schedule) &&
                   sizeof(int) == sizeof(isb_embeddings),
               "enums are kept as int");

#define FIELD(member, type, group) \
    { #member, offsetof(isb_train_options, member), FIELD_##type, GROUP_##group }
static const field fields[] = {
    FIELD(model.vocab_size, I64, MODEL),
    FIELD(model.hidden_size, I64, MODEL),
    FIELD(model.n_layers, I64, MODEL),
    FIELD(model.n_heads, I64, MODEL),
    FIELD(model.intermediate_size, I64, MODEL),
    FIELD(model.context_length, I64, MODEL),
    FIELD(model.rope_theta, REAL, MODEL),
    FIELD(model.norm_eps, REAL, MODEL),
    FIELD(model.activation, INT, MODEL),
    FIELD(model.position, INT, MODEL),
    FIELD(model.tie_embeddings, INT, MODEL),
    FIELD(batch_rows, SIZE, MATCH),
    FIELD(accumulate, SIZE, MATCH),
    FIELD(optimizer, INT, MATCH),
    FIELD(schedule, INT, MATCH),
    FIELD(lr, REAL, MATCH),
    FIELD(lr_final_ratio, REAL, MATCH),
    FIELD(warmup_steps, U64, MATCH),
    FIELD(weight_decay, REAL, MATCH),
    FIELD(beta1, REAL, MATCH),
    FIELD(beta2, REAL, MATCH),
    FIELD(eps, REAL, MATCH),
    FIELD(grad_clip, REAL, MATCH),
    FIELD(z_loss, REAL, MATCH),
    FIELD(seed, U64, MATCH),
    FIELD(cut_share, REAL, MATCH),
    FIELD(raw_share, REAL, MATCH),
    FIELD(embeddings, INT, MATCH),
    FIELD(embedding_lr, REAL, MATCH),
    FIELD(max_steps, U64, BUDGET),
    FIELD(max_tokens, U64, BUDGET),
    FIELD(max_minutes, REAL, BUDGET),
    FIELD(max_flops, REAL, BUDGET),
    FIELD(save_every, U64, FREE),
    FIELD(eval_every, U64, FREE),
    FIELD(log_every, U64, FREE),
    FIELD(eval_batches, SIZE, FREE),
    FIELD(keep, SIZE, FREE),
    FIELD(keep_best, INT, FREE),
    FIELD(recompute, INT, FREE),
    FIELD(spike_limit, REAL, FREE),
    FIELD(max_skipped, SIZE, FREE),
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

/* Whole numbers as 64 bits; reals in `real`. */
typedef struct number {
    uint64_t whole;
    double real;
} number;

static number get(const isb_train_options *options, const field *f) {
    const char *at = (const char *)options + f->offset;
    switch (f->type) {
    case FIELD_U64: return (number){.whole = *(const uint64_t *)(const void *)at};
    case FIELD_I64: return (number){.whole = (uint64_t) * (const int64_t *)(const void *)at};
    case FIELD_SIZE: return (number){.whole = *(const size_t *)(const void *)at};
    case FIELD_INT: return (number){.whole = (uint64_t) * (const int *)(const void *)at};
    case FIELD_REAL: break;
    }
    return (number){.real = *(const double *)(const void *)at};
}

static void set(isb_train_options *options, const field *f, number v) {
    char *at = (char *)options + f->offset;
    switch (f->type) {
    case FIELD_U64: *(uint64_t *)(void *)at = v.whole; break;
    case FIELD_I64: *(int64_t *)(void *)at = (int64_t)v.whole; break;
    case FIELD_SIZE: *(size_t *)(void *)at = (size_t)v.whole; break;
    case FIELD_INT: *(int *)(void *)at = (int)v.whole; break;
    case FIELD_REAL: *(double *)(void *)at = v.real; break;
    }
}

static bool is_zero(number v) { return v.whole == 0 && v.real == 0; }

json_t *isb__settings_to_json(const isb_train_options *settings) {
    json_t *object = json_object();
    for (size_t i = 0; i < N_FIELDS; ++i) {
        const number v = get(settings, &fields[i]);
        json_t *element =
            fields[i].type == FIELD_REAL ? json_real(v.real) : json_integer((json_int_t)v.whole);
        if (json_object_set_new(object, fields[i].name, element) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static isb_status read_json(isb_context *ctx, const json_t *object, isb_train_options *options) {
    for (size_t i = 0; i < N_FIELDS; ++i) {
        const json_t *element = json_object_get(object, fields[i].name);
        const bool real = fields[i].type == FIELD_REAL;
        if (real ? !json_is_real(element) : !json_is_integer(element)) {
            return isb__fail(ctx, ISB_ERR_CORRUPT,
                             "the training state has no number '%s' among its options",
                             fields[i].name);
        }
        set(options, &fields[i],
            (number){(uint64_t)json_integer_value(element), json_real_value(element)});
    }
    return ISB_OK;
}

static isb_status fail_mismatch(isb_context *ctx, const field *f, number given, number saved) {
    if (f->type == FIELD_REAL) {
        return isb__fail(
            ctx, ISB_ERR_MISMATCH,
            "%s is %.9g but the checkpoint was trained with %.9g; resume with the same, or "
            "leave it out",
            f->name, given.real, saved.real);
    }
    return isb__fail(
        ctx, ISB_ERR_MISMATCH,
        "%s is %lld but the checkpoint was trained with %lld; resume with the same, or "
        "leave it out",
        f->name, (long long)given.whole, (long long)saved.whole);
}

static bool budget_given(const isb_train_options *o) {
    return o->max_steps != 0 || o->max_tokens != 0 || o->max_minutes != 0 || o->max_flops != 0;
}

/* Takes the field from `saved` or leaves it; MISMATCH if it must not differ and does. */
static isb_status merge_field(isb_context *ctx, const field *f, const isb_train_options *saved,
                              isb_train_options *options, bool take_model, bool take_budget) {
    const number given = get(options, f), old = get(saved, f);
    const bool model = f->group == GROUP_MODEL;
    const bool open = model ? take_model : f->group == GROUP_BUDGET ? take_budget : is_zero(given);
    if (open) {
        set(options, f, old);
        return ISB_OK;
    }
    if (!model && f->group != GROUP_MATCH) return ISB_OK;
    /* Two fields of a given model may be open. */
    const bool may_be_open = f->offset == offsetof(isb_train_options, model.vocab_size) ||
                             f->offset == offsetof(isb_train_options, model.context_length);
    if (model && may_be_open && is_zero(given)) {
        set(options, f, old);
        return ISB_OK;
    }
    const bool both_off = f->type == FIELD_REAL && given.real < 0 && old.real < 0;
    const bool same = given.whole == old.whole && given.real == old.real;
    return same || both_off ? ISB_OK : fail_mismatch(ctx, f, given, old);
}

isb_status isb__settings_merge(isb_context *ctx, const json_t *saved_json,
                               isb_train_options *options) {
    isb_train_options saved = *options;
    ISB_TRY(read_json(ctx, saved_json, &saved));
    const bool take_model = options->model.hidden_size == 0, take_budget = !budget_given(options);
    for (size_t i = 0; i < N_FIELDS; ++i) {
        ISB_TRY(merge_field(ctx, &fields[i], &saved, options, take_model, take_budget));
    }
    options->model.struct_size = sizeof options->model;
    return ISB_OK;
}

/* ---- defaults ---- */

/* AdamW: by width, from trials at the small end (docs/training.md) and common practice at the
 * large one. */
static double default_lr(const isb_train_options *o) {
    static const struct {
        int64_t hidden_size;
        double lr;
    } table[] = {{192, 3e-3}, {256, 2e-3},  {512, 1e-3},
                 {768, 6e-4}, {1024, 4e-4}, {INT64_MAX, 2.5e-4}};
    if (o->optimizer == ISB_OPTIMIZER_ADAFACTOR)
        return o->schedule == ISB_SCHEDULE_RSQRT ? 1.0 : 0.03;
    size_t i = 0;
    while (o->model.hidden_size > table[i].hidden_size) ++i;
    /* rsqrt divides by sqrt(warm-up) at its flat start */
    const double peak = table[i].lr;
    return o->schedule == ISB_SCHEDULE_RSQRT ? peak * sqrt((double)o->warmup_steps) : peak;
}

static uint64_t default_warmup(const isb_train_options *o) {
    if (o->schedule == ISB_SCHEDULE_RSQRT && o->optimizer == ISB_OPTIMIZER_ADAFACTOR)
        return PAPER_WARMUP_STEPS;
    const uint64_t total = isb__settings_total_steps(o);
    if (total == UINT64_MAX) return WARMUP_STEPS_TIMED;
    const double steps =
        fmin(fmax(WARMUP_STEPS, WARMUP_SHARE * (double)total), WARMUP_SHARE_MOST * (double)total);
    return steps < 1 ? 1 : (uint64_t)steps;
}

static void default_real(double *value, double otherwise) {
    if (*value == 0) *value = otherwise;
    if (*value < 0) *value = -1;
}
static void default_u64(uint64_t *value, uint64_t otherwise) {
    if (*value == 0) *value = otherwise;
}
static void default_size(size_t *value, size_t otherwise) {
    if (*value == 0) *value = otherwise;
}

static isb_status check_below(isb_context *ctx, const char *name, double value, double limit) {
    if (value < limit) return ISB_OK; /* false for NaN */
    return isb__fail(ctx, ISB_ERR_RANGE, "%s is %g; it must be less than %g", name, value, limit);
}

static isb_status check(isb_context *ctx, const isb_train_options *o) {
    if ((unsigned)o->optimizer > ISB_OPTIMIZER_ADAFACTOR) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "unknown optimizer %d; allowed are adamw (0) and adafactor (1)",
                         (int)o->optimizer);
    }
    if ((unsigned)o->schedule > ISB_SCHEDULE_CONSTANT) {
        return isb__fail(ctx, ISB_ERR_RANGE, "unknown schedule %d; allowed are 0 to %d",
                         (int)o->schedule, ISB_SCHEDULE_CONSTANT);
    }
    if ((unsigned)o->embeddings > ISB_EMBEDDINGS_COMPOSED) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "unknown embeddings %d; allowed are plain (1) and composed (2)",
                         (int)o->embeddings);
    }
    if (o->batch_rows > 1 << 20 || o->accumulate > 1 << 20) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "batch_rows is %zu and accumulate %zu; both are at most %d", o->batch_rows,
                         o->accumulate, 1 << 20);
    }
    if (!(o->max_minutes >= 0 && o->max_flops >= 0)) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "max_minutes is %g and max_flops %g; neither may be negative",
                         o->max_minutes, o->max_flops);
    }
    if (!(o->lr > 0)) return isb__fail(ctx, ISB_ERR_RANGE, "lr is %g; it must be positive", o->lr);
    if (!(o->cut_share >= 0 && o->cut_share <= 1)) {
        return isb__fail(ctx, ISB_ERR_RANGE, "cut_share is %g; allowed are 0 to 1", o->cut_share);
    }
    if (!(o->embedding_lr > 0)) {
        return isb__fail(ctx, ISB_ERR_RANGE, "embedding_lr is %g; it must be positive",
                         o->embedding_lr);
    }
    ISB_TRY(check_below(ctx, "embedding_lr", o->embedding_lr, 1e6));
    ISB_TRY(check_below(ctx, "lr", o->lr, 1e3));
    ISB_TRY(check_below(ctx, "lr_final_ratio", o->lr_final_ratio, 1e3));
    ISB_TRY(check_below(ctx, "weight_decay", o->weight_decay, 1e3));
    ISB_TRY(check_below(ctx, "beta1", o->beta1, 1));
    ISB_TRY(check_below(ctx, "beta2", o->beta2, 1));
    ISB_TRY(check_below(ctx, "eps", o->eps, 1));
    ISB_TRY(check_below(ctx, "grad_clip", o->grad_clip, 1e12));
    ISB_TRY(check_below(ctx, "spike_limit", o->spike_limit, 1e9));
    return check_below(ctx, "z_loss", o->z_loss, 1e3);
}

/* A table of many ids, each rare, learns too slowly at the rate of the rest; what is composed needs
 * less of it.  From trials with nano (docs/training.md); untied models and Adafactor, whose steps
 * are relative, were not tried. */
static double default_embedding_lr(const isb_train_options *o) {
    if (o->optimizer == ISB_OPTIMIZER_ADAFACTOR || !o->model.tie_embeddings ||
        o->model.vocab_size <= FEW_IDS)
        return 1;
    return o->embeddings == ISB_EMBEDDINGS_COMPOSED ? 8 : 16;
}

void isb__settings_choose_embeddings(isb_train_options *o, bool strings) {
    if (o->embeddings != ISB_EMBEDDINGS_DEFAULT) return;
    o->embeddings =
        strings && o->model.tie_embeddings ? ISB_EMBEDDINGS_COMPOSED : ISB_EMBEDDINGS_PLAIN;
}

isb_status isb__settings_resolve(isb_context *ctx, isb_train_options *o) {
    if (!budget_given(o)) o->max_steps = DEFAULT_STEPS;
    default_size(&o->batch_rows, 8);
    default_size(&o->accumulate, 1);
    default_u64(&o->warmup_steps, default_warmup(o));
    default_real(&o->embedding_lr, default_embedding_lr(o));
    default_real(&o->lr_final_ratio, 0.1);
    default_real(&o->weight_decay, o->optimizer == ISB_OPTIMIZER_ADAFACTOR ? -1 : 0.1);
    default_real(&o->beta1, 0.9);
    default_real(&o->beta2, 0.95);
    default_real(&o->eps, 1e-8);
    default_real(&o->grad_clip, 1.0);
    default_real(&o->z_loss, 1e-4);
    default_u64(&o->log_every, 10);
    default_size(&o->eval_batches, 20);
    default_size(&o->keep, 2);
    default_real(&o->spike_limit, 10);
    default_size(&o->max_skipped, 10);
    if (o->lr == 0 && (unsigned)o->schedule <= ISB_SCHEDULE_CONSTANT) o->lr = default_lr(o);
    return check(ctx, o);
}

/* ---- what follows from them ---- */

uint64_t isb__settings_tokens_per_step(const isb_train_options *s) {
    return (uint64_t)s->batch_rows * s->accumulate * (uint64_t)s->model.context_length;
}

double isb__settings_flops_per_step(const isb_train_options *s) {
    const isb__model_flops f =
        isb__model_forward_flops(&s->model, ((double)s->model.context_length + 1) / 2);
    return 3 * (f.matrices + f.attention + f.logits) * (double)isb__settings_tokens_per_step(s);
}

uint64_t isb__settings_total_steps(const isb_train_options *s) {
    const uint64_t tokens = isb__settings_tokens_per_step(s);
    const double flops_steps =
        s->max_flops > 0 ? ceil(s->max_flops / isb__settings_flops_per_step(s)) : 0;
    uint64_t total = s->max_steps > 0 ? s->max_steps : UINT64_MAX;
    if (s->max_tokens > 0) {
        const uint64_t steps = (s->max_tokens - 1) / tokens + 1;
        total = steps < total ? steps : total;
    }
    if (flops_steps > 0 && flops_steps < (double)total) total = (uint64_t)flops_steps;
    return total;
}

isb__schedule isb__settings_schedule(const isb_train_options *s) {
    const uint64_t total = isb__settings_total_steps(s);
    isb__schedule schedule = {
        s->schedule,        s->lr, isb__setting(s->lr_final_ratio), s->warmup_steps,
        WARMUP_SHARE_TIMED, 0};
    schedule.timed = total == UINT64_MAX;
    if (!schedule.timed)
        schedule.warmup_fraction = fmin(1, (double)s->warmup_steps / (double)total);
    return schedule;
}
