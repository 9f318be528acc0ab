/* help.h: what the program tells about itself. */
#ifndef ISB_TOOLS_HELP_H
#define ISB_TOOLS_HELP_H

#include <stdio.h>

#include "options.h"

void help_overview(FILE *file);
void help_command(FILE *file, const tool_command *command);
/* `isobit help TASK`: a command or one of the topics.  Returns the exit code. */
int help_topic(const char *name);

/* Short lessons: topics.c. */
typedef struct topic {
    const char *name, *summary, *text;
} topic;
extern const topic topics[];
extern const size_t n_topics;

#endif
