/* cmd_compress.c: isobit compress and decompress, in the manner of zstd: an output beside each
 * input, or standard input to standard output; testing and listing.  Inputs stay unless
 * --rm asks for it.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archives.h"
#include "beside.h"
#include "format.h"

typedef enum run_mode { MODE_COMPRESS, MODE_DECOMPRESS, MODE_TEST, MODE_LIST } run_mode;

typedef struct compress_values {
    common_values common;
    text_list inputs;
    const char *m1, *out, *range;
    int decompress, test, list, force, keep, to_stdout, remove, embed_m1, sparse, no_sparse;
    uint64_t chunk, streams, memory;
    uint64_t range_start, range_nbytes; /* what --range says */
} compress_values;

#define AT(field) .offset = offsetof(compress_values, field)

#define MODE_OPTIONS(of_decompress)                                                                \
    {.group = "What to do", .name = "decompress", .letter = 'd', .type = OPTION_FLAG,              \
     AT(decompress), .help = of_decompress},                                                       \
    {.name = "test", .letter = 't', .type = OPTION_FLAG, AT(test),                                 \
     .help = "unpack and check everything, and write nothing"},                                    \
    {.name = "list", .letter = 'l', .type = OPTION_FLAG, AT(list),                                 \
     .help = "tell what is in compressed files, without unpacking and without their M1"}

#define FILE_OPTIONS                                                                               \
    {.group = "Files", .name = "out", .letter = 'o', .metavar = "FILE", .type = OPTION_TEXT,       \
     .complete = COMPLETE_FILE, AT(out),                                                           \
     .help = "where the result goes, for one input; - is standard output"},                        \
    {.name = "stdout", .letter = 'c', .type = OPTION_FLAG, AT(to_stdout),                          \
     .help = "write to standard output"},                                                          \
    {.name = "force", .letter = 'f', .type = OPTION_FLAG, AT(force),                               \
     .help = "replace existing files, follow symbolic links, write to a terminal"},                \
    {.name = "keep", .letter = 'k', .type = OPTION_FLAG, AT(keep),                                 \
     .help = "keep the inputs (they are kept unless --rm is given)"},                              \
    {.name = "rm", .type = OPTION_FLAG, AT(remove),                                                \
     .help = "remove each input once its output is whole"}

#define WORK_OPTIONS                                                                               \
    {.group = "How", .name = "streams", .metavar = "N", .type = OPTION_COUNT, .low = 1,            \
     .high = 65536, AT(streams),                                                                   \
     .help = "chunks that go through the M1 together: speed and memory only; without it what "     \
             "suits the machine"},                                                                 \
    {.name = "memory", .metavar = "SIZE", .type = OPTION_COUNT, .low = 1, .otherwise = "1Gi",      \
     AT(memory),                                                                                   \
     .help = "use about so much memory at most, 512Mi say; a file that needs more is refused"}

#define UNPACK_OPTIONS                                                                             \
    {.group = "Decompression", .name = "range", .metavar = "OFFSET:LENGTH", .type = OPTION_TEXT,   \
     AT(range),                                                                                    \
     .help = "only these bytes of the contents, to standard output unless -o is given; without "   \
             "LENGTH to the end"},                                                                 \
    {.name = "sparse", .type = OPTION_FLAG, AT(sparse),                                            \
     .help = "holes in place of zeros, in a standard output that is a file too"},                  \
    {.name = "no-sparse", .type = OPTION_FLAG, AT(no_sparse),                                      \
     .help = "write all zeros; without both options files with names get holes"}

static const option_spec compress_options[] = {
    MODE_OPTIONS("decompress"),
    FILE_OPTIONS,
    WORK_OPTIONS,
    M1_OPTION(offsetof(compress_values, m1),
              "the M1 to code with; without it the one in the library, with -d the one that the "
              "file needs"),
    {.group = "Compression", .name = "embed-m1", .type = OPTION_FLAG, AT(embed_m1),
     .help = "put the M1 into the file: it can then be read wherever isobit is"},
    {.name = "chunk-size", .metavar = "BYTES", .type = OPTION_COUNT, .low = 1024, .high = 16777216,
     .otherwise = "16Ki", AT(chunk),
     .help = "bytes coded on their own: larger is denser; smaller loses less to damage, and is "
             "read faster in parts"},
    UNPACK_OPTIONS,
};

static const option_spec decompress_options[] = {
    MODE_OPTIONS("what happens anyway"),
    FILE_OPTIONS,
    WORK_OPTIONS,
    M1_OPTION(offsetof(compress_values, m1),
              "the M1 that compressed; without it the one in the file, in the library, or found by "
              "its identity"),
    UNPACK_OPTIONS,
};

static const char suffix[] = ".isb";

static run_mode mode_of(const compress_values *v) {
    return v->list         ? MODE_LIST
           : v->test       ? MODE_TEST
           : v->decompress ? MODE_DECOMPRESS
                           : MODE_COMPRESS;
}

/* ---- one file ---- */

static bool is_stream(const char *path) { return strcmp(path, "-") == 0; }

