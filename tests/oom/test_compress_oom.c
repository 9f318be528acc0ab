/* Compressing and decompressing without memory: nothing is lost, and no file stays behind. */
#include "fail_alloc.h"
#include "temp_dir.h"

#include <isobit/container.h>
#include <isobit/m1.h>

#include "base/context.h"
#include "m1/m1.h"
#include "m1_text.h"
#include "small_models.h"

static char counts_dir[1024], m1_file[1024], text_path[1024];
static char packed_path[1024], embedded_path[1024];

typedef struct run {
    const char *in; /* NULL: compress the text */
    const char *m1;
    int embed, info;
    uint64_t range_start;
} run;

static isb_status run_once(isb_context *ctx, void *arg) {
    const run *r = arg;
    isb_compress_options options;
    isb_compress_result result;
    isb_compress_options_init(&options);
    options.m1_path = r->m1;
    options.chunk_nbytes = 1024;
    options.n_streams = 2;
    options.embed_m1 = r->embed;
    options.force = 1;
    options.range_start = r->range_start;
    if (r->info) return isb_container_info(ctx, r->in, &result);
    const char *out = temp_path("out");
    remove(out);
    const isb_status status = r->in ? isb_decompress_file(ctx, r->in, out, &options, &result)
                                    : isb_compress_file(ctx, text_path, out, &options, &result);
    CHECK_EQ(temp_exists(out), status == ISB_OK);
    return status;
}

static void pack(isb_context *ctx, const char *m1, int embed, const char *to) {
    CHECK_OK(ctx, run_once(ctx, &(run){.m1 = m1, .embed = embed}));
    CHECK_EQ(rename(temp_path("out"), to), 0);
}

/* Chunks of every kind. */
static void prepare(void) {
    static uint8_t text[9000];
    uint64_t counts[257];
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    char *const names[] = {counts_dir, m1_file, text_path, packed_path, embedded_path};
    static const char *const files[] = {"counts", "m.isb-m1", "text", "packed", "embedded"};
    for (int i = 0; i < 5; i++) snprintf(names[i], 1024, "%s", temp_path(files[i]));
    for (int x = 0; x < 257; x++) counts[x] = x < 64 ? 100 : 1;
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof text; i++) {
        state = state * 1664525u + 1013904223u;
        text[i] = i < 2048   ? (uint8_t)(state >> 26) /* counts' */
                  : i < 4096 ? (uint8_t)(i % 30)      /* zstd's */
                  : i < 6144 ? 0
                             : (uint8_t)(state >> 24);
    }
    small_m1(ctx, 1, temp_path("model"));
    m1_text(ctx, temp_path("model"), 1, text + 7168, 1024);
    temp_write(text_path, text, sizeof text);
    CHECK_OK(ctx, isb__m1_write_static(ctx, counts_dir, counts));
    CHECK_OK(ctx, isb_m1_quantise_file(ctx, temp_path("model"), m1_file, NULL, 1));
    pack(ctx, counts_dir, 0, packed_path);
    pack(ctx, m1_file, 1, embedded_path);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    prepare();
    const int n_files = temp_count(temp_dir_path);
    fail_alloc_sweep("compress", run_once, &(run){.m1 = counts_dir});
    fail_alloc_sweep("compress, M1 in the file", run_once, &(run){.m1 = m1_file, .embed = 1});
    fail_alloc_sweep("decompress", run_once, &(run){.in = packed_path, .m1 = counts_dir});
    fail_alloc_sweep("decompress, M1 in the file", run_once, &(run){.in = embedded_path});
    fail_alloc_sweep("decompress a range", run_once,
                     &(run){.in = packed_path, .m1 = counts_dir, .range_start = 1500});
    fail_alloc_sweep("info", run_once, &(run){.in = packed_path, .info = 1});
    remove(temp_path("out"));
    CHECK_EQ(temp_count(temp_dir_path), n_files);
    temp_dir_end();
    return check_end();
}
