/* Linux tells in files: /proc/meminfo, and for control groups (containers, batch systems) the limit
 * and use of the group and of each group above it.
 *
 *     version 2   /proc/self/cgroup "0::/a/b"         /sys/fs/cgroup/a/b/memory.max, .current
 *     version 1   /proc/self/cgroup "4:memory:/a/b"   /sys/fs/cgroup/memory/a/b/memory.limit_in_bytes
 *
 * In a container the path may be one that is only there outside; the mounted root is tried too. */
#include "base/available.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { PATH_NBYTES = 4096, LINE_NBYTES = 4096 };

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t rest(uint64_t limit, uint64_t used) { return limit > used ? limit - used : 0; }

/* A file's first number; false if there is none ("max", no file). */
static int read_number(const char *path, uint64_t *number) {
    char text[64];
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    const char *line = fgets(text, sizeof text, file);
    fclose(file);
    if (!line || *line < '0' || *line > '9') return 0;
    *number = strtoull(line, NULL, 10);
    return 1;
}

/* "NAME:  1234 kB" in a file such as /proc/meminfo. */
static int read_field(const char *root, const char *file_name, const char *name, uint64_t *nbytes) {
    char path[PATH_NBYTES], line[LINE_NBYTES];
    const size_t length = strlen(name);
    int found = 0;
    snprintf(path, sizeof path, "%s%s", root, file_name);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        found = strncmp(line, name, length) == 0 && line[length] == ':';
        if (found) *nbytes = strtoull(line + length + 1, NULL, 10) * 1024;
    }
    if (file) fclose(file);
    return found;
}

typedef struct group_files {
    const char *mount, *limit, *used;
} group_files;

static uint64_t left_in(const char *root, const group_files *files, const char *group) {
    char path[PATH_NBYTES];
    uint64_t limit, used = 0;
    snprintf(path, sizeof path, "%s%s%s%s", root, files->mount, group, files->limit);
    if (!read_number(path, &limit)) return UINT64_MAX;
    snprintf(path, sizeof path, "%s%s%s%s", root, files->mount, group, files->used);
    (void)read_number(path, &used);
    return rest(limit, used);
}

/* The group and all above it. */
static uint64_t left_in_groups(const char *root, const group_files *files, char *group) {
    uint64_t left = UINT64_MAX;
    if (strcmp(group, "/") == 0) *group = '\0';
    for (;;) {
        left = least(left, left_in(root, files, group));
        char *slash = strrchr(group, '/');
        if (!slash) return left;
        *slash = '\0';
    }
}

static uint64_t left_by_groups(const char *root) {
    static const group_files version1 = {"/sys/fs/cgroup/memory", "/memory.limit_in_bytes",
                                         "/memory.usage_in_bytes"},
                             version2 = {"/sys/fs/cgroup", "/memory.max", "/memory.current"};
    char path[PATH_NBYTES], line[LINE_NBYTES];
    uint64_t left = UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        if (strcmp(controllers, ":") == 0) left = least(left, left_in_groups(root, &version2, group));
        if (strstr(controllers, "memory")) left = least(left, left_in_groups(root, &version1, group));
    }
    if (file) fclose(file);
    return left;
}

uint64_t isb__memory_available_below(const char *root) {
    uint64_t left = UINT64_MAX, used = 0;
    struct rlimit space;
    if (!read_field(root, "/proc/meminfo", "MemAvailable", &left)) left = UINT64_MAX;
    left = least(left, left_by_groups(root));
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
        (void)read_field(root, "/proc/self/status", "VmSize", &used);
        left = least(left, rest(space.rlim_cur, used));
    }
    return left;
}

uint64_t isb__memory_available(void) { return isb__memory_available_below(""); }
