/* Streams in: one buffer of file bytes, and a decoder behind it that is chosen by the file's first
 * bytes.
 *
 * gzip (RFC 1952) and Zstandard (RFC 8878) files may be several members or frames in a row, as `cat
 * a.gz b.gz` makes them.  The end of the file is the end of the data only where a member ends;
 * anywhere else it was cut short. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/io.h"

enum { BUFFER_NBYTES = 128 << 10 };

typedef enum stream_kind { STREAM_PLAIN, STREAM_GZIP, STREAM_ZSTD } stream_kind;

struct isb__reader {
    isb_context *ctx;
    char *name; /* for messages */
    int fd;
    stream_kind kind;
    bool at_eof;       /* of the file; the buffer may still hold bytes */
    bool between;      /* members: the bytes so far make a whole stream */
    size_t start, end; /* unread bytes in the buffer */
    uint64_t file_position, file_nbytes;
    z_stream gzip;
    ZSTD_DStream *zstd;
    uint8_t buffer[BUFFER_NBYTES];
};

static isb_status read_some(isb__reader *reader, void *data, size_t nbytes, size_t *got) {
    for (;;) {
        const ssize_t n = read(reader->fd, data, nbytes);
        if (n >= 0) {
            *got = (size_t)n;
            reader->at_eof = n == 0;
            reader->file_position += (size_t)n;
            return ISB_OK;
        }
        if (errno != EINTR) return isb__fail_errno(reader->ctx, errno, "cannot read", reader->name);
        ISB_TRY(isb__check_cancel(reader->ctx));
    }
}

/* Reads until at least `wanted` unread bytes are buffered, or the file ends. */
static isb_status fill(isb__reader *reader, size_t wanted) {
    assert(wanted <= BUFFER_NBYTES);
    if (reader->end - reader->start >= wanted) return ISB_OK;
    memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
    reader->end -= reader->start;
    reader->start = 0;
    while (reader->end < wanted && !reader->at_eof) {
        size_t got = 0;
        ISB_TRY(read_some(reader, reader->buffer + reader->end, BUFFER_NBYTES - reader->end, &got));
        reader->end += got;
    }
    return ISB_OK;
}

