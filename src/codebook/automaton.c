/* Building the automaton: trie, places in the double array, failures.
 *
 * The trie's nodes are numbered in the order of the sorted strings (preorder), so a node's first child is the next
 * node, and the trie needs only the way to the next sibling.
 *
 * A place for a node's children is a base b, used by no other node, such that all units b + label are free.  Two
 * bitmaps answer this for 64 bases at once: the words of used units that begin at the block's first base + label, one
 * for each label, are OR-ed with the word of used bases, and every zero is a place.  Nodes with many children go first,
 * nodes with one child fill the holes, and nodes without children take the bases that are left. */
#include "codebook/automaton.h"

#include <isobit/codebook.h>

#include <string.h>

#define NONE UINT32_MAX

/* One array for each field of a node: most steps go through all nodes for one or two of them. */
typedef struct builder {
    isb_context *ctx;
    size_t n_nodes; /* in preorder; 0 is the root */
    uint8_t *labels, *nbytes;
    uint16_t *n_children;
    uint32_t *parents;
    uint32_t *siblings; /* the parent's next child, or 0 */
    uint32_t *bases;
    uint32_t *ids;   /* id + 1, or 0: no string ends here */
    uint32_t *cuts;  /* the node of the string that a cut stands for, or 0; NULL: no cuts */
    uint32_t *order; /* some of the nodes, in some order */
    uint64_t *used_units, *used_bases; /* bitmaps */
    size_t units_capacity, bases_capacity;
    size_t first;     /* block of 64 bases where the search for a place begins */
    size_t next_base; /* where the search for a base without units begins */
    size_t max_base;
    size_t pops_capacity;
} builder;

/* ---- the trie ---- */

static size_t common_prefix(const uint8_t *a, size_t a_nbytes, const uint8_t *b, size_t b_nbytes) {
    const size_t n = a_nbytes < b_nbytes ? a_nbytes : b_nbytes;
    size_t i = 0;
    while (i < n && a[i] == b[i]) ++i;
    return i;
}

/* shared: [n_strings], the bytes that a string shares with the one before */
static size_t count_nodes(const uint8_t *bytes, const uint64_t *offsets, size_t n_strings,
                          uint8_t *shared) {
    size_t n = 1 + (size_t)offsets[n_strings];
    for (size_t i = 1; i < n_strings; ++i) {
        const uint64_t *at = offsets + i;
        shared[i] = (uint8_t)common_prefix(bytes + at[-1], (size_t)(at[0] - at[-1]), bytes + at[0],
                                           (size_t)(at[1] - at[0]));
        n -= shared[i];
    }
    return n;
}

static bool has_children(const builder *b, size_t v) { return b->n_children[v] > 0; }
/* 0: there are no more */
static size_t first_child(const builder *b, size_t v) { return has_children(b, v) ? v + 1 : 0; }

/* path: the string's nodes.  A shorter string with the same id makes it a cut. */
static void end_string(builder *b, const uint32_t *path, size_t nbytes, uint32_t id) {
    const size_t last = path[nbytes];
    for (size_t i = 1; i < nbytes && b->cuts; ++i) {
        if (b->ids[path[i]] == id + 1) b->cuts[last] = path[i];
    }
    if (!b->cuts || !b->cuts[last]) b->ids[last] = id + 1;
}

static void make_trie(builder *b, const uint8_t *bytes, const uint64_t *offsets, size_t n_strings,
                      const uint8_t *shared, const uint32_t *ids) {
    uint32_t path[ISB_CODEBOOK_MAX_STRING_NBYTES + 1] = {0}; /* nodes of the last string */
    size_t n = 1, last_nbytes = 0;
    for (size_t i = 0; i < n_strings; ++i) {
        const uint8_t *string = bytes + offsets[i];
        const size_t nbytes = (size_t)(offsets[i + 1] - offsets[i]);
        size_t depth = shared[i];
        if (depth < last_nbytes) b->siblings[path[depth + 1]] = (uint32_t)n;
        for (; depth < nbytes; ++depth, ++n) {
            ++b->n_children[path[depth]];
            b->parents[n] = path[depth];
            b->labels[n] = string[depth];
            b->nbytes[n] = (uint8_t)(depth + 1);
            path[depth + 1] = (uint32_t)n;
        }
        end_string(b, path, nbytes, ids ? ids[i] : (uint32_t)i);
        last_nbytes = nbytes;
    }
}

