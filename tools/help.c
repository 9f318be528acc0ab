/* help.c: --help, made from the commands' tables. */
#include "help.h"

#include <string.h>

#include "format.h"
#include "session.h"

enum { NAME_COLUMN = 2, OPTION_COLUMN = 26, COMMAND_COLUMN = 15 };

static void heading(FILE *file, const char *text) {
    const int colored = format_colored(file);
    fprintf(file, "%s%s%s\n", colored ? "\033[1m" : "", text, colored ? "\033[0m" : "");
}

static void print_entry(FILE *file, const char *name, const char *text, int help_column,
                        int width) {
    int column = fprintf(file, "%*s%s", NAME_COLUMN, "", name);
    if (column > help_column - 2) {
        fputc('\n', file);
        column = 0;
    }
    format_wrapped(file, text, help_column, column, width);
}

void help_overview(FILE *file) {
    const int width = format_width(file);
    format_wrapped(
        file,
        "isobit trains language models over neurally compressed text: a small byte-level model "
        "turns text into tokens of equal information, and a larger model learns those tokens. "
        "Every code here gives the same bytes back.",
        0, 0, width);
    fputc('\n', file);
    heading(file, "Usage");
    fputs("  isobit COMMAND [OPTION ...] [FILE ...]\n\n", file);
    heading(file, "Commands");
    for (size_t i = 0; i < n_commands; ++i) {
        print_entry(file, commands[i]->name, commands[i]->summary, COMMAND_COLUMN, width);
    }
    fputc('\n', file);
    heading(file, "Lessons (isobit help NAME)");
    for (size_t i = 0; i < n_topics; ++i) {
        print_entry(file, topics[i].name, topics[i].summary, COMMAND_COLUMN, width);
    }
    fputs("\nEach command explains itself: isobit COMMAND --help.  Version: isobit --version.\n",
          file);
}

/* "-T, --threads N" */
static void option_name(const option_spec *option, char *text, size_t nbytes) {
    char letter[8] = "    ";
    if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(text, nbytes, "%s--%s%s%s", letter, option->name, option->metavar ? " " : "",
             option->metavar ? option->metavar : "");
}

/* The help with what may be given and what is taken without it. */
static void option_text(const option_spec *option, char *text, size_t nbytes) {
    size_t at = (size_t)snprintf(text, nbytes, "%s", option->help);
    const char *before = option->type == OPTION_TEXT ? " (such as " : " (";
    for (const char *c = option->choices; c && *c && at + 16 < nbytes; ++c) {
        if (c == option->choices) at += (size_t)snprintf(text + at, nbytes - at, "%s", before);
        if (*c == '|') text[at++] = ',';
        text[at++] = *c == '|' ? ' ' : *c;
        if (c[1] == '\0') text[at++] = ')';
        text[at] = '\0';
    }
    const char *initial = option->initial ? option->initial : option->otherwise;
    if (initial && at < nbytes) snprintf(text + at, nbytes - at, " [default: %s]", initial);
}

static void print_options(FILE *file, const option_spec *options, size_t n, int width) {
    for (size_t i = 0; i < n; ++i) {
        char name[80], text[600];
        if (options[i].group) {
            fputc('\n', file);
            heading(file, options[i].group);
        }
        option_name(&options[i], name, sizeof name);
        option_text(&options[i], text, sizeof text);
        print_entry(file, name, text, OPTION_COLUMN, width);
    }
}

static void print_subcommands(FILE *file, const tool_command *group, int width) {
    fputc('\n', file);
    heading(file, "Commands");
    for (size_t i = 0; i < group->n_subcommands; ++i) {
        const tool_command *command = group->subcommands[i];
        print_entry(file, command_word(command), command->summary, COMMAND_COLUMN, width);
    }
}

void help_command(FILE *file, const tool_command *command) {
    const int width = format_width(file);
    heading(file, "Usage");
    for (const char *line = command->synopsis; *line;) {
        const size_t n = strcspn(line, "\n");
        fprintf(file, "  isobit %s %.*s\n", command->name, (int)n, line);
        line += n + (line[n] == '\n');
    }
    fputc('\n', file);
    format_wrapped(file, command->description, 0, 0, width);
    if (command->subcommands) {
        print_subcommands(file, command, width);
    } else {
        print_options(file, command->options, command->n_options, width);
        print_options(file, common_options, n_common_options, width);
    }
    fputc('\n', file);
    heading(file, "Examples");
    format_wrapped(file, command->examples, 2, 0, width);
}

const char *help_suggest_in(const tool_command *group, const char *word) {
    const char *names[16];
    size_t n = 0;
    while (n < group->n_subcommands && n < sizeof names / sizeof *names) {
        names[n] = command_word(group->subcommands[n]);
        ++n;
    }
    return format_suggest(word, names, n);
}

int help_topic(const char *name, const char *word) {
    const tool_command *command = command_find(name);
    if (command && command->subcommands && word) {
        command = command_find_in(command, word);
        if (!command) return error_usage(name, "no help on \"%s\"", word);
    }
    if (command) {
        help_command(stdout, command);
        return EXIT_OK;
    }
    const char *names[32];
    size_t n = 0;
    for (size_t i = 0; i < n_topics; ++i) {
        if (strcmp(topics[i].name, name) == 0) {
            format_wrapped(stdout, topics[i].text, 0, 0, format_width(stdout));
            return EXIT_OK;
        }
        names[n++] = topics[i].name;
    }
    for (size_t i = 0; i < n_commands; ++i) names[n++] = commands[i]->name;
    const char *near = format_suggest(name, names, n);
    if (near) return error_usage(NULL, "no help on \"%s\"; did you mean \"%s\"?", name, near);
    return error_usage(NULL, "no help on \"%s\"", name);
}
