/* Names to files.  A folder stands for every regular file below it, in bytewise order of their
 * paths.  Names that begin with a dot are skipped there, and so are links to folders, so that no
 * walk goes round in circles; links to files count. */
#include "data/paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"

/* Takes path, also on failure. */
static isb_status append(isb__file_list *list, char *path) {
    const isb_status status = isb__grow_array(list->ctx, list->count + 1, sizeof *list->paths,
                                              &list->capacity, &list->paths);
    if (status != ISB_OK) {
        isb__free(list->ctx, path);
        return status;
    }
    list->paths[list->count++] = path;
    return ISB_OK;
}

static void count_size(isb__file_list *list, const struct stat *info) {
    if (S_ISREG(info->st_mode)) {
        list->total_nbytes += (uint64_t)info->st_size;
    } else {
        list->sizes_known = false;
    }
}

/* Takes path.  What vanishes while we walk, or is neither file nor folder, is passed over. */
static isb_status visit(isb__file_list *list, isb__file_list *folders, char *path) {
    struct stat info, target;
    const bool is_there = lstat(path, &info) == 0 && stat(path, &target) == 0;
    if (is_there && S_ISDIR(info.st_mode)) return append(folders, path);
    if (is_there && S_ISREG(target.st_mode)) {
        count_size(list, &target);
        return append(list, path);
    }
    isb__free(list->ctx, path);
    return ISB_OK;
}

static isb_status visit_all(isb__file_list *list, isb__file_list *folders, const char *folder) {
    char **names = NULL;
    size_t n_names = 0;
    ISB_TRY(isb__dir_list(list->ctx, folder, &names, &n_names));
    isb_status status = isb__check_cancel(list->ctx);
    for (size_t i = 0; i < n_names && status == ISB_OK; ++i) {
        char *path = NULL;
        if (names[i][0] == '.') continue;
        status = isb__path_join(list->ctx, folder, names[i], &path);
        if (status == ISB_OK) status = visit(list, folders, path);
    }
    isb__names_free(list->ctx, names, n_names);
    return status;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static isb_status add_folder(isb__file_list *list, const char *root) {
    const size_t first = list->count;
    isb__file_list folders = {.ctx = list->ctx};
    char *copy = NULL;
    isb_status status = isb__strdup(list->ctx, root, &copy);
    if (status == ISB_OK) status = append(&folders, copy);
    while (status == ISB_OK && folders.count > 0) {
        char *folder = folders.paths[--folders.count];
        status = visit_all(list, &folders, folder);
        isb__free(list->ctx, folder);
    }
    isb__file_list_free(&folders);
    ISB_TRY(status);
    if (list->count == first) {
        return isb__fail(list->ctx, ISB_ERR_EMPTY,
                         "the folder %s holds no files (names that begin with a dot are skipped)",
                         root);
    }
    qsort(list->paths + first, list->count - first, sizeof *list->paths, compare_paths);
    return ISB_OK;
}

static isb_status add_name(isb__file_list *list, const char *name) {
    struct stat info = {0};
    const bool is_stdin = strcmp(name, "-") == 0;
    if (!is_stdin && stat(name, &info) != 0)
        return isb__fail_errno(list->ctx, errno, "cannot open", name);
    if (S_ISDIR(info.st_mode)) return add_folder(list, name);
    char *copy = NULL;
    count_size(list, &info);
    ISB_TRY(isb__strdup(list->ctx, name, &copy));
    return append(list, copy);
}

isb_status isb__file_list_make(isb_context *ctx, const char *const *names, size_t n_names,
                               isb__file_list *list) {
    *list = (isb__file_list){.ctx = ctx, .sizes_known = true};
    if (n_names == 0)
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "no input: name a file, a folder or - for standard input");
    isb_status status = ISB_OK;
    for (size_t i = 0; i < n_names && status == ISB_OK; ++i) status = add_name(list, names[i]);
    if (status != ISB_OK) isb__file_list_free(list);
    return status;
}

void isb__file_list_free(isb__file_list *list) {
    for (size_t i = 0; i < list->count; ++i) isb__free(list->ctx, list->paths[i]);
    if (list->ctx) isb__free(list->ctx, list->paths);
    list->paths = NULL;
    list->count = list->capacity = 0;
}
