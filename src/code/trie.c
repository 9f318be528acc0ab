/* The prefix cache: nodes in blocks that never move, found through an open-addressing table of
 * 64-bit entries, both without locks. */
#include "code/trie.h"

#include <string.h>

enum {
    MAX_NODES = 1 << 24,
    FIRST_TABLE_LOG2 = 12,
    /* what a node takes: its place in a block, and two to four entries of the table */
    NODE_NBYTES = sizeof(isb__trie_block) / ISB__TRIE_BLOCK + 4 * sizeof(uint64_t)
};

void isb__trie_init(isb__trie *trie, isb_context *ctx, size_t limit_nbytes) {
    *trie = (isb__trie){.ctx = ctx, .limit_nbytes = limit_nbytes};
    atomic_init(&trie->n_nodes, 1); /* number 0 is not a node */
}

void isb__trie_free(isb__trie *trie) {
    for (size_t i = 0; i < trie->n_blocks; i++)
        isb__free(trie->ctx, isb__trie_block_of(trie, (uint32_t)(i * ISB__TRIE_BLOCK)));
    isb__free(trie->ctx, trie->blocks);
    isb__free(trie->ctx, trie->table);
    isb__trie_init(trie, trie->ctx, trie->limit_nbytes);
}

static size_t table_size(const isb__trie *trie) {
    return trie->table ? (size_t)1 << trie->table_log2 : 0;
}

size_t isb__trie_count(const isb__trie *trie) {
    const size_t taken = atomic_load_explicit(&trie->n_nodes, memory_order_relaxed);
    return taken < trie->max_nodes || trie->max_nodes == 0 ? taken - 1 : trie->max_nodes - 1;
}

size_t isb__trie_nbytes(const isb__trie *trie) {
    size_t n_blocks = 0;
    for (size_t i = 0; i < trie->n_blocks; i++)
        n_blocks += isb__trie_block_of(trie, (uint32_t)(i * ISB__TRIE_BLOCK)) != NULL;
    return n_blocks * sizeof(isb__trie_block) + table_size(trie) * sizeof *trie->table;
}

/* ---- room ---- */

/* Where an entry is looked for first: Fibonacci hashing (Knuth, vol. 3, 6.4). */
static size_t first_slot(uint64_t key, int table_log2) {
    return (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> (64 - table_log2));
}

static isb_status grow_table(isb__trie *trie, int log2) {
    const size_t old_size = table_size(trie), size = (size_t)1 << log2, mask = size - 1;
    _Atomic uint64_t *table = NULL;
    ISB_TRY(isb__alloc_array(trie->ctx, size, sizeof *table, &table));
    for (size_t i = 0; i < old_size; i++) {
        const uint64_t entry = atomic_load_explicit(&trie->table[i], memory_order_relaxed);
        if (entry == 0) continue;
        size_t slot = first_slot(entry >> 24, log2);
        while (atomic_load_explicit(&table[slot], memory_order_relaxed) != 0)
            slot = (slot + 1) & mask;
        atomic_store_explicit(&table[slot], entry, memory_order_relaxed);
    }
    isb__free(trie->ctx, trie->table);
    trie->table = table;
    trie->table_log2 = log2;
    return ISB_OK;
}

static isb_status grow_blocks(isb__trie *trie, size_t n_blocks) {
    isb__trie_block *_Atomic *blocks = NULL;
    ISB_TRY(isb__alloc_array(trie->ctx, n_blocks, sizeof *blocks, &blocks));
    for (size_t i = 0; i < n_blocks; i++) {
        const uint32_t first = (uint32_t)(i * ISB__TRIE_BLOCK);
        atomic_init(&blocks[i], i < trie->n_blocks ? isb__trie_block_of(trie, first) : NULL);
    }
    isb__free(trie->ctx, trie->blocks);
    trie->blocks = blocks;
    trie->n_blocks = n_blocks;
    return ISB_OK;
}

