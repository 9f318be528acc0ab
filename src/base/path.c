/* Paths as text, and whole files into memory. */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

/* Length without trailing slashes; "/" stays. */
static size_t trimmed_length(const char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') --length;
    return length;
}

isb_status isb__path_append(isb_context *ctx, const char *path, const char *suffix, char **result) {
    const size_t length = trimmed_length(path), suffix_length = strlen(suffix);
    ISB_TRY(isb__alloc(ctx, length + suffix_length + 1, result));
    memcpy(*result, path, length);
    memcpy(*result + length, suffix, suffix_length);
    return ISB_OK;
}

isb_status isb__path_temporary(isb_context *ctx, const char *path, char **result) {
    char suffix[32];
    snprintf(suffix, sizeof suffix, ".tmp.%ld", (long)getpid());
    return isb__path_append(ctx, path, suffix, result);
}

isb_status isb__path_join(isb_context *ctx, const char *dir, const char *name, char **path) {
    const size_t dir_length = trimmed_length(dir), name_length = strlen(name);
    const bool needs_slash = dir_length > 0 && dir[dir_length - 1] != '/';
    ISB_TRY(isb__alloc(ctx, dir_length + needs_slash + name_length + 1, path));
    memcpy(*path, dir, dir_length);
    if (needs_slash) (*path)[dir_length] = '/';
    memcpy(*path + dir_length + needs_slash, name, name_length);
    return ISB_OK;
}

bool isb__path_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool isb__path_is_dir(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Called after a rename, when it is too late to fail for want of memory: the path is cut on the stack. */
isb_status isb__path_sync_parent(isb_context *ctx, const char *path) {
    size_t length = trimmed_length(path);
    while (length > 0 && path[length - 1] != '/') --length;
    char parent[PATH_MAX];
    if (length >= sizeof parent) {
        return isb__fail_errno(ctx, ENAMETOOLONG, "cannot sync the folder of", path);
    }
    snprintf(parent, sizeof parent, "%.*s", length > 0 ? (int)length : 1, length > 0 ? path : ".");
    const int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* EINVAL: a file system whose folders cannot be synced, and need not be. */
    const bool synced = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);
    const isb_status status =
        synced ? ISB_OK : isb__fail_errno(ctx, errno, "cannot sync the folder", parent);
    if (fd >= 0) close(fd);
    return status;
}
