/* A scanner for JSON Lines.
 *
 * Why our own: text must come through as the bytes it is.  jansson refuses strings that are not
 * valid UTF-8, and cJSON ends a string at \u0000; both build a tree of a line of which one string
 * is wanted.  This scanner checks a line against the grammar of RFC 8259 as it passes over it,
 * remembers where the wanted value lies, and unescapes that value where it stands, which is
 * possible because no escape is shorter than what it stands for:
 *
 *     {"id": 7, "text": "caf\u00e9 \ud83d\ude00\n", "tags": ["a", {"b": null}]}
 *                        ^ begin                ^ end
 *
 * Two deliberate extensions: NaN, Infinity and -Infinity are taken as numbers, since Python's json
 * writes them; and bytes from 0x80 up pass through strings whatever they are. */
#include "data/jsonl.h"

#include <string.h>

enum { MAX_DEPTH = 512 }; /* nested values; bounds the recursion */

typedef struct parser {
    const uint8_t *begin, *at, *end;
    const char *reason;
} parser;

static bool refuse(parser *p, const char *reason) {
    p->reason = reason;
    return false;
}

static void skip_space(parser *p) {
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\r' || *p->at == '\n'))
        ++p->at;
}

static bool take(parser *p, uint8_t c) {
    if (p->at == p->end || *p->at != c) return false;
    ++p->at;
    return true;
}

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static int hex_digit(uint8_t c) {
    if (is_digit(c)) return c - '0';
    const uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* After the backslash. */
static bool skip_escape(parser *p) {
    if (p->at == p->end) return refuse(p, "the line ends inside a string");
    if (*p->at != 'u') {
        if (*p->at == 0 || !strchr("\"\\/bfnrt", *p->at))
            return refuse(p, "unknown escape in a string");
        ++p->at;
        return true;
    }
    ++p->at;
    for (int i = 0; i < 4; ++i, ++p->at) {
        if (p->at == p->end || hex_digit(*p->at) < 0)
            return refuse(p, "\\u needs four hexadecimal digits");
    }
    return true;
}

static bool skip_string(parser *p) {
    if (!take(p, '"')) return refuse(p, "expected a string");
    while (p->at < p->end) {
        const uint8_t c = *p->at;
        if (c < 0x20) return refuse(p, "a control character stands unescaped in a string");
        ++p->at;
        if (c == '"') return true;
        if (c == '\\' && !skip_escape(p)) return false;
    }
    return refuse(p, "the line ends inside a string");
}

static bool skip_word(parser *p, const char *word) {
    const size_t length = strlen(word);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0) return false;
    p->at += length;
    return true;
}

static bool skip_digits(parser *p) {
    const uint8_t *from = p->at;
    while (p->at < p->end && is_digit(*p->at)) ++p->at;
    return p->at > from || refuse(p, "a number lacks digits");
}

static bool skip_number(parser *p) {
    const bool negative = take(p, '-');
    if (skip_word(p, "Infinity")) return true;
    if (p->at == p->end || !is_digit(*p->at))
        return refuse(p, negative ? "a number lacks digits" : "expected a value");
    if (!take(p, '0')) (void)skip_digits(p);
    if (take(p, '.') && !skip_digits(p)) return false;
    if (take(p, 'e') || take(p, 'E')) {
        if (!take(p, '+')) (void)take(p, '-');
        return skip_digits(p);
    }
    return true;
}

static bool skip_object(parser *p, int depth, const char *name, isb__json_value *value);

static bool skip_array(parser *p, int depth);

static bool skip_value(parser *p, int depth) {
    if (depth > MAX_DEPTH) return refuse(p, "nested too deeply (512)");
    skip_space(p);
    if (p->at == p->end) return refuse(p, "the line ends where a value is expected");
    switch (*p->at) {
    case '{': return skip_object(p, depth, NULL, NULL);
    case '[': return skip_array(p, depth);
    case '"': return skip_string(p);
    case 't': return skip_word(p, "true") || refuse(p, "expected a value");
    case 'f': return skip_word(p, "false") || refuse(p, "expected a value");
    case 'n': return skip_word(p, "null") || refuse(p, "expected a value");
    case 'N': return skip_word(p, "NaN") || refuse(p, "expected a value");
    default: return skip_number(p);
    }
}

static bool skip_array(parser *p, int depth) {
    ++p->at;
    skip_space(p);
    if (take(p, ']')) return true;
    for (;;) {
        if (!skip_value(p, depth + 1)) return false;
        skip_space(p);
        if (take(p, ']')) return true;
        if (!take(p, ',')) return refuse(p, "expected , or ] in an array");
    }
}

/* A key may itself be escaped: "\u0074ext" is "text". */
static bool key_is(const uint8_t *key, size_t nbytes, const char *name) {
    uint8_t plain[256];
    if (nbytes > sizeof plain) return false;
    const size_t length = isb__json_unescape(key, nbytes, plain);
    return length == strlen(name) && memcmp(plain, name, length) == 0;
}

