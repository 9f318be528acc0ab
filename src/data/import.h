/* Ids that another program made, so that its tokenizer can be compared on the same models: JSONL with a document a
 * line, {"ids": [...], "text": "..."} or {"ids": [...], "n_bytes": 123}.
 *
 * n_bytes is what bits/byte divides by; of a text it is the length in bytes, unescaped.  The side of the split goes by
 * the text's bytes, so that it is the side the same document has under any other tokenizer. */
#ifndef ISB_DATA_IMPORT_H
#define ISB_DATA_IMPORT_H

#include "data/encode.h"

typedef struct isb__import_job {
    isb_context *ctx;
    const isb__tokenizer *tokenizer; /* external: its n_codes is the limit of ids */
    const char *const *paths;
    size_t n_paths;
    const isb_corpus_options *options;
    bool needs_text; /* the sink looks at the text; a wanted side of the split does too */
    /* document->data is NULL where a line has no text. */
    isb_status (*sink)(void *user, const isb__bytes_view *document, const isb__encoded *encoded);
    void *user;
    uint64_t n_documents, n_tokens, n_bytes; /* results */
} isb__import_job;

/* Errors: CORRUPT (a line or an id, with its place), those of files. */
isb_status isb__import_ids(isb__import_job *job);

#endif
