/* Who owns which documents: see shard.h. */
#include "data/shard.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/rng.h"
#include "data/options.h"

enum { BLOCK_NBYTES = 1 << 20, LARGE_PART = 4, READ_BY_ALL = -1 };

/* -1 where it is not known. */
static isb_status get_sizes(isb__shard *shard, const isb__file_list *files, int64_t *sizes) {
    for (size_t i = 0; i < files->count; ++i) {
        struct stat info = {0};
        const bool is_stdin = strcmp(files->paths[i], "-") == 0;
        if (!is_stdin && stat(files->paths[i], &info) != 0)
            return isb__fail_errno(shard->ctx, errno, "cannot open", files->paths[i]);
        sizes[i] = S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
    }
    return ISB_OK;
}

/* Machines may have the folders in different places: of a path only the last name counts. */
static void hash_input(isb__shard *shard, const char *path, int64_t size) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const uint64_t hash = isb__hash64(name, strlen(name), (uint64_t)size);
    shard->inputs_hash = isb__mix64(shard->inputs_hash, hash);
}

/* Plain text that is not cut is one document. */
static bool can_be_divided(const isb_corpus_options *options, const char *path) {
    return options->plain_document_nbytes > 0 || isb__corpus_is_jsonl(options, path);
}

/* owners[i]: READ_BY_ALL, or 0 for now; returns the bytes of the others. */
static uint64_t find_large(isb__shard *shard, const isb__file_list *files,
                           const isb_corpus_options *options, const int64_t *sizes) {
    uint64_t total = 0;
    for (size_t i = 0; i < files->count; ++i) total += sizes[i] > 0 ? (uint64_t)sizes[i] : 0;
    const uint64_t large = total / shard->count / LARGE_PART;
    uint64_t whole = 0;
    for (size_t i = 0; i < files->count; ++i) {
        const bool by_all = options->max_nbytes > 0 || sizes[i] < 0 ||
                            ((uint64_t)sizes[i] > large && can_be_divided(options, files->paths[i]));
        shard->owners[i] = by_all ? READ_BY_ALL : 0;
        if (!by_all) whole += (uint64_t)sizes[i];
    }
    return whole;
}

static void give_files(isb__shard *shard, const int64_t *sizes, uint64_t whole) {
    const uint64_t share = whole / shard->count + 1;
    uint64_t before = 0;
    for (size_t i = 0; i < shard->n_files; ++i) {
        const uint64_t size = sizes[i] > 0 ? (uint64_t)sizes[i] : 0;
        if (shard->owners[i] != READ_BY_ALL) {
            shard->owners[i] = (int32_t)(before / share);
            before += size;
        }
        const bool reads = shard->owners[i] < 0 || shard->owners[i] == (int32_t)shard->index;
        shard->n_bytes_to_read += reads ? size : 0;
    }
}

isb_status isb__shard_open(isb_context *ctx, uint32_t index, uint32_t count,
                           const isb__file_list *files, const isb_corpus_options *options,
                           isb__shard *shard) {
    int64_t *sizes = NULL;
    isb_status status = ISB_OK;
    *shard = (isb__shard){.ctx = ctx, .index = index, .count = count, .n_files = files->count};
    ISB_TRY_GOTO(isb__alloc_array(ctx, files->count, sizeof *shard->owners, &shard->owners));
    ISB_TRY_GOTO(isb__alloc_array(ctx, files->count, sizeof *sizes, &sizes));
    ISB_TRY_GOTO(get_sizes(shard, files, sizes));
    for (size_t i = 0; i < files->count; ++i) hash_input(shard, files->paths[i], sizes[i]);
    give_files(shard, sizes, find_large(shard, files, options, sizes));
fail:
    isb__free(ctx, sizes);
    return status;
}

void isb__shard_close(isb__shard *shard) {
    if (!shard->ctx) return;
    isb__free(shard->ctx, shard->owners);
    isb__free(shard->ctx, shard->stretches);
    *shard = (isb__shard){0};
}

bool isb__shard_skips_file(isb__shard *shard, size_t file) {
    const int32_t owner = shard->owners[file];
    if (owner == READ_BY_ALL || owner == (int32_t)shard->index) return false;
    shard->passed_over = true;
    return true;
}

bool isb__shard_claim(isb__shard *shard, size_t file, uint64_t offset, const uint8_t *raw,
                      size_t nbytes) {
    shard->file = file;
    shard->block = 0;
    if (shard->owners[file] != READ_BY_ALL) return true;
    shard->block = offset / BLOCK_NBYTES;
    shard->read_hash = isb__mix64(shard->read_hash, isb__hash64(raw, nbytes, offset));
    const bool ours = (shard->block + file) % shard->count == shard->index;
    shard->passed_over |= !ours;
    return ours;
}

isb_status isb__shard_give(isb__shard *shard) {
    if (shard->n_stretches == 0 || shard->passed_over) {
        ISB_TRY(isb__grow_array(shard->ctx, shard->n_stretches + 1, sizeof *shard->stretches,
                                &shard->capacity, &shard->stretches));
        shard->stretches[shard->n_stretches++] =
            (isb__stretch){.file = shard->file, .block = shard->block, .first = shard->n_given};
        shard->passed_over = false;
    }
    ++shard->n_given;
    return ISB_OK;
}
