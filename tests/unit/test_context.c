/* The context: options, environment, error text, memory hooks, log, cancellation, progress, build
 * information. */
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include <jansson.h>

#include "base/context.h"
#include "check.h"
#include "fail_alloc.h"

static char last_log[2048];
static int n_logs;

static void keep_log(void *user, isb_log_level level, const char *message) {
    (void)user, (void)level;
    ++n_logs;
    snprintf(last_log, sizeof last_log, "%s", message);
}

static isb_status create_with(int n_threads, const char *cpu, isb_context **ctx) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    options.cpu = cpu;
    options.log = keep_log;
    last_log[0] = '\0';
    return isb_context_create(&options, ctx);
}

static void check_refused(int n_threads, const char *cpu, isb_status expected, const char *text) {
    isb_context *ctx = (isb_context *)&last_log; /* must become NULL */
    CHECK_STATUS(create_with(n_threads, cpu, &ctx), expected);
    CHECK(ctx == NULL);
    check_report(strstr(last_log, text) != NULL, __FILE__, __LINE__, text, last_log);
}

static void test_options(void) {
    isb_context *ctx = NULL;
    CHECK_STATUS(isb_context_create(NULL, NULL), ISB_ERR_ARGUMENT);
    CHECK_STATUS(isb_context_create(NULL, &ctx), ISB_OK);
    CHECK(isb_context_threads(ctx) >= 1);
    CHECK(strcmp(isb_context_cpu(ctx), isb__cpu_tier_name(isb__cpu_detect())) == 0);
    CHECK(isb_context_error(ctx)[0] == '\0');
    isb_context_free(ctx);
    isb_context_free(NULL);

    CHECK_STATUS(create_with(3, "ref", &ctx), ISB_OK);
    CHECK_EQ(isb_context_threads(ctx), 3);
    CHECK(strcmp(isb_context_cpu(ctx), "ref") == 0);
    isb_context_free(ctx);

    check_refused(-1, NULL, ISB_ERR_ARGUMENT, "found -1");
    check_refused(100000, NULL, ISB_ERR_ARGUMENT, "1024");
    check_refused(1, "sse9", ISB_ERR_ARGUMENT, "\"sse9\"");
    if (isb__cpu_detect() < ISB__CPU_AMX) check_refused(1, "amx", ISB_ERR_UNSUPPORTED, "at most");
}

/* Structs of other versions: a shorter one is completed, a longer one must not ask for what we do
 * not know. */
static void test_struct_size(void) {
    struct {
        isb_context_options options;
        void *later_field;
    } newer;
    memset(&newer, 0, sizeof newer);
    isb_context_options_init(&newer.options);
    CHECK_EQ(newer.options.struct_size, sizeof newer.options);
    isb_context *ctx = NULL;
    newer.options.struct_size = sizeof newer;
    CHECK_STATUS(isb_context_create(&newer.options, &ctx), ISB_OK);
    isb_context_free(ctx);
    newer.later_field = &newer;
    CHECK_STATUS(isb_context_create(&newer.options, &ctx), ISB_ERR_ARGUMENT);
    newer.options.struct_size = 0;
    CHECK_STATUS(isb_context_create(&newer.options, &ctx), ISB_ERR_ARGUMENT);
    newer.options.n_threads = 2;
    newer.options.cpu = "nonsense beyond the older struct";
    newer.options.struct_size = offsetof(isb_context_options, cpu);
    CHECK_STATUS(isb_context_create(&newer.options, &ctx), ISB_OK);
    CHECK_EQ(isb_context_threads(ctx), 2);
    isb_context_free(ctx);
    isb_context_options_init(&newer.options);
    newer.options.allocate = fail_alloc_allocate; /* without its release */
    CHECK_STATUS(isb_context_create(&newer.options, &ctx), ISB_ERR_ARGUMENT);
}

static void test_environment(void) {
    isb_context *ctx = NULL;
    setenv("ISB_THREADS", "5", 1);
    setenv("ISB_CPU", "ref", 1);
    CHECK_STATUS(create_with(0, NULL, &ctx), ISB_OK);
    CHECK_EQ(isb_context_threads(ctx), 5);
    CHECK(strcmp(isb_context_cpu(ctx), "ref") == 0);
    isb_context_free(ctx);
    CHECK_STATUS(create_with(2, NULL, &ctx), ISB_OK); /* the option wins */
    CHECK_EQ(isb_context_threads(ctx), 2);
    isb_context_free(ctx);
    static const char *const bad_counts[] = {"0", "-2", "two", "4x", "99999999999999999999", " "};
    for (size_t i = 0; i < sizeof bad_counts / sizeof bad_counts[0]; ++i) {
        setenv("ISB_THREADS", bad_counts[i], 1);
        check_refused(0, NULL, ISB_ERR_ARGUMENT, "ISB_THREADS");
    }
    setenv("ISB_THREADS", "", 1); /* as if unset */
    setenv("ISB_CPU", "AVX2", 1);
    check_refused(0, NULL, ISB_ERR_ARGUMENT, "ISB_CPU");
    unsetenv("ISB_CPU");
    unsetenv("ISB_THREADS");
}

