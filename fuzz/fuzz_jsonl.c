/* Any bytes as a line of JSON: the scanner stays inside them, and a text that it gives comes back
 * from being written. */
#include <stdlib.h>
#include <string.h>

#include "data/jsonl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void require(int condition) {
    if (!condition) abort();
}

/* {"text": "..."} of the bytes; returns owned. */
static uint8_t *write_line(const uint8_t *text, size_t nbytes, size_t *line_nbytes) {
    char *line = malloc(6 * nbytes + 16);
    require(line != NULL);
    size_t n = 9;
    memcpy(line, "{\"text\":\"", n);
    for (size_t i = 0; i < nbytes; ++i) n += isb__json_escape_byte(text[i], line + n);
    memcpy(line + n, "\"}", 2);
    *line_nbytes = n + 2;
    return (uint8_t *)line;
}

static void check_ids(const uint8_t *data, size_t nbytes) {
    isb__json_value array;
    isb__json_error error;
    if (!isb__json_find(data, nbytes, "ids", &array, &error)) {
        require(error.reason && error.offset <= nbytes);
        return;
    }
    if (!array.data || *array.data != '[') return;
    require(array.data >= data && array.data + array.nbytes <= data + nbytes);
    size_t at = 0;
    uint32_t id;
    while (isb__json_next_id(&array, &at, &id, &error) == 1) require(at < array.nbytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes) {
    uint8_t *line = malloc(nbytes ? nbytes : 1);
    require(line != NULL);
    if (nbytes > 0) memcpy(line, data, nbytes);
    check_ids(line, nbytes);
    const uint8_t *text = NULL, *again = NULL;
    size_t text_nbytes = 0, again_nbytes = 0, written_nbytes = 0;
    isb__json_error error;
    if (isb__json_text(line, nbytes, &text, &text_nbytes, &error)) {
        require(text >= line && text + text_nbytes <= line + nbytes);
        uint8_t *written = write_line(text, text_nbytes, &written_nbytes);
        require(isb__json_text(written, written_nbytes, &again, &again_nbytes, &error));
        require(again_nbytes == text_nbytes && memcmp(again, text, text_nbytes) == 0);
        free(written);
    }
    free(line);
    return 0;
}
