/* Compiled windows: the coder's tree, grown in full and written down (docs/codebooks.md, "Compiled windows").
 *
 * The coder enters a node while its interval holds a whole cell, so there are finitely many nodes, and what it emits
 * depends on the deepest one that the text reaches:
 *
 *   exact   the deepest node so far that owns a cell          strings: the nodes that own a cell
 *   delay   the padded code of the deepest node itself        strings: the nodes whose code is not their parent's
 *
 * The weight of a node is the width of its interval. */
#include "codebook/windows.h"

#include "code/window.h"
#include "codebook/tree.h"

enum { LARGEST_NBITS = 16, NO_CELL = 1 << LARGEST_NBITS };

/* What belongs to a node of the tree. */
typedef struct place {
    isb__window window;
    uint32_t code; /* exact: its lowest own cell, or NO_CELL; delay: its padded code */
} place;

typedef struct compiler {
    isb_context *ctx;
    const isb__cdf_source *source;
    const isb__code_params *params;
    place *places; /* [nodes of the tree] */
    size_t capacity;
} compiler;

static bool is_exact(const compiler *c) { return c->params->variant == ISB__EXACT; }

static double width(const isb__window *window) {
    return (double)(window->high.w[0] - window->low.w[0]); /* at most 2^48 */
}

static uint32_t padded_code(const isb__window *window) {
    isb__u192 cell;
    int length;
    isb__window_padded_code(window, &cell, &length);
    return (uint32_t)cell.w[0];
}

/* The row of a node as the codec has it; *precision: its own. */
static void make_row(const compiler *c, size_t depth, const uint32_t *cdf, uint16_t *row,
                     int *precision) {
    const int b = c->params->window_nbits;
    *precision = c->params->precision_nbits;
    isb__cdf_row(cdf, c->source->n_symbols, c->source->precision_nbits, *precision, row);
    if (depth > 0 || b >= *precision) return;
    isb__cdf_first_row(row, *precision, b, row);
    *precision = b;
}

static isb_status add_child(compiler *c, isb__tree *tree, uint32_t node, uint8_t byte,
                            const isb__window *window) {
    if (window->depth > ISB__TREE_MAX_DEPTH) {
        return isb__fail(c->ctx, ISB_ERR_UNSUPPORTED,
                         "M1 is so sure of some text that a window of %d bits holds more than %d "
                         "bytes; such windows cannot be compiled",
                         c->params->window_nbits, ISB__TREE_MAX_DEPTH);
    }
    const size_t number = tree->n_nodes;
    const isb__tree_node child = {.weight = width(window), .byte = byte, .open = true};
    ISB_TRY(isb__grow_array(c->ctx, number + 1, sizeof *c->places, &c->capacity, &c->places));
    c->places[number] = (place){*window, is_exact(c) ? NO_CELL : padded_code(window)};
    return isb__tree_add(tree, node, &child);
}

static isb_status expand(void *user, isb__tree *tree, uint32_t node, const uint32_t *cdf) {
    compiler *c = user;
    uint16_t row[ISB__N_BYTES];
    int precision;
    isb__u192 cell;
    const isb__window window = c->places[node].window;
    make_row(c, window.depth, cdf, row, &precision);
    if (is_exact(c) && isb__window_own_cell(&window, row, precision, &cell))
        c->places[node].code = (uint32_t)cell.w[0];
    for (int x = 0; x < ISB__N_BYTES; ++x) {
        isb__window child = window;
        if (isb__window_descend(&child, row, precision, x))
            ISB_TRY(add_child(c, tree, node, (uint8_t)x, &child));
    }
    return ISB_OK;
}

static isb_status grow(compiler *c, isb__tree *tree) {
    place root = {.code = NO_CELL};
    isb__window_begin(&root.window, c->params->window_nbits, is_exact(c));
    ISB_TRY(isb__grow_array(c->ctx, 1, sizeof *c->places, &c->capacity, &c->places));
    c->places[ISB__TREE_ROOT] = root;
    tree->nodes[ISB__TREE_ROOT].weight = width(&root.window);
    for (bool done = false; !done;) ISB_TRY(isb__tree_round(tree, 0, &done));
    return ISB_OK;
}

/* ---- the tables ---- */

static bool is_string(const compiler *c, const isb__tree *tree, uint32_t node) {
    if (is_exact(c)) return c->places[node].code != NO_CELL;
    return c->places[node].code != c->places[tree->nodes[node].parent].code;
}

