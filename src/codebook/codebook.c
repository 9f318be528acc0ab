/* The codebook object: made from sorted strings, asked what it is. */
#include <stdlib.h>
#include <string.h>

#include "codebook/codebook_state.h"

static const char END_OF_TEXT[] = "<|endoftext|>";

/* ---- making one ---- */

static isb_status check_counts(isb_context *ctx, size_t n_codes, size_t n_specials) {
    if (n_codes <= ISB_CODEBOOK_MAX_IDS && n_specials <= ISB_CODEBOOK_MAX_IDS - n_codes)
        return ISB_OK;
    return isb__fail(ctx, ISB_ERR_RANGE,
                     "%zu strings and %zu special ids are more than the %d ids of a codebook",
                     n_codes, n_specials, ISB_CODEBOOK_MAX_IDS);
}

static isb_status copy_name(isb_context *ctx, const char *what, const char *text, char *name,
                            size_t capacity) {
    if (strlen(text) >= capacity) {
        return isb__fail(ctx, ISB_ERR_RANGE, "the %s \"%s\" has more than %zu bytes", what, text,
                         capacity - 1);
    }
    strcpy(name, text);
    return ISB_OK;
}

static isb_status copy_specials(isb_codebook *c, const isb_codebook_create_options *options) {
    ISB_TRY(isb__alloc_array(c->ctx, c->n_specials, sizeof *c->specials, &c->specials));
    strcpy(c->specials[0], END_OF_TEXT);
    for (size_t i = 1; i < c->n_specials; ++i) {
        const char *text = options->specials[i - 1];
        ISB_TRY(copy_name(c->ctx, "special name", text, c->specials[i], sizeof *c->specials));
        if (*text) continue;
        return isb__fail(c->ctx, ISB_ERR_ARGUMENT, "special name %zu is empty", i);
    }
    return ISB_OK;
}

