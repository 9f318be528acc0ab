/* Logs: files that only grow, record by record.
 *
 * A full disk may take half a record.  The rest stays in memory and is written first the next
 * time, so a file that is read while it grows has whole records but perhaps for the last. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

struct isb__appender {
    isb_context *ctx;
    char *path;
    int fd;
    char *pending; /* what is not in the file yet */
    size_t n_pending, capacity;
};

isb_status isb__appender_open(isb_context *ctx, const char *path, bool empty,
                              isb__appender **appender) {
    isb__appender *a = NULL;
    isb_status status = ISB_OK;
    *appender = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *a, &a));
    a->ctx = ctx;
    a->fd = -1;
    ISB_TRY_GOTO(isb__strdup(ctx, path, &a->path));
    a->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (empty ? O_TRUNC : 0), 0666);
    if (a->fd < 0) ISB_TRY_GOTO(isb__fail_errno(ctx, errno, "cannot append to", path));
    *appender = a;
    return ISB_OK;
fail:
    isb__appender_close(a);
    return status;
}

/* Writes what is pending, as far as it goes; returns 0 or errno. */
static int flush(isb__appender *a) {
    size_t done = 0;
    int error = 0;
    while (done < a->n_pending && error == 0) {
        const ssize_t n = write(a->fd, a->pending + done, a->n_pending - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            error = n == 0 ? ENOSPC : errno;
        }
    }
    a->n_pending -= done;
    memmove(a->pending, a->pending + done, a->n_pending);
    return error;
}

isb_status isb__appender_add(isb__appender *a, const void *record, size_t nbytes) {
    ISB_TRY(isb__grow_array(a->ctx, a->n_pending + nbytes, 1, &a->capacity, &a->pending));
    memcpy(a->pending + a->n_pending, record, nbytes);
    a->n_pending += nbytes;
    const int error = flush(a);
    return error == 0 ? ISB_OK : isb__fail_errno(a->ctx, error, "cannot append to", a->path);
}

void isb__appender_close(isb__appender *a) {
    if (!a) return;
    if (a->n_pending > 0) (void)flush(a);
    if (a->fd >= 0) close(a->fd);
    isb__free(a->ctx, a->pending);
    isb__free(a->ctx, a->path);
    isb__free(a->ctx, a);
}
