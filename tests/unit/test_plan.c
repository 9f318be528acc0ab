/* Plans: alignment, zeroing, empty regions, overflow, the first failure kept, red zones in
 * sanitizer builds. */
#include "base/plan.h"
#include "check.h"
#include "fail_alloc.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

static void test_layout(isb_context *ctx) {
    float *a = NULL, *c = NULL;
    uint8_t *b = NULL, *none = (uint8_t *)&a;
    void *block = NULL;
    isb__plan plan;
    isb__plan_begin(&plan, ctx);
    CHECK_EQ(isb__plan_nbytes(&plan), 0);
    isb__plan_add(&plan, "a", 10 * sizeof *a, &a);
    isb__plan_add(&plan, "b", 1, &b);
    isb__plan_add(&plan, "none", 0, &none);
    isb__plan_add(&plan, "c", 64, &c);
    const size_t total = isb__plan_nbytes(&plan);
    CHECK(total >= 3 * 64);
    CHECK_OK(ctx, isb__plan_commit(&plan, &block));
    CHECK(none == NULL && (void *)a == block && b > (uint8_t *)a && (uint8_t *)c > b);
    CHECK_EQ((uintptr_t)a % 64 + (uintptr_t)b % 64 + (uintptr_t)c % 64, 0);
    CHECK((uint8_t *)c + 64 <= (uint8_t *)block + total);
    for (int i = 0; i < 10; ++i) CHECK(a[i] == 0);
    CHECK(b[0] == 0 && c[15] == 0);
#ifdef WITH_ASAN
    CHECK(__asan_address_is_poisoned((uint8_t *)a + 40) &&
          __asan_address_is_poisoned((uint8_t *)a + 64));
    CHECK(!__asan_address_is_poisoned((uint8_t *)a + 39) && !__asan_address_is_poisoned(b));
    CHECK(__asan_address_is_poisoned(b + 1) && __asan_address_is_poisoned((uint8_t *)c + 64));
#endif
    isb__free(ctx, block);
}

static void test_many(isb_context *ctx) {
    enum { N = 1000 };
    static uint32_t *pointers[N];
    void *block = NULL;
    isb__plan plan;
    isb__plan_begin(&plan, ctx);
    for (uint32_t i = 0; i < N; ++i)
        isb__plan_add(&plan, "item", (i % 50 + 1) * sizeof(uint32_t), &pointers[i]);
    CHECK_OK(ctx, isb__plan_commit(&plan, &block));
    for (uint32_t i = 0; i < N; ++i) {
        for (uint32_t j = 0; j <= i % 50; ++j) pointers[i][j] = i;
    }
    int n_wrong = 0;
    for (uint32_t i = 0; i < N; ++i) {
        for (uint32_t j = 0; j <= i % 50; ++j) n_wrong += pointers[i][j] != i;
    }
    CHECK_EQ(n_wrong, 0);
    isb__free(ctx, block);
}

static void test_overflow(isb_context *ctx) {
    uint8_t *a = NULL, *b = NULL;
    void *block = &a;
    isb__plan plan;
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 100, (size_t)PTRDIFF_MAX};
    for (size_t i = 0; i < 3; ++i) {
        isb__plan_begin(&plan, ctx);
        isb__plan_add(&plan, "fine", 1000, &a);
        isb__plan_add(&plan, "monster", sizes[i], &b);
        isb__plan_add(&plan, "after", 8, &b);
        CHECK_STATUS(isb__plan_commit(&plan, &block), ISB_ERR_NO_MEMORY);
        CHECK(block == NULL && a == NULL && strstr(isb_context_error(ctx), "monster"));
    }
    isb__plan_begin(&plan, ctx); /* each fits, the sum does not */
    isb__plan_add(&plan, "half", PTRDIFF_MAX / 2, &a);
    isb__plan_add(&plan, "other half", PTRDIFF_MAX / 2 + 1, &b);
    CHECK_STATUS(isb__plan_commit(&plan, &block), ISB_ERR_NO_MEMORY);
    CHECK(strstr(isb_context_error(ctx), "other half") != NULL);
    isb__plan_begin(&plan, ctx); /* addressable, but not on this machine */
    isb__plan_add(&plan, "small", 64, &a);
    isb__plan_add(&plan, "huge", PTRDIFF_MAX / 4, &b);
    CHECK_STATUS(isb__plan_commit(&plan, &block), ISB_ERR_NO_MEMORY);
    CHECK(strstr(isb_context_error(ctx), "huge") != NULL);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    fail_alloc hooks;
    isb_context_options options;
    isb_context_options_init(&options);
    fail_alloc_install(&hooks, &options);
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    test_layout(ctx);
    test_many(ctx);
    test_overflow(ctx);
    void *block = NULL;
    isb__plan plan;
    isb__plan_begin(&plan, ctx); /* an empty plan is a plan */
    CHECK_OK(ctx, isb__plan_commit(&plan, &block));
    isb__free(ctx, block);
    uint8_t *a = NULL;
    isb__plan_begin(&plan, ctx);
    isb__plan_add(&plan, "a", 100, &a);
    isb__plan_cancel(&plan);
    CHECK(a == NULL);
    isb_context_free(ctx);
    CHECK_EQ(atomic_load(&hooks.n_live), 0);
    return check_end();
}