static bool has_gzip_magic(const uint8_t *bytes, size_t nbytes) {
    return nbytes >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static bool has_zstd_magic(const uint8_t *bytes, size_t nbytes) {
    static const uint8_t frame[4] = {0x28, 0xb5, 0x2f, 0xfd}, skippable[3] = {0x2a, 0x4d, 0x18};
    if (nbytes < 4) return false;
    return memcmp(bytes, frame, 4) == 0 ||
           ((bytes[0] & 0xf0) == 0x50 && memcmp(bytes + 1, skippable, 3) == 0);
}

static void *zlib_allocate(void *ctx, uInt count, uInt size) {
    void *memory = NULL;
    return isb__alloc_array(ctx, count, size, &memory) == ISB_OK ? memory : NULL;
}

static void zlib_release(void *ctx, void *memory) { isb__free(ctx, memory); }

static isb_status start_gzip(isb__reader *reader) {
    enum { WINDOW_BITS = 15, GZIP_WRAPPER = 16 };
    reader->gzip.zalloc = zlib_allocate;
    reader->gzip.zfree = zlib_release;
    reader->gzip.opaque = reader->ctx;
    if (inflateInit2(&reader->gzip, WINDOW_BITS + GZIP_WRAPPER) != Z_OK) {
        return isb__fail(reader->ctx, ISB_ERR_NO_MEMORY, "cannot allocate the gzip decoder for %s",
                         reader->name);
    }
    reader->kind = STREAM_GZIP;
    return ISB_OK;
}

static isb_status start_zstd(isb__reader *reader) {
    reader->zstd = ZSTD_createDStream();
    if (!reader->zstd) {
        return isb__fail(reader->ctx, ISB_ERR_NO_MEMORY, "cannot allocate the zstd decoder for %s",
                         reader->name);
    }
    reader->kind = STREAM_ZSTD;
    return ISB_OK;
}

static isb_status choose_decoder(isb__reader *reader) {
    ISB_TRY(fill(reader, 4));
    const size_t nbytes = reader->end - reader->start;
    reader->between = false;
    if (has_gzip_magic(reader->buffer, nbytes)) return start_gzip(reader);
    if (has_zstd_magic(reader->buffer, nbytes)) return start_zstd(reader);
    return ISB_OK;
}

static isb_status open_file(isb__reader *reader, const char *path) {
    if (strcmp(path, "-") == 0) {
        reader->fd = STDIN_FILENO;
    } else {
        reader->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (reader->fd < 0) return isb__fail_errno(reader->ctx, errno, "cannot open", path);
    }
    struct stat info;
    if (fstat(reader->fd, &info) != 0)
        return isb__fail_errno(reader->ctx, errno, "cannot examine", reader->name);
    if (S_ISDIR(info.st_mode)) {
        return isb__fail(reader->ctx, ISB_ERR_IS_DIRECTORY,
                         "%s is a folder where a file was expected", reader->name);
    }
    if (S_ISREG(info.st_mode)) {
        reader->file_nbytes = (uint64_t)info.st_size;
        (void)posix_fadvise(reader->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* only a hint */
    }
    return ISB_OK;
}

isb_status isb__reader_open(isb_context *ctx, const char *path, bool decompress,
                            isb__reader **reader_out) {
    *reader_out = NULL;
    isb__reader *reader = NULL;
    isb_status status = ISB_OK;
    ISB_TRY(isb__alloc(ctx, sizeof *reader, &reader));
    reader->ctx = ctx;
    reader->fd = -1;
    ISB_TRY_GOTO(isb__strdup(ctx, strcmp(path, "-") == 0 ? "standard input" : path, &reader->name));
    ISB_TRY_GOTO(open_file(reader, path));
    if (decompress) ISB_TRY_GOTO(choose_decoder(reader));
    *reader_out = reader;
    return ISB_OK;
fail:
    isb__reader_close(reader);
    return status;
}

/* Large requests go past the buffer, small ones through it. */
static isb_status read_plain(isb__reader *reader, void *data, size_t nbytes, size_t *got) {
    if (reader->end == reader->start) {
        if (nbytes >= BUFFER_NBYTES) return read_some(reader, data, nbytes, got);
        ISB_TRY(fill(reader, 1));
    }
    const size_t buffered = reader->end - reader->start;
    *got = buffered < nbytes ? buffered : nbytes;
    memcpy(data, reader->buffer + reader->start, *got);
    reader->start += *got;
    return ISB_OK;
}

static isb_status truncated(isb__reader *reader, const char *kind) {
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                     "%s: %s data ends in the middle, after %llu bytes; the file was cut short",
                     reader->name, kind, (unsigned long long)reader->file_position);
}

static isb_status damaged(isb__reader *reader, const char *kind, const char *reason) {
    const uint64_t position = reader->file_position - (reader->end - reader->start);
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT, "%s: %s data is damaged near byte %llu: %s",
                     reader->name, kind, (unsigned long long)position,
                     reason ? reason : "no reason given");
}

/* After a member: another one, zeros that pad the file to a block size (tapes), or the end. */
static isb_status next_gzip_member(isb__reader *reader) {
    for (;;) {
        ISB_TRY(fill(reader, 2));
        if (reader->start == reader->end || reader->buffer[reader->start] != 0) break;
        ++reader->start;
    }
    const uint8_t *bytes = reader->buffer + reader->start;
    const size_t nbytes = reader->end - reader->start;
    if (nbytes == 0) return ISB_OK;
    if (!has_gzip_magic(bytes, nbytes))
        return damaged(reader, "gzip", "what follows a member is not gzip");
    reader->between = false;
    return inflateReset(&reader->gzip) == Z_OK ? ISB_OK : damaged(reader, "gzip", "decoder state");
}

