/* cmd_train.c: isobit train */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "session.h"

typedef struct train_values {
    common_values common;
    text_list data;
    const char *config, *size, *tokenizer, *m1, *out, *init_from, *device;
    corpus_values corpus;
    int activation, position, untied, embeddings, optimizer, schedule, resume, overwrite, estimate,
        recompute, keep_best;
    uint64_t context, steps, tokens, batch, accumulate, warmup, seed, save_every, eval_every,
        log_every, eval_batches, keep, max_skipped, max_memory;
    double minutes, flops, lr, lr_final, weight_decay, beta1, beta2, eps, grad_clip, z_loss,
        embedding_lr, cut_share, raw_share, spike_limit;
} train_values;

#define AT(field) .offset = offsetof(train_values, field)

static const option_spec train_options[] = {
    {.group = "Data", .name = "data", .letter = 'd', .metavar = "PATH ...", .type = OPTION_LIST,
     .complete = COMPLETE_FILE, AT(data),
     .help = "text files or folders, \"-\" for standard input, or the prefix of a dataset made "
             "by \"isobit prepare\""},
    {.name = "tokenizer", .letter = 't', .metavar = "SPEC", .type = OPTION_TEXT,
     .complete = COMPLETE_CHOICES, AT(tokenizer),
     .choices = "codebook|bytes|window:b=16|ac|static-ac",
     .help = "how text becomes tokens, see \"isobit help tokenizers\"; a prepared dataset brings "
             "its own. Without it: the default codebook; an M1 needs bytes"},
    M1_OPTION(offsetof(train_values, m1),
              "the M1 behind the tokenizer, of which a copy is kept in the run's folder"),
    CORPUS_OPTION_FORMAT(train_values),
    CORPUS_OPTION_DOCUMENT(train_values),
    CORPUS_OPTION_VALID(train_values),
    CORPUS_OPTION_TEST(train_values),
    CORPUS_OPTION_MAX(train_values),

    {.group = "Run", .name = "out", .letter = 'o', .metavar = "DIR", .type = OPTION_TEXT,
     .complete = COMPLETE_DIR, AT(out),
     .help = "the run's folder: the model, checkpoints, log.jsonl, TensorBoard events"},
    {.name = "resume", .type = OPTION_FLAG, AT(resume),
     .help = "go on from the newest whole checkpoint in --out; options of the first call need "
             "not be repeated"},
    {.name = "overwrite", .type = OPTION_FLAG, AT(overwrite),
     .help = "replace an older run in --out"},
    {.name = "estimate", .type = OPTION_FLAG, AT(estimate),
     .help = "train nothing: say what the run would need in memory, disk, FLOPs and, if --out has "
             "an older log, time"},
    {.name = "config", .metavar = "FILE", .type = OPTION_TEXT, .complete = COMPLETE_FILE,
     AT(config),
     .help = "take options from a JSON object such as {\"size\": \"3m\", \"steps\": \"10k\"}; "
             "the command line wins"},
    {.name = "seed", .metavar = "N", .type = OPTION_COUNT, .initial = "0", AT(seed),
     .help = "fixes the first weights and the order of the data"},

    {.group = "Budget (the first reached ends the run; without any: 1000 steps)", .name = "steps",
     .metavar = "N", .type = OPTION_COUNT, .low = 1, AT(steps), .help = "optimiser steps"},
    {.name = "tokens", .metavar = "N", .type = OPTION_COUNT, .low = 1, AT(tokens),
     .help = "tokens trained on"},
    {.name = "minutes", .metavar = "M", .type = OPTION_REAL, .low = 0.001, .high = 1e6, AT(minutes),
     .help = "minutes of training proper, such as 2.5: preparing, measuring and saving do not "
             "count"},
    {.name = "flops", .metavar = "F", .type = OPTION_REAL, .low = 1, AT(flops),
     .help = "training FLOPs, such as 1e15: three times every product of the forward pass"},

    {.group = "Model", .name = "size", .metavar = "NAME", .type = OPTION_WORD,
     .complete = COMPLETE_CHOICES, .initial = "nano", AT(size),
     .choices = "static|nano|tiny|3m|25m|113m|403m|2b",
     .help = "parameters without embeddings; static is no network: the byte counts of the text, "
             "for static-ac"},
    {.name = "context", .metavar = "N", .type = OPTION_COUNT, .low = 8, .high = 1048576,
     .otherwise = "512", AT(context), .help = "tokens the model looks back at"},
    {.name = "activation", .metavar = "NAME", .type = OPTION_CHOICE, .complete = COMPLETE_CHOICES,
     .choices = "silu|relu", .initial = "silu", AT(activation),
     .help = "of the gated MLP; relu is the published setting"},
    {.name = "position", .metavar = "NAME", .type = OPTION_CHOICE, .complete = COMPLETE_CHOICES,
     .choices = "rope|t5", .initial = "rope", AT(position),
     .help = "rotary embedding, or learned relative biases as published"},
    {.name = "untied", .type = OPTION_FLAG, AT(untied),
     .help = "an output matrix of its own instead of the embedding"},
    {.name = "embeddings", .metavar = "KIND", .type = OPTION_CHOICE, .complete = COMPLETE_CHOICES,
     .choices = "plain|composed", AT(embeddings),
     .help = "composed: a token's vector is its own plus what it shares with tokens of similar "
             "spelling; the saved model is a plain one. Without it: composed where ids have strings, "
             "as those of a codebook do"},
    {.name = "init-from", .metavar = "DIR", .type = OPTION_TEXT, .complete = COMPLETE_DIR,
     AT(init_from), .help = "start from this model's weights"},

    {.group = "Optimisation", .name = "batch", .letter = 'b', .metavar = "N", .type = OPTION_COUNT,
     .low = 1, .high = 65536, .otherwise = "8", AT(batch),
     .help = "rows of --context tokens in a micro-batch"},
    {.name = "accumulate", .metavar = "N", .type = OPTION_COUNT, .low = 1, .high = 65536,
     .otherwise = "1", AT(accumulate), .help = "micro-batches in a step"},
    {.name = "optimizer", .metavar = "NAME", .type = OPTION_CHOICE, .complete = COMPLETE_CHOICES,
     .choices = "adamw|adafactor", .initial = "adamw", AT(optimizer),
     .help = "adafactor with --schedule rsqrt is the published setting"},
    {.name = "schedule", .metavar = "NAME", .type = OPTION_CHOICE, .complete = COMPLETE_CHOICES,
     .choices = "cosine|linear|wsd|rsqrt|constant", .initial = "cosine", AT(schedule),
     .help = "how the learning rate goes on after the warm-up; wsd is stable, then falls over "
             "the last fifth"},
    {.name = "lr", .metavar = "X", .type = OPTION_REAL, .low = 1e-12, .high = 100, AT(lr),
     .help = "learning rate at its highest; without it, by size and optimiser"},
    {.name = "embedding-lr", .metavar = "X", .type = OPTION_REAL, .low = 1e-6, .high = 1e5,
     AT(embedding_lr),
     .help = "the embedding's learning rate, as a multiple of --lr; without it 16, composed 8; 1 "
             "for few ids, --untied and adafactor"},
    {.name = "lr-final", .metavar = "X", .type = OPTION_REAL_OR_OFF, .high = 1, .otherwise = "0.1",
     AT(lr_final), .help = "share of --lr left at the end (cosine, linear, wsd)"},
    {.name = "warmup", .metavar = "STEPS", .type = OPTION_COUNT, .low = 1, AT(warmup),
     .help = "steps over which the rate rises; without it 100, or 2% of the run if that is more, "
             "at most a tenth of it"},
    {.name = "weight-decay", .metavar = "X", .type = OPTION_REAL_OR_OFF, .high = 10,
     .otherwise = "0.1", AT(weight_decay), .help = "0: none; with adafactor none unless given"},
    {.name = "grad-clip", .metavar = "X", .type = OPTION_REAL_OR_OFF, .high = 1e6, .otherwise = "1",
     AT(grad_clip), .help = "the gradient's norm is cut to this; 0: never"},
    {.name = "z-loss", .metavar = "X", .type = OPTION_REAL_OR_OFF, .high = 1, .otherwise = "1e-4",
     AT(z_loss), .help = "weight of (log Z)^2, which keeps the logits small; 0: none"},
    {.name = "beta1", .metavar = "X", .type = OPTION_REAL_OR_OFF, .high = 0.9999,
     .otherwise = "0.9", AT(beta1), .help = "AdamW's first moment"},
    {.name = "beta2", .metavar = "X", .type = OPTION_REAL_OR_OFF, .high = 0.99999,
     .otherwise = "0.95", AT(beta2), .help = "AdamW's second moment"},
    {.name = "eps", .metavar = "X", .type = OPTION_REAL, .low = 1e-20, .high = 1,
     .otherwise = "1e-8", AT(eps), .help = "AdamW's epsilon"},
    {.name = "cut-share", .metavar = "X", .type = OPTION_REAL, .high = 1, AT(cut_share),
     .help = "share of rows cut into short pieces, from 0 to 1: an M1 for windows must do well "
             "from an empty context"},
    {.name = "raw-share", .metavar = "X", .type = OPTION_REAL_OR_OFF, .high = 1, AT(raw_share),
     .otherwise = "0.1 of data prepared so",
     .help = "share of rows read as raw bytes, from 0 to 1, of text or of data prepared with "
             "--raw-bytes: the model then reads both tokens and bytes"},

    {.group = "Machine", .name = "device", .metavar = "NAME", .type = OPTION_TEXT,
     .complete = COMPLETE_CHOICES, .choices = "cpu|cuda|cuda:1", .otherwise = "cpu", AT(device),
     .help = "where to train; --threads is for the cpu"},
    {.name = "recompute", .type = OPTION_FLAG, AT(recompute),
     .help = "keep only each layer's input and make the rest again: less memory, more time, the "
             "same model"},
    {.name = "max-memory", .metavar = "BYTES", .type = OPTION_COUNT, .low = 1, AT(max_memory),
     .help = "refuse to start a run that needs more, such as 8Gi; without it, more than is "
             "available"},

    {.group = "Spikes of the loss",
     .name = "spike-limit", .metavar = "X", .type = OPTION_REAL_OR_OFF, .high = 1e6,
     .otherwise = "10", AT(spike_limit),
     .help = "a step is left out if its loss is so many spreads of recent losses above their "
             "median, or not finite; 0: never, and a loss that is not finite ends the run"},
    {.name = "max-skipped", .metavar = "N", .type = OPTION_COUNT, .low = 1, .high = 1000000,
     .otherwise = "10", AT(max_skipped), .help = "as many such steps in a row end the run"},

    {.group = "Saving and measuring", .name = "save-every", .metavar = "STEPS",
     .type = OPTION_COUNT, .low = 1, AT(save_every),
     .help = "write a checkpoint so often; without it only at the end and when interrupted"},
    {.name = "keep", .metavar = "N", .type = OPTION_COUNT, .low = 1, .high = 1000, .otherwise = "2",
     AT(keep), .help = "checkpoints kept"},
    {.name = "keep-best", .type = OPTION_FLAG, AT(keep_best),
     .help = "keep the model with the fewest bits/byte on the valid documents in DIR/best"},
    {.name = "eval-every", .metavar = "STEPS", .type = OPTION_COUNT, .low = 1, AT(eval_every),
     .help = "measure the loss on the valid documents so often; without it at ten points and at "
             "the end"},
    {.name = "eval-batches", .metavar = "N", .type = OPTION_COUNT, .low = 1, .otherwise = "20",
     AT(eval_batches), .help = "micro-batches in such a measurement"},
    {.name = "log-every", .metavar = "STEPS", .type = OPTION_COUNT, .low = 1, .otherwise = "10",
     AT(log_every), .help = "lines in log.jsonl"},
};

