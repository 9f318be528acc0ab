/* Kinds, counting by suffix array against counting by hand, and what choosing must keep. */
#include "check.h"

#include "base/rng.h"
#include "codebook/choose.h"
#include "codebook/codebook.h"
#include "codebook/kind.h"
#include "codebook/suffixes.h"

static isb__kind kind_named(isb_context *ctx, const char *name) {
    isb__kind kind;
    CHECK_OK(ctx, isb__kind_by_name(ctx, name, &kind));
    return kind;
}

static bool accepts(const isb__kind *kind, const char *text) {
    return isb__kind_accepts(kind, (const uint8_t *)text, strlen(text));
}

enum { N_KINDS = 5 };
static const char *const kind_names[N_KINDS] = {"word", "phrase", "run", "words", "free"};

static void test_kinds(isb_context *ctx) {
    static const struct {
        const char *text;
        const char *kinds; /* first letters: w word, p phrase, r run, s words, f free */
    } cases[] = {
        {"", ""},
        {"a", "wprsf"},
        {" ", "wprsf"},
        {"\n", "wprsf"},
        {"the", "wprsf"},
        {" the", "wprf"},
        {"the ", "sf"},
        {"of the ", "sf"},
        {"of the", "f"},
        {" of the", "pf"},
        {"    ", "wprsf"},
        {"  a", "f"},
        {"end.\n", "rsf"},
        {".\n\n", "wprsf"},
        {" end.\n", "rf"},
        {"the end.\n", "sf"},
        {"\na", ""},
        {"\n\n\n", "wprsf"},
        {"a\nb", ""},
        {" \n", "f"},
        {"\xff\x80", "wprsf"},
        {"of  ", "f"},
        {"don't", "wprsf"},
        {" time,", "rf"},
        {" 2024", "wprf"},
        {"a1", "rsf"},
        {" (", "wprf"},
        {" in 19", "f"},
        {" a b c", "pf"},
        {" a  b", "f"},
        {"...", "wprsf"},
        {" of the ", "f"},
    };
    static const char letters[] = "wprsf";
    for (int k = 0; k < N_KINDS; ++k) {
        const isb__kind kind = kind_named(ctx, kind_names[k]);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
            const bool expected = strchr(cases[i].kinds, letters[k]) != NULL;
            if (accepts(&kind, cases[i].text) != expected)
                printf("%s: \"%s\"\n", kind_names[k], cases[i].text);
            CHECK_EQ(accepts(&kind, cases[i].text), expected);
        }
        for (int byte = 0; byte < 256; ++byte) { /* every byte is a string of every kind */
            const uint8_t b = (uint8_t)byte;
            CHECK(isb__kind_accepts(&kind, &b, 1));
        }
    }
    isb__kind none;
    CHECK_EQ(isb__kind_by_name(ctx, "wrod", &none), ISB_ERR_ARGUMENT);
    CHECK(strstr(isb_context_error(ctx), "words") != NULL);
}

enum { N_BYTES = 400, MAX_NBYTES = 6 };

typedef struct toy {
    uint8_t bytes[N_BYTES];
    uint64_t ends[4], places[N_BYTES / 64 + 1];
    uint8_t covered[N_BYTES];
    isb__text text;
} toy;

static void make_toy(toy *t, isb__rng *rng) {
    static const char alphabet[] = "ab \n";
    memset(t, 0, sizeof *t);
    for (int i = 0; i < N_BYTES; ++i) t->bytes[i] = (uint8_t)alphabet[isb__rng_below(rng, 4)];
    for (int d = 0; d < 4; ++d) {
        t->ends[d] = (uint64_t)(d + 1) * N_BYTES / 4 - 1;
        t->bytes[t->ends[d]] = '\n';
    }
    for (int i = 0; i < N_BYTES; ++i) {
        if (isb__rng_below(rng, 2)) t->places[i / 64] |= 1ull << (i % 64);
        t->covered[i] = (uint8_t)isb__rng_below(rng, 4);
    }
    t->text = (isb__text){t->bytes, N_BYTES, t->ends, 4};
}

