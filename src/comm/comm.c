/* Collective calls over messages from rank to rank (transport.h).
 *
 * Sums are what needs care: floating-point addition depends on order, and MPI's own reductions
 * promise none.  Here the owner of a part gets that part of every rank and adds them in order of
 * rank:
 *
 *                 x on rank 0   x on rank 1   x on rank 2            a rank sends and receives
 *     rank 0 adds [a0] .  .     [b0] .  .     [c0] .  .              (R - 1) / R of x, the least
 *     rank 1 adds  . [a1] .      . [b1] .      . [c1] .              that any order of messages
 *     rank 2 adds  .  . [a2]     .  . [b2]     .  . [c2]             can do (Patarasuk and Yuan 2009)
 *
 * in chunks, so that the parts of others take little memory.  Waiting for messages also watches
 * for processes that were lost (watch.h). */
#include "comm/comm.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/launch.h"
#include "comm/watch.h"

enum {
    DATA_TAG = 1,
    HOST_NBYTES = 64,
    SCRATCH_FLOATS = 1 << 20,      /* what others' parts take, for all ranks together; at least */
    SCRATCH_FLOATS_EACH = 1 << 13, /* for each: shorter messages cost more than they carry */
    MOVE_NBYTES = 1 << 22,
    FLAT_NBYTES = 1 << 16, /* up to which the root of a broadcast sends to every rank itself */
    TILE = 1024,
    SPINS = 2000
};
#define TIMEOUT_S 30.0
#define SPEAKER_FIRST_S 2.0

struct isb__comm {
    isb_context *ctx;
    int rank, size, local_rank, local_size;
    /* size > 1 */
    const isb__transport *link;
    pthread_mutex_t lock; /* around calls of the link */
    isb__watch *watch;
    isb_status failure; /* once a process is lost, of every call */
    double timeout_s, seconds;
    uint64_t nbytes;
    isb__request *requests; /* [2 size] */
    size_t n_requests;
    float *scratch; /* [size][chunk] */
    size_t chunk;
    double *statuses;           /* [size], for agreeing */
    size_t *parts;              /* [size + 1], for what is divided evenly */
    char (*hosts)[HOST_NBYTES]; /* [size] */
};

int isb__comm_rank(const isb__comm *comm) { return comm ? comm->rank : 0; }
int isb__comm_size(const isb__comm *comm) { return comm ? comm->size : 1; }
int isb__comm_local_rank(const isb__comm *comm) { return comm ? comm->local_rank : 0; }
int isb__comm_local_size(const isb__comm *comm) { return comm ? comm->local_size : 1; }
double isb__comm_seconds(const isb__comm *comm) { return comm ? comm->seconds : 0; }
uint64_t isb__comm_nbytes(const isb__comm *comm) { return comm ? comm->nbytes : 0; }

/* ---- messages ---- */

static isb_status fail_lost(isb__comm *comm, int lost) {
    comm->failure = ISB_ERR_RANK;
    if (lost == comm->rank) {
        return isb__fail(comm->ctx, ISB_ERR_RANK,
                         "this is process %d of %d, which was stopped for longer than %.0f seconds, "
                         "and the others have given it up; the last checkpoint is whole: resume",
                         lost, comm->size, comm->timeout_s);
    }
    return isb__fail(
        comm->ctx, ISB_ERR_RANK,
        "process %d of %d, on %s, has given no sign of life for %.0f seconds; the last "
        "checkpoint is whole: see what became of that machine, and resume",
        lost, comm->size, comm->hosts[lost][0] ? comm->hosts[lost] : "?", comm->timeout_s);
}

static isb_status fail_link(isb__comm *comm) {
    comm->failure = ISB_ERR_RANK;
    return isb__fail(comm->ctx, ISB_ERR_RANK,
                     "process %d of %d, on %s, cannot reach the others: %s; the last checkpoint is "
                     "whole: resume",
                     comm->rank, comm->size, comm->hosts[comm->rank], comm->link->error());
}

static isb_status check_failed(isb__comm *comm) {
    if (comm->failure == ISB_OK) return ISB_OK;
    return isb__fail(comm->ctx, comm->failure, "another process of the run was lost");
}

