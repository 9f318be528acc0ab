/* The search finds what a walk over all strings finds, whatever the streams. */
#include "check.h"
#include "toy_source.h"

#include <math.h>

#include "base/rng.h"
#include "codebook/search.h"
#include "codebook/tree.h"

static isb_context *ctx;
static isb__rng rng;

/* ---- kinds ---- */

static isb__kind everything(void) {
    isb__kind kind = {.name = "everything", .n_states = 2, .accepts = {[ISB__KIND_START] = true}};
    memset(kind.step[ISB__KIND_START], ISB__KIND_START, 256);
    return kind;
}

/* Letters, a space only first, and no string may end in "t": nodes on the way that are no strings, and bytes that no
 * string has. */
static isb__kind picky(void) {
    enum { LETTERS = 2, AFTER_T = 3 };
    isb__kind kind = {.name = "picky", .n_states = 4, .accepts = {[LETTERS] = true}};
    for (int x = 'a'; x <= 'z'; ++x) {
        for (int state = ISB__KIND_START; state <= AFTER_T; ++state)
            kind.step[state][x] = x == 't' ? AFTER_T : LETTERS;
    }
    kind.step[ISB__KIND_START][' '] = AFTER_T;
    return kind;
}

/* ---- the reference: every string whose weight is above a bound, one evaluation each ---- */

typedef struct entry {
    uint8_t bytes[16];
    size_t nbytes;
    double weight;
    bool accepted;
} entry;

typedef struct reference {
    const isb__cdf_source *source;
    const isb__kind *kind;
    size_t max_nbytes, n;
    double least;
    entry *entries;
} reference;

enum { MAX_ENTRIES = 400000 };

static void visit(reference *r, const entry *at, uint8_t state) {
    uint32_t cdf[ISB__N_SYMBOLS + 1];
    const isb__cdf_request request = {
        .restart = 1, .bytes = at->bytes, .n_bytes = at->nbytes, .n_cdfs = 1, .cdfs = cdf};
    CHECK_OK(ctx, r->source->evaluate(r->source->self, 0, 1, &request));
    for (int x = 0; x < 256; ++x) {
        entry child = *at;
        child.bytes[child.nbytes++] = (uint8_t)x;
        child.weight *= (cdf[x + 1] - cdf[x]) * ldexp(1, -r->source->precision_nbits);
        const uint8_t next = r->kind->step[state][x];
        if (at->nbytes > 0 && (next == ISB__KIND_DEAD || child.weight < r->least)) continue;
        child.accepted = r->kind->accepts[next];
        CHECK_FATAL(r->n < MAX_ENTRIES);
        r->entries[r->n++] = child;
        if (next != ISB__KIND_DEAD && child.nbytes < r->max_nbytes && child.weight >= r->least)
            visit(r, &child, next);
    }
}

static int compare_bytes(const void *a, const void *b) {
    const entry *x = a, *y = b;
    const size_t n = x->nbytes < y->nbytes ? x->nbytes : y->nbytes;
    const int order = memcmp(x->bytes, y->bytes, n);
    return order ? order : (x->nbytes > y->nbytes) - (x->nbytes < y->nbytes);
}
static int compare_weights(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->accepted != y->accepted) return y->accepted - x->accepted;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    return compare_bytes(a, b);
}

/* The n_wanted best, and single bytes; in bytewise order. */
static void choose(reference *r, size_t n_wanted) {
    size_t n = 0, n_accepted = 0;
    qsort(r->entries, r->n, sizeof *r->entries, compare_weights);
    for (size_t i = 0; i < r->n; ++i) {
        n_accepted += r->entries[i].accepted;
        if ((i < n_wanted && r->entries[i].accepted) || r->entries[i].nbytes == 1)
            r->entries[n++] = r->entries[i];
    }
    CHECK(n_accepted >= n_wanted || r->least == 0); /* else the bound was too high */
    qsort(r->entries, n, sizeof *r->entries, compare_bytes);
    r->n = n;
}

