/* beside.h: an output beside each input, by the rules that users of gzip, xz and zstd know: its
 * name, what may be replaced, and its owner, mode and times. */
#ifndef ISB_TOOLS_BESIDE_H
#define ISB_TOOLS_BESIDE_H

#include <sys/stat.h>

#include "session.h"

typedef struct beside_rules {
    const char *suffix; /* ".isb" */
    bool remove_suffix; /* decompression */
    int force;
} beside_rules;

/* The output's name.  Errors, said (the exit code is returned): a suffix that is there or is not,
 * and an input that is a link (it may stand for a file elsewhere), unless forced. */
int beside_name(tool_session *session, const beside_rules *rules, const char *input, char *path,
                size_t nbytes);

/* May `output` be written?  *force: whether it may be replaced, which a person at a terminal is
 * asked.  Errors, said: it is the input itself; it exists and stays. */
int beside_may_write(tool_session *session, const char *input, const char *output, int *force);

/* Until it has its mode the output is for its owner alone: what was private must not be readable
 * for a moment.  Returns what beside_finish() needs. */
mode_t beside_begin(const char *input);
/* whole: the output is complete, and gets the input's owner, mode and times as far as we may; the
 * data is what matters. */
void beside_finish(mode_t before, bool whole, const char *input, const char *output);

/* Errors, said: it cannot be removed. */
int beside_remove(tool_session *session, const char *input);

#endif
