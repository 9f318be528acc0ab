/* Lossless compression of files: docs/container.md, "What a writer does".
 *
 * Chunks are read and packed in groups.  First all threads test the group's chunks
 * (pack_chunk.c); then M1 codes those that it may make smaller, a stream each, on all threads;
 * then the chunks are written in order.  What a chunk becomes depends on its bytes and M1 alone,
 * so groups can be as large as memory allows. */
#include <string.h>
#include <sys/stat.h>

#include "data/container_run.h"
#include "data/pack_chunk.h"

typedef struct packing {
    isb__container_run run;
    isb__container_writer container;
    isb__packed_chunk *chunks; /* [group] each */
    isb__bytes_view *texts;    /* of the chunks that M1 codes */
    isb__encoded *codes;
    size_t *coded;         /* and their numbers in the group */
    isb__chunk_zstd *zstd; /* [n_slots] */
    uint8_t *raw, *packed; /* [group, chunk] */
    uint8_t *ac;           /* [chunk] */
    size_t n;              /* chunks in the group */
    bool end;              /* it is the last one */
} packing;

void isb_compress_options_init(isb_compress_options *options) {
    *options = (isb_compress_options){.struct_size = sizeof *options};
}

static isb_status allocate(packing *p) {
    const isb__chunk_memory *memory = &p->run.memory;
    const size_t n = memory->group, chunk = memory->chunk_nbytes;
    isb_context *ctx = p->run.ctx;
    ISB_TRY(isb__alloc_array(ctx, n, sizeof *p->chunks, &p->chunks));
    ISB_TRY(isb__alloc_array(ctx, n, sizeof *p->texts, &p->texts));
    ISB_TRY(isb__alloc_array(ctx, n, sizeof *p->codes, &p->codes));
    ISB_TRY(isb__alloc_array(ctx, n, sizeof *p->coded, &p->coded));
    ISB_TRY(isb__alloc_array(ctx, memory->n_slots, sizeof *p->zstd, &p->zstd));
    ISB_TRY(isb__alloc_array(ctx, n, chunk, &p->raw));
    ISB_TRY(isb__alloc_array(ctx, n, chunk, &p->packed));
    return isb__alloc(ctx, chunk, &p->ac);
}

static void packing_free(packing *p) {
    isb_context *ctx = p->run.ctx;
    for (size_t i = 0; p->zstd && i < p->run.memory.n_slots; i++) isb__chunk_zstd_free(&p->zstd[i]);
    void *const owned[] = {p->chunks, p->texts, p->codes,  p->coded,
                           p->zstd,   p->raw,   p->packed, p->ac};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) isb__free(ctx, owned[i]);
    isb__container_writer_free(&p->container);
    isb__container_run_free(&p->run);
}

/* ---- a group ---- */

static isb_status write_out(void *user, const void *data, size_t nbytes) {
    const packing *p = user;
    return isb__writer_write(p->run.writer, data, nbytes);
}

static isb_status read_group(packing *p) {
    const size_t chunk = p->run.memory.chunk_nbytes, most = p->run.memory.group * chunk;
    size_t got;
    ISB_TRY(isb__container_run_read(&p->run, p->raw, most, &got));
    p->end = got < most;
    p->n = (got + chunk - 1) / chunk;
    for (size_t i = 0; i < p->n; i++) {
        const size_t at = i * chunk, left = got - at;
        p->chunks[i] = (isb__packed_chunk){
            .raw = p->raw + at, .raw_nbytes = left < chunk ? left : chunk, .zstd = p->packed + at};
    }
    return ISB_OK;
}

/* Every n_slots-th chunk: states of zstd are as many as the plan has, whichever threads run. */
static void pack_some(void *arg, size_t slot, int thread) {
    packing *p = arg;
    (void)thread;
    for (size_t i = slot; i < p->n; i += p->run.memory.n_slots) {
        if (!isb__cancelled(p->run.ctx)) isb__pack_chunk(&p->zstd[slot], &p->chunks[i]);
    }
}

static isb_status pack_without_m1(packing *p) {
    const size_t n_slots = p->run.memory.n_slots;
    isb__parallel(p->run.ctx, p->n < n_slots ? p->n : n_slots, pack_some, p);
    ISB_TRY(isb__check_cancel(p->run.ctx));
    for (size_t i = 0; i < p->n; i++) {
        if (p->chunks[i].status != ISB_OK)
            return isb__fail(p->run.ctx, p->chunks[i].status, "no memory for zstd");
    }
    return ISB_OK;
}

static isb_status code_with_m1(packing *p, size_t *n_coded) {
    size_t n = 0, nbytes = 0;
    for (size_t i = 0; i < p->n; i++) {
        const isb__packed_chunk *chunk = &p->chunks[i];
        if (!chunk->try_m1) {
            nbytes += chunk->raw_nbytes;
            continue;
        }
        p->texts[n] = (isb__bytes_view){chunk->raw, chunk->raw_nbytes};
        p->coded[n++] = i;
    }
    isb__container_run_report(&p->run, (double)nbytes);
    p->run.raw_done += nbytes;
    *n_coded = n;
    if (n == 0) return ISB_OK;
    ISB_TRY(isb__container_run_codec(&p->run, p->end ? n : UINT64_MAX));
    return isb__codec_encode(p->run.codec, n, p->texts, p->codes, isb__container_run_report,
                             &p->run);
}

