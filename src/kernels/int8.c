/* Fills the tables of M1's kernels, one per tier: each starts as the tier below and is overlaid with what is better. */
#include "kernels/int8.h"

#include <pthread.h>

#include "kernels/tiers.h"

enum { N_TIERS = ISB__CPU_AMX + 1 };

static isb__int8_ops tables[N_TIERS];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void overlay(isb__int8_ops *ops, isb__cpu_tier tier) {
    if (tier == ISB__CPU_REF) isb__int8_overlay_ref(ops);
    ops->tier = isb__cpu_tier_name(tier);
}

static void fill_tables(void) {
    overlay(&tables[0], ISB__CPU_REF);
    for (int tier = 1; tier < N_TIERS; ++tier) {
        tables[tier] = tables[tier - 1];
        overlay(&tables[tier], (isb__cpu_tier)tier);
    }
}

const isb__int8_ops *isb__int8_ops_for(isb__cpu_tier tier) {
    pthread_once(&tables_once, fill_tables);
    return &tables[tier];
}
