/* The identity under which compressed files and datasets name an M1. */
#include <isobit/m1.h>

#include "data/m1.h"

isb_status isb_m1_identity(isb_context *context, const char *dir, char identity[33]) {
    isb__cdf_source source;
    if (!dir || !identity)
        return isb__fail(context, ISB_ERR_ARGUMENT,
                         "expected a folder and room for an identity, found NULL");
    ISB_TRY(isb__m1_open(context, dir, 1, &source));
    isb__id128_hex(&source.identity, identity);
    if (source.free) source.free(source.self);
    return ISB_OK;
}
