/* Out of memory in the base layer: allocation 1, 2, 3, ... fails until nothing fails any more. */
#include <zlib.h>

#include "base/io.h"
#include "base/plan.h"
#include "fail_alloc.h"
#include "temp_dir.h"

static isb_status grow(isb_context *ctx, void *arg) {
    (void)arg;
    int *items = NULL;
    size_t capacity = 0;
    isb_status status = ISB_OK;
    for (size_t i = 0; i < 100 && status == ISB_OK; ++i) {
        status = isb__grow_array(ctx, i + 1, sizeof *items, &capacity, &items);
        if (status == ISB_OK) items[i] = (int)i;
    }
    for (size_t i = 0; i < capacity && i < 100; ++i) CHECK(items[i] == (int)i || items[i] == 0);
    isb__free(ctx, items);
    return status;
}

static isb_status plan(isb_context *ctx, void *arg) {
    (void)arg;
    isb__plan memory;
    void *block = NULL, *regions[40];
    isb__plan_begin(&memory, ctx);
    for (int i = 0; i < 40; ++i) isb__plan_add(&memory, "region", 100, &regions[i]);
    const isb_status status = isb__plan_commit(&memory, &block);
    CHECK((block != NULL) == (status == ISB_OK));
    isb__free(ctx, block);
    return status;
}

static isb_status read_gzip(isb_context *ctx, void *path) {
    isb__reader *reader = NULL;
    ISB_TRY(isb__reader_open(ctx, path, true, &reader));
    char text[64];
    size_t got = 0;
    const isb_status status = isb__reader_read(reader, text, sizeof text, &got);
    CHECK(status != ISB_OK || (got == 5 && memcmp(text, "hello", 5) == 0));
    isb__reader_close(reader);
    return status;
}

static isb_status read_whole(isb_context *ctx, void *path) {
    uint8_t *data = NULL;
    size_t nbytes = 0;
    const isb_status status = isb__file_read(ctx, path, 1000, &data, &nbytes);
    CHECK((data != NULL) == (status == ISB_OK));
    isb__free(ctx, data);
    return status;
}

static isb_status write_whole(isb_context *ctx, void *path) {
    remove(path);
    const isb_status status = isb__file_write(ctx, path, "data", 4);
    /* The last allocation is for syncing the folder, after the rename: then the file is there, and
     * whole. */
    CHECK(!temp_exists(path) || temp_holds(path, "data", 4));
    return status;
}

static isb_status folders(isb_context *ctx, void *arg) {
    (void)arg;
    char *name = NULL;
    ISB_TRY(isb__path_join(ctx, temp_dir_path, "new", &name));
    isb_status status = isb__dir_create(ctx, name);
    if (status == ISB_OK) temp_write(temp_path("new/file"), "x", 1);
    if (status == ISB_OK) status = isb__dir_commit(ctx, name, temp_path("out"));
    if (status == ISB_OK) status = isb__dir_recover(ctx, temp_path("out"));
    isb__free(ctx, name);
    return status;
}

static isb_status list(isb_context *ctx, void *arg) {
    char **names = NULL;
    size_t count = 0;
    const isb_status status = isb__dir_list(ctx, arg, &names, &count);
    CHECK(status == ISB_OK ? count >= 2 : names == NULL && count == 0);
    isb__names_free(ctx, names, count);
    return status;
}

/* The context's own allocations, which the sweep cannot reach. */
static void create(void) {
    isb_status status = ISB_ERR_NO_MEMORY;
    for (size_t n = 1; status != ISB_OK && n < 100; ++n) {
        fail_alloc hooks;
        isb_context_options options;
        isb_context_options_init(&options);
        options.n_threads = 3;
        fail_alloc_install(&hooks, &options);
        fail_alloc_arm(&hooks, n);
        isb_context *ctx = NULL;
        status = isb_context_create(&options, &ctx);
        CHECK_EQ(status, atomic_load(&hooks.n_calls) >= n ? ISB_ERR_NO_MEMORY : ISB_OK);
        CHECK((ctx != NULL) == (status == ISB_OK));
        isb_context_free(ctx);
        CHECK_EQ(atomic_load(&hooks.n_live), 0);
    }
    CHECK_EQ(status, ISB_OK);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    char gzip_path[1024], out_path[1024];
    snprintf(gzip_path, sizeof gzip_path, "%s", temp_path("hello.gz"));
    snprintf(out_path, sizeof out_path, "%s", temp_path("written"));
    gzFile gzip = gzopen(gzip_path, "wb");
    CHECK_FATAL(gzip && gzwrite(gzip, "hello", 5) == 5 && gzclose(gzip) == Z_OK);
    create();
    fail_alloc_sweep("grow an array", grow, NULL);
    fail_alloc_sweep("plan", plan, NULL);
    fail_alloc_sweep("read gzip", read_gzip, gzip_path);
    fail_alloc_sweep("read a whole file", read_whole, gzip_path);
    fail_alloc_sweep("write a whole file", write_whole, out_path);
    fail_alloc_sweep("folders", folders, NULL);
    fail_alloc_sweep("list", list, temp_dir_path);
    temp_dir_end();
    return check_end();
}
