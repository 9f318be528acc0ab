/* tokenizer.json for Hugging Face tokenizers.
 *
 * Its WordPiece model is greedy longest match, but it tries each end of the text from the last to the first, so that a
 * text of n bytes without a place to cut takes n^3 steps.  Instead the cutting is left to a regular expression, and
 * the model only looks up the pieces:
 *
 *     text --ByteLevel--> one printable character a byte --Split(regex)--> strings of the codebook --WordLevel--> ids
 *
 * The regex is the tree of all strings, each node an optional group of its children, so that a backtracking matcher
 * takes the deepest node that is a string, which is the longest match.  {"a", "ab", "abcd", "b"} gives
 *
 *     (?:a(?:b(?:cd)?)?|b)
 *
 * No two children begin alike, so there is one path at most: time is linear, with the longest string as the factor.
 * ByteLevel's table of characters is that of GPT-2 (Radford et al. 2019, encoder.py: bytes_to_unicode). */
#include <string.h>

#include "codebook/export.h"

static bool is_printable(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

void isb__byte_level_character(uint8_t byte, char character[3]) {
    unsigned code = byte;
    if (!is_printable(byte)) {
        code = 0x100;
        for (int other = 0; other < byte; ++other) code += !is_printable(other);
    }
    memset(character, 0, 3);
    if (code < 0x80) {
        character[0] = (char)code;
    } else {
        character[0] = (char)(0xc0 | code >> 6);
        character[1] = (char)(0x80 | (code & 0x3f));
    }
}

/* What a byte becomes inside a JSON string, as a character of the vocabulary and of the regex. */
typedef struct alphabet {
    char plain[256][4], regex[256][8];
} alphabet;

static void fill_alphabet(alphabet *a) {
    for (int byte = 0; byte < 256; ++byte) {
        char character[3];
        isb__byte_level_character((uint8_t)byte, character);
        const bool json = byte == '"' || byte == '\\';
        const bool meta = byte != 0 && strchr("\\^$.|?*+()[]{}", byte);
        strcpy(a->plain[byte], json ? "\\" : "");
        strcat(a->plain[byte], character);
        strcpy(a->regex[byte], meta ? "\\\\" : "");
        strcat(a->regex[byte], a->plain[byte]);
    }
}

/* ---- the regex ---- */

typedef struct regex_writer {
    isb__export *out;
    const alphabet *alphabet;
} regex_writer;

static uint8_t byte_at(const isb_codebook *codebook, size_t id, size_t depth) {
    return codebook->bytes[codebook->offsets[id] + depth];
}

/* The first id in [first, last) whose byte at `depth` is not that of `first`. */
static size_t end_of_child(const isb_codebook *codebook, size_t first, size_t last, size_t depth) {
    const uint8_t byte = byte_at(codebook, first, depth);
    while (first < last && byte_at(codebook, first, depth) == byte) ++first;
    return first;
}

/* The node of ids [first, last), which share their first `depth` bytes.  Recursion is as deep as the longest string. */
static void put_node(const regex_writer *regex, size_t first, size_t last, size_t depth) {
    const isb_codebook *codebook = regex->out->codebook;
    const bool is_string = codebook->offsets[first + 1] - codebook->offsets[first] == depth;
    if (is_string) ++first;
    if (first == last) return;
    const bool group = is_string || end_of_child(codebook, first, last, depth) < last;
    if (group) isb__put_text(regex->out, "(?:");
    while (first < last) {
        const size_t end = end_of_child(codebook, first, last, depth);
        isb__put_text(regex->out, regex->alphabet->regex[byte_at(codebook, first, depth)]);
        put_node(regex, first, end, depth + 1);
        first = end;
        if (first < last) isb__put_text(regex->out, "|");
    }
    if (group) isb__put_text(regex->out, is_string ? ")?" : ")");
}

/* ---- the rest ---- */

static void put_vocabulary(isb__export *out, const alphabet *a) {
    for (size_t id = 0; id < out->codebook->n_codes; ++id) {
        size_t nbytes;
        const uint8_t *bytes = isb__codebook_bytes(out->codebook, id, &nbytes);
        isb__put_text(out, id ? ",\n      \"" : "\n      \"");
        for (size_t i = 0; i < nbytes; ++i) isb__put_text(out, a->plain[bytes[i]]);
        isb__put_format(out, "\": %zu", id);
    }
}

/* Special names are printable ASCII here: one rule that holds for JSON and for every reader. */
static void check_special(isb__export *out, const char *name) {
    bool plain = true;
    for (const char *c = name; *c; ++c) plain = plain && *c >= ' ' && *c <= '~';
    if (!plain) {
        out->status =
            isb__fail(out->ctx, ISB_ERR_UNSUPPORTED,
                      "tokenizer.json takes special names of printable ASCII only; found others");
    } else if (isb_codebook_find(out->codebook, (const uint8_t *)name, strlen(name)) >= 0) {
        out->status = isb__fail(out->ctx, ISB_ERR_UNSUPPORTED,
                                "the special name \"%s\" is a string of the codebook too, and "
                                "tokenizer.json holds each once",
                                name);
    }
}

static void put_added_tokens(isb__export *out, const alphabet *a) {
    for (size_t i = 0; i < out->codebook->n_specials; ++i) {
        const char *name = out->codebook->specials[i];
        check_special(out, name);
        isb__put_format(out, "%s\n    {\"id\": %zu, \"content\": \"", i ? "," : "",
                        out->codebook->n_codes + i);
        for (const char *c = name; *c; ++c)
            isb__put_text(out, *c == ' ' ? " " : a->plain[(uint8_t)*c]);
        isb__put_text(out, "\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                           "\"normalized\": false, \"special\": true}");
    }
}

static const char byte_level[] =
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": false, "
    "\"use_regex\": false}";

void isb__export_tokenizer_json(isb__export *out) {
    alphabet a;
    fill_alphabet(&a);
    isb__put_text(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
                       "  \"added_tokens\": [");
    put_added_tokens(out, &a);
    isb__put_text(out, "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": {\"type\": "
                       "\"Sequence\", \"pretokenizers\": [\n    ");
    isb__put_text(out, byte_level);
    isb__put_text(out, ",\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": \"");
    put_node(&(regex_writer){out, &a}, 0, out->codebook->n_codes, 0);
    isb__put_text(out, "\"}, \"behavior\": \"Isolated\", \"invert\": false}\n  ]},\n"
                       "  \"post_processor\": null,\n  \"decoder\": ");
    isb__put_text(out, byte_level);
    /* Every byte has an id, so nothing is ever unknown; the name has a space, which no string has in this alphabet. */
    isb__put_text(out, ",\n  \"model\": {\n    \"type\": \"WordLevel\",\n    \"unk_token\": "
                       "\"not a token\",\n    \"vocab\": {");
    put_vocabulary(out, &a);
    isb__put_text(out, "\n    }\n  }\n}\n");
}
