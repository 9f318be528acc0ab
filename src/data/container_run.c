/* The frame around compression and decompression. */
#include "data/container_run.h"

#include <string.h>
#include <sys/stat.h>

enum { DEFAULT_LIMIT_MIB = 1024 };

isb_status isb__container_run_options(isb__container_run *run,
                                      const isb_compress_options *options) {
    isb_compress_options_init(&run->options);
    if (options && options->struct_size != sizeof *options) {
        return isb__fail(run->ctx, ISB_ERR_ARGUMENT,
                         "options were not set by isb_compress_options_init()");
    }
    if (options) run->options = *options;
    run->memory.limit_nbytes = run->options.memory_limit_nbytes > 0
                                   ? run->options.memory_limit_nbytes
                                   : (uint64_t)DEFAULT_LIMIT_MIB << 20;
    run->memory.wanted_streams = run->options.n_streams;
    return ISB_OK;
}

isb_status isb__container_run_may_write(isb__container_run *run, const char *out_path) {
    struct stat info;
    if (run->options.force || strcmp(out_path, "-") == 0 || stat(out_path, &info) != 0 ||
        !S_ISREG(info.st_mode)) {
        return ISB_OK;
    }
    return isb__fail(run->ctx, ISB_ERR_EXISTS, "%s exists already; force replaces it", out_path);
}

void isb__container_run_begin(isb__container_run *run, const char *task, double total) {
    isb__progress_begin(&run->progress, run->ctx, task, "byte", total);
    run->start_s = isb__now_s();
}

void isb__container_run_report(void *user, double done) {
    isb__container_run *run = user;
    isb__progress_update(&run->progress, (double)run->raw_done + done, "");
}

isb_status isb__container_run_read(isb__container_run *run, void *data, size_t nbytes,
                                   size_t *got) {
    uint8_t *bytes = data;
    for (*got = 0; *got < nbytes;) {
        size_t more = 0;
        ISB_TRY(isb__reader_read(run->reader, bytes + *got, nbytes - *got, &more));
        if (more == 0) break;
        *got += more;
    }
    return ISB_OK;
}

isb_status isb__container_run_codec(isb__container_run *run, uint64_t n_chunks) {
    size_t n_streams;
    if (run->codec && n_chunks <= run->codec_chunks) return ISB_OK;
    isb__container_run_drop_codec(run);
    ISB_TRY(isb__chunk_memory_streams(run->ctx, &run->memory, &run->m1, n_chunks, &n_streams));
    const double before_s = isb__now_s();
    ISB_TRY(isb__m1_find_codec(run->ctx, &run->m1, n_streams, &run->codec));
    run->start_s += isb__now_s() - before_s;
    run->codec_chunks = n_chunks;
    return ISB_OK;
}

void isb__container_run_drop_codec(isb__container_run *run) {
    isb__codec_free(run->codec);
    run->codec = NULL;
}

void isb__container_run_drop_m1(isb__container_run *run) {
    isb__container_run_drop_codec(run);
    isb__found_m1_free(&run->m1);
}

isb_status isb__container_run_commit(isb__container_run *run) {
    isb__writer *writer = run->writer;
    run->writer = NULL;
    isb__progress_end(&run->progress, (double)run->raw_done, "");
    if (writer) ISB_TRY(isb__writer_commit(writer));
    run->result.seconds = isb__now_s() - run->start_s;
    return ISB_OK;
}

void isb__container_run_free(isb__container_run *run) {
    isb__container_run_drop_m1(run);
    if (run->reader) isb__reader_close(run->reader);
    isb__writer_abort(run->writer);
}

void isb__container_add_layout(const isb__container_layout *layout, isb_compress_result *result) {
    if (result->n_frames++ == 0) result->chunk_nbytes = layout->chunk_nbytes;
    result->raw_nbytes += layout->raw_nbytes;
    result->n_chunks += layout->n_chunks;
    result->n_stored += layout->n_of[ISB__CONTAINER_STORED];
    result->n_fill += layout->n_of[ISB__CONTAINER_FILL];
    result->n_zstd += layout->n_of[ISB__CONTAINER_ZSTD];
    result->n_ac += layout->n_of[ISB__CONTAINER_AC];
    result->m1_nbytes += layout->m1_nbytes;
}

isb_status isb__container_name_file(isb_context *ctx, isb_status status, const char *path) {
    const bool about_the_file = status == ISB_ERR_FORMAT || status == ISB_ERR_VERSION ||
                                status == ISB_ERR_CORRUPT || status == ISB_ERR_MISMATCH ||
                                status == ISB_ERR_NOT_FOUND || status == ISB_ERR_NO_MEMORY;
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    if (!about_the_file || strstr(ctx->error, name)) return status;
    char text[ISB__ERROR_NBYTES];
    memcpy(text, ctx->error, sizeof text);
    return isb__fail(ctx, status, "%s: %s", name, text);
}
