/* The test framework: CHECK macros that print what differed, and a seed that every run prints and accepts.
 *
 *     int main(int argc, char **argv) {
 *         const uint64_t seed = check_begin(argc, argv);
 *         CHECK(1 + 1 == 2);
 *         CHECK_EQ(size, 3);
 *         CHECK_OK(ctx, isb_model_load(ctx, "dir", &model));
 *         return check_end();
 *     }
 *
 * A failed CHECK is counted and the test goes on; CHECK_FATAL stops. */
#ifndef ISB_TESTS_CHECK_H
#define ISB_TESTS_CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <isobit/context.h>

static int check_failures, check_count;

static inline uint64_t check_begin(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20240403u;
    const char *text = getenv("ISB_TEST_SEED");
    if (text) seed = strtoull(text, NULL, 0);
    printf("seed %" PRIu64 "\n", seed);
    return seed;
}
static inline int check_end(void) {
    printf("%d checks, %d failed\n", check_count, check_failures);
    return check_failures != 0 || check_count == 0;
}
static inline void check_report(int ok, const char *file, int line, const char *what,
                                const char *detail) {
    ++check_count;
    if (ok) return;
    if (++check_failures <= 50)
        printf("%s:%d: failed: %s%s%s\n", file, line, what, *detail ? ": " : "", detail);
    fflush(stdout);
}

#define CHECK(condition) check_report(!!(condition), __FILE__, __LINE__, #condition, "")
#define CHECK_FATAL(condition)                                      \
    do {                                                            \
        const int check_ok = !!(condition);                         \
        check_report(check_ok, __FILE__, __LINE__, #condition, ""); \
        if (!check_ok) exit(check_end());                           \
    } while (0)
#define CHECK_EQ(actual, expected)                                                             \
    do {                                                                                       \
        const int64_t check_a = (int64_t)(actual), check_b = (int64_t)(expected);              \
        char check_text[96];                                                                   \
        snprintf(check_text, sizeof check_text, "got %" PRId64 ", expected %" PRId64, check_a, \
                 check_b);                                                                     \
        check_report(check_a == check_b, __FILE__, __LINE__, #actual " == " #expected,         \
                     check_text);                                                              \
    } while (0)
#define CHECK_OK(ctx, call)                                            \
    do {                                                               \
        const isb_status check_s = (call);                             \
        check_report(check_s == ISB_OK, __FILE__, __LINE__, #call,     \
                     check_s == ISB_OK ? "" : isb_context_error(ctx)); \
        if (check_s != ISB_OK) exit(check_end());                      \
    } while (0)
#define CHECK_STATUS(call, expected)                                                       \
    do {                                                                                   \
        const isb_status check_s = (call);                                                 \
        check_report(check_s == (expected), __FILE__, __LINE__, #call " gives " #expected, \
                     isb_status_name(check_s));                                            \
    } while (0)

#endif
