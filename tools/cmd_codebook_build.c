/* cmd_codebook_build.c: isobit codebook build */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codebooks.h"
#include "format.h"

typedef struct build_values {
    common_values common;
    text_list data, specials;
    const char *m1, *kind, *name, *note, *out;
    uint64_t size, refine, max_string;
    int choose, no_choose;
    corpus_values corpus;
} build_values;

#define AT(field) .offset = offsetof(build_values, field)

static const option_spec build_options[] = {
    {.group = "Options", .name = "data", .letter = 'd', .metavar = "PATH ...", .type = OPTION_LIST,
     .complete = COMPLETE_FILE, AT(data),
     .help = "text files or folders, or \"-\" for standard input"},
    {.name = "m1", .metavar = "M1", .type = OPTION_TEXT, .complete = COMPLETE_FILE,
     .initial = "counts", AT(m1),
     .help = "take the most probable strings of this byte model (a folder, a file or a name, see "
             "\"isobit help m1\"); counts: of the text alone"},
    {.name = "out", .letter = 'o', .metavar = "FILE", .type = OPTION_TEXT,
     .complete = COMPLETE_FILE, AT(out), .help = "where it goes: NAME.isb-codebook"},
    {.name = "size", .metavar = "V", .type = OPTION_COUNT, .low = ISB_CODEBOOK_MIN_IDS,
     .high = ISB_CODEBOOK_MAX_IDS, .initial = "64Ki", AT(size),
     .help = "number of ids, the special ones included; 64Ki is the most that fits 16 bits"},
    {.name = "kind", .metavar = "NAME", .type = OPTION_WORD, .complete = COMPLETE_CHOICES,
     .choices = "word|phrase|run|words|free|exact|delay", .initial = "phrase", AT(kind),
     .help = "which strings are allowed, see \"isobit help codebook\"; exact and delay are the "
             "16-bit windows of the M1, with the ids of window:b=16"},
    {.name = "refine", .metavar = "N", .type = OPTION_COUNT, .high = 100, .otherwise = "6",
     AT(refine),
     .help = "rounds in which strings are counted again where tokens of the last one start, the "
             "best are added and the least used dropped"},
    {.name = "choose", .type = OPTION_FLAG, AT(choose),
     .help = "keep the strings that cutting the text really uses, as is done anyway when there is "
             "text"},
    {.name = "no-choose", .type = OPTION_FLAG, AT(no_choose),
     .help = "keep the most probable strings, used or not"},
    {.name = "max-string", .metavar = "BYTES", .type = OPTION_COUNT, .low = 1,
     .high = ISB_CODEBOOK_MAX_STRING_NBYTES, .otherwise = "32", AT(max_string),
     .help = "longest string"},
    {.name = "name", .metavar = "NAME", .type = OPTION_TEXT, AT(name),
     .help = "a name, kept in the file; without it the file's"},
    {.name = "note", .metavar = "TEXT", .type = OPTION_TEXT, AT(note),
     .help = "what the text is; kept in the file's card beside how the codebook was made"},
    {.name = "special", .metavar = "NAME", .type = OPTION_LIST, AT(specials),
     .help = "one more special id after <|endoftext|>; may be given again"},

    {.group = "Text", .name = "split", .metavar = "NAME", .type = OPTION_CHOICE,
     .complete = COMPLETE_CHOICES, .choices = "all|train|valid|test", .initial = "train",
     AT(corpus.split),
     .help = "read only these documents: train's unless said otherwise, so that valid and test "
             "stay unseen; which one a document belongs to depends on its bytes alone"},
    CORPUS_OPTION_FORMAT(build_values),
    CORPUS_OPTION_DOCUMENT(build_values),
    CORPUS_OPTION_VALID(build_values),
    CORPUS_OPTION_TEST(build_values),
    CORPUS_OPTION_MAX(build_values),
};

static bool is_windows(const build_values *v) {
    return strcmp(v->kind, "exact") == 0 || strcmp(v->kind, "delay") == 0;
}

static bool has_m1(const build_values *v) { return strcmp(v->m1, "counts") != 0; }

