/* help.h: what the program tells about itself. */
#ifndef ISB_TOOLS_HELP_H
#define ISB_TOOLS_HELP_H

#include <stdio.h>

#include "options.h"

void help_overview(FILE *file);
void help_command(FILE *file, const tool_command *command);
/* `isobit help NAME [WORD]`: a command, one of a group's (WORD may be NULL), or one of the topics.
 * Returns the exit code. */
int help_topic(const char *name, const char *word);
/* The subcommand that `word` was probably meant to be; NULL: none is near. */
const char *help_suggest_in(const tool_command *group, const char *word);

/* Short lessons: topics.c. */
typedef struct topic {
    const char *name, *summary, *text;
} topic;
extern const topic topics[];
extern const size_t n_topics;

#endif
