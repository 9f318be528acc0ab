/* The collective calls, on as many processes as mpirun starts (one without it): every rank knows
 * what every other one has, and so what must come out, to the bit. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "check.h"
#include "comm/comm.h"

static float value_of(uint64_t seed, int rank, size_t i) {
    const uint64_t bits = isb__mix64(seed + (uint64_t)rank, i);
    /* magnitudes far apart: any other order of additions shows */
    return (float)((double)(int64_t)bits * 0x1p-63 * exp((double)(bits % 23) - 11));
}

static void fill(uint64_t seed, int rank, size_t n, float *x) {
    for (size_t i = 0; i < n; ++i) x[i] = value_of(seed, rank, i);
}

/* Ascending, and uneven: some parts are empty. */
static void random_parts(isb__rng *rng, int size, size_t n, size_t *parts) {
    for (int r = 0; r <= size; ++r) parts[r] = r < size ? isb__rng_below(rng, n + 1) : n;
    parts[0] = 0;
    for (int r = 1; r < size; ++r) {
        for (int k = r; k > 1 && parts[k] < parts[k - 1]; --k) {
            const size_t t = parts[k];
            parts[k] = parts[k - 1];
            parts[k - 1] = t;
        }
    }
}

static void test_sums(isb_context *ctx, isb__comm *comm, uint64_t seed, size_t n) {
    const int rank = isb__comm_rank(comm), size = isb__comm_size(comm);
    float *x = calloc(n + 1, sizeof *x);
    size_t *parts = calloc((size_t)size + 1, sizeof *parts), n_wrong = 0;
    isb__rng rng;
    isb__rng_seed(&rng, seed + n);
    random_parts(&rng, size, n, parts);
    fill(seed, rank, n, x);
    CHECK_OK(ctx, isb__comm_reduce_scatter_f32(comm, parts, x));
    for (size_t i = parts[rank]; i < parts[rank + 1]; ++i) {
        float sum = value_of(seed, 0, i);
        for (int r = 1; r < size; ++r) sum += value_of(seed, r, i);
        n_wrong += memcmp(&sum, &x[i], sizeof sum) != 0;
    }
    CHECK_EQ(n_wrong, 0);
    CHECK_OK(ctx, isb__comm_all_gather_f32(comm, parts, x));
    for (size_t i = 0; i < n; ++i) {
        float sum = value_of(seed, 0, i);
        for (int r = 1; r < size; ++r) sum += value_of(seed, r, i);
        n_wrong += memcmp(&sum, &x[i], sizeof sum) != 0;
    }
    CHECK_EQ(n_wrong, 0);
    free(parts);
    free(x);
}

/* To rank 0 and back. */
static void test_gather(isb_context *ctx, isb__comm *comm, uint64_t seed, size_t n) {
    const int rank = isb__comm_rank(comm), size = isb__comm_size(comm);
    size_t *parts = calloc((size_t)size + 1, sizeof *parts), n_wrong = 0;
    isb__rng rng;
    isb__rng_seed(&rng, seed + 2 * n);
    random_parts(&rng, size, n, parts);
    const size_t n_mine = parts[rank + 1] - parts[rank];
    float *mine = calloc(n_mine + 1, sizeof *mine), *all = calloc(n + 1, sizeof *all);
    fill(seed, rank, n_mine, mine);
    CHECK_OK(ctx, isb__comm_gather_f32(comm, parts, mine, rank == 0 ? all : NULL));
    for (int r = 0; r < size && rank == 0; ++r) {
        for (size_t i = parts[r]; i < parts[r + 1]; ++i)
            n_wrong += all[i] != value_of(seed, r, i - parts[r]);
    }
    memset(mine, 0, n_mine * sizeof *mine);
    CHECK_OK(ctx, isb__comm_scatter_f32(comm, parts, rank == 0 ? all : NULL, mine));
    for (size_t i = 0; i < n_mine; ++i) n_wrong += mine[i] != value_of(seed, rank, i);
    CHECK_EQ(n_wrong, 0);
    free(all);
    free(mine);
    free(parts);
}

static void test_broadcast(isb_context *ctx, isb__comm *comm, uint64_t seed, size_t n) {
    const int root = (int)(seed % (uint64_t)isb__comm_size(comm));
    float *x = calloc(n + 1, sizeof *x);
    size_t n_wrong = 0;
    if (isb__comm_rank(comm) == root) fill(seed, root, n, x);
    CHECK_OK(ctx, isb__comm_broadcast(comm, root, n * sizeof *x, x));
    for (size_t i = 0; i < n; ++i) n_wrong += x[i] != value_of(seed, root, i);
    CHECK_EQ(n_wrong, 0);
    free(x);
}

