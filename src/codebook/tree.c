/* Growing the tree: which nodes a round takes, and how the streams walk them. */
#include "codebook/tree.h"

#include <assert.h>
#include <string.h>

enum {
    STRETCHES_PER_STREAM = 8, /* so that a stream whose stretch is short gets another */
    /* A round takes 1/GROWTH as many open nodes as were expanded before it, and what they bring: few
     * rounds, since each feeds shared prefixes again, but not many nodes below a bound that is
     * still rising. */
    GROWTH = 2,
    FEWEST = 16
};

/* A stream: the string that is its context, and its stretch of the tree. */
typedef struct isb__tree_walker {
    uint8_t context[ISB__TREE_MAX_DEPTH], next[ISB__TREE_MAX_DEPTH];
    size_t depth;
    bool live;          /* the context is known */
    uint32_t node, end; /* node == end: idle */
} walker;

isb_status isb__tree_init(isb__tree *tree, isb_context *ctx, const isb__cdf_source *source,
                          uint8_t state, isb__tree_expand expand, void *user) {
    const size_t n = source->max_streams, stride = (size_t)source->n_symbols + 1;
    *tree = (isb__tree){.ctx = ctx, .source = source, .expand = expand, .user = user};
    ISB_TRY(isb__alloc_array(ctx, n, sizeof *tree->walkers, &tree->walkers));
    ISB_TRY(isb__alloc_array(ctx, n, sizeof *tree->requests, &tree->requests));
    ISB_TRY(isb__alloc_array(ctx, n, stride * sizeof *tree->cdfs, &tree->cdfs));
    ISB_TRY(isb__grow_array(ctx, 1, sizeof *tree->nodes, &tree->capacity, &tree->nodes));
    tree->nodes[tree->n_nodes++] = (isb__tree_node){.weight = 1, .state = state, .open = true};
    return ISB_OK;
}

void isb__tree_free(isb__tree *tree) {
    isb__free(tree->ctx, tree->walkers);
    isb__free(tree->ctx, tree->requests);
    isb__free(tree->ctx, tree->cdfs);
    isb__free(tree->ctx, tree->nodes);
    isb__free(tree->ctx, tree->starts);
    isb__free(tree->ctx, tree->weights);
    *tree = (isb__tree){.ctx = tree->ctx};
}

isb_status isb__tree_add(isb__tree *tree, uint32_t parent, const isb__tree_node *child) {
    if (tree->n_nodes == ISB__TREE_END)
        return isb__fail(tree->ctx, ISB_ERR_RANGE,
                         "the tree of strings has 2^32 nodes; ask for fewer strings");
    ISB_TRY(isb__grow_array(tree->ctx, tree->n_nodes + 1, sizeof *tree->nodes, &tree->capacity,
                            &tree->nodes));
    isb__tree_node *above = &tree->nodes[parent], *added = &tree->nodes[tree->n_nodes];
    assert(child->weight < above->weight || child->weight == 0);
    *added = *child;
    added->parent = parent;
    added->depth = (uint8_t)(above->depth + 1);
    if (above->n_children++ == 0) above->first_child = (uint32_t)tree->n_nodes;
    ++tree->n_nodes;
    return ISB_OK;
}

/* ---- order ---- */

static uint32_t next_outside(const isb__tree *tree, uint32_t node) {
    const isb__tree_node *nodes = tree->nodes;
    for (; node != ISB__TREE_ROOT; node = nodes[node].parent) {
        const isb__tree_node *parent = &nodes[nodes[node].parent];
        if (node + 1 < parent->first_child + parent->n_children) return node + 1;
    }
    return ISB__TREE_END;
}

uint32_t isb__tree_next(const isb__tree *tree, uint32_t node) {
    const isb__tree_node *n = &tree->nodes[node];
    return n->n_children > 0 ? n->first_child : next_outside(tree, node);
}

/* The first open node from this one on, before `end`, that weighs at least `least`; or `end`, which
 * is such a weight too, open or not, or ISB__TREE_END. */
