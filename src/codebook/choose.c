/* The rounds of choosing.  A set of strings is an array of views into the text, the M1's list or the
 * table of single bytes; each round makes a codebook of it and parses the corpus with that. */
#include "codebook/choose.h"

#include <stdlib.h>
#include <string.h>

#include "codebook/codebook.h"

enum {
    OVERSHOOT = 4,  /* times the strings wanted, at the start of choosing by use */
    SHRINK_NUM = 7, /* a round of shrinking keeps 7 / 10 */
    SHRINK_DEN = 10,
    SWAP_SHARE = 8,       /* a round of swapping adds 1 / 8 of the strings wanted at first, */
    SWAP_LEAST = 128,     /* and is not worth it below 1 / 128 */
    PHRASE_SHARE = 32768, /* several words in one string must save one token in so many */
    BATCH_NBYTES = 4 << 20,
    BATCH_NDOCUMENTS = 8192
};

typedef struct string_view {
    const uint8_t *bytes;
    uint32_t nbytes;
    double weight;
} string_view;

typedef struct string_set {
    string_view *items; /* owned */
    size_t n, capacity;
} string_set;

typedef struct chooser {
    const isb__choose_job *job;
    isb_context *ctx;
    int32_t *suffixes;
    uint64_t *places;       /* a bit a byte: windows start here */
    uint8_t *covered;       /* [nbytes] at window starts: the length of the window */
    isb_codebook *codebook; /* of `set`, in its order */
    string_set set;
    uint64_t *uses; /* [set.n], of the last parse */
    uint64_t n_tokens;
    uint32_t *ids; /* of a batch */
    uint64_t *offsets;
    isb_codebook_text *texts;
    size_t ids_capacity;
    double start_s;
    int round;
    uint8_t single_bytes[256];
} chooser;

/* ---- sets ---- */

static int by_bytes(const void *a, const void *b) {
    const string_view *x = a, *y = b;
    const uint32_t n = x->nbytes < y->nbytes ? x->nbytes : y->nbytes;
    const int order = memcmp(x->bytes, y->bytes, n);
    return order ? order : (x->nbytes > y->nbytes) - (x->nbytes < y->nbytes);
}

/* Heavy first; among equals bytewise, so that a choice does not depend on where the strings came from. */
static int by_weight(const void *a, const void *b) {
    const string_view *x = a, *y = b;
    if (x->weight != y->weight) return x->weight > y->weight ? -1 : 1;
    return by_bytes(a, b);
}

static isb_status append(chooser *c, string_set *set, const uint8_t *bytes, size_t nbytes,
                         double weight) {
    ISB_TRY(isb__grow_array(c->ctx, set->n + 1, sizeof *set->items, &set->capacity, &set->items));
    set->items[set->n++] = (string_view){bytes, (uint32_t)nbytes, weight};
    return ISB_OK;
}

static void sort_and_unite(string_set *set) {
    qsort(set->items, set->n, sizeof *set->items, by_bytes);
    size_t n = 0;
    for (size_t i = 0; i < set->n; ++i) {
        if (n > 0 && by_bytes(&set->items[n - 1], &set->items[i]) == 0) continue;
        set->items[n++] = set->items[i];
    }
    set->n = n;
}

/* Keeps the n heaviest and all single bytes. */
static void keep_heaviest(string_set *set, size_t n) {
    if (set->n <= n) return;
    for (size_t i = 0; i < set->n; ++i) {
        if (set->items[i].nbytes == 1) set->items[i].weight += 1e18;
    }
    qsort(set->items, set->n, sizeof *set->items, by_weight);
    set->n = n;
}

/* ---- a codebook of the set, and the corpus parsed with it ---- */

