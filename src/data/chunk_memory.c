/* A plan of memory before any is taken.  It depends on the options, the file's chunk size and
 * M1's sizes, which were bounded when they were read; what it decides changes the speed, never a
 * file's bytes. */
#include "data/chunk_memory.h"

#include <inttypes.h>

enum {
    STREAMS_A_THREAD = 64, /* the most that suit M1: src/m1/source.c */
    GROUPS_OF_STREAMS = 4, /* chunks a stream: few streams idle at a group's end */
    MOST_GROUP_NBYTES = 64 << 20,
    FIXED_NBYTES = 2 << 20 /* buffers of files, tables of chunks */
};

/* For each chunk of a group: raw bytes, payload, M1's code as 32-bit ids, up to twice while it
 * grows. */
static uint64_t chunk_cost(const isb__chunk_memory *memory) {
    return (uint64_t)memory->chunk_nbytes * (memory->packing ? 12 : 8) + 256;
}

/* A state of zstd: tables of up to 6 bytes a byte at the levels used, and its fixed part. */
static uint64_t slot_cost(const isb__chunk_memory *memory) {
    return memory->packing ? (uint64_t)memory->chunk_nbytes * 6 + (3 << 20) : 256 << 10;
}

/* A lane of the codec: the text, its code as bytes and ids, CDFs of 128 positions. */
static uint64_t stream_cost(const isb__chunk_memory *memory, const isb__found_m1 *m1) {
    return m1->stream_nbytes + (uint64_t)memory->chunk_nbytes * 10 + (512 << 10);
}

static isb_status refuse(isb_context *ctx, const isb__chunk_memory *memory, const char *what,
                         uint64_t half_nbytes) {
    return isb__fail(ctx, ISB_ERR_NO_MEMORY,
                     "%s of %zu bytes need a memory limit of %" PRIu64 " bytes; it is %" PRIu64,
                     what, memory->chunk_nbytes, 2 * half_nbytes, memory->limit_nbytes);
}

static size_t at_most(uint64_t a, uint64_t b) { return (size_t)(a < b ? a : b); }

static uint64_t most_streams(isb_context *ctx, const isb__chunk_memory *memory) {
    return memory->wanted_streams > 0 ? memory->wanted_streams
                                      : (uint64_t)isb__thread_count(ctx) * STREAMS_A_THREAD;
}

isb_status isb__chunk_memory_plan(isb_context *ctx, isb__chunk_memory *memory) {
    const uint64_t chunk = chunk_cost(memory), slot = slot_cost(memory),
                   n_threads = (uint64_t)isb__thread_count(ctx), half = memory->limit_nbytes / 2;
    if (half < FIXED_NBYTES + chunk + slot)
        return refuse(ctx, memory, "chunks", FIXED_NBYTES + chunk + slot);
    const uint64_t room = half - FIXED_NBYTES;
    memory->n_slots = at_most(n_threads, room / (chunk + slot));
    uint64_t group = (room - memory->n_slots * slot) / chunk;
    group = at_most(group, MOST_GROUP_NBYTES / memory->chunk_nbytes);
    memory->group = at_most(group, GROUPS_OF_STREAMS * most_streams(ctx, memory));
    return ISB_OK;
}

isb_status isb__chunk_memory_streams(isb_context *ctx, const isb__chunk_memory *memory,
                                     const isb__found_m1 *m1, uint64_t n_chunks,
                                     size_t *n_streams) {
    const uint64_t stream = stream_cost(memory, m1), half = memory->limit_nbytes / 2;
    if (half < m1->nbytes || half - m1->nbytes < stream)
        return refuse(ctx, memory, "this M1 and chunks", m1->nbytes + stream);
    const uint64_t fit = (half - m1->nbytes) / stream, most = most_streams(ctx, memory);
    const bool suits = memory->wanted_streams == 0 && fit >= most && n_chunks >= most;
    *n_streams = suits ? 0 : at_most(at_most(fit, most), n_chunks);
    return ISB_OK;
}

isb_status isb__chunk_memory_allows_m1(isb_context *ctx, const isb__chunk_memory *memory,
                                       uint64_t nbytes) {
    /* the file's bytes and, for a moment, the same as weights */
    if (nbytes <= memory->limit_nbytes / 4) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_NO_MEMORY,
                     "the M1 in the file, of %" PRIu64 " bytes, needs a memory limit of %" PRIu64
                     " bytes; it is %" PRIu64,
                     nbytes, 4 * nbytes, memory->limit_nbytes);
}
