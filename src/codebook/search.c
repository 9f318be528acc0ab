/* The search, in rounds over the tree of strings (tree.h).
 *
 * After each round, `cut` is the weight of the n-th best string so far.  It can only rise, and what is lighter than it
 * is never looked at again; when no open node is heavier, no string that has not been seen can be among the n best,
 * since all of them begin with an open node.
 *
 * A weight is a product of counts out of 2^P, rounded by IEEE multiplication from the first byte on: the same number
 * on every machine and in any order of work.  A byte's count is less than 2^P, so weights fall strictly (those of
 * strings that are less probable than 2^-1022 become 0, and are not searched further). */
#include "codebook/search.h"

#include <assert.h>
#include <math.h>

#include "codebook/tree.h"

typedef struct search {
    const isb__kind *kind;
    size_t n_wanted, max_nbytes;
    double cut;
    double unit; /* 2^-P */
    double *weights;
    size_t weights_capacity;
} search;

static isb_status expand(void *user, isb__tree *tree, uint32_t node, const uint32_t *cdf) {
    const search *s = user;
    const isb__tree_node parent = tree->nodes[node];
    const uint8_t *step = s->kind->step[parent.state];
    for (int x = 0; x < ISB__N_BYTES; ++x) {
        const double weight = parent.weight * ((cdf[x + 1] - cdf[x]) * s->unit);
        if (weight < s->cut && node != ISB__TREE_ROOT) continue;
        if (step[x] == ISB__KIND_DEAD && node != ISB__TREE_ROOT) continue;
        const isb__tree_node child = {
            .weight = weight,
            .byte = (uint8_t)x,
            .state = step[x],
            .open = step[x] != ISB__KIND_DEAD && parent.depth + 1u < s->max_nbytes,
        };
        ISB_TRY(isb__tree_add(tree, node, &child));
    }
    return ISB_OK;
}

static bool accepted(const search *s, const isb__tree_node *node) {
    return node->depth > 0 && s->kind->accepts[node->state];
}

static isb_status raise_cut(search *s, isb__tree *tree) {
    size_t n = 0;
    ISB_TRY(isb__grow_array(tree->ctx, tree->n_nodes, sizeof *s->weights, &s->weights_capacity,
                            &s->weights));
    for (size_t i = 0; i < tree->n_nodes; ++i) {
        if (accepted(s, &tree->nodes[i])) s->weights[n++] = tree->nodes[i].weight;
    }
    if (n < s->n_wanted) return ISB_OK;
    s->cut = isb__nth_largest(s->weights, n, s->n_wanted);
    return isb__tree_drop(tree, s->cut);
}

static isb_status grow(search *s, isb__tree *tree) {
    isb__progress_state progress;
    isb__progress_begin(&progress, tree->ctx, "searching strings", "string", (double)s->n_wanted);
    for (bool done = false; !done;) {
        ISB_TRY(isb__tree_round(tree, s->cut, &done));
        ISB_TRY(raise_cut(s, tree));
        isb__progress_update(&progress, fmin((double)tree->n_expanded, (double)s->n_wanted), NULL);
    }
    isb__progress_end(&progress, (double)s->n_wanted, NULL);
    return ISB_OK;
}

/* What is heavier than the cut, single bytes, and of those that weigh just as much the first. */
static isb_status choose(const search *s, const isb__tree *tree, isb__candidates *found) {
    size_t n_ties = s->n_wanted, n = 0;
    uint32_t *chosen = NULL;
    ISB_TRY(isb__alloc_array(tree->ctx, tree->n_nodes, sizeof *chosen, &chosen));
    for (size_t i = 0; i < tree->n_nodes; ++i)
        n_ties -= accepted(s, &tree->nodes[i]) && tree->nodes[i].weight > s->cut;
    for (uint32_t i = isb__tree_next(tree, ISB__TREE_ROOT); i != ISB__TREE_END;
         i = isb__tree_next(tree, i)) {
        const isb__tree_node *node = &tree->nodes[i];
        bool wanted = accepted(s, node) && node->weight >= s->cut;
        if (wanted && node->weight == s->cut) wanted = n_ties > 0 && n_ties--;
        if (wanted || node->depth == 1) chosen[n++] = i;
    }
    const isb_status status = isb__tree_collect(tree, chosen, n, found);
    isb__free(tree->ctx, chosen);
    return status;
}

isb_status isb__search_m1(isb_context *ctx, const isb__cdf_source *source, const isb__kind *kind,
                          size_t n_wanted, size_t max_nbytes, isb__candidates *found) {
    search s = {.kind = kind,
                .n_wanted = n_wanted,
                .max_nbytes = max_nbytes,
                .unit = ldexp(1, -source->precision_nbits)};
    isb__tree tree;
    assert(n_wanted > 0 && max_nbytes > 0 && max_nbytes <= ISB__TREE_MAX_DEPTH);
    *found = (isb__candidates){0};
    isb_status status = isb__tree_init(&tree, ctx, source, ISB__KIND_START, expand, &s);
    if (status == ISB_OK) status = grow(&s, &tree);
    if (status == ISB_OK) status = choose(&s, &tree, found);
    isb__tree_free(&tree);
    isb__free(ctx, s.weights);
    return status;
}
