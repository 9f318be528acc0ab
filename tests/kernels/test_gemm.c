/* Every matrix kernel this machine has, one panel product at a time: packing and micro kernel, against the fmaf chain
 * that defines the exact class (bit for bit) or a sum in double over rounded operands (close class). */
#include <math.h>

#include "base/context.h"
#include "check.h"
#include "guard.h"
#include "kernels/ops.h"

enum { ROUNDS = 400, LDC_GAP = 5 };

/* A source of an operand: `extent` rows of A (or columns of B) by k. */
typedef struct operand {
    guard buffer;
    const float *data;
    ptrdiff_t stride, k_stride;
} operand;

static operand operand_make(isb__rng *rng, size_t extent, size_t k) {
    operand x;
    const size_t gap = random_size(rng, 0, 3);
    switch (isb__rng_below(rng, 3)) {
    case 0: x.stride = (ptrdiff_t)(k + gap), x.k_stride = 1; break;
    case 1: x.stride = 1, x.k_stride = (ptrdiff_t)(extent + gap); break;
    default: x.stride = 2, x.k_stride = (ptrdiff_t)(2 * extent + gap); break;
    }
    const size_t n = (extent - 1) * (size_t)x.stride + (k - 1) * (size_t)x.k_stride + 1;
    x.buffer = guard_alloc(n * sizeof(float));
    random_floats(rng, n, x.buffer.data);
    x.data = x.buffer.data;
    return x;
}

static float operand_at(const operand *x, size_t i, size_t k) {
    return x->data[(ptrdiff_t)i * x->stride + (ptrdiff_t)k * x->k_stride];
}

static int is_exact(const isb__gemm_kernel *kernel) {
    return kernel->element_nbytes == sizeof(float);
}

/* One element against its definition. */
static int element_is_right(const isb__gemm_kernel *kernel, const operand *a, const operand *b,
                            size_t i, size_t j, size_t k, float start, float got) {
    if (is_exact(kernel)) {
        float expected = start;
        for (size_t p = 0; p < k; ++p)
            expected = fmaf(operand_at(a, i, p), operand_at(b, j, p), expected);
        return memcmp(&expected, &got, sizeof got) == 0;
    }
    double expected = (double)start, size = fabs((double)start);
    for (size_t p = 0; p < k; ++p) {
        const double product =
            (double)round_bf16(operand_at(a, i, p)) * (double)round_bf16(operand_at(b, j, p));
        expected += product;
        size += fabs(product);
    }
    /* Each of at most k + 32 sums rounds once more than once a pair: 2^-24 relative to a partial sum <= size. */
    return fabs((double)got - expected) <= (double)(k + 32) * 0x1p-23 * size;
}

static void report(const isb__gemm_kernel *kernel, size_t m, size_t n, size_t k, int accumulate,
                   const char *what) {
    char detail[160];
    snprintf(detail, sizeof detail, "%s m %zu n %zu k %zu accumulate %d", kernel->name, m, n, k,
             accumulate);
    check_report(what == NULL, __FILE__, __LINE__, what ? what : "panel product", detail);
}

