/* Lossless compression of files: chunks, coded by ac with an M1 whose context begins anew with each
 * chunk.
 *
 * Chunks go through M1 in groups, one stream each: M1 multiplies matrices for all of them at once.
 * A group is as many chunks as there are streams, but not more than GROUP_NBYTES, so memory is
 * bounded whatever a file claims to be. */
#include <isobit/container.h>

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "code/codec.h"
#include "code/container_format.h"
#include "data/m1.h"

enum { DEFAULT_CHUNK_NBYTES = 16 << 10, DEFAULT_STREAMS = 64, GROUP_NBYTES = 64 << 20 };

/* One run of either direction. */
typedef struct work {
    isb_context *ctx;
    isb_compress_options options;
    isb__id128 m1;
    isb__codec *codec;
    isb__reader *reader;
    isb__writer *writer;
    isb__container_writer container_writer;
    isb__container_reader container_reader;
    size_t group_size;
    isb__bytes_view *raw; /* [group_size] each */
    isb__encoded *encoded;
    isb__container_chunk *chunks;
    isb__ids_view *ids;
    isb__decoded *decoded;
    uint8_t *bytes; /* compression: raw bytes of a group, and of one packed chunk */
    uint8_t *packed;
    uint32_t *id_memory; /* decompression: ids of a group */
    size_t packed_capacity, id_capacity;
    isb__progress_state progress;
    uint64_t raw_done;
    double start_s;
} work;

void isb_compress_options_init(isb_compress_options *options) {
    *options = (isb_compress_options){.struct_size = sizeof *options};
}

/* ---- opening ---- */

static isb_status check_options(work *w, const char *out_path,
                                const isb_compress_options *options) {
    struct stat info;
    if (!options || options->struct_size != sizeof *options) {
        return isb__fail(w->ctx, ISB_ERR_ARGUMENT,
                         "options were not set by isb_compress_options_init()");
    }
    w->options = *options;
    if (!options->m1_path) return isb__fail(w->ctx, ISB_ERR_ARGUMENT, "no M1 was named");
    if (w->options.chunk_nbytes == 0) w->options.chunk_nbytes = DEFAULT_CHUNK_NBYTES;
    if (w->options.n_streams == 0) w->options.n_streams = DEFAULT_STREAMS;
    const size_t chunk = w->options.chunk_nbytes;
    if (chunk < ISB__CONTAINER_MIN_CHUNK || chunk > ISB__CONTAINER_MAX_CHUNK) {
        return isb__fail(w->ctx, ISB_ERR_RANGE, "chunks of %zu bytes; %d to %d are allowed", chunk,
                         ISB__CONTAINER_MIN_CHUNK, ISB__CONTAINER_MAX_CHUNK);
    }
    if (!options->force && strcmp(out_path, "-") != 0 && stat(out_path, &info) == 0 &&
        S_ISREG(info.st_mode)) {
        return isb__fail(w->ctx, ISB_ERR_EXISTS, "%s exists already; force replaces it", out_path);
    }
    return ISB_OK;
}

/* Loads M1; if `expected` is not NULL, it must be that one. */
static isb_status open_codec(work *w, const isb__id128 *expected, int precision_nbits) {
    isb__cdf_source source;
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_AC);
    params.precision_nbits = precision_nbits;
    ISB_TRY(isb__m1_open(w->ctx, w->options.m1_path, w->options.n_streams, &source));
    w->m1 = source.identity;
    isb_status status = ISB_OK;
    if (expected && memcmp(expected, &source.identity, sizeof *expected) != 0) {
        char needed[33], found[33];
        isb__id128_hex(expected, needed);
        isb__id128_hex(&source.identity, found);
        status =
            isb__fail(w->ctx, ISB_ERR_MISMATCH, "the file was made with M1 %s, and %s is M1 %s",
                      needed, w->options.m1_path, found);
    }
    if (status == ISB_OK) status = isb__codec_create(w->ctx, &params, &source, &w->codec);
    if (status != ISB_OK && source.free) source.free(source.self);
    return status;
}