static bool skip_object(parser *p, int depth, const char *name, isb__json_value *value) {
    ++p->at;
    skip_space(p);
    if (take(p, '}')) return true;
    for (;;) {
        skip_space(p);
        const uint8_t *key = p->at;
        if (!skip_string(p)) return false;
        const size_t key_nbytes = (size_t)(p->at - key) - 2;
        skip_space(p);
        if (!take(p, ':')) return refuse(p, "expected : after a key");
        skip_space(p);
        const uint8_t *from = p->at;
        if (!skip_value(p, depth + 1)) return false;
        if (name && key_is(key + 1, key_nbytes, name))
            *value = (isb__json_value){from, (size_t)(p->at - from)};
        skip_space(p);
        if (take(p, '}')) return true;
        if (!take(p, ',')) return refuse(p, "expected , or } in an object");
    }
}

static bool find(parser *p, const char *name, isb__json_value *value) {
    skip_space(p);
    if (p->at == p->end || *p->at != '{') return refuse(p, "expected a JSON object");
    if (!skip_object(p, 1, name, value)) return false;
    skip_space(p);
    return p->at == p->end || refuse(p, "something follows the object");
}

bool isb__json_find(const uint8_t *line, size_t nbytes, const char *name, isb__json_value *value,
                    isb__json_error *error) {
    parser p = {line, line, line + nbytes, NULL};
    *value = (isb__json_value){NULL, 0};
    if (find(&p, name, value)) return true;
    *error = (isb__json_error){p.reason, (size_t)(p.at - p.begin)};
    return false;
}

static uint32_t code_unit(const uint8_t *hex) {
    uint32_t unit = 0;
    for (int i = 0; i < 4; ++i) unit = unit << 4 | (uint32_t)hex_digit(hex[i]);
    return unit;
}

/* UTF-8 of any number below 0x110000; of a lone surrogate the generalised form that WTF-8 uses. */
static size_t put_utf8(uint32_t c, uint8_t *out) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; --i, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(lead[n] | c);
    return n;
}

/* \uXXXX at `at`: the character, and how many bytes of source it took. */
static size_t unicode_escape(const uint8_t *at, const uint8_t *end, uint32_t *c) {
    *c = code_unit(at + 2);
    if ((*c & 0xFC00) != 0xD800 || end - at < 12 || at[6] != '\\' || at[7] != 'u') return 6;
    const uint32_t low = code_unit(at + 8);
    if ((low & 0xFC00) != 0xDC00) return 6;
    *c = 0x10000 + ((*c & 0x3FF) << 10) + (low & 0x3FF);
    return 12;
}

static uint8_t simple_escape(uint8_t c) {
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return c; /* quote, backslash, slash */
    }
}

size_t isb__json_unescape(const uint8_t *string, size_t nbytes, uint8_t *out) {
    const uint8_t *at = string, *end = string + nbytes;
    uint8_t *to = out;
    while (at < end) {
        const uint8_t *slash = memchr(at, '\\', (size_t)(end - at));
        const size_t run = (size_t)((slash ? slash : end) - at);
        if (to != at) memmove(to, at, run);
        to += run;
        at += run;
        if (!slash) break;
        if (at[1] == 'u') {
            uint32_t c;
            at += unicode_escape(at, end, &c);
            to += put_utf8(c, to);
        } else {
            *to++ = simple_escape(at[1]);
            at += 2;
        }
    }
    return (size_t)(to - out);
}

bool isb__json_text(uint8_t *line, size_t nbytes, const uint8_t **text, size_t *text_nbytes,
                    isb__json_error *error) {
    isb__json_value value;
    if (!isb__json_find(line, nbytes, "text", &value, error)) return false;
    if (!value.data || *value.data != '"') {
        *error = (isb__json_error){value.data ? "the field \"text\" is not a string"
                                              : "the object has no field \"text\"",
                                   value.data ? (size_t)(value.data - line) : 0};
        return false;
    }
    uint8_t *inside = line + (value.data - line) + 1;
    *text_nbytes = isb__json_unescape(inside, value.nbytes - 2, inside);
    *text = inside;
    return true;
}

int isb__json_next_id(const isb__json_value *array, size_t *at, uint32_t *id,
                      isb__json_error *error) {
    const uint8_t *data = array->data;
    if (*at == 0) *at = 1; /* the bracket */
    while (data[*at] != 0 && strchr(" \t\r\n,", data[*at])) ++*at;
    if (data[*at] == ']') return 0;
    const size_t from = *at;
    uint64_t number = 0;
    while (is_digit(data[*at]) && number <= UINT32_MAX)
        number = number * 10 + (data[(*at)++] - '0');
    const bool ends = data[*at] != 0 && strchr(" \t\r\n,]", data[*at]);
    if (*at == from || !ends || number > UINT32_MAX) {
        *error = (isb__json_error){"an id is not an integer in 0 .. 4294967295", from};
        return -1;
    }
    *id = (uint32_t)number;
    return 1;
}

size_t isb__json_escape_byte(uint8_t c, char *out) {
    static const char hex[] = "0123456789abcdef", names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    const char *short_form = c ? strchr(bytes, c) : NULL;
    if (c == '"' || c == '\\' || short_form) {
        out[0] = '\\';
        out[1] = short_form ? names[short_form - bytes] : (char)c;
        return 2;
    }
    if (c >= 0x20) {
        out[0] = (char)c;
        return 1;
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

bool isb__json_is_blank(const uint8_t *line, size_t nbytes) {
    parser p = {line, line, line + nbytes, NULL};
    skip_space(&p);
    return p.at == p.end;
}