/* C[m, n] (+)= A B, k in two blocks when it can be split, all buffers against guard pages. */
static void test_panel(const isb__gemm_kernel *kernel, isb__rng *rng) {
    const size_t m = random_size(rng, 1, kernel->mr), n = random_size(rng, 1, kernel->nr);
    const size_t k = random_size(rng, 1, isb__rng_below(rng, 8) ? 100 : 700);
    const size_t k1 = k > kernel->kr ? random_size(rng, 0, k / kernel->kr) * kernel->kr : 0;
    const int accumulate = (int)isb__rng_below(rng, 2);
    const size_t ldc = n + random_size(rng, 0, LDC_GAP), c_size = (m - 1) * ldc + n;
    operand a = operand_make(rng, m, k), b = operand_make(rng, n, k);
    guard c = guard_alloc(c_size * sizeof(float)), before = guard_alloc(c_size * sizeof(float));
    random_floats(rng, c_size, c.data);
    memcpy(before.data, c.data, c_size * sizeof(float));
    if (kernel->begin) kernel->begin();
    for (int part = 0; part < 2; ++part) {
        const size_t from = part ? k1 : 0, count = part ? k - k1 : k1;
        if (count == 0) continue;
        guard a_panel = guard_alloc(isb__a_panel_nbytes(kernel, count));
        guard b_panel = guard_alloc(isb__b_panel_nbytes(kernel, count));
        kernel->pack_a(m, count, a.data + (ptrdiff_t)from * a.k_stride, a.stride, a.k_stride,
                       a_panel.data);
        kernel->pack_b(count, n, b.data + (ptrdiff_t)from * b.k_stride, b.k_stride, b.stride,
                       b_panel.data);
        kernel->micro(m, n, isb__round_up(count, kernel->kr), a_panel.data, b_panel.data, c.data,
                      ldc, accumulate || from > 0);
        guard_free(&a_panel);
        guard_free(&b_panel);
    }
    if (kernel->end) kernel->end();
    const float *got = c.data, *old = before.data;
    const char *wrong = NULL;
    for (size_t at = 0; at < c_size && !wrong; ++at) {
        const size_t i = at / ldc, j = at % ldc;
        if (j >= n) {
            if (memcmp(&got[at], &old[at], sizeof *got) != 0) wrong = "written between rows of C";
        } else if (!element_is_right(kernel, &a, &b, i, j, k, accumulate ? old[at] : 0.0f,
                                     got[at])) {
            wrong = "wrong element";
        }
    }
    report(kernel, m, n, k, accumulate, wrong);
    guard_free(&a.buffer);
    guard_free(&b.buffer);
    guard_free(&c);
    guard_free(&before);
}

/* A short panel is padded with zeros to mr x kr (nr x kr), whatever was there. */
static void test_padding(const isb__gemm_kernel *kernel) {
    const float one = 1;
    const size_t a_nbytes = isb__a_panel_nbytes(kernel, 1),
                 b_nbytes = isb__b_panel_nbytes(kernel, 1);
    guard a = guard_alloc(a_nbytes), b = guard_alloc(b_nbytes);
    kernel->pack_a(1, 1, &one, 1, 1, a.data);
    kernel->pack_b(1, 1, &one, 1, 1, b.data);
    size_t a_set = 0, b_set = 0;
    for (size_t i = 0; i < a_nbytes; ++i) a_set += ((const uint8_t *)a.data)[i] != 0;
    for (size_t i = 0; i < b_nbytes; ++i) b_set += ((const uint8_t *)b.data)[i] != 0;
    CHECK_EQ(a_set, 2); /* 1.0 is 3f80 0000 or 3f80 */
    CHECK_EQ(b_set, 2);
    guard_free(&a);
    guard_free(&b);
}

static void test_blocks(const isb__gemm_kernel *kernel) {
    CHECK(kernel->mc % kernel->mr == 0 && kernel->nc % kernel->nr == 0 &&
          kernel->kc % kernel->kr == 0);
    CHECK(kernel->mc > 0 && kernel->nc > 0 && kernel->kc > 0);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    const isb__cpu_tier best = isb__cpu_detect();
    const isb__gemm_kernel *kernel;
    isb__cpu_tier needed;
    for (size_t i = 0; (kernel = isb__gemm_kernel_at(i, &needed)) != NULL; ++i) {
        test_blocks(kernel);
        if (needed > best) {
            printf("%s: not on this processor (%s)\n", kernel->name, isb__cpu_tier_name(best));
            continue;
        }
        printf("%s\n", kernel->name);
        test_padding(kernel);
        for (int round = 0; round < ROUNDS; ++round) test_panel(kernel, &rng);
    }
    for (int tier = 0; tier <= (int)best; ++tier) {
        const isb__ops *ops = isb__ops_for((isb__cpu_tier)tier);
        CHECK(strcmp(ops->tier, isb__cpu_tier_name((isb__cpu_tier)tier)) == 0);
        CHECK(is_exact(ops->gemm_exact));
    }
    return check_end();
}