static isb_status allocate_trie(builder *b, bool may_have_cuts) {
    const size_t n = b->n_nodes;
    ISB_TRY(isb__alloc_array(b->ctx, n, sizeof *b->labels, &b->labels));
    ISB_TRY(isb__alloc_array(b->ctx, n, sizeof *b->nbytes, &b->nbytes));
    ISB_TRY(isb__alloc_array(b->ctx, n, sizeof *b->n_children, &b->n_children));
    ISB_TRY(isb__alloc_array(b->ctx, n, sizeof *b->parents, &b->parents));
    ISB_TRY(isb__alloc_array(b->ctx, n, sizeof *b->siblings, &b->siblings));
    ISB_TRY(isb__alloc_array(b->ctx, n, sizeof *b->bases, &b->bases));
    ISB_TRY(isb__alloc_array(b->ctx, n, sizeof *b->ids, &b->ids));
    ISB_TRY(isb__alloc_array(b->ctx, n, sizeof *b->order, &b->order));
    return may_have_cuts ? isb__alloc_array(b->ctx, n, sizeof *b->cuts, &b->cuts) : ISB_OK;
}

static isb_status too_many_nodes(const builder *b) {
    return isb__fail(b->ctx, ISB_ERR_RANGE,
                     "the strings need a tree of %zu nodes, too many for %d places; use fewer or "
                     "shorter strings",
                     b->n_nodes, ISB__AUTOMATON_MAX_BASE);
}

static isb_status build_trie(builder *b, const uint8_t *bytes, const uint64_t *offsets,
                             size_t n_strings, const uint32_t *ids) {
    uint8_t *shared;
    ISB_TRY(isb__alloc_array(b->ctx, n_strings, sizeof *shared, &shared));
    b->n_nodes = count_nodes(bytes, offsets, n_strings, shared);
    isb_status status = b->n_nodes <= ISB__AUTOMATON_MAX_BASE ? ISB_OK : too_many_nodes(b);
    if (status == ISB_OK) status = allocate_trie(b, ids != NULL);
    if (status == ISB_OK) make_trie(b, bytes, offsets, n_strings, shared, ids);
    isb__free(b->ctx, shared);
    return status;
}

/* Lists nodes that have children, those with the most first; returns how many. */
static size_t list_by_children(builder *b) {
    size_t starts[258] = {0};
    for (size_t v = 1; v < b->n_nodes; ++v) ++starts[257 - b->n_children[v]];
    for (size_t k = 1; k < 258; ++k) starts[k] += starts[k - 1];
    const size_t n = starts[256];
    for (size_t v = 1; v < b->n_nodes; ++v) {
        if (b->n_children[v] > 0) b->order[starts[256 - b->n_children[v]]++] = (uint32_t)v;
    }
    return n;
}

/* ---- places ---- */

static bool get_bit(const uint64_t *bits, size_t i) { return bits[i / 64] >> (i % 64) & 1; }
static void set_bit(uint64_t *bits, size_t i) { bits[i / 64] |= (uint64_t)1 << (i % 64); }
/* The 64 bits from bit i on. */
static uint64_t get_bits(const uint64_t *bits, size_t i) {
    const uint64_t *word = bits + i / 64;
    const size_t shift = i % 64;
    return shift ? word[0] >> shift | word[1] << (64 - shift) : word[0];
}

