/* Folders: made, listed, removed, and replaced as a whole.
 *
 * A folder cannot be renamed over a full one, so replacing takes two renames:
 *
 *     PATH -> PATH.old      NEW -> PATH      sync      remove PATH.old
 *
 * A crash between the two leaves PATH.old alone; isb__dir_recover() sees that PATH is missing and
 * puts it back. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"

static isb_status create_one(isb_context *ctx, const char *path) {
    if (mkdir(path, 0777) == 0 || isb__path_is_dir(path)) return ISB_OK;
    if (errno == EEXIST) {
        return isb__fail(ctx, ISB_ERR_EXISTS,
                         "%s is a file where a folder was expected; move it away", path);
    }
    return isb__fail_errno(ctx, errno, "cannot create the folder", path);
}

isb_status isb__dir_create(isb_context *ctx, const char *path) {
    if (*path == '\0') return isb__fail(ctx, ISB_ERR_ARGUMENT, "the name of a folder is empty");
    char *part = NULL;
    ISB_TRY(isb__strdup(ctx, path, &part));
    isb_status status = ISB_OK;
    for (char *slash = strchr(part + 1, '/'); slash && status == ISB_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        status = create_one(ctx, part);
        *slash = '/';
    }
    if (status == ISB_OK) status = create_one(ctx, part);
    isb__free(ctx, part);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static isb_status read_names(isb_context *ctx, DIR *dir, const char *path, char ***names,
                             size_t *count) {
    size_t capacity = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno != 0) return isb__fail_errno(ctx, errno, "cannot list", path);
        if (!entry) return ISB_OK;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        ISB_TRY(isb__grow_array(ctx, *count + 1, sizeof **names, &capacity, names));
        ISB_TRY(isb__strdup(ctx, entry->d_name, &(*names)[*count]));
        ++*count;
    }
}

isb_status isb__dir_list(isb_context *ctx, const char *path, char ***names, size_t *count) {
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(path);
    if (!dir) return isb__fail_errno(ctx, errno, "cannot list", path);
    const isb_status status = read_names(ctx, dir, path, names, count);
    closedir(dir);
    if (status != ISB_OK) {
        isb__names_free(ctx, *names, *count);
        *names = NULL;
        *count = 0;
    } else if (*count > 0) {
        qsort(*names, *count, sizeof **names, compare_names);
    }
    return status;
}

void isb__names_free(isb_context *ctx, char **names, size_t count) {
    for (size_t i = 0; i < count; ++i) isb__free(ctx, names[i]);
    isb__free(ctx, names);
}

typedef isb_status (*entry_fn)(isb_context *ctx, const char *path);

/* Calls fn on every entry of the folder, by full path, in order of name. */
static isb_status for_each_entry(isb_context *ctx, const char *dir, entry_fn fn) {
    char **names = NULL;
    size_t count = 0;
    ISB_TRY(isb__dir_list(ctx, dir, &names, &count));
    isb_status status = ISB_OK;
    for (size_t i = 0; i < count && status == ISB_OK; ++i) {
        char *path = NULL;
        status = isb__path_join(ctx, dir, names[i], &path);
        if (status == ISB_OK) status = fn(ctx, path);
        isb__free(ctx, path);
    }
    isb__names_free(ctx, names, count);
    return status;
}

/* Links are removed, not followed. */
isb_status isb__dir_remove(isb_context *ctx, const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? ISB_OK : isb__fail_errno(ctx, errno, "cannot examine", path);
    const bool is_dir = S_ISDIR(info.st_mode);
    if (is_dir) ISB_TRY(for_each_entry(ctx, path, isb__dir_remove));
    if ((is_dir ? rmdir(path) : unlink(path)) != 0)
        return isb__fail_errno(ctx, errno, "cannot remove", path);
    return ISB_OK;
}

static isb_status sync_tree(isb_context *ctx, const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) return isb__fail_errno(ctx, errno, "cannot examine", path);
    if (S_ISDIR(info.st_mode)) ISB_TRY(for_each_entry(ctx, path, sync_tree));
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) return ISB_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return isb__fail_errno(ctx, errno, "cannot open", path);
    /* EINVAL: this file system needs no sync */
    const bool synced = fsync(fd) == 0 || errno == EINVAL;
    const isb_status status = synced ? ISB_OK : isb__fail_errno(ctx, errno, "cannot sync", path);
    close(fd);
    return status;
}

static isb_status rename_dir(isb_context *ctx, const char *from, const char *to) {
    return rename(from, to) == 0 ? ISB_OK
                                 : isb__fail_errno(ctx, errno, "cannot rename a folder to", to);
}

/* PATH.old is touched only while PATH is whole, or after PATH became whole. */
static isb_status replace(isb_context *ctx, const char *temporary, const char *path,
                          const char *old) {
    if (isb__path_exists(path)) {
        ISB_TRY(isb__dir_remove(ctx, old));
        ISB_TRY(rename_dir(ctx, path, old));
    }
    const isb_status status = rename_dir(ctx, temporary, path);
    if (status != ISB_OK) {
        (void)rename(old, path); /* best effort; recovery does the same */
        return status;
    }
    ISB_TRY(isb__path_sync_parent(ctx, path));
    return isb__dir_remove(ctx, old);
}

isb_status isb__dir_commit(isb_context *ctx, const char *temporary, const char *path) {
    if (isb__path_exists(path) && !isb__path_is_dir(path)) {
        return isb__fail(ctx, ISB_ERR_EXISTS,
                         "%s is a file where a folder was expected; move it away", path);
    }
    ISB_TRY(sync_tree(ctx, temporary));
    char *old = NULL;
    ISB_TRY(isb__path_append(ctx, path, ".old", &old));
    const isb_status status = replace(ctx, temporary, path, old);
    isb__free(ctx, old);
    return status;
}

isb_status isb__dir_recover(isb_context *ctx, const char *path) {
    char *old = NULL;
    ISB_TRY(isb__path_append(ctx, path, ".old", &old));
    isb_status status = ISB_OK;
    if (isb__path_is_dir(old)) {
        status = isb__path_exists(path) ? isb__dir_remove(ctx, old) : rename_dir(ctx, old, path);
    }
    isb__free(ctx, old);
    return status;
}
