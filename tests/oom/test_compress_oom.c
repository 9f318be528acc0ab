/* Compressing and decompressing without memory: nothing is lost, and no file stays behind. */
#include "fail_alloc.h"
#include "temp_dir.h"

#include <isobit/container.h>

#include "base/context.h"
#include "data/m1.h"

static char m1_dir[1024], text_path[1024], packed_path[1024];

static isb_status compress(isb_context *ctx, void *arg) {
    isb_compress_options options;
    isb_compress_options_init(&options);
    options.m1_path = m1_dir;
    options.chunk_nbytes = 1024;
    options.n_streams = 2;
    options.force = 1;
    const char *out = temp_path("out");
    remove(out);
    const isb_status status = arg ? isb_decompress_file(ctx, packed_path, out, &options, NULL)
                                  : isb_compress_file(ctx, text_path, out, &options, NULL);
    CHECK_EQ(temp_exists(out), status == ISB_OK);
    return status;
}

static void prepare(void) {
    static uint8_t text[5000];
    uint64_t counts[257];
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    snprintf(m1_dir, sizeof m1_dir, "%s", temp_path("m1"));
    snprintf(text_path, sizeof text_path, "%s", temp_path("text"));
    snprintf(packed_path, sizeof packed_path, "%s", temp_path("packed"));
    for (int x = 0; x < 257; x++) counts[x] = (uint64_t)(1 + x % 7);
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i * i);
    temp_write(text_path, text, sizeof text);
    CHECK_OK(ctx, isb__m1_write_static(ctx, m1_dir, counts));
    CHECK_OK(ctx, compress(ctx, NULL));
    CHECK_EQ(rename(temp_path("out"), packed_path), 0);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    prepare();
    const int n_files = temp_count(temp_dir_path);
    fail_alloc_sweep("compress", compress, NULL);
    fail_alloc_sweep("decompress", compress, m1_dir);
    remove(temp_path("out"));
    CHECK_EQ(temp_count(temp_dir_path), n_files);
    temp_dir_end();
    return check_end();
}
