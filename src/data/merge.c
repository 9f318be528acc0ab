/* isb_merge(): the shards of a preparation, put together again.
 *
 *     find      PREFIX.shard-*-of-N.shard in the folder: all N, and of one N only
 *     verify    each is whole, of the same preparation, and its datasets are those that it describes
 *     copy      stretches of all shards, sorted by place, document by document to PREFIX.*
 *
 * Documents go through the same writer as in isb_prepare(), so nothing about the files needs to be
 * known here to make them identical.  Ids are mapped, not loaded; memory is what the indices need:
 * 16 bytes a document of a split, as reading the result takes. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "data/dataset_meta.h"
#include "data/options.h"
#include "data/shard.h"
#include "data/tokenizer.h"

typedef struct part {
    char *prefix, *path; /* PREFIX.shard-00003-of-00016, and with .shard */
    isb__shard_file file;
    isb__dataset *dataset;  /* of the output that is being made */
    uint64_t next_document; /* in it */
} part;

typedef struct place {
    uint32_t shard;
    const isb__stretch *stretch;
} place;

typedef struct merger {
    isb_context *ctx;
    const char *prefix;
    const isb_merge_options *options;
    part *parts; /* [n_parts] */
    uint32_t n_parts;
    place *places; /* [n_places] every stretch, in order */
    size_t n_places;
    isb_dataset_info what;
    isb_codebook *codebook;  /* NULL: another tokenizer */
    isb__id_strings strings; /* with raw bytes */
    isb__outputs outputs;
    int32_t *ids; /* one document */
    size_t ids_capacity;
    isb__progress_state progress; /* in bytes read: each id twice */
    uint64_t n_bytes_read;
    isb_merge_result result;
} merger;

void isb_merge_options_init(isb_merge_options *options) {
    *options = (isb_merge_options){.struct_size = sizeof *options};
}

/* ---- find ---- */

/* N of "NAME.shard-00003-of-00016.shard"; 0: another file. */
static uint32_t count_in_name(const char *file, const char *name) {
    uint32_t index, count;
    int end = 0;
    const size_t n = strlen(name);
    if (strncmp(file, name, n) != 0) return 0;
    if (sscanf(file + n, ".shard-%5" SCNu32 "-of-%5" SCNu32 ISB__SHARD_SUFFIX "%n", &index, &count,
               &end) != 2 ||
        end == 0 || file[n + (size_t)end] != '\0')
        return 0;
    return count;
}

static isb_status choose_count(merger *m, const char *name, char *const *files, size_t n_files) {
    m->n_parts = m->options->n_shards;
    for (size_t i = 0; i < n_files && m->options->n_shards == 0; ++i) {
        const uint32_t count = count_in_name(files[i], name);
        if (count == 0 || count == m->n_parts) continue;
        if (m->n_parts != 0) {
            return isb__fail(m->ctx, ISB_ERR_MISMATCH,
                             "%s has shards of %" PRIu32 " and others of %" PRIu32
                             ": remove those of an older run, or say which number is meant",
                             m->prefix, m->n_parts, count);
        }
        m->n_parts = count;
    }
    if (m->n_parts > 0 && m->n_parts <= ISB__SHARDS_MAX) return ISB_OK;
    return isb__fail(m->ctx, ISB_ERR_NOT_FOUND,
                     "there are no shards %s.shard-00000-of-*: prepare them first", m->prefix);
}

static isb_status list_folder(merger *m) {
    const char *slash = strrchr(m->prefix, '/'), *name = slash ? slash + 1 : m->prefix;
    char *folder = NULL, **files = NULL;
    size_t n_files = 0;
    ISB_TRY(isb__strdup(m->ctx, slash ? m->prefix : ".", &folder));
    if (slash) folder[slash == m->prefix ? 1 : slash - m->prefix] = '\0';
    isb_status status = isb__dir_list(m->ctx, folder, &files, &n_files);
    if (status == ISB_OK) status = choose_count(m, name, files, n_files);
    isb__names_free(m->ctx, files, n_files);
    isb__free(m->ctx, folder);
    return status;
}