/* exact: all cells of the node, of which its children's nodes take theirs afterwards. */
static void own_cells(const isb__window *window, uint32_t node, uint32_t *owners) {
    const uint64_t end = window->high.w[0] >> 32;
    for (uint64_t cell = (window->low.w[0] + UINT32_MAX) >> 32; cell < end; ++cell)
        owners[cell] = node;
}

/* owners[id]: the node that the coder decodes it to.  chosen: the nodes that are strings, in
 * bytewise order. */
static void list_nodes(const compiler *c, const isb__tree *tree, uint32_t *owners, uint32_t *chosen,
                       size_t *n) {
    *n = 0;
    for (uint32_t i = isb__tree_next(tree, ISB__TREE_ROOT); i != ISB__TREE_END;
         i = isb__tree_next(tree, i)) {
        const place *p = &c->places[i];
        if (is_exact(c))
            own_cells(&p->window, i, owners);
        else if (owners[p->code] == ISB__TREE_ROOT) /* a prefix comes before what it begins */
            owners[p->code] = i;
        if (is_string(c, tree, i)) chosen[(*n)++] = i;
    }
}

/* ids and decoded, from nodes; numbers: [nodes], scratch. */
static void fill_tables(const compiler *c, const uint32_t *chosen, size_t n, const uint32_t *owners,
                        size_t n_codes, size_t *numbers, uint32_t *codes, size_t *decoded) {
    numbers[ISB__TREE_ROOT] = SIZE_MAX;
    for (size_t i = 0; i < n; ++i) {
        numbers[chosen[i]] = i;
        codes[i] = c->places[chosen[i]].code;
    }
    for (size_t id = 0; id < n_codes; ++id) decoded[id] = numbers[owners[id]];
}

static isb_status write_down(const compiler *c, const isb__tree *tree, isb__candidates *strings,
                             uint32_t **codes, size_t **decoded) {
    const size_t n_codes = (size_t)1 << c->params->window_nbits;
    uint32_t *owners = NULL, *chosen = NULL;
    size_t *numbers = NULL, n;
    isb_status status;
    ISB_TRY_GOTO(isb__alloc_array(c->ctx, n_codes, sizeof *owners, &owners));
    ISB_TRY_GOTO(isb__alloc_array(c->ctx, tree->n_nodes, sizeof *chosen, &chosen));
    ISB_TRY_GOTO(isb__alloc_array(c->ctx, tree->n_nodes, sizeof *numbers, &numbers));
    list_nodes(c, tree, owners, chosen, &n);
    ISB_TRY_GOTO(isb__alloc_array(c->ctx, n, sizeof **codes, codes));
    ISB_TRY_GOTO(isb__alloc_array(c->ctx, n_codes, sizeof **decoded, decoded));
    ISB_TRY_GOTO(isb__tree_collect(tree, chosen, n, strings));
    fill_tables(c, chosen, n, owners, n_codes, numbers, *codes, *decoded);
fail:
    isb__free(c->ctx, owners);
    isb__free(c->ctx, chosen);
    isb__free(c->ctx, numbers);
    return status;
}

static isb_status check_params(isb_context *ctx, const isb__code_params *params) {
    ISB_TRY(isb__code_params_check(ctx, params));
    const bool fits = params->kind == ISB__CODE_EQUAL_INFO && params->variant != ISB__GREEDY &&
                      params->reset_windows == 1 && params->token_nbits == params->window_nbits &&
                      params->window_nbits <= LARGEST_NBITS;
    if (fits) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                     "only windows of one token each can be compiled, exact or delay, with M1 "
                     "reset for each: window:b=16,reset=1");
}

isb_status isb__compile_windows(isb_context *ctx, const isb__cdf_source *source,
                                const isb__code_params *params, isb__candidates *strings,
                                uint32_t **codes, size_t **decoded) {
    compiler c = {.ctx = ctx, .source = source, .params = params};
    isb__tree tree;
    *strings = (isb__candidates){0};
    *codes = NULL;
    *decoded = NULL;
    ISB_TRY(check_params(ctx, params));
    isb_status status = isb__tree_init(&tree, ctx, source, 0, expand, &c);
    if (status == ISB_OK) status = grow(&c, &tree);
    if (status == ISB_OK) status = write_down(&c, &tree, strings, codes, decoded);
    isb__tree_free(&tree);
    isb__free(ctx, c.places);
    if (status != ISB_OK) {
        isb__candidates_free(ctx, strings);
        isb__free(ctx, *codes);
        isb__free(ctx, *decoded);
        *codes = NULL;
        *decoded = NULL;
    }
    return status;
}