/* Before the first chunk that is coded with it. */
static isb_status write_m1(packing *p) {
    const isb__found_m1 *m1 = &p->run.m1;
    uint8_t *data = NULL;
    size_t nbytes = 0;
    if (p->container.layout.n_of[ISB__CONTAINER_M1] > 0) return ISB_OK;
    if (p->run.options.embed_m1) ISB_TRY(isb__m1_to_bytes(m1->m1, &data, &nbytes));
    const isb_status status = isb__container_write_m1(&p->container, &m1->identity, data, nbytes);
    isb__free(p->run.ctx, data);
    return status;
}

static isb_status write_chunk(packing *p, const isb__packed_chunk *chunk,
                              const isb__encoded *code) {
    isb__container_kind kind = chunk->kind;
    const uint8_t *payload = chunk->payload;
    size_t nbytes = chunk->payload_nbytes;
    if (code && code->count <= nbytes && code->count < chunk->raw_nbytes) {
        for (size_t i = 0; i < code->count; i++) p->ac[i] = (uint8_t)code->ids[i];
        kind = ISB__CONTAINER_AC;
        payload = p->ac;
        nbytes = code->count;
        ISB_TRY(write_m1(p));
    }
    return isb__container_write_chunk(&p->container, kind, chunk->raw, chunk->raw_nbytes, payload,
                                      nbytes);
}

static isb_status pack_group(packing *p) {
    size_t n_coded, next = 0;
    ISB_TRY(pack_without_m1(p));
    ISB_TRY(code_with_m1(p, &n_coded));
    for (size_t i = 0; i < p->n; i++) {
        const bool coded = next < n_coded && p->coded[next] == i;
        ISB_TRY(write_chunk(p, &p->chunks[i], coded ? &p->codes[next] : NULL));
        if (coded) p->run.raw_done += p->chunks[i].raw_nbytes;
        next += coded;
    }
    return ISB_OK;
}

/* ---- the whole ---- */

static isb_status check_chunk_size(packing *p) {
    enum { DEFAULT_CHUNK_NBYTES = 16 << 10 };
    const size_t chunk = p->run.options.chunk_nbytes;
    p->run.memory.chunk_nbytes = chunk > 0 ? chunk : DEFAULT_CHUNK_NBYTES;
    if (chunk == 0 || (chunk >= ISB__CONTAINER_MIN_CHUNK && chunk <= ISB__CONTAINER_MAX_CHUNK))
        return ISB_OK;
    return isb__fail(p->run.ctx, ISB_ERR_RANGE, "chunks of %zu bytes; %d to %d are allowed", chunk,
                     ISB__CONTAINER_MIN_CHUNK, ISB__CONTAINER_MAX_CHUNK);
}

/* M1 is looked for at once: a name that is wrong is told even if no chunk would have needed it. */
static isb_status find_m1(packing *p) {
    size_t n_streams;
    isb__container_run *run = &p->run;
    ISB_TRY(isb__m1_find(run->ctx, run->options.m1_path, NULL, &run->m1));
    ISB_TRY(isb__chunk_memory_streams(run->ctx, &run->memory, &run->m1, 1, &n_streams));
    if (!run->options.embed_m1 || run->m1.m1) return ISB_OK;
    return isb__fail(run->ctx, ISB_ERR_UNSUPPORTED,
                     "%s is a table of counts, which cannot be put into a file; only a quantised "
                     "model can",
                     run->options.m1_path);
}

static isb_status compress(packing *p, const char *in_path, const char *out_path) {
    isb__container_run *run = &p->run;
    uint64_t position, nbytes;
    ISB_TRY(check_chunk_size(p));
    ISB_TRY(isb__container_run_may_write(run, out_path));
    ISB_TRY(isb__reader_open(run->ctx, in_path, false, &run->reader));
    ISB_TRY(isb__chunk_memory_plan(run->ctx, &run->memory));
    ISB_TRY(find_m1(p));
    ISB_TRY(isb__writer_open(run->ctx, out_path, &run->writer));
    isb__reader_position(run->reader, &position, &nbytes);
    isb__container_run_begin(run, "compress", (double)nbytes);
    ISB_TRY(isb__container_write_begin(run->ctx, (uint32_t)run->memory.chunk_nbytes, write_out, p,
                                       &p->container));
    ISB_TRY(allocate(p));
    while (!p->end) {
        ISB_TRY(isb__check_cancel(run->ctx));
        ISB_TRY(read_group(p));
        if (p->n > 0) ISB_TRY(pack_group(p));
    }
    ISB_TRY(isb__container_write_end(&p->container));
    return isb__container_run_commit(run);
}

isb_status isb_compress_file(isb_context *ctx, const char *in_path, const char *out_path,
                             const isb_compress_options *options, isb_compress_result *result) {
    if (!ctx || !in_path || !out_path) return ISB_ERR_ARGUMENT;
    packing p = {.run = {.ctx = ctx, .memory = {.packing = true}}};
    isb_status status = isb__container_run_options(&p.run, options);
    if (status == ISB_OK) status = compress(&p, in_path, out_path);
    if (status == ISB_OK) {
        isb_compress_result *r = &p.run.result;
        isb__container_add_layout(&p.container.layout, r);
        r->packed_nbytes = p.container.layout.position;
        if (p.container.layout.n_of[ISB__CONTAINER_M1] > 0)
            isb__id128_hex(&p.run.m1.identity, r->m1_identity);
        if (result) *result = *r;
    }
    packing_free(&p);
    return status;
}
