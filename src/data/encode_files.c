/* isb_encode_files(): text to a file of ids. */
#include <string.h>

#include "data/encode.h"
#include "data/ids_files.h"
#include "data/options.h"
#include "data/scan.h"

enum { PIECE_NBYTES = 8192, ID_NBYTES_MAX = 16 };

void isb_encode_options_init(isb_encode_options *options) {
    *options = (isb_encode_options){.struct_size = sizeof *options};
    isb_corpus_options_init(&options->corpus);
    options->corpus.plain_document_nbytes = 0;
}

static isb_status open_for_model(isb_context *ctx, const isb_encode_options *options,
                                 isb__tokenizer **tokenizer) {
    isb_model *model = NULL;
    ISB_TRY(isb_model_load(ctx, options->model_dir, &model));
    const isb_status status =
        isb__tokenizer_open_for_model(ctx, model, options->model_dir, options->m1_dir, tokenizer);
    isb_model_free(model);
    return status;
}

isb_status isb__encode_options_open(isb_context *ctx, const isb_encode_options *options,
                                    isb__tokenizer **tokenizer) {
    *tokenizer = NULL;
    if (!options)
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "options are missing; fill them with isb_encode_options_init()");
    ISB_TRY(ISB__CHECK_OPTIONS(ctx, options, "isb_encode_options"));
    if ((unsigned)options->format > ISB_IDS_JSON) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "unknown format of ids %d; u16, u32, text and json exist",
                         (int)options->format);
    }
    if (options->tokenizer && options->model_dir) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "a tokenizer (%s) and a model (%s) are named; one says it all",
                         options->tokenizer, options->model_dir);
    }
    ISB_TRY(options->model_dir
                ? open_for_model(ctx, options, tokenizer)
                : isb__tokenizer_open(ctx, options->tokenizer ? options->tokenizer : "codebook",
                                      options->m1_dir, tokenizer));
    const isb__tokenizer *t = *tokenizer;
    if (options->format != ISB_IDS_U16 || t->n_codes <= 65536) return ISB_OK;
    const isb_status status = isb__fail(
        ctx, ISB_ERR_ARGUMENT,
        "\"%s\" has %lld ids, and ids of 2 bytes (u16) end at 65535; use u32, text or json",
        t->spec, (long long)t->n_codes);
    isb__tokenizer_free(*tokenizer);
    *tokenizer = NULL;
    return status;
}

typedef struct ids_output {
    isb_context *ctx;
    isb__writer *writer;
    isb_ids_format format;
    const isb__tokenizer *tokenizer;
    uint64_t n_documents;
} ids_output;

/* Decimal digits of an id; returns how many. */
static size_t put_decimal(uint32_t id, char *out) {
    char reversed[ID_NBYTES_MAX];
    size_t n = 0;
    do reversed[n++] = (char)('0' + id % 10);
    while ((id /= 10) > 0);
    for (size_t i = 0; i < n; ++i) out[i] = reversed[n - 1 - i];
    return n;
}

static isb_status write_decimals(isb__writer *writer, const isb__encoded *encoded,
                                 const char *separator) {
    char piece[PIECE_NBYTES];
    const size_t separator_nbytes = strlen(separator);
    size_t n = 0;
    for (size_t i = 0; i < encoded->count; ++i) {
        if (i > 0) memcpy(piece + n, separator, separator_nbytes);
        if (i > 0) n += separator_nbytes;
        n += put_decimal(encoded->ids[i], piece + n);
        if (n + ID_NBYTES_MAX <= sizeof piece) continue;
        ISB_TRY(isb__writer_write(writer, piece, n));
        n = 0;
    }
    return isb__writer_write(writer, piece, n);
}

static isb_status write_json(isb__writer *writer, const isb__encoded *encoded) {
    ISB_TRY(isb__writer_write(writer, "{\"ids\": [", 9));
    ISB_TRY(write_decimals(writer, encoded, ", "));
    return isb__writer_write(writer, "]}\n", 3);
}

static isb_status write_text(isb__writer *writer, const isb__encoded *encoded) {
    ISB_TRY(write_decimals(writer, encoded, " "));
    return isb__writer_write(writer, "\n", 1);
}

static isb_status write_u32(isb__writer *writer, const isb__encoded *encoded) {
    uint8_t piece[PIECE_NBYTES];
    for (size_t from = 0; from < encoded->count;) {
        size_t n = 0;
        for (; n < sizeof piece && from < encoded->count; ++from, n += 4) {
            piece[n] = (uint8_t)encoded->ids[from];
            piece[n + 1] = (uint8_t)(encoded->ids[from] >> 8);
            piece[n + 2] = (uint8_t)(encoded->ids[from] >> 16);
            piece[n + 3] = (uint8_t)(encoded->ids[from] >> 24);
        }
        ISB_TRY(isb__writer_write(writer, piece, n));
    }
    return ISB_OK;
}