/* Room in the bitmaps for the bases of this block, and for their units. */
static isb_status grow_bitmaps(builder *b, size_t block) {
    ISB_TRY(isb__grow_array(b->ctx, block + 6, sizeof *b->used_bases, &b->bases_capacity,
                            &b->used_bases));
    return isb__grow_array(b->ctx, block + 6, sizeof *b->used_units, &b->units_capacity,
                           &b->used_units);
}
static inline isb_status reserve_block(builder *b, size_t block) {
    return block + 6 <= b->units_capacity ? ISB_OK : grow_bitmaps(b, block);
}

static void take_base(builder *b, size_t v, size_t base) {
    b->bases[v] = (uint32_t)base;
    set_bit(b->used_bases, base);
    if (base > b->max_base) b->max_base = base;
}

/* Bit i: whether base 64 block + i is a place for the children of v. */
static uint64_t places_in_block(const builder *b, size_t v, size_t block) {
    uint64_t used = b->used_bases[block] | (block % (ISB__NOWHERE_BASES / 64) == 0);
    for (size_t c = first_child(b, v); c && used != UINT64_MAX; c = b->siblings[c])
        used |= get_bits(b->used_units, 64 * block + b->labels[c]);
    return ~used;
}

/* In the next block with a place: those before are nearly full, and what is free there goes to nodes with fewer
 * children. */
static isb_status place_children(builder *b, size_t v) {
    uint64_t places;
    for (;; ++b->first) {
        ISB_TRY(reserve_block(b, b->first));
        places = places_in_block(b, v, b->first);
        if (places) break;
    }
    const size_t base = 64 * b->first + (size_t)__builtin_ctzll(places);
    take_base(b, v, base);
    for (size_t c = first_child(b, v); c; c = b->siblings[c])
        set_bit(b->used_units, base + b->labels[c]);
    return ISB_OK;
}

/* No children: the next base that is free. */
static isb_status place_none(builder *b, size_t v) {
    for (;; ++b->next_base) {
        ISB_TRY(reserve_block(b, b->next_base / 64));
        if (b->next_base % ISB__NOWHERE_BASES == 0 || get_bit(b->used_bases, b->next_base))
            continue;
        take_base(b, v, b->next_base);
        return ISB_OK;
    }
}

static isb_status place_all(builder *b) {
    ISB_TRY(reserve_block(b, 0));
    take_base(b, 0, ISB__ROOT_BASE);
    for (size_t c = first_child(b, 0); c; c = b->siblings[c])
        set_bit(b->used_units, (size_t)ISB__ROOT_BASE + b->labels[c]);
    const size_t n = list_by_children(b);
    for (size_t i = 0; i < n; ++i) {
        const bool first_single =
            b->n_children[b->order[i]] == 1 && (i == 0 || b->n_children[b->order[i - 1]] > 1);
        if (first_single) b->first = 0; /* they fit into the holes */
        ISB_TRY(place_children(b, b->order[i]));
    }
    for (size_t v = 1; v < b->n_nodes; ++v) {
        if (!has_children(b, v)) ISB_TRY(place_none(b, v));
    }
    return b->max_base <= ISB__AUTOMATON_MAX_BASE ? ISB_OK : too_many_nodes(b);
}

/* ---- the arrays ---- */

static isb__state unit_of(const builder *b, size_t v) {
    return (isb__state)ISB__ROOT_BASE << 32 | b->bases[v] << 9 |
           (b->ids[v] ? ISB__STATE_ACCEPTS : 0) | b->labels[v];
}
static size_t unit_place(const builder *b, size_t v) {
    return b->bases[b->parents[v]] + (size_t)b->labels[v];
}

static isb_status allocate_automaton(builder *b, isb__automaton *a) {
    a->n_nodes = b->n_nodes;
    a->n_bases = b->max_base + 1;
    a->n_units = b->max_base + 256;
    ISB_TRY(isb__alloc_array(b->ctx, a->n_units, sizeof *a->units, &a->units));
    ISB_TRY(isb__alloc_array(b->ctx, a->n_bases, sizeof *a->nodes, &a->nodes));
    return isb__alloc_array(b->ctx, a->n_bases, sizeof *a->links, &a->links);
}