static int compare_specials(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted through pointers, since qsort() passes nothing else on. */
static isb_status sort_specials(isb_codebook *c) {
    char **names;
    ISB_TRY(isb__alloc_array(c->ctx, c->n_specials, sizeof *c->specials_order, &c->specials_order));
    ISB_TRY(isb__alloc_array(c->ctx, c->n_specials, sizeof *names, &names));
    for (size_t i = 0; i < c->n_specials; ++i) names[i] = c->specials[i];
    qsort(names, c->n_specials, sizeof *names, compare_specials);
    isb_status status = ISB_OK;
    for (size_t i = 0; i < c->n_specials && status == ISB_OK; ++i) {
        c->specials_order[i] = (uint32_t)((isb__special_name *)names[i] - c->specials);
        if (i > 0 && strcmp(names[i - 1], names[i]) == 0)
            status =
                isb__fail(c->ctx, ISB_ERR_ARGUMENT, "two special ids are named \"%s\"", names[i]);
    }
    isb__free(c->ctx, names);
    return status;
}

static isb_status copy_labels(isb_codebook *c, const isb_codebook_create_options *options) {
    const char *card = options->card ? options->card : "{}";
    if (strlen(card) > ISB__CODEBOOK_MAX_CARD_NBYTES) {
        return isb__fail(c->ctx, ISB_ERR_RANGE, "the card has %zu bytes; at most %d are allowed",
                         strlen(card), ISB__CODEBOOK_MAX_CARD_NBYTES);
    }
    ISB_TRY(copy_name(c->ctx, "name", options->name ? options->name : "", c->name, sizeof c->name));
    ISB_TRY(copy_name(c->ctx, "kind", options->kind ? options->kind : "custom", c->kind,
                      sizeof c->kind));
    ISB_TRY(isb__strdup(c->ctx, card, &c->card));
    ISB_TRY(copy_specials(c, options));
    return sort_specials(c);
}

/* Which string an id decodes to, or SIZE_MAX. */
static size_t decoded_string(const isb__codebook_content *content, size_t id) {
    return content->ids ? content->decoded[id] : id;
}

/* The strings in the order of ids. */
static isb_status copy_strings(isb_codebook *c, const isb__codebook_content *content) {
    uint64_t nbytes = 0;
    ISB_TRY(isb__alloc_array(c->ctx, c->n_ids + 1, sizeof *c->offsets, &c->offsets));
    for (size_t id = 0; id < c->n_codes; ++id) {
        const size_t i = decoded_string(content, id);
        const uint64_t n = i == SIZE_MAX ? 0 : content->offsets[i + 1] - content->offsets[i];
        nbytes += n;
        if (n > c->max_string_nbytes) c->max_string_nbytes = (size_t)n;
        if (nbytes <= ISB__CODEBOOK_MAX_TEXT_NBYTES) c->offsets[id + 1] = (uint32_t)nbytes;
    }
    if (nbytes > ISB__CODEBOOK_MAX_TEXT_NBYTES) {
        return isb__fail(c->ctx, ISB_ERR_RANGE,
                         "the strings have %llu bytes together; a codebook holds at most %d",
                         (unsigned long long)nbytes, ISB__CODEBOOK_MAX_TEXT_NBYTES);
    }
    for (size_t id = c->n_codes; id < c->n_ids; ++id) c->offsets[id + 1] = (uint32_t)nbytes;
    ISB_TRY(isb__alloc(c->ctx, (size_t)nbytes + ISB__CODEBOOK_PADDING_NBYTES, &c->bytes));
    if (!content->ids) {
        memcpy(c->bytes, content->bytes, (size_t)nbytes);
        return ISB_OK;
    }
    for (size_t id = 0; id < c->n_codes; ++id) {
        const size_t i = content->decoded[id], n = c->offsets[id + 1] - c->offsets[id];
        if (n > 0) memcpy(c->bytes + c->offsets[id], content->bytes + content->offsets[i], n);
    }
    return ISB_OK;
}

/* What is matched.  Ids that are the order anyway are not kept. */
static isb_status copy_list(isb_codebook *c, const isb__codebook_content *content) {
    const size_t n = content->n_strings, nbytes = (size_t)content->offsets[n];
    bool in_order = c->n_codes == n;
    c->n_listed = c->n_strings = n;
    if (!content->ids) return ISB_OK;
    for (size_t i = 0; i < n; ++i) {
        in_order &= content->ids[i] == i;
        c->n_strings -= content->decoded[content->ids[i]] != i;
        const size_t length = (size_t)(content->offsets[i + 1] - content->offsets[i]);
        if (length > c->max_string_nbytes) c->max_string_nbytes = length;
    }
    if (in_order) return ISB_OK;
    ISB_TRY(isb__alloc_array(c->ctx, n, sizeof *c->ids, &c->ids));
    ISB_TRY(isb__alloc_array(c->ctx, n + 1, sizeof *c->listed_offsets, &c->listed_offsets));
    ISB_TRY(isb__alloc(c->ctx, nbytes, &c->listed_bytes));
    memcpy(c->ids, content->ids, n * sizeof *c->ids);
    memcpy(c->listed_offsets, content->offsets, (n + 1) * sizeof *c->listed_offsets);
    memcpy(c->listed_bytes, content->bytes, nbytes);
    return ISB_OK;
}

/* Everything that says which ids a text gets and which text ids give. */
static isb_status compute_identity(isb_codebook *c) {
    isb__hasher *hasher = isb__hasher_create();
    if (!hasher) return isb__fail(c->ctx, ISB_ERR_NO_MEMORY, "no memory for a hash");
    const uint32_t counts[4] = {(uint32_t)c->n_codes, (uint32_t)c->n_specials,
                                (uint32_t)c->n_listed, c->ids != NULL};
    isb__hasher_update(hasher, counts, sizeof counts);
    isb__hasher_update(hasher, c->offsets, (c->n_codes + 1) * sizeof *c->offsets);
    isb__hasher_update(hasher, c->bytes, c->offsets[c->n_codes]);
    if (c->ids) {
        isb__hasher_update(hasher, c->ids, c->n_listed * sizeof *c->ids);
        isb__hasher_update(hasher, c->listed_offsets,
                           (c->n_listed + 1) * sizeof *c->listed_offsets);
        isb__hasher_update(hasher, c->listed_bytes, (size_t)c->listed_offsets[c->n_listed]);
    }
    for (size_t i = 0; i < c->n_specials; ++i)
        isb__hasher_update(hasher, c->specials[i], strlen(c->specials[i]) + 1);
    c->identity = isb__hasher_finish(hasher);
    return ISB_OK;
}

static size_t count_list_memory(const isb_codebook *c) {
    if (!c->ids) return 0;
    return c->n_listed * sizeof *c->ids + (c->n_listed + 1) * sizeof *c->listed_offsets +
           (size_t)c->listed_offsets[c->n_listed];
}

static size_t count_memory(const isb_codebook *c) {
    return sizeof *c + (c->n_ids + 1) * sizeof *c->offsets + c->offsets[c->n_ids] +
           ISB__CODEBOOK_PADDING_NBYTES + count_list_memory(c) +
           c->n_specials * (sizeof *c->specials + sizeof *c->specials_order) + strlen(c->card) + 1 +
           isb__automaton_nbytes(&c->automaton);
}

static isb_status fill(isb_codebook *c, const isb__codebook_content *content,
                       const isb_codebook_create_options *options) {
    c->n_codes = content->n_codes;
    c->n_specials = 1 + options->n_specials;
    ISB_TRY(check_counts(c->ctx, c->n_codes, c->n_specials));
    c->n_ids = c->n_codes + c->n_specials;
    ISB_TRY(copy_labels(c, options));
    ISB_TRY(copy_strings(c, content));
    ISB_TRY(copy_list(c, content));
    ISB_TRY(compute_identity(c));
    ISB_TRY(isb__automaton_create(c->ctx, content->bytes, content->offsets, c->n_listed, c->ids,
                                  &c->automaton));
    c->memory_nbytes = count_memory(c);
    return ISB_OK;
}

isb_status isb__codebook_from_sorted(isb_context *ctx, const isb__codebook_content *content,
                                     const isb_codebook_create_options *options,
                                     isb_codebook **codebook) {
    isb_codebook_create_options defaults;
    isb_codebook_create_options_init(&defaults);
    *codebook = NULL;
    isb_codebook *c;
    ISB_TRY(isb__alloc(ctx, sizeof *c, &c));
    c->ctx = ctx;
    const isb_status status = fill(c, content, options ? options : &defaults);
    if (status != ISB_OK) {
        isb_codebook_free(c);
        return status;
    }
    *codebook = c;
    return ISB_OK;
}

void isb_codebook_free(isb_codebook *codebook) {
    if (!codebook) return;
    isb_context *ctx = codebook->ctx;
    isb__automaton_free(ctx, &codebook->automaton);
    isb__free(ctx, codebook->bytes);
    isb__free(ctx, codebook->offsets);
    isb__free(ctx, codebook->ids);
    isb__free(ctx, codebook->listed_offsets);
    isb__free(ctx, codebook->listed_bytes);
    isb__free(ctx, codebook->specials);
    isb__free(ctx, codebook->specials_order);
    isb__free(ctx, codebook->card);
    isb__free(ctx, codebook);
}

/* ---- from strings in any order ---- */

void isb_codebook_create_options_init(isb_codebook_create_options *options) {
    *options = (isb_codebook_create_options){.struct_size = sizeof *options};
}

static int compare_texts(const void *a, const void *b) {
    const isb_codebook_text *x = a, *y = b;
    const size_t n = x->nbytes < y->nbytes ? x->nbytes : y->nbytes;
    const int order = memcmp(x->bytes, y->bytes, n);
    return order ? order : (x->nbytes > y->nbytes) - (x->nbytes < y->nbytes);
}

static isb_status check_strings(isb_context *ctx, const isb_codebook_text *strings, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        if (strings[i].nbytes == 0)
            return isb__fail(ctx, ISB_ERR_ARGUMENT, "string %zu is empty", i);
        if (strings[i].nbytes <= ISB_CODEBOOK_MAX_STRING_NBYTES) continue;
        return isb__fail(ctx, ISB_ERR_RANGE, "string %zu has %zu bytes; at most %d are allowed", i,
                         strings[i].nbytes, ISB_CODEBOOK_MAX_STRING_NBYTES);
    }
    return ISB_OK;
}

