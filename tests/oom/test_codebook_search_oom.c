/* Search and compiled windows without memory. */
#include "fail_alloc.h"
#include "toy_source.h"

#include "codebook/search.h"
#include "codebook/windows.h"

static isb_status search(isb_context *ctx, void *arg) {
    isb__kind kind = {.n_states = 2, .accepts = {[ISB__KIND_START] = true}};
    isb__cdf_source source;
    isb__candidates found;
    (void)arg;
    memset(kind.step[ISB__KIND_START], ISB__KIND_START, 256);
    ISB_TRY(toy_source_create(ctx, 1, 300, 3, &source));
    const isb_status status = isb__search_m1(ctx, &source, &kind, 600, 8, &found);
    CHECK(status == ISB_OK ? found.n >= 600 : !found.bytes && found.n == 0);
    isb__candidates_free(ctx, &found);
    source.free(source.self);
    return status;
}

static isb_status compile(isb_context *ctx, void *variant) {
    isb__code_params params;
    isb__cdf_source source;
    isb__candidates strings;
    uint32_t *codes;
    size_t *decoded;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    params.variant = *(const isb__window_variant *)variant;
    params.window_nbits = params.token_nbits = params.variant == ISB__EXACT ? 16 : 8;
    params.reset_windows = 1;
    ISB_TRY(toy_source_create(ctx, 1, 4, 3, &source));
    const isb_status status =
        isb__compile_windows(ctx, &source, &params, &strings, &codes, &decoded);
    CHECK(status == ISB_OK ? strings.n >= 256 && codes && decoded : !codes && !decoded);
    isb__candidates_free(ctx, &strings);
    isb__free(ctx, codes);
    isb__free(ctx, decoded);
    source.free(source.self);
    return status;
}

int main(int argc, char **argv) {
    isb__window_variant exact = ISB__EXACT, delay = ISB__DELAY;
    check_begin(argc, argv);
    fail_alloc_sweep("search", search, NULL);
    fail_alloc_sweep("exact windows", compile, &exact);
    fail_alloc_sweep("delay windows", compile, &delay);
    return check_end();
}
