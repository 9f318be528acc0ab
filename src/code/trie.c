/* The prefix cache: nodes in blocks that never move, found through an open-addressing table of
 * 64-bit entries. */
#include "code/trie.h"

#include <string.h>

enum { FIRST_TABLE_LOG2 = 12, MAX_NODES = 1 << 24 };

void isb__trie_init(isb__trie *trie, isb_context *ctx, size_t limit_nbytes) {
    *trie = (isb__trie){
        .ctx = ctx, .limit_nbytes = limit_nbytes, .n_nodes = 1 /* number 0 is not a node */};
}

void isb__trie_free(isb__trie *trie) {
    for (size_t i = 0; i < trie->n_blocks; i++) isb__free(trie->ctx, trie->blocks[i]);
    isb__free(trie->ctx, trie->blocks);
    isb__free(trie->ctx, trie->table);
    isb__trie_init(trie, trie->ctx, trie->limit_nbytes);
}

static size_t table_size(const isb__trie *trie) {
    return trie->table ? (size_t)1 << trie->table_log2 : 0;
}

size_t isb__trie_nbytes(const isb__trie *trie) {
    return trie->n_blocks * sizeof(isb__trie_block) + table_size(trie) * sizeof *trie->table;
}

/* The slot of the key, or the empty slot where it belongs.  Fibonacci hashing (Knuth, vol. 3, 6.4).
 */
static uint64_t *find_slot(const isb__trie *trie, uint64_t key) {
    const size_t mask = table_size(trie) - 1;
    size_t i = (size_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> (64 - trie->table_log2));
    while (trie->table[i] != 0 && trie->table[i] >> 24 != key) i = (i + 1) & mask;
    return &trie->table[i];
}

uint32_t isb__trie_child(const isb__trie *trie, uint32_t parent, uint8_t byte) {
    if (!trie->table) return 0;
    return (uint32_t)(*find_slot(trie, (uint64_t)parent << 8 | byte) & 0xFFFFFF);
}

static isb_status grow_table(isb__trie *trie) {
    uint64_t *const old = trie->table;
    const size_t old_size = table_size(trie);
    uint64_t *table = NULL;
    const int log2 = old ? trie->table_log2 + 1 : FIRST_TABLE_LOG2;
    ISB_TRY(isb__alloc_array(trie->ctx, (size_t)1 << log2, sizeof *table, &table));
    trie->table = table;
    trie->table_log2 = log2;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i] != 0) *find_slot(trie, old[i] >> 24) = old[i];
    }
    isb__free(trie->ctx, old);
    return ISB_OK;
}

static isb_status add_block(isb__trie *trie) {
    ISB_TRY(isb__grow_array(trie->ctx, trie->n_blocks + 1, sizeof *trie->blocks,
                            &trie->blocks_capacity, &trie->blocks));
    isb__trie_block *block = NULL;
    ISB_TRY(isb__alloc(trie->ctx, sizeof *block, &block));
    trie->blocks[trie->n_blocks++] = block;
    return ISB_OK;
}

/* Makes room for one more node; *room is false at the limit.  The first block and table are always
 * granted. */
static isb_status make_room(isb__trie *trie, bool *room) {
    const bool need_block = trie->n_nodes >= trie->n_blocks * ISB__TRIE_BLOCK;
    const bool need_table = 2 * trie->n_nodes >= table_size(trie);
    const size_t more = (need_block ? sizeof(isb__trie_block) : 0) +
                        (need_table ? table_size(trie) * sizeof *trie->table : 0);
    *room = trie->n_nodes < MAX_NODES && (trie->n_blocks == 0 || more == 0 ||
                                          isb__trie_nbytes(trie) + more <= trie->limit_nbytes);
    if (!*room) return ISB_OK;
    if (need_table) ISB_TRY(grow_table(trie));
    if (need_block) ISB_TRY(add_block(trie));
    return ISB_OK;
}

isb_status isb__trie_add(isb__trie *trie, uint32_t parent, uint8_t byte, const isb__trie_node *node,
                         const uint16_t *cdf, uint32_t *index) {
    bool room = false;
    *index = 0;
    ISB_TRY(make_room(trie, &room));
    if (!room) return ISB_OK;
    const uint32_t added = (uint32_t)trie->n_nodes++;
    isb__trie_block *block = trie->blocks[added / ISB__TRIE_BLOCK];
    block->nodes[added % ISB__TRIE_BLOCK] = *node;
    memcpy(block->cdfs[added % ISB__TRIE_BLOCK], cdf, sizeof block->cdfs[0]);
    const uint64_t key = (uint64_t)parent << 8 | byte;
    if (parent != 0) *find_slot(trie, key) = key << 24 | added;
    *index = added;
    return ISB_OK;
}
