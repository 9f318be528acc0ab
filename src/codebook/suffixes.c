/* The pass over neighbours: open[d] says what the present prefix of d bytes has collected since it
 * began.  A neighbour that shares only l bytes closes all longer prefixes.  Linear in the number of
 * places times the longest string. */
#include "codebook/suffixes.h"

#include <string.h>

#include <divsufsort.h>

enum {
    MAX_DEPTH = 255,
    AHEAD = 24,
    WHOLE_SHARE = 20 /* a whole word may go on as a longer one in 1 / 20 of its occurrences */
};

isb_status isb__suffix_array(isb_context *ctx, const isb__text *text, int32_t **suffixes) {
    *suffixes = NULL;
    if (text->nbytes > INT32_MAX) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "the corpus has %zu bytes of text, and counting takes less than 2 GiB; "
                         "limit the text",
                         text->nbytes);
    }
    ISB_TRY(isb__alloc_array(ctx, text->nbytes + 1, sizeof **suffixes, suffixes));
    if (divsufsort(text->bytes, *suffixes, (saidx_t)text->nbytes) != 0) {
        isb__free(ctx, *suffixes);
        *suffixes = NULL;
        return isb__fail(ctx, ISB_ERR_NO_MEMORY, "sorting the suffixes of %zu bytes: out of memory",
                         text->nbytes);
    }
    return ISB_OK;
}

typedef struct pass {
    isb_context *ctx;
    const isb__string_query *query;
    isb__found_string *found;
    size_t n_found, capacity;
    uint32_t counts[MAX_DEPTH + 1]; /* of the present prefix of d bytes, and ... */
    uint32_t totals[MAX_DEPTH + 1]; /* ... with covered places too */
    uint32_t inside[MAX_DEPTH + 1]; /* of those, how many a letter follows */
    uint8_t states[MAX_DEPTH + 1];
    size_t depth; /* the present string has this many bytes */
    uint32_t place;
} pass;

static isb_status emit(pass *p, size_t nbytes, uint32_t count) {
    ISB_TRY(isb__grow_array(p->ctx, p->n_found + 1, sizeof *p->found, &p->capacity, &p->found));
    p->found[p->n_found++] = (isb__found_string){p->place, count, (uint8_t)nbytes};
    return ISB_OK;
}

static bool may_end(const pass *p, size_t d) {
    const isb__kind *kind = p->query->kind;
    const uint8_t state = p->states[d];
    if (!kind->accepts[state]) return false;
    return !kind->whole[state] || p->inside[d] <= p->totals[d] / WHOLE_SHARE;
}

/* Closes prefixes longer than `keep`, the longest first. */
static isb_status close_prefixes(pass *p, size_t keep) {
    uint32_t last_total = 0;
    for (size_t d = p->depth; d > keep; --d) {
        const uint32_t count = p->counts[d], total = p->totals[d];
        if (total != last_total && may_end(p, d)) {
            last_total = total;
            if (count >= p->query->min_count) ISB_TRY(emit(p, d, count));
        }
    }
    return ISB_OK;
}

static size_t common_prefix(const uint8_t *a, const uint8_t *b, size_t limit) {
    size_t n = 0;
    while (n < limit && a[n] == b[n]) ++n;
    return n;
}

static isb_status visit(pass *p, uint32_t place) {
    const isb__string_query *q = p->query;
    const uint8_t *bytes = q->text->bytes + place;
    const size_t left = q->text->nbytes - place;
    const size_t shared =
        common_prefix(q->text->bytes + p->place, bytes, left < p->depth ? left : p->depth);
    ISB_TRY(close_prefixes(p, shared));
    const size_t limit = left < q->max_nbytes ? left : q->max_nbytes;
    size_t d = shared;
    for (; d < limit; ++d) {
        const uint8_t state = q->kind->step[p->states[d]][bytes[d]];
        if (state == ISB__KIND_DEAD) break;
        p->states[d + 1] = state;
        p->counts[d + 1] = p->totals[d + 1] = p->inside[d + 1] = 0;
    }
    p->depth = d;
    p->place = place;
    const size_t covered = q->covered ? q->covered[place] : 0;
    for (size_t i = 1; i <= d; ++i) {
        ++p->totals[i];
        p->counts[i] += i > covered;
        p->inside[i] += i < left && isb__kind_is_letter(q->kind, bytes[i]);
    }
    return ISB_OK;
}

static bool has_bit(const uint64_t *bits, size_t i) { return bits[i / 64] >> (i % 64) & 1; }

static isb_status visit_all(pass *p) {
    const isb__string_query *q = p->query;
    const size_t n = q->text->nbytes;
    uint32_t queue[AHEAD]; /* text is random access: touch it some places before it is needed */
    size_t n_queued = 0, head = 0;
    for (size_t i = 0; i < n; ++i) {
        if ((i & 0xfffff) == 0) ISB_TRY(isb__check_cancel(p->ctx));
        const uint32_t place = (uint32_t)q->suffixes[i];
        if (!has_bit(q->places, place)) continue;
        __builtin_prefetch(q->text->bytes + place);
        if (q->covered) __builtin_prefetch(q->covered + place);
        if (n_queued == AHEAD) {
            ISB_TRY(visit(p, queue[head]));
            queue[head] = place;
            head = (head + 1) % AHEAD;
        } else {
            queue[n_queued++] = place;
        }
    }
    for (size_t i = 0; i < n_queued; ++i) {
        ISB_TRY(visit(p, queue[(head + i) % n_queued]));
    }
    return close_prefixes(p, 0);
}

isb_status isb__count_strings(isb_context *ctx, const isb__string_query *query,
                              isb__found_string **found, size_t *n_found) {
    pass p = {.ctx = ctx, .query = query, .states = {[0] = ISB__KIND_START}};
    const isb_status status = visit_all(&p);
    if (status != ISB_OK) {
        isb__free(ctx, p.found);
        p.found = NULL;
        p.n_found = 0;
    }
    *found = p.found;
    *n_found = p.n_found;
    return status;
}
