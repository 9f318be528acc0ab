/* cmd_codebook_measure.c: isobit codebook measure: how a codebook treats text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codebooks.h"

typedef struct measure_values {
    common_values common;
    text_list data, codebooks;
    const char *words;
    corpus_values corpus;
} measure_values;

#define AT(field) .offset = offsetof(measure_values, field)

static const option_spec measure_options[] = {
    {.group = "Options", .name = "data", .letter = 'd', .metavar = "PATH ...", .type = OPTION_LIST,
     .complete = COMPLETE_FILE, AT(data),
     .help = "text files or folders, or \"-\" for standard input"},
    {.name = "codebook", .letter = 'c', .metavar = "FILE", .type = OPTION_LIST,
     .complete = COMPLETE_FILE, AT(codebooks),
     .help = "the codebook, or one built in; may be given again to compare several on the same "
             "text; without it english-65k"},
    {.name = "words", .metavar = "FILE", .type = OPTION_TEXT, .complete = COMPLETE_FILE, AT(words),
     .help = "a word a line: in how many ways is each cut?"},
    CORPUS_OPTION_SPLIT(measure_values),
    CORPUS_OPTION_FORMAT(measure_values),
    CORPUS_OPTION_DOCUMENT(measure_values),
    CORPUS_OPTION_VALID(measure_values),
    CORPUS_OPTION_TEST(measure_values),
    CORPUS_OPTION_MAX(measure_values),
};

/* ---- the list of words ---- */

typedef struct word_list { char **items; size_t count, capacity; } word_list;

static bool words_add(word_list *words, const char *line) {
    if (words->count == words->capacity) {
        const size_t capacity = words->capacity ? 2 * words->capacity : 1024;
        char **items = realloc(words->items, capacity * sizeof *items);
        if (!items) return false;
        words->items = items;
        words->capacity = capacity;
    }
    const size_t n = strcspn(line, "\r\n");
    char *copy = strndup(line, n);
    if (!copy) return false;
    words->items[words->count++] = copy;
    return true;
}

static void words_free(word_list *words) {
    for (size_t i = 0; i < words->count; ++i) free(words->items[i]);
    free(words->items);
}

/* Empty lines are passed over. */
static int words_read(tool_session *session, const char *path, word_list *words) {
    const char *name = session->command->name;
    FILE *file = fopen(path, "re");
    if (!file) {
        return error_at(name, error_from_errno(), "cannot read %s: %s", path, strerror(errno));
    }
    char *line = NULL;
    size_t capacity = 0;
    int code = 0;
    while (code == 0 && getline(&line, &capacity, file) > 0) {
        if (strcspn(line, "\r\n") > 0 && !words_add(words, line)) {
            code = error_at(name, ISB_ERR_NO_MEMORY, "no memory for the words of %s", path);
        }
    }
    if (code == 0 && ferror(file)) {
        code = error_at(name, error_from_errno(), "cannot read %s: %s", path, strerror(errno));
    }
    if (code == 0 && words->count == 0) {
        code = error_at(name, ISB_ERR_EMPTY, "%s holds no words", path);
    }
    free(line);
    fclose(file);
    return code;
}

/* ---- measuring ---- */

static int report(const tool_session *session, const isb_codebook *codebook, bool with_words,
                  const isb_codebook_measures *m) {
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(codebook, &info);
    results *out = results_new(session->command->name);
    results_text(out, "name", "codebook", info.name);
    results_text(out, "identity", "identity", info.identity);
    results_count(out, "n_documents", "documents", m->n_documents);
    results_count(out, "n_bytes", "bytes of text", m->n_bytes);
    results_count(out, "n_tokens", "tokens", m->n_tokens);
    results_real(out, "bytes_per_token", "bytes/token", 4, m->bytes_per_token);
    results_real(out, "whole_word_share", "tokens that are whole words", 4, m->whole_word_share);
    results_real(out, "edit_tokens_changed", "tokens changed by an edit of a byte", 4,
                 m->edit_tokens_changed);
    if (with_words) {
        results_count(out, "n_words", "words of the list, often enough", m->n_words);
        results_real(out, "spellings_per_word", "ways in which a word is cut", 4,
                     m->spellings_per_word);
    }
    results_count(out, "n_ids", "ids", (uint64_t)info.n_ids);
    results_count(out, "n_used", "  used", (uint64_t)m->n_used);
    return results_print(out, stdout, session->common->json);
}

