/* cmd_codebook_diff.c: isobit codebook diff: do two codebooks give the same ids? */
#include <stdio.h>
#include <string.h>

#include "codebooks.h"
#include "format.h"

typedef struct diff_values {
    common_values common;
    text_list codebooks;
    uint64_t limit;
} diff_values;

static const option_spec diff_options[] = {
    {.group = "Options", .name = "limit", .metavar = "N", .type = OPTION_COUNT, .initial = "10",
     .offset = offsetof(diff_values, limit),
     .help = "show the first N differences of each sort; 0: only how many there are"},
};

/* How a string or a special name of one codebook stands in the other. */
typedef enum difference {
    SAME,
    ONLY_A,
    ONLY_B,
    OTHER_ID,
    SPECIAL_ONLY_A,
    SPECIAL_ONLY_B,
    SPECIAL_OTHER_ID,
    N_DIFFERENCES
} difference;

static const struct {
    const char *name, *label;
} differences[N_DIFFERENCES] = {
    [SAME] = {"n_same", "strings with the same id"},
    [ONLY_A] = {"n_only_a", "strings only in A"},
    [ONLY_B] = {"n_only_b", "strings only in B"},
    [OTHER_ID] = {"n_other_id", "strings with another id"},
    [SPECIAL_ONLY_A] = {"n_special_only_a", "special only in A"},
    [SPECIAL_ONLY_B] = {"n_special_only_b", "special only in B"},
    [SPECIAL_OTHER_ID] = {"n_special_other_id", "special with another id"},
};

typedef struct side {
    const char *path;
    isb_codebook *codebook;
    isb_codebook_info info;
} side;

/* What becomes of id `id` of `from` in `to`; *other is its id there.  Ids that share a string with
 * another one (compiled windows) are judged by the one that encoding uses. */
static difference compare(const side *from, const side *to, uint32_t id, bool first,
                          int64_t *other) {
    const uint8_t *bytes = NULL;
    size_t nbytes = 0;
    isb_codebook_string(from->codebook, id, &bytes, &nbytes);
    if (id >= from->info.n_codes) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)nbytes, (const char *)bytes);
        *other = isb_codebook_find_special(to->codebook, name);
        if (*other < 0) return first ? SPECIAL_ONLY_A : SPECIAL_ONLY_B;
        return *other == id ? SAME : SPECIAL_OTHER_ID;
    }
    if (!bytes || isb_codebook_find(from->codebook, bytes, nbytes) != id) return SAME;
    *other = isb_codebook_find(to->codebook, bytes, nbytes);
    if (*other < 0) return first ? ONLY_A : ONLY_B;
    return *other == id ? SAME : OTHER_ID;
}

static void count(const side *a, const side *b, uint64_t counts[N_DIFFERENCES]) {
    int64_t other = 0;
    for (int64_t id = 0; id < a->info.n_ids; ++id) {
        ++counts[compare(a, b, (uint32_t)id, true, &other)];
    }
    for (int64_t id = 0; id < b->info.n_ids; ++id) {
        const difference d = compare(b, a, (uint32_t)id, false, &other);
        counts[d] += d == ONLY_B || d == SPECIAL_ONLY_B; /* the others were seen from A */
    }
}

static void print_difference(const tool_session *session, const side *from, uint32_t id,
                             int64_t other, difference d) {
    if (session->common->json) {
        const uint8_t *bytes = NULL;
        size_t nbytes = 0;
        isb_codebook_string(from->codebook, id, &bytes, &nbytes);
        results *out = results_new(NULL);
        results_text(out, "difference", NULL, differences[d].name + strlen("n_"));
        results_count(out, "id", NULL, id);
        if (other >= 0) results_count(out, "id_b", NULL, (uint64_t)other);
        results_bytes(out, "text", (const char *)bytes, nbytes);
        (void)results_print(out, stdout, true);
        return;
    }
    printf("%7u  ", id);
    if (other >= 0) printf("-> %7lld  ", (long long)other);
    codebook_print_string(stdout, from->codebook, id);
    putchar('\n');
}

static void print_sort(const tool_session *session, const side *from, const side *to, difference d,
                       uint64_t limit) {
    const bool first = d != ONLY_B && d != SPECIAL_ONLY_B;
    uint64_t shown = 0;
    for (int64_t id = 0; id < from->info.n_ids && shown < limit; ++id) {
        int64_t other = -1;
        if (compare(from, to, (uint32_t)id, first, &other) != d) continue;
        if (shown++ == 0 && !session->common->json) printf("\n%s\n", differences[d].label);
        print_difference(session, from, (uint32_t)id, other, d);
    }
}

static int report(const tool_session *session, const side sides[2], uint64_t limit) {
    const side *a = &sides[0], *b = &sides[1];
    uint64_t counts[N_DIFFERENCES] = {0};
    const bool equal = strcmp(a->info.identity, b->info.identity) == 0;
    count(a, b, counts);
    results *out = results_new(session->command->name);
    results_text(out, "a", "A", a->path);
    results_text(out, "b", "B", b->path);
    results_flag(out, "equal", "all ids always equal", equal);
    for (int d = 0; d < N_DIFFERENCES; ++d) {
        results_count(out, differences[d].name, differences[d].label, counts[d]);
    }
    const int code = results_print(out, stdout, session->common->json);
    if (code != 0) return code;
    for (int d = ONLY_A; d < N_DIFFERENCES; ++d) {
        const bool from_b = d == ONLY_B || d == SPECIAL_ONLY_B;
        print_sort(session, from_b ? b : a, from_b ? a : b, (difference)d, limit);
    }
    return equal ? EXIT_OK : EXIT_FAILED;
}

static int run_diff(tool_session *session, void *values) {
    const diff_values *v = values;
    if (v->codebooks.count != 2) {
        return error_usage(session->command->name, "two codebooks are compared, found %zu",
                           v->codebooks.count);
    }
    side sides[2] = {{.path = v->codebooks.items[0]}, {.path = v->codebooks.items[1]}};
    int code = 0;
    for (int i = 0; i < 2 && code == 0; ++i) {
        code = codebook_open(session, sides[i].path, &sides[i].codebook);
        sides[i].info.struct_size = sizeof sides[i].info;
        if (code == 0) isb_codebook_get_info(sides[i].codebook, &sides[i].info);
    }
    if (code == 0) code = report(session, sides, v->limit);
    for (int i = 0; i < 2; ++i) isb_codebook_free(sides[i].codebook);
    return code;
}

const tool_command command_codebook_diff = {
    .name = "codebook diff",
    .summary = "compare two codebooks: strings, ids, special names",
    .synopsis = "A B [--limit N]",
    .description =
        "Tells how many strings and special names are only in A, only in B, and in both under "
        "another id, and shows the first of each. The exit code is 0 when both give the same ids "
        "for every text, and 1 when they do not, as diff has it. Names and cards are not compared.",
    .examples = "  isobit codebook diff english-65k mine.isb-codebook\n"
                "  isobit codebook diff --limit 0 a.isb-codebook b.isb-codebook",
    .options = diff_options,
    .n_options = sizeof diff_options / sizeof *diff_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(diff_values, codebooks),
    .values_nbytes = sizeof(diff_values),
    .run = run_diff,
};