static isb_status allocate_group(work *w, size_t chunk_nbytes) {
    const size_t most = GROUP_NBYTES / chunk_nbytes;
    const size_t n = w->group_size = w->options.n_streams < most ? w->options.n_streams : most;
    ISB_TRY(isb__alloc_array(w->ctx, n, sizeof *w->raw, &w->raw));
    ISB_TRY(isb__alloc_array(w->ctx, n, sizeof *w->encoded, &w->encoded));
    ISB_TRY(isb__alloc_array(w->ctx, n, sizeof *w->chunks, &w->chunks));
    ISB_TRY(isb__alloc_array(w->ctx, n, sizeof *w->ids, &w->ids));
    return isb__alloc_array(w->ctx, n, sizeof *w->decoded, &w->decoded);
}

static void begin_progress(work *w, const char *task, bool total_is_known) {
    uint64_t position, nbytes;
    isb__reader_position(w->reader, &position, &nbytes);
    isb__progress_begin(&w->progress, w->ctx, task, "byte", total_is_known ? (double)nbytes : 0);
    w->start_s = isb__now_s();
}

static void report(void *user, double done) {
    work *w = user;
    isb__progress_update(&w->progress, (double)w->raw_done + done, "");
}

static void work_free(work *w) {
    for (size_t i = 0; w->chunks && i < w->group_size; i++) isb__free(w->ctx, w->chunks[i].packed);
    isb__container_writer_free(&w->container_writer);
    isb__container_reader_free(&w->container_reader);
    isb__codec_free(w->codec);
    if (w->reader) isb__reader_close(w->reader);
    isb__writer_abort(w->writer);
    void *const owned[] = {w->raw,     w->encoded, w->chunks, w->ids,
                           w->decoded, w->bytes,   w->packed, w->id_memory};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) isb__free(w->ctx, owned[i]);
}

/* Says which file is not as it should be. */
static isb_status name_file(isb_context *ctx, isb_status status, const char *path) {
    if (status != ISB_ERR_FORMAT && status != ISB_ERR_VERSION && status != ISB_ERR_CORRUPT &&
        status != ISB_ERR_MISMATCH) {
        return status;
    }
    char text[ISB__ERROR_NBYTES];
    memcpy(text, ctx->error, sizeof text);
    return isb__fail(ctx, status, "%s: %s", strcmp(path, "-") == 0 ? "standard input" : path, text);
}

static void fill_result(const work *w, uint64_t raw, uint64_t packed, uint64_t n_chunks,
                        isb_compress_result *result) {
    if (!result) return;
    *result =
        (isb_compress_result){.raw_nbytes = raw, .packed_nbytes = packed, .n_chunks = n_chunks};
    result->seconds = w->start_s > 0 ? isb__now_s() - w->start_s : 0;
    isb__id128_hex(&w->m1, result->m1_identity);
}

/* ---- compression ---- */

static isb_status write_out(void *user, const void *data, size_t nbytes) {
    work *w = user;
    return isb__writer_write(w->writer, data, nbytes);
}

static isb_status read_full(isb__reader *reader, uint8_t *data, size_t nbytes, size_t *got) {
    for (*got = 0; *got < nbytes;) {
        size_t more = 0;
        ISB_TRY(isb__reader_read(reader, data + *got, nbytes - *got, &more));
        if (more == 0) break;
        *got += more;
    }
    return ISB_OK;
}

static isb_status write_packed(work *w, const isb__bytes_view *raw, const isb__encoded *encoded) {
    ISB_TRY(isb__grow_array(w->ctx, encoded->count, 1, &w->packed_capacity, &w->packed));
    for (size_t i = 0; i < encoded->count; i++) w->packed[i] = (uint8_t)encoded->ids[i];
    return isb__container_write_chunk(&w->container_writer, raw->data, raw->nbytes, w->packed,
                                      encoded->count);
}

static isb_status compress_group(work *w, size_t nbytes) {
    const size_t chunk = w->options.chunk_nbytes;
    size_t n = 0;
    for (size_t at = 0; at < nbytes; at += chunk, n++) {
        w->raw[n] = (isb__bytes_view){w->bytes + at, nbytes - at < chunk ? nbytes - at : chunk};
    }
    ISB_TRY(isb__codec_encode(w->codec, n, w->raw, w->encoded, report, w));
    for (size_t i = 0; i < n; i++) ISB_TRY(write_packed(w, &w->raw[i], &w->encoded[i]));
    w->raw_done += nbytes;
    return ISB_OK;
}

