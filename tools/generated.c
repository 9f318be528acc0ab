/* generated.c: writes man pages and completions to a folder or to standard output. */
#include "generated.h"

#include <errno.h>
#include <string.h>

#include "session.h"

static int open_in(const char *dir, const char *name, FILE **file) {
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    *file = n < (int)sizeof path ? fopen(path, "we") : NULL;
    if (*file) return 0;
    return error_at(NULL, error_from_errno(), "cannot write %s: %s", path, strerror(errno));
}

static int close_written(FILE *file, const char *name) {
    const int failed = ferror(file);
    if (fclose(file) == 0 && !failed) return EXIT_OK;
    return error_at(NULL, error_from_errno(), "cannot write %s: %s", name, strerror(errno));
}

static int write_page(const char *dir, const tool_command *command) {
    char name[64];
    snprintf(name, sizeof name, "isobit%s%s.1", command ? "-" : "", command ? command->name : "");
    FILE *file = NULL;
    const int code = open_in(dir, name, &file);
    if (code != 0) return code;
    manpage_write(file, command);
    return close_written(file, name);
}

static int write_pages(const char *dir) {
    int code = dir ? write_page(dir, NULL) : (manpage_write(stdout, NULL), EXIT_OK);
    for (size_t i = 0; code == 0 && i < n_commands; ++i) {
        if (dir) {
            code = write_page(dir, commands[i]);
        } else {
            manpage_write(stdout, commands[i]);
        }
    }
    return code;
}

static const struct completion_kind {
    const char *shell, *file;
    void (*write)(FILE *file);
} completion_kinds[] = {
    {"bash", "isobit", completion_write_bash},
    {"zsh", "_isobit", completion_write_zsh},
    {"fish", "isobit.fish", completion_write_fish},
};

static int write_completion(const char *dir, const struct completion_kind *kind) {
    if (!dir) {
        kind->write(stdout);
        return EXIT_OK;
    }
    FILE *file = NULL;
    const int code = open_in(dir, kind->file, &file);
    if (code != 0) return code;
    kind->write(file);
    return close_written(file, kind->file);
}

int generated_main(int n_args, char **args) {
    const char *dir = n_args == 2 ? args[1] : NULL;
    if (n_args == 1 || n_args == 2) {
        if (strcmp(args[0], "man") == 0) return write_pages(dir);
        for (size_t i = 0; i < sizeof completion_kinds / sizeof *completion_kinds; ++i) {
            if (strcmp(args[0], completion_kinds[i].shell) == 0) {
                return write_completion(dir, &completion_kinds[i]);
            }
        }
    }
    return error_usage(NULL, "--generate takes man, bash, zsh or fish, and a folder to write to");
}
