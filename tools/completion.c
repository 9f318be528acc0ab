/* completion.c: the commands' tables as completion scripts for bash, zsh and fish. */
#include <string.h>

#include "generated.h"
#include "help.h"
#include "session.h"

/* ---- text in the shells' quotes ---- */

static void put_escaped(FILE *file, const char *text, const char *special) {
    for (; *text; ++text) {
        if (*text == '\'') {
            fputs("'\\''", file); /* leave the quotes, a quote, enter them again */
        } else {
            if (strchr(special, *text)) fputc('\\', file);
            fputc(*text, file);
        }
    }
}

/* The help up to its first ";" or ".": completion menus are narrow. */
static void put_short_help(FILE *file, const char *help, const char *special) {
    char text[200];
    size_t n = strcspn(help, ";");
    const char *stop = strstr(help, ". ");
    if (stop && (size_t)(stop - help) < n) n = (size_t)(stop - help);
    snprintf(text, sizeof text, "%.*s", (int)n, help);
    put_escaped(file, text, special);
}

static void put_words(FILE *file, const char *choices) {
    for (; *choices; ++choices) fputc(*choices == '|' ? ' ' : *choices, file);
}

static void put_names(FILE *file) {
    for (size_t i = 0; i < n_commands; ++i) fprintf(file, "%s%s", i ? " " : "", commands[i]->name);
}

static void put_topics(FILE *file) {
    for (size_t i = 0; i < n_topics; ++i) fprintf(file, "%s%s", i ? " " : "", topics[i].name);
}

static void put_subcommands(FILE *file, const tool_command *group) {
    for (size_t i = 0; i < group->n_subcommands; ++i) {
        fprintf(file, "%s%s", i ? " " : "", command_word(group->subcommands[i]));
    }
}

/* What the scripts call a command: one word, "codebook-build" for "codebook build". */
static void put_key(FILE *file, const tool_command *command) {
    for (const char *c = command->name; *c; ++c) fputc(*c == ' ' ? '-' : *c, file);
}

/* ---- bash ---- */

/* The second word of a group's commands; from the third on they are commands like others. */
static void bash_group(FILE *file, const tool_command *group) {
    if (!group->subcommands) return;
    fprintf(file,
            "    if [ \"$command\" = %s ]; then\n"
            "        if [ \"$COMP_CWORD\" -eq 2 ]; then\n"
            "            _isobit_reply -W '",
            group->name);
    put_subcommands(file, group);
    fprintf(file,
            " --help'\n"
            "            return\n"
            "        fi\n"
            "        command=%s-${COMP_WORDS[2]}\n"
            "    fi\n",
            group->name);
}

static void bash_group_help(FILE *file, const tool_command *group) {
    if (!group->subcommands) return;
    fprintf(file, "        help:%s) _isobit_reply -W '", group->name);
    put_subcommands(file, group);
    fputs("'; return ;;\n", file);
}

static void bash_option_values(FILE *file, const tool_command *command) {
    size_t i = 0;
    for (const option_spec *option; (option = options_at(command, i)) != NULL; ++i) {
        if (!option->metavar) continue;
        fputs("        ", file);
        put_key(file, command);
        fprintf(file, ":--%s", option->name);
        if (option->letter) {
            fputc('|', file);
            put_key(file, command);
            fprintf(file, ":-%c", option->letter);
        }
        fputs(") ", file);
        switch (option->complete) {
        case COMPLETE_FILE: fputs("_isobit_reply -f", file); break;
        case COMPLETE_DIR: fputs("_isobit_reply -d", file); break;
        case COMPLETE_CHOICES:
            fputs("_isobit_reply -W '", file);
            put_words(file, option->choices);
            fputc('\'', file);
            break;
        case COMPLETE_NONE: fputs("COMPREPLY=()", file); break;
        }
        fputs("; return ;;\n", file);
    }
}

static void bash_option_names(FILE *file, const tool_command *command) {
    fputs("        ", file);
    put_key(file, command);
    fputs(") words='", file);
    size_t i = 0;
    for (const option_spec *option; (option = options_at(command, i)) != NULL; ++i) {
        fprintf(file, "%s--%s", i ? " " : "", option->name);
    }
    fprintf(file, "'%s ;;\n", command->operands != COMPLETE_NONE ? "; files=1" : "");
}