static isb_status name_parts(merger *m) {
    uint32_t n_missing = 0, first_missing = 0;
    ISB_TRY(isb__alloc_array(m->ctx, m->n_parts, sizeof *m->parts, &m->parts));
    for (uint32_t i = m->n_parts; i-- > 0;) {
        part *p = &m->parts[i];
        ISB_TRY(isb__shard_prefix(m->ctx, m->prefix, i, m->n_parts, &p->prefix));
        ISB_TRY(isb__dataset_path(m->ctx, p->prefix, ISB__SHARD_SUFFIX, &p->path));
        if (isb__path_exists(p->path)) continue;
        ++n_missing;
        first_missing = i;
    }
    if (n_missing == 0) return ISB_OK;
    return isb__fail(m->ctx, ISB_ERR_NOT_FOUND,
                     "%s is missing (%" PRIu32 " of %" PRIu32
                     " shards are): prepare it, or wait until it is finished",
                     m->parts[first_missing].path, n_missing, m->n_parts);
}

/* ---- verify ---- */

static isb_status open_dataset(merger *m, part *p, size_t output) {
    char *prefix = NULL;
    ISB_TRY(isb__outputs_prefix(m->ctx, p->prefix, m->parts[0].file.n_outputs, output, &prefix));
    const isb_status status = isb__dataset_open(m->ctx, prefix, &p->dataset);
    p->next_document = 0;
    isb__free(m->ctx, prefix);
    return status;
}

static void close_dataset(part *p) {
    isb__dataset_close(p->dataset);
    p->dataset = NULL;
}

static isb_status check_dataset(const merger *m, const part *p, size_t output) {
    const isb__dataset *d = p->dataset;
    uint64_t n = 0;
    for (size_t i = 0; i < p->file.n_stretches; ++i) n += p->file.stretches[i].n_documents[output];
    if (n == d->info.n_documents && p->file.bin_checksums[output] == d->bin_checksum)
        return isb__dataset_verify(d);
    return isb__fail(m->ctx, ISB_ERR_CORRUPT,
                     "%s does not belong to %s, which was written with a dataset of %" PRIu64
                     " documents; prepare this shard again",
                     d->prefix, p->path, n);
}

static bool same_ids(const isb_dataset_info *a, const isb_dataset_info *b) {
    return strcmp(a->tokenizer, b->tokenizer) == 0 && a->n_codes == b->n_codes &&
           strcmp(a->tokenizer_identity, b->tokenizer_identity) == 0 && a->n_ids == b->n_ids;
}

static void show(merger *m, const isb__dataset *dataset) {
    m->n_bytes_read += dataset->bin.nbytes;
    isb__progress_update(&m->progress, (double)m->n_bytes_read, "");
}

static isb_status verify_part(merger *m, part *p) {
    const part *first = &m->parts[0];
    ISB_TRY(isb__shard_file_read(m->ctx, p->path, &p->file));
    if (p->file.count != m->n_parts || p->file.index != (uint32_t)(p - first)) {
        return isb__fail(m->ctx, ISB_ERR_MISMATCH,
                         "%s holds shard %" PRIu32 " of %" PRIu32 ": it was renamed", p->path,
                         p->file.index, p->file.count);
    }
    ISB_TRY(isb__shard_file_compare(&p->file, p->path, &first->file, first->path));
    for (size_t output = 0; output < p->file.n_outputs; ++output) {
        ISB_TRY(isb__check_cancel(m->ctx));
        ISB_TRY(open_dataset(m, p, output));
        if (p == first && output == 0) m->what = p->dataset->info;
        if (!same_ids(&p->dataset->info, &m->what))
            return isb__fail(m->ctx, ISB_ERR_MISMATCH, "%s has other ids than %s",
                             p->dataset->prefix, first->prefix);
        ISB_TRY(check_dataset(m, p, output));
        m->result.n_documents += p->dataset->info.n_documents;
        m->result.n_tokens += p->dataset->info.n_tokens;
        m->result.n_bytes += p->dataset->info.n_bytes;
        show(m, p->dataset);
        close_dataset(p);
    }
    return ISB_OK;
}