static void test_few(isb_context *ctx, isb__comm *comm) {
    const int rank = isb__comm_rank(comm), size = isb__comm_size(comm);
    double x[2] = {rank, 1};
    CHECK_OK(ctx, isb__comm_sum_f64(comm, 2, x));
    CHECK(x[0] == size * (size - 1) / 2 && x[1] == size);
    CHECK_OK(ctx, isb__comm_barrier(comm));
    CHECK(isb__comm_local_size(comm) == size && isb__comm_local_rank(comm) == rank);
}

/* All leave with one status and one text, which names who failed. */
static void test_agree(isb_context *ctx, isb__comm *comm) {
    const int rank = isb__comm_rank(comm), last = isb__comm_size(comm) - 1;
    char name[32];
    CHECK_EQ(isb__comm_agree(comm, ISB_OK), ISB_OK);
    isb_status status = ISB_OK;
    if (rank == last) status = isb__fail(ctx, ISB_ERR_NO_SPACE, "the disk of one is full");
    CHECK_EQ(isb__comm_agree(comm, status), ISB_ERR_NO_SPACE);
    CHECK(strstr(isb_context_error(ctx), "the disk of one is full") != NULL);
    snprintf(name, sizeof name, "process %d of %d", last, last + 1);
    CHECK(last == 0 || strstr(isb_context_error(ctx), name) != NULL);
    /* an interruption of one counts less than the failure of another, and needs no name */
    status = isb__fail(ctx, rank == last ? ISB_ERR_IO : ISB_ERR_CANCELLED, "rank %d", rank);
    CHECK_EQ(isb__comm_agree(comm, status), ISB_ERR_IO);
    status = rank == last ? isb__fail(ctx, ISB_ERR_CANCELLED, "stopped") : ISB_OK;
    CHECK_EQ(isb__comm_agree(comm, status), ISB_ERR_CANCELLED);
    CHECK(strcmp(isb_context_error(ctx), "stopped") == 0);
}

/* The last rank stops for good: the others are told who it was. */
static void test_lost(isb_context *ctx, isb__comm *comm) {
    const int last = isb__comm_size(comm) - 1;
    char name[32];
    double x = 1;
    snprintf(name, sizeof name, "process %d of %d, on ", last, last + 1);
    if (isb__comm_rank(comm) == last) raise(SIGSTOP);
    CHECK_EQ(isb__comm_sum_f64(comm, 1, &x), ISB_ERR_RANK);
    CHECK(strstr(isb_context_error(ctx), name) != NULL);
    CHECK_EQ(isb__comm_sum_f64(comm, 1, &x), ISB_ERR_RANK);
    CHECK_EQ(isb__comm_agree(comm, ISB_ERR_RANK), ISB_ERR_RANK);
}

int main(int argc, char **argv) {
    const char *lose = getenv("TEST_COMM_LOSE"); /* else that would stop the others' tests */
    const uint64_t seed = check_begin(argc, argv);
    isb_context_options options;
    isb_context *ctx = NULL;
    isb__comm *comm = NULL;
    isb_context_options_init(&options);
    options.n_threads = 1;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    CHECK_OK(ctx, isb__comm_open(ctx, &comm));
    CHECK_FATAL(comm != NULL);
    const char *expected = getenv("TEST_COMM_SIZE");
    CHECK_EQ(isb__comm_size(comm), expected ? atoi(expected) : 1);
    static const size_t counts[] = {0, 1, 2, 17, 1000, 70001, 2500000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; ++i) {
        test_sums(ctx, comm, seed, counts[i]);
        test_gather(ctx, comm, seed, counts[i]);
        test_broadcast(ctx, comm, seed + i, counts[i]);
    }
    test_few(ctx, comm);
    test_agree(ctx, comm);
    /* a run can be followed by another in the same process */
    isb__comm_close(comm);
    CHECK_OK(ctx, isb__comm_open(ctx, &comm));
    test_few(ctx, comm);
    if (lose && isb__comm_size(comm) > 1) test_lost(ctx, comm);
    isb__comm_close(comm);
    isb_context_free(ctx);
    return check_end();
}