static isb_status fill_units(builder *b, isb__automaton *a) {
    ISB_TRY(allocate_automaton(b, a));
    for (size_t i = 0; i < a->n_units; ++i) a->units[i] = i % ISB__NOWHERE_BASES;
    for (size_t i = 0; i < a->n_bases; ++i) a->links[i] = ISB__ROOT_BASE;
    for (size_t v = 1; v < b->n_nodes; ++v) {
        const uint32_t id = b->ids[v];
        a->units[unit_place(b, v)] = unit_of(b, v);
        a->nodes[b->bases[v]] = (uint32_t)b->nbytes[v] << 24 | (id ? id - 1 : 0);
    }
    return ISB_OK;
}

/* ---- failures ---- */

/* What happens on the way: tokens popped so far (as in isb__automaton.nodes), and the node reached. */
typedef struct trace {
    uint32_t pops, base;
} trace;

static isb_status add_pop(builder *b, isb__automaton *a, uint32_t id, size_t length,
                          uint32_t previous, uint32_t *pops) {
    ISB_TRY(isb__grow_array(b->ctx, a->n_pops + 1, sizeof *a->pops, &b->pops_capacity, &a->pops));
    if (a->n_pops >= ISB__POPS_MANY) {
        return isb__fail(
            b->ctx, ISB_ERR_RANGE,
            "the strings need more than %d lists of tokens; use fewer or shorter strings",
            ISB__POPS_MANY);
    }
    a->pops[a->n_pops] = (isb__pop){id << 9 | (uint32_t)length, previous};
    *pops = ISB__POPS_MANY | (uint32_t)a->n_pops++;
    return ISB_OK;
}

/* Appends an id to what was popped.  A first id needs no list until a second one comes. */
static isb_status append_id(builder *b, isb__automaton *a, uint32_t id, uint32_t *pops) {
    if (*pops == NONE) {
        *pops = id;
        return ISB_OK;
    }
    if (!(*pops & ISB__POPS_MANY)) ISB_TRY(add_pop(b, a, *pops, 1, 0, pops));
    const uint32_t last = *pops & ~(uint32_t)ISB__POPS_MANY;
    return add_pop(b, a, id, isb__pop_count(&a->pops[last]) + 1, last, pops);
}

/* The trace goes on from where its node leads when it pops. */
static isb_status pop(builder *b, isb__automaton *a, trace *t) {
    const uint32_t pops = isb__node_pops(a, t->base);
    t->base = a->links[t->base];
    if (!(pops & ISB__POPS_MANY)) return append_id(b, a, pops, &t->pops);
    if (t->pops == NONE) {
        t->pops = pops;
        return ISB_OK;
    }
    uint32_t ids[ISB_CODEBOOK_MAX_STRING_NBYTES];
    const isb__pop *last = &a->pops[pops & ~(uint32_t)ISB__POPS_MANY];
    const size_t n = isb__pop_count(last);
    for (size_t i = n; i > 0; --i, last = &a->pops[last->previous]) ids[i - 1] = isb__pop_id(last);
    for (size_t i = 0; i < n; ++i) ISB_TRY(append_id(b, a, ids[i], &t->pops));
    return ISB_OK;
}

static isb_status read_byte(builder *b, isb__automaton *a, trace *t, uint8_t byte) {
    while (!isb__unit_matches(a->units[(size_t)t->base + byte], byte)) ISB_TRY(pop(b, a, t));
    t->base = isb__state_base(a->units[(size_t)t->base + byte]);
    return ISB_OK;
}

