/* One line of JSON: the value of a field of the object in it, and strings unescaped to bytes. */
#ifndef ISB_DATA_JSONL_H
#define ISB_DATA_JSONL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct isb__json_error {
    const char *reason; /* static text */
    size_t offset;      /* in the line, from 0 */
} isb__json_error;

typedef struct isb__json_value {
    const uint8_t *data;
    size_t nbytes;
} isb__json_value; /* quotes and brackets included */

/* Checks that the line is one JSON object, and finds the value of its top-level field `name`; of
 * several the last, as Python does.  No such field: true with value->data == NULL.  Not valid:
 * false and *error. */
bool isb__json_find(const uint8_t *line, size_t nbytes, const char *name, isb__json_value *value,
                    isb__json_error *error);

/* Bytes of a valid string's inside (between the quotes).  out: at most nbytes are written; out ==
 * string is fine, other overlap is not.  \uD800 .. \uDFFF: a pair is one character of 4 bytes, a
 * lone one gives the 3 bytes of its number. */
size_t isb__json_unescape(const uint8_t *string, size_t nbytes, uint8_t *out);

/* The "text" field as bytes, unescaped inside the line. */
bool isb__json_text(uint8_t *line, size_t nbytes, const uint8_t **text, size_t *text_nbytes,
                    isb__json_error *error);

/* The next id of an array's text ("[1, 2]"), which *at walks through: begin with *at == 0.  Returns
 * 1 with *id, 0 at the end, -1 and *error (offset in the array) if an element is not an integer in
 * 0 .. 2^32 - 1. */
int isb__json_next_id(const isb__json_value *array, size_t *at, uint32_t *id,
                      isb__json_error *error);

/* The inverse of unescape, for writing: how to put byte `c` inside quotes.  Returns the length;
 * out: [6]. */
size_t isb__json_escape_byte(uint8_t c, char *out);

bool isb__json_is_blank(const uint8_t *line, size_t nbytes);

#endif
