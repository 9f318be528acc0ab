/* A stream looked at in place.  The unread bytes move to the front of the buffer only when more are
 * needed, and the buffer doubles, so that each byte is copied a bounded number of times however
 * long lines are. */
#include "data/scan.h"

#include <string.h>

enum { PIECE_NBYTES = 256 << 10 };

isb_status isb__scan_open(isb_context *ctx, const char *path, bool decompress, isb__scan *scan) {
    scan->ctx = ctx;
    scan->begin = scan->end = 0;
    scan->at_end = false;
    scan->line_number = 0;
    return isb__reader_open(ctx, path, decompress, &scan->reader);
}

void isb__scan_close(isb__scan *scan) {
    if (scan->reader) isb__reader_close(scan->reader);
    scan->reader = NULL;
    scan->begin = scan->end = 0;
}

void isb__scan_free(isb__scan *scan) {
    isb__scan_close(scan);
    if (scan->ctx) isb__free(scan->ctx, scan->data);
    scan->data = NULL;
    scan->capacity = 0;
}

isb_status isb__scan_fill(isb__scan *scan, size_t nbytes) {
    if (isb__scan_unread(scan) >= nbytes || scan->at_end) return ISB_OK;
    if (scan->begin > 0) {
        memmove(scan->data, scan->data + scan->begin, isb__scan_unread(scan));
        scan->end -= scan->begin;
        scan->begin = 0;
    }
    const size_t wanted = nbytes > PIECE_NBYTES ? nbytes : PIECE_NBYTES;
    ISB_TRY(isb__grow_array(scan->ctx, wanted, 1, &scan->capacity, &scan->data));
    while (scan->end < nbytes && !scan->at_end) {
        size_t got = 0;
        ISB_TRY(isb__check_cancel(scan->ctx));
        ISB_TRY(isb__reader_read(scan->reader, scan->data + scan->end, scan->capacity - scan->end,
                                 &got));
        scan->end += got;
        scan->at_end = got == 0;
    }
    return ISB_OK;
}

isb_status isb__scan_fill_all(isb__scan *scan) {
    while (!scan->at_end) ISB_TRY(isb__scan_fill(scan, isb__scan_unread(scan) + PIECE_NBYTES));
    return ISB_OK;
}

uint8_t *isb__scan_take(isb__scan *scan, size_t nbytes) {
    uint8_t *bytes = scan->data + scan->begin;
    scan->begin += nbytes;
    return bytes;
}

isb_status isb__scan_line(isb__scan *scan, uint8_t **line, size_t *nbytes) {
    *line = NULL;
    *nbytes = 0;
    size_t searched = 0;
    for (;;) {
        const size_t unread = isb__scan_unread(scan);
        const uint8_t *from = unread > 0 ? scan->data + scan->begin : NULL; /* no data yet */
        const uint8_t *newline =
            unread > searched ? memchr(from + searched, '\n', unread - searched) : NULL;
        if (newline || (scan->at_end && unread > 0)) {
            *nbytes = newline ? (size_t)(newline - from) : unread;
            *line = isb__scan_take(scan, *nbytes + (newline != NULL));
            ++scan->line_number;
            return ISB_OK;
        }
        if (scan->at_end) return ISB_OK;
        searched = unread;
        ISB_TRY(isb__scan_fill(scan, unread + PIECE_NBYTES));
    }
}