static int measure(tool_session *session, const measure_values *v, const word_list *words,
                   const char *where) {
    isb_codebook *codebook = NULL;
    isb_corpus_options corpus;
    isb_corpus_options_init(&corpus);
    int code = corpus_options_from(session, &v->corpus, &corpus);
    if (code == 0) code = codebook_open(session, where, &codebook);
    if (code != 0) return code;
    isb_codebook_measures measures = {.struct_size = sizeof measures};
    const isb_status status = isb_codebook_measure(
        session->context, codebook, v->data.items, v->data.count, &corpus,
        (const char *const *)words->items, words->count, &measures);
    code = status == ISB_OK ? report(session, codebook, v->words != NULL, &measures)
                            : error_status(session, status);
    isb_codebook_free(codebook);
    return code;
}

static const char codebook_suffix[] = ".isb-codebook";

static int run_measure(tool_session *session, void *values) {
    const measure_values *v = values;
    const char *name = session->command->name;
    if (v->data.count == 0) return error_usage(name, "--data is missing: which text?");
    bool from_pipe = false;
    for (size_t i = 0; i < v->data.count; ++i) {
        const size_t length = strlen(v->data.items[i]), suffix = strlen(codebook_suffix);
        if (length > suffix && strcmp(v->data.items[i] + length - suffix, codebook_suffix) == 0) {
            return error_usage(name, "%s is a codebook, not text: give it with -c",
                               v->data.items[i]);
        }
    }
    for (size_t i = 0; i < v->data.count; ++i) from_pipe |= strcmp(v->data.items[i], "-") == 0;
    if (from_pipe && v->codebooks.count > 1) {
        return error_usage(name, "standard input can be read once only: one --codebook at a time");
    }
    word_list words = {0};
    int code = v->words ? words_read(session, v->words, &words) : 0;
    if (code == 0 && v->codebooks.count == 0) code = measure(session, v, &words, NULL);
    for (size_t i = 0; i < v->codebooks.count && code == 0; ++i) {
        if (i > 0 && !session->common->json) putchar('\n');
        code = measure(session, v, &words, v->codebooks.items[i]);
    }
    words_free(&words);
    return code;
}

const tool_command command_codebook_measure = {
    .name = "codebook measure",
    .summary = "bytes/token of a codebook on text, and how it cuts words",
    .synopsis = "--data PATH ... [-c CODEBOOK ...] [--words FILE]",
    .description =
        "Cuts every document into tokens. Bytes/token counts no ends of documents. A token is "
        "whole words if it holds a word and neither begins nor ends inside one; words are runs of "
        "letters, digits and bytes above 127. Tokens changed by an edit: one byte is put in, taken "
        "out or replaced at a place chosen by a fixed seed, and the tokens of the new text are "
        "counted from the first to the last that differ from the old ones. Ways in which a word "
        "is cut: over the words of --words that occur at least 10 times, exactly as they stand in "
        "the list, the mean number of different sequences of ids on them.",
    .examples =
        "  isobit codebook measure --data corpus/ --split test\n"
        "  isobit codebook measure -c a.isb-codebook -c b.isb-codebook --data corpus/ --json",
    .options = measure_options,
    .n_options = sizeof measure_options / sizeof *measure_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(measure_values, data),
    .values_nbytes = sizeof(measure_values),
    .run = run_measure,
};