static bool at_place(const toy *t, size_t i) { return t->places[i / 64] >> (i % 64) & 1; }

/* Occurrences at places: all, and those that are not covered. */
static void count_by_hand(const toy *t, const uint8_t *bytes, size_t n, uint32_t *all,
                          uint32_t *uncovered) {
    *all = *uncovered = 0;
    for (size_t i = 0; i + n <= N_BYTES; ++i) {
        if (!at_place(t, i) || memcmp(t->bytes + i, bytes, n) != 0) continue;
        ++*all;
        *uncovered += n > t->covered[i];
    }
}

/* A string that must end a word may be followed by a letter in 1 / 20 of its places. */
static bool may_end(const toy *t, const isb__kind *kind, const uint8_t *bytes, size_t n) {
    uint8_t state = ISB__KIND_START;
    for (size_t i = 0; i < n; ++i) state = kind->step[state][bytes[i]];
    if (!kind->accepts[state]) return false;
    uint32_t all = 0, inside = 0;
    for (size_t i = 0; i + n <= N_BYTES; ++i) {
        if (!at_place(t, i) || memcmp(t->bytes + i, bytes, n) != 0) continue;
        ++all;
        inside += i + n < N_BYTES && (t->bytes[i + n] == 'a' || t->bytes[i + n] == 'b');
    }
    return !kind->whole[state] || inside <= all / 20;
}

static bool is_found(const toy *t, const isb__found_string *found, size_t n_found,
                     const uint8_t *bytes, size_t n, uint32_t count) {
    for (size_t i = 0; i < n_found; ++i) {
        if (found[i].nbytes == n && memcmp(t->bytes + found[i].place, bytes, n) == 0)
            return found[i].count == count;
    }
    return false;
}

/* A longer accepted string with the same places stands for this one. */
static bool has_longer_twin(const toy *t, const isb__kind *kind, const uint8_t *bytes, size_t n,
                            uint32_t all) {
    const size_t left = (size_t)(t->bytes + N_BYTES - bytes);
    for (size_t m = n + 1; m <= MAX_NBYTES && m <= left; ++m) {
        uint32_t longer, uncovered;
        count_by_hand(t, bytes, m, &longer, &uncovered);
        if (longer == all && may_end(t, kind, bytes, m)) return true;
    }
    return false;
}

static void check_counts(isb_context *ctx, const toy *t, const isb__kind *kind, bool covered,
                         const int32_t *suffixes) {
    const isb__string_query query = {.text = &t->text,
                                     .suffixes = suffixes,
                                     .places = t->places,
                                     .covered = covered ? t->covered : NULL,
                                     .kind = kind,
                                     .max_nbytes = MAX_NBYTES,
                                     .min_count = 2};
    isb__found_string *found;
    size_t n_found;
    CHECK_OK(ctx, isb__count_strings(ctx, &query, &found, &n_found));
    CHECK(n_found > 5);
    for (size_t i = 0; i < n_found; ++i) { /* what is found is right */
        uint32_t all, uncovered;
        count_by_hand(t, t->bytes + found[i].place, found[i].nbytes, &all, &uncovered);
        CHECK_EQ(found[i].count, covered ? uncovered : all);
        CHECK(may_end(t, kind, t->bytes + found[i].place, found[i].nbytes));
    }
    for (size_t i = 0; i < N_BYTES; ++i) { /* and what there is, is found */
        for (size_t n = 1; n <= MAX_NBYTES && i + n <= N_BYTES; ++n) {
            uint32_t all, uncovered;
            const uint8_t *bytes = t->bytes + i;
            count_by_hand(t, bytes, n, &all, &uncovered);
            const uint32_t count = covered ? uncovered : all;
            if (!at_place(t, i) || count < 2 || !may_end(t, kind, bytes, n)) continue;
            CHECK(is_found(t, found, n_found, bytes, n, count) ||
                  has_longer_twin(t, kind, bytes, n, all));
        }
    }
    isb__free(ctx, found);
}