/* A call that sends or receives; the bytes count for the report. */
static isb_status post_send(isb__comm *comm, int to, const void *data, size_t nbytes) {
    pthread_mutex_lock(&comm->lock);
    const int bad =
        comm->link->send(to, DATA_TAG, data, nbytes, &comm->requests[comm->n_requests++]);
    pthread_mutex_unlock(&comm->lock);
    comm->nbytes += nbytes;
    return bad ? fail_link(comm) : ISB_OK;
}

static isb_status post_receive(isb__comm *comm, int from, void *data, size_t nbytes) {
    pthread_mutex_lock(&comm->lock);
    const int bad =
        comm->link->receive(from, DATA_TAG, data, nbytes, &comm->requests[comm->n_requests++]);
    pthread_mutex_unlock(&comm->lock);
    return bad ? fail_link(comm) : ISB_OK;
}

/* Short waits keep the processor, long ones leave it to others. */
static void pause_between(unsigned n) {
    const struct timespec nap = {0, n < 10 * SPINS ? 20000 : 500000};
    if (n < SPINS) {
        sched_yield();
    } else {
        nanosleep(&nap, NULL);
    }
}

/* For all messages that were posted. */
static isb_status wait_posted(isb__comm *comm) {
    const size_t n = comm->n_requests;
    comm->n_requests = 0;
    for (unsigned tries = 0;; tries += tries < UINT_MAX) {
        int done = 0;
        pthread_mutex_lock(&comm->lock);
        const int bad = comm->link->test(n, comm->requests, &done);
        pthread_mutex_unlock(&comm->lock);
        if (bad) return fail_link(comm);
        if (done) return ISB_OK;
        const int lost = isb__watch_lost(comm->watch);
        if (lost >= 0) return fail_lost(comm, lost);
        pause_between(tries);
    }
}

/* ---- moving parts ---- */

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* What lies between `at` and at + chunk of a part. */
static size_t piece(const size_t *parts, int part, size_t at, size_t chunk) {
    const size_t n = parts[part + 1] - parts[part];
    return n > at ? smaller(n - at, chunk) : 0;
}

static size_t longest_part(const isb__comm *comm, const size_t *parts) {
    size_t longest = 0;
    for (int r = 0; r < comm->size; ++r) {
        const size_t n = parts[r + 1] - parts[r];
        longest = n > longest ? n : longest;
    }
    return longest;
}

static isb_status send_piece(isb__comm *comm, int to, const char *x, size_t at, size_t n,
                             size_t unit) {
    return n > 0 ? post_send(comm, to, x + at * unit, n * unit) : ISB_OK;
}

static isb_status receive_piece(isb__comm *comm, int from, char *x, size_t at, size_t n,
                                size_t unit) {
    return n > 0 ? post_receive(comm, from, x + at * unit, n * unit) : ISB_OK;
}

/* Parts of x, in items of `unit` bytes, go from their owners to all. */
static isb_status all_gather(isb__comm *comm, const size_t *parts, size_t unit, void *x) {
    const size_t longest = longest_part(comm, parts), chunk = MOVE_NBYTES / unit;
    const int me = comm->rank;
    for (size_t at = 0; at < longest; at += chunk) {
        for (int k = 1; k < comm->size; ++k) {
            const int to = (me + k) % comm->size, from = (me + comm->size - k) % comm->size;
            ISB_TRY(receive_piece(comm, from, x, parts[from] + at, piece(parts, from, at, chunk),
                                  unit));
            ISB_TRY(send_piece(comm, to, x, parts[me] + at, piece(parts, me, at, chunk), unit));
        }
        ISB_TRY(wait_posted(comm));
    }
    return ISB_OK;
}

/* From all to rank 0's `all`. */
static isb_status gather(isb__comm *comm, const size_t *parts, size_t unit, const void *mine,
                         void *all) {
    const size_t longest = longest_part(comm, parts), chunk = MOVE_NBYTES / unit;
    const int me = comm->rank;
    for (size_t at = 0; at < longest; at += chunk) {
        for (int r = 1; r < comm->size && me == 0; ++r) {
            ISB_TRY(receive_piece(comm, r, all, parts[r] + at, piece(parts, r, at, chunk), unit));
        }
        if (me != 0) ISB_TRY(send_piece(comm, 0, mine, at, piece(parts, me, at, chunk), unit));
        ISB_TRY(wait_posted(comm));
    }
    if (me == 0 && parts[1] > 0) memmove(all, mine, parts[1] * unit);
    return ISB_OK;
}

