/* Whole files out.  The bytes go to PATH.tmp.PID in the same folder; commit makes them durable and
 * renames, so that PATH is at every moment either the old file or the whole new one:
 *
 *     write ... write   fsync(file)   rename(PATH.tmp.PID, PATH)   fsync(folder)
 *
 * (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014, on why each step is needed.)
 * Pipes and devices have no name to protect; they and standard output are written straight. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"

enum { BUFFER_NBYTES = 256 << 10 };

struct isb__writer {
    isb_context *ctx;
    char *path;      /* the final name, or a name for messages when `temporary` is NULL */
    char *temporary; /* NULL: written straight */
    int fd;
    bool created;      /* `temporary` exists and is ours */
    bool ends_in_hole; /* the last bytes were skipped: the file is not as long as it should be */
    isb_status status; /* the first failure: such a file is never committed */
    uint64_t position; /* the caller's */
    size_t n_buffered;
    uint8_t buffer[BUFFER_NBYTES];
};

static isb_status write_all(isb__writer *writer, const uint8_t *data, size_t nbytes) {
    while (nbytes > 0) {
        const ssize_t n = write(writer->fd, data, nbytes);
        if (n >= 0) {
            data += n;
            nbytes -= (size_t)n;
        } else if (errno != EINTR) {
            return isb__fail_errno(writer->ctx, errno, "cannot write", writer->path);
        } else {
            ISB_TRY(isb__check_cancel(writer->ctx));
        }
    }
    return ISB_OK;
}

static isb_status flush(isb__writer *writer) {
    if (writer->status == ISB_OK && writer->n_buffered > 0) {
        writer->status = write_all(writer, writer->buffer, writer->n_buffered);
        writer->n_buffered = 0;
    }
    return writer->status;
}

/* A temporary with our name and process id is the litter of a dead process: it is replaced, never
 * followed if it is a link.  The new file keeps the old one's permissions. */
static isb_status create_temporary(isb__writer *writer, const struct stat *old) {
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    writer->fd = open(writer->temporary, flags, 0666);
    if (writer->fd < 0 && errno == EEXIST && unlink(writer->temporary) == 0) {
        writer->fd = open(writer->temporary, flags, 0666);
    }
    if (writer->fd < 0) return isb__fail_errno(writer->ctx, errno, "cannot create", writer->path);
    writer->created = true;
    /* a nicety, and some file systems refuse it */
    if (old) (void)fchmod(writer->fd, old->st_mode & 0777);
    return ISB_OK;
}

/* The name to replace: where a link leads, so that the link stays a link. */
static isb_status resolve(isb_context *ctx, const char *path, char **resolved) {
    char *target = realpath(path, NULL);
    const isb_status status = isb__strdup(ctx, target ? target : path, resolved);
    free(target);
    return status;
}

static isb_status open_straight(isb__writer *writer, const char *path) {
    ISB_TRY(isb__strdup(writer->ctx, path, &writer->path));
    writer->fd = open(path, O_WRONLY | O_CLOEXEC);
    return writer->fd >= 0 ? ISB_OK : isb__fail_errno(writer->ctx, errno, "cannot open", path);
}

static isb_status open_output(isb__writer *writer, const char *path) {
    if (strcmp(path, "-") == 0) {
        writer->fd = STDOUT_FILENO;
        return isb__strdup(writer->ctx, "standard output", &writer->path);
    }
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    const size_t length = strlen(path);
    if ((exists && S_ISDIR(info.st_mode)) || length == 0 || path[length - 1] == '/') {
        return isb__fail(writer->ctx, ISB_ERR_IS_DIRECTORY,
                         "cannot write %s: it names a folder, not a file", path);
    }
    if (exists && !S_ISREG(info.st_mode)) return open_straight(writer, path);
    ISB_TRY(resolve(writer->ctx, path, &writer->path));
    ISB_TRY(isb__path_temporary(writer->ctx, writer->path, &writer->temporary));
    return create_temporary(writer, exists ? &info : NULL);
}

isb_status isb__writer_open(isb_context *ctx, const char *path, isb__writer **writer_out) {
    *writer_out = NULL;
    isb__writer *writer = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *writer, &writer));
    writer->ctx = ctx;
    writer->fd = -1;
    const isb_status status = open_output(writer, path);
    if (status != ISB_OK) {
        isb__writer_abort(writer);
        return status;
    }
    *writer_out = writer;
    return ISB_OK;
}

