/* errors.h: what went wrong, in one line of cause and one of advice, and the exit code. */
#ifndef ISB_TOOLS_ERRORS_H
#define ISB_TOOLS_ERRORS_H

#include <isobit/status.h>

struct tool_session;

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,       /* out of memory, diverged, not supported here */
    EXIT_USAGE = 2,        /* the command line */
    EXIT_DATA = 3,         /* damaged, empty, of another kind or made by another model */
    EXIT_FILES = 4,        /* missing, not readable, disk full */
    EXIT_INTERRUPTED = 130 /* as shells report SIGINT */
};

int error_exit_code(isb_status status);

/* Says what the library's last call on the session's context reported; returns the exit code. */
int error_status(struct tool_session *session, isb_status status);

/* The same for what the tool finds itself; `where` is a command's name or NULL. */
__attribute__((format(printf, 3, 4))) int error_at(const char *where, isb_status status,
                                                   const char *format, ...);
/* A mistake in the command line: the advice is to read the command's help.  Returns EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int error_usage(const char *where, const char *format, ...);

/* The status that fits errno after a failed call of the C library. */
isb_status error_from_errno(void);

#endif
