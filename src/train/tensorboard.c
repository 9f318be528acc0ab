/* Event files: TFRecord frames around protobuf messages of type tensorflow.Event.
 *
 *   record:  u64 length | u32 masked crc32c(length) | message | u32 masked crc32c(message)
 *   masked(crc) = rotate_right(crc, 15) + 0xa282ead8
 *
 *   Event    1 wall_time double, 2 step int64, 3 file_version string, 5 summary message,
 *            7 session_log message
 *   Summary  1 value message, repeated: Value { 1 tag string, 2 simple_value float }
 *
 * A protobuf field is a key (number << 3 | wire type), then the value: wire type 0 is a varint,
 * 1 eight bytes, 2 a length and bytes, 5 four bytes.  Sources:
 * tensorflow/core/lib/io/record_writer.h, core/util/event.proto and
 * core/framework/summary.proto. */
#include "train/tensorboard.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
enum { HEADER_NBYTES = 12, FOOTER_NBYTES = 4, VARINT_NBYTES = 10 };

static const char file_version[] = "brain.Event:2";

struct isb__tensorboard {
    isb_context *ctx;
    isb__appender *file;
    uint8_t *record;
    size_t capacity;
};

static uint8_t *put_varint(uint8_t *p, uint64_t x) {
    for (; x >= 0x80; x >>= 7) *p++ = (uint8_t)(x | 0x80);
    *p++ = (uint8_t)x;
    return p;
}

static uint8_t *put_key(uint8_t *p, unsigned field, unsigned wire_type) {
    return put_varint(p, field << 3 | wire_type);
}

static uint8_t *put_le(uint8_t *p, uint64_t x, int nbytes) {
    for (int i = 0; i < nbytes; ++i) *p++ = (uint8_t)(x >> (8 * i));
    return p;
}

static uint8_t *put_bytes(uint8_t *p, unsigned field, const void *data, size_t nbytes) {
    p = put_varint(put_key(p, field, BYTES), nbytes);
    memcpy(p, data, nbytes);
    return p + nbytes;
}

static size_t varint_nbytes(uint64_t x) {
    size_t n = 1;
    while (x >>= 7) ++n;
    return n;
}

static size_t value_nbytes(const isb__metric *metric) {
    const size_t tag = strlen(metric->name);
    return 1 + varint_nbytes(tag) + tag + 5;
}

static uint8_t *put_value(uint8_t *p, const isb__metric *metric) {
    const float value = (float)metric->value;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    p = put_varint(put_key(p, 1, BYTES), value_nbytes(metric));
    p = put_bytes(p, 1, metric->name, strlen(metric->name));
    return put_le(put_key(p, 2, FIXED32), bits, 4);
}

static uint8_t *put_event_start(uint8_t *p, double wall_time, int64_t step) {
    uint64_t bits;
    memcpy(&bits, &wall_time, sizeof bits);
    p = put_le(put_key(p, 1, FIXED64), bits, 8);
    return step == 0 ? p : put_varint(put_key(p, 2, VARINT), (uint64_t)step);
}

static uint32_t masked_crc(const void *data, size_t nbytes) {
    const uint32_t crc = isb__crc32c(data, nbytes);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* The message lies at record + HEADER_NBYTES and ends at `end`; returns the size of the record. */
static size_t seal_record(uint8_t *record, uint8_t *end) {
    const uint8_t *message = record + HEADER_NBYTES;
    const size_t nbytes = (size_t)(end - message);
    put_le(record, nbytes, 8);
    put_le(record + 8, masked_crc(record, 8), 4);
    put_le(end, masked_crc(message, nbytes), 4);
    return HEADER_NBYTES + nbytes + FOOTER_NBYTES;
}

size_t isb__tensorboard_bound(size_t n, const isb__metric *metrics) {
    size_t nbytes = HEADER_NBYTES + FOOTER_NBYTES + 9 + 1 + VARINT_NBYTES + 1 + VARINT_NBYTES;
    for (size_t i = 0; i < n; ++i) nbytes += 1 + VARINT_NBYTES + value_nbytes(&metrics[i]);
    return nbytes;
}

size_t isb__tensorboard_encode(double wall_time, int64_t step, size_t n, const isb__metric *metrics,
                               uint8_t *out) {
    size_t summary = 0;
    for (size_t i = 0; i < n; ++i) {
        const size_t value = value_nbytes(&metrics[i]);
        if (isfinite(metrics[i].value)) summary += 1 + varint_nbytes(value) + value;
    }
    uint8_t *p = put_event_start(out + HEADER_NBYTES, wall_time, step);
    p = put_varint(put_key(p, 5, BYTES), summary);
    for (size_t i = 0; i < n; ++i) {
        if (isfinite(metrics[i].value)) p = put_value(p, &metrics[i]);
    }
    return seal_record(out, p);
}

static double wall_time_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The first event names the version; a resumed run then says SessionLog { 1 status: START }. */
static isb_status write_opening(isb__tensorboard *tb, int64_t restart_step) {
    static const uint8_t session_start[] = {1 << 3 | VARINT, 1};
    uint8_t record[96];
    uint8_t *p = put_event_start(record + HEADER_NBYTES, wall_time_s(), 0);
    p = put_bytes(p, 3, file_version, sizeof file_version - 1);
    ISB_TRY(isb__appender_add(tb->file, record, seal_record(record, p)));
    if (restart_step < 0) return ISB_OK;
    p = put_event_start(record + HEADER_NBYTES, wall_time_s(), restart_step);
    p = put_bytes(p, 7, session_start, sizeof session_start);
    return isb__appender_add(tb->file, record, seal_record(record, p));
}

isb_status isb__tensorboard_open(isb_context *ctx, const char *dir, int64_t restart_step,
                                 isb__tensorboard **tensorboard) {
    static atomic_uint opened; /* two files of one process in one second */
    char host[128] = "host", name[256], *path = NULL;
    isb__tensorboard *tb = NULL;
    *tensorboard = NULL;
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "events.out.tfevents.%010lld.%s.%ld.%u", (long long)time(NULL),
             host, (long)getpid(), atomic_fetch_add(&opened, 1u));
    ISB_TRY(isb__alloc(ctx, sizeof *tb, &tb));
    tb->ctx = ctx;
    isb_status status = isb__path_join(ctx, dir, name, &path);
    if (status == ISB_OK) status = isb__appender_open(ctx, path, true, &tb->file);
    isb__free(ctx, path);
    if (status == ISB_OK) status = write_opening(tb, restart_step);
    if (status == ISB_OK) {
        *tensorboard = tb;
    } else {
        isb__tensorboard_close(tb);
    }
    return status;
}

isb_status isb__tensorboard_write(isb__tensorboard *tb, int64_t step, size_t n,
                                  const isb__metric *metrics) {
    ISB_TRY(isb__grow_array(tb->ctx, isb__tensorboard_bound(n, metrics), 1, &tb->capacity,
                            &tb->record));
    return isb__appender_add(
        tb->file, tb->record,
        isb__tensorboard_encode(wall_time_s(), step, n, metrics, tb->record));
}

void isb__tensorboard_close(isb__tensorboard *tb) {
    if (!tb) return;
    isb__appender_close(tb->file);
    isb__free(tb->ctx, tb->record);
    isb__free(tb->ctx, tb);
}
