/* A GGUF file (version 3) that holds a vocabulary and no weights, for llama.cpp's "rwkv" tokenizer: greedy longest
 * match over bytes in a trie of all tokens.
 *
 *     "GGUF" | version u32 | tensors u64 | keys u64 | key ... | zeros to a multiple of 32
 *     key:     name, type u32, value        string: length u64, bytes      array: type u32, length u64, values
 *
 * All little-endian.  Source: docs/gguf.md in the repository of ggml.
 *
 * Tokens are escaped as llama.cpp undoes it (\\ \t \n \r \xHH).  Two things it does need care:
 * - it looks for tokens with well-known names, "<EOT>" or "[PAD]", and makes them special; so '<' and '[' are escaped
 *   in strings, which are then no such names;
 * - its trie holds special tokens too, so their names would be matched in any text, by anyone who writes it; so each
 *   name begins with the byte FF here, which UTF-8 never has. */
#include <string.h>

#include "codebook/export.h"

enum {
    TYPE_UINT32 = 4,
    TYPE_INT32 = 5,
    TYPE_BOOL = 7,
    TYPE_STRING = 8,
    TYPE_ARRAY = 9,
    TOKEN_NORMAL = 1,
    TOKEN_CONTROL = 3,
    VERSION = 3,
    ALIGNMENT = 32
};

static void put_u32(isb__export *out, uint32_t value) {
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                              (uint8_t)(value >> 24)};
    isb__put(out, bytes, sizeof bytes);
}

static void put_u64(isb__export *out, uint64_t value) {
    put_u32(out, (uint32_t)value);
    put_u32(out, (uint32_t)(value >> 32));
}

static void put_string(isb__export *out, const char *text) {
    put_u64(out, strlen(text));
    isb__put_text(out, text);
}

static void put_key(isb__export *out, const char *name, uint32_t type) {
    put_string(out, name);
    put_u32(out, type);
}

static void put_key_string(isb__export *out, const char *name, const char *value) {
    put_key(out, name, TYPE_STRING);
    put_string(out, value);
}

static void put_key_u32(isb__export *out, const char *name, size_t value) {
    put_key(out, name, TYPE_UINT32);
    put_u32(out, (uint32_t)value);
}

static void put_key_bool(isb__export *out, const char *name, bool value) {
    put_key(out, name, TYPE_BOOL);
    isb__put(out, &(uint8_t){value}, 1);
}

static void put_key_array(isb__export *out, const char *name, uint32_t type, size_t n) {
    put_key(out, name, TYPE_ARRAY);
    put_u32(out, type);
    put_u64(out, n);
}

static const char also_escaped[] = "<[";

static size_t escaped_nbytes(const uint8_t *bytes, size_t nbytes) {
    size_t sum = 0;
    for (size_t i = 0; i < nbytes; ++i) {
        const uint8_t byte = bytes[i];
        const bool short_escape = byte == '\\' || byte == '\t' || byte == '\n' || byte == '\r';
        const bool plain = byte >= ' ' && byte <= '~' && !strchr(also_escaped, byte);
        sum += short_escape ? 2 : plain ? 1 : 4;
    }
    return sum;
}

static void put_tokens(isb__export *out) {
    const isb_codebook *codebook = out->codebook;
    put_key_array(out, "tokenizer.ggml.tokens", TYPE_STRING, codebook->n_ids);
    for (size_t id = 0; id < codebook->n_codes; ++id) {
        size_t nbytes;
        const uint8_t *bytes = isb__codebook_bytes(codebook, id, &nbytes);
        put_u64(out, escaped_nbytes(bytes, nbytes));
        isb__put_escaped(out, bytes, nbytes, also_escaped);
    }
    for (size_t i = 0; i < codebook->n_specials; ++i) {
        put_u64(out, strlen("\\xff") + strlen(codebook->specials[i]));
        isb__put_text(out, "\\xff");
        isb__put_text(out, codebook->specials[i]);
    }
}

static void put_token_types(isb__export *out) {
    const isb_codebook *codebook = out->codebook;
    put_key_array(out, "tokenizer.ggml.token_type", TYPE_INT32, codebook->n_ids);
    for (size_t id = 0; id < codebook->n_ids; ++id)
        put_u32(out, id < codebook->n_codes ? TOKEN_NORMAL : TOKEN_CONTROL);
}

/* The name of a special id is written as it is, so it must not look escaped nor be a string of the codebook. */
static void check_specials(isb__export *out) {
    const isb_codebook *codebook = out->codebook;
    for (size_t i = 0; i < codebook->n_specials; ++i) {
        const char *name = codebook->specials[i];
        uint8_t token[ISB__CODEBOOK_NAME_NBYTES + 1] = {0xff};
        memcpy(token + 1, name, strlen(name));
        if (!strchr(name, '\\') && isb_codebook_find(codebook, token, strlen(name) + 1) < 0)
            continue;
        out->status = isb__fail(
            out->ctx, ISB_ERR_UNSUPPORTED,
            "the special name \"%s\" has no place in a GGUF file: it holds a backslash, or "
            "the codebook has the same string after a byte FF",
            name);
    }
}

void isb__export_gguf(isb__export *out) {
    const isb_codebook *codebook = out->codebook;
    check_specials(out);
    isb__put_text(out, "GGUF");
    put_u32(out, VERSION);
    put_u64(out, 0);  /* tensors */
    put_u64(out, 10); /* keys */
    put_key_string(out, "general.architecture", "llama");
    put_key_string(out, "general.name", codebook->name);
    put_key_u32(out, "llama.vocab_size", codebook->n_ids);
    put_key_string(out, "tokenizer.ggml.model", "rwkv");
    put_tokens(out);
    put_token_types(out);
    put_key_u32(out, "tokenizer.ggml.bos_token_id", codebook->n_codes);
    put_key_u32(out, "tokenizer.ggml.eos_token_id", codebook->n_codes);
    put_key_bool(out, "tokenizer.ggml.add_bos_token", false);
    put_key_bool(out, "tokenizer.ggml.add_eos_token", false);
    static const uint8_t zeros[ALIGNMENT];
    if (out->status == ISB_OK) {
        const uint64_t position = isb__writer_position(out->writer);
        isb__put(out, zeros, (size_t)(-position % ALIGNMENT));
    }
}