/* The first block is always granted. */
static size_t most_nodes(const isb__trie *trie) {
    const size_t most = trie->limit_nbytes / NODE_NBYTES;
    if (most < ISB__TRIE_BLOCK) return ISB__TRIE_BLOCK;
    return most < MAX_NODES ? most : MAX_NODES;
}

isb_status isb__trie_reserve(isb__trie *trie, size_t n_more) {
    const size_t most = most_nodes(trie), taken = atomic_load(&trie->n_nodes);
    const size_t wanted = taken < most && n_more < most - taken ? taken + n_more : most;
    int log2 = trie->table ? trie->table_log2 : FIRST_TABLE_LOG2;
    while ((size_t)1 << log2 < 2 * wanted) ++log2;
    if (!trie->table || log2 != trie->table_log2) ISB_TRY(grow_table(trie, log2));
    const size_t room = table_size(trie) / 2, max_nodes = room < most ? room : most;
    const size_t n_blocks = (max_nodes + ISB__TRIE_BLOCK - 1) / ISB__TRIE_BLOCK;
    if (n_blocks > trie->n_blocks) ISB_TRY(grow_blocks(trie, n_blocks));
    trie->max_nodes = max_nodes;
    return ISB_OK;
}

/* ---- looking up, adding ---- */

uint32_t isb__trie_child(const isb__trie *trie, uint32_t parent, uint8_t byte) {
    const uint64_t key = (uint64_t)parent << 8 | byte;
    const size_t mask = table_size(trie) - 1;
    for (size_t slot = first_slot(key, trie->table_log2);; slot = (slot + 1) & mask) {
        const uint64_t entry = atomic_load_explicit(&trie->table[slot], memory_order_acquire);
        if (entry >> 24 == key) return (uint32_t)(entry & 0xFFFFFF);
        if (entry == 0) return 0;
    }
}

/* Enters the child; if another thread has just done so, the child is that thread's. */
static uint32_t publish(isb__trie *trie, uint64_t key, uint32_t child) {
    const size_t mask = table_size(trie) - 1;
    for (size_t slot = first_slot(key, trie->table_log2);; slot = (slot + 1) & mask) {
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(&trie->table[slot], &found, key << 24 | child))
            return child;
        if (found >> 24 == key) return (uint32_t)(found & 0xFFFFFF);
    }
}

/* The block of a number that was taken; the first thread to need it makes it. */
static isb_status block_for(isb__trie *trie, uint32_t index, isb__trie_block **block) {
    isb__trie_block *made = NULL;
    *block = isb__trie_block_of(trie, index);
    if (*block) return ISB_OK;
    ISB_TRY(isb__alloc(trie->ctx, sizeof *made, &made));
    if (atomic_compare_exchange_strong(&trie->blocks[index / ISB__TRIE_BLOCK], block, made)) {
        *block = made;
    } else {
        isb__free(trie->ctx, made);
    }
    return ISB_OK;
}

isb_status isb__trie_add(isb__trie *trie, uint32_t parent, uint8_t byte, const isb__trie_node *node,
                         const uint16_t *cdf, uint32_t *index) {
    *index = 0;
    if (atomic_load_explicit(&trie->n_nodes, memory_order_relaxed) >= trie->max_nodes)
        return ISB_OK;
    const size_t taken = atomic_fetch_add_explicit(&trie->n_nodes, 1, memory_order_relaxed);
    if (taken >= trie->max_nodes) return ISB_OK;
    isb__trie_block *block;
    ISB_TRY(block_for(trie, (uint32_t)taken, &block));
    block->nodes[taken % ISB__TRIE_BLOCK] = *node;
    memcpy(block->cdfs[taken % ISB__TRIE_BLOCK], cdf, sizeof block->cdfs[0]);
    *index = (uint32_t)taken;
    if (parent != 0) *index = publish(trie, (uint64_t)parent << 8 | byte, *index);
    return ISB_OK;
}
