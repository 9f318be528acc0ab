/* Files: streams in (plain, gzip or zstd, told by their first bytes), whole files out (written to a
 * temporary name, synced, renamed), read-only maps, folders. */
#ifndef ISB_BASE_IO_H
#define ISB_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

/* ---- streams in ---- */
typedef struct isb__reader isb__reader;
/* path "-" is standard input.  Directories, missing files and unreadable files fail here with a
 * clear text.
 * decompress: see through gzip and zstd (several members or frames in a row are one stream). */
isb_status isb__reader_open(isb_context *ctx, const char *path, bool decompress,
                            isb__reader **reader);
/* Fills `data` with up to `nbytes`; *got == 0 only at the end.  CORRUPT for damaged or truncated
 * gzip/zstd. */
isb_status isb__reader_read(isb__reader *reader, void *data, size_t nbytes, size_t *got);
/* Exactly `nbytes` from a position of the file as it is, whatever was read before.  Errors:
 * CORRUPT past the end, IO for what cannot be sought. */
isb_status isb__reader_read_at(isb__reader *reader, uint64_t offset, void *data, size_t nbytes);
/* Bytes of the underlying file read so far, and its size (0 if unknown): for progress. */
void isb__reader_position(const isb__reader *reader, uint64_t *file_position,
                          uint64_t *file_nbytes);
void isb__reader_close(isb__reader *reader);

/* Whole file into memory (returns owned; a NUL is added after the last byte, not counted).
 * `limit_nbytes`: RANGE if larger. */
isb_status isb__file_read(isb_context *ctx, const char *path, size_t limit_nbytes, uint8_t **data,
                          size_t *nbytes);

/* ---- whole files out ---- */
typedef struct isb__writer isb__writer;
/* path "-" is standard output.  Otherwise nothing appears under `path` before commit. */
isb_status isb__writer_open(isb_context *ctx, const char *path, isb__writer **writer);
isb_status isb__writer_write(isb__writer *writer, const void *data, size_t nbytes);
/* Zeros that take no place in the file, if isb__writer_can_skip(); a regular file without bytes
 * after our position, with a name or (if `standard`) standard output. */
bool isb__writer_can_skip(const isb__writer *writer, bool standard);
isb_status isb__writer_skip(isb__writer *writer, uint64_t nbytes);
/* Overwrites bytes already written (for headers whose fields are known last).  Not for "-". */
isb_status isb__writer_patch(isb__writer *writer, uint64_t offset, const void *data, size_t nbytes);
uint64_t isb__writer_position(const isb__writer *writer);
/* Flush, fsync, rename, fsync the folder; frees the writer whatever happens. */
isb_status isb__writer_commit(isb__writer *writer);
/* Removes the temporary file and frees.  NULL is fine. */
void isb__writer_abort(isb__writer *writer);
/* open + write + commit */
isb_status isb__file_write(isb_context *ctx, const char *path, const void *data, size_t nbytes);

/* ---- logs ---- */
typedef struct isb__appender isb__appender;
/* empty: drop what is there. */
isb_status isb__appender_open(isb_context *ctx, const char *path, bool empty,
                              isb__appender **appender);
/* NO_SPACE, IO: what the file did not take is kept, and written first the next time. */
isb_status isb__appender_add(isb__appender *appender, const void *record, size_t nbytes);
void isb__appender_close(isb__appender *appender);

/* ---- locks ---- */
typedef struct isb__lock isb__lock;
/* For this process alone until it is closed or the process ends.  Errors: BUSY, with the pid of
 * the other. */
isb_status isb__lock_open(isb_context *ctx, const char *dir, isb__lock **lock);
void isb__lock_close(isb__lock *lock);

/* ---- maps ---- */
typedef struct isb__map {
    const uint8_t *data;
    size_t nbytes;
    void *handle;
} isb__map;
isb_status isb__map_open(isb_context *ctx, const char *path, isb__map *map);
void isb__map_close(isb__map *map);

/* ---- folders and names ---- */
/* dir + "/" + name; returns owned. */
isb_status isb__path_join(isb_context *ctx, const char *dir, const char *name, char **path);
bool isb__path_exists(const char *path);
bool isb__path_is_dir(const char *path);
/* Creates the folder and its parents; fine if it exists. */
isb_status isb__dir_create(isb_context *ctx, const char *path);
/* Syncs every file in `temporary` and the folder, then renames it to `path`, replacing an older
 * folder there so that at every moment one whole folder exists under `path` or `path`.old (which
 * isb__dir_recover() puts back). */
isb_status isb__dir_commit(isb_context *ctx, const char *temporary, const char *path);
isb_status isb__dir_recover(isb_context *ctx, const char *path);
isb_status isb__dir_remove(isb_context *ctx, const char *path);
/* Names in the folder, sorted bytewise, without "." and "..".  Returns owned: free with
 * isb__names_free(). */
isb_status isb__dir_list(isb_context *ctx, const char *path, char ***names, size_t *count);
void isb__names_free(isb_context *ctx, char **names, size_t count);

#endif
