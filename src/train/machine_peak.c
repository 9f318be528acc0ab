/* Times the register-only loops on all threads; the best round counts, since others share the
 * machine. */
#include "train/machine_peak.h"

enum { TASKS_PER_THREAD = 8 };

typedef struct peak_job {
    isb__peak kind;
    double flop; /* of one task */
} peak_job;

static void peak_task(void *arg, size_t task, int thread) {
    peak_job *job = arg;
    const double flop = isb__peak_run(job->kind);
    (void)thread;
    if (task == 0) job->flop = flop;
}

double isb__machine_peak(isb_context *ctx, isb__peak kind, double seconds) {
    static const isb__cpu_tier needed[ISB__N_PEAKS] = {
        [ISB__PEAK_F32_AVX2] = ISB__CPU_AVX2,        [ISB__PEAK_F32_AVX512] = ISB__CPU_AVX512,
        [ISB__PEAK_BF16_AVX512X] = ISB__CPU_AVX512X, [ISB__PEAK_BF16_AMX] = ISB__CPU_AMX,
        [ISB__PEAK_INT8_AVX2] = ISB__CPU_AVX2,       [ISB__PEAK_INT8_VNNI] = ISB__CPU_AVX512,
        [ISB__PEAK_INT8_AMX] = ISB__CPU_AMX};
    if (kind == ISB__PEAK_UNKNOWN || ctx->cpu < needed[kind]) return 0;
    if (kind == ISB__PEAK_INT8_VNNI && !isb__cpu_has_vnni()) return 0;
    const size_t n_tasks = (size_t)isb__thread_count(ctx) * TASKS_PER_THREAD;
    const double begin_s = isb__now_s();
    peak_job job = {kind, 0};
    double best = 0;
    for (double now = begin_s; now - begin_s < seconds;) {
        isb__parallel(ctx, n_tasks, peak_task, &job);
        const double end_s = isb__now_s(), rate = job.flop * (double)n_tasks / (end_s - now);
        best = rate > best ? rate : best;
        now = end_s;
    }
    return best;
}
