/* NAME.isb-m1, as docs/m1.md gives it: a header, the tensors, a checksum.
 *
 * Files come from anywhere.  The checksum finds damage; against malice, every size is checked against the limits and
 * against the length of the file before memory is taken, and the weights for what kernels and formulas rely on: no -128
 * (products of some processors would overflow), no infinities. */
#include <math.h>
#include <string.h>

#include "m1/m1_state.h"
#include "nn/position.h"

enum {
    VERSION = 1,
    NAME_AT = 64,
    ZEROS_AT = 96,
    IDENTITY_AT = 112,
    HEADER_NBYTES = 128,
    CHECKSUM_NBYTES = 8,
    SIZES_AT = 16
};
static const uint8_t MAGIC[8] = {0x89, 'I', 'S', 'B', 'M', '1', '\r', '\n'};
static const char RULES[] = "isobit-m1-2"; /* of the arithmetic: it changes, this changes */

/* ---- tensors ---- */

static void visit_matrix(isb__m1_matrix *m, isb__m1_visit visit, void *user) {
    visit(user, &m->q, m->n * m->k, sizeof *m->q);
    visit(user, &m->s, m->n, sizeof *m->s);
}

void isb__m1_visit_tensors(isb__m1 *m1, isb__m1_visit visit, void *user) {
    const size_t C = m1->embed.k;
    visit_matrix(&m1->embed, visit, user);
    for (int64_t l = 0; l < m1->config.n_layers; ++l) {
        isb__m1_layer *layer = &m1->layers[l];
        visit(user, &layer->norm1, C, sizeof(float));
        visit_matrix(&layer->qkv, visit, user);
        visit_matrix(&layer->o, visit, user);
        visit(user, &layer->norm2, C, sizeof(float));
        visit_matrix(&layer->gate_up, visit, user);
        visit_matrix(&layer->down, visit, user);
        if (m1->config.position == ISB_POSITION_T5)
            visit(user, &layer->bias, (size_t)m1->config.n_heads * ISB__N_BUCKETS, sizeof(float));
    }
    visit(user, &m1->norm, C, sizeof(float));
    if (!m1->config.tie_embeddings) visit_matrix(&m1->head, visit, user);
}

/* A matrix [n, k] with its scales. */
static uint64_t matrix_nbytes(uint64_t n, uint64_t k) { return n * k + 4 * n; }

uint64_t isb__m1_file_nbytes(const isb_model_config *c) {
    const uint64_t C = (uint64_t)c->hidden_size, F = (uint64_t)c->intermediate_size,
                   V = (uint64_t)c->vocab_size, L = (uint64_t)c->n_layers;
    const uint64_t bias =
        c->position == ISB_POSITION_T5 ? 4 * (uint64_t)c->n_heads * ISB__N_BUCKETS : 0;
    const uint64_t layer = 2 * 4 * C + matrix_nbytes(3 * C, C) + matrix_nbytes(C, C) +
                           matrix_nbytes(2 * F, C) + matrix_nbytes(C, F) + bias;
    const uint64_t tables = (c->tie_embeddings ? 1 : 2) * matrix_nbytes(V, C);
    return HEADER_NBYTES + tables + L * layer + 4 * C + CHECKSUM_NBYTES;
}

/* ---- numbers, little-endian ---- */