static void compare(const reference *r, const isb__candidates *found) {
    size_t differ = found->n != r->n;
    for (size_t i = 0; i < r->n && !differ; ++i) {
        const size_t n = (size_t)(found->offsets[i + 1] - found->offsets[i]);
        differ = n != r->entries[i].nbytes || found->weights[i] != r->entries[i].weight ||
                 memcmp(found->bytes + found->offsets[i], r->entries[i].bytes, n) != 0;
    }
    CHECK_EQ(found->n, r->n);
    CHECK_EQ(differ, 0);
}

static void test_search(const isb__kind *kind, int order, size_t n_wanted, size_t max_nbytes,
                        double least) {
    static const size_t streams[] = {1, 3, 64};
    isb__cdf_source source;
    reference r = {.source = &source, .kind = kind, .max_nbytes = max_nbytes, .least = least};
    r.entries = malloc(MAX_ENTRIES * sizeof *r.entries);
    CHECK_FATAL(r.entries);
    CHECK_OK(ctx, toy_source_create(ctx, order, 300, 1, &source));
    visit(&r, &(entry){.weight = 1}, ISB__KIND_START);
    source.free(source.self);
    choose(&r, n_wanted);
    for (size_t i = 0; i < sizeof streams / sizeof *streams; ++i) {
        isb__candidates found;
        CHECK_OK(ctx, toy_source_create(ctx, order, 300, streams[i], &source));
        CHECK_OK(ctx, isb__search_m1(ctx, &source, kind, n_wanted, max_nbytes, &found));
        compare(&r, &found);
        isb__candidates_free(ctx, &found);
        source.free(source.self);
    }
    free(r.entries);
}

/* All bytes weigh the same but 0, which has what rounding leaves: 256 single bytes, 511 pairs with a 0, and of the
 * 65,025 that weigh the same the first ones. */
static void test_ties(void) {
    enum { WANTED = 1000, N_TIED = WANTED - 256 - 511 };
    uint64_t counts[ISB__N_SYMBOLS];
    const isb__kind kind = everything();
    isb__cdf_source source;
    isb__candidates found;
    size_t n_tied = 0;
    for (int x = 0; x < ISB__N_SYMBOLS; ++x) counts[x] = 1;
    CHECK_OK(ctx, isb__cdf_source_static(ctx, counts, &source));
    CHECK_OK(ctx, isb__search_m1(ctx, &source, &kind, WANTED, 4, &found));
    CHECK_EQ(found.n, WANTED);
    for (size_t i = 0; i < found.n; ++i) {
        const uint8_t *pair = found.bytes + found.offsets[i];
        if (found.offsets[i + 1] - found.offsets[i] == 1 || pair[0] == 0 || pair[1] == 0) continue;
        CHECK(found.offsets[i + 1] - found.offsets[i] == 2);
        CHECK_EQ(pair[0], 1);
        CHECK_EQ(pair[1], ++n_tied);
    }
    CHECK_EQ(n_tied, N_TIED);
    isb__candidates_free(ctx, &found);
    source.free(source.self);
}

static int compare_down(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static void test_nth_largest(void) {
    double values[300], copy[300];
    for (int turn = 0; turn < 2000; ++turn) {
        const size_t n = 1 + (size_t)isb__rng_below(&rng, 300);
        const uint64_t range =
            1 + isb__rng_below(&rng, turn % 2 ? 5 : 1000); /* many equal, or few */
        for (size_t i = 0; i < n; ++i) values[i] = copy[i] = (double)isb__rng_below(&rng, range);
        const size_t wanted = 1 + (size_t)isb__rng_below(&rng, n);
        qsort(copy, n, sizeof *copy, compare_down);
        CHECK(isb__nth_largest(values, n, wanted) == copy[wanted - 1]);
    }
}

int main(int argc, char **argv) {
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    const isb__kind all = everything(), some = picky();
    test_search(&all, 2, 3000, 12, 2e-5);
    test_search(&all, 0, 256, 4, 1e-4);
    test_search(&all, 1, 5000, 3, 1e-6);
    test_search(&some, 2, 2000, 10, 1e-6);
    test_search(&all, 2, 40, 1, 0);
    test_search(&some, 2, 1, 8, 1e-2);
    test_search(&some, 1, 30000, 3, 0); /* fewer than that exist */
    test_ties();
    test_nth_largest();
    isb_context_free(ctx);
    return check_end();
}