static isb_status verify(merger *m) {
    for (uint32_t i = 0; i < m->n_parts; ++i) ISB_TRY(verify_part(m, &m->parts[i]));
    m->result.n_shards = m->n_parts;
    if (m->result.n_bytes == 0)
        return isb__fail(m->ctx, ISB_ERR_EMPTY, "the shards of %s have no text", m->prefix);
    m->progress.total = 2 * (double)m->n_bytes_read;
    if (m->result.n_tokens > 0)
        m->result.bytes_per_token = (double)m->result.n_bytes / (double)m->result.n_tokens;
    return ISB_OK;
}

static isb_status open_codebook(merger *m) {
    char *path = NULL;
    if (!isb__spec_is_codebook(m->what.tokenizer)) return ISB_OK;
    ISB_TRY(isb__dataset_path(m->ctx, m->parts[0].prefix, ISB__CODEBOOK_SUFFIX, &path));
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_status status = isb_codebook_open(m->ctx, path, &m->codebook);
    if (status == ISB_OK) {
        isb_codebook_get_info(m->codebook, &info);
        if (strcmp(info.identity, m->what.tokenizer_identity) != 0)
            status = isb__fail(m->ctx, ISB_ERR_MISMATCH,
                               "%s is the codebook %s, but the ids are of %s", path, info.identity,
                               m->what.tokenizer_identity);
    }
    isb__free(m->ctx, path);
    return status;
}

/* ---- copy ---- */

static int compare_places(const void *a, const void *b) {
    const isb__stretch *x = ((const place *)a)->stretch, *y = ((const place *)b)->stretch;
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    return (x->block > y->block) - (x->block < y->block);
}

static isb_status sort_stretches(merger *m) {
    size_t n = 0;
    for (uint32_t i = 0; i < m->n_parts; ++i) n += m->parts[i].file.n_stretches;
    ISB_TRY(isb__alloc_array(m->ctx, n, sizeof *m->places, &m->places));
    for (uint32_t i = 0; i < m->n_parts; ++i) {
        for (size_t k = 0; k < m->parts[i].file.n_stretches; ++k)
            m->places[m->n_places++] = (place){i, &m->parts[i].file.stretches[k]};
    }
    qsort(m->places, n, sizeof *m->places, compare_places);
    return ISB_OK;
}

/* Only the sum of a dataset's bytes is known, and only the sum is written: it goes with the first
 * document. */
static isb_status copy_document(merger *m, part *p, isb__dataset_writer *writer) {
    const isb__dataset *d = p->dataset;
    const uint64_t i = p->next_document++;
    const size_t count = (size_t)d->lengths[i];
    ISB_TRY(isb__grow_array(m->ctx, count, sizeof *m->ids, &m->ids_capacity, &m->ids));
    isb__dataset_read(d, d->starts[i], count, m->ids);
    return isb__dataset_writer_add(writer, (const uint32_t *)m->ids, count,
                                   i == 0 ? d->info.n_bytes : 0);
}

static isb_status copy_stretches(merger *m, size_t output) {
    for (size_t i = 0; i < m->n_places; ++i) {
        part *p = &m->parts[m->places[i].shard];
        ISB_TRY(isb__check_cancel(m->ctx));
        for (uint64_t n = m->places[i].stretch->n_documents[output]; n > 0; --n)
            ISB_TRY(copy_document(m, p, m->outputs.writers[output]));
        if (p->next_document == p->dataset->info.n_documents &&
            m->places[i].stretch->n_documents[output] > 0)
            show(m, p->dataset);
    }
    return ISB_OK;
}