/* The output's name in `path`; returns 0 or the exit code. */
static int name_output(tool_session *session, const compress_values *v, const char *input,
                       char *path, size_t nbytes) {
    const beside_rules rules = {suffix, v->decompress != 0, v->force};
    if (!v->to_stdout && !v->out && !v->range && !is_stream(input)) {
        return beside_name(session, &rules, input, path, nbytes);
    }
    const int n = snprintf(path, nbytes, "%s", v->out && !v->to_stdout ? v->out : "-");
    if (n > 0 && (size_t)n < nbytes) return 0;
    return error_at(session->command->name, ISB_ERR_ARGUMENT, "%s: the name is too long", v->out);
}

static int refuse_input(tool_session *session, const compress_values *v, const char *input) {
    if (path_is_dir(input)) {
        return error_at(session->command->name, ISB_ERR_IS_DIRECTORY,
                        "%s is a folder; name files, or pack it first: tar c FOLDER | isobit "
                        "compress -o FOLDER.tar.isb",
                        input);
    }
    if (!is_stream(input) || !isatty(STDIN_FILENO) || v->inputs.count > 0) return 0;
    return error_usage(session->command->name,
                       "standard input is a terminal; name a file, or - to type the input");
}

static int refuse_output(tool_session *session, const compress_values *v, const char *input,
                         const char *output) {
    struct stat status;
    const bool named = !is_stream(output) && !is_stream(input),
               device = stat(output, &status) == 0 && !S_ISREG(status.st_mode);
    int code = refuse_mixed_output(session, output);
    if (code == 0 && !v->decompress) code = refuse_terminal(session, output, v->force);
    if (code == 0 && v->remove && (!named || device)) {
        code = error_usage(session->command->name, "--rm needs an input and an output with names");
    }
    return code;
}

static void set_options(const compress_values *v, int force, isb_compress_options *options) {
    isb_compress_options_init(options);
    options->m1_path = v->m1;
    options->chunk_nbytes = (size_t)v->chunk;
    options->n_streams = (size_t)v->streams;
    options->embed_m1 = v->embed_m1;
    options->force = force;
    options->sparse = v->sparse ? ISB_SPARSE_ON : v->no_sparse ? ISB_SPARSE_OFF : ISB_SPARSE_AUTO;
    options->memory_limit_nbytes = v->memory;
    options->range_start = v->range_start;
    options->range_nbytes = v->range_nbytes;
}

static int transform(tool_session *session, const compress_values *v, const char *input,
                     archive_totals *totals) {
    char output[4096];
    int force = v->force, code = name_output(session, v, input, output, sizeof output);
    if (code == 0) code = refuse_output(session, v, input, output);
    if (code == 0) code = beside_may_write(session, input, output, &force);
    if (code != 0) return code;
    isb_compress_options options;
    set_options(v, force, &options);
    isb_compress_result result;
    /* A part is not the file that once had these attributes. */
    const char *like = v->range ? "-" : input;
    const mode_t before = beside_begin(like);
    const isb_status status =
        v->decompress ? isb_decompress_file(session->context, input, output, &options, &result)
                      : isb_compress_file(session->context, input, output, &options, &result);
    beside_finish(before, status == ISB_OK, like, output);
    if (status != ISB_OK) return error_status(session, status);
    if (v->remove) code = beside_remove(session, input);
    /* Sizes of a part beside those of the whole say nothing. */
    if (code != 0 || (v->range && !session->common->json)) return code;
    return archive_report(session, v->decompress ? "decompress" : "compress", input, output,
                          &result, totals);
}

static int test(tool_session *session, const compress_values *v, const char *input,
                archive_totals *totals) {
    isb_compress_options options;
    set_options(v, 0, &options);
    isb_compress_result result;
    const isb_status status = isb_decompress_file(session->context, input, NULL, &options, &result);
    if (status != ISB_OK) return error_status(session, status);
    return archive_report(session, "test", input, NULL, &result, totals);
}

static int process(tool_session *session, const compress_values *v, const char *input,
                   archive_totals *totals) {
    const run_mode mode = mode_of(v);
    const int code = refuse_input(session, v, input);
    if (code != 0) return code;
    return mode == MODE_LIST   ? archive_list(session, input, totals)
           : mode == MODE_TEST ? test(session, v, input, totals)
                               : transform(session, v, input, totals);
}

/* ---- the command line ---- */

/* What may be said with each mode; nothing else is taken and then ignored. */
static const struct {
    const char *with, *allowed[16];
} rules[] = {
    [MODE_COMPRESS] = {"compression",
                       {"out", "stdout", "force", "keep", "rm", "m1", "memory", "streams",
                        "embed-m1", "chunk-size"}},
    [MODE_DECOMPRESS] = {"decompression",
                         {"decompress", "out", "stdout", "force", "keep", "rm", "m1", "memory",
                          "streams", "range", "sparse", "no-sparse"}},
    [MODE_TEST] = {"--test", {"test", "decompress", "force", "keep", "m1", "memory", "streams"}},
    [MODE_LIST] = {"--list", {"list", "decompress", "force", "keep"}},
};