static uint32_t find_open(const isb__tree *tree, uint32_t node, double least, uint32_t end) {
    while (node != end) {
        const isb__tree_node *n = &tree->nodes[node];
        if (n->weight < least) {
            node = next_outside(tree, node);
        } else if (n->open) {
            break;
        } else {
            node = isb__tree_next(tree, node);
        }
    }
    return node;
}

void isb__tree_string(const isb__tree *tree, uint32_t node, uint8_t *bytes) {
    for (size_t i = tree->nodes[node].depth; i > 0; node = tree->nodes[node].parent)
        bytes[--i] = tree->nodes[node].byte;
}

/* Quickselect (Hoare 1961): [low, high) is what is left to look at, the larger values first. */
double isb__nth_largest(double *values, size_t count, size_t n) {
    size_t low = 0, high = count;
    assert(n >= 1 && n <= count);
    while (high - low > 1) {
        const double pivot = values[low + (high - low) / 2];
        size_t i = low, j = high - 1;
        for (;; ++i, --j) {
            while (values[i] > pivot) ++i;
            while (values[j] < pivot) --j;
            if (i >= j) break;
            const double value = values[i];
            values[i] = values[j];
            values[j] = value;
        }
        /* values[low .. i) >= pivot >= values[i .. high); i == low: values[low] is the largest. */
        i += i == low;
        if (n - 1 < i) {
            high = i;
        } else {
            low = i;
        }
    }
    return values[low];
}

isb_status isb__tree_collect(const isb__tree *tree, const uint32_t *chosen, size_t n,
                             isb__candidates *strings) {
    isb_status status;
    size_t nbytes = 0;
    *strings = (isb__candidates){.n = n};
    for (size_t i = 0; i < n; ++i) nbytes += tree->nodes[chosen[i]].depth;
    ISB_TRY_GOTO(isb__alloc(tree->ctx, nbytes, &strings->bytes));
    ISB_TRY_GOTO(isb__alloc_array(tree->ctx, n + 1, sizeof *strings->offsets, &strings->offsets));
    ISB_TRY_GOTO(isb__alloc_array(tree->ctx, n, sizeof *strings->weights, &strings->weights));
    for (size_t i = 0; i < n; ++i) {
        isb__tree_string(tree, chosen[i], strings->bytes + strings->offsets[i]);
        strings->offsets[i + 1] = strings->offsets[i] + tree->nodes[chosen[i]].depth;
        strings->weights[i] = tree->nodes[chosen[i]].weight;
    }
    return ISB_OK;
fail:
    isb__candidates_free(tree->ctx, strings);
    return status;
}

/* ---- rounds ---- */

/* The weight down to which the round goes; *any: there is something to do. */
static isb_status choose_least(isb__tree *tree, double above, double *least, bool *any) {
    size_t n = 0;
    ISB_TRY(isb__grow_array(tree->ctx, tree->n_nodes, sizeof *tree->weights,
                            &tree->weights_capacity, &tree->weights));
    for (size_t i = 0; i < tree->n_nodes; ++i) {
        if (tree->nodes[i].open && tree->nodes[i].weight > above)
            tree->weights[n++] = tree->nodes[i].weight;
    }
    *any = n > 0;
    if (n == 0) return ISB_OK;
    const size_t grown = tree->n_expanded / GROWTH;
    const size_t wanted = grown > FEWEST ? grown : FEWEST;
    *least = isb__nth_largest(tree->weights, n, wanted < n ? wanted : n);
    return ISB_OK;
}

static isb_status list_starts(isb__tree *tree, double least, size_t *n) {
    *n = 0;
    const uint32_t end = ISB__TREE_END;
    for (uint32_t node = find_open(tree, ISB__TREE_ROOT, least, end); node != end;
         node = find_open(tree, isb__tree_next(tree, node), least, end)) {
        ISB_TRY(isb__grow_array(tree->ctx, *n + 1, sizeof *tree->starts, &tree->starts_capacity,
                                &tree->starts));
        tree->starts[(*n)++] = node;
    }
    return ISB_OK;
}

