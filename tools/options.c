/* options.c: reads a command line or a configuration file by a command's table. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "errors.h"
#include "format.h"

enum {
    LONG_BASE = 256
}; /* getopt_long gives LONG_BASE + i for option i, so that no letter collides */

const option_spec common_options[] = {
    {.group = "Common options", .name = "threads", .letter = 'T', .metavar = "N",
     .type = OPTION_COUNT, .low = 1, .high = 1024, .offset = offsetof(common_values, threads),
     .help = "threads to use; without it ISB_THREADS, else every processor this process may use"},
    {.name = "cpu", .metavar = "TIER", .type = OPTION_WORD, .complete = COMPLETE_CHOICES,
     .choices = "ref|avx2|avx512|avx512x|amx", .offset = offsetof(common_values, cpu),
     .help = "highest instruction set to use; without it ISB_CPU, else the best this machine has"},
    {.name = "json", .type = OPTION_FLAG, .offset = offsetof(common_values, json),
     .help = "print results as one JSON object a line on standard output"},
    {.name = "quiet", .letter = 'q', .type = OPTION_FLAG, .offset = offsetof(common_values, quiet),
     .help = "no progress and no notes on standard error; errors are still shown"},
    {.name = "verbose", .letter = 'v', .type = OPTION_FLAG,
     .offset = offsetof(common_values, verbose), .help = "more notes on standard error"},
    {.name = "help", .letter = 'h', .type = OPTION_FLAG, .offset = offsetof(common_values, help),
     .help = "show this help"},
};
const size_t n_common_options = sizeof common_options / sizeof *common_options;

const option_spec *options_at(const tool_command *command, size_t i) {
    if (i < command->n_options) return &command->options[i];
    i -= command->n_options;
    return i < n_common_options ? &common_options[i] : NULL;
}

static size_t find_option(const tool_command *command, const char *name) {
    size_t i = 0;
    for (const option_spec *option; (option = options_at(command, i)) != NULL; ++i) {
        if (strcmp(option->name, name) == 0) break;
    }
    return i;
}

/* ---- values ---- */

static bool list_add(text_list *list, const char *text) {
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items) return false;
    items[list->count++] = text;
    list->items = items;
    return true;
}

/* The factor of a count's suffix; 0: no such suffix. */
static double suffix_factor(const char *suffix) {
    static const struct {
        const char *text;
        double factor;
    } suffixes[] = {
        {"", 1},     {"k", 1e3},     {"K", 1e3},        {"M", 1e6},           {"G", 1e9},
        {"T", 1e12}, {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0},
    };
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; ++i) {
        if (strcmp(suffix, suffixes[i].text) == 0) return suffixes[i].factor;
    }
    return 0;
}

/* strtod() reads more than we allow: leading space, "inf", "nan", hexadecimal. */
static bool parse_decimal(const char *text, double *value, const char **rest) {
    if (!strchr("0123456789.-+", *text) || *text == '\0' || strpbrk(text, "xXpPnN")) return false;
    char *end = NULL;
    *value = strtod(text, &end);
    *rest = end;
    return end != text && isfinite(*value);
}

bool options_parse_count(const char *text, uint64_t *value) {
    static const double EXACT = 9007199254740992.0; /* 2^53 */
    if (strspn(text, "0123456789") == strlen(text) &&
        *text) { /* whole numbers stay exact up to 2^64 - 1 */
        errno = 0;
        *value = strtoull(text, NULL, 10);
        return errno == 0;
    }
    double number = 0;
    const char *rest = NULL;
    if (!parse_decimal(text, &number, &rest)) return false;
    const double product = number * suffix_factor(rest);
    if (suffix_factor(rest) == 0 || product < 0 || product > EXACT || product != floor(product)) {
        return false;
    }
    *value = (uint64_t)product;
    return true;
}

static int choice_index(const char *choices, const char *text) {
    const size_t length = strlen(text);
    int index = 0;
    for (const char *at = choices;; ++index) {
        const size_t n = strcspn(at, "|");
        if (n == length && memcmp(at, text, n) == 0) return index;
        if (at[n] == '\0') return -1;
        at += n + 1;
    }
}

/* "1 to 1024", "at least 1", "0 or more" */
static void describe_range(const option_spec *option, char *text, size_t nbytes) {
    if (option->high > 0) {
        snprintf(text, nbytes, "from %g to %g", option->low, option->high);
    } else {
        snprintf(text, nbytes, "%g or more", option->low);
    }
}

