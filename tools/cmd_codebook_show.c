/* cmd_codebook_show.c: isobit codebook show: what a codebook is, and how it cuts a text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codebooks.h"
#include "format.h"

typedef struct show_values {
    common_values common;
    text_list codebook;
    const char *ids, *find, *prefix, *text;
    uint64_t limit;
} show_values;

#define AT(field) .offset = offsetof(show_values, field)

static const option_spec show_options[] = {
    {.group = "Options", .name = "ids", .metavar = "A..B", .type = OPTION_TEXT, AT(ids),
     .help = "list the strings of these ids, both included; one number: of this one"},
    {.name = "find", .metavar = "TEXT", .type = OPTION_TEXT, AT(find),
     .help = "list the strings that hold TEXT"},
    {.name = "prefix", .metavar = "TEXT", .type = OPTION_TEXT, AT(prefix),
     .help = "list the strings that begin with TEXT"},
    {.name = "limit", .metavar = "N", .type = OPTION_COUNT, .low = 1, AT(limit),
     .help = "list at most so many"},
    {.name = "text", .letter = 't', .metavar = "FILE", .type = OPTION_TEXT,
     .complete = COMPLETE_FILE, AT(text),
     .help = "show this text (\"-\": standard input) cut into tokens: in colours on a terminal, "
             "else with | between them"},
};

/* ---- lists ---- */

typedef struct id_range { uint64_t first, last; } id_range;

/* "3..7" or "3" */
static bool parse_range(const char *text, id_range *range) {
    char *end = NULL;
    if (*text < '0' || *text > '9') return false;
    range->first = range->last = strtoull(text, &end, 10);
    if (*end == '\0') return true;
    if (strncmp(end, "..", 2) != 0 || end[2] < '0' || end[2] > '9') return false;
    range->last = strtoull(end + 2, &end, 10);
    return *end == '\0' && range->first <= range->last;
}

static bool is_wanted(const show_values *v, const uint8_t *bytes, size_t nbytes) {
    if (v->prefix) {
        const size_t n = strlen(v->prefix);
        if (nbytes < n || memcmp(bytes, v->prefix, n) != 0) return false;
    }
    if (!v->find) return true;
    const size_t n = strlen(v->find);
    for (size_t i = 0; i + n <= nbytes; ++i) {
        if (memcmp(bytes + i, v->find, n) == 0) return true;
    }
    return false;
}

static int list(tool_session *session, const show_values *v, const isb_codebook *codebook) {
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(codebook, &info);
    id_range range = {0, (uint64_t)info.n_ids - 1};
    if (v->ids && !parse_range(v->ids, &range)) {
        return error_usage(session->command->name,
                           "--ids: \"%s\" is neither an id nor a range such as 300..320", v->ids);
    }
    if (range.last >= (uint64_t)info.n_ids) {
        return error_usage(session->command->name, "--ids: the last id is %lld, found %s",
                           (long long)info.n_ids - 1, v->ids);
    }
    uint64_t n = 0;
    for (uint64_t id = range.first; id <= range.last && (v->limit == 0 || n < v->limit); ++id) {
        const uint8_t *bytes = NULL;
        size_t nbytes = 0;
        isb_codebook_string(codebook, (uint32_t)id, &bytes, &nbytes);
        if (!bytes || !is_wanted(v, bytes, nbytes)) continue;
        codebook_print_id(session, codebook, (uint32_t)id);
        ++n;
    }
    return n > 0 ? EXIT_OK : EXIT_FAILED;
}

/* ---- a text as tokens ---- */

enum { PIECE_NBYTES = 65536 };

typedef struct cutting {
    tool_session *session;
    const isb_codebook *codebook;
    bool colored;
    bool at_start;   /* of a line */
    unsigned parity; /* colours alternate */
    uint64_t offset; /* of the next token in the text */
    uint32_t *ids;   /* [PIECE_NBYTES + ISB_CODEBOOK_MAX_STRING_NBYTES] */
} cutting;

/* A token that ends a line ends one here too, beside its escape: the text keeps its shape. */
static void put_piece(cutting *c, const uint8_t *bytes, size_t nbytes) {
    if (!c->colored && !c->at_start) putchar('|');
    if (c->colored) fputs(c->parity ? "\033[30;106m" : "\033[30;103m", stdout);
    format_escaped(stdout, bytes, nbytes, c->colored ? "" : "|");
    if (c->colored) fputs("\033[0m", stdout);
    c->at_start = nbytes > 0 && bytes[nbytes - 1] == '\n';
    if (c->at_start) putchar('\n');
    c->parity ^= 1;
}