/* Brings the stream from its context to the node's string: back to what they share, then on. */
static isb_status make_request(isb__tree *tree, size_t stream, isb__cdf_request *request) {
    walker *w = &tree->walkers[stream];
    const size_t depth = tree->nodes[w->node].depth;
    size_t shared = 0;
    isb__tree_string(tree, w->node, w->next);
    while (w->live && shared < depth && shared < w->depth && w->context[shared] == w->next[shared])
        ++shared;
    if (shared < w->depth && w->live)
        ISB_TRY(tree->source->rewind(tree->source->self, stream, w->depth - shared));
    *request = (isb__cdf_request){.stream = stream,
                                  .restart = !w->live,
                                  .bytes = w->next + shared,
                                  .n_bytes = depth - shared,
                                  .n_cdfs = 1};
    memcpy(w->context, w->next, depth);
    w->depth = depth;
    w->live = true;
    tree->n_fed += depth - shared;
    return ISB_OK;
}

static isb_status step(isb__tree *tree, double least, size_t n) {
    const size_t stride = (size_t)tree->source->n_symbols + 1;
    ISB_TRY(isb__check_cancel(tree->ctx));
    ISB_TRY(isb__cdf_evaluate(tree->ctx, tree->source, n, tree->requests));
    for (size_t i = 0; i < n; ++i) {
        walker *w = &tree->walkers[tree->requests[i].stream];
        tree->nodes[w->node].open = false;
        ++tree->n_expanded;
        ISB_TRY(tree->expand(tree->user, tree, w->node, tree->cdfs + i * stride));
        w->node = find_open(tree, isb__tree_next(tree, w->node), least, w->end);
    }
    return ISB_OK;
}

/* Deals out starts[0 .. n) in stretches; each also has what grows inside it meanwhile, and ends
 * where the next one starts. */
static isb_status walk(isb__tree *tree, double least, size_t n) {
    const size_t n_streams = tree->source->max_streams,
                 stride = (size_t)tree->source->n_symbols + 1;
    const size_t most = n_streams * STRETCHES_PER_STREAM, n_stretches = n < most ? n : most;
    for (size_t stretch = 0;;) {
        size_t n_requests = 0;
        for (size_t i = 0; i < n_streams; ++i) {
            walker *w = &tree->walkers[i];
            if (w->node == w->end && stretch < n_stretches) {
                const size_t end = ++stretch * n / n_stretches;
                w->node = tree->starts[(stretch - 1) * n / n_stretches];
                w->end = end < n ? tree->starts[end] : ISB__TREE_END;
            }
            if (w->node == w->end) continue;
            isb__cdf_request *request = &tree->requests[n_requests];
            ISB_TRY(make_request(tree, i, request));
            request->cdfs = tree->cdfs + n_requests++ * stride;
        }
        if (n_requests == 0) return ISB_OK;
        ISB_TRY(step(tree, least, n_requests));
    }
}

isb_status isb__tree_round(isb__tree *tree, double above, bool *done) {
    double least = 0;
    bool any;
    size_t n;
    ISB_TRY(choose_least(tree, above, &least, &any));
    *done = !any;
    if (!any) return ISB_OK;
    ISB_TRY(list_starts(tree, least, &n));
    return walk(tree, least, n);
}

isb_status isb__tree_drop(isb__tree *tree, double below) {
    uint32_t *numbers = NULL;
    size_t n = 0;
    ISB_TRY(isb__alloc_array(tree->ctx, tree->n_nodes, sizeof *numbers, &numbers));
    for (size_t i = 0; i < tree->n_nodes; ++i) {
        isb__tree_node node = tree->nodes[i];
        if (node.weight < below && node.depth > 1) continue; /* its children are lighter */
        numbers[i] = (uint32_t)n;
        node.parent = numbers[node.parent];
        node.n_children = 0;
        tree->nodes[n] = node;
        isb__tree_node *parent = &tree->nodes[node.parent];
        if (n > 0 && parent->n_children++ == 0) parent->first_child = (uint32_t)n;
        ++n;
    }
    tree->n_nodes = n;
    isb__free(tree->ctx, numbers);
    return ISB_OK;
}