/* ---- what the library is asked for ---- */

/* A resumed run takes its model from the checkpoint, unless it is said again. */
static int fill_model(tool_session *session, const train_values *v, isb_train_options *o) {
    static const char *const details[] = {"context", "activation", "position", "untied"};
    if (v->resume && !options_seen(session->parsed, "size")) {
        for (size_t i = 0; i < sizeof details / sizeof *details; ++i) {
            if (!options_seen(session->parsed, details[i])) continue;
            return error_usage(session->command->name, "--%s with --resume needs --size too",
                               details[i]);
        }
        return 0;
    }
    const isb_status status = isb_model_config_init(session->context, v->size, &o->model);
    if (status != ISB_OK) return error_status(session, status);
    o->model.vocab_size = 0; /* from the dataset */
    o->model.context_length = (int64_t)v->context;
    o->model.activation = (isb_activation)v->activation;
    o->model.position = (isb_position)v->position;
    o->model.tie_embeddings = !v->untied;
    return 0;
}

static int fill_data(tool_session *session, const train_values *v, isb_train_options *o) {
    isb_prepare_options_init(&o->prepare);
    const bool dataset = v->data.count == 1 && path_is_dataset(v->data.items[0]);
    o->m1_dir = v->m1;
    if (dataset) {
        if (v->tokenizer) {
            return error_usage(session->command->name,
                               "--tokenizer: %s is a dataset, which has its own", v->data.items[0]);
        }
        o->dataset_prefix = v->data.items[0];
        return 0;
    }
    o->text_paths = v->data.items;
    o->n_text_paths = v->data.count;
    o->prepare.tokenizer = v->tokenizer;
    o->prepare.m1_dir = v->m1;
    o->prepare.split_files = 1;
    return corpus_options_from(session, &v->corpus, &o->prepare.corpus);
}