static void put_number(uint8_t *bytes, size_t nbytes, uint64_t number) {
    for (size_t i = 0; i < nbytes; ++i) bytes[i] = (uint8_t)(number >> (8 * i));
}
static uint64_t get_number(const uint8_t *bytes, size_t nbytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < nbytes; ++i) number |= (uint64_t)bytes[i] << (8 * i);
    return number;
}
static void put_float(uint8_t *bytes, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(bytes, sizeof bits, bits);
}
static float get_float(const uint8_t *bytes) {
    const uint32_t bits = (uint32_t)get_number(bytes, sizeof bits);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- writing ---- */

static void put_tensor(void *user, void *tensor, size_t count, size_t size) {
    uint8_t **to = user;
    const void *from;
    memcpy(&from, tensor, sizeof from);
    if (size == 1) memcpy(*to, from, count);
    for (size_t i = 0; size != 1 && i < count; ++i)
        put_float(*to + 4 * i, ((const float *)from)[i]);
    *to += count * size;
}

static void put_header(uint8_t *file, const isb__m1 *m1, size_t nbytes) {
    const isb_model_config *c = &m1->config;
    const uint64_t numbers[] = {VERSION,
                                nbytes,
                                (uint64_t)c->hidden_size,
                                (uint64_t)c->n_heads,
                                (uint64_t)c->n_layers,
                                (uint64_t)c->intermediate_size,
                                (uint64_t)c->vocab_size,
                                (uint64_t)c->context_length,
                                (uint64_t)c->activation,
                                (uint64_t)c->position,
                                (uint64_t)c->tie_embeddings};
    uint64_t theta;
    memcpy(file, MAGIC, sizeof MAGIC);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        put_number(file + 8 + 4 * i, 4, numbers[i]);
    put_float(file + 52, (float)c->norm_eps);
    memcpy(&theta, &c->rope_theta, sizeof theta);
    put_number(file + 56, 8, theta);
    memcpy(file + NAME_AT, m1->name, ISB__M1_NAME_NBYTES);
    memcpy(file + IDENTITY_AT, m1->identity.bytes, sizeof m1->identity.bytes);
}

isb_status isb__m1_to_bytes(const isb__m1 *m1, uint8_t **data, size_t *nbytes) {
    const size_t n = (size_t)isb__m1_file_nbytes(&m1->config);
    isb__m1 view = *m1; /* the walk takes what may be changed */
    ISB_TRY(isb__alloc(m1->ctx, n, data));
    uint8_t *at = *data + HEADER_NBYTES;
    put_header(*data, m1, n);
    isb__m1_visit_tensors(&view, put_tensor, &at);
    put_number(at, CHECKSUM_NBYTES, isb__hash64(*data, n - CHECKSUM_NBYTES, 0));
    *nbytes = n;
    return ISB_OK;
}

/* ---- identity ---- */

static isb_status identity_of(isb_context *ctx, const uint8_t *file, size_t nbytes,
                              isb__id128 *identity) {
    isb__hasher *hasher = isb__hasher_create();
    if (!hasher) return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for the identity of an M1");
    isb__hasher_update(hasher, RULES, sizeof RULES);
    isb__hasher_update(hasher, file + SIZES_AT, NAME_AT - SIZES_AT);
    isb__hasher_update(hasher, file + HEADER_NBYTES, nbytes - HEADER_NBYTES - CHECKSUM_NBYTES);
    *identity = isb__hasher_finish(hasher);
    return ISB_OK;
}

isb_status isb__m1_identify(isb__m1 *m1) {
    uint8_t *file = NULL;
    size_t nbytes;
    ISB_TRY(isb__m1_to_bytes(m1, &file, &nbytes));
    const isb_status status = identity_of(m1->ctx, file, nbytes, &m1->identity);
    isb__free(m1->ctx, file);
    return status;
}

/* ---- reading ---- */

/* What was given, and where in it reading is. */
typedef struct reading {
    isb_context *ctx;
    const char *name;
    const uint8_t *data, *at;
    size_t nbytes;
    bool usable; /* no weight that an M1 cannot have so far */
} reading;

static isb_status check_file(const reading *r) {
    if (r->nbytes < HEADER_NBYTES + CHECKSUM_NBYTES || memcmp(r->data, MAGIC, sizeof MAGIC) != 0) {
        return isb__fail(r->ctx, ISB_ERR_FORMAT,
                         "%s is not an M1: expected a file NAME" ISB__M1_SUFFIX
                         " made by `isobit quantize`",
                         r->name);
    }
    const uint64_t version = get_number(r->data + 8, 4), nbytes = get_number(r->data + 12, 4);
    if (version != VERSION) {
        return isb__fail(r->ctx, ISB_ERR_VERSION,
                         "%s: an M1 of version %llu, and this program knows version %d", r->name,
                         (unsigned long long)version, VERSION);
    }
    if (nbytes != r->nbytes) {
        return isb__fail(r->ctx, ISB_ERR_CORRUPT,
                         "%s: %zu bytes, and its header says %llu; it is cut or damaged", r->name,
                         r->nbytes, (unsigned long long)nbytes);
    }
    if (get_number(r->data + nbytes - CHECKSUM_NBYTES, CHECKSUM_NBYTES) ==
        isb__hash64(r->data, nbytes - CHECKSUM_NBYTES, 0))
        return ISB_OK;
    return isb__fail(r->ctx, ISB_ERR_CORRUPT, "%s: the checksum does not match; it is damaged",
                     r->name);
}

static isb_status get_sizes(const reading *r, isb_model_config *c) {
    uint32_t numbers[9];
    for (size_t i = 0; i < 9; ++i) numbers[i] = (uint32_t)get_number(r->data + SIZES_AT + 4 * i, 4);
    const uint64_t theta = get_number(r->data + 56, 8);
    *c = (isb_model_config){.struct_size = sizeof *c,
                            .hidden_size = numbers[0],
                            .n_heads = numbers[1],
                            .n_layers = numbers[2],
                            .intermediate_size = numbers[3],
                            .vocab_size = numbers[4],
                            .context_length = numbers[5],
                            .norm_eps = (double)get_float(r->data + 52)};
    memcpy(&c->rope_theta, &theta, sizeof theta);
    if (numbers[6] > ISB_ACTIVATION_RELU || numbers[7] > ISB_POSITION_T5 || numbers[8] > 1) {
        return isb__fail(r->ctx, ISB_ERR_SHAPE,
                         "%s: activation %u, positions %u, tied %u; each is 0 or 1", r->name,
                         (unsigned)numbers[6], (unsigned)numbers[7], (unsigned)numbers[8]);
    }
    c->activation = (isb_activation)numbers[6];
    c->position = (isb_position)numbers[7];
    c->tie_embeddings = (int)numbers[8];
    ISB_TRY(isb__m1_check_sizes(r->ctx, r->name, c));
    if (isb__m1_file_nbytes(c) == r->nbytes) return ISB_OK;
    return isb__fail(r->ctx, ISB_ERR_SHAPE, "%s: %zu bytes, and its sizes need %llu", r->name,
                     r->nbytes, (unsigned long long)isb__m1_file_nbytes(c));
}

/* A name that can be shown: no control characters; zeros after it. */
static bool is_name(const uint8_t *name) {
    size_t n = 0;
    while (n < ISB__M1_NAME_NBYTES && name[n] >= ' ' && name[n] != 0x7f) ++n;
    for (; n < ISB__M1_NAME_NBYTES; ++n) {
        if (name[n] != 0) return false;
    }
    return true;
}

static bool zeros(const uint8_t *bytes, size_t n) {
    while (n > 0 && bytes[n - 1] == 0) --n;
    return n == 0;
}

static void get_tensor(void *user, void *tensor, size_t count, size_t size) {
    reading *r = user;
    void *to;
    memcpy(&to, tensor, sizeof to);
    if (size == 1) {
        memcpy(to, r->at, count);
        if (memchr(to, 0x80, count)) r->usable = false;
    } else {
        for (size_t i = 0; i < count; ++i) {
            const float value = get_float(r->at + 4 * i);
            ((float *)to)[i] = value;
            if (!isfinite(value)) r->usable = false;
        }
    }
    r->at += count * size;
}

static isb_status get_identity(const reading *r, isb__id128 *identity) {
    ISB_TRY(identity_of(r->ctx, r->data, r->nbytes, identity));
    if (memcmp(identity->bytes, r->data + IDENTITY_AT, sizeof identity->bytes) == 0) return ISB_OK;
    return isb__fail(r->ctx, ISB_ERR_CORRUPT,
                     "%s: its identity is not that of its weights; it was changed", r->name);
}

isb_status isb__m1_from_bytes(isb_context *ctx, const char *name, const uint8_t *data,
                              size_t nbytes, isb__m1 **m1) {
    reading r = {ctx, name, data, data + HEADER_NBYTES, nbytes, true};
    isb_model_config config;
    isb__id128 identity;
    *m1 = NULL;
    ISB_TRY(check_file(&r));
    ISB_TRY(get_sizes(&r, &config));
    if (!is_name(data + NAME_AT) || !zeros(data + ZEROS_AT, IDENTITY_AT - ZEROS_AT)) {
        return isb__fail(ctx, ISB_ERR_CORRUPT,
                         "%s: its name cannot be shown, or the header has more than this version "
                         "knows",
                         name);
    }
    ISB_TRY(get_identity(&r, &identity));
    ISB_TRY(isb__m1_create(ctx, &config, m1));
    isb__m1_visit_tensors(*m1, get_tensor, &r);
    if (!r.usable) {
        isb__m1_free(*m1);
        *m1 = NULL;
        return isb__fail(ctx, ISB_ERR_CORRUPT,
                         "%s: a weight of -128, or one that is infinite or not a number", name);
    }
    (*m1)->identity = identity;
    memcpy((*m1)->name, data + NAME_AT, ISB__M1_NAME_NBYTES);
    return ISB_OK;
}