void completion_write_bash(FILE *file) {
    fputs("# bash completion for isobit; made by `isobit --generate bash`.\n"
          "# _isobit_reply COMPGEN_ARG ...: names may hold spaces, so candidates are read a line "
          "each.\n"
          "_isobit_reply() {\n"
          "    local line\n"
          "    COMPREPLY=()\n"
          "    while IFS= read -r line; do COMPREPLY+=(\"$line\"); done < <(compgen \"$@\" -- "
          "\"$cur\")\n"
          "    [ \"$1\" = -W ] || compopt -o filenames 2>/dev/null\n"
          "}\n"
          "_isobit() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} "
          "command=${COMP_WORDS[1]} words= files=\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        _isobit_reply -W '",
          file);
    put_names(file);
    fputs(" help --help --version'\n"
          "        return\n"
          "    fi\n",
          file);
    for (size_t i = 0; i < n_commands; ++i) bash_group(file, commands[i]);
    fputs("    case $command:$prev in\n"
          "        help:help) _isobit_reply -W '",
          file);
    put_topics(file);
    fputc(' ', file);
    put_names(file);
    fputs("'; return ;;\n", file);
    const tool_command *command = NULL;
    for (size_t i = 0; i < n_commands; ++i) bash_group_help(file, commands[i]);
    for (size_t i = 0; (command = command_leaf(i)) != NULL; ++i) bash_option_values(file, command);
    fputs("    esac\n    case $command in\n", file);
    for (size_t i = 0; (command = command_leaf(i)) != NULL; ++i) bash_option_names(file, command);
    fputs("    esac\n"
          "    case $cur in\n"
          "        -*) _isobit_reply -W \"$words\" ;;\n"
          "        *) if [ -n \"$files\" ]; then _isobit_reply -f; fi ;;\n"
          "    esac\n"
          "}\n"
          "complete -F _isobit isobit\n",
          file);
}

/* ---- zsh ---- */

static void zsh_action(FILE *file, const option_spec *option) {
    if (!option->metavar) return;
    fputc(':', file);
    put_escaped(file, option->metavar, ":");
    fputc(':', file);
    switch (option->complete) {
    case COMPLETE_FILE: fputs("_files", file); break;
    case COMPLETE_DIR: fputs("_files -/", file); break;
    case COMPLETE_CHOICES:
        fputc('(', file);
        put_words(file, option->choices);
        fputc(')', file);
        break;
    case COMPLETE_NONE: break;
    }
}

static void zsh_option(FILE *file, const option_spec *option) {
    const bool repeats = option->type == OPTION_LIST;
    for (int pass = 0; pass < (option->letter ? 2 : 1); ++pass) {
        fprintf(file, "                '%s", repeats ? "*" : "");
        if (!repeats && option->letter) fprintf(file, "(-%c --%s)", option->letter, option->name);
        if (pass == 0) fprintf(file, "--%s", option->name);
        if (pass == 1) fprintf(file, "-%c", option->letter);
        fputc('[', file);
        put_short_help(file, option->help, "[]\\");
        fputc(']', file);
        zsh_action(file, option);
        fputs("' \\\n", file);
    }
}

static void zsh_described(FILE *file, const char *name, const char *summary) {
    fprintf(file, "        '%s:", name);
    put_escaped(file, summary, ":");
    fputs("'\n", file);
}

static void zsh_group(FILE *file, const tool_command *group) {
    if (!group->subcommands) return;
    fprintf(file,
            "    if [[ $name == %s ]]; then\n"
            "        commands=(\n",
            group->name);
    for (size_t i = 0; i < group->n_subcommands; ++i) {
        zsh_described(file, command_word(group->subcommands[i]), group->subcommands[i]->summary);
    }
    fprintf(file,
            "        )\n"
            "        if (( CURRENT == 2 )); then\n"
            "            _describe 'command' commands\n"
            "            return\n"
            "        fi\n"
            "        name=%s-$words[2]\n"
            "        shift words\n"
            "        (( CURRENT-- ))\n"
            "    fi\n",
            group->name);
}

static void zsh_command(FILE *file, const tool_command *command) {
    fputs("        ", file);
    put_key(file, command);
    fputs(")\n            _arguments -s -S \\\n", file);
    size_t i = 0;
    for (const option_spec *option; (option = options_at(command, i)) != NULL; ++i) {
        zsh_option(file, option);
    }
    fprintf(file, "                %s ;;\n",
            command->operands != COMPLETE_NONE ? "'*:file:_files'" : "':'");
}

