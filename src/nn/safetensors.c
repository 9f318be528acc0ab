/* safetensors (Hugging Face): one JSON header, then the tensors' bytes, little-endian,
 * row-major.
 *
 *     | u64 N | JSON of N bytes, padded with spaces | tensor data |
 *       {"__metadata__": {"format": "pt", "isobit.version": "1",
 *                         "isobit.checksum.NAME": "16 hex digits", ...},
 *        "NAME": {"dtype": "F32", "shape": [rows, cols], "data_offsets": [begin, end]}, ...}
 *
 * The reader trusts nothing: the header must fit the file and the format's limit, names must be
 * unique, and the tensors must cover the data exactly, without gap, overlap or rest.  A file
 * with our metadata must have a checksum for every tensor, so that any flipped bit is found: in
 * the data by its checksum, in the header by these rules. */
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "nn/checkpoint.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors data is little-endian, and this file moves it as it lies in memory"
#endif

/* The limit is the format's own. */
enum { HEADER_LIMIT = 100000000, DATA_ALIGNMENT = 64, CHECKSUM_NBYTES = 17 };
static const char version_key[] = "isobit.version", checksum_key[] = "isobit.checksum.";

static void checksum_text(const void *data, size_t nbytes, char text[CHECKSUM_NBYTES]) {
    snprintf(text, CHECKSUM_NBYTES, "%016" PRIx64, isb__hash64(data, nbytes, 0));
}

static int checksum_name(const char *tensor, char *key, size_t capacity) {
    return snprintf(key, capacity, "%s%s", checksum_key, tensor) < (int)capacity;
}

/* ---- writing ---- */

