/* What compressing and decompressing share: the files, M1 and its codec, progress, the result. */
#ifndef ISB_DATA_CONTAINER_RUN_H
#define ISB_DATA_CONTAINER_RUN_H

#include <isobit/container.h>

#include "base/io.h"
#include "code/container_format.h"
#include "data/chunk_memory.h"

typedef struct isb__container_run {
    isb_context *ctx;
    isb_compress_options options;
    isb__chunk_memory memory;
    isb__reader *reader;
    isb__writer *writer; /* NULL: nothing is written */
    isb__found_m1 m1;
    isb__codec *codec;     /* of m1; NULL until a chunk needs it */
    uint64_t codec_chunks; /* that it was made for */
    isb__progress_state progress;
    uint64_t raw_done; /* bytes before those that a codec is at work on */
    double start_s;
    isb_compress_result result;
} isb__container_run;

/* options may be NULL: the defaults.  Errors: ARGUMENT. */
isb_status isb__container_run_options(isb__container_run *run, const isb_compress_options *options);
/* Errors: EXISTS, unless an existing file may be replaced. */
isb_status isb__container_run_may_write(isb__container_run *run, const char *out_path);
/* Starts the clock, and progress towards `total` raw bytes, 0 if unknown. */
void isb__container_run_begin(isb__container_run *run, const char *task, double total);
/* A codec's callback (user is the run): `done` bytes above raw_done. */
void isb__container_run_report(void *user, double done);
/* Reads nbytes, fewer only at the end. */
isb_status isb__container_run_read(isb__container_run *run, void *data, size_t nbytes, size_t *got);
/* Makes the codec of m1, unless there is one for as many chunks.  n_chunks: that will come;
 * UINT64_MAX: nobody knows.  No more streams are made than chunks. */
isb_status isb__container_run_codec(isb__container_run *run, uint64_t n_chunks);
void isb__container_run_drop_codec(isb__container_run *run);
/* Forgets M1 and its codec. */
void isb__container_run_drop_m1(isb__container_run *run);
/* Ends progress, and makes the output's name appear. */
isb_status isb__container_run_commit(isb__container_run *run);
void isb__container_run_free(isb__container_run *run);

/* Adds a frame to a result. */
void isb__container_add_layout(const isb__container_layout *layout, isb_compress_result *result);
/* Puts the file's name before the text of what is wrong with it. */
isb_status isb__container_name_file(isb_context *ctx, isb_status status, const char *path);

#endif