/* Drops what is there twice; returns how many are left. */
static size_t drop_doubles(isb_codebook_text *sorted, size_t n) {
    size_t n_kept = 0;
    for (size_t i = 0; i < n; ++i) {
        if (i == 0 || compare_texts(&sorted[n_kept - 1], &sorted[i]) != 0)
            sorted[n_kept++] = sorted[i];
    }
    return n_kept;
}

static isb_status create_from_sorted(isb_context *ctx, const isb_codebook_text *sorted, size_t n,
                                     const isb_codebook_create_options *options,
                                     isb_codebook **codebook) {
    uint64_t *offsets;
    uint8_t *bytes = NULL;
    ISB_TRY(isb__alloc_array(ctx, n + 1, sizeof *offsets, &offsets));
    for (size_t i = 0; i < n; ++i) offsets[i + 1] = offsets[i] + sorted[i].nbytes;
    isb_status status = isb__alloc(ctx, (size_t)offsets[n], &bytes);
    for (size_t i = 0; i < n && status == ISB_OK; ++i)
        memcpy(bytes + offsets[i], sorted[i].bytes, sorted[i].nbytes);
    const isb__codebook_content content = {
        .bytes = bytes, .offsets = offsets, .n_strings = n, .n_codes = n};
    if (status == ISB_OK) status = isb__codebook_from_sorted(ctx, &content, options, codebook);
    isb__free(ctx, bytes);
    isb__free(ctx, offsets);
    return status;
}