/* From root's `all` to mine on the others. */
static isb_status scatter(isb__comm *comm, int root, const size_t *parts, size_t unit,
                          const void *all, void *mine) {
    const size_t longest = longest_part(comm, parts), chunk = MOVE_NBYTES / unit;
    const int me = comm->rank;
    for (size_t at = 0; at < longest; at += chunk) {
        for (int r = 0; r < comm->size && me == root; ++r) {
            if (r == me) continue;
            ISB_TRY(send_piece(comm, r, all, parts[r] + at, piece(parts, r, at, chunk), unit));
        }
        if (me != root)
            ISB_TRY(receive_piece(comm, root, mine, at, piece(parts, me, at, chunk), unit));
        ISB_TRY(wait_posted(comm));
    }
    return ISB_OK;
}

/* Parts of equal length; the last may be shorter. */
static void divide(size_t n, int size, size_t *parts) {
    const size_t step = (n + (size_t)size - 1) / (size_t)size;
    for (int r = 0; r <= size; ++r) parts[r] = smaller((size_t)r * step, n);
}

static isb_status broadcast_flat(isb__comm *comm, int root, size_t nbytes, void *data) {
    for (int k = 1; k < comm->size && comm->rank == root; ++k)
        ISB_TRY(post_send(comm, (root + k) % comm->size, data, nbytes));
    if (comm->rank != root) ISB_TRY(post_receive(comm, root, data, nbytes));
    return wait_posted(comm);
}

/* Long data: root gives each rank a part, and every rank gives its part to all, so that root sends
 * twice the data instead of R times. */
static isb_status broadcast(isb__comm *comm, int root, size_t nbytes, void *data) {
    if (nbytes == 0) return ISB_OK;
    if (nbytes <= FLAT_NBYTES) return broadcast_flat(comm, root, nbytes, data);
    divide(nbytes, comm->size, comm->parts);
    char *mine = (char *)data + comm->parts[comm->rank];
    ISB_TRY(scatter(comm, root, comm->parts, 1, data, mine));
    return all_gather(comm, comm->parts, 1, data);
}

/* ---- sums ---- */

typedef struct addition {
    const isb__comm *comm;
    float *mine;
    size_t n;
} addition;

static void add_tile(void *arg, size_t task, int thread) {
    const addition *a = arg;
    const isb__comm *comm = a->comm;
    const size_t begin = task * TILE, n = smaller(a->n - begin, TILE);
    float sum[TILE];
    (void)thread;
    for (int r = 0; r < comm->size; ++r) {
        const float *x = r == comm->rank ? a->mine : comm->scratch + (size_t)r * comm->chunk;
        x += begin;
        for (size_t i = 0; i < n; ++i) sum[i] = r == 0 ? x[i] : sum[i] + x[i];
    }
    memcpy(a->mine + begin, sum, n * sizeof *sum);
}

static isb_status reduce_scatter(isb__comm *comm, const size_t *parts, float *x) {
    const size_t longest = longest_part(comm, parts), chunk = comm->chunk;
    const int me = comm->rank;
    for (size_t at = 0; at < longest; at += chunk) {
        const size_t n_mine = piece(parts, me, at, chunk);
        for (int k = 1; k < comm->size; ++k) {
            const int to = (me + k) % comm->size, from = (me + comm->size - k) % comm->size;
            const size_t n_out = piece(parts, to, at, chunk);
            if (n_mine > 0)
                ISB_TRY(post_receive(comm, from, comm->scratch + (size_t)from * chunk,
                                     n_mine * sizeof *x));
            if (n_out > 0) ISB_TRY(post_send(comm, to, x + parts[to] + at, n_out * sizeof *x));
        }
        ISB_TRY(wait_posted(comm));
        addition a = {comm, x + parts[me] + at, n_mine};
        isb__parallel(comm->ctx, (n_mine + TILE - 1) / TILE, add_tile, &a);
    }
    return ISB_OK;
}

