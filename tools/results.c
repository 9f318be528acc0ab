/* results.c: one list of findings, two ways to print it. */
#include "results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "errors.h"
#include "format.h"

enum { ENTRIES_MAX = 48 };

typedef struct entry {
    char label[48];
    char text[320];
} entry;

struct results {
    json_t *json;
    size_t count;
    bool failed; /* memory ran out on the way */
    entry entries[ENTRIES_MAX];
};

results *results_new(const char *command) {
    results *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->json = json_object();
    if (command) r->failed = json_object_set_new(r->json, "command", json_string(command)) != 0;
    return r;
}

/* JSON has no NaN or infinity: null. */
static json_t *real_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static void add(results *r, const char *name, const char *label, const char *text, json_t *value) {
    if (!r) {
        json_decref(value);
        return;
    }
    if (json_object_set_new(r->json, name, value) != 0) r->failed = true;
    if (!label || r->count == ENTRIES_MAX) return;
    entry *e = &r->entries[r->count++];
    snprintf(e->label, sizeof e->label, "%s", label);
    snprintf(e->text, sizeof e->text, "%s", text);
}

void results_bytes(results *r, const char *name, const char *bytes, size_t nbytes) {
    if (!r) return;
    char *text = calloc(3, nbytes + 1), hex_name[64];
    if (!text) {
        r->failed = true;
        return;
    }
    size_t at = 0;
    bool valid = true;
    for (size_t i = 0; i < nbytes;) {
        const size_t n = format_utf8_length((const unsigned char *)bytes + i, nbytes - i);
        memcpy(text + at, n ? bytes + i : "\xef\xbf\xbd", n ? n : 3);
        at += n ? n : 3;
        i += n ? n : 1;
        valid &= n > 0;
    }
    add(r, name, NULL, "", json_stringn(text, at));
    if (!valid) {
        for (size_t i = 0; i < nbytes; ++i) {
            snprintf(text + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
        }
        snprintf(hex_name, sizeof hex_name, "%s_hex", name);
        add(r, hex_name, NULL, "", json_string(text));
    }
    free(text);
}

void results_text(results *r, const char *name, const char *label, const char *value) {
    json_t *json =
        json_string(value); /* NULL when it is not UTF-8: names of files may be anything */
    add(r, name, label, value, json ? json : json_null());
}

void results_count(results *r, const char *name, const char *label, uint64_t value) {
    add(r, name, label, format_grouped(value).text, json_integer((json_int_t)value));
}

void results_flag(results *r, const char *name, const char *label, bool value) {
    add(r, name, label, value ? "yes" : "no", json_boolean(value));
}

void results_real(results *r, const char *name, const char *label, int decimals, double value) {
    char text[64];
    if (isfinite(value)) {
        snprintf(text, sizeof text, "%.*f", decimals, value);
    } else {
        snprintf(text, sizeof text, "-");
    }
    add(r, name, label, text, real_or_null(value));
}

void results_si(results *r, const char *name, const char *label, double value) {
    add(r, name, label, isfinite(value) ? format_si(value).text : "-", real_or_null(value));
}

void results_seconds(results *r, const char *name, const char *label, double value) {
    char text[64];
    if (value < 60) {
        snprintf(text, sizeof text, "%.2f s", value);
    } else {
        snprintf(text, sizeof text, "%s", format_duration(value).text);
    }
    add(r, name, label, text, real_or_null(value));
}

/* A member of an object, as text. */
static void describe_member(const json_t *value, char *text, size_t nbytes) {
    if (json_is_string(value)) {
        snprintf(text, nbytes, "%s", json_string_value(value));
    } else if (json_is_integer(value) && json_integer_value(value) >= 0) {
        snprintf(text, nbytes, "%s", format_grouped((uint64_t)json_integer_value(value)).text);
    } else {
        char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        snprintf(text, nbytes, "%s", dumped ? dumped : "-");
        free(dumped);
    }
}

void results_object(results *r, const char *name, const char *text) {
    json_t *object = r ? json_loads(text, 0, NULL) : NULL;
    if (!json_is_object(object)) {
        json_decref(object);
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (r->count == ENTRIES_MAX) break;
        entry *e = &r->entries[r->count++];
        snprintf(e->label, sizeof e->label, "%s: %s", name, key);
        for (char *c = e->label; *c; ++c) *c = *c == '_' ? ' ' : *c;
        describe_member(value, e->text, sizeof e->text);
    }
    if (json_object_set_new(r->json, name, object) != 0) r->failed = true;
}

static void print_text(const results *r, FILE *file) {
    size_t width = 0;
    for (size_t i = 0; i < r->count; ++i) {
        const size_t n = strlen(r->entries[i].label);
        if (n > width) width = n;
    }
    for (size_t i = 0; i < r->count; ++i) {
        fprintf(file, "%-*s  %s\n", (int)width, r->entries[i].label, r->entries[i].text);
    }
}

int results_print(results *r, FILE *file, bool json) {
    if (!r || r->failed) {
        if (r) json_decref(r->json);
        free(r);
        return error_at(NULL, ISB_ERR_NO_MEMORY, "no memory for the results");
    }
    if (json) {
        json_dumpf(r->json, file,
                   JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII |
                       JSON_REAL_PRECISION(12));
        fputc('\n', file);
    } else {
        print_text(r, file);
    }
    json_decref(r->json);
    free(r);
    return EXIT_OK;
}