static isb_status read_gzip(isb__reader *reader, void *data, size_t nbytes, size_t *got) {
    z_stream *gzip = &reader->gzip;
    const uInt limit = nbytes < (1u << 30) ? (uInt)nbytes : 1u << 30;
    gzip->next_out = data;
    gzip->avail_out = limit;
    while (gzip->avail_out == limit) {
        if (reader->between) {
            ISB_TRY(next_gzip_member(reader));
            if (reader->between) break;
        }
        ISB_TRY(fill(reader, 1));
        if (reader->start == reader->end) return truncated(reader, "gzip");
        gzip->next_in = reader->buffer + reader->start;
        gzip->avail_in = (uInt)(reader->end - reader->start);
        const int result = inflate(gzip, Z_NO_FLUSH);
        reader->start = reader->end - gzip->avail_in;
        if (result == Z_MEM_ERROR)
            return isb__fail(reader->ctx, ISB_ERR_NO_MEMORY, "no memory to unpack %s",
                             reader->name);
        if (result != Z_OK && result != Z_STREAM_END) return damaged(reader, "gzip", gzip->msg);
        reader->between = result == Z_STREAM_END;
    }
    *got = limit - gzip->avail_out;
    return ISB_OK;
}

static isb_status zstd_failure(isb__reader *reader, size_t code) {
    switch (ZSTD_getErrorCode(code)) {
    case ZSTD_error_memory_allocation:
        return isb__fail(reader->ctx, ISB_ERR_NO_MEMORY, "no memory to unpack %s", reader->name);
    case ZSTD_error_frameParameter_windowTooLarge:
        return isb__fail(
            reader->ctx, ISB_ERR_UNSUPPORTED,
            "%s: its zstd window is larger than 128 MiB; pack it again without --long or --ultra",
            reader->name);
    case ZSTD_error_dictionary_wrong:
        return isb__fail(reader->ctx, ISB_ERR_UNSUPPORTED, "%s: it needs a zstd dictionary",
                         reader->name);
    default: return damaged(reader, "zstd", ZSTD_getErrorName(code));
    }
}

/* ZSTD_decompressStream goes from frame to frame by itself; it returns 0 exactly where a frame ends
 * and is flushed. */
static isb_status read_zstd(isb__reader *reader, void *data, size_t nbytes, size_t *got) {
    ZSTD_outBuffer out = {data, nbytes, 0};
    while (out.pos == 0) {
        ISB_TRY(fill(reader, 1));
        const bool exhausted = reader->start == reader->end;
        if (exhausted && reader->between) break;
        ZSTD_inBuffer in = {reader->buffer, reader->end, reader->start};
        const size_t result = ZSTD_decompressStream(reader->zstd, &out, &in);
        reader->start = in.pos;
        if (ZSTD_isError(result)) return zstd_failure(reader, result);
        reader->between = result == 0;
        if (exhausted && out.pos == 0 && !reader->between) return truncated(reader, "zstd");
    }
    *got = out.pos;
    return ISB_OK;
}

isb_status isb__reader_read(isb__reader *reader, void *data, size_t nbytes, size_t *got) {
    *got = 0;
    if (nbytes == 0) return ISB_OK;
    switch (reader->kind) {
    case STREAM_GZIP: return read_gzip(reader, data, nbytes, got);
    case STREAM_ZSTD: return read_zstd(reader, data, nbytes, got);
    case STREAM_PLAIN: break;
    }
    return read_plain(reader, data, nbytes, got);
}

isb_status isb__reader_read_at(isb__reader *reader, uint64_t offset, void *data, size_t nbytes) {
    uint8_t *bytes = data;
    for (size_t done = 0; done < nbytes;) {
        const ssize_t n = pread(reader->fd, bytes + done, nbytes - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR)
            return isb__fail_errno(reader->ctx, errno, "cannot read", reader->name);
        if (n == 0) {
            return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                             "%s ends before byte %llu: it was cut short", reader->name,
                             (unsigned long long)(offset + nbytes));
        }
        if (n > 0) done += (size_t)n;
    }
    return ISB_OK;
}

void isb__reader_position(const isb__reader *reader, uint64_t *file_position,
                          uint64_t *file_nbytes) {
    *file_position = reader->file_position;
    *file_nbytes = reader->file_nbytes;
}

void isb__reader_close(isb__reader *reader) {
    if (!reader) return;
    if (reader->kind == STREAM_GZIP) inflateEnd(&reader->gzip);
    ZSTD_freeDStream(reader->zstd);
    if (reader->fd > STDIN_FILENO) close(reader->fd);
    isb__free(reader->ctx, reader->name);
    isb__free(reader->ctx, reader);
}
