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

enum { MAX_TRIES = 24 /* blocks of 64 bases looked at from the first one that may have room */ };
#define NONE UINT32_MAX

typedef struct node {
    uint32_t sibling; /* the parent's next child, or 0 */
    uint32_t base;
    uint32_t id;  /* NONE: no string ends here */
    uint32_t cut; /* the node of the string that this one stands for; 0: it is no cut */
    uint16_t n_children;
    uint8_t label, nbytes;
} node;

typedef struct builder {
    isb_context *ctx;
    node *nodes;     /* in preorder; 0 is the root */
    uint32_t *order; /* [n_nodes]: some sorting of them */
    size_t n_nodes;
    uint64_t *used_units, *used_bases; /* bitmaps of `capacity` words */
    size_t units_capacity, bases_capacity;
    size_t first;     /* block of 64 bases where the search for places begins */
    size_t next_unit; /* where the search for a free unit begins */
    size_t next_base; /* likewise for a base that needs no units */
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

static size_t count_nodes(const uint8_t *bytes, const uint64_t *offsets, size_t n_strings) {
    size_t n = 1 + offsets[n_strings];
    for (size_t i = 1; i < n_strings; ++i) {
        const uint64_t *at = offsets + i;
        n -= common_prefix(bytes + at[-1], at[0] - at[-1], bytes + at[0], at[1] - at[0]);
    }
    return n;
}

static bool has_children(const builder *b, size_t v) { return b->nodes[v].n_children > 0; }
/* 0: there are no more */
static size_t first_child(const builder *b, size_t v) { return has_children(b, v) ? v + 1 : 0; }

/* path: the string's nodes. */
static void end_string(builder *b, const uint32_t *path, size_t nbytes, uint32_t id) {
    node *last = &b->nodes[path[nbytes]];
    for (size_t i = 1; i < nbytes; ++i) {
        if (b->nodes[path[i]].id == id) last->cut = path[i];
    }
    if (!last->cut) last->id = id;
}

static void make_trie(builder *b, const uint8_t *bytes, const uint64_t *offsets, size_t n_strings,
                      const uint32_t *ids) {
    uint32_t path[ISB_CODEBOOK_MAX_STRING_NBYTES + 1] = {0}; /* nodes of the last string */
    size_t n = 1, last_nbytes = 0;
    b->nodes[0].id = NONE;
    for (size_t i = 0; i < n_strings; ++i) {
        const uint8_t *string = bytes + offsets[i];
        const size_t nbytes = offsets[i + 1] - offsets[i];
        size_t depth = common_prefix(string - last_nbytes, last_nbytes, string, nbytes);
        if (depth < last_nbytes) b->nodes[path[depth + 1]].sibling = (uint32_t)n;
        for (; depth < nbytes; ++depth, ++n) {
            ++b->nodes[path[depth]].n_children;
            b->nodes[n] =
                (node){.id = NONE, .label = string[depth], .nbytes = (uint8_t)(depth + 1)};
            path[depth + 1] = (uint32_t)n;
        }
        end_string(b, path, nbytes, ids ? ids[i] : (uint32_t)i);
        last_nbytes = nbytes;
    }
}

/* Nodes with more than one child, those with the most first; returns how many.  They go to b->order. */
static size_t list_by_children(builder *b) {
    size_t starts[258] = {0};
    for (size_t v = 1; v < b->n_nodes; ++v) ++starts[257 - b->nodes[v].n_children];
    for (size_t k = 1; k < 258; ++k) starts[k] += starts[k - 1];
    const size_t n = starts[255];
    for (size_t v = 1; v < b->n_nodes; ++v) {
        const size_t n_children = b->nodes[v].n_children;
        if (n_children > 1) b->order[starts[256 - n_children]++] = (uint32_t)v;
    }
    return n;
}

/* Nodes with children, the shallowest first, without the root; returns how many. */
static size_t list_by_depth(builder *b) {
    size_t starts[257] = {0}, n = 0;
    for (size_t v = 1; v < b->n_nodes; ++v) {
        starts[b->nodes[v].nbytes + 1] += has_children(b, v);
        n += has_children(b, v);
    }
    for (size_t k = 1; k < 257; ++k) starts[k] += starts[k - 1];
    for (size_t v = 1; v < b->n_nodes; ++v) {
        if (has_children(b, v)) b->order[starts[b->nodes[v].nbytes]++] = (uint32_t)v;
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

static void take_base(builder *b, node *v, size_t base) {
    v->base = (uint32_t)base;
    set_bit(b->used_bases, base);
    if (base > b->max_base) b->max_base = base;
}

/* Bit i: whether base 64 block + i is a place for the children of v. */
static uint64_t places_in_block(const builder *b, size_t v, size_t block) {
    uint64_t used = b->used_bases[block] | (block % (ISB__NOWHERE_BASES / 64) == 0);
    for (size_t c = first_child(b, v); c && used != UINT64_MAX; c = b->nodes[c].sibling)
        used |= get_bits(b->used_units, 64 * block + b->nodes[c].label);
    return ~used;
}

static isb_status place_many(builder *b, size_t v) {
    size_t block = b->first;
    uint64_t places;
    for (;; ++block) {
        ISB_TRY(reserve_block(b, block));
        places = places_in_block(b, v, block);
        if (places) break;
    }
    if (block - b->first > MAX_TRIES) b->first = block - MAX_TRIES / 2;
    const size_t base = 64 * block + (size_t)__builtin_ctzll(places);
    take_base(b, &b->nodes[v], base);
    for (size_t c = first_child(b, v); c; c = b->nodes[c].sibling)
        set_bit(b->used_units, base + b->nodes[c].label);
    return ISB_OK;
}

/* One child: the next free unit whose base is free too. */
static isb_status place_one(builder *b, size_t v) {
    const uint8_t label = b->nodes[v + 1].label;
    for (size_t unit = b->next_unit;; ++unit) {
        ISB_TRY(reserve_block(b, unit / 64));
        if (get_bit(b->used_units, unit) || unit < label) continue;
        const size_t base = unit - label;
        if (base % ISB__NOWHERE_BASES == 0 || get_bit(b->used_bases, base)) continue;
        take_base(b, &b->nodes[v], base);
        set_bit(b->used_units, unit);
        b->next_unit = unit + 1;
        return ISB_OK;
    }
}

static isb_status place_none(builder *b, size_t v) {
    for (size_t base = b->next_base;; ++base) {
        ISB_TRY(reserve_block(b, base / 64));
        if (base % ISB__NOWHERE_BASES == 0 || get_bit(b->used_bases, base)) continue;
        take_base(b, &b->nodes[v], base);
        b->next_base = base + 1;
        return ISB_OK;
    }
}

static isb_status place_all(builder *b) {
    ISB_TRY(reserve_block(b, 0));
    take_base(b, &b->nodes[0], ISB__STATE_ROOT >> 9);
    for (size_t c = first_child(b, 0); c; c = b->nodes[c].sibling)
        set_bit(b->used_units, 1u + b->nodes[c].label);
    const size_t n_many = list_by_children(b);
    for (size_t i = 0; i < n_many; ++i) ISB_TRY(place_many(b, b->order[i]));
    for (size_t v = 1; v < b->n_nodes; ++v) {
        if (b->nodes[v].n_children == 1) ISB_TRY(place_one(b, v));
    }
    for (size_t v = 1; v < b->n_nodes; ++v) {
        if (!has_children(b, v)) ISB_TRY(place_none(b, v));
    }
    if (b->max_base <= ISB__AUTOMATON_MAX_BASE) return ISB_OK;
    return isb__fail(b->ctx, ISB_ERR_RANGE,
                     "the strings need a tree of %zu nodes, too many for %d places; use fewer or "
                     "shorter strings",
                     b->n_nodes, ISB__AUTOMATON_MAX_BASE);
}

/* ---- the arrays ---- */

static uint32_t unit_of(const node *v) {
    return v->base << 9 | (v->id != NONE ? ISB__STATE_ACCEPTS : 0) | v->label;
}

static isb_status fill_units(builder *b, isb__automaton *a) {
    a->n_nodes = b->n_nodes;
    a->n_bases = b->max_base + 1;
    a->n_units = b->max_base + 256;
    ISB_TRY(isb__alloc_array(b->ctx, a->n_units, sizeof *a->units, &a->units));
    ISB_TRY(isb__alloc_array(b->ctx, a->n_bases, sizeof *a->nodes, &a->nodes));
    ISB_TRY(isb__alloc_array(b->ctx, a->n_bases, sizeof *a->links, &a->links));
    for (size_t i = 0; i < a->n_units; ++i) a->units[i] = (uint32_t)i % ISB__NOWHERE_BASES;
    for (size_t v = 0; v < b->n_nodes; ++v) {
        const node *n = &b->nodes[v];
        a->nodes[n->base] = (uint32_t)n->nbytes << 24 | (n->id != NONE ? n->id : 0);
        a->links[n->base] = ISB__STATE_ROOT;
        for (size_t c = first_child(b, v); c; c = b->nodes[c].sibling)
            a->units[n->base + b->nodes[c].label] = unit_of(&b->nodes[c]);
    }
    return ISB_OK;
}

/* ---- failures ---- */

/* What happens on the way: tokens popped so far (as in isb__automaton.nodes), and the state reached. */
typedef struct trace {
    uint32_t pops, link;
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

/* The trace goes on from where its state leads when it pops. */
static isb_status pop(builder *b, isb__automaton *a, trace *t) {
    const uint32_t pops = isb__state_pops(a, t->link);
    t->link = isb__state_link(a, t->link);
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
    while (!isb__unit_matches(isb__state_next(a, t->link, byte), byte)) ISB_TRY(pop(b, a, t));
    t->link = isb__state_next(a, t->link, byte);
    return ISB_OK;
}

/* A cut: pops the string that it stands for, and the bytes after that are read again. */
static isb_status trace_cut(builder *b, isb__automaton *a, size_t v, trace *t) {
    size_t at = b->nodes[v].cut;
    *t = (trace){NONE, unit_of(&b->nodes[at])};
    ISB_TRY(pop(b, a, t));
    while (at != v) { /* to the child that v is, or is below */
        for (++at; b->nodes[at].sibling && b->nodes[at].sibling <= v;) at = b->nodes[at].sibling;
        ISB_TRY(read_byte(b, a, t, b->nodes[at].label));
    }
    return ISB_OK;
}

/* All children of v that are no strings: but for cuts, they begin with what v pops; then their byte is read from where that leads, and
 * may pop more. */
static isb_status fill_failures_below(builder *b, isb__automaton *a, size_t v) {
    trace start = {NONE, unit_of(&b->nodes[v])};
    bool started = false;
    for (size_t c = first_child(b, v); c; c = b->nodes[c].sibling) {
        const node *child = &b->nodes[c];
        if (child->id != NONE) continue;
        if (!started) ISB_TRY(pop(b, a, &start));
        started = true;
        trace t = start;
        ISB_TRY(child->cut ? trace_cut(b, a, c, &t) : read_byte(b, a, &t, child->label));
        a->nodes[child->base] |= t.pops;
        a->links[child->base] = t.link;
    }
    return ISB_OK;
}

/* By depth: links are shallower than their nodes.  The root's children are strings. */
static isb_status fill_failures(builder *b, isb__automaton *a) {
    const size_t n = list_by_depth(b);
    for (size_t i = 0; i < n; ++i) ISB_TRY(fill_failures_below(b, a, b->order[i]));
    return ISB_OK;
}

static isb_status build(builder *b, const uint8_t *bytes, const uint64_t *offsets, size_t n_strings,
                        const uint32_t *ids, isb__automaton *a) {
    b->n_nodes = count_nodes(bytes, offsets, n_strings);
    ISB_TRY(isb__alloc_array(b->ctx, b->n_nodes, sizeof *b->nodes, &b->nodes));
    ISB_TRY(isb__alloc_array(b->ctx, b->n_nodes, sizeof *b->order, &b->order));
    make_trie(b, bytes, offsets, n_strings, ids);
    ISB_TRY(place_all(b));
    ISB_TRY(fill_units(b, a));
    return fill_failures(b, a);
}

isb_status isb__automaton_create(isb_context *ctx, const uint8_t *bytes, const uint64_t *offsets,
                                 size_t n_strings, const uint32_t *ids, isb__automaton *automaton) {
    builder b = {.ctx = ctx};
    *automaton = (isb__automaton){0};
    const isb_status status = build(&b, bytes, offsets, n_strings, ids, automaton);
    isb__free(ctx, b.nodes);
    isb__free(ctx, b.order);
    isb__free(ctx, b.used_units);
    isb__free(ctx, b.used_bases);
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
