/* Batches of documents through a tokenizer.  A batch is closed when it has 8 MiB or 4096 documents:
 * enough for every stream of M1 to be busy most of the time, since a batch ends with its slowest
 * document. */
#include "data/encode.h"

#include <string.h>

enum { BATCH_NBYTES = 8 << 20, BATCH_NDOCUMENTS = 4096 };

typedef struct batch {
    isb__encode_job *job;
    uint8_t *bytes; /* documents, one after another */
    size_t n_bytes, bytes_capacity, n_documents;
    size_t ends[BATCH_NDOCUMENTS]; /* in bytes */
    isb__bytes_view views[BATCH_NDOCUMENTS];
    isb__encoded encoded[BATCH_NDOCUMENTS];
    isb__progress_state progress;
} batch;

static void report(void *user, double done) {
    batch *b = user;
    isb__progress_update(&b->progress, (double)b->job->n_bytes + done, "");
}

/* Text to come is known only as a share of the files, which may be packed: the total is what that
 * share says so far. */
static void estimate_total(batch *b) {
    const double fraction = isb_corpus_fraction(b->job->corpus);
    const double given = (double)b->job->n_bytes + (double)b->n_bytes;
    b->progress.total = fraction > 0 ? given / fraction : 0;
}

static isb_status deliver(isb__encode_job *job, const isb__bytes_view *document,
                          const isb__encoded *encoded) {
    ISB_TRY(job->sink(job->user, document, encoded));
    ++job->n_documents;
    job->n_tokens += encoded->count;
    job->n_bytes += document->nbytes;
    job->n_windows += encoded->n_windows;
    return ISB_OK;
}

static isb_status flush(batch *b) {
    if (b->n_documents == 0) return ISB_OK;
    estimate_total(b);
    size_t from = 0;
    for (size_t i = 0; i < b->n_documents; from = b->ends[i++]) {
        b->views[i] = (isb__bytes_view){b->bytes + from, b->ends[i] - from};
    }
    ISB_TRY(
        isb__tokenizer_encode(b->job->tokenizer, b->n_documents, b->views, b->encoded, report, b));
    for (size_t i = 0; i < b->n_documents; ++i)
        ISB_TRY(deliver(b->job, &b->views[i], &b->encoded[i]));
    b->n_bytes = b->n_documents = 0;
    return ISB_OK;
}

static isb_status append(batch *b, const uint8_t *text, size_t nbytes) {
    if (b->n_documents == BATCH_NDOCUMENTS ||
        (b->n_documents > 0 && nbytes > BATCH_NBYTES - b->n_bytes))
        ISB_TRY(flush(b));
    ISB_TRY(
        isb__grow_array(b->job->ctx, b->n_bytes + nbytes + 1, 1, &b->bytes_capacity, &b->bytes));
    memcpy(b->bytes + b->n_bytes, text, nbytes);
    b->n_bytes += nbytes;
    b->ends[b->n_documents++] = b->n_bytes;
    return b->n_bytes >= BATCH_NBYTES ? flush(b) : ISB_OK;
}

static isb_status encode_all(batch *b) {
    for (;;) {
        const uint8_t *text;
        size_t nbytes;
        ISB_TRY(isb_corpus_next(b->job->corpus, &text, &nbytes));
        if (!text) return flush(b);
        ISB_TRY(append(b, text, nbytes));
    }
}

isb_status isb__encode_corpus(isb__encode_job *job) {
    batch *b = NULL;
    ISB_TRY(isb__alloc(job->ctx, sizeof *b, &b));
    b->job = job;
    isb__progress_begin(&b->progress, job->ctx, job->task, "byte", 0);
    const isb_status status = encode_all(b);
    isb__progress_end(&b->progress, (double)job->n_bytes, "");
    isb__free(job->ctx, b->bytes);
    isb__free(job->ctx, b);
    return status;
}

static void report_document(void *user, double done) { isb__progress_update(user, done, ""); }

isb_status isb__encode_document(isb__encode_job *job, const uint8_t *bytes, size_t nbytes) {
    isb__progress_state progress;
    isb__progress_begin(&progress, job->ctx, job->task, "byte", (double)nbytes);
    const isb__bytes_view view = {bytes, nbytes};
    isb__encoded encoded;
    isb_status status =
        isb__tokenizer_encode(job->tokenizer, 1, &view, &encoded, report_document, &progress);
    if (status == ISB_OK) status = deliver(job, &view, &encoded);
    isb__progress_end(&progress, (double)job->n_bytes, "");
    return status;
}