static void test_errors(isb_context *ctx) {
    CHECK_STATUS(isb__fail(ctx, ISB_ERR_SHAPE, "expected %d, found %d", 3, 4), ISB_ERR_SHAPE);
    CHECK(strcmp(isb_context_error(ctx), "expected 3, found 4") == 0);
    isb__fail(ctx, ISB_ERR_SHAPE, "layer 2: %s", isb_context_error(ctx)); /* quotes itself */
    CHECK(strcmp(isb_context_error(ctx), "layer 2: expected 3, found 4") == 0);
    char long_text[4096];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    isb__fail(ctx, ISB_ERR_SHAPE, "%s", long_text);
    CHECK_EQ(strlen(isb_context_error(ctx)), ISB__ERROR_NBYTES - 1);
    CHECK_STATUS(isb__fail(NULL, ISB_ERR_SHAPE, "no context"), ISB_ERR_SHAPE);

    static const struct {
        int number;
        isb_status status;
    } map[] = {
        {ENOENT, ISB_ERR_NOT_FOUND},
        {ENOSPC, ISB_ERR_NO_SPACE},
        {EDQUOT, ISB_ERR_NO_SPACE},
        {EFBIG, ISB_ERR_NO_SPACE},
        {EISDIR, ISB_ERR_IS_DIRECTORY},
        {EACCES, ISB_ERR_PERMISSION},
        {EPERM, ISB_ERR_PERMISSION},
        {EROFS, ISB_ERR_PERMISSION},
        {EEXIST, ISB_ERR_EXISTS},
        {ENOMEM, ISB_ERR_NO_MEMORY},
        {EIO, ISB_ERR_IO},
    };
    for (size_t i = 0; i < sizeof map / sizeof map[0]; ++i) {
        CHECK_STATUS(isb__fail_errno(ctx, map[i].number, "cannot open", "some/path"),
                     map[i].status);
        CHECK(strstr(isb_context_error(ctx), "cannot open some/path: ") == isb_context_error(ctx));
    }
    CHECK_STATUS(isb__fail_errno(ctx, EIO, "cannot wait", NULL), ISB_ERR_IO);
    CHECK(strstr(isb_context_error(ctx), "cannot wait: ") == isb_context_error(ctx));
}

static void test_memory(isb_context *ctx) {
    uint8_t *bytes = NULL;
    CHECK_OK(ctx, isb__alloc(ctx, 1000, &bytes));
    CHECK_EQ((uintptr_t)bytes % ISB__ALIGNMENT, 0);
    int n_nonzero = 0;
    for (int i = 0; i < 1000; ++i) n_nonzero += bytes[i] != 0;
    CHECK_EQ(n_nonzero, 0);
    isb__free(ctx, bytes);
    CHECK_OK(ctx, isb__alloc(ctx, 0, &bytes));
    CHECK(bytes != NULL);
    isb__free(ctx, bytes);
    isb__free(ctx, NULL);
    CHECK_OK(ctx, isb__alloc(ctx, 20 << 20, &bytes)); /* the path with huge pages */
    bytes[(20 << 20) - 1] = 1;
    CHECK_EQ((uintptr_t)bytes % ISB__ALIGNMENT, 0);
    isb__free(ctx, bytes);
    CHECK_STATUS(isb__alloc_array(ctx, SIZE_MAX / 4, 8, &bytes), ISB_ERR_NO_MEMORY);
    CHECK(bytes == NULL);
    CHECK_STATUS(isb__alloc_array(ctx, (size_t)1 << 50, 1 << 12, &bytes), ISB_ERR_NO_MEMORY);

    uint32_t *items = NULL;
    size_t capacity = 0;
    for (uint32_t i = 0; i < 1000; ++i) {
        CHECK_OK(ctx, isb__grow_array(ctx, i + 1, sizeof *items, &capacity, &items));
        items[i] = i;
    }
    int n_wrong = 0;
    for (uint32_t i = 0; i < 1000; ++i) n_wrong += items[i] != i;
    CHECK_EQ(n_wrong, 0);
    CHECK(capacity >= 1000 && capacity <= 2048);
    const size_t before = capacity;
    CHECK_STATUS(isb__grow_array(ctx, SIZE_MAX / 2, sizeof *items, &capacity, &items),
                 ISB_ERR_NO_MEMORY);
    CHECK(capacity == before && items[999] == 999);
    isb__free(ctx, items);

    char *copy = NULL;
    CHECK_OK(ctx, isb__strdup(ctx, "text", &copy));
    CHECK(strcmp(copy, "text") == 0);
    isb__free(ctx, copy);
}

