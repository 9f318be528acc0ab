/* Corpora: a list of files turned into documents, one at a time.
 *
 *     names -> files (paths.c) -> bytes, unpacked (base/io.h) -> documents (jsonl.c, split.c) ->
 * those on the wanted side
 *
 * A document is looked at where it lies in the read buffer; nothing is copied. */
#include <math.h>
#include <string.h>

#include "data/jsonl.h"
#include "data/options.h"
#include "data/paths.h"
#include "data/scan.h"
#include "data/shard.h"
#include "data/split.h"

struct isb_corpus {
    isb_context *ctx;
    isb_corpus_options options;
    isb__file_list files;
    size_t n_opened; /* files opened so far; the current one is n_opened - 1 */
    isb__scan scan;
    bool is_jsonl, is_fresh;  /* of the current file; nothing was taken from it yet */
    uint64_t finished_nbytes; /* of the files before the current one, as they lie on disk */
    uint64_t given_nbytes;
    isb__shard *shard;   /* borrowed; NULL: all documents are ours */
    bool is_ours;        /* the document read last */
    uint64_t raw_offset; /* of the next one, in the unpacked file without its line ends */
    isb_status status;   /* the first failure stays */
};

void isb_corpus_options_init(isb_corpus_options *options) {
    *options = (isb_corpus_options){
        .struct_size = sizeof *options,
        .plain_document_nbytes = ISB_PLAIN_DOCUMENT_NBYTES,
        .valid_permille = -1,
        .test_permille = -1,
    };
}

isb_status isb__corpus_options_check(isb_context *ctx, const isb_corpus_options *options) {
    ISB_TRY(ISB__CHECK_OPTIONS(ctx, options, "isb_corpus_options"));
    const int valid = isb__permille(options->valid_permille),
              test = isb__permille(options->test_permille);
    if (valid > 1000 || test > 1000 || valid + test > 1000) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "shares of %d and %d per mille for validation and test exceed 1000", valid,
                         test);
    }
    if (options->plain_document_nbytes > SIZE_MAX / 4) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "plain_document_nbytes is too large; use 0 to keep files whole");
    }
    if ((unsigned)options->format > ISB_TEXT_JSONL || (unsigned)options->split > ISB_SPLIT_TEST) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "unknown text format %d or split %d",
                         (int)options->format, (int)options->split);
    }
    return ISB_OK;
}

isb_status isb_corpus_open(isb_context *ctx, const char *const *paths, size_t n_paths,
                           const isb_corpus_options *options, isb_corpus **corpus_out) {
    *corpus_out = NULL;
    isb_corpus_options defaults;
    isb_corpus_options_init(&defaults);
    if (!options) options = &defaults;
    ISB_TRY(isb__corpus_options_check(ctx, options));
    isb_corpus *corpus = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *corpus, &corpus));
    corpus->ctx = ctx;
    corpus->options = *options;
    corpus->options.valid_permille = isb__permille(options->valid_permille);
    corpus->options.test_permille = isb__permille(options->test_permille);
    const isb_status status = isb__file_list_make(ctx, paths, n_paths, &corpus->files);
    if (status != ISB_OK) {
        isb__free(ctx, corpus);
        return status;
    }
    *corpus_out = corpus;
    return ISB_OK;
}

void isb_corpus_free(isb_corpus *corpus) {
    if (!corpus) return;
    isb__scan_free(&corpus->scan);
    isb__file_list_free(&corpus->files);
    isb__free(corpus->ctx, corpus);
}

/* Does path[0 .. length) end with the suffix?  If so *length shrinks by it. */
static bool strip_suffix(const char *path, size_t *length, const char *suffix) {
    const size_t n = strlen(suffix);
    if (*length <= n || memcmp(path + *length - n, suffix, n) != 0) return false;
    *length -= n;
    return true;
}

static bool has_jsonl_name(const char *path) {
    size_t length = strlen(path);
    if (!strip_suffix(path, &length, ".gz")) (void)strip_suffix(path, &length, ".zst");
    return strip_suffix(path, &length, ".jsonl") || strip_suffix(path, &length, ".ndjson") ||
           strip_suffix(path, &length, ".json-lines");
}

bool isb__corpus_is_jsonl(const isb_corpus_options *options, const char *path) {
    return options->format == ISB_TEXT_JSONL ||
           (options->format == ISB_TEXT_AUTO && has_jsonl_name(path));
}

isb_status isb__corpus_divide(isb_corpus *corpus, uint32_t index, uint32_t count,
                              isb__shard *shard) {
    corpus->shard = shard;
    ISB_TRY(isb__shard_open(corpus->ctx, index, count, &corpus->files, &corpus->options, shard));
    corpus->files.total_nbytes = shard->n_bytes_to_read; /* for progress */
    return ISB_OK;
}

static const char *current_path(const isb_corpus *corpus) {
    return corpus->files.paths[corpus->n_opened - 1];
}

static isb_status open_next_file(isb_corpus *corpus) {
    const char *path = corpus->files.paths[corpus->n_opened++];
    corpus->is_jsonl = isb__corpus_is_jsonl(&corpus->options, path);
    corpus->is_fresh = true;
    corpus->raw_offset = 0;
    return isb__scan_open(corpus->ctx, path, true, &corpus->scan);
}

