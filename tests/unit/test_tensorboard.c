/* Event files: bytes worked out by hand, and a reader written apart from the writer (its own
 * crc, its own varints). */
#include "train/tensorboard.h"

#include <math.h>
#include <unistd.h>

#include "base/io.h"
#include "check.h"

/* Bit by bit, reflected polynomial 0x1EDC6F41. */
static uint32_t slow_crc32c(const uint8_t *data, size_t nbytes) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < nbytes; ++i) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static uint64_t little_endian(const uint8_t *p, int nbytes) {
    uint64_t x = 0;
    for (int i = nbytes; i-- > 0;) x = x << 8 | p[i];
    return x;
}

static int crc_matches(const uint8_t *data, size_t nbytes, const uint8_t *stored) {
    const uint32_t rotated = (uint32_t)little_endian(stored, 4) - 0xa282ead8u;
    return (rotated << 15 | rotated >> 17) == slow_crc32c(data, nbytes);
}

/* step 300, {"ab": 1.5}: message 09 wall(8) | 10 AC 02 | 2A 0B | 0A 09 | 0A 02 'a' 'b' | 15 00
 * 00 C0 3F */
static void test_golden(void) {
    static const uint8_t expected[] = {0x09, 0,    0,    0,    0,    0,    0,    0xF0, 0x3F,
                                       0x10, 0xAC, 0x02, 0x2A, 0x0B, 0x0A, 0x09, 0x0A, 0x02,
                                       'a',  'b',  0x15, 0,    0,    0xC0, 0x3F};
    const isb__metric metrics[] = {{"ab", 1.5}, {"nan", (double)NAN}};
    uint8_t record[256];
    const size_t n = isb__tensorboard_encode(1.0, 300, 2, metrics, record);
    CHECK_EQ(n, sizeof expected + 16);
    CHECK(n <= isb__tensorboard_bound(2, metrics));
    CHECK_EQ(little_endian(record, 8), sizeof expected);
    CHECK(memcmp(record + 12, expected, sizeof expected) == 0);
    CHECK(crc_matches(record, 8, record + 8));
    CHECK(crc_matches(record + 12, sizeof expected, record + 12 + sizeof expected));
    CHECK_EQ(slow_crc32c((const uint8_t *)"123456789", 9), 0xE3069283u);
}

typedef struct cursor {
    const uint8_t *p, *end;
} cursor;
typedef struct field {
    unsigned number, type;
    uint64_t value;
    cursor bytes;
} field;

static uint64_t varint(cursor *c) {
    uint64_t x = 0;
    for (int shift = 0; c->p < c->end; shift += 7) {
        const uint8_t byte = *c->p++;
        x |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return x;
    }
    CHECK_FATAL(!"varint ends");
    return 0;
}

static field next_field(cursor *c) {
    field f = {0};
    const uint64_t key = varint(c);
    f.number = (unsigned)(key >> 3);
    f.type = (unsigned)(key & 7);
    if (f.type == 0) {
        f.value = varint(c);
        return f;
    }
    const size_t nbytes = f.type == 1 ? 8 : f.type == 5 ? 4 : (size_t)varint(c);
    CHECK_FATAL(nbytes <= (size_t)(c->end - c->p));
    f.bytes = (cursor){c->p, c->p + nbytes};
    if (f.type != 2) f.value = little_endian(c->p, (int)nbytes);
    c->p += nbytes;
    return f;
}

typedef struct event {
    int64_t step;
    char version[32], tag[2][32];
    float value[2];
    int n_values, restarts;
} event;

static void read_value(cursor c, event *e) {
    CHECK_FATAL(e->n_values < 2);
    while (c.p < c.end) {
        const field f = next_field(&c);
        const uint32_t bits = (uint32_t)f.value;
        if (f.number == 1)
            snprintf(e->tag[e->n_values], 32, "%.*s", (int)(f.bytes.end - f.bytes.p),
                     (const char *)f.bytes.p);
        if (f.number == 2) memcpy(&e->value[e->n_values], &bits, 4);
    }
    ++e->n_values;
}

static event read_event(cursor c) {
    event e = {0};
    while (c.p < c.end) {
        field f = next_field(&c);
        if (f.number == 2) e.step = (int64_t)f.value;
        if (f.number == 3)
            snprintf(e.version, sizeof e.version, "%.*s", (int)(f.bytes.end - f.bytes.p),
                     (const char *)f.bytes.p);
        if (f.number == 7) e.restarts = (int)next_field(&f.bytes).value;
        while (f.number == 5 && f.bytes.p < f.bytes.end) read_value(next_field(&f.bytes).bytes, &e);
    }
    return e;
}

static size_t read_events(isb_context *ctx, const char *path, event *events, size_t capacity) {
    uint8_t *data;
    size_t nbytes, at = 0, n = 0;
    CHECK_OK(ctx, isb__file_read(ctx, path, 1 << 20, &data, &nbytes));
    while (at < nbytes) {
        CHECK_FATAL(nbytes - at >= 16 && n < capacity);
        const size_t length = (size_t)little_endian(data + at, 8);
        CHECK_FATAL(length <= nbytes - at - 16);
        CHECK(crc_matches(data + at, 8, data + at + 8));
        CHECK(crc_matches(data + at + 12, length, data + at + 12 + length));
        events[n++] = read_event((cursor){data + at + 12, data + at + 12 + length});
        at += length + 16;
    }
    isb__free(ctx, data);
    return n;
}

static void test_file(isb_context *ctx, int64_t restart) {
    char dir[] = "/tmp/isb-test-tensorboard-XXXXXX", path[512];
    CHECK_FATAL(mkdtemp(dir) != NULL);
    const isb__metric metrics[] = {{"loss", 2.25}, {"a/longer/tag", -1e-3}};
    isb__tensorboard *tb;
    CHECK_OK(ctx, isb__tensorboard_open(ctx, dir, restart, &tb));
    CHECK_OK(ctx, isb__tensorboard_write(tb, 1, 1, metrics));
    CHECK_OK(ctx, isb__tensorboard_write(tb, (int64_t)1 << 40, 2, metrics));
    isb__tensorboard_close(tb);

    char **names;
    size_t n_names;
    CHECK_OK(ctx, isb__dir_list(ctx, dir, &names, &n_names));
    CHECK_EQ(n_names, 1);
    CHECK(strncmp(names[0], "events.out.tfevents.", 20) == 0);
    snprintf(path, sizeof path, "%s/%s", dir, names[0]);
    event events[8];
    const size_t n = read_events(ctx, path, events, 8), first = restart < 0 ? 1 : 2;
    CHECK_FATAL(n == first + 2);
    CHECK(strcmp(events[0].version, "brain.Event:2") == 0);
    if (restart >= 0) CHECK(events[1].restarts == 1 && events[1].step == restart);
    CHECK(events[first].step == 1 && events[first].n_values == 1 &&
          events[first].value[0] == 2.25f);
    CHECK(events[first + 1].step == (int64_t)1 << 40 && events[first + 1].n_values == 2);
    CHECK(strcmp(events[first + 1].tag[1], "a/longer/tag") == 0 &&
          events[first + 1].value[1] == -1e-3f);
    isb__names_free(ctx, names, n_names);
    CHECK_OK(ctx, isb__dir_remove(ctx, dir));
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    test_golden();
    test_file(ctx, -1);
    test_file(ctx, 70);
    isb__tensorboard *none;
    CHECK_STATUS(isb__tensorboard_open(ctx, "/nonexistent/folder", -1, &none), ISB_ERR_NOT_FOUND);
    isb_context_free(ctx);
    return check_end();
}
