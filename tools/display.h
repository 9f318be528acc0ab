/* display.h: how far the work is, on standard error: a bar that is redrawn on a terminal, else a
 * line now and then. */
#ifndef ISB_TOOLS_DISPLAY_H
#define ISB_TOOLS_DISPLAY_H

#include <isobit/context.h>
#include <stdbool.h>

typedef struct progress_display {
    bool quiet, verbose;             /* set by the caller, like these: */
    bool terminal, colored, unicode; /* progress_init() */
    bool drawn;                      /* the cursor stands behind a bar */
    bool said;                       /* a plain line was written for this task */
    double last_s;                   /* when the last report was shown, by the monotonic clock */
    char task[32];
} progress_display;

void progress_init(progress_display *display, bool quiet, bool verbose);
/* The context's callbacks; user is the display. */
void progress_report(void *user, const isb_progress *progress);
void progress_log(void *user, isb_log_level level, const char *message);
/* Takes the bar away: other text follows. */
void progress_clear(progress_display *display);

#endif
