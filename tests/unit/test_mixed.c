/* Two views of a dataset: rows of tokens and of raw bytes against a naive model of the two rings, in
 * any order of access, with the share of rows that was asked for; and what does not fit is refused. */
#include <isobit/codebook.h>

#include <math.h>
#include <unistd.h>

#include "base/rng.h"
#include "check.h"
#include "data/dataset.h"
#include "data/dataset_meta.h"
#include "temp_dir.h"

static isb_context *ctx;
static isb_codebook *codebook;
static isb__id_strings strings;
static isb_dataset_info what;

enum { MOST = 200000 };
typedef struct ring {
    int32_t ids[MOST];
    size_t n;
} ring;
static ring tokens, bytes;

static void make_codebook(void) {
    static const char *const list[] = {"the ", "and ", "in", "a long string of words", "th", "\n\n"};
    isb_codebook_text texts[6];
    for (int i = 0; i < 6; ++i)
        texts[i] = (isb_codebook_text){(const uint8_t *)list[i], strlen(list[i])};
    CHECK_OK(ctx, isb_codebook_create(ctx, texts, 6, NULL, &codebook));
    CHECK_OK(ctx, isb__id_strings_of_codebook(ctx, codebook, &strings));
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(codebook, &info);
    what = (isb_dataset_info){.n_codes = info.n_codes,
                              .n_ids = info.n_ids + ISB__RAW_IDS,
                              .first_byte_id = info.n_ids,
                              .tokenizer = "codebook:test"};
}

static void push(ring *r, int64_t id) {
    CHECK_FATAL(r->n < MOST);
    r->ids[r->n++] = (int32_t)id;
}

/* Random ids, which need not be what encoding would give; documents of 0 to `longest`. */
static isb__dataset *make_dataset(isb__rng *rng, const char *name, size_t n_documents,
                                  size_t longest) {
    isb__dataset_writer *writer = NULL;
    isb__dataset *dataset = NULL;
    CHECK_OK(ctx, isb__dataset_writer_open(ctx, temp_path(name), &what, &strings, &writer));
    tokens.n = bytes.n = 0;
    for (size_t d = 0; d < n_documents; ++d) {
        static uint32_t ids[20000];
        const size_t count = d == 1 ? longest : isb__rng_below(rng, longest + 1);
        uint64_t nbytes = 0;
        push(&tokens, what.n_codes);
        push(&tokens, what.first_byte_id + 256);
        push(&bytes, what.n_codes);
        push(&bytes, what.first_byte_id + 257);
        for (size_t i = 0; i < count; ++i) {
            const uint8_t *string;
            size_t n;
            ids[i] = (uint32_t)isb__rng_below(rng, (uint64_t)what.n_codes);
            push(&tokens, ids[i]);
            isb_codebook_string(codebook, ids[i], &string, &n);
            for (size_t k = 0; k < n; ++k) push(&bytes, what.first_byte_id + string[k]);
            nbytes += n;
        }
        CHECK_OK(ctx, isb__dataset_writer_add(writer, ids, count, nbytes));
    }
    CHECK_OK(ctx, isb__dataset_writer_commit(writer));
    CHECK_OK(ctx, isb__dataset_open(ctx, temp_path(name), &dataset));
    return dataset;
}

static uint64_t step(int32_t input, int32_t target) {
    return (uint64_t)(uint32_t)input << 32 | (uint32_t)target;
}

