/* Whole files in: read into memory, or mapped. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

/* Reads to the end.  One byte of the buffer is kept for the final NUL. */
static isb_status read_rest(isb_context *ctx, isb__reader *reader, const char *path,
                            size_t limit_nbytes, uint8_t **data, size_t *nbytes) {
    uint64_t position, file_nbytes;
    isb__reader_position(reader, &position, &file_nbytes);
    size_t capacity = 0, used = 0, got = 0;
    do {
        used += got;
        if (used > limit_nbytes || file_nbytes > limit_nbytes) {
            return isb__fail(ctx, ISB_ERR_RANGE, "%s is larger than the %zu bytes expected at most",
                             path, limit_nbytes);
        }
        /* + 2: room to see the end, and the NUL */
        const size_t wanted = used == 0 ? (size_t)file_nbytes + 2 : used + 2;
        ISB_TRY(isb__grow_array(ctx, wanted, 1, &capacity, data));
        ISB_TRY(isb__reader_read(reader, *data + used, capacity - 1 - used, &got));
    } while (got > 0);
    (*data)[used] = 0;
    *nbytes = used;
    return ISB_OK;
}

isb_status isb__file_read(isb_context *ctx, const char *path, size_t limit_nbytes, uint8_t **data,
                          size_t *nbytes) {
    *data = NULL;
    *nbytes = 0;
    isb__reader *reader = NULL;
    ISB_TRY(isb__reader_open(ctx, path, false, &reader));
    const isb_status status = read_rest(ctx, reader, path, limit_nbytes, data, nbytes);
    isb__reader_close(reader);
    if (status != ISB_OK) {
        isb__free(ctx, *data);
        *data = NULL;
    }
    return status;
}

static isb_status map_fd(isb_context *ctx, int fd, const char *path, isb__map *map) {
    struct stat info;
    if (fstat(fd, &info) != 0) return isb__fail_errno(ctx, errno, "cannot examine", path);
    if (S_ISDIR(info.st_mode)) {
        return isb__fail(ctx, ISB_ERR_IS_DIRECTORY, "%s is a folder where a file was expected",
                         path);
    }
    if (!S_ISREG(info.st_mode)) {
        return isb__fail(ctx, ISB_ERR_UNSUPPORTED, "%s is not a regular file and cannot be mapped",
                         path);
    }
    if (info.st_size == 0) { /* mmap refuses empty maps */
        *map = (isb__map){.data = (const uint8_t *)""};
        return ISB_OK;
    }
    void *memory = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return isb__fail_errno(ctx, errno, "cannot map", path);
    *map = (isb__map){.data = memory, .nbytes = (size_t)info.st_size, .handle = memory};
    return ISB_OK;
}

isb_status isb__map_open(isb_context *ctx, const char *path, isb__map *map) {
    *map = (isb__map){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return isb__fail_errno(ctx, errno, "cannot open", path);
    const isb_status status = map_fd(ctx, fd, path, map);
    close(fd);
    return status;
}

void isb__map_close(isb__map *map) {
    if (map->handle) munmap(map->handle, map->nbytes);
    *map = (isb__map){0};
}
