/* Blocks and their parts. */
#include "train/shares.h"

/* Gaps between tensors align them to 16 floats. */
enum { GAP_MOST = 16 };

static bool goes_on(const isb__block *b, const isb__piece *p) {
    const float *data_end = b->data + b->n, *grad_end = b->grad + b->n;
    return p->data >= data_end && p->grad - grad_end == p->data - data_end &&
           p->data - data_end < GAP_MOST;
}

static void find_blocks(isb__shares *s, size_t n_pieces, const isb__piece *pieces) {
    s->n_blocks = 0;
    for (size_t i = 0; i < n_pieces; ++i) {
        const isb__piece *p = &pieces[i];
        isb__block *b = s->n_blocks > 0 ? &s->blocks[s->n_blocks - 1] : NULL;
        if (b && goes_on(b, p)) {
            b->n = (size_t)(p->data - b->data) + p->n;
        } else {
            s->blocks[s->n_blocks++] = (isb__block){.data = p->data, .grad = p->grad, .n = p->n};
        }
    }
}

/* The border of rank r: the first piece at or after its even share. */
static void find_parts(const isb__shares *s, size_t n_pieces, const isb__piece *pieces) {
    const size_t R = (size_t)isb__comm_size(s->comm);
    for (size_t b = 0, i = 0; b < s->n_blocks; ++b) {
        isb__block *block = &s->blocks[b];
        block->parts = s->parts + b * (R + 1);
        for (size_t r = 0; r <= R; ++r) block->parts[r] = r == 0 ? 0 : block->n;
        const float *end = block->data + block->n;
        for (size_t r = 1; i < n_pieces && pieces[i].data >= block->data && pieces[i].data < end;
             ++i) {
            const size_t at = (size_t)(pieces[i].data - block->data);
            while (r < R && at >= block->n / R * r) block->parts[r++] = at;
        }
    }
}

isb_status isb__shares_create(isb_context *ctx, isb__comm *comm, size_t n_pieces,
                              const isb__piece *pieces, isb__shares *s) {
    const size_t R = (size_t)isb__comm_size(comm);
    isb_status status = ISB_OK;
    *s = (isb__shares){.ctx = ctx, .comm = comm};
    ISB_TRY_GOTO(isb__alloc_array(ctx, n_pieces, sizeof *s->blocks, &s->blocks));
    find_blocks(s, n_pieces, pieces);
    ISB_TRY_GOTO(isb__alloc_array(ctx, s->n_blocks, (R + 1) * sizeof *s->parts, &s->parts));
    find_parts(s, n_pieces, pieces);
    return ISB_OK;
fail:
    isb__shares_free(s);
    return status;
}

void isb__shares_free(isb__shares *s) {
    if (!s->ctx) return;
    isb__free(s->ctx, s->parts);
    isb__free(s->ctx, s->blocks);
    *s = (isb__shares){0};
}

const isb__block *isb__shares_block(const isb__shares *s, const float *data) {
    const isb__block *b = s->blocks;
    while (data < b->data || data >= b->data + b->n) ++b;
    return b;
}

size_t isb__block_begin(const isb__shares *s, const isb__block *b) {
    return b->parts[isb__comm_rank(s->comm)];
}

size_t isb__block_count(const isb__shares *s, const isb__block *b) {
    const int rank = isb__comm_rank(s->comm);
    return b->parts[rank + 1] - b->parts[rank];
}

bool isb__shares_own(const isb__shares *s, const float *data) {
    const isb__block *b = isb__shares_block(s, data);
    const size_t at = (size_t)(data - b->data), begin = isb__block_begin(s, b);
    return at >= begin && at < begin + isb__block_count(s, b);
}

isb_status isb__shares_reduce(const isb__shares *s, bool all) {
    for (size_t i = 0; i < s->n_blocks; ++i) {
        const isb__block *b = &s->blocks[i];
        ISB_TRY(isb__comm_reduce_scatter_f32(s->comm, b->parts, b->grad));
        if (all) ISB_TRY(isb__comm_all_gather_f32(s->comm, b->parts, b->grad));
    }
    return ISB_OK;
}

isb_status isb__shares_gather(const isb__shares *s) {
    for (size_t i = 0; i < s->n_blocks; ++i)
        ISB_TRY(isb__comm_all_gather_f32(s->comm, s->blocks[i].parts, s->blocks[i].data));
    return ISB_OK;
}

isb_status isb__shares_broadcast(const isb__shares *s) {
    for (size_t i = 0; i < s->n_blocks; ++i) {
        const isb__block *b = &s->blocks[i];
        ISB_TRY(isb__comm_broadcast(s->comm, 0, b->n * sizeof *b->data, b->data));
    }
    return ISB_OK;
}