static int compare_steps(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int is_marker(int32_t id) {
    return id == what.first_byte_id + 256 || id == what.first_byte_id + 257;
}

/* Every step of the ring once, but for those to a marker, which are masked. */
static void check_steps(const ring *r, uint64_t *found, size_t n_found) {
    uint64_t *expected = malloc(r->n * 8);
    size_t n = 0;
    for (size_t i = 0; i < r->n; ++i) {
        const int32_t target = r->ids[(i + 1) % r->n];
        if (!is_marker(target)) expected[n++] = step(r->ids[i], target);
    }
    qsort(found, n_found, 8, compare_steps);
    qsort(expected, n, 8, compare_steps);
    CHECK_EQ(n_found, n);
    CHECK(n_found == n && memcmp(found, expected, n * 8) == 0);
    free(expected);
}

static int is_raw_row(const int32_t *inputs, const int32_t *targets, size_t T) {
    for (size_t t = 0; t < T; ++t) {
        if (inputs[t] == what.first_byte_id + 256) return 0;
        if (inputs[t] >= what.first_byte_id) return 1;
        if (inputs[t] < what.n_codes) return 0;
        if (targets[t] >= 0 && targets[t] != what.n_codes) return targets[t] >= what.first_byte_id;
    }
    return 0; /* boundaries alone */
}

/* One epoch of both views: rows are read until each view has had its own number. */
static void check_epoch(const isb__dataset *dataset, double share, size_t T) {
    isb__loader *loader = NULL;
    const isb__loader_options options = {.B = 1, .T = T, .seed = 5, .isolate_documents = 1,
                                         .raw_share = share, .strings = &strings};
    CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &loader));
    const uint64_t n_rows[] = {(tokens.n - 1) / T + 1, share > 0 ? (bytes.n - 1) / T + 1 : 0};
    CHECK_EQ(isb__loader_rows_per_epoch(loader), n_rows[0]);
    int32_t inputs[300], targets[300], starts[300];
    uint64_t *found[] = {malloc(MOST * 8), malloc(MOST * 8)};
    uint64_t seen[2] = {0, 0}, row = 0;
    size_t n_found[2] = {0, 0};
    for (; seen[0] < n_rows[0] || seen[1] < n_rows[1]; ++row) {
        isb__loader_fill(loader, row, inputs, targets, starts);
        const int raw = is_raw_row(inputs, targets, T);
        if (seen[raw]++ >= n_rows[raw]) continue; /* of the next epoch */
        for (size_t t = 0; t < T; ++t) {
            if (targets[t] >= 0) found[raw][n_found[raw]++] = step(inputs[t], targets[t]);
            CHECK(!is_marker(targets[t]));
        }
    }
    check_steps(&tokens, found[0], n_found[0]);
    if (share > 0) check_steps(&bytes, found[1], n_found[1]);
    CHECK(fabs((double)seen[1] - share * (double)row) < 1 + (double)row / 65536);
    free(found[0]);
    free(found[1]);
    isb__loader_free(loader);
}

static void test_epochs(isb__rng *rng) {
    isb__dataset *dataset = make_dataset(rng, "a", 40, 90);
    static const double shares[] = {0, 0.1, 0.5, 0.83};
    for (size_t i = 0; i < 4; ++i) {
        check_epoch(dataset, shares[i], 16);
        check_epoch(dataset, shares[i], 33);
    }
    isb__dataset_close(dataset);
    dataset = make_dataset(rng, "b", 4, 15000); /* documents of several anchors */
    check_epoch(dataset, 0.5, 300);
    isb__dataset_close(dataset);
}