static int refuse_meaningless(const tool_session *session, const compress_values *v) {
    const run_mode mode = mode_of(v);
    const char *other = options_first_other(session->parsed, rules[mode].allowed);
    if (!other) return 0;
    return error_usage(session->command->name, "--%s has no meaning with %s", other,
                       rules[mode].with);
}

/* "OFFSET:LENGTH", either of them may be left out. */
static int read_range(const tool_session *session, compress_values *v) {
    char start[32];
    const char *colon = v->range ? strchr(v->range, ':') : NULL;
    if (!v->range) return 0;
    const size_t n = colon ? (size_t)(colon - v->range) : 0;
    snprintf(start, sizeof start, "%.*s", (int)(n < sizeof start ? n : sizeof start - 1), v->range);
    if (!colon || n >= sizeof start || (n > 0 && !options_parse_count(start, &v->range_start)) ||
        (colon[1] && !options_parse_count(colon + 1, &v->range_nbytes)) ||
        (colon[1] && v->range_nbytes == 0)) {
        return error_usage(session->command->name,
                           "--range: \"%s\" is not OFFSET:LENGTH, such as 1Mi:64Ki, 4096: or :100",
                           v->range);
    }
    return 0;
}

static int check_usage(const tool_session *session, compress_values *v) {
    const char *name = session->command->name;
    const int code = refuse_meaningless(session, v);
    if (code != 0) return code;
    if (v->out && v->to_stdout) return error_usage(name, "-o and -c exclude each other");
    if (v->out && v->inputs.count > 1) {
        return error_usage(name, "-o takes one input, found %zu; -c joins several",
                           v->inputs.count);
    }
    if (v->keep && v->remove) return error_usage(name, "--keep and --rm exclude each other");
    if (v->range && v->remove) return error_usage(name, "--range and --rm exclude each other");
    if (v->sparse && v->no_sparse) {
        return error_usage(name, "--sparse and --no-sparse exclude each other");
    }
    return read_range(session, v);
}

/* Goes on with the other files when one fails; the first failure's code is returned. */
static int run_either(tool_session *session, compress_values *v) {
    archive_totals totals = {0};
    int first = check_usage(session, v);
    if (first != 0) return first;
    if (v->inputs.count == 0) first = process(session, v, "-", &totals);
    for (size_t i = 0; i < v->inputs.count; ++i) {
        const int code = process(session, v, v->inputs.items[i], &totals);
        if (first == 0) first = code;
        if (code == EXIT_INTERRUPTED || code == EXIT_USAGE) break;
    }
    archive_report_totals(session, &totals);
    return first;
}

static int run_compress(tool_session *session, void *values) { return run_either(session, values); }

static int run_decompress(tool_session *session, void *values) {
    compress_values *v = values;
    v->decompress = 1;
    return run_either(session, v);
}

const tool_command command_compress = {
    .name = "compress",
    .summary = "compress files losslessly with an M1",
    .synopsis = "[FILE ...] [-o FILE | -c] [--m1 M1] [OPTION ...]\n"
                "-d | -t | -l [FILE.isb ...] [OPTION ...]",
    .description =
        "Writes FILE.isb beside each FILE; inputs stay. Without a FILE, or with \"-\", standard "
        "input goes to standard output. Any bytes can be compressed; text like what the M1 was "
        "trained on gets small, and what no model makes smaller is handed to zstd or stored. The "
        "file names the M1 it needs, has checksums over every bit, and can be read on any "
        "machine.\n\n"
        "It is dense and slow: where zstd does not do, every byte goes through the model. Nothing "
        "appears under the final name unless all went well.",
    .examples = "  isobit compress book.txt\n"
                "  isobit compress -d book.txt.isb -o book.again\n"
                "  tar c docs | isobit compress > docs.tar.isb\n"
                "  isobit compress --m1 mine.isb-m1 --embed-m1 *.txt\n"
                "  isobit compress -l *.isb",
    .options = compress_options,
    .n_options = sizeof compress_options / sizeof *compress_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(compress_values, inputs),
    .values_nbytes = sizeof(compress_values),
    .run = run_compress,
};

const tool_command command_decompress = {
    .name = "decompress",
    .summary = "get compressed files back",
    .synopsis = "[FILE.isb ...] [-o FILE | -c] [--m1 M1] [OPTION ...]\n"
                "-t | -l [FILE.isb ...] [OPTION ...]",
    .description =
        "Writes FILE beside each FILE.isb; inputs stay. Without a FILE, or with \"-\", standard "
        "input goes to standard output. The M1 that compressed is taken from the file, from the "
        "library, or as IDENTITY.isb-m1 from a folder in ISB_M1_PATH or from "
        "~/.local/share/isobit/m1; one named with --m1 must be that one. Damage is found by the "
        "checksums, and then nothing appears under the final name.",
    .examples = "  isobit decompress book.txt.isb\n"
                "  isobit decompress -c docs.tar.isb | tar t\n"
                "  isobit decompress --range 1Mi:64Ki log.isb\n"
                "  isobit decompress -t *.isb",
    .options = decompress_options,
    .n_options = sizeof decompress_options / sizeof *decompress_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(compress_values, inputs),
    .values_nbytes = sizeof(compress_values),
    .run = run_decompress,
};