/* A file that belongs to another shard. */
static bool skip_file(isb_corpus *corpus) {
    if (!corpus->shard || !isb__shard_skips_file(corpus->shard, corpus->n_opened)) return false;
    ++corpus->n_opened;
    return true;
}

static void close_file(isb_corpus *corpus) {
    uint64_t position = 0, file_nbytes = 0;
    isb__reader_position(corpus->scan.reader, &position, &file_nbytes);
    corpus->finished_nbytes += file_nbytes;
    isb__scan_close(&corpus->scan);
}

/* Of a document that is not ours only its bytes are looked at, unless a limit counts its text. */
static bool is_passed_over(isb_corpus *corpus, const uint8_t *raw, size_t nbytes) {
    corpus->is_ours = true;
    if (!corpus->shard) return false;
    corpus->is_ours = isb__shard_claim(corpus->shard, corpus->n_opened - 1, corpus->raw_offset, raw,
                                       nbytes);
    corpus->raw_offset += nbytes;
    return !corpus->is_ours && corpus->options.max_nbytes == 0;
}

/* A byte order mark is no part of JSON, but some programs write one. */
static void skip_mark(uint8_t **line, size_t *nbytes) {
    if (*nbytes < 3 || memcmp(*line, "\xEF\xBB\xBF", 3) != 0) return;
    *line += 3;
    *nbytes -= 3;
}

/* The next document of the current file; *text == NULL at its end. */
static isb_status next_jsonl(isb_corpus *corpus, const uint8_t **text, size_t *nbytes) {
    uint8_t *line = NULL;
    size_t line_nbytes = 0;
    do {
        ISB_TRY(isb__scan_line(&corpus->scan, &line, &line_nbytes));
        if (!line) return ISB_OK;
        if (corpus->scan.line_number == 1) skip_mark(&line, &line_nbytes);
    } while (isb__json_is_blank(line, line_nbytes) || is_passed_over(corpus, line, line_nbytes));
    isb__json_error error;
    if (isb__json_text(line, line_nbytes, text, nbytes, &error)) return ISB_OK;
    *text = NULL;
    return isb__fail(corpus->ctx, ISB_ERR_CORRUPT, "%s:%llu: %s (byte %zu of the line)",
                     current_path(corpus), (unsigned long long)corpus->scan.line_number,
                     error.reason, error.offset + 1);
}

/* A file without bytes is one empty document. */
static isb_status next_plain(isb_corpus *corpus, const uint8_t **text, size_t *nbytes) {
    isb__scan *scan = &corpus->scan;
    const size_t target = corpus->options.plain_document_nbytes;
    ISB_TRY(target == 0 ? isb__scan_fill_all(scan) : isb__scan_fill(scan, 2 * target + 1));
    const size_t unread = isb__scan_unread(scan);
    if (unread == 0 && !corpus->is_fresh) return ISB_OK;
    *nbytes = isb__plain_cut(scan->data + scan->begin, unread, target);
    *text = isb__scan_take(scan, *nbytes);
    corpus->is_fresh = false;
    (void)is_passed_over(corpus, *text, *nbytes);
    return ISB_OK;
}

static bool is_wanted(const isb_corpus *corpus, const uint8_t *text, size_t nbytes) {
    const isb_corpus_options *o = &corpus->options;
    return o->split == ISB_SPLIT_ALL ||
           isb__split_of(text, nbytes, o->valid_permille, o->test_permille) == o->split;
}

/* A document on the wanted side: is it given? */
static bool takes(isb_corpus *corpus, const uint8_t *text, size_t nbytes) {
    if (!corpus->is_ours && corpus->options.max_nbytes == 0) return false;
    if (!is_wanted(corpus, text, nbytes)) return false;
    corpus->given_nbytes += nbytes;
    return corpus->is_ours;
}

static isb_status next_document(isb_corpus *corpus, const uint8_t **text, size_t *nbytes) {
    const uint64_t limit = corpus->options.max_nbytes;
    while (limit == 0 || corpus->given_nbytes < limit) {
        ISB_TRY(isb__check_cancel(corpus->ctx));
        if (!corpus->scan.reader) {
            if (corpus->n_opened == corpus->files.count) return ISB_OK;
            if (skip_file(corpus)) continue;
            ISB_TRY(open_next_file(corpus));
        }
        ISB_TRY(corpus->is_jsonl ? next_jsonl(corpus, text, nbytes)
                                 : next_plain(corpus, text, nbytes));
        if (!*text) {
            close_file(corpus);
        } else if (takes(corpus, *text, *nbytes)) {
            return corpus->shard ? isb__shard_give(corpus->shard) : ISB_OK;
        }
        *text = NULL;
    }
    return ISB_OK;
}

isb_status isb_corpus_next(isb_corpus *corpus, const uint8_t **text, size_t *nbytes) {
    *text = NULL;
    *nbytes = 0;
    if (corpus->status == ISB_OK) corpus->status = next_document(corpus, text, nbytes);
    return corpus->status;
}

double isb_corpus_fraction(const isb_corpus *corpus) {
    if (!corpus->files.sizes_known) return -1.0;
    uint64_t position = 0, file_nbytes = 0;
    if (corpus->scan.reader) isb__reader_position(corpus->scan.reader, &position, &file_nbytes);
    const double total = (double)corpus->files.total_nbytes;
    const double done = (double)(corpus->finished_nbytes + position);
    return total > 0 ? fmin(done / total, 1.0) : 1.0;
}
