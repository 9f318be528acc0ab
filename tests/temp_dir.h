/* A folder of its own for each test, removed at the end, and files made and seen without the code
 * under test. */
#ifndef ISB_TESTS_TEMP_DIR_H
#define ISB_TESTS_TEMP_DIR_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char temp_dir_path[512];

static inline const char *temp_dir_begin(void) {
    const char *base = getenv("TMPDIR");
    snprintf(temp_dir_path, sizeof temp_dir_path, "%s/isobit-test-XXXXXX",
             base && *base ? base : "/tmp");
    if (!mkdtemp(temp_dir_path)) {
        perror(temp_dir_path);
        exit(1);
    }
    return temp_dir_path;
}

static inline int temp_dir_remove_one(const char *path, const struct stat *info, int kind,
                                      struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}
static inline void temp_dir_end(void) {
    nftw(temp_dir_path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "name" inside the folder; the four newest results stay valid. */
static inline const char *temp_path(const char *name) {
    static char paths[4][1024];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", temp_dir_path, name);
    return path;
}

static inline void temp_write(const char *path, const void *data, size_t nbytes) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, nbytes, file) != nbytes || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

/* Compares a file with what it should hold. */
static inline int temp_holds(const char *path, const void *data, size_t nbytes) {
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    char *found = malloc(nbytes + 1);
    const size_t got = fread(found, 1, nbytes + 1, file);
    const int same = got == nbytes && memcmp(found, data, nbytes) == 0;
    free(found);
    fclose(file);
    return same;
}

static inline int temp_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

/* Entries in a folder, without "." and "..". */
static inline int temp_count(const char *path) {
    DIR *dir = opendir(path);
    int n = -2;
    while (dir && readdir(dir)) ++n;
    if (dir) closedir(dir);
    return n;
}

#endif