static isb_status make_codebook(chooser *c) {
    isb_codebook_free(c->codebook);
    c->codebook = NULL;
    size_t nbytes = 0;
    for (size_t i = 0; i < c->set.n; ++i) nbytes += c->set.items[i].nbytes;
    uint8_t *bytes = NULL;
    uint64_t *offsets = NULL;
    isb_status status = isb__alloc(c->ctx, nbytes, &bytes);
    if (status == ISB_OK) {
        status = isb__alloc_array(c->ctx, c->set.n + 1, sizeof *offsets, &offsets);
    }
    if (status == ISB_OK) {
        for (size_t i = 0; i < c->set.n; ++i) {
            memcpy(bytes + offsets[i], c->set.items[i].bytes, c->set.items[i].nbytes);
            offsets[i + 1] = offsets[i] + c->set.items[i].nbytes;
        }
        const isb__codebook_content content = {
            .bytes = bytes, .offsets = offsets, .n_strings = c->set.n, .n_codes = c->set.n};
        status = isb__codebook_from_sorted(c->ctx, &content, NULL, &c->codebook);
    }
    isb__free(c->ctx, bytes);
    isb__free(c->ctx, offsets);
    return status;
}

static void note_windows(chooser *c, size_t begin, const uint32_t *ids, size_t n) {
    size_t place = begin;
    for (size_t i = 0; i < n; ++i) {
        const uint32_t nbytes = c->set.items[ids[i]].nbytes;
        ++c->uses[ids[i]];
        c->places[place / 64] |= 1ull << (place % 64);
        c->covered[place] = (uint8_t)nbytes;
        place += nbytes;
    }
    c->n_tokens += n;
}

static isb_status parse_batch(chooser *c, size_t first, size_t n) {
    const isb__text *text = c->job->text;
    size_t nbytes = 0;
    for (size_t i = 0; i < n; ++i) {
        const size_t begin = isb__text_begin(text, first + i);
        c->texts[i] = (isb_codebook_text){text->bytes + begin, text->ends[first + i] - begin};
        nbytes += c->texts[i].nbytes;
    }
    if (nbytes > c->ids_capacity) {
        isb__free(c->ctx, c->ids);
        c->ids = NULL;
        ISB_TRY(isb__alloc_array(c->ctx, nbytes, sizeof *c->ids, &c->ids));
        c->ids_capacity = nbytes;
    }
    ISB_TRY(
        isb_codebook_encode_batch(c->ctx, c->codebook, c->texts, n, c->ids, nbytes, c->offsets));
    for (size_t i = 0; i < n; ++i) {
        note_windows(c, isb__text_begin(text, first + i), c->ids + c->offsets[i],
                     c->offsets[i + 1] - c->offsets[i]);
    }
    return ISB_OK;
}

static isb_status parse(chooser *c) {
    const isb__text *text = c->job->text;
    ISB_TRY(make_codebook(c));
    isb__free(c->ctx, c->uses);
    c->uses = NULL;
    ISB_TRY(isb__alloc_array(c->ctx, c->set.n, sizeof *c->uses, &c->uses));
    c->n_tokens = 0;
    memset(c->places, 0, (text->nbytes / 64 + 1) * sizeof *c->places);
    for (size_t first = 0; first < text->n_documents;) {
        size_t n = 0, nbytes = 0;
        while (first + n < text->n_documents && n < BATCH_NDOCUMENTS && nbytes < BATCH_NBYTES) {
            nbytes += text->ends[first + n] - isb__text_begin(text, first + n);
            ++n;
        }
        ISB_TRY(parse_batch(c, first, n));
        first += n;
        ISB_TRY(isb__check_cancel(c->ctx));
    }
    return ISB_OK;
}

/* ---- weights ---- */

/* What a string saves; nothing for phrases that save too little: a model learns an id from the places where it
 * occurs, and words that are spread over many phrases occur too seldom in each (docs/codebooks.md). */
static double worth(const chooser *c, const uint8_t *bytes, size_t nbytes, double saved) {
    uint8_t state = ISB__KIND_START;
    for (size_t i = 0; i < nbytes; ++i) state = c->job->kind->step[state][bytes[i]];
    return c->job->kind->whole[state] && saved < (double)c->n_tokens / PHRASE_SHARE ? 0 : saved;
}

/* The longest string of the set that is a proper beginning of each: in bytewise order it is on the
 * stack of those that are prefixes of each other. */