static isb_status copy(merger *m) {
    const size_t n_outputs = m->parts[0].file.n_outputs;
    ISB_TRY(sort_stretches(m));
    const bool raw = m->what.first_byte_id > 0;
    if (raw && !m->codebook)
        return isb__fail(m->ctx, ISB_ERR_CORRUPT, "%s has raw bytes, but no codebook",
                         m->parts[0].prefix);
    if (raw) ISB_TRY(isb__id_strings_of_codebook(m->ctx, m->codebook, &m->strings));
    ISB_TRY(isb__outputs_open(m->ctx, m->prefix, n_outputs > 1, &m->what, raw ? &m->strings : NULL,
                              &m->outputs));
    for (size_t output = 0; output < n_outputs; ++output) {
        for (uint32_t i = 0; i < m->n_parts; ++i) ISB_TRY(open_dataset(m, &m->parts[i], output));
        ISB_TRY(copy_stretches(m, output));
        for (uint32_t i = 0; i < m->n_parts; ++i) close_dataset(&m->parts[i]);
    }
    return isb__outputs_commit(&m->outputs, m->prefix, m->codebook);
}

/* ---- the end ---- */

/* The description goes first: what is left is no shard any more.  The datasets are in place, so this
 * must not fail: no memory is allocated.  Longer paths cannot have been opened. */
static void remove_part(const merger *m, const part *p) {
    static const char *const sides[ISB__OUTPUTS_MAX] = {".train", ".valid", ".test"};
    char path[PATH_MAX];
    unlink(p->path);
    for (size_t i = 0; i < m->outputs.count; ++i) {
        snprintf(path, sizeof path, "%s%s", p->prefix, m->outputs.count > 1 ? sides[i] : "");
        isb__dataset_remove(path);
    }
    snprintf(path, sizeof path, "%s%s", p->prefix, ISB__CODEBOOK_SUFFIX);
    if (m->codebook) unlink(path);
}

static void merger_free(merger *m) {
    for (uint32_t i = 0; i < m->n_parts && m->parts; ++i) {
        part *p = &m->parts[i];
        isb__shard_file_close(&p->file);
        close_dataset(p);
        isb__free(m->ctx, p->prefix);
        isb__free(m->ctx, p->path);
    }
    isb__outputs_free(&m->outputs);
    isb__id_strings_free(&m->strings);
    isb_codebook_free(m->codebook);
    isb__free(m->ctx, m->parts);
    isb__free(m->ctx, m->places);
    isb__free(m->ctx, m->ids);
}

static isb_status check(isb_context *ctx, const char *prefix, const isb_merge_options *options) {
    ISB_TRY(ISB__CHECK_OPTIONS(ctx, options, "isb_merge_options"));
    if (!prefix || !*prefix)
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "no prefix: which shards are to be merged?");
    if (options->n_shards <= ISB__SHARDS_MAX) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_RANGE, "%" PRIu32 " shards; there are at most %d",
                     options->n_shards, ISB__SHARDS_MAX);
}

static isb_status merge(merger *m) {
    ISB_TRY(list_folder(m));
    ISB_TRY(name_parts(m));
    isb__progress_begin(&m->progress, m->ctx, "merge", "byte", 0);
    isb_status status = verify(m);
    if (status == ISB_OK) status = open_codebook(m);
    if (status == ISB_OK) status = copy(m);
    isb__progress_end(&m->progress, (double)m->n_bytes_read, "");
    for (uint32_t i = 0; i < m->n_parts && m->options->remove && status == ISB_OK; ++i)
        remove_part(m, &m->parts[i]);
    return status;
}

isb_status isb_merge(isb_context *ctx, const char *prefix, const isb_merge_options *options,
                     isb_merge_result *result) {
    isb_merge_options defaults;
    isb_merge_options_init(&defaults);
    if (!options) options = &defaults;
    if (result) *result = (isb_merge_result){0};
    const double start_s = isb__now_s();
    ISB_TRY(check(ctx, prefix, options));
    merger m = {.ctx = ctx, .prefix = prefix, .options = options};
    const isb_status status = merge(&m);
    m.result.seconds = isb__now_s() - start_s;
    if (result && status == ISB_OK) *result = m.result;
    merger_free(&m);
    return status;
}
