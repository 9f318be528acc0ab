/* Training rows against a naive model of the ring: every id is a target exactly once an epoch, rows
 * are what the ring says, any position can be had alone, and cuts change inputs and starts only. */
#include "base/rng.h"
#include "check.h"
#include "data/dataset.h"
#include "temp_dir.h"

static isb_context *ctx;

enum { N_CODES = 1000, MASKED = -1 };

typedef struct ring {
    int32_t ids[20000];
    size_t n;
} ring;

/* Documents of random lengths, empty ones among them; every id tells its own place. */
static isb__dataset *make_dataset(isb__rng *rng, size_t n_documents, size_t longest, ring *r) {
    isb__dataset_writer *writer = NULL;
    isb__dataset *dataset = NULL;
    CHECK_OK(ctx,
             isb__dataset_writer_open(
                 ctx, temp_path("d"),
                 &(isb_dataset_info){.tokenizer = "test", .n_codes = N_CODES, .n_ids = N_CODES + 1},
                 NULL, &writer));
    r->n = 0;
    for (size_t d = 0; d < n_documents; ++d) {
        uint32_t ids[1024];
        const size_t count = d == 0 ? longest : isb__rng_below(rng, longest + 1);
        r->ids[r->n++] = N_CODES;
        for (size_t i = 0; i < count; ++i)
            r->ids[r->n++] = ids[i] = (uint32_t)isb__rng_below(rng, N_CODES);
        CHECK_OK(ctx, isb__dataset_writer_add(writer, ids, count, count));
    }
    CHECK_OK(ctx, isb__dataset_writer_commit(writer));
    CHECK_OK(ctx, isb__dataset_open(ctx, temp_path("d"), &dataset));
    return dataset;
}

typedef struct rows {
    int32_t *inputs, *targets, *starts;
    size_t B, T;
} rows;

static rows make_rows(size_t B, size_t T) {
    return (rows){malloc(B * T * 4), malloc(B * T * 4), malloc(B * T * 4), B, T};
}
static void free_rows(rows *r) {
    free(r->inputs);
    free(r->targets);
    free(r->starts);
}
static void fill(const isb__loader *loader, uint64_t position, rows *r) {
    isb__loader_fill(loader, position, r->inputs, r->targets, r->starts);
}

/* A step of the ring as one number, to compare what an epoch's rows hold with the ring, whatever
 * the order. */
static uint64_t step(int32_t input, int32_t target) {
    return (uint64_t)(uint32_t)input << 32 | (uint32_t)target;
}

static int compare_steps(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void check_row_starts(const rows *r, size_t row, int isolate) {
    int32_t start = 0;
    for (size_t t = 0; t < r->T; ++t) {
        if (isolate && r->inputs[row * r->T + t] == N_CODES) start = (int32_t)t;
        CHECK_EQ(r->starts[row * r->T + t], start);
    }
}

/* One epoch, row by row: each row is a chain, all steps of the ring are there once, and the rest is
 * padding. */
static void check_epoch(const ring *g, const isb__loader *loader, uint64_t epoch, size_t T,
                        int isolate) {
    const uint64_t n_rows = isb__loader_rows_per_epoch(loader);
    uint64_t *found = malloc(n_rows * T * 8), *expected = malloc(g->n * 8);
    rows r = make_rows(1, T);
    size_t n_found = 0;
    for (uint64_t i = 0; i < n_rows; ++i) {
        fill(loader, epoch * n_rows + i, &r);
        size_t n = 0;
        while (n < T && r.targets[n] != MASKED) ++n;
        for (size_t t = 0; t + 1 < n; ++t) CHECK_EQ(r.inputs[t + 1], r.targets[t]);
        for (size_t t = 0; t < n; ++t) found[n_found++] = step(r.inputs[t], r.targets[t]);
        for (size_t t = n; t < T; ++t) CHECK(r.targets[t] == MASKED && r.inputs[t] == N_CODES);
        check_row_starts(&r, 0, isolate);
    }
    for (size_t i = 0; i < g->n; ++i) expected[i] = step(g->ids[i], g->ids[(i + 1) % g->n]);
    qsort(found, n_found, 8, compare_steps);
    qsort(expected, g->n, 8, compare_steps);
    CHECK_EQ(n_found, g->n);
    CHECK(n_found == g->n && memcmp(found, expected, g->n * 8) == 0);
    free_rows(&r);
    free(found);
    free(expected);
}

static void test_epochs(isb__rng *rng) {
    static ring g;
    const size_t shapes[][3] = {{1, 1, 4},    {1, 5, 16},    {3, 4, 8},    {10, 30, 7},
                                {40, 60, 64}, {200, 20, 33}, {5, 900, 128}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; ++s) {
        isb__dataset *dataset = make_dataset(rng, shapes[s][0], shapes[s][1], &g);
        for (int isolate = 0; isolate < 2; ++isolate) {
            const isb__loader_options options = {
                .B = 1, .T = shapes[s][2], .seed = s, .isolate_documents = isolate};
            isb__loader *loader = NULL;
            CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &loader));
            CHECK_EQ(isb__loader_rows_per_epoch(loader), (g.n + options.T - 1) / options.T);
            for (uint64_t epoch = 0; epoch < 3; ++epoch)
                check_epoch(&g, loader, epoch, options.T, isolate);
            isb__loader_free(loader);
        }
        isb__dataset_close(dataset);
    }
}