static bool in_range(const option_spec *option, double value) {
    return value >= option->low && (option->high <= 0 || value <= option->high);
}

/* Setters return false after writing into `why` what the value should have been. */
typedef struct reason { char text[160]; } reason;

static bool set_flag(const option_spec *option, void *field, const char *text, reason *why) {
    (void)option, (void)text, (void)why;
    *(int *)field = 1;
    return true;
}

static bool set_text(const option_spec *option, void *field, const char *text, reason *why) {
    (void)option;
    if (*text == '\0') {
        snprintf(why->text, sizeof why->text, "is empty");
        return false;
    }
    *(const char **)field = text;
    return true;
}

static bool set_choice(const option_spec *option, void *field, const char *text, reason *why) {
    const int index = choice_index(option->choices, text);
    if (index < 0) {
        size_t at = (size_t)snprintf(why->text, sizeof why->text, "is none of ");
        for (const char *c = option->choices; *c && at + 3 < sizeof why->text; ++c) {
            if (*c == '|') why->text[at++] = ',';
            why->text[at++] = *c == '|' ? ' ' : *c;
        }
        why->text[at] = '\0';
        return false;
    }
    if (option->type == OPTION_CHOICE) {
        *(int *)field = index;
    } else {
        *(const char **)field = text;
    }
    return true;
}

static bool set_list(const option_spec *option, void *field, const char *text, reason *why) {
    (void)option;
    if (list_add(field, text)) return true;
    snprintf(why->text, sizeof why->text, "does not fit in memory");
    return false;
}

static bool set_count(const option_spec *option, void *field, const char *text, reason *why) {
    uint64_t value = 0;
    if (!options_parse_count(text, &value)) {
        snprintf(why->text, sizeof why->text,
                 "is not a whole number such as 1200, 10k, 1.5M or 64Ki");
        return false;
    }
    if (!in_range(option, (double)value)) {
        size_t at = (size_t)snprintf(why->text, sizeof why->text, "is out of range: ");
        describe_range(option, why->text + at, sizeof why->text - at);
        return false;
    }
    *(uint64_t *)field = value;
    return true;
}

static bool set_real(const option_spec *option, void *field, const char *text, reason *why) {
    double value = 0;
    const char *rest = NULL;
    if (!parse_decimal(text, &value, &rest) || *rest) {
        snprintf(why->text, sizeof why->text, "is not a number such as 2.5 or 3e-4");
        return false;
    }
    if (!in_range(option, value)) {
        size_t at = (size_t)snprintf(why->text, sizeof why->text, "is out of range: ");
        describe_range(option, why->text + at, sizeof why->text - at);
        return false;
    }
    *(double *)field = option->type == OPTION_REAL_OR_OFF && value == 0 ? -1 : value;
    return true;
}

typedef bool option_setter(const option_spec *option, void *field, const char *text, reason *why);
static option_setter *const setters[] = {
    [OPTION_FLAG] = set_flag,     [OPTION_TEXT] = set_text,        [OPTION_WORD] = set_choice,
    [OPTION_CHOICE] = set_choice, [OPTION_LIST] = set_list,        [OPTION_COUNT] = set_count,
    [OPTION_REAL] = set_real,     [OPTION_REAL_OR_OFF] = set_real,
};

static bool set_value(const parsed_options *parsed, const option_spec *option, const char *text,
                      reason *why) {
    return setters[option->type](option, (char *)parsed->values + option->offset, text, why);
}

/* ---- the command line ---- */

typedef struct getopt_tables {
    struct option long_options[OPTIONS_MAX + 1];
    char letters[2 + 2 * OPTIONS_MAX];
} getopt_tables;

static void make_tables(const tool_command *command, getopt_tables *tables) {
    memset(tables, 0, sizeof *tables);
    size_t at = 0, i = 0;
    tables->letters[at++] = ':'; /* a missing value is told apart from an unknown option */
    for (const option_spec *option; (option = options_at(command, i)) != NULL && i < OPTIONS_MAX;
         ++i) {
        const int has_value = option->metavar ? required_argument : no_argument;
        tables->long_options[i] =
            (struct option){option->name, has_value, NULL, LONG_BASE + (int)i};
        if (!option->letter) continue;
        tables->letters[at++] = option->letter;
        if (option->metavar) tables->letters[at++] = ':';
    }
}

