/* isobit/train.h: trains a model (M1 or M2) on a token dataset or straight on text.
 *
 * The run's folder:
 *   config.json, model.safetensors    the latest saved model (Hugging Face form)
 *   m1/, tokenizer.isb-codebook       the M1 or the codebook behind its tokenizer, if there is one
 *   best/                             with keep_best: the model with the fewest valid bits/byte
 *   checkpoints/step-00000200/        model, optimiser, state.json: what resume needs
 *   log.jsonl                         one object a line: step, tokens, loss, bits_per_byte, lr ...
 *   events.out.tfevents.*             the same for TensorBoard
 *   data/                             the dataset made from text, if text was given
 *
 * docs/training.md is the guide.
 */
#ifndef ISOBIT_TRAIN_H
#define ISOBIT_TRAIN_H

#include <isobit/context.h>
#include <isobit/data.h>
#include <isobit/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum isb_optimizer { ISB_OPTIMIZER_ADAMW = 0, ISB_OPTIMIZER_ADAFACTOR = 1 } isb_optimizer;
typedef enum isb_schedule {
    ISB_SCHEDULE_COSINE = 0,  /* linear warm-up, cosine to lr_final_ratio */
    ISB_SCHEDULE_LINEAR = 1,  /* linear warm-up, linear to lr_final_ratio */
    ISB_SCHEDULE_WSD = 2,     /* warm-up, stable, then linear decay over the last 20% */
    ISB_SCHEDULE_RSQRT = 3,   /* lr / sqrt(max(step, warm-up)): the paper's, with Adafactor */
    ISB_SCHEDULE_CONSTANT = 4 /* warm-up, then constant */
} isb_schedule;

typedef enum isb_embeddings {
    /* composed where the strings of ids are known (a codebook; another tokenizer's pieces) and the
     * output matrix is the embedding; else plain */
    ISB_EMBEDDINGS_DEFAULT = 0,
    ISB_EMBEDDINGS_PLAIN = 1,
    /* A token's vector is its own plus what it shares with tokens spelt alike (features of its
     * string); a plain table in every model folder.  docs/training.md. */
    ISB_EMBEDDINGS_COMPOSED = 2
} isb_embeddings;

typedef struct isb_train_options {
    size_t struct_size;
    /* Data: exactly one of the two.  A dataset made by isb_prepare(): PREFIX or PREFIX.train (and
     * PREFIX.valid if there); or text, tokenised into OUT/data first as `prepare` says. */
    const char *dataset_prefix;
    const char *const *text_paths;
    size_t n_text_paths;
    isb_prepare_options prepare; /* tokenizer (NULL: "codebook"), M1, split */
    const char *m1_dir;          /* M1 of the dataset's tokenizer: checked, copied into OUT/m1 */

    const char *out_dir;
    isb_model_config model; /* vocab_size 0: from the dataset; context_length 0: 512 */
    const char *init_from;  /* start from this model folder's weights; NULL: random */
    /* Go on from the newest whole checkpoint in out_dir; an error if there is none.  What is 0 or
     * NULL is as it was; what is set must be as it was, but for budgets, intervals and keep. */
    int resume;
    int overwrite; /* out_dir may hold an older run, which is replaced */

    /* Budget: the first that is reached ends the run; all 0: 1000 steps.  The schedule's length is
     * the budget: with max_minutes alone it is a fraction of time.  Minutes are those of training
     * proper, as `seconds` below; FLOPs are 3 x forward, all products. */
    uint64_t max_steps, max_tokens;
    double max_minutes, max_flops;

    size_t batch_rows; /* B rows of T tokens a micro-batch; 0: 8 */
    size_t accumulate; /* micro-batches a step; 0: 1 */
    isb_optimizer optimizer;
    isb_schedule schedule;
    double lr;             /* at its highest; 0: by size and optimiser */
    double lr_final_ratio; /* 0: 0.1; negative: 0 */
    /* 0: 100, or 2% of the run if that is more, at most a tenth of it; 5% of the time if only time
     * is limited; 10,000 for Adafactor with rsqrt, as published. */
    uint64_t warmup_steps;
    /* 0: 0.1 (Adafactor: none), 0.9, 0.95, 1e-8, 1.0, 1e-4; negative: off. */
    double weight_decay, beta1, beta2, eps, grad_clip, z_loss;
    /* The embedding's rate, as a multiple of lr; 0: 16, composed 8; 1 for up to 1,024 ids, untied
     * models, and Adafactor. */
    double embedding_lr;
    uint64_t seed;
    double cut_share; /* for an M1: share of rows cut into short pieces; 0: none */

    uint64_t save_every; /* steps; 0: only at the end and when interrupted */
    uint64_t eval_every; /* 0: at the end, and at up to 10 points */
    uint64_t log_every;  /* 0: 10 */
    size_t eval_batches; /* 0: 20 */
    size_t keep;         /* checkpoints kept; 0: 2 */
    int keep_best; /* after each evaluation: the best model so far in OUT/best, a whole folder */

    const char *device; /* NULL: "cpu"; "cuda", "cuda:1" */
    isb_embeddings embeddings;
    int recompute; /* keep fewer activations and compute them again: less memory, more time */
    /* Share of rows that are read as raw bytes, of a dataset made with raw bytes beside its tokens
     * (isb_prepare_options.raw_bytes; text is prepared so if this is above 0); 0: a tenth of such a
     * dataset, none of others.  Negative: none.  docs/training.md. */
    double raw_share;
    /* A step whose loss is further above the median of recent ones than this many times their
     * spread, or not finite, is left out and recorded; 0: 10; negative: off (not finite stops the
     * run). */
    double spike_limit;
    size_t max_skipped;        /* such steps in a row that end the run with DIVERGED; 0: 10 */
    uint64_t max_memory_nbytes; /* refuse to start a run that needs more; 0: what is available */
} isb_train_options;
ISB_API void isb_train_options_init(isb_train_options *options);

