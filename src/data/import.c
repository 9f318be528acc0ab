/* Reads documents of ids: see import.h. */
#include "data/import.h"

#include <inttypes.h>

#include "data/jsonl.h"
#include "data/options.h"
#include "data/paths.h"
#include "data/scan.h"
#include "data/split.h"

typedef struct importer {
    isb__import_job *job;
    isb__scan scan;
    const char *path;
    uint32_t *ids; /* of the line */
    size_t n_ids, capacity;
    uint64_t finished_nbytes; /* of the files before the present one */
    isb__progress_state progress;
} importer;

static isb_status refuse(const importer *m, const char *reason, size_t offset) {
    return isb__fail(m->job->ctx, ISB_ERR_CORRUPT, "%s:%" PRIu64 ": %s (byte %zu of the line)",
                     m->path, m->scan.line_number, reason, offset + 1);
}

static isb_status find(const importer *m, const uint8_t *line, size_t nbytes, const char *name,
                       isb__json_value *value) {
    isb__json_error error;
    if (isb__json_find(line, nbytes, name, value, &error)) return ISB_OK;
    return refuse(m, error.reason, error.offset);
}

static isb_status add_id(importer *m, uint32_t id) {
    const isb__tokenizer *t = m->job->tokenizer;
    if (id >= t->n_codes) {
        return isb__fail(m->job->ctx, ISB_ERR_CORRUPT,
                         "%s:%" PRIu64 ": id %" PRIu32 ", but \"%s\" has ids 0 .. %" PRId64
                         " and the boundary %" PRId64 "; give a larger vocab",
                         m->path, m->scan.line_number, id, t->spec, t->n_codes - 1, t->n_codes);
    }
    ISB_TRY(isb__grow_array(m->job->ctx, m->n_ids + 1, sizeof *m->ids, &m->capacity, &m->ids));
    m->ids[m->n_ids++] = id;
    return ISB_OK;
}

static isb_status read_ids(importer *m, const uint8_t *line, size_t nbytes) {
    isb__json_value array;
    isb__json_error error;
    ISB_TRY(find(m, line, nbytes, "ids", &array));
    if (!array.data || *array.data != '[') return refuse(m, "the object has no array \"ids\"", 0);
    uint32_t id;
    size_t at = 0;
    int found;
    m->n_ids = 0;
    while ((found = isb__json_next_id(&array, &at, &id, &error)) > 0) ISB_TRY(add_id(m, id));
    return found == 0 ? ISB_OK
                      : refuse(m, error.reason, (size_t)(array.data - line) + error.offset);
}

/* A whole number below 2^53; *given: there is one. */
static isb_status read_n_bytes(const importer *m, const uint8_t *line, size_t nbytes,
                               uint64_t *n_bytes, bool *given) {
    isb__json_value value;
    ISB_TRY(find(m, line, nbytes, "n_bytes", &value));
    *given = value.data != NULL;
    *n_bytes = 0;
    for (size_t i = 0; *given && i < value.nbytes; ++i) {
        if (value.data[i] < '0' || value.data[i] > '9' || i > 15)
            return refuse(m, "\"n_bytes\" is not a number of bytes", (size_t)(value.data - line));
        *n_bytes = 10 * *n_bytes + (value.data[i] - '0');
    }
    return ISB_OK;
}

/* The text is unescaped where it lies: the line is no JSON afterwards. */
static isb_status read_text(const importer *m, uint8_t *line, size_t nbytes,
                            isb__bytes_view *text) {
    isb__json_value value;
    ISB_TRY(find(m, line, nbytes, "text", &value));
    *text = (isb__bytes_view){NULL, 0};
    if (!value.data) return ISB_OK;
    if (*value.data != '"')
        return refuse(m, "\"text\" is not a string", (size_t)(value.data - line));
    uint8_t *inside = line + (value.data - line) + 1;
    *text = (isb__bytes_view){inside, isb__json_unescape(inside, value.nbytes - 2, inside)};
    return ISB_OK;
}

