/* cmd_compress.c: isobit compress and decompress, in the manner of zstd: one output beside each
 * input, or standard input to standard output.  Inputs are never removed unless --rm asks for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format.h"
#include "session.h"

typedef struct compress_values {
    common_values common;
    text_list inputs;
    const char *m1, *out;
    int decompress, force, keep, to_stdout, remove;
    uint64_t chunk, streams;
} compress_values;

#define AT(field) .offset = offsetof(compress_values, field)

#define SHARED_OPTIONS                                                                             \
    {.name = "m1", .metavar = "DIR", .type = OPTION_TEXT, .complete = COMPLETE_DIR, AT(m1),        \
     .help = "the model whose predictions code the bytes; the same one is needed to get them "     \
             "back"},                                                                              \
    {.name = "out", .letter = 'o', .metavar = "FILE", .type = OPTION_TEXT,                         \
     .complete = COMPLETE_FILE, AT(out),                                                           \
     .help = "where the result goes, for one input; - is standard output"},                        \
    {.name = "stdout", .letter = 'c', .type = OPTION_FLAG, AT(to_stdout),                          \
     .help = "write to standard output"},                                                          \
    {.name = "force", .letter = 'f', .type = OPTION_FLAG, AT(force),                               \
     .help = "replace existing files, and write to a terminal"},                                   \
    {.name = "keep", .letter = 'k', .type = OPTION_FLAG, AT(keep),                                 \
     .help = "keep the inputs (they are kept unless --rm is given)"},                              \
    {.name = "rm", .type = OPTION_FLAG, AT(remove),                                                \
     .help = "remove each input once its output is whole"}

static const option_spec compress_options[] = {
    {.group = "Options", .name = "decompress", .letter = 'd', .type = OPTION_FLAG, AT(decompress),
     .help = "decompress"},
    SHARED_OPTIONS,
    {.name = "chunk-size", .metavar = "BYTES", .type = OPTION_COUNT, .low = 1024, .high = 16777216,
     AT(chunk),
     .help = "bytes coded on their own: larger is denser, smaller is faster and loses less to "
             "damage; 16Ki without it"},
    {.name = "streams", .metavar = "N", .type = OPTION_COUNT, .low = 1, .high = 65536, AT(streams),
     .help = "chunks that go through the model together; 64 without it"},
};

static const option_spec decompress_options[] = {
    {.group = "Options", .name = "decompress", .letter = 'd', .type = OPTION_FLAG, AT(decompress),
     .help = "what happens anyway"},
    SHARED_OPTIONS,
    {.name = "streams", .metavar = "N", .type = OPTION_COUNT, .low = 1, .high = 65536, AT(streams),
     .help = "chunks that go through the model together; 64 without it"},
};

static const char suffix[] = ".isb";

static bool has_suffix(const char *path) {
    const size_t n = strlen(path), m = sizeof suffix - 1;
    return n > m && path[n - m - 1] != '/' && strcmp(path + n - m, suffix) == 0;
}

/* The output's name in `path`; returns 0 or the exit code. */
static int name_output(const tool_session *session, const compress_values *v, const char *input,
                       char *path, size_t nbytes) {
    const char *name = session->command->name;
    if (v->to_stdout || v->out || strcmp(input, "-") == 0) {
        snprintf(path, nbytes, "%s", v->to_stdout || !v->out ? "-" : v->out);
        return 0;
    }
    if (v->decompress && !has_suffix(input)) {
        return error_at(name, ISB_ERR_FORMAT,
                        "%s: the name does not end in %s; name the output with -o, or use -c",
                        input, suffix);
    }
    if (!v->decompress && has_suffix(input) && !v->force) {
        return error_at(name, ISB_ERR_EXISTS,
                        "%s: already has the suffix %s; use -f to compress it again", input,
                        suffix);
    }
    const int kept = (int)strlen(input) - (v->decompress ? (int)sizeof suffix - 1 : 0);
    const int n = snprintf(path, nbytes, "%.*s%s", kept, input, v->decompress ? "" : suffix);
    if (n > 0 && (size_t)n < nbytes) return 0;
    return error_at(name, ISB_ERR_ARGUMENT, "%s: the name is too long", input);
}

/* The output gets the input's mode and time.  Best effort: the data is what matters. */
static void copy_attributes(const char *input, const char *output) {
    struct stat status;
    if (stat(input, &status) != 0 || !S_ISREG(status.st_mode)) return;
    const struct timespec times[2] = {status.st_atim, status.st_mtim};
    (void)!chmod(output, status.st_mode & 0777);
    (void)!utimensat(AT_FDCWD, output, times, 0);
}

static void note(tool_session *session, const compress_values *v, const char *input,
                 const isb_compress_result *r) {
    if (session->common->quiet) return;
    progress_clear(&session->progress);
    const double raw = (double)r->raw_nbytes, packed = (double)r->packed_nbytes;
    const uint64_t from = v->decompress ? r->packed_nbytes : r->raw_nbytes,
                   to = v->decompress ? r->raw_nbytes : r->packed_nbytes;
    fprintf(stderr, "%s: %s -> %s bytes", input, format_grouped(from).text,
            format_grouped(to).text);
    if (raw > 0) fprintf(stderr, " (%.2f%%, %.3f bits/byte)", 100 * packed / raw, 8 * packed / raw);
    if (r->seconds > 0) fprintf(stderr, ", %.3g MB/s", raw / r->seconds / 1e6);
    fputc('\n', stderr);
}