static void fill_machine(const tool_session *session, const train_values *v,
                         isb_train_options *o) {
    o->device = v->device;
    o->recompute = v->recompute;
    o->max_memory_nbytes = v->max_memory;
    if (options_seen(session->parsed, "embeddings"))
        o->embeddings = v->embeddings ? ISB_EMBEDDINGS_COMPOSED : ISB_EMBEDDINGS_PLAIN;
}

static void fill_optimisation(const train_values *v, isb_train_options *o) {
    o->max_steps = v->steps;
    o->max_tokens = v->tokens;
    o->max_minutes = v->minutes;
    o->max_flops = v->flops;
    o->batch_rows = (size_t)v->batch;
    o->accumulate = (size_t)v->accumulate;
    o->optimizer = (isb_optimizer)v->optimizer;
    o->schedule = (isb_schedule)v->schedule;
    o->lr = v->lr;
    o->lr_final_ratio = v->lr_final;
    o->warmup_steps = v->warmup;
    o->weight_decay = v->weight_decay;
    o->beta1 = v->beta1;
    o->beta2 = v->beta2;
    o->eps = v->eps;
    o->grad_clip = v->grad_clip;
    o->z_loss = v->z_loss;
    o->seed = v->seed;
    o->embedding_lr = v->embedding_lr;
    o->cut_share = v->cut_share;
    o->raw_share = v->raw_share;
    o->save_every = v->save_every;
    o->eval_every = v->eval_every;
    o->log_every = v->log_every;
    o->eval_batches = (size_t)v->eval_batches;
    o->keep = (size_t)v->keep;
    o->keep_best = v->keep_best;
    o->spike_limit = v->spike_limit;
    o->max_skipped = (size_t)v->max_skipped;
}

