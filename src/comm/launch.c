/* Reads what mpirun and srun leave in the environment, and loads the module with MPI.
 *
 * The module is looked for beside the library or command that this code is in (a build folder, a
 * package), and where `cmake --install` puts it; ISB_MPI names another. */
#include "comm/launch.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef ISB_LIBDIR
#define ISB_LIBDIR "lib"
#endif

static const char module_name[] = "libisobit-mpi.so";

/* Open MPI; MPICH, Intel MPI and others by PMI; MVAPICH2; Slurm, for the processes of an srun and
 * not for the batch script around it. */
static const char *const size_names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                         "SLURM_STEP_NUM_TASKS"},
                         *const rank_names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK",
                                                "MV2_COMM_WORLD_RANK", "SLURM_PROCID"};
enum { N_LAUNCHERS = sizeof size_names / sizeof *size_names };

static int number_in(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

static const char *setting(void) {
    const char *text = getenv("ISB_MPI");
    return text ? text : "";
}

static size_t launcher(void) {
    size_t i = 0;
    while (i < N_LAUNCHERS && number_in(size_names[i]) <= 1) ++i;
    return strcmp(setting(), "off") == 0 ? N_LAUNCHERS : i;
}

int isb__launch_size(void) {
    const size_t i = launcher();
    return i < N_LAUNCHERS ? number_in(size_names[i]) : 1;
}

int isb__launch_rank(void) {
    const size_t i = launcher();
    return i < N_LAUNCHERS ? number_in(rank_names[i]) : 0;
}

/* ---- the module ---- */

/* The folder of the file that holds this code; the command's if that is linked statically. */
static void own_folder(char folder[PATH_MAX]) {
    Dl_info info = {0};
    const int known = dladdr((const void *)size_names, &info);
    if (known && strstr(info.dli_fname, ".so")) {
        if (!realpath(info.dli_fname, folder)) folder[0] = '\0';
    } else {
        const ssize_t n = readlink("/proc/self/exe", folder, PATH_MAX - 1);
        folder[n > 0 ? n : 0] = '\0';
    }
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
}

static void *open_module(char *reason, size_t capacity) {
    static const char *const places[] = {"", "/isobit", "/../" ISB_LIBDIR "/isobit", "/.."};
    char folder[PATH_MAX], path[PATH_MAX + 64];
    if (*setting()) {
        void *module = dlopen(setting(), RTLD_NOW | RTLD_GLOBAL);
        if (!module) snprintf(reason, capacity, "%s", dlerror());
        return module;
    }
    own_folder(folder);
    snprintf(reason, capacity, "there is no %s beside %s", module_name, folder);
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i) {
        snprintf(path, sizeof path, "%s%s/%s", folder, places[i], module_name);
        if (access(path, R_OK) != 0) continue;
        /* global: MPI's own plug-ins look for its symbols */
        void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        if (module) return module;
        snprintf(reason, capacity, "%s", dlerror());
    }
    return NULL;
}

static isb_status fail_module(isb_context *ctx, const char *reason) {
    return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                     "this is one of %d processes, but messages between them cannot be sent: %s; "
                     "build isobit where MPI is installed (libopenmpi-dev), name the module by "
                     "ISB_MPI, or set ISB_MPI=off to let every process run on its own",
                     isb__launch_size(), reason);
}

static isb_status check_joined(isb_context *ctx, const isb__transport *t) {
    if (t->version != ISB__TRANSPORT_VERSION)
        return fail_module(ctx, "the module is of another version of isobit");
    if (t->size == isb__launch_size()) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                     "%d processes were started, but MPI knows of %d: the module was built for "
                     "another MPI than the one that starts them; use mpirun of the same MPI, or "
                     "srun --mpi=pmix",
                     isb__launch_size(), t->size);
}

isb_status isb__launch_join(isb_context *ctx, const isb__transport **transport) {
    char reason[512] = "";
    void *module = open_module(reason, sizeof reason); /* stays: MPI cannot be unloaded */
    if (!module) return fail_module(ctx, reason);
    isb__transport_start_fn *start;
    void *symbol = dlsym(module, ISB__TRANSPORT_SYMBOL);
    if (!symbol) return fail_module(ctx, "the module has no " ISB__TRANSPORT_SYMBOL);
    memcpy(&start, &symbol, sizeof start); /* ISO C has no cast from object to function */
    *transport = start(reason);
    return *transport ? check_joined(ctx, *transport) : fail_module(ctx, reason);
}