static isb_status weigh_by_cost(chooser *c) {
    string_set *set = &c->set;
    size_t *stack = NULL;
    ISB_TRY(isb__alloc_array(c->ctx, set->n, sizeof *stack, &stack));
    size_t depth = 0;
    for (size_t i = 0; i < set->n; ++i) {
        const string_view *s = &set->items[i];
        while (depth > 0) {
            const string_view *top = &set->items[stack[depth - 1]];
            if (top->nbytes < s->nbytes && memcmp(top->bytes, s->bytes, top->nbytes) == 0) break;
            --depth;
        }
        size_t without = 1;
        if (depth > 0) {
            const uint32_t first = set->items[stack[depth - 1]].nbytes;
            without += isb_codebook_count(c->codebook, s->bytes + first, s->nbytes - first);
        }
        set->items[i].weight =
            worth(c, s->bytes, s->nbytes, (double)c->uses[i] * (double)(without - 1));
        stack[depth++] = i;
    }
    isb__free(c->ctx, stack);
    return ISB_OK;
}

static isb_status query_strings(chooser *c, bool uncovered, uint32_t min_count,
                                isb__found_string **found, size_t *n_found) {
    const isb__string_query query = {.text = c->job->text,
                                     .suffixes = c->suffixes,
                                     .places = c->places,
                                     .covered = uncovered ? c->covered : NULL,
                                     .kind = c->job->kind,
                                     .max_nbytes = c->job->max_nbytes,
                                     .min_count = min_count};
    return isb__count_strings(c->ctx, &query, found, n_found);
}

/* A string must be worth about its share of the text to be looked at: one in 10 V of the windows. */
static uint32_t least_count(const chooser *c) {
    const double share = (double)c->n_tokens / (10.0 * (double)c->job->n_strings);
    return share < 2 ? 2 : share > 64 ? 64 : (uint32_t)share;
}

/* The n strings with the most occurrences at the places, and every byte. */
static isb_status most_frequent(chooser *c, size_t n) {
    isb__found_string *found;
    size_t n_found;
    ISB_TRY(query_strings(c, false, 2, &found, &n_found));
    string_set *set = &c->set;
    set->n = 0;
    isb_status status = ISB_OK;
    for (size_t i = 0; i < n_found && status == ISB_OK; ++i) {
        const uint8_t *bytes = c->job->text->bytes + found[i].place;
        const double weight = worth(c, bytes, found[i].nbytes, found[i].count);
        status = append(c, set, bytes, found[i].nbytes, weight);
    }
    isb__free(c->ctx, found);
    for (int byte = 0; byte < 256 && status == ISB_OK; ++byte)
        status = append(c, set, &c->single_bytes[byte], 1, 0);
    if (status != ISB_OK) return status;
    sort_and_unite(set);
    keep_heaviest(set, n);
    sort_and_unite(set);
    return ISB_OK;
}

/* Adds the n strings with the greatest gain to the set. */
static isb_status add_best(chooser *c, size_t n) {
    isb__found_string *found;
    size_t n_found;
    ISB_TRY(query_strings(c, true, least_count(c), &found, &n_found));
    string_set gains = {.items = NULL};
    isb_status status = ISB_OK;
    for (size_t i = 0; i < n_found && status == ISB_OK; ++i) {
        const uint8_t *bytes = c->job->text->bytes + found[i].place;
        const size_t now = isb_codebook_count(c->codebook, bytes, found[i].nbytes);
        if (now < 2) continue;
        const double gain =
            worth(c, bytes, found[i].nbytes, (double)found[i].count * (double)(now - 1));
        if (gain > 0) status = append(c, &gains, bytes, found[i].nbytes, gain);
    }
    isb__free(c->ctx, found);
    if (status == ISB_OK) {
        qsort(gains.items, gains.n, sizeof *gains.items, by_weight);
        for (size_t i = 0; i < gains.n && i < n && status == ISB_OK; ++i)
            status = append(c, &c->set, gains.items[i].bytes, gains.items[i].nbytes, 0);
    }
    isb__free(c->ctx, gains.items);
    sort_and_unite(&c->set);
    return status;
}

