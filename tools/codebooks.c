/* codebooks.c: opening and showing codebooks. */
#include "codebooks.h"

#include <stdio.h>
#include <string.h>

#include "format.h"

int codebook_open(tool_session *session, const char *where, isb_codebook **codebook) {
    const isb_status status = isb_codebook_open(session->context, where, codebook);
    if (status == ISB_OK) return 0;
    *codebook = NULL;
    return error_status(session, status);
}

int codebook_operand(tool_session *session, const text_list *operands, const char **where) {
    *where = operands->count > 0 ? operands->items[0] : NULL;
    if (operands->count <= 1) return 0;
    return error_usage(session->command->name, "one codebook at a time, found %zu",
                       operands->count);
}

void codebook_describe(results *out, const isb_codebook *codebook) {
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(codebook, &info);
    results_text(out, "name", "name", info.name);
    results_text(out, "strings_kind", "kind of strings", info.kind);
    results_text(out, "identity", "identity", info.identity);
    results_count(out, "n_ids", "ids", (uint64_t)info.n_ids);
    results_count(out, "n_strings", "  different strings", (uint64_t)info.n_strings);
    results_count(out, "n_specials", "  special", (uint64_t)info.n_specials);
    results_count(out, "max_string_bytes", "longest string, bytes", info.max_string_nbytes);
    results_count(out, "file_bytes", "bytes as a file", info.file_nbytes);
    results_count(out, "memory_bytes", "bytes of memory", info.memory_nbytes);
    results_object(out, "card", info.card);
}

static int64_t n_codes(const isb_codebook *codebook) {
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(codebook, &info);
    return info.n_codes;
}

void codebook_print_string(FILE *file, const isb_codebook *codebook, uint32_t id) {
    const uint8_t *bytes = NULL;
    size_t nbytes = 0;
    isb_codebook_string(codebook, id, &bytes, &nbytes);
    const bool special = id >= n_codes(codebook);
    if (!special) fputc('"', file);
    if (bytes) format_escaped(file, bytes, nbytes, special ? "" : "\"");
    if (!special) fputc('"', file);
}

void codebook_print_id(const tool_session *session, const isb_codebook *codebook, uint32_t id) {
    const uint8_t *bytes = NULL;
    size_t nbytes = 0;
    isb_codebook_string(codebook, id, &bytes, &nbytes);
    if (!session->common->json) {
        printf("%7u  ", id);
        codebook_print_string(stdout, codebook, id);
        puts(id >= n_codes(codebook) ? "  (special)" : nbytes == 0 ? "  (no text has it)" : "");
        return;
    }
    results *out = results_new(NULL);
    results_count(out, "id", NULL, id);
    results_bytes(out, id >= n_codes(codebook) ? "special" : "text", (const char *)bytes, nbytes);
    (void)results_print(out, stdout, true);
}

bool path_is_codebook(const char *path) {
    static const char suffix[] = ".isb-codebook";
    const size_t n = strlen(path), m = sizeof suffix - 1;
    return n >= m && strcmp(path + n - m, suffix) == 0;
}