static void test_cancel(isb_context *ctx) {
    CHECK_STATUS(isb__check_cancel(ctx), ISB_OK);
    isb_context_cancel(ctx);
    CHECK(isb__cancelled(ctx));
    CHECK_STATUS(isb__check_cancel(ctx), ISB_ERR_CANCELLED);
    isb_context_cancel_clear(ctx);
    CHECK_STATUS(isb__check_cancel(ctx), ISB_OK);
}

static isb_progress last_progress;
static int n_reports;

static void keep_progress(void *user, const isb_progress *progress) {
    (void)user;
    ++n_reports;
    last_progress = *progress;
}

static void test_progress(void) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.progress = keep_progress;
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    isb__progress_state state;
    isb__progress_begin(&state, ctx, "count", "item", 1500);
    isb__progress_resume(&state, 500);
    for (int i = 500; i < 1500; ++i) isb__progress_update(&state, i, NULL);
    CHECK(n_reports >= 1); /* the first one comes at once, the next a tenth of a second later */
    CHECK(strcmp(last_progress.task, "count") == 0 && strcmp(last_progress.unit, "item") == 0);
    CHECK(strcmp(last_progress.note, "") == 0 && !last_progress.finished);
    usleep(20000);
    isb__progress_end(&state, 1500, "note");
    CHECK(last_progress.finished && last_progress.done == 1500 && last_progress.total == 1500);
    CHECK(last_progress.left_s == 0 && last_progress.elapsed_s >= 0.02);
    const double expected = 1000 / last_progress.elapsed_s; /* the 500 before do not count */
    CHECK(last_progress.rate > 0.999 * expected && last_progress.rate < 1.001 * expected);
    isb_context_free(ctx);
}

static void test_build_info(isb_context *ctx) {
    char text[8192], small[16];
    CHECK_OK(ctx, isb_build_info_json(ctx, text, sizeof text));
    json_t *info = json_loads(text, 0, NULL);
    CHECK_FATAL(info != NULL);
    CHECK(strcmp(json_string_value(json_object_get(info, "version")), isb_version()) == 0);
    CHECK_EQ(json_integer_value(json_object_get(info, "threads")), isb_context_threads(ctx));
    CHECK(json_integer_value(json_object_get(info, "memory_bytes")) > 1 << 20);
    json_t *cpu = json_object_get(info, "cpu");
    CHECK(strcmp(json_string_value(json_object_get(cpu, "tier_used")), isb_context_cpu(ctx)) == 0);
    CHECK(json_string_length(json_object_get(cpu, "model")) > 0);
    CHECK(json_is_boolean(json_object_get(json_object_get(info, "cuda"), "built")));
    CHECK(json_is_boolean(json_object_get(json_object_get(info, "mpi"), "built")));
    json_decref(info);
    CHECK_OK(ctx, isb_build_info_json(ctx, text, strlen(text) + 1));
    CHECK_STATUS(isb_build_info_json(ctx, text, strlen(text)), ISB_ERR_BUFFER_SIZE);
    CHECK_STATUS(isb_build_info_json(ctx, small, 0), ISB_ERR_BUFFER_SIZE);
}

static void test_cpu_names(void) {
    isb__cpu_tier tier = ISB__CPU_REF;
    for (int i = ISB__CPU_REF; i <= ISB__CPU_AMX; ++i) {
        CHECK(isb__cpu_tier_parse(isb__cpu_tier_name((isb__cpu_tier)i), &tier));
        CHECK_EQ(tier, i);
    }
    CHECK(!isb__cpu_tier_parse("", &tier));
    CHECK(!isb__cpu_tier_parse("avx", &tier));
    CHECK_EQ(isb__cpu_detect(), isb__cpu_detect());
    if (isb__cpu_detect() < ISB__CPU_AVX512X) CHECK(!isb__cpu_bf16_dot_is_fast());
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    unsetenv("ISB_CPU");
    unsetenv("ISB_THREADS");
    CHECK(strlen(isb_version()) >= 5);
    test_cpu_names();
    test_options();
    test_struct_size();
    test_environment();
    test_progress();
    isb_context *ctx = NULL;
    CHECK_FATAL(create_with(2, NULL, &ctx) == ISB_OK);
    test_errors(ctx);
    test_memory(ctx);
    test_cancel(ctx);
    test_build_info(ctx);
    n_logs = 0;
    isb__log(ctx, ISB_LOG_INFO, "%d items", 7);
    CHECK(n_logs == 1 && strcmp(last_log, "7 items") == 0);
    isb_context_free(ctx);
    return check_end();
}
