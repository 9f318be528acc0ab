/* What a tokenizer does, whichever of the three it is made of:
 *
 *     a codec      bytes, windows, arithmetic codes      code/codec.h
 *     a codebook   strings with ids                      codebook/codebook.h
 *     neither      ids that another program made: they have no text here */
#include <string.h>

#include "data/tokenizer.h"

enum { DEFAULT_LIMIT_NBYTES = 1 << 30 };

static isb_status fail_external(const isb__tokenizer *t) {
    return isb__fail(
        t->ctx, ISB_ERR_UNSUPPORTED,
        "\"%s\" stands for ids that another program makes, and text cannot be made from "
        "them here nor they from text; train on and evaluate prepared datasets of them",
        t->spec);
}

/* ---- text to ids ---- */

static isb_status encode_batch(isb__tokenizer *t, size_t n, const isb__bytes_view *documents,
                               size_t total, isb__encoded *out) {
    isb__tokenizer_memory *m = &t->memory;
    ISB_TRY(isb__grow_array(t->ctx, n, sizeof *m->texts, &m->texts_capacity, &m->texts));
    ISB_TRY(isb__grow_array(t->ctx, n + 1, sizeof *m->offsets, &m->offsets_capacity, &m->offsets));
    ISB_TRY(isb__grow_array(t->ctx, total + 1, sizeof *m->ids, &m->ids_capacity, &m->ids));
    for (size_t i = 0; i < n; ++i)
        m->texts[i] = (isb_codebook_text){documents[i].data, documents[i].nbytes};
    ISB_TRY(isb_codebook_encode_batch(t->ctx, t->codebook, m->texts, n, m->ids, total, m->offsets));
    for (size_t i = 0; i < n; ++i) {
        out[i] =
            (isb__encoded){m->ids + m->offsets[i], (size_t)(m->offsets[i + 1] - m->offsets[i]), 0};
    }
    return ISB_OK;
}

isb_status isb__tokenizer_encode(isb__tokenizer *t, size_t n, const isb__bytes_view *documents,
                                 isb__encoded *out, void (*progress)(void *user, double done),
                                 void *user) {
    if (t->codec) return isb__codec_encode(t->codec, n, documents, out, progress, user);
    if (!t->codebook) return fail_external(t);
    size_t total = 0;
    for (size_t i = 0; i < n; ++i) total += documents[i].nbytes;
    ISB_TRY(encode_batch(t, n, documents, total, out));
    if (progress) progress(user, (double)total);
    return ISB_OK;
}

/* ---- ids to text ---- */

/* The bytes of ids [0 .. n_good), and whether that is all of them. */
static isb_status measure(const isb__tokenizer *t, const isb__ids_view *ids, size_t limit_nbytes,
                          size_t *n_good, isb__decoded *out) {
    *n_good = ids->count;
    size_t nbytes = 0;
    out->status = ISB_OK;
    if (isb_codebook_decode_nbytes(t->codebook, ids->ids, ids->count, &nbytes, n_good) != ISB_OK) {
        out->status = ISB_ERR_CORRUPT;
        ISB_TRY(isb_codebook_decode_nbytes(t->codebook, ids->ids, *n_good, &nbytes, NULL));
    }
    if (nbytes > limit_nbytes) {
        out->status = ISB_ERR_CORRUPT;
        nbytes = *n_good = 0;
    }
    out->nbytes = nbytes;
    return ISB_OK;
}

static isb_status decode_batch(isb__tokenizer *t, size_t n, const isb__ids_view *documents,
                               size_t limit_nbytes, isb__decoded *out) {
    isb__tokenizer_memory *m = &t->memory;
    size_t total = 0;
    for (size_t i = 0; i < n; ++i) {
        size_t n_good, written;
        ISB_TRY(isb__check_cancel(t->ctx));
        ISB_TRY(measure(t, &documents[i], limit_nbytes, &n_good, &out[i]));
        const size_t end = total + out[i].nbytes;
        ISB_TRY(isb__grow_array(t->ctx, end + 1, 1, &m->bytes_capacity, &m->bytes));
        ISB_TRY(isb_codebook_decode(t->codebook, documents[i].ids, n_good, m->bytes + total,
                                    out[i].nbytes, &written));
        total = end;
    }
    /* The array has its final place only now. */
    const uint8_t *bytes = m->bytes;
    for (size_t i = 0; i < n; bytes += out[i++].nbytes) out[i].bytes = bytes;
    return ISB_OK;
}

isb_status isb__tokenizer_decode(isb__tokenizer *t, size_t n, const isb__ids_view *documents,
                                 size_t limit_nbytes, isb__decoded *out,
                                 void (*progress)(void *user, double done), void *user) {
    if (t->codec)
        return isb__codec_decode(t->codec, n, documents, limit_nbytes, out, progress, user);
    if (!t->codebook) return fail_external(t);
    if (n > 0) memset(out, 0, n * sizeof *out);
    return decode_batch(t, n, documents, limit_nbytes ? limit_nbytes : DEFAULT_LIMIT_NBYTES, out);
}

/* ---- ids as they come ---- */

isb_status isb__token_stream_open(isb__tokenizer *t, isb__token_stream *stream) {
    *stream = (isb__token_stream){.tokenizer = t};
    if (t->codec) return isb__decode_stream_create(t->codec, &stream->codec);
    return t->codebook ? ISB_OK : fail_external(t);
}

isb_status isb__token_stream_push(isb__token_stream *stream, uint32_t id, const uint8_t **bytes,
                                  size_t *nbytes) {
    const isb__tokenizer *t = stream->tokenizer;
    *bytes = NULL;
    *nbytes = 0;
    if (stream->codec) {
        /* A window that no text has (greedy and delay have such) gives no bytes. */
        const isb_status status = isb__decode_stream_push(stream->codec, id, bytes, nbytes);
        return status == ISB_ERR_UNDECODABLE ? ISB_OK : status;
    }
    if (id >= t->n_codes) {
        return isb__fail(t->ctx, ISB_ERR_CORRUPT, "token id %u; \"%s\" has ids below %lld",
                         (unsigned)id, t->spec, (long long)t->n_codes);
    }
    isb_codebook_string(t->codebook, id, bytes, nbytes);
    return ISB_OK;
}

void isb__token_stream_close(isb__token_stream *stream) {
    isb__decode_stream_free(stream->codec);
    *stream = (isb__token_stream){0};
}

/* ---- what it is like ---- */

bool isb__tokenizer_is_concatenable(const isb__tokenizer *t) {
    if (!t->codec) return t->codebook != NULL;
    const isb__code_params *p = isb__codec_params(t->codec);
    return p->kind == ISB__CODE_BYTES || (p->kind == ISB__CODE_EQUAL_INFO && p->reset_windows == 1);
}

void isb__tokenizer_stats(const isb__tokenizer *t, isb__codec_stats *stats) {
    *stats = (isb__codec_stats){0};
    if (t->codec) isb__codec_stats_get(t->codec, stats);
}

void isb__tokenizer_memory_free(isb_context *ctx, isb__tokenizer_memory *m) {
    isb__free(ctx, m->texts);
    isb__free(ctx, m->offsets);
    isb__free(ctx, m->ids);
    isb__free(ctx, m->bytes);
}