isb_status isb__writer_write(isb__writer *writer, const void *data, size_t nbytes) {
    if (nbytes > 0) writer->ends_in_hole = false;
    if (nbytes > BUFFER_NBYTES - writer->n_buffered) ISB_TRY(flush(writer));
    if (writer->status != ISB_OK) return writer->status;
    if (nbytes >= BUFFER_NBYTES) {
        ISB_TRY(writer->status = write_all(writer, data, nbytes));
    } else if (nbytes > 0) {
        memcpy(writer->buffer + writer->n_buffered, data, nbytes);
        writer->n_buffered += nbytes;
    }
    writer->position += nbytes;
    return ISB_OK;
}

/* Standard output may have been opened to append, where positions mean nothing, or stand before
 * bytes of somebody else's, which a hole would let through. */
bool isb__writer_can_skip(const isb__writer *writer, bool standard) {
    struct stat info;
    if (writer->temporary) return true;
    if (!standard || fstat(writer->fd, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    return (fcntl(writer->fd, F_GETFL) & O_APPEND) == 0 &&
           lseek(writer->fd, 0, SEEK_CUR) >= info.st_size;
}

isb_status isb__writer_skip(isb__writer *writer, uint64_t nbytes) {
    if (nbytes == 0) return writer->status;
    ISB_TRY(flush(writer));
    if (lseek(writer->fd, (off_t)nbytes, SEEK_CUR) < 0) {
        return writer->status =
                   isb__fail_errno(writer->ctx, errno, "cannot leave a hole in", writer->path);
    }
    writer->position += nbytes;
    writer->ends_in_hole = true;
    return ISB_OK;
}

/* A hole at the end is one only when the file is as long as it should be. */
static isb_status close_hole(isb__writer *writer) {
    const off_t end = writer->ends_in_hole ? lseek(writer->fd, 0, SEEK_CUR) : 0;
    if (!writer->ends_in_hole || (end >= 0 && ftruncate(writer->fd, end) == 0)) return ISB_OK;
    return isb__fail_errno(writer->ctx, errno, "cannot extend", writer->path);
}

isb_status isb__writer_patch(isb__writer *writer, uint64_t offset, const void *data,
                             size_t nbytes) {
    if (!writer->temporary) {
        return isb__fail(writer->ctx, ISB_ERR_ARGUMENT,
                         "%s cannot be rewritten; name a regular file", writer->path);
    }
    if (offset > writer->position || nbytes > writer->position - offset) {
        return isb__fail(
            writer->ctx, ISB_ERR_RANGE, "patch of %zu bytes at %llu, but %s has %llu bytes", nbytes,
            (unsigned long long)offset, writer->path, (unsigned long long)writer->position);
    }
    ISB_TRY(flush(writer));
    const uint8_t *bytes = data;
    while (nbytes > 0) {
        const ssize_t n = pwrite(writer->fd, bytes, nbytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return writer->status =
                       isb__fail_errno(writer->ctx, errno, "cannot write", writer->path);
        bytes += n;
        offset += (uint64_t)n;
        nbytes -= (size_t)n;
    }
    return ISB_OK;
}

uint64_t isb__writer_position(const isb__writer *writer) { return writer->position; }

static isb_status publish(isb__writer *writer) {
    isb_context *ctx = writer->ctx;
    ISB_TRY(flush(writer));
    ISB_TRY(close_hole(writer));
    if (!writer->temporary) return ISB_OK;
    if (fsync(writer->fd) != 0) return isb__fail_errno(ctx, errno, "cannot sync", writer->path);
    const int closed = close(writer->fd);
    writer->fd = -1;
    if (closed != 0) return isb__fail_errno(ctx, errno, "cannot close", writer->path);
    if (rename(writer->temporary, writer->path) != 0) {
        return isb__fail_errno(ctx, errno, "cannot rename the new file to", writer->path);
    }
    writer->created = false;
    return isb__path_sync_parent(ctx, writer->path);
}

isb_status isb__writer_commit(isb__writer *writer) {
    const isb_status status = publish(writer);
    isb__writer_abort(writer); /* whatever publish left */
    return status;
}

void isb__writer_abort(isb__writer *writer) {
    if (!writer) return;
    if (writer->fd > STDERR_FILENO) close(writer->fd);
    if (writer->created) unlink(writer->temporary);
    isb__free(writer->ctx, writer->temporary);
    isb__free(writer->ctx, writer->path);
    isb__free(writer->ctx, writer);
}

isb_status isb__file_write(isb_context *ctx, const char *path, const void *data, size_t nbytes) {
    isb__writer *writer = NULL;
    ISB_TRY(isb__writer_open(ctx, path, &writer));
    const isb_status status = isb__writer_write(writer, data, nbytes);
    if (status == ISB_OK) return isb__writer_commit(writer);
    isb__writer_abort(writer);
    return status;
}
