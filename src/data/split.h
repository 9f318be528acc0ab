/* Where a document ends in plain text, and on which side of the split it is. */
#ifndef ISB_DATA_SPLIT_H
#define ISB_DATA_SPLIT_H

#include <isobit/data.h>

/* The side of a document, by its bytes alone. */
isb_split isb__split_of(const uint8_t *text, size_t nbytes, int valid_permille, int test_permille);

/* Length of the first document of data[0 .. nbytes), which begins a document and is either the
 * whole rest of the text or at least 2 * target + 1 bytes of it.  At most 2 * target, unless target
 * == 0: then nbytes. */
size_t isb__plain_cut(const uint8_t *data, size_t nbytes, size_t target);

#endif