/* Any row in any order and batch; bytes at any place. */
static void test_access(isb__rng *rng) {
    enum { T = 40, N = 300 };
    isb__dataset *dataset = make_dataset(rng, "c", 30, 9000);
    isb__loader_options options = {.B = 1, .T = T, .seed = 3, .isolate_documents = 1,
                                   .raw_share = 0.3, .strings = &strings};
    isb__loader *one = NULL, *four = NULL;
    CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &one));
    options.B = 4;
    CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &four));
    for (uint64_t row = N; row-- > 0;) {
        int32_t a[3][T], b[3][4 * T];
        isb__loader_fill(one, row, a[0], a[1], a[2]);
        isb__loader_fill(four, row / 4, b[0], b[1], b[2]);
        for (int i = 0; i < 3; ++i) CHECK(memcmp(a[i], b[i] + row % 4 * T, sizeof a[i]) == 0);
    }
    isb__loader_free(one);
    isb__loader_free(four);
    for (size_t d = 0, begin = 2; d < dataset->info.n_documents; ++d) {
        const size_t n = (size_t)(dataset->raw_starts[d + 1] - dataset->raw_starts[d]);
        int32_t *all = NULL, some[64];
        size_t capacity = 0, count;
        CHECK_OK(ctx, isb__dataset_decode_raw(dataset, &strings, what.first_byte_id, d, &capacity,
                                              &all, &count));
        CHECK_EQ(count, n);
        CHECK(n == 0 || memcmp(all, bytes.ids + begin, n * sizeof *all) == 0);
        for (int k = 0; k < 20 && n > 0; ++k) {
            const size_t from = isb__rng_below(rng, n), left = n - from,
                         take = left < 64 ? left : 64;
            isb__dataset_read_raw(dataset, &strings, d, from, take, some);
            CHECK(memcmp(some, bytes.ids + begin + from, take * sizeof *some) == 0);
        }
        isb__free(ctx, all);
        begin += n + 2;
    }
    isb__dataset_close(dataset);
}

static void test_refusals(isb__rng *rng) {
    isb__dataset *dataset = make_dataset(rng, "d", 5, 50);
    isb__loader *loader = NULL;
    isb__loader_options options = {.B = 1, .T = 8, .raw_share = 1.5, .strings = &strings};
    CHECK_STATUS(isb__loader_create(ctx, dataset, &options, &loader), ISB_ERR_RANGE);
    options.raw_share = 0.5, options.cut_share = 0.5;
    CHECK_STATUS(isb__loader_create(ctx, dataset, &options, &loader), ISB_ERR_MISMATCH);
    isb__dataset_close(dataset);

    /* The table is cut short, changed, or of another dataset. */
    uint8_t *table;
    size_t n;
    char path[1100];
    snprintf(path, sizeof path, "%s", temp_path("d.raw"));
    CHECK_OK(ctx, isb__file_read(ctx, path, 1 << 20, &table, &n));
    for (size_t at = 0; at < n; at += 5) {
        table[at] ^= 4;
        temp_write("d.raw", table, n);
        CHECK_STATUS(isb__dataset_open(ctx, temp_path("d"), &dataset), ISB_ERR_CORRUPT);
        table[at] ^= 4;
    }
    temp_write("d.raw", table, n - 8);
    CHECK_STATUS(isb__dataset_open(ctx, temp_path("d"), &dataset), ISB_ERR_CORRUPT);
    isb__free(ctx, table);

    /* Bytes that the ids do not decode to. */
    isb__dataset_writer *writer = NULL;
    const uint32_t id = 1;
    CHECK_OK(ctx, isb__dataset_writer_open(ctx, temp_path("e"), &what, &strings, &writer));
    CHECK_OK(ctx, isb__dataset_writer_add(writer, &id, 1, 77));
    CHECK_STATUS(isb__dataset_writer_commit(writer), ISB_ERR_CORRUPT);

    /* A dataset without raw bytes, where one with them was. */
    isb_dataset_info plain = what;
    plain.first_byte_id = 0, plain.n_ids -= ISB__RAW_IDS;
    CHECK_OK(ctx, isb__dataset_writer_open(ctx, temp_path("a"), &plain, NULL, &writer));
    CHECK_OK(ctx, isb__dataset_writer_add(writer, &id, 1, 1));
    CHECK_OK(ctx, isb__dataset_writer_commit(writer));
    CHECK(!isb__path_exists(temp_path("a.raw")));
    CHECK_OK(ctx, isb__dataset_open(ctx, temp_path("a"), &dataset));
    options.cut_share = 0;
    CHECK_STATUS(isb__loader_create(ctx, dataset, &options, &loader), ISB_ERR_MISMATCH);
    isb__dataset_close(dataset);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(chdir(temp_dir_begin()) == 0);
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    make_codebook();
    test_epochs(&rng);
    test_access(&rng);
    test_refusals(&rng);
    isb__id_strings_free(&strings);
    isb_codebook_free(codebook);
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