static json_t *tensor_json(const isb__tensor_ref *t, size_t begin, size_t end) {
    json_t *shape = t->rows == 1 ? json_pack("[I]", (json_int_t)t->cols)
                                 : json_pack("[I,I]", (json_int_t)t->rows, (json_int_t)t->cols);
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

/* Every failure in here is memory: json_object_set_new() refuses NULL values too. */
static char *header_text(size_t n, const isb__tensor_ref *tensors) {
    json_t *root = json_object(), *metadata = json_object();
    int failed = json_object_set_new(metadata, "format", json_string("pt"));
    failed |= json_object_set_new(metadata, version_key, json_string("1"));
    failed |= json_object_set(root, "__metadata__", metadata);
    size_t offset = 0;
    for (size_t i = 0; i < n; ++i) {
        const size_t nbytes = tensors[i].rows * tensors[i].cols * sizeof(float);
        char key[256], sum[CHECKSUM_NBYTES];
        failed |= !checksum_name(tensors[i].name, key, sizeof key);
        checksum_text(tensors[i].data, nbytes, sum);
        failed |= json_object_set_new(metadata, key, json_string(sum));
        failed |= json_object_set_new(root, tensors[i].name,
                                      tensor_json(&tensors[i], offset, offset + nbytes));
        offset += nbytes;
    }
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(metadata);
    json_decref(root);
    return text;
}

static isb_status write_header(isb__writer *writer, const char *text) {
    static const char spaces[DATA_ALIGNMENT + 1] =
        "                                                                ";
    const size_t length = strlen(text),
                 pad = (DATA_ALIGNMENT - (8 + length) % DATA_ALIGNMENT) % DATA_ALIGNMENT;
    const uint64_t header_nbytes = length + pad;
    ISB_TRY(isb__writer_write(writer, &header_nbytes, sizeof header_nbytes));
    ISB_TRY(isb__writer_write(writer, text, length));
    return isb__writer_write(writer, spaces, pad);
}

isb_status isb__safetensors_write(isb_context *ctx, const char *path, size_t n,
                                  const isb__tensor_ref *tensors) {
    isb__writer *writer = NULL;
    isb_status status = ISB_OK;
    char *header = header_text(n, tensors);
    if (!header) return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for the header of %s", path);
    ISB_TRY_GOTO(isb__writer_open(ctx, path, &writer));
    ISB_TRY_GOTO(write_header(writer, header));
    for (size_t i = 0; i < n; ++i) {
        ISB_TRY_GOTO(isb__check_cancel(ctx));
        ISB_TRY_GOTO(isb__writer_write(writer, tensors[i].data,
                                       tensors[i].rows * tensors[i].cols * sizeof(float)));
    }
    free(header);
    return isb__writer_commit(writer);
fail:
    free(header);
    isb__writer_abort(writer);
    return status;
}

/* ---- reading: the header ---- */

typedef struct entry {
    const char *name; /* in the JSON tree */
    const char *dtype;
    size_t element_nbytes, n_dims, dims[8], count;
    size_t begin, end; /* in the data */
} entry;

typedef struct file {
    isb_context *ctx;
    const char *path;
    isb__map map;
    json_t *root;
    const json_t *metadata; /* NULL: none */
    int ours;
    const uint8_t *data;
    size_t data_nbytes;
    entry *entries; /* sorted by begin */
    size_t n_entries;
} file;

static isb_status parse_header(file *f) {
    uint64_t header_nbytes = 0;
    if (f->map.nbytes < sizeof header_nbytes) {
        return isb__fail(f->ctx, ISB_ERR_CORRUPT,
                         "%s has %zu bytes; a safetensors file has at least 8", f->path,
                         f->map.nbytes);
    }
    memcpy(&header_nbytes, f->map.data, sizeof header_nbytes);
    const uint64_t rest = f->map.nbytes - sizeof header_nbytes;
    if (header_nbytes > HEADER_LIMIT || header_nbytes > rest) {
        return isb__fail(
            f->ctx, ISB_ERR_CORRUPT,
            "%s: bytes 0 to 7 announce a header of %" PRIu64 " bytes, but %" PRIu64
            " bytes follow and %d is the limit; the file is truncated, or no safetensors file",
            f->path, header_nbytes, rest, HEADER_LIMIT);
    }
    json_error_t error;
    f->root = json_loadb((const char *)f->map.data + sizeof header_nbytes, (size_t)header_nbytes,
                         JSON_REJECT_DUPLICATES, &error);
    if (!f->root || !json_is_object(f->root)) {
        return isb__fail(f->ctx, ISB_ERR_CORRUPT,
                         "%s: the header is not a JSON object: %s near byte %d", f->path,
                         f->root ? "another type" : error.text, f->root ? 8 : 8 + error.position);
    }
    f->data = f->map.data + sizeof header_nbytes + header_nbytes;
    f->data_nbytes = (size_t)(rest - header_nbytes);
    return ISB_OK;
}

/* Our files have nothing in the metadata but what we write. */
static isb_status check_metadata(file *f) {
    f->metadata = json_object_get(f->root, "__metadata__");
    const char *key, *version = json_string_value(json_object_get(f->metadata, version_key));
    const json_t *value;
    size_t n_known = 0;
    json_object_foreach((json_t *)f->metadata, key, value) {
        f->ours |= strncmp(key, "isobit.", 7) == 0;
        n_known +=
            strcmp(key, version_key) == 0 || strncmp(key, checksum_key, strlen(checksum_key)) == 0;
    }
    if (!f->ours) return ISB_OK;
    if (!version || strcmp(version, "1") != 0) {
        return isb__fail(f->ctx, ISB_ERR_VERSION, "%s: %s in its metadata is '%s', expected '1'",
                         f->path, version_key, version ? version : "");
    }
    const char *format = json_string_value(json_object_get(f->metadata, "format"));
    if (!format || strcmp(format, "pt") != 0 || n_known + 1 != json_object_size(f->metadata)) {
        return isb__fail(f->ctx, ISB_ERR_CORRUPT, "%s: its metadata has damaged or unknown keys",
                         f->path);
    }
    return ISB_OK;
}

static size_t dtype_nbytes(const char *dtype) {
    static const struct {
        const char *name;
        size_t nbytes;
    } types[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},     {"I64", 8},
                 {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},
                 {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    for (size_t i = 0; i < sizeof types / sizeof *types; ++i) {
        if (strcmp(types[i].name, dtype) == 0) return types[i].nbytes;
    }
    return 0;
}

static int json_size(const json_t *value, size_t *size) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return 0;
    *size = (size_t)json_integer_value(value);
    return 1;
}

/* Returns 0 when a field is missing, of another type, or too large to multiply. */
static int parse_entry(const json_t *value, entry *e) {
    const json_t *shape = json_object_get(value, "shape"),
                 *offsets = json_object_get(value, "data_offsets");
    e->dtype = json_string_value(json_object_get(value, "dtype"));
    e->element_nbytes = e->dtype ? dtype_nbytes(e->dtype) : 0;
    e->n_dims = json_array_size(shape);
    if (e->element_nbytes == 0 || !json_is_array(shape) || e->n_dims > 8 ||
        json_array_size(offsets) != 2)
        return 0;
    e->count = 1;
    for (size_t i = 0; i < e->n_dims; ++i) {
        if (!json_size(json_array_get(shape, i), &e->dims[i])) return 0;
        if (e->dims[i] != 0 && e->count > PTRDIFF_MAX / 8 / e->dims[i]) return 0;
        e->count *= e->dims[i];
    }
    return json_size(json_array_get(offsets, 0), &e->begin) &&
           json_size(json_array_get(offsets, 1), &e->end);
}

static isb_status read_entries(file *f) {
    ISB_TRY(isb__alloc_array(f->ctx, json_object_size(f->root), sizeof *f->entries, &f->entries));
    const char *name;
    const json_t *value;
    json_object_foreach(f->root, name, value) {
        if (strcmp(name, "__metadata__") == 0) continue;
        entry *e = &f->entries[f->n_entries];
        e->name = name;
        if (!parse_entry(value, e)) {
            return isb__fail(f->ctx, ISB_ERR_CORRUPT,
                             "%s: the header's entry for tensor '%s' is damaged: dtype, shape and "
                             "data_offsets expected",
                             f->path, name);
        }
        if (e->end < e->begin || e->end - e->begin != e->count * e->element_nbytes) {
            return isb__fail(f->ctx, ISB_ERR_CORRUPT,
                             "%s: tensor '%s' has data_offsets %zu to %zu, but its shape and type "
                             "take %zu bytes",
                             f->path, name, e->begin, e->end, e->count * e->element_nbytes);
        }
        if (e->end > f->data_nbytes) {
            return isb__fail(
                f->ctx, ISB_ERR_CORRUPT,
                "%s: tensor '%s' ends at byte %zu of the data, but there are only %zu: "
                "the file is truncated",
                f->path, name, e->end, f->data_nbytes);
        }
        ++f->n_entries;
    }
    return ISB_OK;
}

static int compare_entries(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors cover the data from the first byte to the last, each byte once. */
static isb_status check_cover(file *f) {
    qsort(f->entries, f->n_entries, sizeof *f->entries, compare_entries);
    size_t at = 0;
    for (size_t i = 0; i < f->n_entries; ++i) {
        const entry *e = &f->entries[i];
        if (e->begin < at) {
            return isb__fail(f->ctx, ISB_ERR_CORRUPT,
                             "%s: tensors '%s' and '%s' overlap at byte %zu of the data", f->path,
                             f->entries[i - 1].name, e->name, e->begin);
        }
        if (e->begin > at) {
            return isb__fail(f->ctx, ISB_ERR_CORRUPT,
                             "%s: bytes %zu to %zu of the data, before tensor '%s', belong to no "
                             "tensor",
                             f->path, at, e->begin, e->name);
        }
        at = e->end;
    }
    if (at == f->data_nbytes) return ISB_OK;
    return isb__fail(f->ctx, ISB_ERR_CORRUPT, "%s: %zu bytes follow the last tensor", f->path,
                     f->data_nbytes - at);
}

static isb_status file_open(isb_context *ctx, const char *path, file *f) {
    *f = (file){.ctx = ctx, .path = path};
    ISB_TRY(isb__map_open(ctx, path, &f->map));
    ISB_TRY(parse_header(f));
    ISB_TRY(check_metadata(f));
    ISB_TRY(read_entries(f));
    return check_cover(f);
}

static void file_close(file *f) {
    isb__free(f->ctx, f->entries);
    json_decref(f->root);
    isb__map_close(&f->map);
}

/* ---- reading: one tensor ---- */

static float bits_to_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u,
                   mantissa = half & 0x3ffu;
    if (exponent == 31) return bits_to_float(sign | 0x7f800000u | mantissa << 13);
    if (exponent > 0) return bits_to_float(sign | (exponent + 112) << 23 | mantissa << 13);
    const float tiny = (float)mantissa * 0x1p-24f;
    return sign ? -tiny : tiny;
}

static void convert_16(const uint8_t *from, size_t count, int is_bf16, float *to) {
    for (size_t i = 0; i < count; ++i) {
        const uint16_t bits = (uint16_t)(from[2 * i] | from[2 * i + 1] << 8);
        to[i] = is_bf16 ? bits_to_float((uint32_t)bits << 16) : half_to_float(bits);
    }
}

static isb_status check_shape(const file *f, const entry *e, const isb__tensor_ref *t) {
    const int one = t->rows == 1 && e->n_dims == 1 && e->dims[0] == t->cols;
    const int two = e->n_dims == 2 && e->dims[0] == t->rows && e->dims[1] == t->cols;
    if (one || two) return ISB_OK;
    return isb__fail(
        f->ctx, ISB_ERR_SHAPE,
        "%s: tensor '%s' has %zu dimensions, the first two %zu x %zu; expected %zu x %zu", f->path,
        t->name, e->n_dims, e->n_dims > 0 ? e->dims[0] : 0, e->n_dims > 1 ? e->dims[1] : 1, t->rows,
        t->cols);
}

static isb_status verify_checksum(const file *f, const entry *e) {
    char key[256], sum[CHECKSUM_NBYTES];
    const char *wanted = NULL;
    if (checksum_name(e->name, key, sizeof key))
        wanted = json_string_value(json_object_get(f->metadata, key));
    if (!wanted && !f->ours) return ISB_OK;
    checksum_text(f->data + e->begin, e->end - e->begin, sum);
    if (wanted && strcmp(wanted, sum) == 0) return ISB_OK;
    return isb__fail(f->ctx, ISB_ERR_CORRUPT,
                     "%s: tensor '%s' (bytes %zu to %zu of the file) has checksum %s, expected %s: "
                     "the file is damaged",
                     f->path, e->name, (size_t)(f->data - f->map.data) + e->begin,
                     (size_t)(f->data - f->map.data) + e->end, sum,
                     wanted ? wanted : "one in the metadata");
}

static isb_status read_tensor(const file *f, const isb__tensor_ref *t) {
    const entry *e = NULL;
    for (size_t i = 0; i < f->n_entries && !e; ++i) {
        if (strcmp(f->entries[i].name, t->name) == 0) e = &f->entries[i];
    }
    if (!e)
        return isb__fail(f->ctx, ISB_ERR_CORRUPT, "%s: tensor '%s' is missing", f->path, t->name);
    ISB_TRY(check_shape(f, e, t));
    ISB_TRY(verify_checksum(f, e));
    const uint8_t *bytes = f->data + e->begin;
    if (strcmp(e->dtype, "F32") == 0) {
        memcpy(t->data, bytes, e->end - e->begin);
    } else if (strcmp(e->dtype, "BF16") == 0 || strcmp(e->dtype, "F16") == 0) {
        convert_16(bytes, e->count, e->dtype[0] == 'B', t->data);
    } else {
        return isb__fail(f->ctx, ISB_ERR_UNSUPPORTED,
                         "%s: tensor '%s' has type %s; F32, BF16 and F16 can be read", f->path,
                         t->name, e->dtype);
    }
    return ISB_OK;
}

isb_status isb__safetensors_read_from(isb_context *ctx, const char *path, size_t n,
                                      const isb__tensor_ref *tensors, int *ours) {
    file f;
    isb_status status = file_open(ctx, path, &f);
    for (size_t i = 0; i < n && status == ISB_OK; ++i) {
        status = isb__check_cancel(ctx);
        if (status == ISB_OK) status = read_tensor(&f, &tensors[i]);
    }
    *ours = f.ours;
    file_close(&f);
    return status;
}

isb_status isb__safetensors_read(isb_context *ctx, const char *path, size_t n,
                                 const isb__tensor_ref *tensors) {
    int ours;
    return isb__safetensors_read_from(ctx, path, n, tensors, &ours);
}
