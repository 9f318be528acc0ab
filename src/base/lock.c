/* One process at a time in a folder: flock() on DIR/.lock, which holds the owner's pid.  The kernel
 * lets go of the lock when the process ends, however it ends; the file stays. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/io.h"

struct isb__lock {
    isb_context *ctx;
    int fd;
};

static isb_status fail_busy(isb_context *ctx, int fd, const char *dir) {
    char owner[32] = "";
    const ssize_t n = read(fd, owner, sizeof owner - 1);
    owner[n > 0 ? strcspn(owner, "\n") : 0] = '\0';
    return isb__fail(ctx, ISB_ERR_BUSY,
                     "%s is in use by process %s: wait for it to end, or choose another folder", dir,
                     *owner ? owner : "(unknown)");
}

/* File systems without locks (some network ones) are no reason not to work. */
static isb_status take(isb_context *ctx, int fd, const char *dir) {
    char owner[32];
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return fail_busy(ctx, fd, dir);
        isb__log(ctx, ISB_LOG_DEBUG, "%s cannot be locked: %s", dir, strerror(errno));
        return ISB_OK;
    }
    const int length = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    /* the pid is for people: without it (a full disk) the lock holds all the same */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, owner, (size_t)length, 0) != length)
        isb__log(ctx, ISB_LOG_DEBUG, "cannot write the pid into %s/.lock", dir);
    return ISB_OK;
}

isb_status isb__lock_open(isb_context *ctx, const char *dir, isb__lock **lock) {
    isb__lock *l = NULL;
    char *path = NULL;
    isb_status status = ISB_OK;
    *lock = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *l, &l));
    *l = (isb__lock){ctx, -1};
    ISB_TRY_GOTO(isb__path_join(ctx, dir, ".lock", &path));
    l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (l->fd < 0) ISB_TRY_GOTO(isb__fail_errno(ctx, errno, "cannot open the lock", path));
    ISB_TRY_GOTO(take(ctx, l->fd, dir));
    isb__free(ctx, path);
    *lock = l;
    return ISB_OK;
fail:
    isb__free(ctx, path);
    isb__lock_close(l);
    return status;
}

void isb__lock_close(isb__lock *l) {
    if (!l) return;
    if (l->fd >= 0) close(l->fd);
    isb__free(l->ctx, l);
}