static isb_status compress_groups(work *w) {
    const size_t group_nbytes = w->group_size * w->options.chunk_nbytes;
    ISB_TRY(isb__alloc(w->ctx, group_nbytes, &w->bytes));
    for (size_t got = group_nbytes; got == group_nbytes;) {
        ISB_TRY(isb__check_cancel(w->ctx));
        ISB_TRY(read_full(w->reader, w->bytes, group_nbytes, &got));
        if (got > 0) ISB_TRY(compress_group(w, got));
    }
    return isb__container_write_end(&w->container_writer);
}

static isb_status commit(work *w) {
    isb__writer *writer = w->writer;
    w->writer = NULL;
    return isb__writer_commit(writer);
}

static isb_status compress(work *w, const char *in_path, const char *out_path) {
    ISB_TRY(isb__reader_open(w->ctx, in_path, false, &w->reader));
    ISB_TRY(open_codec(w, NULL, ISB__CDF_PRECISION));
    ISB_TRY(isb__writer_open(w->ctx, out_path, &w->writer));
    const isb__container_header header = {.code = ISB__CONTAINER_CODE_AC,
                                          .precision_nbits = ISB__CDF_PRECISION,
                                          .chunk_nbytes = (uint32_t)w->options.chunk_nbytes,
                                          .m1 = w->m1};
    begin_progress(w, "compress", true);
    ISB_TRY(isb__container_write_begin(w->ctx, &header, write_out, w, &w->container_writer));
    ISB_TRY(allocate_group(w, w->options.chunk_nbytes));
    ISB_TRY(compress_groups(w));
    isb__progress_end(&w->progress, (double)w->raw_done, "");
    return commit(w);
}

isb_status isb_compress_file(isb_context *ctx, const char *in_path, const char *out_path,
                             const isb_compress_options *options, isb_compress_result *result) {
    if (!ctx || !in_path || !out_path) return ISB_ERR_ARGUMENT;
    work w = {.ctx = ctx};
    isb_status status = check_options(&w, out_path, options);
    if (status == ISB_OK) status = compress(&w, in_path, out_path);
    const isb__container_writer *c = &w.container_writer;
    if (status == ISB_OK) fill_result(&w, c->raw_nbytes, c->position, c->n_chunks, result);
    work_free(&w);
    return status;
}

/* ---- decompression ---- */

static isb_status read_in(void *user, void *data, size_t nbytes, size_t *got) {
    work *w = user;
    return read_full(w->reader, data, nbytes, got);
}

/* Reads up to a group of chunks. */
static isb_status read_group(work *w, size_t *n, bool *end) {
    for (*n = 0, *end = false; *n < w->group_size;) {
        ISB_TRY(isb__container_read_chunk(&w->container_reader, &w->chunks[*n], end));
        if (*end) break;
        ++*n;
    }
    return ISB_OK;
}

/* The ids of the chunks that are coded; *n_coded: how many. */
static isb_status set_ids(work *w, size_t n, size_t *n_coded) {
    size_t total = 0;
    *n_coded = 0;
    for (size_t i = 0; i < n; i++) total += w->chunks[i].packed_nbytes;
    ISB_TRY(isb__grow_array(w->ctx, total, sizeof *w->id_memory, &w->id_capacity, &w->id_memory));
    uint32_t *ids = w->id_memory;
    for (size_t i = 0; i < n; i++) {
        const isb__container_chunk *chunk = &w->chunks[i];
        if (chunk->stored) continue;
        for (size_t j = 0; j < chunk->packed_nbytes; j++) ids[j] = chunk->packed[j];
        w->ids[(*n_coded)++] = (isb__ids_view){ids, chunk->packed_nbytes};
        ids += chunk->packed_nbytes;
    }
    return ISB_OK;
}

