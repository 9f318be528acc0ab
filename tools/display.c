/* display.c: a bar that is redrawn in place on a terminal; elsewhere (logs) a line every ten
 * seconds.
 *
 *     train    ━━━━━━━━━━━━  45%  1.23M/2.70M tokens  12.3k/s  1:58 left  loss 2.31 */
#include "display.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "format.h"

static const double PLAIN_EVERY_S = 10;
enum { BAR_COLUMNS = 24, BAR_COLUMNS_MIN = 6, LINE_NBYTES = 512 };

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_init(progress_display *display, bool quiet, bool verbose) {
    *display = (progress_display){.quiet = quiet, .verbose = verbose};
    display->terminal = isatty(STDERR_FILENO) != 0;
    display->colored = format_colored(stderr);
    setlocale(LC_CTYPE, ""); /* numbers keep their points: LC_NUMERIC is not touched */
    display->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    display->last_s = now_s();
}

void progress_clear(progress_display *display) {
    if (!display->drawn) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    display->drawn = false;
}

/* A line under construction; text that does not fit is left out. */
typedef struct line { char text[LINE_NBYTES]; size_t nbytes; int columns; } line;

static void line_raw(line *l, const char *text) { /* escapes: no column */
    const size_t n = strlen(text);
    if (l->nbytes + n >= sizeof l->text) return;
    memcpy(l->text + l->nbytes, text, n + 1);
    l->nbytes += n;
}

static void line_add(line *l, const char *text, int limit) {
    const int n = (int)strlen(text);
    if (l->columns + n > limit) return;
    line_raw(l, text);
    l->columns += n;
}

static void line_bar(line *l, const progress_display *display, double share, int columns) {
    const int halves = (int)(share * 2 * columns + 0.5);
    if (display->colored) line_raw(l, "\033[36m");
    for (int i = 0; i < columns; ++i) {
        const int filled = halves - 2 * i; /* halves of this column */
        if (i > 0 && filled <= 0 && filled > -2 && display->colored) line_raw(l, "\033[2m");
        if (display->unicode) {
            line_raw(l, filled >= 2 ? "━" : filled == 1 ? "╸" : display->colored ? "━" : " ");
        } else {
            line_raw(l, filled >= 1 ? "#" : "-");
        }
    }
    if (display->colored) line_raw(l, "\033[0m");
    l->columns += columns;
}

/* "1.23M/2.70M tokens" or "12.3 MB" */
static void describe_amount(const isb_progress *progress, char *text, size_t nbytes) {
    const short_text done = format_si(progress->done), total = format_si(progress->total);
    const bool bytes = strcmp(progress->unit, "byte") == 0;
    const char *unit = bytes ? "B" : progress->unit, *plural = bytes ? "" : "s";
    if (progress->total > 0 && !progress->finished) {
        snprintf(text, nbytes, "%s/%s %s%s", done.text, total.text, unit, plural);
    } else {
        snprintf(text, nbytes, "%s %s%s", done.text, unit, plural);
    }
}

/* A note is pairs of words, "loss 2.31 bits/byte 3.33": the first ones that fit. */
static void line_note(line *l, const char *note, int limit) {
    char text[128];
    snprintf(text, sizeof text, "  %s", note ? note : "");
    for (int room = limit - l->columns; (int)strlen(text) > room;) {
        for (int i = 0; i < 2; ++i) {
            char *space = strrchr(text + 2, ' ');
            if (!space) return;
            *space = '\0';
        }
    }
    if (text[2]) line_add(l, text, limit);
}

/* Everything after the bar. */
static void line_numbers(line *l, const isb_progress *progress, int limit) {
    char text[96];
    describe_amount(progress, text, sizeof text);
    line_add(l, "  ", limit);
    line_add(l, text, limit);
    if (progress->finished) {
        snprintf(text, sizeof text, "  in %s", format_duration(progress->elapsed_s).text);
        line_add(l, text, limit);
    }
    if (progress->rate > 0) {
        snprintf(text, sizeof text, "  %s%s/s", format_si(progress->rate).text,
                 strcmp(progress->unit, "byte") == 0 ? "B" : "");
        line_add(l, text, limit);
    }
    if (!progress->finished && progress->left_s >= 0) {
        snprintf(text, sizeof text, "  %s left", format_duration(progress->left_s).text);
        line_add(l, text, limit);
    }
    line_note(l, progress->note, limit);
}

/* The bar takes what the numbers leave. */
static void show(progress_display *display, const isb_progress *progress, int limit) {
    const bool known = progress->total > 0 && !progress->finished;
    char head[40], percent[16] = "";
    double share = known ? progress->done / progress->total : 0;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    snprintf(head, sizeof head, "%-9s", progress->task);
    if (known) snprintf(percent, sizeof percent, " %3d%%", (int)(100 * share));
    const int before = (int)(strlen(head) + strlen(percent));
    line numbers = {.nbytes = 0}, l = {.nbytes = 0};
    line_numbers(&numbers, progress, limit - before);
    const int left = limit - before - numbers.columns;
    line_add(&l, head, limit);
    if (known && display->terminal && left >= BAR_COLUMNS_MIN) {
        line_bar(&l, display, share, left < BAR_COLUMNS ? left : BAR_COLUMNS);
    }
    line_add(&l, percent, limit);
    line_raw(&l, numbers.text);
    progress_clear(display);
    fputs(l.text, stderr);
    if (!display->terminal || progress->finished) fputc('\n', stderr);
    display->drawn = display->terminal && !progress->finished;
    fflush(stderr);
}

void progress_report(void *user, const isb_progress *progress) {
    progress_display *display = user;
    if (display->quiet) return;
    const double now = now_s();
    if (strncmp(display->task, progress->task, sizeof display->task - 1) != 0) {
        snprintf(display->task, sizeof display->task, "%s", progress->task);
        display->said = false;
        display->last_s = now; /* a task is first spoken of once it has taken a while */
    }
    if (display->terminal) {
        /* What is over before anyone could read a bar needs none. */
        if (progress->finished && progress->elapsed_s < 1) {
            progress_clear(display);
            return;
        }
        show(display, progress, format_width(stderr) - 1);
    } else if (progress->finished ? display->said : now - display->last_s >= PLAIN_EVERY_S) {
        show(display, progress, LINE_NBYTES - 1);
        display->said = true;
        display->last_s = now;
    }
}

void progress_log(void *user, isb_log_level level, const char *message) {
    progress_display *display = user;
    const isb_log_level lowest = display->quiet     ? ISB_LOG_ERROR
                                 : display->verbose ? ISB_LOG_DEBUG
                                                    : ISB_LOG_INFO;
    if (level < lowest) return;
    progress_clear(display);
    const char *kind = level == ISB_LOG_WARNING ? "warning: " : "";
    fprintf(stderr, "isobit: %s%s\n", kind, message);
}