static void test_counts(isb_context *ctx, uint64_t seed) {
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int round = 0; round < 6; ++round) {
        toy t;
        make_toy(&t, &rng);
        int32_t *suffixes;
        CHECK_OK(ctx, isb__suffix_array(ctx, &t.text, &suffixes));
        for (int k = 0; k < N_KINDS; ++k) {
            const isb__kind kind = kind_named(ctx, kind_names[k]);
            check_counts(ctx, &t, &kind, false, suffixes);
            check_counts(ctx, &t, &kind, true, suffixes);
        }
        isb__free(ctx, suffixes);
    }
}

/* Rounds as they are reported. */
typedef struct rounds {
    int n;
    uint64_t least_tokens;
} rounds;
static void note_round(void *user, const isb_codebook_round *round) {
    rounds *r = user;
    ++r->n;
    if (strcmp(round->phase, "choose") != 0) return;
    if (r->least_tokens == 0 || round->n_tokens < r->least_tokens)
        r->least_tokens = round->n_tokens;
}

static bool has_string(const isb__candidates *c, const char *text) {
    for (size_t i = 0; i < c->n; ++i) {
        if (c->offsets[i + 1] - c->offsets[i] == strlen(text) &&
            memcmp(c->bytes + c->offsets[i], text, strlen(text)) == 0)
            return true;
    }
    return false;
}

static void test_choose(isb_context *ctx, uint64_t seed) {
    static const char *const vocabulary[] = {"the", "cat", "sat", "on", "mat", "of", "in", "dogs"};
    isb__rng rng;
    isb__rng_seed(&rng, seed + 1);
    static uint8_t bytes[40000];
    static uint64_t ends[1];
    size_t n = 0;
    while (n < sizeof bytes - 8) {
        const char *word = vocabulary[isb__rng_below(&rng, 8)];
        memcpy(bytes + n, word, strlen(word));
        n += strlen(word);
        bytes[n++] = ' ';
    }
    ends[0] = n;
    bytes[n++] = '\n';
    const isb__text text = {bytes, n, ends, 1};
    for (int by_use = 0; by_use < 2; ++by_use) {
        for (int k = 0; k < N_KINDS; ++k) {
            const isb__kind kind = kind_named(ctx, kind_names[k]);
            rounds r = {0, 0};
            const isb__choose_job job = {.ctx = ctx,
                                         .text = &text,
                                         .kind = &kind,
                                         .n_strings = 280,
                                         .max_nbytes = 16,
                                         .n_rounds = 3,
                                         .by_use = by_use,
                                         .report = note_round,
                                         .report_user = &r};
            isb__candidates chosen;
            CHECK_OK(ctx, isb__choose(&job, &chosen));
            CHECK(chosen.n >= 256 && chosen.n <= 280);
            CHECK(r.n >= 4);
            const char *name = kind_names[k];
            if (strcmp(name, "word") == 0 || strcmp(name, "run") == 0)
                CHECK(has_string(&chosen, " the") && has_string(&chosen, " dogs"));
            if (strcmp(name, "words") == 0)
                CHECK(has_string(&chosen, "the ") && has_string(&chosen, "dogs "));
            double uses = 0;
            for (size_t i = 0; i < chosen.n; ++i) {
                const uint8_t *s = chosen.bytes + chosen.offsets[i];
                const size_t length = chosen.offsets[i + 1] - chosen.offsets[i];
                CHECK(isb__kind_accepts(&kind, s, length));
                uses += chosen.weights[i];
            }
            /* By use, the set that is given is the best of those seen. */
            if (by_use) CHECK((uint64_t)uses <= r.least_tokens);
            CHECK(uses > 0 && uses < (double)n / 3);
            isb__candidates_free(ctx, &chosen);
        }
    }
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    test_kinds(ctx);
    test_counts(ctx, seed);
    test_choose(ctx, seed);
    isb_context_free(ctx);
    return check_end();
}
