/* How much memory this process may still take. */
#ifndef ISB_BASE_AVAILABLE_H
#define ISB_BASE_AVAILABLE_H

#include <stdint.h>

/* The least of: what the machine has free or can free, what the limits of the process's control
 * groups leave, what the limit of address space leaves.  UINT64_MAX: nothing is known. */
uint64_t isb__memory_available(void);

/* For tests: the same by files under `root` instead of "/". */
uint64_t isb__memory_available_below(const char *root);

#endif
