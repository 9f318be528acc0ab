/* The cache of prefixes: what many threads add at once is what each of them finds, and a full cache
 * keeps what it has. */
#include "check.h"

#include "base/context.h"
#include "base/rng.h"
#include "code/trie.h"

enum { N_THREADS = 4, N_CHILDREN = 5000, MAX_DEPTH = 3 };

typedef struct task {
    isb__trie *trie;
    uint64_t seed;
    atomic_size_t n_wrong, n_full;
} task;

/* A node tells its string: low is a hash of it, and so is the first entry of its row. */
static isb__trie_node node_of(uint64_t hash) { return (isb__trie_node){.low = {{hash, 0, 0}}}; }

static bool holds(const isb__trie *trie, uint32_t index, uint64_t hash) {
    return isb__trie_node_at(trie, index)->low.w[0] == hash &&
           isb__trie_cdf(trie, index)[1] == (uint16_t)hash;
}

/* Adds a string's prefixes, or finds them; all threads draw from few strings, so they collide. */
static void add_string(task *t, uint32_t number) {
    uint32_t parent = ISB__TRIE_ROOT;
    uint64_t hash = 1;
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        const uint8_t byte = (uint8_t)(number >> 5 * depth & 31);
        uint16_t row[ISB__N_BYTES] = {0};
        hash = isb__mix64(hash, byte);
        row[1] = (uint16_t)hash;
        const isb__trie_node node = node_of(hash);
        uint32_t child = isb__trie_child(t->trie, parent, byte);
        if (child == 0 && isb__trie_add(t->trie, parent, byte, &node, row, &child) != ISB_OK)
            atomic_fetch_add(&t->n_wrong, 1);
        if (child == 0) {
            atomic_fetch_add(&t->n_full, 1);
            return;
        }
        const bool found = isb__trie_child(t->trie, parent, byte) == child;
        if (!found || !holds(t->trie, child, hash)) atomic_fetch_add(&t->n_wrong, 1);
        parent = child;
    }
}

static void add_strings(void *arg, size_t number, int thread) {
    task *t = arg;
    isb__rng rng;
    (void)thread;
    isb__rng_seed(&rng, t->seed + number / 2); /* pairs add the same strings */
    for (int i = 0; i < N_CHILDREN; i++) add_string(t, (uint32_t)isb__rng_below(&rng, 1 << 15));
}

static void add_root(isb__trie *trie) {
    uint32_t root;
    const isb__trie_node node = {.has_cell = false};
    const uint16_t row[ISB__N_BYTES] = {0};
    CHECK(isb__trie_add(trie, 0, 0, &node, row, &root) == ISB_OK && root == ISB__TRIE_ROOT);
}

static void test_threads(isb_context *ctx, uint64_t seed, size_t limit_nbytes) {
    isb__trie trie;
    isb__trie_init(&trie, ctx, limit_nbytes);
    CHECK_OK(ctx, isb__trie_reserve(&trie, 1));
    add_root(&trie);
    for (uint64_t round = 0; round < 4; round++) {
        task t = {.trie = &trie, .seed = seed + round % 2}; /* each text comes twice */
        const size_t before = isb__trie_count(&trie);
        CHECK_OK(ctx, isb__trie_reserve(&trie, N_THREADS * N_CHILDREN * MAX_DEPTH));
        isb__parallel(ctx, N_THREADS, add_strings, &t);
        CHECK_EQ(atomic_load(&t.n_wrong), 0);
        const size_t after = isb__trie_count(&trie);
        CHECK(after >= before);
        if (limit_nbytes == 0) {
            CHECK_EQ(after, ISB__TRIE_BLOCK - 1); /* full since the first round */
            CHECK(atomic_load(&t.n_full) > 0);
        } else {
            CHECK_EQ(atomic_load(&t.n_full), 0);
            if (round >= 2) CHECK_EQ(after, before); /* nothing is new */
        }
    }
    isb__trie_free(&trie);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    isb_context *ctx = NULL;
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = N_THREADS;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    test_threads(ctx, seed, ISB__TRIE_LIMIT_NBYTES);
    test_threads(ctx, seed, 0);
    isb_context_free(ctx);
    return check_end();
}
