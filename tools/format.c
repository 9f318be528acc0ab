/* format.c: numbers and text for people. */
#include "format.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

short_text format_grouped(uint64_t value) {
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%" PRIu64, value);
    short_text out;
    size_t at = 0;
    for (int i = 0; i < n; ++i) {
        if (i > 0 && (n - i) % 3 == 0) out.text[at++] = ',';
        out.text[at++] = digits[i];
    }
    out.text[at] = '\0';
    return out;
}

short_text format_si(double value) {
    static const char *const suffixes[] = {"", "k", "M", "G", "T", "P", "E"};
    const double magnitude = fabs(value);
    size_t i = 0;
    double scaled = value;
    /* 999.5 would be shown as "1000": it belongs to the next suffix. */
    while (i + 1 < sizeof suffixes / sizeof *suffixes && fabs(scaled) >= 999.5) {
        scaled /= 1000;
        ++i;
    }
    short_text out;
    const int whole = i == 0 && magnitude == floor(magnitude);
    const int decimals = whole || fabs(scaled) >= 99.95 ? 0 : fabs(scaled) >= 9.995 ? 1 : 2;
    snprintf(out.text, sizeof out.text, "%.*f%s", decimals, scaled, suffixes[i]);
    return out;
}

short_text format_duration(double seconds) {
    short_text out;
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(out.text, sizeof out.text, "-");
        return out;
    }
    const long s = lround(seconds);
    if (s >= 3600) {
        snprintf(out.text, sizeof out.text, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(out.text, sizeof out.text, "%ld:%02ld", s / 60, s % 60);
    }
    return out;
}

size_t format_utf8_length(const unsigned char *at, size_t nbytes) {
    if (at[0] < 0x80) return 1;
    const size_t n = at[0] >= 0xc2 && at[0] <= 0xdf   ? 2
                     : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                     : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
                                                      : 0;
    if (n == 0 || n > nbytes) return 0;
    for (size_t i = 1; i < n; ++i) {
        if ((at[i] & 0xc0) != 0x80) return 0;
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f)) return 0;
    if ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) return 0;
    return n;
}

static void put_ascii(FILE *file, unsigned char c, const char *special) {
    static const char letters[] = "tn\0\0r"; /* of 9, 10 and 13 */
    if (c >= 9 && c <= 13 && letters[c - 9]) {
        fprintf(file, "\\%c", letters[c - 9]);
    } else if (c < 32 || c == 127) {
        fprintf(file, "\\x%02x", c);
    } else {
        if (c == '\\' || strchr(special, c)) fputc('\\', file);
        fputc(c, file);
    }
}

void format_escaped(FILE *file, const unsigned char *bytes, size_t nbytes, const char *special) {
    for (size_t i = 0; i < nbytes;) {
        const size_t n = format_utf8_length(bytes + i, nbytes - i);
        /* U+0080 .. U+009F are control characters too. */
        const int control = n == 2 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0;
        if (n == 1) {
            put_ascii(file, bytes[i], special);
        } else if (n == 0 || control) {
            fprintf(file, "\\x%02x", bytes[i]);
        } else {
            fwrite(bytes + i, 1, n, file);
        }
        i += n == 0 || control ? 1 : n;
    }
}

static void put_indent(FILE *file, int n) {
    if (n > 0) fprintf(file, "%*s", n, "");
}

/* One paragraph, up to `end`; returns nothing: the cursor stands at the end of its last line. */
static void wrap_paragraph(FILE *file, const char *text, const char *end, int indent, int column,
                           int width) {
    int at_start = 1;
    while (text < end) {
        const char *word_end = text;
        while (word_end < end && *word_end != ' ' && *word_end != '\n') ++word_end;
        const int length = (int)(word_end - text);
        if (!at_start && column + 1 + length > width) {
            fputc('\n', file);
            column = 0;
            at_start = 1;
        }
        if (at_start && column < indent) {
            put_indent(file, indent - column);
            column = indent;
        } else if (!at_start) {
            fputc(' ', file);
            ++column;
        }
        fwrite(text, 1, (size_t)length, file);
        column += length;
        at_start = 0;
        text = word_end;
        while (text < end && (*text == ' ' || *text == '\n')) ++text;
    }
}

void format_wrapped(FILE *file, const char *text, int indent, int column, int width) {
    while (*text) {
        const char *end = strchr(text, '\n');
        if (!end) end = text + strlen(text);
        if (*text != ' ' && *text != '\n') {
            /* A paragraph goes on until a blank line or one that is kept as it is. */
            while (*end && end[1] && end[1] != '\n' && end[1] != ' ') {
                end = strchr(end + 1, '\n');
                if (!end) end = text + strlen(text);
            }
            wrap_paragraph(file, text, end, indent, column, width);
        } else if (text < end) {
            put_indent(file, indent);
            fwrite(text, 1, (size_t)(end - text), file);
        }
        fputc('\n', file);
        column = 0;
        text = *end ? end + 1 : end;
    }
}

/* Edits (insert, delete, replace, swap neighbours) between a and b; a large number for long texts.
 */
static size_t edit_distance(const char *a, const char *b) {
    enum { LIMIT = 32 };
    const size_t n = strlen(a), m = strlen(b);
    if (n >= LIMIT || m >= LIMIT) return LIMIT;
    size_t d[LIMIT][LIMIT];
    for (size_t i = 0; i <= n; ++i) d[i][0] = i;
    for (size_t j = 0; j <= m; ++j) d[0][j] = j;
    for (size_t i = 1; i <= n; ++i) {
        for (size_t j = 1; j <= m; ++j) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best) {
                best = d[i - 2][j - 2] + 1;
            }
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *format_suggest(const char *text, const char *const *names, size_t n) {
    const char *best = NULL;
    size_t best_distance = strlen(text) / 3 + 1;
    for (size_t i = 0; i < n; ++i) {
        const size_t distance = edit_distance(text, names[i]);
        if (distance <= best_distance && (!best || distance < best_distance) &&
            distance < strlen(names[i])) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}

int format_width(FILE *file) {
    struct winsize size;
    if (!isatty(fileno(file)) || ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col < 40) {
        return 80;
    }
    return size.ws_col < 100 ? size.ws_col : 100;
}

int format_colored(FILE *file) {
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    if (no_color && *no_color) return 0;
    return isatty(fileno(file)) && term && strcmp(term, "dumb") != 0;
}