static isb_status write_u16(isb__writer *writer, const isb__encoded *encoded) {
    uint8_t piece[PIECE_NBYTES];
    for (size_t from = 0; from < encoded->count;) {
        size_t n = 0;
        for (; n < sizeof piece && from < encoded->count; ++from, n += 2) {
            piece[n] = (uint8_t)encoded->ids[from];
            piece[n + 1] = (uint8_t)(encoded->ids[from] >> 8);
        }
        ISB_TRY(isb__writer_write(writer, piece, n));
    }
    return ISB_OK;
}

static isb_status write_document(void *user, const isb__bytes_view *document,
                                 const isb__encoded *encoded) {
    ids_output *out = user;
    (void)document;
    const bool has_lines = out->format == ISB_IDS_TEXT || out->format == ISB_IDS_JSON;
    if (!has_lines && out->n_documents > 0 && !isb__tokenizer_is_concatenable(out->tokenizer)) {
        return isb__fail(
            out->ctx, ISB_ERR_ARGUMENT,
            "ids of 2 or 4 bytes do not show where a document ends, and \"%s\" needs that "
            "for more than one document: write text or json, or encode the file as a whole",
            out->tokenizer->spec);
    }
    ++out->n_documents;
    switch (out->format) {
    case ISB_IDS_TEXT: return write_text(out->writer, encoded);
    case ISB_IDS_JSON: return write_json(out->writer, encoded);
    case ISB_IDS_U32: return write_u32(out->writer, encoded);
    case ISB_IDS_U16: break;
    }
    return write_u16(out->writer, encoded);
}

static isb_status encode_corpus(isb__encode_job *job, const char *const *paths, size_t n_paths,
                                const isb_corpus_options *options) {
    isb_corpus *corpus = NULL;
    ISB_TRY(isb_corpus_open(job->ctx, paths, n_paths, options, &corpus));
    job->corpus = corpus;
    const isb_status status = isb__encode_corpus(job);
    isb_corpus_free(corpus);
    ISB_TRY(status);
    return job->n_documents > 0 ? ISB_OK
                                : isb__fail(job->ctx, ISB_ERR_EMPTY,
                                            "the input has no documents on the wanted side");
}

static isb_status encode_whole_file(isb__encode_job *job, const char *const *paths,
                                    size_t n_paths) {
    if (n_paths != 1)
        return isb__fail(job->ctx, ISB_ERR_ARGUMENT, "%zu inputs; a whole file is exactly one",
                         n_paths);
    isb__scan scan = {0};
    isb_status status = isb__scan_open(job->ctx, paths[0], false, &scan);
    if (status == ISB_OK) status = isb__scan_fill_all(&scan);
    if (status == ISB_OK) status = isb__encode_document(job, scan.data, isb__scan_unread(&scan));
    isb__scan_free(&scan);
    return status;
}

isb_status isb_encode_files(isb_context *ctx, const char *const *paths, size_t n_paths,
                            const char *out_path, const isb_encode_options *options,
                            isb_encode_result *result) {
    isb_status status = ISB_OK;
    isb__tokenizer *tokenizer = NULL;
    ids_output out = {.ctx = ctx};
    const double start_s = isb__now_s();
    if (result) *result = (isb_encode_result){0};
    ISB_TRY(isb__encode_options_open(ctx, options, &tokenizer));
    out.tokenizer = tokenizer;
    out.format = options->format;
    isb__encode_job job = {
        .ctx = ctx, .tokenizer = tokenizer, .task = "encode", .sink = write_document, .user = &out};
    ISB_TRY_GOTO(isb__writer_open(ctx, out_path, &out.writer));
    ISB_TRY_GOTO(options->whole_file ? encode_whole_file(&job, paths, n_paths)
                                     : encode_corpus(&job, paths, n_paths, &options->corpus));
    isb__writer *writer = out.writer;
    out.writer = NULL;
    ISB_TRY_GOTO(isb__writer_commit(writer));
    if (result) {
        *result = (isb_encode_result){
            .n_documents = job.n_documents,
            .n_tokens = job.n_tokens,
            .n_bytes = job.n_bytes,
            .n_windows = job.n_windows,
            .seconds = isb__now_s() - start_s,
        };
    }
fail:
    isb__writer_abort(out.writer);
    isb__tokenizer_free(tokenizer);
    return status;
}
