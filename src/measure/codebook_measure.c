/* isb_codebook_measure(): how a codebook treats text.
 *
 * Length is not all that matters in tokens.  A model learns words faster from tokens that are whole
 * words, and from words that are always cut alike: Lester et al. 2024 (section 6 and table 7) find
 * equal-information windows cut one word in many ways, where SentencePiece has one.  Their figure 8
 * asks how far a change of the text goes on changing tokens after it; here the change is one byte,
 * anywhere. */
#include <isobit/codebook.h>

#include <string.h>

#include "base/context.h"
#include "base/hash.h"
#include "base/rng.h"

enum {
    MIN_OCCURRENCES = 10,
    EDIT_EVERY_NBYTES = 16384,
    EDIT_BEFORE_NBYTES = 512, /* what is encoded again begins at the token so far before an edit, */
    EDIT_AFTER_NBYTES = 4096, /* and ends so far after it */
    EDIT_SPAN_NBYTES = EDIT_BEFORE_NBYTES + 255 + EDIT_AFTER_NBYTES + 1,
    EDIT_SEED = 1
};

/* Words of the list by hash; open addressing. */
typedef struct word_entry {
    const char *word; /* borrowed; NULL: free */
    size_t nbytes;
    uint64_t n_occurrences, n_spellings;
} word_entry;

typedef struct measuring {
    isb_context *ctx;
    const isb_codebook *codebook;
    isb_codebook_measures sums;
    uint64_t n_whole, n_edits, n_edit_tokens;
    uint8_t *used; /* [n_ids] */

    uint32_t *ids;     /* [capacity] of the document */
    uint64_t *offsets; /* [capacity + 1] */
    size_t capacity;

    word_entry *words; /* [word_mask + 1], or NULL */
    size_t word_mask;
    uint64_t *spellings; /* a set of hashes of (word, ids); 0: free */
    size_t spelling_mask, n_spellings;

    isb__rng rng;
    uint8_t edited[EDIT_SPAN_NBYTES];
    uint32_t before[EDIT_SPAN_NBYTES], after[EDIT_SPAN_NBYTES];
} measuring;

