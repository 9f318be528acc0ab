/* manpage.c: the commands' tables as man pages, in the man(7) macros. */
#include <string.h>

#include "generated.h"
#include "help.h"
#include "session.h"

/* Text for roff: backslashes and dashes are escaped, and no line begins with a control character.
 */
static void put_text(FILE *file, const char *text, size_t nbytes) {
    bool line_start = true;
    for (size_t i = 0; i < nbytes; ++i) {
        const char c = text[i];
        if (line_start && (c == '.' || c == '\'')) fputs("\\&", file);
        if (c == '\\') {
            fputs("\\e", file);
        } else if (c == '-') {
            fputs("\\-", file);
        } else {
            fputc(c, file);
        }
        line_start = c == '\n';
    }
}

static void put(FILE *file, const char *text) { put_text(file, text, strlen(text)); }

/* Paragraphs, with lines that begin with a space kept as they are. */
static void put_body(FILE *file, const char *text) {
    bool kept = false, fresh = true;
    while (*text) {
        const size_t n = strcspn(text, "\n");
        const bool keep = *text == ' ';
        if (n == 0) {
            if (!kept && !fresh) fputs(".PP\n", file);
            fresh = true;
        } else {
            if (keep != kept) fputs(keep ? ".PP\n.RS 2\n.nf\n" : ".fi\n.RE\n.PP\n", file);
            kept = keep;
            fresh = false;
            const size_t skip = keep ? strspn(text, " ") : 0;
            put_text(file, text + skip, n - skip);
            fputc('\n', file);
        }
        text += n + (text[n] == '\n');
    }
    if (kept) fputs(".fi\n.RE\n", file);
}

static void put_heading(FILE *file, const char *text) { fprintf(file, ".SH %s\n", text); }

static void put_title(FILE *file, const char *name, const char *summary) {
    fprintf(file, ".TH \"%s\" 1 \"\" \"isobit %s\" \"isobit manual\"\n", name, isb_version());
    put_heading(file, "NAME");
    put(file, name);
    fputs(" \\- ", file);
    put(file, summary);
    fputc('\n', file);
}

static void put_words(FILE *file, const char *choices) {
    for (const char *at = choices; *at;) {
        const size_t n = strcspn(at, "|");
        fputs(at == choices ? "" : ", ", file);
        put_text(file, at, n);
        at += n + (at[n] == '|');
    }
}

static void put_option(FILE *file, const option_spec *option) {
    fputs(".TP\n", file);
    if (option->letter) fprintf(file, "\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", file);
    put(file, option->name);
    fputs("\\fR", file);
    if (option->metavar) {
        fputs(" \\fI", file);
        put(file, option->metavar);
        fputs("\\fR", file);
    }
    fputc('\n', file);
    put(file, option->help);
    fputc('.', file);
    if (option->choices) {
        fputs(option->type == OPTION_TEXT ? "\nSuch as " : "\nOne of ", file);
        put_words(file, option->choices);
        fputc('.', file);
    }
    const char *initial = option->initial ? option->initial : option->otherwise;
    if (initial) {
        fputs("\nDefault: ", file);
        put(file, initial);
        fputc('.', file);
    }
    fputc('\n', file);
}

static void put_exit_status(FILE *file) {
    static const struct {
        const char *code, *meaning;
    } codes[] = {
        {"0", "all went well"},
        {"1", "it could not be done: out of memory, training diverged, not supported here"},
        {"2", "the command line is wrong"},
        {"3", "data is damaged, empty, of another kind, or made with another model"},
        {"4", "a file is missing, cannot be read or written, or the disk is full"},
        {"130", "interrupted"},
    };
    put_heading(file, "EXIT STATUS");
    for (size_t i = 0; i < sizeof codes / sizeof *codes; ++i) {
        fprintf(file, ".TP\n\\fB%s\\fR\n%s.\n", codes[i].code, codes[i].meaning);
    }
}

