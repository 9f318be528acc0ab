/* cmd_generate.c: isobit generate: continues a prompt, byte by byte as they are settled. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session.h"

typedef struct generate_values {
    common_values common;
    text_list words; /* operands: an error with a hint */
    const char *model, *m1, *prompt, *prompt_file;
    int echo, ignore_end;
    uint64_t max_tokens, max_bytes, seed, top_k;
    double temperature, top_p;
} generate_values;

#define AT(field) .offset = offsetof(generate_values, field)

static const option_spec generate_options[] = {
    {.group = "Options", .name = "model", .letter = 'm', .metavar = "DIR", .type = OPTION_TEXT,
     .complete = COMPLETE_DIR, AT(model), .help = "the model that writes"},
    M1_OPTION(offsetof(generate_values, m1),
              "the M1 of the model's tokenizer, without it the copy in the model's folder"),
    {.name = "prompt", .letter = 'p', .metavar = "TEXT", .type = OPTION_TEXT, AT(prompt),
     .help = "what to continue; without it, the start of a document"},
    {.name = "prompt-file", .metavar = "FILE", .type = OPTION_TEXT, .complete = COMPLETE_FILE,
     AT(prompt_file), .help = "the same from a file, any bytes; - is standard input"},
    {.name = "echo", .letter = 'e', .type = OPTION_FLAG, AT(echo),
     .help = "write the prompt first"},
    {.name = "max-tokens", .letter = 'n', .metavar = "N", .type = OPTION_COUNT, .low = 1,
     .initial = "256", AT(max_tokens), .help = "stop after N tokens"},
    {.name = "max-bytes", .metavar = "N", .type = OPTION_COUNT, .low = 1, AT(max_bytes),
     .help = "stop after N bytes"},
    {.name = "ignore-end", .type = OPTION_FLAG, AT(ignore_end),
     .help = "go on when the model ends the document"},
    {.name = "temperature", .metavar = "X", .type = OPTION_REAL, .high = 100, .initial = "0.8",
     AT(temperature), .help = "below 1 is more cautious; 0 takes the most probable token"},
    {.name = "top-p", .metavar = "X", .type = OPTION_REAL, .low = 1e-6, .high = 1,
     .initial = "0.95", AT(top_p),
     .help = "draw from the most probable tokens that make up this share"},
    {.name = "top-k", .metavar = "N", .type = OPTION_COUNT, AT(top_k),
     .help = "draw from the N most probable tokens; 0: all", .initial = "0"},
    {.name = "seed", .metavar = "N", .type = OPTION_COUNT, .initial = "0", AT(seed),
     .help = "one seed gives one text"},
};

/* ---- where the text goes ---- */

typedef struct sink {
    bool json, terminal, failed;
    char *text; /* owned; for JSON only */
    size_t nbytes;
} sink;

/* Control characters could reprogram a terminal: there they become "?". */
static void write_tame(const uint8_t *bytes, size_t nbytes) {
    for (size_t i = 0; i < nbytes; ++i) {
        const bool control =
            (bytes[i] < 0x20 && bytes[i] != '\n' && bytes[i] != '\t') || bytes[i] == 0x7f;
        fputc(control ? '?' : bytes[i], stdout);
    }
}

static int write_bytes(void *user, const uint8_t *bytes, size_t nbytes) {
    sink *s = user;
    if (s->json) {
        char *grown = realloc(s->text, s->nbytes + nbytes + 1);
        s->failed = grown == NULL;
        if (s->failed) return 1;
        memcpy(grown + s->nbytes, bytes, nbytes);
        s->text = grown;
        s->nbytes += nbytes;
        s->text[s->nbytes] = '\0';
        return 0;
    }
    if (s->terminal) {
        write_tame(bytes, nbytes);
    } else {
        fwrite(bytes, 1, nbytes, stdout);
    }
    return fflush(stdout) != 0; /* main() says why at exit */
}

/* ---- the prompt ---- */

static int read_prompt_file(const tool_session *session, const char *path, char **text,
                            size_t *nbytes) {
    enum { LIMIT = 64 << 20 };
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        return error_at(session->command->name, error_from_errno(), "cannot read %s: %s", path,
                        strerror(errno));
    }
    size_t capacity = 0, got = 0;
    do {
        if (capacity - *nbytes < 4096) {
            capacity = capacity ? 2 * capacity : 65536;
            char *grown = capacity <= LIMIT ? realloc(*text, capacity) : NULL;
            if (!grown) break;
            *text = grown;
        }
        got = fread(*text + *nbytes, 1, capacity - *nbytes, file);
        *nbytes += got;
    } while (got > 0);
    const int reason = errno, failed = ferror(file), whole = feof(file);
    if (file != stdin) fclose(file);
    errno = reason;
    if (failed) {
        return error_at(session->command->name, error_from_errno(), "cannot read %s: %s", path,
                        strerror(reason));
    }
    if (!whole) {
        return error_at(session->command->name, ISB_ERR_NO_MEMORY, "%s is too long for a prompt",
                        path);
    }
    return 0;
}

