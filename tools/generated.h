/* generated.h: `isobit --generate man|bash|zsh|fish [DIR]`: files for other programs, from the
 * commands' tables. */
#ifndef ISB_TOOLS_GENERATED_H
#define ISB_TOOLS_GENERATED_H

#include <stdio.h>

#include "options.h"

/* args: the words after --generate.  Returns the exit code. */
int generated_main(int n_args, char **args);

/* command NULL: the page of isobit itself. */
void manpage_write(FILE *file, const tool_command *command);
void completion_write_bash(FILE *file);
void completion_write_zsh(FILE *file);
void completion_write_fish(FILE *file);

#endif