/* A byte model is most often meant to become one. */
static void tell_of_m1(const tool_session *session, const train_values *v) {
    if (session->common->quiet) return;
    fprintf(stderr,
            "isobit: %s is ready for --m1; isobit quantize %s -o NAME.isb-m1 makes it one file\n",
            v->out, v->out);
}

static int report(const tool_session *session, const train_values *v, const isb_train_result *r) {
    results *out = results_new("train");
    results_text(out, "out", "folder", v->out);
    results_text(out, "model_identity", "model", r->model.identity);
    results_text(out, "tokenizer", "tokenizer", r->model.tokenizer);
    results_count(out, "n_parameters", "parameters", (uint64_t)r->model.n_parameters);
    results_count(out, "n_parameters_no_embed", "  without embeddings",
                  (uint64_t)r->model.n_parameters_no_embed);
    results_count(out, "steps", "steps", r->steps);
    results_count(out, "skipped_steps", r->skipped_steps ? "  left out" : NULL, r->skipped_steps);
    results_count(out, "tokens", "tokens", r->tokens);
    results_seconds(out, "seconds", "time", r->seconds);
    results_si(out, "tokens_per_s", "tokens/s", r->tokens_per_s);
    results_si(out, "train_flops", "FLOPs", r->train_flops);
    results_si(out, "flops_per_s", "FLOPs/s", r->flops_per_s);
    results_real(out, "peak_share", "  share of this machine's peak", 3, r->peak_share);
    results_si(out, "memory_bytes", "memory, bytes", (double)r->memory_nbytes);
    results_real(out, "train_bits_per_token", "bits/token, trained on", 4,
                 r->train_loss_nats / log(2.0));
    results_real(out, "valid_bits_per_token", "bits/token, held out", 4,
                 r->valid_loss_nats / log(2.0));
    results_real(out, "valid_bits_per_byte", "bits/byte, held out", 4, r->valid_bits_per_byte);
    if (r->best_step > 0) {
        results_count(out, "best_step", "best at step (in best/)", r->best_step);
        results_real(out, "best_bits_per_byte", "  bits/byte, held out", 4, r->best_bits_per_byte);
    }
    if (strcmp(r->model.tokenizer, "bytes") == 0) tell_of_m1(session, v);
    return results_print(out, stdout, session->common->json);
}

