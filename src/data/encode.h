/* Documents of a corpus through a tokenizer, in batches (M1 is fast when it evaluates many streams
 * together), in order. */
#ifndef ISB_DATA_ENCODE_H
#define ISB_DATA_ENCODE_H

#include <isobit/data.h>

#include "data/tokenizer.h"

typedef struct isb__encode_job {
    isb_context *ctx;
    isb__tokenizer *tokenizer;
    isb_corpus *corpus; /* borrowed; read to its end */
    const char *task;   /* for progress */
    /* Gets every document with its ids, in corpus order. */
    isb_status (*sink)(void *user, const isb__bytes_view *document, const isb__encoded *encoded);
    void *user;
    uint64_t n_documents, n_tokens, n_bytes, n_windows; /* results */
} isb__encode_job;

isb_status isb__encode_corpus(isb__encode_job *job);
/* One document, without a corpus. */
isb_status isb__encode_document(isb__encode_job *job, const uint8_t *bytes, size_t nbytes);

#endif
