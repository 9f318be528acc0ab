/* What this build and machine can do, as JSON. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "base/context.h"
#include "base/devices.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

static json_int_t memory_nbytes(void) {
    const long n_pages = sysconf(_SC_PHYS_PAGES), page_nbytes = sysconf(_SC_PAGESIZE);
    return n_pages > 0 && page_nbytes > 0 ? (json_int_t)n_pages * page_nbytes : 0;
}

#if defined(ISB_HAVE_CUDA)
static json_t *cuda_info(void) {
    char reason[256] = "";
    int count = 0;
    (void)isb__cuda_device_count(&count, reason, sizeof reason);
    json_t *devices = json_array();
    for (int i = 0; i < count; ++i) {
        isb__cuda_device device;
        if (isb__cuda_device_query(i, &device) != ISB_OK) continue;
        json_array_append_new(devices,
                              json_pack("{s:s, s:I, s:[i,i]}", "name", device.name, "memory_bytes",
                                        (json_int_t)device.memory_nbytes, "compute_capability",
                                        device.compute_major, device.compute_minor));
    }
    return json_pack("{s:b, s:o, s:s}", "built", 1, "devices", devices, "reason", reason);
}
#else
static json_t *cuda_info(void) { return json_pack("{s:b, s:[]}", "built", 0, "devices"); }
#endif

static json_t *mpi_info(void) {
    char library[256];
    isb__mpi_library_version(library, sizeof library);
    return json_pack("{s:b, s:s}", "built", *library != '\0', "library", library);
}

static json_t *cpu_info(const isb_context *ctx) {
    return json_pack("{s:s, s:s, s:s, s:b}", "model", isb__cpu_model_name(), "tier_detected",
                     isb__cpu_tier_name(isb__cpu_detect()), "tier_used",
                     isb__cpu_tier_name(ctx->cpu), "bf16_dot_is_fast", isb__cpu_bf16_dot_is_fast());
}

static json_t *library_info(void) {
    return json_pack("{s:s, s:s, s:s, s:i}", "zlib", zlibVersion(), "zstd", ZSTD_versionString(),
                     "jansson", jansson_version_str(), "xxhash", (int)XXH_versionNumber());
}

isb_status isb_build_info_json(isb_context *context, char *json, size_t capacity) {
    if (!context || !json)
        return isb__fail(context, ISB_ERR_ARGUMENT, "expected a context and a buffer, found NULL");
    json_t *info = json_pack("{s:s, s:s, s:o, s:i, s:I, s:o, s:o, s:o}", "version", isb_version(),
                             "compiler", COMPILER, "cpu", cpu_info(context), "threads",
                             isb_context_threads(context), "memory_bytes", memory_nbytes(), "cuda",
                             cuda_info(), "mpi", mpi_info(), "libraries", library_info());
    char *text = info ? json_dumps(info, JSON_COMPACT) : NULL;
    json_decref(info);
    if (!text)
        return isb__fail(context, ISB_ERR_NO_MEMORY, "no memory for the description of this build");
    const size_t nbytes = strlen(text) + 1;
    const bool fits = nbytes <= capacity;
    if (fits) memcpy(json, text, nbytes);
    free(text);
    if (fits) return ISB_OK;
    return isb__fail(context, ISB_ERR_BUFFER_SIZE,
                     "the description needs %zu bytes, the buffer has %zu", nbytes, capacity);
}