static bool is_word_byte(uint8_t c) {
    return c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* Does a word go on from text[at - 1] to text[at]? */
static bool is_inside_word(const isb_codebook_text *text, size_t at) {
    return at > 0 && at < text->nbytes && is_word_byte(text->bytes[at - 1]) &&
           is_word_byte(text->bytes[at]);
}

/* ---- whole words ---- */

static bool is_whole(const isb_codebook_text *text, size_t begin, size_t end) {
    if (is_inside_word(text, begin) || is_inside_word(text, end)) return false;
    for (size_t i = begin; i < end; ++i) {
        if (is_word_byte(text->bytes[i])) return true;
    }
    return false;
}

/* ---- spellings ---- */

static word_entry *find_word(const measuring *m, const char *bytes, size_t nbytes) {
    size_t at = isb__hash64(bytes, nbytes, 0) & m->word_mask;
    while (m->words[at].word &&
           (m->words[at].nbytes != nbytes || memcmp(m->words[at].word, bytes, nbytes) != 0)) {
        at = (at + 1) & m->word_mask;
    }
    return &m->words[at];
}

static isb_status index_words(measuring *m, const char *const *words, size_t n_words) {
    size_t size = 16;
    while (size < 2 * n_words) size *= 2;
    ISB_TRY(isb__alloc_array(m->ctx, size, sizeof *m->words, &m->words));
    m->word_mask = size - 1;
    for (size_t i = 0; i < n_words; ++i) {
        const size_t nbytes = strlen(words[i]);
        word_entry *entry = find_word(m, words[i], nbytes);
        entry->word = words[i];
        entry->nbytes = nbytes;
    }
    return ISB_OK;
}

/* False: it is there already. */
static bool put_spelling(uint64_t *table, size_t mask, uint64_t hash) {
    size_t at = hash & mask;
    while (table[at] != 0) {
        if (table[at] == hash) return false;
        at = (at + 1) & mask;
    }
    table[at] = hash;
    return true;
}

/* At most half of the table is used. */
static isb_status grow_spellings(measuring *m) {
    if (m->spellings && 2 * (m->n_spellings + 1) <= m->spelling_mask) return ISB_OK;
    const size_t size = m->spellings ? 2 * (m->spelling_mask + 1) : 4096;
    uint64_t *table = NULL;
    ISB_TRY(isb__alloc_array(m->ctx, size, sizeof *table, &table));
    for (size_t i = 0; m->spellings && i <= m->spelling_mask; ++i) {
        if (m->spellings[i] != 0) (void)put_spelling(table, size - 1, m->spellings[i]);
    }
    isb__free(m->ctx, m->spellings);
    m->spellings = table;
    m->spelling_mask = size - 1;
    return ISB_OK;
}

/* A word of the list whose tokens are ids[first .. last]. */
static isb_status count_spelling(measuring *m, word_entry *word, size_t first, size_t last) {
    ISB_TRY(grow_spellings(m));
    const uint64_t seed = (uint64_t)(word - m->words) + 1;
    const uint64_t hash =
        isb__hash64(m->ids + first, (last - first + 1) * sizeof *m->ids, seed) | 1;
    ++word->n_occurrences;
    if (!put_spelling(m->spellings, m->spelling_mask, hash)) return ISB_OK;
    ++m->n_spellings;
    ++word->n_spellings;
    return ISB_OK;
}

/* All words of a document; `token` moves along with them. */
static isb_status count_spellings(measuring *m, const isb_codebook_text *text, size_t n_ids) {
    const char *bytes = (const char *)text->bytes;
    size_t token = 0;
    for (size_t begin = 0, end = 0; begin < text->nbytes; begin = end) {
        while (begin < text->nbytes && !is_word_byte(text->bytes[begin])) ++begin;
        for (end = begin; end < text->nbytes && is_word_byte(text->bytes[end]);) ++end;
        if (begin == end) break;
        while (token + 1 < n_ids && m->offsets[token + 1] <= begin) ++token;
        size_t last = token;
        while (last + 1 < n_ids && m->offsets[last + 1] < end) ++last;
        word_entry *word = find_word(m, bytes + begin, end - begin);
        if (word->word) ISB_TRY(count_spelling(m, word, token, last));
    }
    return ISB_OK;
}

/* ---- edits ---- */

/* Puts in, takes out or replaces a byte at edited[at] of n; the new length. */
static size_t edit(measuring *m, const isb_codebook_text *text, size_t at, size_t n) {
    uint64_t sort = isb__rng_below(&m->rng, 3);
    const uint8_t byte = text->bytes[isb__rng_below(&m->rng, text->nbytes)];
    uint8_t *place = m->edited + at;
    if (sort == 2 && *place == byte) sort = 0; /* that would be no edit */
    if (sort == 0) memmove(place + 1, place, n - at);
    if (sort == 1) memmove(place, place + 1, n - at - 1);
    if (sort != 1) *place = byte;
    return sort == 0 ? n + 1 : sort == 1 ? n - 1 : n;
}

/* New tokens between the common beginning and the common end. */
static size_t count_changed(const uint32_t *a, size_t n, const uint32_t *b, size_t m) {
    size_t head = 0, tail = 0;
    while (head < n && head < m && a[head] == b[head]) ++head;
    while (tail < n - head && tail < m - head && a[n - 1 - tail] == b[m - 1 - tail]) ++tail;
    return m - head - tail;
}

/* An edit at text[at].  Greedy matching goes from left to right, so tokens that end before any
 * string could reach the edit stay: encoding begins again at the start of a token, and its end is
 * the same for both texts. */
static isb_status measure_edit(measuring *m, const isb_codebook_text *text, size_t n_ids,
                               size_t at) {
    size_t low = 0, high = n_ids; /* the last token that begins at or before at - EDIT_BEFORE */
    const size_t border = at > EDIT_BEFORE_NBYTES ? at - EDIT_BEFORE_NBYTES : 0;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (m->offsets[middle] <= border) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const size_t begin = (size_t)m->offsets[low];
    const size_t left = text->nbytes - at;
    const size_t end = at + (left < EDIT_AFTER_NBYTES ? left : EDIT_AFTER_NBYTES);
    size_t n_before = 0, n_after = 0;
    ISB_TRY(isb_codebook_encode(m->codebook, text->bytes + begin, end - begin, m->before,
                                EDIT_SPAN_NBYTES, &n_before));
    memcpy(m->edited, text->bytes + begin, end - begin);
    const size_t nbytes = edit(m, text, at - begin, end - begin);
    ISB_TRY(isb_codebook_encode(m->codebook, m->edited, nbytes, m->after, EDIT_SPAN_NBYTES,
                                &n_after));
    ++m->n_edits;
    m->n_edit_tokens += count_changed(m->before, n_before, m->after, n_after);
    return ISB_OK;
}

static isb_status measure_edits(measuring *m, const isb_codebook_text *text, size_t n_ids) {
    for (size_t piece = 0; piece < text->nbytes; piece += EDIT_EVERY_NBYTES) {
        const size_t left = text->nbytes - piece;
        const size_t n = left < EDIT_EVERY_NBYTES ? left : EDIT_EVERY_NBYTES;
        ISB_TRY(measure_edit(m, text, n_ids, piece + (size_t)isb__rng_below(&m->rng, n)));
    }
    return ISB_OK;
}

/* ---- documents ---- */

static isb_status reserve(measuring *m, size_t nbytes) {
    const size_t needed = isb_codebook_encode_bound(nbytes);
    if (needed <= m->capacity && m->offsets) return ISB_OK;
    isb__free(m->ctx, m->ids);
    isb__free(m->ctx, m->offsets);
    m->ids = NULL;
    m->offsets = NULL;
    m->capacity = needed + needed / 2;
    ISB_TRY(isb__alloc_array(m->ctx, m->capacity, sizeof *m->ids, &m->ids));
    return isb__alloc_array(m->ctx, m->capacity + 1, sizeof *m->offsets, &m->offsets);
}

static isb_status measure_document(measuring *m, const isb_codebook_text *text) {
    size_t n_ids = 0;
    ++m->sums.n_documents;
    if (text->nbytes == 0) return ISB_OK;
    ISB_TRY(reserve(m, text->nbytes));
    ISB_TRY(
        isb_codebook_encode(m->codebook, text->bytes, text->nbytes, m->ids, m->capacity, &n_ids));
    ISB_TRY(isb_codebook_offsets(m->codebook, m->ids, n_ids, m->offsets));
    m->sums.n_bytes += text->nbytes;
    m->sums.n_tokens += n_ids;
    for (size_t i = 0; i < n_ids; ++i) {
        m->used[m->ids[i]] = 1;
        m->n_whole += is_whole(text, (size_t)m->offsets[i], (size_t)m->offsets[i + 1]);
    }
    if (m->words) ISB_TRY(count_spellings(m, text, n_ids));
    return measure_edits(m, text, n_ids);
}

static isb_status measure_corpus(measuring *m, isb_corpus *corpus) {
    isb__progress_state progress;
    isb__progress_begin(&progress, m->ctx, "measure", "byte", 0);
    for (;;) {
        isb_codebook_text text;
        ISB_TRY(isb__check_cancel(m->ctx));
        ISB_TRY(isb_corpus_next(corpus, &text.bytes, &text.nbytes));
        if (!text.bytes) break;
        ISB_TRY(measure_document(m, &text));
        isb__progress_update(&progress, (double)m->sums.n_bytes, "");
    }
    isb__progress_end(&progress, (double)m->sums.n_bytes, "");
    if (m->sums.n_bytes > 0) return ISB_OK;
    return isb__fail(m->ctx, ISB_ERR_EMPTY, "the text to measure on is empty");
}

/* ---- results ---- */

static void finish_words(measuring *m) {
    uint64_t n_spellings = 0;
    for (size_t i = 0; m->words && i <= m->word_mask; ++i) {
        if (m->words[i].n_occurrences < MIN_OCCURRENCES) continue;
        ++m->sums.n_words;
        n_spellings += m->words[i].n_spellings;
    }
    if (m->sums.n_words == 0) return;
    m->sums.spellings_per_word = (double)n_spellings / (double)m->sums.n_words;
}

static void finish(measuring *m, int64_t n_ids, isb_codebook_measures *measures) {
    isb_codebook_measures *s = &m->sums;
    s->struct_size = sizeof *s;
    s->bytes_per_token = (double)s->n_bytes / (double)s->n_tokens;
    s->whole_word_share = (double)m->n_whole / (double)s->n_tokens;
    s->edit_tokens_changed = (double)m->n_edit_tokens / (double)m->n_edits;
    for (int64_t id = 0; id < n_ids; ++id) s->n_used += m->used[id];
    finish_words(m);
    *measures = *s;
}

static void measuring_free(measuring *m) {
    isb_context *ctx = m->ctx;
    isb__free(ctx, m->used);
    isb__free(ctx, m->ids);
    isb__free(ctx, m->offsets);
    isb__free(ctx, m->words);
    isb__free(ctx, m->spellings);
    isb__free(ctx, m);
}

isb_status isb_codebook_measure(isb_context *ctx, const isb_codebook *codebook,
                                const char *const *paths, size_t n_paths,
                                const isb_corpus_options *corpus_options, const char *const *words,
                                size_t n_words, isb_codebook_measures *measures) {
    if (!codebook || !measures || (words == NULL) != (n_words == 0)) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "codebook, measures, or one of words and n_words "
                                                "is missing");
    }
    if (measures->struct_size != sizeof *measures) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "isb_codebook_measures.struct_size is %zu, expected %zu",
                         measures->struct_size, sizeof *measures);
    }
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(codebook, &info);
    isb_corpus *corpus = NULL;
    measuring *m = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *m, &m));
    m->ctx = ctx;
    m->codebook = codebook;
    isb__rng_seed(&m->rng, EDIT_SEED);
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__alloc(ctx, (size_t)info.n_ids, &m->used));
    if (words) ISB_TRY_GOTO(index_words(m, words, n_words));
    ISB_TRY_GOTO(isb_corpus_open(ctx, paths, n_paths, corpus_options, &corpus));
    ISB_TRY_GOTO(measure_corpus(m, corpus));
    finish(m, info.n_ids, measures);
fail:
    isb_corpus_free(corpus);
    measuring_free(m);
    return status;
}