static isb_status put_chunk(work *w, const isb__container_chunk *chunk, const uint8_t *bytes,
                            size_t nbytes) {
    ISB_TRY(isb__container_check_chunk(&w->container_reader, chunk, bytes, nbytes));
    w->raw_done += nbytes;
    return isb__writer_write(w->writer, bytes, nbytes);
}

static isb_status decompress_group(work *w, size_t n) {
    size_t n_coded;
    ISB_TRY(set_ids(w, n, &n_coded));
    ISB_TRY(isb__codec_decode(w->codec, n_coded, w->ids, w->container_reader.header.chunk_nbytes,
                              w->decoded, report, w));
    const isb__decoded *decoded = w->decoded;
    for (size_t i = 0; i < n; i++) {
        const isb__container_chunk *chunk = &w->chunks[i];
        if (chunk->stored) {
            ISB_TRY(put_chunk(w, chunk, chunk->packed, chunk->packed_nbytes));
            continue;
        }
        if (decoded->status != ISB_OK) {
            return isb__fail(w->ctx, ISB_ERR_CORRUPT,
                             "chunk %" PRIu64 " at byte %" PRIu64 ": its code is damaged",
                             chunk->number, chunk->offset);
        }
        ISB_TRY(put_chunk(w, chunk, decoded->bytes, decoded->nbytes));
        ++decoded;
    }
    return ISB_OK;
}

static isb_status decompress_groups(work *w) {
    for (bool end = false; !end;) {
        size_t n;
        ISB_TRY(isb__check_cancel(w->ctx));
        ISB_TRY(read_group(w, &n, &end));
        if (n > 0) ISB_TRY(decompress_group(w, n));
    }
    return isb__container_read_end(&w->container_reader);
}

static isb_status decompress(work *w, const char *in_path, const char *out_path) {
    isb__container_reader *container = &w->container_reader;
    ISB_TRY(isb__reader_open(w->ctx, in_path, false, &w->reader));
    ISB_TRY(isb__container_read_begin(w->ctx, read_in, w, container));
    ISB_TRY(open_codec(w, &container->header.m1, container->header.precision_nbits));
    ISB_TRY(isb__writer_open(w->ctx, out_path, &w->writer));
    begin_progress(w, "decompress", false);
    ISB_TRY(allocate_group(w, container->header.chunk_nbytes));
    ISB_TRY(decompress_groups(w));
    isb__progress_end(&w->progress, (double)w->raw_done, "");
    return commit(w);
}

isb_status isb_decompress_file(isb_context *ctx, const char *in_path, const char *out_path,
                               const isb_compress_options *options, isb_compress_result *result) {
    if (!ctx || !in_path || !out_path) return ISB_ERR_ARGUMENT;
    work w = {.ctx = ctx};
    isb_status status = check_options(&w, out_path, options);
    if (status == ISB_OK) status = name_file(ctx, decompress(&w, in_path, out_path), in_path);
    const isb__container_reader *c = &w.container_reader;
    if (status == ISB_OK) fill_result(&w, c->raw_nbytes, c->position, c->n_chunks, result);
    work_free(&w);
    return status;
}

/* ---- information ---- */

static isb_status walk_container(work *w, const char *path) {
    isb__container_chunk chunk = {0};
    isb_status status;
    ISB_TRY(isb__reader_open(w->ctx, path, false, &w->reader));
    ISB_TRY(isb__container_read_begin(w->ctx, read_in, w, &w->container_reader));
    w->m1 = w->container_reader.header.m1;
    bool end;
    do {
        status = isb__check_cancel(w->ctx);
        if (status == ISB_OK)
            status = isb__container_read_chunk(&w->container_reader, &chunk, &end);
    } while (status == ISB_OK && !end);
    isb__free(w->ctx, chunk.packed);
    return status;
}

isb_status isb_container_info(isb_context *ctx, const char *path, isb_compress_result *info) {
    if (!ctx || !path || !info) return ISB_ERR_ARGUMENT;
    work w = {.ctx = ctx};
    const isb_status status = name_file(ctx, walk_container(&w, path), path);
    const isb__container_reader *c = &w.container_reader;
    if (status == ISB_OK) fill_result(&w, c->raw_nbytes, c->position, c->n_chunks, info);
    work_free(&w);
    return status;
}