/* A cut: pops the string that it stands for, and the bytes after that are read again. */
static isb_status trace_cut(builder *b, isb__automaton *a, size_t v, trace *t) {
    uint8_t bytes[ISB_CODEBOOK_MAX_STRING_NBYTES];
    const size_t string = b->cuts[v];
    size_t n = 0;
    for (; v != string; v = b->parents[v]) bytes[n++] = b->labels[v];
    *t = (trace){NONE, b->bases[string]};
    ISB_TRY(pop(b, a, t));
    while (n > 0) ISB_TRY(read_byte(b, a, t, bytes[--n]));
    return ISB_OK;
}

/* A node that is no string begins with what its parent pops; then its byte is read from where that leads, and may pop
 * more. */
static isb_status fill_failure(builder *b, isb__automaton *a, size_t v) {
    trace t = {NONE, b->bases[b->parents[v]]};
    if (b->cuts && b->cuts[v]) {
        ISB_TRY(trace_cut(b, a, v, &t));
    } else {
        ISB_TRY(pop(b, a, &t));
        ISB_TRY(read_byte(b, a, &t, b->labels[v]));
    }
    a->nodes[b->bases[v]] |= t.pops;
    a->links[b->bases[v]] = t.base;
    isb__state *unit = &a->units[unit_place(b, v)];
    *unit = (isb__state)t.base << 32 | (uint32_t)*unit;
    return ISB_OK;
}

/* Lists the nodes that are no strings, the shallowest first; returns how many. */
static size_t list_by_depth(builder *b) {
    size_t starts[257] = {0};
    for (size_t v = 1; v < b->n_nodes; ++v) starts[b->nbytes[v] + 1] += b->ids[v] == 0;
    for (size_t k = 1; k < 257; ++k) starts[k] += starts[k - 1];
    const size_t n = starts[256];
    for (size_t v = 1; v < b->n_nodes; ++v) {
        if (b->ids[v] == 0) b->order[starts[b->nbytes[v]]++] = (uint32_t)v;
    }
    return n;
}

/* By depth, since links are shallower than their nodes. */
static isb_status fill_failures(builder *b, isb__automaton *a) {
    const size_t n = list_by_depth(b);
    for (size_t i = 0; i < n; ++i) ISB_TRY(fill_failure(b, a, b->order[i]));
    return ISB_OK;
}

static isb_status build(builder *b, const uint8_t *bytes, const uint64_t *offsets, size_t n_strings,
                        const uint32_t *ids, isb__automaton *a) {
    ISB_TRY(build_trie(b, bytes, offsets, n_strings, ids));
    ISB_TRY(place_all(b));
    ISB_TRY(fill_units(b, a));
    return fill_failures(b, a);
}

static void free_builder(builder *b) {
    void *const memory[] = {b->labels,   b->nbytes,     b->n_children, b->parents,
                            b->siblings, b->bases,      b->ids,        b->cuts,
                            b->order,    b->used_units, b->used_bases};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; ++i) isb__free(b->ctx, memory[i]);
}

isb_status isb__automaton_create(isb_context *ctx, const uint8_t *bytes, const uint64_t *offsets,
                                 size_t n_strings, const uint32_t *ids, isb__automaton *automaton) {
    builder b = {.ctx = ctx};
    *automaton = (isb__automaton){0};
    const isb_status status = build(&b, bytes, offsets, n_strings, ids, automaton);
    free_builder(&b);
    if (status != ISB_OK) isb__automaton_free(ctx, automaton);
    return status;
}

void isb__automaton_free(isb_context *ctx, isb__automaton *automaton) {
    isb__free(ctx, automaton->units);
    isb__free(ctx, automaton->nodes);
    isb__free(ctx, automaton->links);
    isb__free(ctx, automaton->pops);
    *automaton = (isb__automaton){0};
}

size_t isb__automaton_nbytes(const isb__automaton *a) {
    return a->n_units * sizeof *a->units + a->n_bases * (sizeof *a->nodes + sizeof *a->links) +
           a->n_pops * sizeof *a->pops;
}