/* ---- rounds ---- */

static void report(chooser *c, const char *phase) {
    if (!c->job->report) return;
    isb_codebook_round round = {.phase = phase,
                                .round = c->round,
                                .n_strings = (int64_t)c->set.n,
                                .seconds = isb__now_s() - c->start_s};
    if (c->job->text) {
        round.n_bytes = c->job->text->nbytes - c->job->text->n_documents;
        round.n_tokens = c->n_tokens;
        round.bytes_per_token = c->n_tokens ? (double)round.n_bytes / (double)c->n_tokens : 0;
    }
    c->job->report(c->job->report_user, &round);
}

static isb_status drop_cheapest(chooser *c, size_t n) {
    ISB_TRY(weigh_by_cost(c));
    keep_heaviest(&c->set, n);
    sort_and_unite(&c->set);
    return parse(c);
}

/* Re-estimates: the most probable strings at the places where windows of the last set start. */
static isb_status refine(chooser *c) {
    for (c->round = 1; c->round <= c->job->n_rounds; ++c->round) {
        ISB_TRY(most_frequent(c, c->job->n_strings));
        ISB_TRY(parse(c));
        report(c, "refine");
    }
    return ISB_OK;
}

static isb_status shrink(chooser *c) {
    const size_t wanted = c->job->n_strings;
    for (c->round = 1; c->set.n > wanted; ++c->round) {
        const size_t next = c->set.n * SHRINK_NUM / SHRINK_DEN;
        ISB_TRY(drop_cheapest(c, next > wanted ? next : wanted));
        report(c, "shrink");
    }
    return ISB_OK;
}

static isb_status copy_set(chooser *c, const string_set *from, string_set *to) {
    to->n = 0;
    for (size_t i = 0; i < from->n; ++i) {
        ISB_TRY(append(c, to, from->items[i].bytes, from->items[i].nbytes, (double)c->uses[i]));
    }
    return ISB_OK;
}

static isb_status restore_set(chooser *c, const string_set *from) {
    c->set.n = 0;
    for (size_t i = 0; i < from->n; ++i)
        ISB_TRY(append(c, &c->set, from->items[i].bytes, from->items[i].nbytes, 0));
    return parse(c);
}

/* Hill climbing: a round that does not help is taken back, and the next one is half as bold. */
static isb_status swap_rounds(chooser *c, string_set *best) {
    const size_t wanted = c->job->n_strings;
    size_t step = wanted / SWAP_SHARE;
    uint64_t best_tokens = c->n_tokens;
    bool taken_back = false;
    ISB_TRY(copy_set(c, &c->set, best));
    for (c->round = 1; c->round <= c->job->n_rounds && step > wanted / SWAP_LEAST; ++c->round) {
        ISB_TRY(add_best(c, step));
        ISB_TRY(parse(c));
        ISB_TRY(drop_cheapest(c, wanted));
        report(c, "choose");
        taken_back = c->n_tokens >= best_tokens;
        if (!taken_back) {
            best_tokens = c->n_tokens;
            ISB_TRY(copy_set(c, &c->set, best));
        } else {
            step /= 2;
            ISB_TRY(restore_set(c, best));
        }
    }
    if (taken_back) report(c, "kept"); /* the last report is about what is given */
    return ISB_OK;
}

static void mark_natural_starts(chooser *c) {
    const isb__text *text = c->job->text;
    for (size_t d = 0; d < text->n_documents; ++d) {
        const size_t begin = isb__text_begin(text, d);
        for (size_t i = begin; i < text->ends[d]; ++i) {
            if (i == begin || isb__kind_starts(c->job->kind, text->bytes[i - 1], text->bytes[i]))
                c->places[i / 64] |= 1ull << (i % 64);
        }
    }
}

