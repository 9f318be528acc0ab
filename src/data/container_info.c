/* What a .isb file says of itself: by its indexes, or where it cannot be sought by reading over
 * all payloads. */
#include <string.h>

#include "code/container_index.h"
#include "data/container_run.h"

static isb_status read_in(void *user, void *data, size_t nbytes, size_t *got) {
    return isb__container_run_read(user, data, nbytes, got);
}

static isb_status read_at(void *user, uint64_t offset, void *data, size_t nbytes) {
    const isb__container_run *run = user;
    return isb__reader_read_at(run->reader, offset, data, nbytes);
}

static void note_identity(isb__container_run *run, const isb__id128 *identity) {
    if (!*run->result.m1_identity) isb__id128_hex(identity, run->result.m1_identity);
}

/* ---- by the indexes ---- */

static isb_status look_at_frame(isb__container_run *run, isb__container_index *index, size_t i) {
    isb__id128 identity;
    ISB_TRY(isb__check_cancel(run->ctx));
    ISB_TRY(isb__container_index_load(index, i, UINT64_MAX));
    isb__container_add_layout(&index->layout, &run->result);
    if (index->layout.n_of[ISB__CONTAINER_M1] == 0) return ISB_OK;
    ISB_TRY(isb__container_index_m1(index, &identity));
    note_identity(run, &identity);
    return ISB_OK;
}

static isb_status look_at_file(isb__container_run *run, uint64_t nbytes) {
    isb__container_index index;
    isb_status status = isb__container_index_open(run->ctx, read_at, run, nbytes, &index);
    for (size_t i = 0; i < index.n_frames && status == ISB_OK; i++)
        status = look_at_frame(run, &index, i);
    isb__container_index_free(&index);
    run->result.packed_nbytes = nbytes;
    return status;
}

/* ---- as a stream ---- */

static isb_status look_at_m1(isb__container_run *run, isb__container_reader *reader,
                             const isb__container_record *record) {
    isb__id128 identity;
    ISB_TRY(isb__container_read_payload(reader, identity.bytes, sizeof identity.bytes));
    if (isb__container_check(identity.bytes, sizeof identity.bytes) != record->check) {
        return isb__container_bad_record(run->ctx, record, "its identity does not have its check");
    }
    note_identity(run, &identity);
    return ISB_OK;
}

static isb_status walk_frame(isb__container_run *run, isb__container_reader *reader) {
    isb__container_record record;
    for (bool end;;) {
        ISB_TRY(isb__check_cancel(run->ctx));
        ISB_TRY(isb__container_read_record(reader, &record, &end));
        if (end) break;
        if (record.kind == ISB__CONTAINER_M1) ISB_TRY(look_at_m1(run, reader, &record));
        ISB_TRY(isb__container_skip_payload(reader));
    }
    isb__container_add_layout(&reader->layout, &run->result);
    return ISB_OK;
}

static isb_status walk_stream(isb__container_run *run) {
    isb__container_reader reader;
    isb_status status = isb__container_read_begin(run->ctx, read_in, run, &reader);
    for (bool more = true; more && status == ISB_OK;) {
        status = walk_frame(run, &reader);
        if (status == ISB_OK) status = isb__container_next_frame(&reader, &more);
    }
    run->result.packed_nbytes = reader.position;
    isb__container_reader_free(&reader);
    return status;
}

static isb_status look(isb__container_run *run, const char *path) {
    uint64_t position, nbytes;
    ISB_TRY(isb__reader_open(run->ctx, path, false, &run->reader));
    isb__reader_position(run->reader, &position, &nbytes);
    return nbytes > 0 && strcmp(path, "-") != 0 ? look_at_file(run, nbytes) : walk_stream(run);
}

isb_status isb_container_info(isb_context *ctx, const char *path, isb_compress_result *info) {
    if (!ctx || !path || !info) return ISB_ERR_ARGUMENT;
    isb__container_run run = {.ctx = ctx};
    const isb_status status = isb__container_name_file(ctx, look(&run, path), path);
    if (status == ISB_OK) *info = run.result;
    isb__container_run_free(&run);
    return status;
}