static isb_status read_document(importer *m, uint8_t *line, size_t nbytes,
                                isb__bytes_view *document) {
    const isb__import_job *job = m->job;
    uint64_t n_bytes;
    bool given;
    ISB_TRY(read_ids(m, line, nbytes));
    ISB_TRY(read_n_bytes(m, line, nbytes, &n_bytes, &given));
    ISB_TRY(read_text(m, line, nbytes, document));
    if (!document->data) {
        if (job->needs_text || job->options->split != ISB_SPLIT_ALL)
            return refuse(m, "no \"text\": the side of the split goes by it", 0);
        if (!given) return refuse(m, "the object has neither \"text\" nor \"n_bytes\"", 0);
        document->nbytes = (size_t)n_bytes;
    } else if (given && n_bytes != document->nbytes) {
        return refuse(m, "\"n_bytes\" is not the length of \"text\" in bytes", 0);
    }
    return ISB_OK;
}

static bool is_wanted(const isb_corpus_options *o, const isb__bytes_view *document) {
    return o->split == ISB_SPLIT_ALL ||
           isb__split_of(document->data, document->nbytes, isb__permille(o->valid_permille),
                         isb__permille(o->test_permille)) == o->split;
}

static isb_status import_line(importer *m, uint8_t *line, size_t nbytes) {
    isb__import_job *job = m->job;
    isb__bytes_view document;
    if (isb__json_is_blank(line, nbytes)) return ISB_OK;
    ISB_TRY(read_document(m, line, nbytes, &document));
    if (!is_wanted(job->options, &document)) return ISB_OK;
    const isb__encoded encoded = {m->ids, m->n_ids, 0};
    ISB_TRY(job->sink(job->user, &document, &encoded));
    ++job->n_documents;
    job->n_tokens += m->n_ids;
    job->n_bytes += document.nbytes;
    return ISB_OK;
}

static bool is_enough(const isb__import_job *job) {
    const uint64_t limit = job->options->max_nbytes;
    return limit > 0 && job->n_bytes >= limit;
}

static isb_status import_file(importer *m) {
    uint64_t position = 0, file_nbytes = 0;
    ISB_TRY(isb__scan_open(m->job->ctx, m->path, true, &m->scan));
    while (!is_enough(m->job)) {
        uint8_t *line;
        size_t nbytes;
        ISB_TRY(isb__scan_line(&m->scan, &line, &nbytes));
        if (!line) break;
        ISB_TRY(import_line(m, line, nbytes));
        isb__reader_position(m->scan.reader, &position, &file_nbytes);
        isb__progress_update(&m->progress, (double)(m->finished_nbytes + position), "");
    }
    m->finished_nbytes += position;
    isb__scan_close(&m->scan);
    return ISB_OK;
}

isb_status isb__import_ids(isb__import_job *job) {
    isb__file_list files = {0};
    importer m = {.job = job};
    if (job->options->format == ISB_TEXT_PLAIN) {
        return isb__fail(job->ctx, ISB_ERR_ARGUMENT,
                         "ids are imported from JSONL, not from plain text");
    }
    ISB_TRY(isb__corpus_options_check(job->ctx, job->options));
    ISB_TRY(isb__file_list_make(job->ctx, job->paths, job->n_paths, &files));
    isb__progress_begin(&m.progress, job->ctx, "prepare", "byte", (double)files.total_nbytes);
    isb_status status = ISB_OK;
    for (size_t i = 0; i < files.count && status == ISB_OK && !is_enough(job); ++i) {
        m.path = files.paths[i];
        status = import_file(&m);
    }
    isb__progress_end(&m.progress, (double)m.finished_nbytes, "");
    isb__scan_free(&m.scan);
    isb__free(job->ctx, m.ids);
    isb__file_list_free(&files);
    return status;
}