static const option_spec *by_getopt_value(const tool_command *command, int value, size_t *index) {
    size_t i = 0;
    for (const option_spec *option; (option = options_at(command, i)) != NULL; ++i) {
        if (value == LONG_BASE + (int)i || (option->letter && value == option->letter)) {
            *index = i;
            return option;
        }
    }
    return NULL;
}

static int unknown_option(const tool_command *command, const char *argument) {
    if (argument[0] != '-' || argument[1] != '-') {
        return error_usage(command->name, "unknown option \"-%c\"", optopt ? optopt : argument[1]);
    }
    if (optopt >= LONG_BASE) {
        return error_usage(command->name, "\"%.*s\" takes no value", (int)strcspn(argument, "="),
                           argument);
    }
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
    const char *names[OPTIONS_MAX];
    size_t n = 0, n_prefixed = 0;
    const char *first = NULL, *second = NULL;
    for (const option_spec *option; n < OPTIONS_MAX && (option = options_at(command, n)) != NULL;
         ++n) {
        names[n] = option->name;
        if (strncmp(option->name, name, strlen(name)) != 0) continue;
        ++n_prefixed;
        if (!first) {
            first = option->name;
        } else if (!second) {
            second = option->name;
        }
    }
    if (n_prefixed > 1) {
        return error_usage(command->name,
                           "\"--%s\" is short for several options, such as --%s and --%s", name,
                           first, second);
    }
    const char *near = format_suggest(name, names, n);
    if (near)
        return error_usage(command->name, "unknown option \"--%s\"; did you mean --%s?", name,
                           near);
    return error_usage(command->name, "unknown option \"--%s\"", name);
}

static int take_option(parsed_options *parsed, int value, const char *text) {
    size_t index = 0;
    const option_spec *option = by_getopt_value(parsed->command, value, &index);
    reason why;
    if (option->metavar && option->type != OPTION_LIST && (parsed->seen >> index & 1) != 0) {
        return error_usage(parsed->command->name, "--%s is given twice", option->name);
    }
    if (!set_value(parsed, option, text, &why)) {
        return error_usage(parsed->command->name, "--%s: \"%s\" %s", option->name, text, why.text);
    }
    parsed->seen |= UINT64_C(1) << index;
    return 0;
}

static int take_operands(parsed_options *parsed, int argc, char **argv, int from) {
    const tool_command *command = parsed->command;
    if (from < argc && command->operands == COMPLETE_NONE) {
        return error_usage(command->name, "unexpected argument \"%s\"", argv[from]);
    }
    for (int i = from; i < argc; ++i) {
        if (!list_add((text_list *)((char *)parsed->values + command->operands_offset), argv[i])) {
            return error_at(command->name, ISB_ERR_NO_MEMORY, "no memory for the command line");
        }
    }
    return 0;
}

/* Options that keep their operands in the same list as an option (--data A B) count as given by
 * them. */
static void mark_operands(parsed_options *parsed, bool any) {
    const tool_command *command = parsed->command;
    for (size_t i = 0; any && i < command->n_options; ++i) {
        if (command->options[i].type == OPTION_LIST &&
            command->options[i].offset == command->operands_offset) {
            parsed->seen |= UINT64_C(1) << i;
        }
    }
}

static void set_defaults(const parsed_options *parsed) {
    reason why;
    size_t i = 0;
    for (const option_spec *option; (option = options_at(parsed->command, i)) != NULL; ++i) {
        if (option->initial) (void)set_value(parsed, option, option->initial, &why);
    }
}

int options_parse(parsed_options *parsed, const tool_command *command, int argc, char **argv,
                  void *values) {
    *parsed = (parsed_options){.command = command, .values = values};
    set_defaults(parsed);
    getopt_tables tables;
    make_tables(command, &tables);
    opterr = 0;
    optind = 1;
    for (int value;
         (value = getopt_long(argc, argv, tables.letters, tables.long_options, NULL)) != -1;) {
        const char *argument = argv[optind > 1 ? optind - 1 : 1];
        if (value == ':') return error_usage(command->name, "\"%s\" needs a value", argument);
        const int code =
            value == '?' ? unknown_option(command, argument) : take_option(parsed, value, optarg);
        if (code != 0) return code;
    }
    const int code = take_operands(parsed, argc, argv, optind);
    if (code == 0) mark_operands(parsed, optind < argc);
    return code;
}