/* Rank 0 adds, and tells; for a few numbers. */
static isb_status sum_few(isb__comm *comm, size_t count, double *x) {
    double *all = (double *)(void *)comm->scratch;
    const size_t nbytes = count * sizeof *x;
    if (comm->rank != 0) {
        ISB_TRY(post_send(comm, 0, x, nbytes));
        ISB_TRY(wait_posted(comm));
    } else {
        for (int r = 1; r < comm->size; ++r)
            ISB_TRY(post_receive(comm, r, all + (size_t)r * count, nbytes));
        ISB_TRY(wait_posted(comm));
        for (size_t i = count; i < count * (size_t)comm->size; ++i) x[i % count] += all[i];
    }
    return broadcast_flat(comm, 0, nbytes, x);
}

/* ---- the calls: one process has nothing to do; time is counted ---- */

#define TIMED(comm, call)                             \
    do {                                              \
        if (isb__comm_size(comm) == 1) return ISB_OK; \
        ISB_TRY(check_failed(comm));                  \
        const double begin_s = isb__now_s();          \
        const isb_status timed_status = (call);       \
        (comm)->seconds += isb__now_s() - begin_s;    \
        return timed_status;                          \
    } while (0)

static isb_status sum_all(isb__comm *comm, size_t count, double *x) {
    const size_t most = comm->chunk / 2; /* doubles for each rank in the scratch memory */
    for (size_t at = 0; at < count; at += most)
        ISB_TRY(sum_few(comm, smaller(count - at, most), x + at));
    return ISB_OK;
}

isb_status isb__comm_sum_f64(isb__comm *comm, size_t count, double *x) {
    TIMED(comm, sum_all(comm, count, x));
}
isb_status isb__comm_reduce_scatter_f32(isb__comm *comm, const size_t *parts, float *x) {
    TIMED(comm, reduce_scatter(comm, parts, x));
}
isb_status isb__comm_all_gather_f32(isb__comm *comm, const size_t *parts, float *x) {
    TIMED(comm, all_gather(comm, parts, sizeof *x, x));
}
isb_status isb__comm_gather_f32(isb__comm *comm, const size_t *parts, const float *mine,
                                float *all) {
    if (isb__comm_size(comm) == 1 && parts[1] > 0) memmove(all, mine, parts[1] * sizeof *all);
    TIMED(comm, gather(comm, parts, sizeof *all, mine, all));
}
isb_status isb__comm_scatter_f32(isb__comm *comm, const size_t *parts, const float *all,
                                 float *mine) {
    const size_t n = isb__comm_rank(comm) == 0 ? parts[1] : 0; /* the root's own */
    if (n > 0) memmove(mine, all, n * sizeof *mine);
    TIMED(comm, scatter(comm, 0, parts, sizeof *mine, all, mine));
}
isb_status isb__comm_broadcast(isb__comm *comm, int root, size_t nbytes, void *data) {
    TIMED(comm, broadcast(comm, root, nbytes, data));
}
isb_status isb__comm_barrier(isb__comm *comm) {
    double nothing = 0;
    return isb__comm_sum_f64(comm, 1, &nothing);
}

/* ---- one outcome for all ---- */

/* The lowest rank with a failure, unless that is an interruption and another has a real one. */
static int choose_culprit(const double *all, int size) {
    int culprit = -1;
    for (int r = size - 1; r >= 0; --r) {
        const isb_status status = (isb_status)(int)all[r];
        if (status == ISB_OK) continue;
        if (culprit < 0 || status != ISB_ERR_CANCELLED ||
            (isb_status)(int)all[culprit] == ISB_ERR_CANCELLED)
            culprit = r;
    }
    return culprit;
}

static bool all_same(const double *all, int size) {
    for (int r = 1; r < size; ++r)
        if (all[r] != all[0]) return false;
    return true;
}

static isb_status share_failure(isb__comm *comm, const double *all, int culprit) {
    char text[ISB__ERROR_NBYTES];
    const isb_status status = (isb_status)(int)all[culprit];
    snprintf(text, sizeof text, "%s", comm->ctx->error);
    ISB_TRY(broadcast(comm, culprit, sizeof text, text));
    if (status == ISB_ERR_CANCELLED || all_same(all, comm->size))
        return isb__fail(comm->ctx, status, "%s", text);
    return isb__fail(comm->ctx, status, "process %d of %d, on %s: %s", culprit, comm->size,
                     comm->hosts[culprit], text);
}