/* Windows follow from the M1 alone: what else is said would be without effect. */
static int check_windows(const tool_session *session, const build_values *v) {
    static const char *const allowed[] = {"m1", "out", "kind", "name", "note", "special", NULL};
    const char *name = session->command->name;
    if (!has_m1(v)) return error_usage(name, "--kind %s needs --m1 M1: whose windows?", v->kind);
    const char *other = options_first_other(session->parsed, allowed);
    if (!other) return 0;
    return error_usage(name, "--%s has no meaning with --kind %s: the M1 decides all", other,
                       v->kind);
}

static int check(const tool_session *session, const build_values *v) {
    const char *name = session->command->name;
    if (!v->out) return error_usage(name, "--out FILE is missing: where does the codebook go?");
    if (strcmp(v->out, "-") == 0) {
        return error_usage(name, "a codebook is not written to standard output; name a file");
    }
    if (v->choose && v->no_choose) {
        return error_usage(name, "--choose and --no-choose exclude each other");
    }
    if (is_windows(v)) return check_windows(session, v);
    if (v->data.count > 0) return 0;
    if (!has_m1(v)) return error_usage(name, "--data is missing: which text, or which --m1?");
    const char *useless = v->choose                                 ? "choose"
                          : options_seen(session->parsed, "refine") ? "refine"
                                                                    : NULL;
    if (useless) return error_usage(name, "--%s needs text: --data is missing", useless);
    return 0;
}

/* Found out before the work, not after it. */
static int check_folder(const tool_session *session, const char *out) {
    char folder[4096];
    const char *slash = strrchr(out, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - out) : 1, slash ? out : ".");
    if (path_is_dir(out)) {
        return error_at(session->command->name, ISB_ERR_IS_DIRECTORY, "%s is a folder", out);
    }
    if (!slash || slash == out || path_is_dir(folder)) return 0;
    return error_at(session->command->name, ISB_ERR_NOT_FOUND,
                    "cannot write %s: there is no folder %s", out, folder);
}

/* "dir/mine.isb-codebook" is called "mine". */
static const char *name_of(const build_values *v, char *name, size_t nbytes) {
    if (v->name) return v->name;
    const char *slash = strrchr(v->out, '/'), *base = slash ? slash + 1 : v->out;
    snprintf(name, nbytes, "%.*s", (int)strcspn(base, "."), base);
    return name;
}

static int fill(tool_session *session, const build_values *v, isb_codebook_build_options *o) {
    const bool text = v->data.count > 0;
    o->n_ids = is_windows(v) ? 0 : (int64_t)v->size;
    o->kind = v->kind;
    o->m1_dir = has_m1(v) ? v->m1 : NULL;
    o->choose = text && !v->no_choose;
    if (!text) o->n_rounds = 0;
    if (options_seen(session->parsed, "refine")) o->n_rounds = (int)v->refine;
    o->max_string_nbytes = (size_t)v->max_string;
    o->note = v->note;
    o->specials = v->specials.items;
    o->n_specials = v->specials.count;
    return corpus_options_from(session, &v->corpus, &o->corpus);
}

/* "refine 2: 65,536 strings, 5.41 bytes/token, 38 s", or an object with --json. */
static void report_round(void *user, const isb_codebook_round *round) {
    tool_session *session = user;
    progress_clear(&session->progress);
    if (session->common->json) {
        results *out = results_new(session->command->name);
        results_text(out, "phase", NULL, round->phase);
        results_count(out, "round", NULL, (uint64_t)round->round);
        results_count(out, "n_strings", NULL, (uint64_t)round->n_strings);
        results_count(out, "n_bytes", NULL, round->n_bytes);
        results_count(out, "n_tokens", NULL, round->n_tokens);
        results_real(out, "bytes_per_token", NULL, 4, round->bytes_per_token);
        results_real(out, "seconds", NULL, 2, round->seconds);
        (void)results_print(out, stdout, true);
        fflush(stdout);
        return;
    }
    if (session->common->quiet) return;
    fprintf(stderr, "%s", round->phase);
    if (strcmp(round->phase, "start") != 0) fprintf(stderr, " %d", round->round);
    fprintf(stderr, ": %s strings", format_grouped((uint64_t)round->n_strings).text);
    if (round->bytes_per_token > 0) fprintf(stderr, ", %.3f bytes/token", round->bytes_per_token);
    fprintf(stderr, ", %.0f s\n", round->seconds);
}