static int report(tool_session *session, const compress_values *v, const char *input,
                  const char *output, const isb_compress_result *r) {
    if (strcmp(output, "-") == 0 && !session->progress.verbose) return EXIT_OK;
    if (!session->common->json) {
        note(session, v, input, r);
        return EXIT_OK;
    }
    const double raw = (double)r->raw_nbytes, packed = (double)r->packed_nbytes;
    results *out = results_new(v->decompress ? "decompress" : "compress");
    results_text(out, "in", NULL, input);
    results_text(out, "out", NULL, output);
    results_count(out, "raw_bytes", NULL, r->raw_nbytes);
    results_count(out, "packed_bytes", NULL, r->packed_nbytes);
    results_real(out, "bits_per_byte", NULL, 4, 8 * packed / raw);
    results_count(out, "n_chunks", NULL, r->n_chunks);
    results_text(out, "m1_identity", NULL, r->m1_identity);
    results_real(out, "seconds", NULL, 3, r->seconds);
    results_real(out, v->decompress ? "decompress_mb_per_s" : "compress_mb_per_s", NULL, 3,
                 raw / r->seconds / 1e6);
    return results_print(out, stdout, true);
}

static int refuse(tool_session *session, const compress_values *v, const char *input,
                  const char *output) {
    const bool to_stdout = strcmp(output, "-") == 0;
    int code = refuse_mixed_output(session, output);
    if (code == 0 && !v->decompress) code = refuse_terminal(session, output, v->force);
    if (code == 0 && strcmp(input, "-") == 0 && isatty(STDIN_FILENO) && v->inputs.count == 0) {
        code = error_usage(session->command->name,
                           "standard input is a terminal; name a file, or - to type the input");
    }
    if (code == 0 && v->remove && (to_stdout || strcmp(input, "-") == 0)) {
        code = error_usage(session->command->name, "--rm needs an input and an output with names");
    }
    return code;
}

static int process(tool_session *session, const compress_values *v, const char *input) {
    char output[4096];
    int code = name_output(session, v, input, output, sizeof output);
    if (code == 0) code = refuse(session, v, input, output);
    if (code != 0) return code;
    isb_compress_options options;
    isb_compress_options_init(&options);
    options.m1_path = v->m1;
    options.chunk_nbytes = (size_t)v->chunk;
    options.n_streams = (size_t)v->streams;
    options.force = v->force;
    isb_compress_result result;
    const isb_status status =
        v->decompress ? isb_decompress_file(session->context, input, output, &options, &result)
                      : isb_compress_file(session->context, input, output, &options, &result);
    if (status != ISB_OK) return error_status(session, status);
    if (strcmp(output, "-") != 0 && strcmp(input, "-") != 0) copy_attributes(input, output);
    if (v->remove && unlink(input) != 0) {
        return error_at(session->command->name, error_from_errno(), "cannot remove %s: %s", input,
                        strerror(errno));
    }
    return report(session, v, input, output, &result);
}

static int check_usage(const tool_session *session, const compress_values *v) {
    const char *name = session->command->name;
    if (!v->m1) {
        return error_usage(name, "--m1 DIR is missing: the model whose predictions code the bytes");
    }
    if (v->out && v->to_stdout) return error_usage(name, "-o and -c exclude each other");
    if (v->out && v->inputs.count > 1) {
        return error_usage(name, "-o takes one input, found %zu", v->inputs.count);
    }
    if (v->keep && v->remove) return error_usage(name, "--keep and --rm exclude each other");
    if (v->to_stdout && !v->decompress && v->inputs.count > 1) {
        return error_usage(name, "-c takes one input: compressed files do not join end to end");
    }
    return 0;
}

/* Goes on with the other files when one fails; the first failure's code is returned. */
static int run_either(tool_session *session, compress_values *v) {
    int first = check_usage(session, v);
    if (first != 0) return first;
    if (v->inputs.count == 0) return process(session, v, "-");
    for (size_t i = 0; i < v->inputs.count; ++i) {
        const int code = process(session, v, v->inputs.items[i]);
        if (first == 0) first = code;
        if (code == EXIT_INTERRUPTED || code == EXIT_USAGE) break;
    }
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
    .synopsis = "--m1 DIR [FILE ...] [-o FILE | -c] [OPTION ...]",
    .description =
        "Writes FILE.isb beside each FILE; inputs stay. Without a FILE, or with \"-\", standard "
        "input goes to standard output. Any bytes can be compressed; text like what the M1 was "
        "trained on gets small. The file names the M1 it was made with, carries checksums, and "
        "can be read on any machine.\n\n"
        "It is slow and dense: every byte goes through the model. Nothing appears under the final "
        "name unless all went well.",
    .examples = "  isobit compress --m1 m1 book.txt\n"
                "  isobit compress -d --m1 m1 book.txt.isb -o book.again\n"
                "  tar c docs | isobit compress --m1 m1 > docs.tar.isb",
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
    .synopsis = "--m1 DIR [FILE.isb ...] [-o FILE | -c] [OPTION ...]",
    .description =
        "Writes FILE beside each FILE.isb; inputs stay. Without a FILE, or with \"-\", standard "
        "input goes to standard output. The M1 must be the one that compressed: another is "
        "refused by its identity. Damage is found by the checksums, and then nothing appears "
        "under the final name. \"isobit info FILE.isb\" tells what is in it.",
    .examples = "  isobit decompress --m1 m1 book.txt.isb\n"
                "  isobit decompress --m1 m1 -c docs.tar.isb | tar t",
    .options = decompress_options,
    .n_options = sizeof decompress_options / sizeof *decompress_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(compress_values, inputs),
    .values_nbytes = sizeof(compress_values),
    .run = run_decompress,
};
