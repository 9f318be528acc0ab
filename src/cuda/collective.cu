/* Several ranks, each with its GPU, by NCCL.  The library is opened when there are several, and
 * its five functions are declared here (nccl.h, 2.x: the same since 2.0), so that a build needs no
 * NCCL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/platform.h"

struct nccl_id {
    char bytes[ISB__GPU_ID_NBYTES];
};
typedef struct nccl_comm *nccl_comm_t;
enum { NCCL_FLOAT32 = 7, NCCL_SUM = 0 };

struct collectives {
    void *library;
    nccl_comm_t comm;
    int rank;
    int (*get_id)(nccl_id *);
    int (*init)(nccl_comm_t *, int size, nccl_id, int rank);
    int (*destroy)(nccl_comm_t);
    int (*reduce_scatter)(const void *, void *, size_t, int type, int op, nccl_comm_t,
                          cudaStream_t);
    int (*all_gather)(const void *, void *, size_t, int type, nccl_comm_t, cudaStream_t);
};

template <typename F> static bool find(void *library, const char *name, F *&function) {
    function = reinterpret_cast<F *>(dlsym(library, name));
    return function != NULL;
}

static bool open_library(collectives *c) {
    for (const char *name : {"libnccl.so.2", "libnccl.so"}) {
        if (!c->library) c->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    return c->library && find(c->library, "ncclGetUniqueId", c->get_id) &&
           find(c->library, "ncclCommInitRank", c->init) &&
           find(c->library, "ncclCommDestroy", c->destroy) &&
           find(c->library, "ncclReduceScatter", c->reduce_scatter) &&
           find(c->library, "ncclAllGather", c->all_gather);
}

static isb_status collectives_of(isb__gpu *gpu, collectives **out, char *reason) {
    if (!gpu->collectives) gpu->collectives = calloc(1, sizeof(collectives));
    collectives *c = (collectives *)gpu->collectives;
    *out = c;
    if (c && (c->all_gather || open_library(c))) return ISB_OK;
    snprintf(reason, ISB__GPU_TEXT_NBYTES,
             "libnccl.so.2, which joins the GPUs of several processes, cannot be opened; add its "
             "folder to LD_LIBRARY_PATH");
    return ISB_ERR_UNSUPPORTED;
}

extern "C" isb_status isb__gpu_make_id(isb__gpu *gpu, unsigned char id[ISB__GPU_ID_NBYTES],
                                       char *reason) {
    collectives *c;
    nccl_id made;
    const isb_status status = collectives_of(gpu, &c, reason);
    if (status != ISB_OK) return status;
    if (c->get_id(&made) != 0) {
        snprintf(reason, ISB__GPU_TEXT_NBYTES, "NCCL gives no id; NCCL_DEBUG=INFO tells why");
        return ISB_ERR_DEVICE;
    }
    memcpy(id, made.bytes, ISB__GPU_ID_NBYTES);
    return ISB_OK;
}

extern "C" isb_status isb__gpu_join(isb__gpu *gpu, int rank, int size,
                                    const unsigned char id[ISB__GPU_ID_NBYTES], char *reason) {
    collectives *c;
    nccl_id given;
    const isb_status status = collectives_of(gpu, &c, reason);
    if (status != ISB_OK) return status;
    memcpy(given.bytes, id, ISB__GPU_ID_NBYTES);
    c->rank = rank;
    if (c->init(&c->comm, size, given, rank) == 0) return ISB_OK;
    snprintf(reason, ISB__GPU_TEXT_NBYTES,
             "NCCL does not join it to those of the other %d processes; NCCL_DEBUG=INFO tells why",
             size - 1);
    return ISB_ERR_DEVICE;
}

extern "C" void isb__gpu_leave(isb__gpu *gpu) {
    collectives *c = (collectives *)gpu->collectives;
    if (!c) return;
    if (c->comm) c->destroy(c->comm);
    if (c->library) dlclose(c->library);
    free(c);
    gpu->collectives = NULL;
}

static void check(isb__gpu *gpu, int error, const char *what) {
    if (error != 0) isb__gpu_failed(gpu, what, "NCCL failed; NCCL_DEBUG=INFO tells why");
}

extern "C" void isb__gpu_reduce_scatter(isb__gpu *gpu, size_t part, float *d_x) {
    const collectives *c = (const collectives *)gpu->collectives;
    check(gpu,
          c->reduce_scatter(d_x, d_x + c->rank * part, part, NCCL_FLOAT32, NCCL_SUM, c->comm,
                            gpu->stream),
          "summing gradients over ranks");
}

extern "C" void isb__gpu_all_gather(isb__gpu *gpu, size_t part, float *d_x) {
    const collectives *c = (const collectives *)gpu->collectives;
    check(gpu, c->all_gather(d_x + c->rank * part, d_x, part, NCCL_FLOAT32, c->comm, gpu->stream),
          "gathering weights from ranks");
}