static isb_status agree(isb__comm *comm, isb_status status) {
    double *all = comm->statuses;
    memset(all, 0, (size_t)comm->size * sizeof *all);
    all[comm->rank] = (double)status;
    ISB_TRY(sum_all(comm, (size_t)comm->size, all));
    const int culprit = choose_culprit(all, comm->size);
    return culprit < 0 ? ISB_OK : share_failure(comm, all, culprit);
}

isb_status isb__comm_agree(isb__comm *comm, isb_status status) {
    if (isb__comm_size(comm) == 1 || comm->failure != ISB_OK) return status;
    const double begin_s = isb__now_s();
    status = agree(comm, status);
    comm->seconds += isb__now_s() - begin_s;
    return status;
}

/* ---- begin and end ---- */

static isb_status allocate(isb__comm *comm) {
    const size_t R = (size_t)comm->size;
    comm->chunk =
        SCRATCH_FLOATS / R > SCRATCH_FLOATS_EACH ? SCRATCH_FLOATS / R : SCRATCH_FLOATS_EACH;
    ISB_TRY(isb__alloc_array(comm->ctx, 2 * R, sizeof *comm->requests, &comm->requests));
    ISB_TRY(isb__alloc_array(comm->ctx, R, sizeof *comm->statuses, &comm->statuses));
    ISB_TRY(isb__alloc_array(comm->ctx, R + 1, sizeof *comm->parts, &comm->parts));
    ISB_TRY(isb__alloc_array(comm->ctx, R, sizeof *comm->hosts, &comm->hosts));
    return isb__alloc_array(comm->ctx, R * comm->chunk, sizeof *comm->scratch, &comm->scratch);
}

/* ISB_RANK_TIMEOUT: seconds; a second is the time between signs of life. */
static double timeout_setting(void) {
    const char *text = getenv("ISB_RANK_TIMEOUT");
    const double seconds = text ? strtod(text, NULL) : 0;
    return seconds >= 3 ? seconds : TIMEOUT_S;
}

static isb_status exchange_hosts(isb__comm *comm) {
    divide((size_t)comm->size, comm->size, comm->parts);
    gethostname(comm->hosts[comm->rank], HOST_NBYTES - 1);
    return all_gather(comm, comm->parts, HOST_NBYTES, comm->hosts);
}

static isb_status join(isb__comm *comm) {
    ISB_TRY(isb__launch_join(comm->ctx, &comm->link));
    const isb__transport *t = comm->link;
    comm->rank = t->rank;
    comm->size = t->size;
    comm->local_rank = t->local_rank;
    comm->local_size = t->local_size;
    comm->timeout_s = timeout_setting();
    ISB_TRY(allocate(comm));
    ISB_TRY(isb__watch_start(comm->ctx, t, &comm->lock, comm->timeout_s, &comm->watch));
    return exchange_hosts(comm);
}

isb_status isb__comm_open(isb_context *ctx, isb__comm **comm) {
    *comm = NULL;
    isb__comm *c = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *c, &c));
    *c = (isb__comm){.ctx = ctx, .size = 1, .local_size = 1};
    pthread_mutex_init(&c->lock, NULL);
    const isb_status status = isb__launch_size() > 1 ? join(c) : ISB_OK;
    if (status == ISB_OK) {
        *comm = c;
        return ISB_OK;
    }
    if (c->link) c->link->leave(); /* the others may wait for us: mpirun ends them */
    isb__comm_close(c);
    return status;
}

/* mpirun ends all processes when the first one ends: let the one that reports be first.  What is
 * still under way when a process was lost keeps its memory. */
static void leave_lost(isb__comm *comm) {
    const struct timespec wait = {(time_t)SPEAKER_FIRST_S, 0};
    isb__watch_stop(comm->watch);
    comm->link->leave();
    if (comm->rank > (isb__watch_lost(comm->watch) == 0)) nanosleep(&wait, NULL);
}

void isb__comm_close(isb__comm *comm) {
    if (!comm) return;
    if (comm->failure != ISB_OK && comm->watch) {
        leave_lost(comm);
        return;
    }
    isb__watch_stop(comm->watch);
    isb__free(comm->ctx, comm->scratch);
    isb__free(comm->ctx, comm->hosts);
    isb__free(comm->ctx, comm->parts);
    isb__free(comm->ctx, comm->statuses);
    isb__free(comm->ctx, comm->requests);
    pthread_mutex_destroy(&comm->lock);
    isb__free(comm->ctx, comm);
}
