/* Models and texts of the determinism matrix (docs/determinism.md), from a fixed generator in integer arithmetic: no
 * libm, no training.  A model is made as the bytes of its file, docs/m1.md: so the file is in the matrix as well. */
#ifndef ISB_TESTS_MATRIX_MODELS_H
#define ISB_TESTS_MATRIX_MODELS_H

#include <string.h>

#include "base/hash.h"
#include "check.h"

/* Scales of 1 give hidden values and logits of usual size. */
typedef struct matrix_shape {
    const char *name;
    uint32_t C, H, L, F, T, relu, t5, tied;
    float qkv, o, mlp; /* scales of the layers' matrices */
    int far;           /* one long document; few cells, as it takes long */
} matrix_shape;

/* Sizes that are no multiples of what kernels work on, a context that slides many times in a short text, weights of
 * attention of 14 bits (T > 512), positions past a table of angles.  In `edge` the sum of squares of a norm overflows
 * at about half of the positions, in `hostile` scores of attention do, which makes NaNs of what follows. */
static const matrix_shape matrix_shapes[] = {
    {"nano", 32, 2, 2, 48, 24, 0, 0, 1, 1, 1, 1, 0},
    {"odd", 48, 4, 1, 80, 19, 1, 1, 0, 1, 1, 1, 0},
    {"long", 16, 1, 1, 16, 520, 1, 0, 1, 1, 1, 1, 0},
    {"far", 16, 1, 1, 16, 16, 1, 0, 1, 1, 1, 1, 1},
    {"edge", 32, 4, 2, 32, 17, 0, 1, 0, 0x1.6p+20f, 0x1.6p+20f, 0x1.6p+20f, 0},
    {"hostile", 16, 2, 2, 32, 20, 0, 0, 1, 0x1.3p+64f, 0x1p-60f, 1, 0},
};
enum { MATRIX_N_SHAPES = sizeof matrix_shapes / sizeof *matrix_shapes };

/* Knuth's MMIX generator; the upper half is used. */
static inline uint32_t matrix_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 32);
}

/* ---- the file of a model ---- */
typedef struct matrix_bytes {
    uint8_t *data;
    size_t n;
} matrix_bytes;

static inline void matrix_put(matrix_bytes *out, uint64_t value, int nbytes) {
    for (int i = 0; i < nbytes; i++) out->data[out->n++] = (uint8_t)(value >> (8 * i));
}

static inline void matrix_put_f32(matrix_bytes *out, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    matrix_put(out, bits, 4);
}

/* Between `scale` and twice that. */
static inline void matrix_put_floats(matrix_bytes *out, uint64_t *state, size_t n, float scale) {
    for (size_t i = 0; i < n; i++)
        matrix_put_f32(out, scale + scale * 0x1p-8f * (float)(matrix_random(state) % 256));
}

/* Sums of k products of weights, each within +-127, have a deviation of 73 sqrt(k): scales are about 1 / that. */
static inline void matrix_put_matrix(matrix_bytes *out, uint64_t *state, size_t n, size_t k, float scale) {
    float s = scale * 0x1p-7f;
    for (size_t power = 4; power <= k; power *= 4) s *= 0.5f;
    for (size_t i = 0; i < n * k; i++) {
        const int q = (int)(matrix_random(state) % 255) - 127;
        matrix_put(out, (uint64_t)q, 1);
    }
    matrix_put_floats(out, state, n, s);
}

static inline void matrix_put_header(matrix_bytes *out, const matrix_shape *shape, size_t nbytes) {
    static const char magic[] = "\x89ISBM1\r\n";
    const uint32_t numbers[] = {1, (uint32_t)nbytes, shape->C, shape->H, shape->L, shape->F,
                                257, shape->T, shape->relu, shape->t5, shape->tied};
    for (int i = 0; i < 8; i++) matrix_put(out, (uint8_t)magic[i], 1);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) matrix_put(out, numbers[i], 4);
    matrix_put_f32(out, 0x1p-20f);
    const double theta = 10000;
    uint64_t bits;
    memcpy(&bits, &theta, sizeof bits);
    matrix_put(out, bits, 8);
    memcpy(out->data + out->n, shape->name, strlen(shape->name));
    out->n = 128;
}

