/* A corpus divided among shards, so that many machines prepare it: who owns which documents.
 *
 *     files   | a | b | c |      D: large         | e | f |
 *     owner   | 0   0   1 | 0 1 2 0 1 2 0 1 2 0 ..| 1   2 |      of 3 shards
 *
 * Whole files go to the shards in runs of about equal size, and a shard does not open those of the
 * others.  A file that is more than a fourth of a shard's share is read by all: of it a shard owns
 * every n-th block of 1 MiB, told by where a document begins.  So is everything whose size is not
 * known (standard input), or where a limit of bytes needs the lengths of all documents before.  A
 * document that is not owned costs the search for its end, and no more.
 *
 * What a shard owns is a list of stretches, documents that follow one another.  Each has the place
 * (file, block) where it begins, and the stretches of all shards, sorted by place, are the corpus
 * in its order: that is all a merge needs to know. */
#ifndef ISB_DATA_SHARD_H
#define ISB_DATA_SHARD_H

#include <isobit/data.h>

#include "data/outputs.h"
#include "data/paths.h"

struct json_t;

enum { ISB__SHARDS_MAX = 10000 };

typedef struct isb__stretch {
    uint64_t file, block;                         /* where it begins */
    uint64_t first;                               /* number of its first document in the shard */
    uint64_t n_documents[ISB__OUTPUTS_MAX];       /* that went to each dataset of the shard */
} isb__stretch;

typedef struct isb__shard {
    isb_context *ctx;
    uint32_t index, count;
    int32_t *owners; /* [n_files] of whole files; -1: read by all */
    uint64_t n_files;
    uint64_t n_bytes_to_read; /* of files whose size is known */
    uint64_t inputs_hash; /* of the files' names and sizes */
    uint64_t read_hash;   /* of what all shards have read */
    isb__stretch *stretches;
    size_t n_stretches, capacity;
    uint64_t n_given;
    uint64_t file, block; /* of the document claimed last */
    bool passed_over;     /* something of another shard came since the last document given */
} isb__shard;

/* Errors: NO_MEMORY, those of stat(). */
isb_status isb__shard_open(isb_context *ctx, uint32_t index, uint32_t count,
                           const isb__file_list *files, const isb_corpus_options *options,
                           isb__shard *shard);
void isb__shard_close(isb__shard *shard);
bool isb__shard_skips_file(isb__shard *shard, size_t file);
/* Is the document whose text, as it is in the file, is raw[0 .. nbytes) at `offset` this shard's? */
bool isb__shard_claim(isb__shard *shard, size_t file, uint64_t offset, const uint8_t *raw,
                      size_t nbytes);
/* The document claimed last is given to the corpus' reader. */
isb_status isb__shard_give(isb__shard *shard);

/* Before the first document; shard: zeroed, and the corpus' from now on, to be closed by the caller
 * after the corpus is freed. */
isb_status isb__corpus_divide(isb_corpus *corpus, uint32_t index, uint32_t count,
                              isb__shard *shard);

/* ---- PREFIX.shard-00003-of-00016.shard: JSON, written last (shard_file.c) ---- */

/* "PREFIX.shard-00003-of-00016"; returns owned. */
isb_status isb__shard_prefix(isb_context *ctx, const char *prefix, uint32_t index, uint32_t count,
                             char **shard_prefix);
#define ISB__SHARD_SUFFIX ".shard"

typedef struct isb__shard_file {
    isb_context *ctx;
    uint32_t index, count;
    size_t n_outputs;
    uint64_t bin_checksums[ISB__OUTPUTS_MAX];
    struct json_t *made_from; /* owned: what all shards of one dataset have in common */
    isb__stretch *stretches;  /* [n_stretches] owned, in order */
    size_t n_stretches;
} isb__shard_file;
/* `options` are those of the whole preparation, and `what` says which ids it makes. */
isb_status isb__shard_file_write(const isb__shard *shard, const char *path,
                                 const isb_prepare_options *options, const isb_dataset_info *what,
                                 size_t n_outputs, const uint64_t *bin_checksums);
/* Errors: NOT_FOUND, FORMAT, VERSION, CORRUPT. */
isb_status isb__shard_file_read(isb_context *ctx, const char *path, isb__shard_file *file);
void isb__shard_file_close(isb__shard_file *file);
/* Are both parts of one preparation?  MISMATCH says which property differs. */
isb_status isb__shard_file_compare(const isb__shard_file *file, const char *path,
                                   const isb__shard_file *first, const char *first_path);

#endif
