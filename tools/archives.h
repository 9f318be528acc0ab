/* archives.h: what compress, decompress and info say of compressed files. */
#ifndef ISB_TOOLS_ARCHIVES_H
#define ISB_TOOLS_ARCHIVES_H

#include "session.h"

/* Over the files of a call. */
typedef struct archive_totals {
    uint64_t n_files, raw_nbytes, packed_nbytes;
    double seconds;
    bool unpacked; /* the arrow points from packed to raw */
    bool listed;
} archive_totals;

/* How it went with one file: a line on standard error, with --json an object on standard output.
 * what: "compress", "decompress" or "test".  output: NULL for none.  Returns the exit code. */
int archive_report(tool_session *session, const char *what, const char *input, const char *output,
                   const isb_compress_result *result, archive_totals *totals);
/* A line of the table that --list prints, its heading first. */
int archive_list(tool_session *session, const char *path, archive_totals *totals);
/* After all files, if they were several. */
void archive_report_totals(tool_session *session, const archive_totals *totals);

/* Sizes, chunks by method, M1. */
void archive_describe(results *out, const isb_compress_result *info);

#endif