static int same(const rows *a, size_t row_a, const rows *b, size_t row_b) {
    const size_t nbytes = a->T * 4, from_a = row_a * a->T, from_b = row_b * b->T;
    return memcmp(a->inputs + from_a, b->inputs + from_b, nbytes) == 0 &&
           memcmp(a->targets + from_a, b->targets + from_b, nbytes) == 0 &&
           memcmp(a->starts + from_a, b->starts + from_b, nbytes) == 0;
}

/* Row number B * position + b does not depend on B, nor on what was read before; seeds and epochs
 * differ. */
static void test_positions(isb__rng *rng) {
    static ring g;
    enum { T = 32, N = 200 };
    isb__dataset *dataset = make_dataset(rng, 50, 100, &g);
    isb__loader_options options = {
        .B = 1, .T = T, .seed = 7, .isolate_documents = 1, .cut_share = 0.5, .cut_min = 4};
    isb__loader *one = NULL, *five = NULL, *other = NULL;
    CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &one));
    options.B = 5;
    CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &five));
    options.B = 1, options.seed = 8;
    CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &other));
    rows a = make_rows(1, T), b = make_rows(5, T), c = make_rows(1, T);
    size_t n_other = 0, n_next = 0;
    for (uint64_t row = N; row-- > 0;) { /* backwards: no state */
        fill(one, row, &a);
        fill(five, row / 5, &b);
        CHECK(same(&a, 0, &b, row % 5));
        fill(other, row, &c);
        n_other += !same(&a, 0, &c, 0);
        fill(one, row + isb__loader_rows_per_epoch(one), &c);
        n_next += !same(&a, 0, &c, 0);
    }
    CHECK(n_other > N * 9 / 10 && n_next > N * 9 / 10);
    isb__loader_free(one);
    isb__loader_free(five);
    isb__loader_free(other);
    free_rows(&a);
    free_rows(&b);
    free_rows(&c);
    isb__dataset_close(dataset);
}

/* Cut rows against uncut ones of the same loader otherwise. */
static void test_cuts(isb__rng *rng) {
    static ring g;
    enum { T = 64, N = 400 };
    isb__dataset *dataset = make_dataset(rng, 60, 300, &g);
    for (int isolate = 0; isolate < 2; ++isolate) {
        isb__loader_options options = {.B = 1, .T = T, .seed = 3, .isolate_documents = isolate};
        isb__loader *plain = NULL, *cut = NULL;
        CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &plain));
        options.cut_share = 0.7, options.cut_min = 2;
        CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &cut));
        rows a = make_rows(1, T), b = make_rows(1, T);
        size_t n_cut_rows = 0, n_cuts = 0;
        for (uint64_t row = 0; row < N; ++row) {
            fill(plain, row, &a);
            fill(cut, row, &b);
            CHECK(memcmp(a.targets, b.targets, T * 4) == 0); /* no id is lost */
            int32_t start = 0;
            size_t in_row = 0;
            for (int32_t t = 0; t < T; ++t) {
                const int is_cut = a.inputs[t] != b.inputs[t];
                const int restarts = isolate && a.inputs[t] == N_CODES;
                if (is_cut)
                    CHECK(b.inputs[t] == N_CODES && b.targets[t] >= 0 && b.targets[t] != N_CODES);
                if (is_cut || restarts) start = t;
                /* A cut may fall on a boundary, whose input is the same: only the start tells. */
                if (!isolate && a.inputs[t] == N_CODES && b.starts[t] == t) start = t;
                CHECK_EQ(b.starts[t], start);
                in_row += (size_t)is_cut;
            }
            n_cut_rows += in_row > 0;
            n_cuts += in_row;
        }
        CHECK(n_cut_rows > N / 2 && n_cut_rows < N * 8 / 10);
        CHECK(n_cuts > N && n_cuts < N * T / 4);
        isb__loader_free(plain);
        isb__loader_free(cut);
        free_rows(&a);
        free_rows(&b);
    }
    isb__dataset_close(dataset);
}

static void test_refusals(isb__rng *rng) {
    static ring g;
    isb__dataset *dataset = make_dataset(rng, 2, 10, &g);
    const isb__loader_options bad[] = {
        {.B = 0, .T = 4},
        {.B = 1, .T = 0},
        {.B = SIZE_MAX / 2, .T = 16},
        {.B = 1, .T = 4, .cut_share = 1.5},
        {.B = 1, .T = 4, .cut_share = -1},
        {.B = 1, .T = 4, .cut_share = 0.5, .cut_min = 5},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        isb__loader *loader = NULL;
        CHECK_STATUS(isb__loader_create(ctx, dataset, &bad[i], &loader), ISB_ERR_RANGE);
        CHECK(loader == NULL);
    }
    isb__dataset_close(dataset);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    temp_dir_begin();
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    test_epochs(&rng);
    test_positions(&rng);
    test_cuts(&rng);
    test_refusals(&rng);
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