static int report_estimate(const tool_session *session, const isb_train_estimate *e) {
    results *out = results_new("train --estimate");
    results_count(out, "n_parameters", "parameters", (uint64_t)e->model.n_parameters);
    results_count(out, "n_parameters_no_embed", "  without embeddings",
                  (uint64_t)e->model.n_parameters_no_embed);
    results_si(out, "memory_bytes", "memory, bytes", (double)e->total_nbytes);
    results_si(out, "weights_bytes", "  weights", (double)e->parameters_nbytes);
    results_si(out, "gradients_bytes", "  gradients", (double)e->gradients_nbytes);
    results_si(out, "optimizer_bytes", "  optimiser", (double)e->optimizer_nbytes);
    results_si(out, "activations_bytes", "  activations and the rest",
               (double)e->activations_nbytes);
    results_si(out, "available_bytes", "available, bytes", (double)e->available_nbytes);
    results_flag(out, "fits", "  it fits", e->total_nbytes <= e->available_nbytes);
    results_si(out, "checkpoint_bytes", "a checkpoint on disk, bytes", (double)e->checkpoint_nbytes);
    if (e->steps > 0) {
        results_count(out, "steps", "steps", e->steps);
        results_count(out, "tokens", "tokens", e->tokens);
        results_si(out, "train_flops", "FLOPs", e->train_flops);
    }
    results_si(out, "flops_per_step", "FLOPs/step", e->flops_per_step);
    if (e->tokens_per_s > 0) {
        results_si(out, "tokens_per_s", "tokens/s in the older log", e->tokens_per_s);
        if (e->steps > 0) results_seconds(out, "seconds", "time at that pace", e->seconds);
    }
    return results_print(out, stdout, session->common->json);
}

static int estimate(tool_session *session, const isb_train_options *options) {
    isb_train_estimate e = {.struct_size = sizeof e};
    const isb_status status = isb_train_estimate_run(session->context, options, &e);
    return status == ISB_OK ? report_estimate(session, &e) : error_status(session, status);
}