/* The last round says how the codebook does on its own text. */
typedef struct build_state {
    tool_session *session;
    struct timespec start;
    isb_codebook_round last;
} build_state;

static double seconds_since(const struct timespec *start) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

static void take_round(void *user, const isb_codebook_round *round) {
    build_state *state = user;
    state->last = *round;
    report_round(state->session, round);
}

/* A text may have fewer strings than were asked for. */
static void note_size(const tool_session *session, const build_values *v,
                      const isb_codebook *codebook) {
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(codebook, &info);
    if (session->common->quiet || is_windows(v) || (uint64_t)info.n_ids >= v->size) return;
    fprintf(stderr, "isobit: %s: no more than %s ids: the text repeats no other strings\n",
            session->command->name, format_grouped((uint64_t)info.n_ids).text);
}

/* Tells about the file, not about what it was written from. */
static int report(const build_state *state, const build_values *v) {
    tool_session *session = state->session;
    isb_codebook *codebook = NULL;
    const int code = codebook_open(session, v->out, &codebook);
    if (code != 0) return code;
    note_size(session, v, codebook);
    results *out = results_new(session->command->name);
    results_text(out, "out", "file", v->out);
    codebook_describe(out, codebook);
    if (state->last.n_tokens > 0) {
        results_count(out, "n_bytes", "bytes of text", state->last.n_bytes);
        results_real(out, "bytes_per_token", "bytes/token, on the text it was made from", 4,
                     state->last.bytes_per_token);
    }
    results_seconds(out, "seconds", "time", seconds_since(&state->start));
    isb_codebook_free(codebook);
    return results_print(out, stdout, session->common->json);
}

/* A single document is easily on another side of the split. */
static int nothing_read(const tool_session *session) {
    return error_at(session->command->name, ISB_ERR_EMPTY,
                    "no document of this split has any text; give more documents, cut files into "
                    "some with --document-size, or read --split all");
}

static int run_build(tool_session *session, void *values) {
    const build_values *v = values;
    char name[64];
    int code = check(session, v);
    if (code == 0) code = check_folder(session, v->out);
    if (code != 0) return code;
    build_state state = {.session = session};
    clock_gettime(CLOCK_MONOTONIC, &state.start);
    isb_codebook_build_options options;
    isb_codebook_build_options_init(&options);
    code = fill(session, v, &options);
    if (code != 0) return code;
    options.name = name_of(v, name, sizeof name);
    options.report = take_round;
    options.report_user = &state;
    isb_codebook *codebook = NULL;
    isb_status status = isb_codebook_build(session->context, v->data.items, v->data.count, &options,
                                           &codebook);
    if (status == ISB_OK) status = isb_codebook_save(session->context, codebook, v->out);
    isb_codebook_free(codebook);
    if (status == ISB_ERR_EMPTY && v->corpus.split != ISB_SPLIT_ALL) return nothing_read(session);
    return status == ISB_OK ? report(&state, v) : error_status(session, status);
}

const tool_command command_codebook_build = {
    .name = "codebook build",
    .summary = "make a codebook from text, or from an M1",
    .synopsis = "--data PATH ... -o FILE [--size V] [--kind NAME] [...]\n"
                "--m1 M1 --kind exact -o FILE",
    .description =
        "Takes the most frequent strings of the text, or the most probable ones of a byte model "
        "corrected by the text, and writes them as a codebook. Only documents of the train split "
        "are read, by the same rule as train and prepare have, unless --split says otherwise. The "
        "text is held in memory, with about ten bytes of tables for each of its bytes: --max-bytes "
        "limits it. The same text and options give the same file, with any number of threads.",
    .examples = "  isobit codebook build --data corpus/ -o mine.isb-codebook\n"
                "  isobit codebook build --data c4.jsonl.zst --max-bytes 200M --size 32Ki "
                "--kind words -o w.isb-codebook\n"
                "  isobit codebook build --m1 m1 --kind exact -o windows.isb-codebook",
    .options = build_options,
    .n_options = sizeof build_options / sizeof *build_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(build_values, data),
    .values_nbytes = sizeof(build_values),
    .run = run_build,
};