void completion_write_zsh(FILE *file) {
    fputs("#compdef isobit\n# made by `isobit --generate zsh`\n"
          "_isobit() {\n"
          "    local -a commands topics\n"
          "    commands=(\n",
          file);
    for (size_t i = 0; i < n_commands; ++i) {
        zsh_described(file, commands[i]->name, commands[i]->summary);
    }
    fputs("        'help:explain a command or a topic'\n    )\n    topics=(", file);
    put_topics(file);
    fputs(")\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe 'command' commands\n"
          "        return\n"
          "    fi\n"
          "    local name=$words[2]\n"
          "    shift words\n"
          "    (( CURRENT-- ))\n",
          file);
    for (size_t i = 0; i < n_commands; ++i) zsh_group(file, commands[i]);
    fputs("    case $name in\n"
          "        help) _describe 'command' commands; compadd -a topics ;;\n",
          file);
    const tool_command *command = NULL;
    for (size_t i = 0; (command = command_leaf(i)) != NULL; ++i) zsh_command(file, command);
    fputs("    esac\n}\n_isobit \"$@\"\n", file);
}

/* ---- fish ---- */

/* "__fish_seen_subcommand_from codebook; and __fish_seen_subcommand_from build" */
static void fish_seen(FILE *file, const tool_command *command) {
    const char *word = command_word(command);
    if (word != command->name) {
        fprintf(file, "__fish_seen_subcommand_from %.*s; and ", (int)(word - command->name - 1),
                command->name);
    }
    fprintf(file, "__fish_seen_subcommand_from %s", word);
}

static void fish_group(FILE *file, const tool_command *group) {
    for (size_t i = 0; i < group->n_subcommands; ++i) {
        fprintf(file,
                "complete -c isobit -f -n '__fish_seen_subcommand_from %s; and not "
                "__fish_seen_subcommand_from ",
                group->name);
        put_subcommands(file, group);
        fprintf(file, "' -a %s -d '", command_word(group->subcommands[i]));
        put_escaped(file, group->subcommands[i]->summary, "\\");
        fputs("'\n", file);
    }
}

static void fish_option(FILE *file, const tool_command *command, const option_spec *option) {
    fputs("complete -c isobit -n '", file);
    fish_seen(file, command);
    fprintf(file, "' -l %s", option->name);
    if (option->letter) fprintf(file, " -s %c", option->letter);
    switch (option->metavar ? option->complete : COMPLETE_NONE) {
    case COMPLETE_FILE: fputs(" -r -F", file); break;
    case COMPLETE_DIR: fputs(" -x -a '(__fish_complete_directories)'", file); break;
    case COMPLETE_CHOICES:
        fputs(" -x -a '", file);
        put_words(file, option->choices);
        fputc('\'', file);
        break;
    case COMPLETE_NONE: fputs(option->metavar ? " -x" : "", file); break;
    }
    fputs(" -d '", file);
    for (const char *c = option->help; *c && *c != ';' && strncmp(c, ". ", 2) != 0; ++c) {
        if (*c == '\'' || *c == '\\') fputc('\\', file); /* fish escapes quotes inside quotes */
        fputc(*c, file);
    }
    fputs("'\n", file);
}

void completion_write_fish(FILE *file) {
    fputs("# fish completion for isobit; made by `isobit --generate fish`.\n", file);
    for (size_t i = 0; i < n_commands; ++i) {
        fprintf(file, "complete -c isobit -f -n __fish_use_subcommand -a %s -d '",
                commands[i]->name);
        put_escaped(file, commands[i]->summary, "\\");
        fputs("'\n", file);
    }
    fputs(
        "complete -c isobit -f -n __fish_use_subcommand -a help -d 'explain a command or a topic'\n"
        "complete -c isobit -f -n __fish_use_subcommand -l version -d 'show the version'\n"
        "complete -c isobit -f -n '__fish_seen_subcommand_from help' -a '",
        file);
    put_topics(file);
    fputc(' ', file);
    put_names(file);
    fputs("'\n", file);
    for (size_t i = 0; i < n_commands; ++i) fish_group(file, commands[i]);
    const tool_command *command = NULL;
    for (size_t i = 0; (command = command_leaf(i)) != NULL; ++i) {
        if (command->operands == COMPLETE_NONE) {
            fputs("complete -c isobit -f -n '", file);
            fish_seen(file, command);
            fputs("'\n", file);
        }
        size_t j = 0;
        for (const option_spec *option; (option = options_at(command, j)) != NULL; ++j) {
            fish_option(file, command, option);
        }
    }
}