static void put_token(cutting *c, uint32_t id) {
    const uint8_t *bytes = NULL;
    size_t nbytes = 0;
    isb_codebook_string(c->codebook, id, &bytes, &nbytes);
    if (c->session->common->json) {
        results *out = results_new(NULL);
        results_count(out, "id", NULL, id);
        results_count(out, "offset", NULL, c->offset);
        results_bytes(out, "text", (const char *)bytes, nbytes);
        (void)results_print(out, stdout, true);
    } else {
        put_piece(c, bytes, nbytes);
    }
    c->offset += nbytes;
}

static isb_status cut_file(cutting *c, FILE *file, uint8_t *piece) {
    const size_t capacity = PIECE_NBYTES + ISB_CODEBOOK_MAX_STRING_NBYTES;
    isb_codebook_encoder encoder;
    isb_codebook_encoder_init(&encoder, c->codebook);
    for (bool more = true; more;) {
        const size_t got = fread(piece, 1, PIECE_NBYTES, file);
        size_t n_ids = 0;
        more = got > 0;
        const isb_status status =
            more ? isb_codebook_encoder_push(&encoder, piece, got, c->ids, capacity, &n_ids)
                 : isb_codebook_encoder_finish(&encoder, c->ids, capacity, &n_ids);
        if (status != ISB_OK) return status;
        for (size_t i = 0; i < n_ids; ++i) put_token(c, c->ids[i]);
    }
    if (!c->at_start && !c->session->common->json) putchar('\n');
    return ISB_OK;
}

static int show_text(tool_session *session, const char *path, const isb_codebook *codebook) {
    const char *name = session->command->name;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file)
        return error_at(name, error_from_errno(), "cannot read %s: %s", path, strerror(errno));
    cutting c = {.session = session, .codebook = codebook, .at_start = true};
    c.colored = format_colored(stdout) != 0;
    uint8_t *piece = malloc(PIECE_NBYTES);
    c.ids = malloc((PIECE_NBYTES + ISB_CODEBOOK_MAX_STRING_NBYTES) * sizeof *c.ids);
    int code = EXIT_OK;
    if (!piece || !c.ids) {
        code = error_at(name, ISB_ERR_NO_MEMORY, "no memory for the text");
    } else {
        const isb_status status = cut_file(&c, file, piece);
        if (status != ISB_OK) code = error_status(session, status);
    }
    if (code == 0 && ferror(file)) {
        code = error_at(name, error_from_errno(), "cannot read %s: %s", path, strerror(errno));
    }
    free(piece);
    free(c.ids);
    if (file != stdin) fclose(file);
    return code;
}

static int summary(tool_session *session, const isb_codebook *codebook) {
    results *out = results_new(session->command->name);
    codebook_describe(out, codebook);
    return results_print(out, stdout, session->common->json);
}

static int run_show(tool_session *session, void *values) {
    const show_values *v = values;
    const bool lists = v->ids || v->find || v->prefix;
    if (lists && v->text) {
        return error_usage(session->command->name, "--text cannot go together with lists of ids");
    }
    const char *where = NULL;
    isb_codebook *codebook = NULL;
    int code = codebook_operand(session, &v->codebook, &where);
    if (code == 0) code = codebook_open(session, where, &codebook);
    if (code != 0) return code;
    if (lists || v->limit > 0) {
        code = list(session, v, codebook);
    } else {
        code = v->text ? show_text(session, v->text, codebook) : summary(session, codebook);
    }
    isb_codebook_free(codebook);
    return code;
}

const tool_command command_codebook_show = {
    .name = "codebook show",
    .summary = "tell what a codebook is, list its strings, or show a text as its tokens",
    .synopsis = "[CODEBOOK] [--ids A..B] [--find TEXT] [--prefix TEXT]\n"
                "[CODEBOOK] --text FILE",
    .description =
        "CODEBOOK is a file or the name of one built in; without it english-65k. Strings are shown "
        "escaped: \\n, \\t, \\r, \\\\ and \\xNN for bytes that are not printable UTF-8. Lists end "
        "with exit code 1 when nothing was found. With --json every string or token is an object, with "
        "text_hex beside text when its bytes are not UTF-8.",
    .examples = "  isobit codebook show\n"
                "  isobit codebook show mine.isb-codebook --prefix ' the' --limit 20\n"
                "  echo The three currently living species | isobit codebook show --text -",
    .options = show_options,
    .n_options = sizeof show_options / sizeof *show_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(show_values, codebook),
    .values_nbytes = sizeof(show_values),
    .run = run_show,
};
