/* The bytes behind a dataset's tokens: see dataset_raw.h. */
#include "data/dataset_raw.h"

#include <string.h>

#include "data/dataset.h"

static uint64_t string_nbytes(const isb__id_strings *strings, uint32_t id) {
    return id < strings->n ? strings->begin[id + 1] - strings->begin[id] : 0;
}

/* ---- writing ---- */

isb_status isb__raw_table_add(isb__raw_table *t, const uint32_t *ids, size_t count) {
    const size_t most = count / ISB__RAW_ANCHOR_NTOKENS + 1;
    ISB_TRY(isb__grow_array(t->ctx, t->n_documents + 1, sizeof *t->starts, &t->starts_capacity,
                            &t->starts));
    ISB_TRY(isb__grow_array(t->ctx, t->n_anchors + most, sizeof *t->anchors, &t->anchors_capacity,
                            &t->anchors));
    t->starts[t->n_documents++] = t->n_bytes;
    for (size_t i = 0; i < count; ++i) {
        if (t->n_tokens++ % ISB__RAW_ANCHOR_NTOKENS == 0) t->anchors[t->n_anchors++] = t->n_bytes;
        t->n_bytes += string_nbytes(t->strings, ids[i]);
    }
    return ISB_OK;
}

void isb__raw_table_free(isb__raw_table *t) {
    if (!t->strings) return;
    isb__free(t->ctx, t->starts);
    isb__free(t->ctx, t->anchors);
}

/* ---- checking ---- */

static bool ascends(const uint64_t *words, uint64_t n) {
    for (uint64_t i = 1; i < n; ++i) {
        if (words[i] < words[i - 1]) return false;
    }
    return true;
}

bool isb__raw_table_fits(const uint64_t *words, size_t n_words, uint64_t n_documents,
                         uint64_t n_tokens, uint64_t n_bytes, const char **why) {
    const uint64_t n_anchors = (n_tokens + ISB__RAW_ANCHOR_NTOKENS - 1) / ISB__RAW_ANCHOR_NTOKENS;
    const uint64_t *starts = words + ISB__RAW_HEADER_NWORDS;
    *why = "its length is not that of the dataset's table";
    if (n_words < ISB__RAW_HEADER_NWORDS ||
        n_words - ISB__RAW_HEADER_NWORDS != n_documents + 1 + n_anchors)
        return false;
    *why = "its header is not that of the dataset's table";
    if (memcmp(words, ISB__RAW_MAGIC, 8) != 0 || words[1] != n_documents || words[2] != n_tokens ||
        words[3] != ISB__RAW_ANCHOR_NTOKENS)
        return false;
    *why = "its places do not ascend from 0 to the number of bytes";
    return starts[0] == 0 && starts[n_documents] == n_bytes && ascends(starts, n_documents + 1) &&
           ascends(starts + n_documents + 1, n_anchors);
}

/* ---- reading ---- */

/* A token of document d at or before byte `at`, which is in it, and where that token begins. */
static uint64_t find_token(const isb__dataset *dataset, uint64_t d, uint64_t at,
                           uint64_t *token_at) {
    const uint64_t n = (dataset->info.n_tokens + ISB__RAW_ANCHOR_NTOKENS - 1) /
                       ISB__RAW_ANCHOR_NTOKENS;
    uint64_t low = dataset->starts[d] / ISB__RAW_ANCHOR_NTOKENS, high = n; /* anchors[low] <= at */
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        *(dataset->raw_anchors[middle] <= at ? &low : &high) = middle;
    }
    const uint64_t token = low * ISB__RAW_ANCHOR_NTOKENS;
    const bool inside = token >= dataset->starts[d];
    *token_at = inside ? dataset->raw_anchors[low] : dataset->raw_starts[d];
    return inside ? token : dataset->starts[d];
}

void isb__dataset_read_raw(const isb__dataset *dataset, const isb__id_strings *strings,
                           uint64_t document, uint64_t from, size_t count, int32_t *ids) {
    enum { PIECE = 256 };
    const uint64_t at = dataset->raw_starts[document] + from, end = at + count;
    const uint64_t last = dataset->starts[document + 1];
    const int32_t base = (int32_t)dataset->info.first_byte_id;
    for (size_t i = 0; i < count; ++i) ids[i] = base;
    if (count == 0 || dataset->starts[document] == last) return;
    uint64_t place, token = find_token(dataset, document, at, &place);
    while (place < end && token < last) {
        int32_t tokens[PIECE];
        const size_t n = last - token < PIECE ? (size_t)(last - token) : PIECE;
        isb__dataset_read(dataset, token, n, tokens);
        for (size_t i = 0; i < n && place < end; ++i) {
            const uint8_t *string = strings->bytes + strings->begin[tokens[i]];
            const uint64_t nbytes = string_nbytes(strings, (uint32_t)tokens[i]);
            for (uint64_t k = place < at ? at - place : 0; k < nbytes && place + k < end; ++k)
                ids[place + k - at] = base + string[k];
            place += nbytes;
        }
        token += n;
    }
}

isb_status isb__dataset_decode_raw(const isb__dataset *dataset, const isb__id_strings *strings,
                                   int64_t first_byte_id, uint64_t document, size_t *capacity,
                                   int32_t **ids, size_t *count) {
    const uint64_t last = dataset->starts[document + 1];
    *count = 0;
    for (uint64_t token = dataset->starts[document]; token < last; ++token) {
        int32_t id;
        isb__dataset_read(dataset, token, 1, &id);
        const size_t nbytes = (size_t)string_nbytes(strings, (uint32_t)id);
        ISB_TRY(isb__grow_array(dataset->ctx, *count + nbytes, sizeof **ids, capacity, ids));
        for (size_t k = 0; k < nbytes; ++k)
            (*ids)[(*count)++] = (int32_t)first_byte_id + strings->bytes[strings->begin[id] + k];
    }
    return ISB_OK;
}