isb_status isb_codebook_create(isb_context *ctx, const isb_codebook_text *strings, size_t n_strings,
                               const isb_codebook_create_options *options,
                               isb_codebook **codebook) {
    uint8_t singles[256];
    isb_codebook_text *sorted;
    *codebook = NULL;
    ISB_TRY(check_strings(ctx, strings, n_strings));
    ISB_TRY(isb__alloc_array(ctx, n_strings + 256, sizeof *sorted, &sorted));
    for (size_t i = 0; i < 256; ++i) {
        singles[i] = (uint8_t)i;
        sorted[i] = (isb_codebook_text){&singles[i], 1};
    }
    if (n_strings > 0) memcpy(sorted + 256, strings, n_strings * sizeof *sorted);
    qsort(sorted, n_strings + 256, sizeof *sorted, compare_texts);
    const size_t n = drop_doubles(sorted, n_strings + 256);
    isb_status status = check_counts(ctx, n, 1);
    if (status == ISB_OK) status = create_from_sorted(ctx, sorted, n, options, codebook);
    isb__free(ctx, sorted);
    return status;
}

/* ---- what it is ---- */

void isb_codebook_get_info(const isb_codebook *c, isb_codebook_info *info) {
    isb_codebook_info all = {
        .n_ids = (int64_t)c->n_ids,
        .n_codes = (int64_t)c->n_codes,
        .n_specials = (int64_t)c->n_specials,
        .n_strings = (int64_t)c->n_strings,
        .max_string_nbytes = c->max_string_nbytes,
        .memory_nbytes = c->memory_nbytes,
        .file_nbytes = c->file_nbytes,
        .card = c->card,
    };
    strcpy(all.name, c->name);
    strcpy(all.kind, c->kind);
    isb__id128_hex(&c->identity, all.identity);
    const size_t size = info->struct_size;
    all.struct_size = size;
    memcpy(info, &all, size < sizeof all ? size : sizeof all);
}

void isb_codebook_string(const isb_codebook *codebook, uint32_t id, const uint8_t **bytes,
                         size_t *nbytes) {
    *bytes = NULL;
    *nbytes = 0;
    if (id >= codebook->n_ids) return;
    if (id >= codebook->n_codes) {
        *bytes = (const uint8_t *)codebook->specials[id - codebook->n_codes];
        *nbytes = strlen((const char *)*bytes);
    } else {
        const uint8_t *string = isb__codebook_bytes(codebook, id, nbytes);
        if (*nbytes > 0) *bytes = string;
    }
}

int64_t isb_codebook_find(const isb_codebook *codebook, const uint8_t *bytes, size_t nbytes) {
    isb__state state = ISB__STATE_ROOT;
    for (size_t i = 0; i < nbytes; ++i) {
        state = isb__state_next(&codebook->automaton, state, bytes[i]);
        if (!isb__unit_matches(state, bytes[i])) return -1;
    }
    if (nbytes == 0 || !(state & ISB__STATE_ACCEPTS)) return -1;
    return isb__node_pops(&codebook->automaton, isb__state_base(state));
}

/* The first string that is not below `prefix`, or with `past` the first above all that begin with it. */
static size_t prefix_bound(const isb_codebook *c, const uint8_t *prefix, size_t nbytes, bool past) {
    size_t low = 0, high = c->n_codes;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        size_t n;
        const uint8_t *string = isb__codebook_bytes(c, middle, &n);
        int order = nbytes ? memcmp(string, prefix, n < nbytes ? n : nbytes) : 0;
        if (order == 0 && n < nbytes) order = -1;
        if (order < 0 || (past && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

isb_status isb_codebook_prefix_range(const isb_codebook *codebook, const uint8_t *prefix,
                                     size_t nbytes, uint32_t *first, size_t *count) {
    *first = 0;
    *count = 0;
    if (codebook->ids) return ISB_ERR_UNSUPPORTED;
    const size_t begin = prefix_bound(codebook, prefix, nbytes, false);
    *first = (uint32_t)begin;
    *count = prefix_bound(codebook, prefix, nbytes, true) - begin;
    return ISB_OK;
}
