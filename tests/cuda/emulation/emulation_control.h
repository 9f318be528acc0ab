/* What a test can ask of the emulated GPU. */
#ifndef ISB_TESTS_EMULATION_CONTROL_H
#define ISB_TESTS_EMULATION_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Blocks and threads run from last to first. */
void emulation_reverse(int on);
/* Memory of the device; what is allocated counts.  As begun: 1 GiB. */
void emulation_set_memory(size_t nbytes);
/* Bytes of device and pinned memory not yet freed. */
size_t emulation_allocated(void);
/* Every launch from now on fails, as after a fault on the device. */
void emulation_break(int on);
/* What stands for NCCL, with several processes; each returns 0 for success.  part, size: of
 * isb__gpu_reduce_scatter(), whose x the first is given, and the second isb__gpu_all_gather()'s. */
void emulation_set_collectives(int (*reduce_scatter)(size_t part, float *x),
                               int (*all_gather)(size_t part, float *x));

#ifdef __cplusplus
}
#endif
#endif