static void put_environment(FILE *file) {
    put_heading(file, "ENVIRONMENT");
    fputs(".TP\n\\fBISB_THREADS\\fR\nThreads to use without \\fB\\-\\-threads\\fR.\n"
          ".TP\n\\fBISB_CPU\\fR\nHighest instruction set to use without \\fB\\-\\-cpu\\fR.\n"
          ".TP\n\\fBNO_COLOR\\fR\nNo colours, if set and not empty.\n",
          file);
}

static void write_main_page(FILE *file) {
    put_title(file, "isobit", "language models over neurally compressed text");
    put_heading(file, "SYNOPSIS");
    fputs(".B isobit\n"
          ".I COMMAND\n"
          "[\\fIOPTION\\fR ...] [\\fIFILE\\fR ...]\n"
          ".br\n"
          ".B isobit help\n"
          ".I NAME\n"
          ".br\n"
          ".B isobit \\-\\-version\n",
          file);
    put_heading(file, "DESCRIPTION");
    fputs("A small byte\\-level model (M1) turns text into tokens of equal information by "
          "arithmetic coding, and a larger\n"
          "model (M2) learns those tokens. The same M1 compresses files. Every code gives the same "
          "bytes back.\n",
          file);
    put_heading(file, "COMMANDS");
    for (size_t i = 0; i < n_commands; ++i) {
        fprintf(file, ".TP\n\\fBisobit\\-%s\\fR(1)\n", commands[i]->name);
        put(file, commands[i]->summary);
        fputs(".\n", file);
    }
    for (size_t i = 0; i < n_topics; ++i) {
        fprintf(file, ".SH \"%c%s\"\n", topics[i].name[0] - 'a' + 'A', topics[i].name + 1);
        put_body(file, topics[i].text);
    }
    put_environment(file);
    put_exit_status(file);
}

static void put_synopsis(FILE *file, const tool_command *command) {
    for (const char *line = command->synopsis; *line;) {
        const size_t n = strcspn(line, "\n");
        fprintf(file, ".B isobit %s\n", command->name);
        put_text(file, line, n);
        fputs("\n.br\n", file);
        line += n + (line[n] == '\n');
    }
}

static void put_options(FILE *file, const option_spec *options, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        if (options[i].group) fprintf(file, ".SS \"%s\"\n", options[i].group);
        put_option(file, &options[i]);
    }
}

static void put_command(FILE *file, const tool_command *command) {
    put_heading(file, "SYNOPSIS");
    put_synopsis(file, command);
    put_heading(file, "DESCRIPTION");
    put_body(file, command->description);
    put_heading(file, "OPTIONS");
    put_options(file, command->options, command->n_options);
    put_options(file, common_options, n_common_options);
}

/* One page for all subcommands, a section each. */
static void put_group(FILE *file, const tool_command *group) {
    put_heading(file, "SYNOPSIS");
    for (size_t i = 0; i < group->n_subcommands; ++i) put_synopsis(file, group->subcommands[i]);
    put_heading(file, "DESCRIPTION");
    put_body(file, group->description);
    for (size_t i = 0; i < group->n_subcommands; ++i) {
        const tool_command *command = group->subcommands[i];
        fprintf(file, ".SH \"isobit %s\"\n", command->name);
        put_body(file, command->description);
        put_options(file, command->options, command->n_options);
        fputs(".SS \"Examples\"\n", file);
        put_body(file, command->examples);
    }
    put_heading(file, "\"FOR ALL OF THEM\"");
    put_options(file, common_options, n_common_options);
}

static void write_command_page(FILE *file, const tool_command *command) {
    char name[64];
    snprintf(name, sizeof name, "isobit-%s", command->name);
    put_title(file, name, command->summary);
    (command->subcommands ? put_group : put_command)(file, command);
    put_heading(file, "EXAMPLES");
    put_body(file, command->examples);
    put_environment(file);
    put_exit_status(file);
    put_heading(file, "SEE ALSO");
    fputs("\\fBisobit\\fR(1)\n", file);
}

void manpage_write(FILE *file, const tool_command *command) {
    if (command) {
        write_command_page(file, command);
    } else {
        write_main_page(file);
    }
}