static int report(const isb_generate_result *r, const sink *s) {
    results *out = results_new("generate");
    if (s->json) results_bytes(out, "text", s->text ? s->text : "", s->nbytes);
    results_count(out, "n_prompt_tokens", "prompt tokens", r->n_prompt_tokens);
    results_count(out, "n_tokens", "tokens", r->n_tokens);
    results_count(out, "n_bytes", "bytes", r->n_bytes);
    results_flag(out, "ended", "the model ended the document", r->ended != 0);
    results_seconds(out, "seconds", "time", r->seconds);
    results_si(out, "tokens_per_s", "tokens/s", r->tokens_per_s);
    results_si(out, "bytes_per_s", "bytes/s", r->bytes_per_s);
    return results_print(out, s->json ? stdout : stderr, s->json);
}

static int generate(tool_session *session, const generate_values *v, const char *prompt,
                    size_t nbytes) {
    sink s = {.json = session->common->json != 0, .terminal = isatty(STDOUT_FILENO) != 0};
    isb_generate_options options;
    isb_generate_options_init(&options);
    options.model_dir = v->model;
    options.m1_dir = v->m1;
    options.prompt = (const uint8_t *)prompt;
    options.prompt_nbytes = nbytes;
    options.max_tokens = v->max_tokens;
    options.max_nbytes = v->max_bytes;
    options.temperature = v->temperature;
    options.top_p = v->top_p;
    options.top_k = (int64_t)v->top_k;
    options.seed = v->seed;
    options.ignore_end = v->ignore_end;
    options.write = write_bytes;
    options.write_user = &s;
    if (v->echo && !s.json) (void)write_bytes(&s, options.prompt, nbytes);
    isb_generate_result result;
    const isb_status status = isb_generate(session->context, &options, &result);
    int code = EXIT_OK;
    if (!s.json && s.terminal) fputc('\n', stdout);
    if (status != ISB_OK) {
        fflush(stdout);
        code = error_status(session, status);
    } else if (s.failed) {
        code = error_at(session->command->name, ISB_ERR_NO_MEMORY, "no memory for the text");
    } else if (s.json || session->common->verbose) {
        code = report(&result, &s);
    }
    free(s.text);
    return code;
}

static int run_generate(tool_session *session, void *values) {
    const generate_values *v = values;
    const char *name = session->command->name;
    if (v->words.count > 0)
        return error_usage(name, "unexpected argument \"%s\"; is it part of --prompt \"...\"?",
                           v->words.items[0]);
    if (!v->model) return error_usage(name, "--model DIR is missing: which model?");
    if (v->prompt && v->prompt_file) {
        return error_usage(name, "--prompt and --prompt-file exclude each other");
    }
    if (!v->prompt_file) {
        return generate(session, v, v->prompt ? v->prompt : "", v->prompt ? strlen(v->prompt) : 0);
    }
    char *text = NULL;
    size_t nbytes = 0;
    int code = read_prompt_file(session, v->prompt_file, &text, &nbytes);
    if (code == 0) code = generate(session, v, text ? text : "", nbytes);
    free(text);
    return code;
}

const tool_command command_generate = {
    .name = "generate",
    .summary = "let a model continue a text",
    .synopsis = "--model DIR [--prompt TEXT | --prompt-file FILE] [OPTION ...]",
    .description =
        "Writes the continuation to standard output as it is made. The prompt is encoded, the "
        "model draws tokens, and their bytes are written as soon as they are settled. On a "
        "terminal control characters appear as \"?\"; in a file or pipe every byte is as the "
        "model made it. With --json the text comes at the end; bytes that are not UTF-8 are "
        "replaced in \"text\" and whole in \"text_hex\".",
    .examples = "  isobit generate --model m2 --prompt \"The sea was \" --echo\n"
                "  isobit generate --model m2 --prompt-file letter.txt --temperature 0 --max-bytes 400",
    .options = generate_options,
    .n_options = sizeof generate_options / sizeof *generate_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(generate_values, words),
    .values_nbytes = sizeof(generate_values),
    .run = run_generate,
};