void options_free(parsed_options *parsed) {
    for (size_t i = 0; parsed->command && i < parsed->command->n_options; ++i) {
        const option_spec *option = &parsed->command->options[i];
        if (option->type != OPTION_LIST) continue;
        text_list *list = (text_list *)((char *)parsed->values + option->offset);
        free(list->items);
        *list = (text_list){0};
    }
    if (parsed->command && parsed->command->operands != COMPLETE_NONE) {
        text_list *list = (text_list *)((char *)parsed->values + parsed->command->operands_offset);
        free(list->items);
        *list = (text_list){0};
    }
    for (size_t i = 0; i < parsed->pool.count; ++i) free((char *)(uintptr_t)parsed->pool.items[i]);
    free(parsed->pool.items);
    parsed->pool = (text_list){0};
}

bool options_seen(const parsed_options *parsed, const char *name) {
    return (parsed->seen >> find_option(parsed->command, name) & 1) != 0;
}

static bool is_listed(const char *name, const char *const *list) {
    while (*list && strcmp(*list, name) != 0) ++list;
    return *list != NULL;
}

const char *options_first_other(const parsed_options *parsed, const char *const *allowed) {
    for (size_t i = 0; i < parsed->command->n_options; ++i) {
        const char *name = parsed->command->options[i].name;
        if ((parsed->seen >> i & 1) != 0 && !is_listed(name, allowed)) return name;
    }
    return NULL;
}

/* ---- configuration files ---- */

/* A text that lasts as long as `parsed`; NULL for a value that is no text, number or true. */
static const char *keep_text(parsed_options *parsed, const json_t *value) {
    char number[40];
    const char *text = NULL;
    if (json_is_string(value)) text = json_string_value(value);
    if (json_is_true(value)) text = "true";
    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        text = number;
    } else if (json_is_real(value)) {
        snprintf(number, sizeof number, "%.17g", json_real_value(value));
        text = number;
    }
    char *copy = text ? strdup(text) : NULL;
    if (!copy || list_add(&parsed->pool, copy)) return copy;
    free(copy);
    return NULL;
}

static int take_entry(parsed_options *parsed, const char *path, const char *key,
                      const json_t *value) {
    const char *name = parsed->command->name;
    const size_t index = find_option(parsed->command, key);
    const option_spec *option = options_at(parsed->command, index);
    if (!option || strcmp(key, "config") == 0) {
        return error_usage(name, "%s: \"%s\" is not an option of this command", path, key);
    }
    if ((parsed->seen >> index & 1) != 0 || json_is_false(value) || json_is_null(value)) return 0;
    const size_t n = json_is_array(value) ? json_array_size(value) : 1;
    if (json_is_array(value) && option->type != OPTION_LIST) {
        return error_usage(name, "%s: \"%s\" takes one value, found a list", path, key);
    }
    for (size_t i = 0; i < n; ++i) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        const char *text = keep_text(parsed, item);
        reason why = {"is neither a text nor a number"};
        if (!text || (json_is_true(item) != (option->type == OPTION_FLAG)) ||
            !set_value(parsed, option, text, &why)) {
            return error_usage(name, "%s: \"%s\": \"%s\" %s", path, key, text ? text : "this value",
                               why.text);
        }
    }
    return 0;
}

int options_read_config(parsed_options *parsed, const char *path) {
    const char *name = parsed->command->name;
    FILE *file = fopen(path, "re");
    if (!file) {
        return error_at(name, error_from_errno(), "cannot read %s: %s", path, strerror(errno));
    }
    json_error_t error;
    json_t *root = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
    fclose(file);
    if (!json_is_object(root)) {
        const int code = root
                             ? error_usage(name, "%s: expected a JSON object of option names", path)
                             : error_usage(name, "%s, line %d: %s", path, error.line, error.text);
        json_decref(root);
        return code;
    }
    uint64_t taken = 0;
    int code = 0;
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        if (code == 0) code = take_entry(parsed, path, key, value);
        const size_t index = find_option(parsed->command, key);
        if (index < OPTIONS_MAX && !json_is_false(value) && !json_is_null(value)) {
            taken |= UINT64_C(1) << index;
        }
    }
    parsed->seen |= taken;
    json_decref(root);
    return code;
}
