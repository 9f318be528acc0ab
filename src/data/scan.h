/* A stream looked at in place: bytes are read in large pieces into one growing buffer, and users
 * see the unread ones. */
#ifndef ISB_DATA_SCAN_H
#define ISB_DATA_SCAN_H

#include "base/io.h"

typedef struct isb__scan {
    isb_context *ctx;
    isb__reader *reader; /* NULL: closed */
    uint8_t *data;       /* [capacity]; unread: data[begin .. end) */
    size_t capacity, begin, end;
    bool at_end;          /* the stream has no more */
    uint64_t line_number; /* of the line given last, from 1 */
} isb__scan;

/* A zeroed isb__scan is closed; its buffer is kept from one open to the next. */
isb_status isb__scan_open(isb_context *ctx, const char *path, bool decompress, isb__scan *scan);
/* Ends reading; isb__scan_free() gives the buffer back too. */
void isb__scan_close(isb__scan *scan);
void isb__scan_free(isb__scan *scan);

/* Reads until at least nbytes are unread or the stream ends. */
isb_status isb__scan_fill(isb__scan *scan, size_t nbytes);
/* Reads to the end: all of the rest is unread. */
isb_status isb__scan_fill_all(isb__scan *scan);
static inline size_t isb__scan_unread(const isb__scan *scan) { return scan->end - scan->begin; }
/* Takes nbytes (<= unread): the pointer lasts until the next call. */
uint8_t *isb__scan_take(isb__scan *scan, size_t nbytes);
/* The next line without its line end, of any length; *line == NULL at the end.  The caller may
 * change its bytes. */
isb_status isb__scan_line(isb__scan *scan, uint8_t **line, size_t *nbytes);

#endif