/* What a run would need, without starting it. */
typedef struct isb_train_estimate {
    size_t struct_size; /* set to sizeof before the call */
    /* bytes: weights, gradients, optimiser's state, activations and the rest; their sum; what this
     * machine (or device) has free */
    uint64_t parameters_nbytes, gradients_nbytes, optimizer_nbytes, activations_nbytes;
    uint64_t total_nbytes, available_nbytes;
    uint64_t checkpoint_nbytes; /* of one on disk */
    uint64_t steps, tokens;     /* of the budget; 0: limited by time only */
    double flops_per_step, train_flops;
    /* by the last line of an older log in out_dir; 0: there is none */
    double tokens_per_s, seconds;
    isb_model_info model;
} isb_train_estimate;
/* For one process.  With text, the vocabulary is that of its tokenizer; without data, vocab_size of
 * options->model must be set.  With resume, the checkpoint's options count.  Nothing is written.
 * Errors: those of options; too little memory is none. */
ISB_API isb_status isb_train_estimate_run(isb_context *context, const isb_train_options *options,
                                          isb_train_estimate *estimate);

typedef struct isb_train_result {
    uint64_t steps, tokens;
    double seconds; /* training proper: without preparation, evaluation, saving */
    double tokens_per_s, train_flops, flops_per_s;
    double train_loss_nats;                      /* mean of the last 10% of steps, per target */
    double valid_loss_nats, valid_bits_per_byte; /* NaN without validation data */
    uint64_t best_step; /* of the model in OUT/best; 0: none */
    double best_bits_per_byte;
    uint64_t skipped_steps; /* of `steps`: those left out (spike_limit) */
    double peak_flops_per_s, peak_share; /* of this machine's product unit; NaN: not known */
    uint64_t memory_nbytes;              /* parameters, gradients, optimiser, activations */
    isb_model_info model;
} isb_train_result;

/* result may be NULL.
 * Errors: EMPTY (no tokens, or fewer than a row), MISMATCH (dataset and model, M1 or codebook),
 * EXISTS (out_dir holds a run and neither resume nor overwrite is set), BUSY (another process trains
 * there), RANGE, NO_MEMORY (the estimate exceeds what is available; the text names what would
 * fit), DIVERGED (too many steps had to be left out; the last checkpoint stays), CORRUPT (weights
 * that are not finite), NO_SPACE (at the end; a checkpoint that does not fit before is tried again
 * at the next), CANCELLED (a checkpoint is written first: resume goes on from there). */
ISB_API isb_status isb_train(isb_context *context, const isb_train_options *options,
                             isb_train_result *result);

/* Several processes started by mpirun or srun that call isb_train() alike are one run, which they
 * divide between them (docs/many-machines.md); all return alike, also RANK (a process was lost).
 * The rank of this process, of *n_ranks (may be NULL), by the environment: 0 of 1 if alone.  Rank 0
 * is the one to report; the library does so on no other. */
ISB_API int isb_train_rank(int *n_ranks);

/* The static M1: byte counts of a corpus, as a folder.  Errors: EXISTS, EMPTY, those of corpora. */
ISB_API isb_status isb_train_static(isb_context *context, const char *const *paths, size_t n_paths,
                                    const isb_corpus_options *corpus, const char *out_dir,
                                    int overwrite);

#ifdef __cplusplus
}
#endif
#endif
