/* Where an M1 is looked for when a compressed file says only its identity: docs/container.md,
 * "Which M1". */
#include "data/m1_find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "m1/m1_state.h"

enum { PLACES_NBYTES = 512, IDENTITY_OFFSET = 112 }; /* in a .isb-m1 file */

static bool same_id(const isb__id128 *a, const isb__id128 *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* ---- what was found ---- */

/* What the source of m1/source.c keeps for each stream: keys and values of every layer. */
static uint64_t cache_nbytes(const isb_model_config *c) {
    const uint64_t slot = 2 * (uint64_t)c->hidden_size + 8 * (uint64_t)c->n_heads;
    return (uint64_t)c->n_layers * ((uint64_t)c->context_length + ISB__M1_HISTORY) * slot;
}

static void take_m1(isb__m1 *m1, isb__found_m1 *found) {
    *found = (isb__found_m1){.m1 = m1,
                             .identity = m1->identity,
                             .found = true,
                             .nbytes = isb__m1_file_nbytes(&m1->config),
                             .stream_nbytes = cache_nbytes(&m1->config)};
}

static isb_status take_counts(isb_context *ctx, const uint64_t *counts, isb__found_m1 *found) {
    isb__cdf_source source;
    ISB_TRY(isb__cdf_source_static(ctx, counts, &source));
    *found = (isb__found_m1){.identity = source.identity, .found = true};
    memcpy(found->counts, counts, sizeof found->counts);
    if (source.free) source.free(source.self);
    return ISB_OK;
}

static isb_status load(isb_context *ctx, const char *path, isb__found_m1 *found) {
    uint64_t counts[ISB__N_SYMBOLS];
    bool is_static;
    isb__m1 *m1 = NULL;
    ISB_TRY(isb__m1_read_static(ctx, path, &is_static, counts));
    if (is_static) return take_counts(ctx, counts, found);
    ISB_TRY(isb__m1_load(ctx, path, &m1));
    take_m1(m1, found);
    return ISB_OK;
}

void isb__found_m1_free(isb__found_m1 *found) {
    isb__m1_free(found->m1);
    *found = (isb__found_m1){0};
}

static isb_status mismatch(isb_context *ctx, const char *path, const isb__id128 *needed,
                           isb__found_m1 *found) {
    char need[33], have[33];
    isb__id128_hex(needed, need);
    isb__id128_hex(&found->identity, have);
    isb__found_m1_free(found);
    return isb__fail(ctx, ISB_ERR_MISMATCH, "the file was made with M1 %s, and %s is M1 %s", need,
                     path, have);
}

static isb_status load_needed(isb_context *ctx, const char *path, const isb__id128 *needed,
                              isb__found_m1 *found) {
    ISB_TRY(load(ctx, path, found));
    return !needed || same_id(needed, &found->identity) ? ISB_OK
                                                        : mismatch(ctx, path, needed, found);
}

/* ---- places ---- */

/* The M1 in the library; *id: its identity, if there is one. */
static bool released_id(isb__id128 *id) {
    size_t nbytes = 0;
    const uint8_t *data = isb__m1_released(&nbytes);
    if (!data || nbytes < IDENTITY_OFFSET + sizeof id->bytes) return false;
    memcpy(id->bytes, data + IDENTITY_OFFSET, sizeof id->bytes);
    return true;
}

static isb_status load_released(isb_context *ctx, isb__found_m1 *found) {
    size_t nbytes = 0;
    isb__m1 *m1 = NULL;
    const uint8_t *data = isb__m1_released(&nbytes);
    if (!data) {
        return isb__fail(ctx, ISB_ERR_NOT_FOUND,
                         "this build of the library has no M1 of its own; name one");
    }
    ISB_TRY(isb__m1_from_bytes(ctx, ISB__RELEASED_M1_NAME, data, nbytes, &m1));
    take_m1(m1, found);
    return ISB_OK;
}

/* Loads FOLDER/IDENTITY.isb-m1 if it is there, and notes the folder. */
static isb_status look_in(isb_context *ctx, const char *folder, size_t length,
                          const isb__id128 *needed, char *places, isb__found_m1 *found) {
    char hex[33], path[4096];
    const size_t used = strlen(places);
    isb__id128_hex(needed, hex);
    if (length == 0 || found->found) return ISB_OK;
    snprintf(places + used, PLACES_NBYTES - used, "%s%.*s", used > 0 ? ":" : "", (int)length,
             folder);
    const int n = snprintf(path, sizeof path, "%.*s/%s" ISB__M1_SUFFIX, (int)length, folder, hex);
    if (n < 0 || (size_t)n >= sizeof path || !isb__path_exists(path)) return ISB_OK;
    return load_needed(ctx, path, needed, found);
}

static isb_status look_in_list(isb_context *ctx, const char *list, const isb__id128 *needed,
                               char *places, isb__found_m1 *found) {
    for (const char *at = list; at && *at;) {
        const size_t length = strcspn(at, ":");
        ISB_TRY(look_in(ctx, at, length, needed, places, found));
        at += length + (at[length] == ':');
    }
    return ISB_OK;
}

/* The user's own folder, as the XDG base directory specification has it. */
static isb_status look_at_home(isb_context *ctx, const isb__id128 *needed, char *places,
                               isb__found_m1 *found) {
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char folder[4096];
    int n = 0;
    if (data && *data == '/') {
        n = snprintf(folder, sizeof folder, "%s/isobit/m1", data);
    } else if (home && *home) {
        n = snprintf(folder, sizeof folder, "%s/.local/share/isobit/m1", home);
    }
    if (n <= 0 || (size_t)n >= sizeof folder) return ISB_OK;
    return look_in(ctx, folder, (size_t)n, needed, places, found);
}

static isb_status not_found(isb_context *ctx, const isb__id128 *needed, const char *places) {
    char need[33], have[33] = "none";
    isb__id128 id;
    isb__id128_hex(needed, need);
    if (released_id(&id)) isb__id128_hex(&id, have);
    return isb__fail(ctx, ISB_ERR_NOT_FOUND,
                     "the file was made with M1 %s, which is not in it, not the one in the library "
                     "(%s), and there is no %s" ISB__M1_SUFFIX
                     " in %s; name it, or put it into such a folder",
                     need, have, need, *places ? places : "any folder (ISB_M1_PATH is not set)");
}

isb_status isb__m1_find(isb_context *ctx, const char *path, const isb__id128 *needed,
                        isb__found_m1 *found) {
    char places[PLACES_NBYTES] = "";
    isb__id128 id;
    *found = (isb__found_m1){0};
    if (path) return load_needed(ctx, path, needed, found);
    if (!needed || (released_id(&id) && same_id(&id, needed))) return load_released(ctx, found);
    ISB_TRY(look_in_list(ctx, getenv("ISB_M1_PATH"), needed, places, found));
    ISB_TRY(look_at_home(ctx, needed, places, found));
    return found->found ? ISB_OK : not_found(ctx, needed, places);
}

isb_status isb__m1_find_embedded(isb_context *ctx, const uint8_t *data, size_t nbytes,
                                 const isb__id128 *needed, isb__found_m1 *found) {
    isb__m1 *m1 = NULL;
    *found = (isb__found_m1){0};
    ISB_TRY(isb__m1_from_bytes(ctx, "the M1 in the file", data, nbytes, &m1));
    take_m1(m1, found);
    if (same_id(needed, &m1->identity)) return ISB_OK;
    isb__found_m1_free(found);
    return isb__fail(ctx, ISB_ERR_CORRUPT,
                     "the M1 in the file has not the identity that the file gives it");
}

/* ---- as a codec ---- */

isb_status isb__m1_find_codec(isb_context *ctx, const isb__found_m1 *found, size_t max_streams,
                              isb__codec **codec) {
    isb__cdf_source source;
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_AC);
    params.precision_nbits = ISB__CDF_PRECISION;
    params.token_nbits = 8;
    if (found->m1) {
        ISB_TRY(isb__m1_source(ctx, found->m1, 0, max_streams, &source));
    } else {
        ISB_TRY(isb__cdf_source_static(ctx, found->counts, &source));
    }
    const isb_status status = isb__codec_create(ctx, &params, &source, codec);
    if (status != ISB_OK && source.free) source.free(source.self);
    return status;
}
