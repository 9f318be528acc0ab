/* What tokens share: features of their strings, hashed into buckets (Weinberger et al. 2009; character
 * n-grams of words for word vectors: Bojanowski et al. 2017).
 *
 * A *word* is a maximal run of ASCII letters, digits and bytes from 0x80 on, its ASCII letters made
 * small.  Of `" The cat"` the features are
 *
 *     word       the | cat
 *     3-grams    <th the he> | <ca cat at>        characters of <word>, which < and > enclose
 *     4-grams    <the the> | <cat cat>
 *     first      ' '                              first byte, as it is: space, capital
 *     last       't'                              last byte
 *     words      2                                number of words
 *
 * each kind hashed by itself: "the" as a word and as a 3-gram are two features.  A string with n
 * features gives each the weight 1 / sqrt(n), so that the sum of n independent vectors is as long as
 * one of them; features that occur twice, or fall into one bucket, add up.  A character is a UTF-8
 * sequence where the bytes are one, else a byte: strings may hold anything and be cut anywhere. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "nn/compose.h"

typedef enum feature_kind {
    KIND_WORD = 1,
    KIND_3_GRAM,
    KIND_4_GRAM,
    KIND_FIRST,
    KIND_LAST,
    KIND_WORDS
} feature_kind;

typedef struct builder {
    isb_context *ctx;
    isb__compose_map *map;
    size_t features_capacity, weights_capacity; /* of the map's arrays; n_weights are in use */
    uint8_t *word;                              /* "<word>" of the string at hand */
    size_t word_capacity;
} builder;

/* ---- the features of a string ---- */

static isb_status add(builder *b, feature_kind kind, const uint8_t *bytes, size_t nbytes) {
    isb__compose_map *map = b->map;
    ISB_TRY(isb__grow_array(b->ctx, map->n_weights + 1, sizeof *map->feature, &b->features_capacity,
                            &map->feature));
    map->feature[map->n_weights++] =
        (uint32_t)(isb__hash64(bytes, nbytes, (uint64_t)kind) % map->n_features);
    return ISB_OK;
}

static bool is_word_byte(uint8_t c) {
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static uint8_t small(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c; }

/* Bytes of the character at p, of `left` bytes. */
static size_t character_nbytes(const uint8_t *p, size_t left) {
    const size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 1;
    if (n > left) return 1;
    for (size_t i = 1; i < n; ++i) {
        if ((p[i] & 0xc0) != 0x80) return 1;
    }
    return n;
}

static isb_status add_grams(builder *b, feature_kind kind, size_t n_characters, const uint8_t *text,
                            size_t nbytes) {
    for (size_t begin = 0; begin < nbytes;
         begin += character_nbytes(text + begin, nbytes - begin)) {
        size_t end = begin, n = 0;
        for (; n < n_characters && end < nbytes; ++n)
            end += character_nbytes(text + end, nbytes - end);
        if (n < n_characters) break;
        ISB_TRY(add(b, kind, text + begin, end - begin));
    }
    return ISB_OK;
}

static isb_status add_word(builder *b, const uint8_t *word, size_t nbytes) {
    ISB_TRY(isb__grow_array(b->ctx, nbytes + 2, 1, &b->word_capacity, &b->word));
    b->word[0] = '<';
    for (size_t i = 0; i < nbytes; ++i) b->word[1 + i] = small(word[i]);
    b->word[nbytes + 1] = '>';
    ISB_TRY(add(b, KIND_WORD, b->word + 1, nbytes));
    ISB_TRY(add_grams(b, KIND_3_GRAM, 3, b->word, nbytes + 2));
    return add_grams(b, KIND_4_GRAM, 4, b->word, nbytes + 2);
}

static isb_status add_string(builder *b, const uint8_t *text, size_t nbytes) {
    uint64_t n_words = 0;
    if (nbytes == 0) return ISB_OK;
    for (size_t begin = 0, end; begin < nbytes; begin = end) {
        for (end = begin; end < nbytes && is_word_byte(text[end]);) ++end;
        if (end > begin) {
            ISB_TRY(add_word(b, text + begin, end - begin));
            ++n_words;
        }
        while (end < nbytes && !is_word_byte(text[end])) ++end;
    }
    ISB_TRY(add(b, KIND_FIRST, text, 1));
    ISB_TRY(add(b, KIND_LAST, text + nbytes - 1, 1));
    return add(b, KIND_WORDS, (const uint8_t *)&n_words, sizeof n_words);
}

/* ---- W ---- */

static int compare_buckets(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The features added since `begin`, sorted, equal ones made one whose weight is the sum. */
static isb_status finish_row(builder *b, size_t begin) {
    isb__compose_map *map = b->map;
    const size_t n = map->n_weights - begin;
    const float weight = (float)(1 / sqrt((double)n));
    uint32_t *buckets = map->feature + begin;
    ISB_TRY(isb__grow_array(b->ctx, map->n_weights + 1, sizeof *map->weight, &b->weights_capacity,
                            &map->weight));
    if (n > 1) qsort(buckets, n, sizeof *buckets, compare_buckets);
    size_t end = begin;
    for (size_t i = 0; i < n; ++i) {
        if (i > 0 && buckets[i] == buckets[i - 1]) {
            map->weight[end - 1] += weight;
            continue;
        }
        map->feature[end] = buckets[i];
        map->weight[end++] = weight;
    }
    map->n_weights = end;
    return ISB_OK;
}

static isb_status fill(builder *b, size_t n_strings, const uint64_t *begin, const uint8_t *bytes) {
    isb__compose_map *map = b->map;
    ISB_TRY(isb__alloc_array(b->ctx, map->n_rows + 1, sizeof *map->row_begin, &map->row_begin));
    for (size_t r = 0; r < map->n_rows; ++r) {
        if (r < n_strings) {
            ISB_TRY(add_string(b, bytes + begin[r], (size_t)(begin[r + 1] - begin[r])));
            ISB_TRY(finish_row(b, map->row_begin[r]));
        }
        if (map->n_weights > UINT32_MAX) {
            return isb__fail(b->ctx, ISB_ERR_RANGE,
                             "the strings of the first %zu ids have more than 2^32 features; a "
                             "vocabulary's strings are shorter",
                             r + 1);
        }
        map->row_begin[r + 1] = (uint32_t)map->n_weights;
    }
    return ISB_OK;
}

isb_status isb__compose_map_create(isb_context *ctx, size_t n_rows, size_t n_strings,
                                   const uint64_t *begin, const uint8_t *bytes, size_t n_features,
                                   isb__compose_map **map) {
    builder b = {.ctx = ctx};
    *map = NULL;
    if (n_features == 0 || n_features > UINT32_MAX || n_rows >= UINT32_MAX) {
        return isb__fail(ctx, ISB_ERR_RANGE, "%zu buckets for %zu ids; both are 1 to 2^32 - 2",
                         n_features, n_rows);
    }
    ISB_TRY(isb__alloc(ctx, sizeof *b.map, &b.map));
    *b.map = (isb__compose_map){.ctx = ctx, .n_rows = n_rows, .n_features = n_features};
    const isb_status status = fill(&b, n_strings, begin, bytes);
    isb__free(ctx, b.word);
    if (status != ISB_OK) {
        isb__compose_map_free(b.map);
        return status;
    }
    *map = b.map;
    return ISB_OK;
}