static int train_static(tool_session *session, const train_values *v) {
    static const char *const allowed[] = {
        "data",          "size",           "out",           "overwrite", "config", "input-format",
        "document-size", "valid-permille", "test-permille", "max-bytes", NULL};
    const char *other = options_first_other(session->parsed, allowed);
    if (other) {
        return error_usage(session->command->name, "--%s has no meaning with --size static", other);
    }
    isb_corpus_options corpus;
    isb_corpus_options_init(&corpus);
    const int code = corpus_options_from(session, &v->corpus, &corpus);
    if (code != 0) return code;
    corpus.split = ISB_SPLIT_TRAIN;
    const isb_status status = isb_train_static(session->context, v->data.items, v->data.count,
                                               &corpus, v->out, v->overwrite);
    if (status != ISB_OK) return error_status(session, status);
    results *out = results_new("train");
    results_text(out, "out", "folder", v->out);
    return results_print(out, stdout, session->common->json);
}

/* Of several processes the first speaks, and the second if one was lost: that may be the first. */
static int fail_train(tool_session *session, isb_status status) {
    const int rank = isb_train_rank(NULL);
    const bool speaks = rank == 0 || status == ISB_ERR_DEVICE || (rank == 1 && status == ISB_ERR_RANK);
    return speaks ? error_status(session, status) : error_exit_code(status);
}

static int check_required(const tool_session *session, const train_values *v) {
    const char *name = session->command->name;
    if (!v->out && (v->resume || !v->estimate))
        return error_usage(name, "--out DIR is missing: where does the run go?");
    if (v->data.count == 0 && !v->resume && !v->estimate) {
        return error_usage(name, "--data is missing: files, folders or a dataset");
    }
    if (v->resume && v->overwrite) {
        return error_usage(name, "--resume and --overwrite exclude each other");
    }
    return 0;
}

static int run_train(tool_session *session, void *values) {
    train_values *v = values;
    int code = v->config ? options_read_config(session->parsed, v->config) : 0;
    if (code == 0) code = check_required(session, v);
    if (code != 0) return code;
    if (strcmp(v->size, "static") == 0) return train_static(session, v);

    isb_train_options options;
    isb_train_options_init(&options);
    code = fill_model(session, v, &options);
    if (code == 0) code = fill_data(session, v, &options);
    if (code != 0) return code;
    fill_optimisation(v, &options);
    fill_machine(session, v, &options);
    options.out_dir = v->out;
    options.init_from = v->init_from;
    options.resume = v->resume;
    options.overwrite = v->overwrite;
    if (v->estimate) return estimate(session, &options);
    isb_train_result result;
    const isb_status status = isb_train(session->context, &options, &result);
    if (status != ISB_OK) return fail_train(session, status);
    return isb_train_rank(NULL) == 0 ? report(session, v, &result) : EXIT_OK;
}

const tool_command command_train = {
    .name = "train",
    .summary = "train a model (M1 or M2) on text or on a prepared dataset",
    .synopsis = "--data PATH ... --out DIR [--size NAME] [--tokenizer SPEC] [...]\n"
                "--out DIR --resume [...]\n"
                "--estimate [...]",
    .description =
        "Trains a decoder-only transformer. On text, the text is tokenised into DIR/data first "
        "and divided by document into train, valid and test; on a dataset, its .train part is "
        "used and its .valid part measured.\n\n"
        "Results: DIR/config.json and DIR/model.safetensors are the model in Hugging Face form, "
        "DIR/checkpoints holds what --resume needs, DIR/log.jsonl has the loss curve, and "
        "TensorBoard reads DIR. The same seed and number of threads give the same model bit for "
        "bit, and so does a resumed run.",
    .examples =
        "  isobit train --size nano --data corpus/ --out m2 --minutes 5\n"
        "  isobit train --size nano --tokenizer bytes --data corpus/ --out m1 --cut-share 0.75\n"
        "  isobit train --size 3m --data windows --m1 m1 --out m2-windows --steps 20k\n"
        "  isobit train --out m2 --resume --steps 40k\n"
        "  isobit train --size 25m --batch 32 --tokens 1G --estimate",
    .options = train_options,
    .n_options = sizeof train_options / sizeof *train_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(train_values, data),
    .values_nbytes = sizeof(train_values),
    .run = run_train,
};