static isb_status take_m1(chooser *c, size_t n) {
    const isb__candidates *m1 = c->job->m1;
    for (size_t i = 0; i < m1->n; ++i) {
        ISB_TRY(append(c, &c->set, m1->bytes + m1->offsets[i], m1->offsets[i + 1] - m1->offsets[i],
                       m1->weights[i]));
    }
    keep_heaviest(&c->set, n);
    sort_and_unite(&c->set);
    return ISB_OK;
}

static isb_status start(chooser *c) {
    const isb__choose_job *job = c->job;
    const size_t n = job->by_use && job->text ? job->n_strings * OVERSHOOT : job->n_strings;
    const size_t limit = ISB_CODEBOOK_MAX_IDS - 1;
    if (job->m1) {
        ISB_TRY(take_m1(c, n < limit ? n : limit));
    } else {
        mark_natural_starts(c);
        ISB_TRY(most_frequent(c, n < limit ? n : limit));
    }
    if (job->text) ISB_TRY(parse(c));
    report(c, "start");
    return ISB_OK;
}

static isb_status allocate(chooser *c) {
    const isb__text *text = c->job->text;
    if (!text) return ISB_OK;
    ISB_TRY(isb__alloc_array(c->ctx, text->nbytes / 64 + 1, sizeof *c->places, &c->places));
    ISB_TRY(isb__alloc(c->ctx, text->nbytes, &c->covered));
    ISB_TRY(isb__alloc_array(c->ctx, BATCH_NDOCUMENTS, sizeof *c->texts, &c->texts));
    ISB_TRY(isb__alloc_array(c->ctx, BATCH_NDOCUMENTS + 1, sizeof *c->offsets, &c->offsets));
    return isb__suffix_array(c->ctx, text, &c->suffixes);
}

static isb_status give(chooser *c, const string_set *set, isb__candidates *chosen) {
    size_t nbytes = 0;
    for (size_t i = 0; i < set->n; ++i) nbytes += set->items[i].nbytes;
    ISB_TRY(isb__alloc(c->ctx, nbytes, &chosen->bytes));
    ISB_TRY(isb__alloc_array(c->ctx, set->n + 1, sizeof *chosen->offsets, &chosen->offsets));
    ISB_TRY(isb__alloc_array(c->ctx, set->n, sizeof *chosen->weights, &chosen->weights));
    for (size_t i = 0; i < set->n; ++i) {
        const string_view s = set->items[i];
        memcpy(chosen->bytes + chosen->offsets[i], s.bytes, s.nbytes);
        chosen->offsets[i + 1] = chosen->offsets[i] + s.nbytes;
        chosen->weights[i] = s.weight;
    }
    chosen->n = set->n;
    return ISB_OK;
}

static isb_status choose(chooser *c, string_set *best, isb__candidates *chosen) {
    ISB_TRY(allocate(c));
    ISB_TRY(start(c));
    if (!c->job->text) return give(c, &c->set, chosen);
    if (!c->job->by_use) {
        ISB_TRY(refine(c));
        ISB_TRY(copy_set(c, &c->set, best));
    } else {
        ISB_TRY(shrink(c));
        ISB_TRY(swap_rounds(c, best));
    }
    return give(c, best, chosen);
}

isb_status isb__choose(const isb__choose_job *job, isb__candidates *chosen) {
    *chosen = (isb__candidates){.n = 0};
    chooser c = {.job = job, .ctx = job->ctx, .start_s = isb__now_s()};
    for (int byte = 0; byte < 256; ++byte) c.single_bytes[byte] = (uint8_t)byte;
    string_set best = {.items = NULL};
    const isb_status status = choose(&c, &best, chosen);
    if (status != ISB_OK) isb__candidates_free(job->ctx, chosen);
    isb_codebook_free(c.codebook);
    isb__free(job->ctx, best.items);
    isb__free(job->ctx, c.set.items);
    isb__free(job->ctx, c.suffixes);
    isb__free(job->ctx, c.places);
    isb__free(job->ctx, c.covered);
    isb__free(job->ctx, c.uses);
    isb__free(job->ctx, c.ids);
    isb__free(job->ctx, c.offsets);
    isb__free(job->ctx, c.texts);
    return status;
}
