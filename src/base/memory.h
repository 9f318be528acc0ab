/* The C library behind the context's memory hooks. */
#ifndef ISB_BASE_MEMORY_H
#define ISB_BASE_MEMORY_H

#include <stddef.h>

void *isb__default_allocate(void *user, size_t nbytes, size_t alignment);
void isb__default_release(void *user, void *memory);

#endif
