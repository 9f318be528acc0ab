/* RWKV-World vocabulary text (rwkv_vocab_v20230424.txt in BlinkDL's ChatRWKV): a line `id literal length` for each
 * string, the literal as Python writes it.  Its tokenizers cut by greedy longest match over bytes, as we do.
 *
 * Readers differ, and this file keeps to what all of them take:
 * - a literal is '...' only for printable ASCII, with \\ and \' the only escapes; all else is b'\xHH...', every byte
 *   in hex, because some readers know no other escape in bytes;
 * - id 0 comes last.  pyrwkv-tokenizer counts lines instead of reading ids when it decodes, and starts at 1 because
 *   0 is taken, by the string NUL; our id 0 is that very string (the first in order), so all its ids decode right;
 * - special ids are left out: their names would be matched in any text. */
#include "codebook/export.h"

static bool is_plain(const uint8_t *bytes, size_t nbytes) {
    for (size_t i = 0; i < nbytes; ++i)
        if (bytes[i] < ' ' || bytes[i] > '~') return false;
    return true;
}

static void put_plain(isb__export *out, const uint8_t *bytes, size_t nbytes) {
    isb__put_text(out, "'");
    for (size_t i = 0; i < nbytes; ++i) {
        if (bytes[i] == '\'' || bytes[i] == '\\') isb__put_text(out, "\\");
        isb__put(out, bytes + i, 1);
    }
    isb__put_text(out, "'");
}

static void put_hex(isb__export *out, const uint8_t *bytes, size_t nbytes) {
    isb__put_text(out, "b'");
    for (size_t i = 0; i < nbytes; ++i) isb__put_format(out, "\\x%02x", bytes[i]);
    isb__put_text(out, "'");
}

void isb__export_rwkv(isb__export *out) {
    const size_t n = out->codebook->n_codes;
    for (size_t line = 1; line <= n; ++line) {
        const size_t id = line % n;
        size_t nbytes;
        const uint8_t *bytes = isb__codebook_bytes(out->codebook, id, &nbytes);
        isb__put_format(out, "%zu ", id);
        (is_plain(bytes, nbytes) ? put_plain : put_hex)(out, bytes, nbytes);
        isb__put_format(out, " %zu\n", nbytes);
    }
}
