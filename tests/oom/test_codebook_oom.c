/* Codebooks without memory: every allocation fails once; the status says so and nothing leaks. */
#include "fail_alloc.h"
#include "temp_dir.h"

#include "codebook/codebook.h"

#include "base/context.h"

static const char *const WORDS[] = {"the", " the", "them", "aaaab", "aaab", "ab"};

static isb_status create(isb_context *ctx, void *arg) {
    isb_codebook_text texts[6];
    static const char *const special = "<|user|>";
    for (int i = 0; i < 6; ++i)
        texts[i] = (isb_codebook_text){(const uint8_t *)WORDS[i], strlen(WORDS[i])};
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.specials = &special;
    options.n_specials = 1;
    isb_codebook *codebook = NULL;
    isb_status status = isb_codebook_create(ctx, texts, 6, &options, &codebook);
    CHECK((codebook != NULL) == (status == ISB_OK));
    if (status == ISB_OK && arg) status = isb_codebook_save(ctx, codebook, arg);
    if (status != ISB_OK && arg) CHECK(!temp_exists(arg));
    if (arg) remove(arg);
    isb_codebook_free(codebook);
    return status;
}

static isb_status open_file(isb_context *ctx, void *path) {
    isb_codebook *codebook = NULL;
    const isb_status status = isb_codebook_open(ctx, path, &codebook);
    CHECK((codebook != NULL) == (status == ISB_OK));
    isb_codebook_free(codebook);
    return status;
}

/* Encoding and decoding allocate nothing: no allocation can fail in them. */
static isb_status use(isb_context *ctx, void *codebook) {
    static uint8_t text[5000], back[5000];
    static uint32_t ids[5000];
    size_t n, nbytes;
    uint64_t offsets[3];
    const isb_codebook_text texts[2] = {{text, 3000}, {text, 2000}};
    for (size_t i = 0; i < sizeof text; ++i)
        text[i] = (uint8_t)("aaab the"[i % 8 * (i % 3 + 1) % 8]);
    ISB_TRY(isb_codebook_encode(codebook, text, sizeof text, ids, 5000, &n));
    ISB_TRY(isb_codebook_decode(codebook, ids, n, back, sizeof back, &nbytes));
    CHECK(nbytes == sizeof text && memcmp(text, back, nbytes) == 0);
    return isb_codebook_encode_batch(ctx, codebook, texts, 2, ids, 5000, offsets);
}

static void check_no_allocations(void) {
    fail_alloc hooks;
    isb_context *ctx = NULL;
    isb_codebook *codebook = NULL;
    isb_context_options options;
    isb_context_options_init(&options);
    fail_alloc_install(&hooks, &options);
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    CHECK_OK(ctx, isb_codebook_open(ctx, NULL, &codebook));
    fail_alloc_arm(&hooks, 1);
    CHECK(use(ctx, codebook) == ISB_OK);
    CHECK_EQ(atomic_load(&hooks.n_calls), 0);
    isb_codebook_free(codebook);
    isb_context_free(ctx);
    CHECK_EQ(atomic_load(&hooks.n_live), 0);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    char path[1024], golden[1100];
    const char *folder = getenv("ISB_GOLDEN");
    snprintf(path, sizeof path, "%s", temp_path("new"));
    snprintf(golden, sizeof golden, "%s/windows-v1.isb-codebook", folder ? folder : "tests/golden");
    fail_alloc_sweep("create", create, NULL);
    fail_alloc_sweep("create and save", create, path);
    fail_alloc_sweep("open", open_file, golden);
    check_no_allocations();
    temp_dir_end();
    return check_end();
}