static inline void matrix_put_tensors(matrix_bytes *out, const matrix_shape *shape) {
    const size_t C = shape->C, F = shape->F;
    uint64_t state = shape->T;
    matrix_put_matrix(out, &state, 257, C, 4);
    for (size_t layer = 0; layer < shape->L; layer++) {
        matrix_put_floats(out, &state, C, 0.5f);
        matrix_put_matrix(out, &state, 3 * C, C, shape->qkv);
        matrix_put_matrix(out, &state, C, C, shape->o);
        matrix_put_floats(out, &state, C, 0.5f);
        matrix_put_matrix(out, &state, 2 * F, C, shape->mlp);
        matrix_put_matrix(out, &state, C, F, shape->mlp);
        if (shape->t5) matrix_put_floats(out, &state, (size_t)32 * shape->H, 1.0f);
    }
    matrix_put_floats(out, &state, C, 0.5f);
    if (!shape->tied) matrix_put_matrix(out, &state, 257, C, 2);
}

static inline size_t matrix_nbytes(const matrix_shape *shape) {
    const size_t C = shape->C, F = shape->F;
    const size_t vocabulary = 257 * (C + 4);
    const size_t layer = 4 * C * (C + 4) + 2 * F * (C + 4) + C * (F + 4) + 8 * C +
                         (shape->t5 ? 128 * shape->H : 0);
    return 128 + (shape->tied ? 1 : 2) * vocabulary + shape->L * layer + 4 * C + 8;
}

/* The file; free() it. */
static inline matrix_bytes matrix_model(const matrix_shape *shape) {
    const size_t nbytes = matrix_nbytes(shape);
    matrix_bytes out = {calloc(1, nbytes), 0};
    CHECK_FATAL(out.data != NULL);
    matrix_put_header(&out, shape, nbytes);
    matrix_put_tensors(&out, shape);
    CHECK_FATAL(out.n == nbytes - 8);
    isb__hasher *hasher = isb__hasher_create();
    CHECK_FATAL(hasher != NULL);
    isb__hasher_update(hasher, "isobit-m1-2", 12);
    isb__hasher_update(hasher, out.data + 16, 48);
    isb__hasher_update(hasher, out.data + 128, out.n - 128);
    const isb__id128 identity = isb__hasher_finish(hasher);
    memcpy(out.data + 112, identity.bytes, 16);
    matrix_put(&out, isb__hash64(out.data, out.n, 0), 8);
    return out;
}

/* ---- texts: documents of lengths 0, 1, several contexts, and many short ones ---- */
enum { MATRIX_N_DOCUMENTS = 64, MATRIX_N_TEXTS = 2 };
static const char *const matrix_texts[MATRIX_N_TEXTS] = {"words", "bytes"};

typedef struct matrix_document {
    uint8_t *data;
    size_t nbytes;
} matrix_document;

static inline size_t matrix_length(const matrix_shape *shape, size_t document) {
    if (document == 2) return shape->far ? 4200 : shape->T < 100 ? 8 * shape->T : shape->T + 180;
    return document < 2 ? document : document * 37 % 11;
}

static inline void matrix_fill_words(uint64_t *state, uint8_t *data, size_t n) {
    static const char *const words[] = {"the ", "and ", "ship ", "of ", "stone, ", "slowly ", "a ",
                                        "green ", "house. ", "1876 ", "\n\n", "winds "};
    for (size_t i = 0; i < n;) {
        const char *word = words[matrix_random(state) % (sizeof words / sizeof *words)];
        for (; *word && i < n; word++) data[i++] = (uint8_t)*word;
    }
}

/* All values, and runs of one. */
static inline void matrix_fill_bytes(uint64_t *state, uint8_t *data, size_t n) {
    for (size_t i = 0; i < n;) {
        const uint32_t r = matrix_random(state);
        const uint8_t byte = r % 8 == 0 ? 0 : r % 8 == 1 ? 255 : (uint8_t)(r >> 8);
        size_t run = r % 8 < 2 ? 1 + (r >> 16) % 40 : 1;
        for (; run > 0 && i < n; --run) data[i++] = byte;
    }
}

/* documents: [MATRIX_N_DOCUMENTS], in one block that starts at documents[0].data; free() that. */
static inline void matrix_fill(const matrix_shape *shape, int text, matrix_document *documents) {
    size_t total = 0;
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) total += matrix_length(shape, d);
    uint8_t *data = malloc(total);
    uint64_t state = 1 + (uint64_t)text;
    CHECK_FATAL(data != NULL);
    for (size_t d = 0; d < MATRIX_N_DOCUMENTS; d++) {
        documents[d] = (matrix_document){data, matrix_length(shape, d)};
        if (text == 0) matrix_fill_words(&state, data, documents[d].nbytes);
        if (text == 1) matrix_fill_bytes(&state, data, documents[d].nbytes);
        data += documents[d].nbytes;
    }
}

#endif
