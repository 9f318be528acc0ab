/* codebooks.h: what the commands about codebooks share. */
#ifndef ISB_TOOLS_CODEBOOKS_H
#define ISB_TOOLS_CODEBOOKS_H

#include "session.h"

extern const tool_command command_codebook_build, command_codebook_show, command_codebook_export,
    command_codebook_diff, command_codebook_measure;

/* where: a file, a name, or NULL for the library's own.  Returns 0 or the exit code; *codebook is
 * NULL on failure. */
int codebook_open(tool_session *session, const char *where, isb_codebook **codebook);
/* The only operand, or NULL for none; more are an error. */
int codebook_operand(tool_session *session, const text_list *operands, const char **where);

/* Adds what a codebook is. */
void codebook_describe(results *out, const isb_codebook *codebook);

/* "1234" and its string on one line, escaped and in quotes; a special id's name has none.  With
 * --json an object. */
void codebook_print_id(const tool_session *session, const isb_codebook *codebook, uint32_t id);
/* The string alone. */
void codebook_print_string(FILE *file, const isb_codebook *codebook, uint32_t id);

/* Is the file's name that of a codebook? */
bool path_is_codebook(const char *path);

#endif
