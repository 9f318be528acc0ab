/* The pool: every task runs exactly once, thread numbers are exclusive, results do not depend on
 * the thread count, and nothing is lost over many small loops, with more threads than processors
 * and with sleeps that force wake-ups. */
#include <dirent.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/context.h"
#include "base/rng.h"
#include "check.h"

enum { MAX_TASKS = 5000, MAX_THREADS = 16 };

typedef struct job {
    atomic_int runs[MAX_TASKS];
    atomic_int busy[MAX_THREADS]; /* tasks running under this thread number */
    atomic_int n_clashes;
    double out[MAX_TASKS];
} job;

static job shared;

static void count_task(void *arg, size_t task, int thread) {
    job *j = arg;
    if (atomic_fetch_add(&j->busy[thread], 1) != 0) atomic_fetch_add(&j->n_clashes, 1);
    atomic_fetch_add(&j->runs[task], 1);
    isb__rng rng;
    isb__rng_seed(&rng, task);
    j->out[task] = isb__rng_uniform(&rng);
    atomic_fetch_sub(&j->busy[thread], 1);
}

static isb_context *context_with(int n_threads) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    CHECK_EQ(isb__thread_count(ctx), n_threads);
    return ctx;
}

static double run_once(isb_context *ctx, size_t n_tasks) {
    memset(&shared, 0, sizeof shared);
    isb__parallel(ctx, n_tasks, count_task, &shared);
    size_t n_wrong = 0;
    for (size_t i = 0; i < MAX_TASKS; ++i) n_wrong += atomic_load(&shared.runs[i]) != (i < n_tasks);
    CHECK_EQ(n_wrong, 0);
    CHECK_EQ(atomic_load(&shared.n_clashes), 0);
    double sum = 0;
    for (size_t i = 0; i < n_tasks; ++i) sum += shared.out[i];
    return sum;
}

static void test_every_task_once(void) {
    static const size_t counts[] = {0, 1, 2, 3, 15, 16, 17, 100, MAX_TASKS};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; ++i) {
        double first = 0;
        for (int n_threads = 1; n_threads <= MAX_THREADS;
             n_threads = n_threads * 2 + (n_threads == 1)) {
            isb_context *ctx = context_with(n_threads);
            const double sum = run_once(ctx, counts[i]);
            if (n_threads == 1) first = sum;
            CHECK(sum == first); /* bit for bit */
            isb_context_free(ctx);
        }
    }
}

static void add_task(void *arg, size_t task, int thread) {
    (void)thread;
    atomic_fetch_add((atomic_size_t *)arg, task + 1);
}

/* Loops back to back, where a late worker of one loop meets the next; now and then a pause lets all
 * fall asleep. */
static void test_many_tiny_loops(int n_threads, size_t n_loops) {
    isb_context *ctx = context_with(n_threads);
    size_t n_wrong = 0;
    for (size_t i = 0; i < n_loops; ++i) {
        const size_t n_tasks = 1 + i % 7;
        atomic_size_t sum = 0;
        isb__parallel(ctx, n_tasks, add_task, &sum);
        n_wrong += atomic_load(&sum) != n_tasks * (n_tasks + 1) / 2;
        if (i % 1000 == 0) usleep(300);
    }
    CHECK_EQ(n_wrong, 0);
    isb_context_free(ctx);
}

typedef struct meeting {
    atomic_int n_arrived;
} meeting;

static void meet_task(void *arg, size_t task, int thread) {
    (void)task, (void)thread;
    meeting *m = arg;
    atomic_fetch_add(&m->n_arrived, 1);
    const double give_up = isb__now_s() + 20;
    while (atomic_load(&m->n_arrived) < 4 && isb__now_s() < give_up) usleep(100);
}

/* Four tasks that each wait for the other three need four threads at once: sleepers are really
 * woken. */
static void test_all_threads_wake(void) {
    isb_context *ctx = context_with(4);
    for (int i = 0; i < 20; ++i) {
        meeting m = {0};
        usleep(2000);
        isb__parallel(ctx, 4, meet_task, &m);
        CHECK_EQ(atomic_load(&m.n_arrived), 4);
    }
    isb_context_free(ctx);
}

/* Threads of this process that the kernel shows as sleeping. */
static int count_sleeping(void) {
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK_FATAL(tasks != NULL);
    for (const struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
        char path[300], state = '?';
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%*d (%*[^)]) %c", &state) == 1) n += state == 'S';
        fclose(file);
    }
    closedir(tasks);
    return n;
}

/* Idle workers do not spin for ever: soon all seven sleep. */
static void test_idle_workers_sleep(void) {
    isb_context *ctx = context_with(8);
    run_once(ctx, 100);
    const double give_up = isb__now_s() + 20;
    while (count_sleeping() < 7 && isb__now_s() < give_up) usleep(1000);
    CHECK(count_sleeping() >= 7);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    test_every_task_once();
    test_many_tiny_loops(1, 1000);
    test_many_tiny_loops(2, 100000);
    test_many_tiny_loops(7, 10000);
    test_all_threads_wake();
    test_idle_workers_sleep();
    for (int i = 0; i < 50; ++i) isb_context_free(context_with(4)); /* start and stop */
    return check_end();
}
