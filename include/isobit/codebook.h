/* isobit/codebook.h: a codebook is a finite set of byte strings with one id each; text is cut by greedy longest match.
 *
 * It is a whole M1 compiled into one table: a window that is one token is a node of one finite tree, so the code
 * needs no network any more (docs/codebooks.md).  Every byte is a string of its own, so every byte string has ids
 * and comes back exactly, valid UTF-8 or not.
 *
 *     isb_codebook *codebook = NULL;
 *     if (isb_codebook_open(NULL, NULL, &codebook) != ISB_OK) return 1;      // the default one: english-65k
 *     uint32_t ids[64];                                                      // isb_codebook_encode_bound(nbytes)
 *     size_t n;
 *     isb_codebook_encode(codebook, text, nbytes, ids, 64, &n);
 *     uint8_t back[1024];
 *     isb_codebook_decode(codebook, ids, n, back, sizeof back, &nbytes);
 *     isb_codebook_free(codebook);
 *
 * Ids: 0 .. n_codes-1 are strings, in lexicographic (bytewise) order of the strings, so that all strings with one
 * prefix form a range; n_codes .. n_ids-1 are special and stand for no text; id n_codes is always "<|endoftext|>",
 * the border between documents.  (Compiled windows keep the code's own numbers instead of the order.)
 *
 * Threads: an open codebook never changes; every call that takes it as const may run on any number of threads at
 * once, and allocates nothing unless it says so.
 * Greedy longest match: at each place the longest string that the text goes on with, to the end of the input.
 */
#ifndef ISOBIT_CODEBOOK_H
#define ISOBIT_CODEBOOK_H

#include <isobit/context.h>
#include <isobit/data.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct isb_codebook isb_codebook;

enum {
    ISB_CODEBOOK_MIN_IDS = 257, /* 256 bytes and <|endoftext|> */
    ISB_CODEBOOK_MAX_IDS = 1 << 20,
    ISB_CODEBOOK_MAX_STRING_NBYTES = 255
};

/* ---- life ---- */

/* where: a file; the name of the codebook embedded in the library ("english-65k"); NULL: the same.  A file of that
 * name wins.  context may be NULL (C library memory, no error text); otherwise it must outlive the codebook, which
 * uses its memory hooks.  Returns owned.  Errors: NOT_FOUND, FORMAT (not a codebook), VERSION, CORRUPT (checksum,
 * strings out of order, a byte without id), NO_MEMORY. */
ISB_API isb_status isb_codebook_open(isb_context *context, const char *where,
                                     isb_codebook **codebook);
/* The same from memory that holds a file's bytes; borrows for the call. */
ISB_API isb_status isb_codebook_open_memory(isb_context *context, const uint8_t *file,
                                            size_t nbytes, isb_codebook **codebook);
ISB_API void isb_codebook_free(isb_codebook *codebook);

typedef struct isb_codebook_text {
    const uint8_t *bytes;
    size_t nbytes;
} isb_codebook_text;

typedef struct isb_codebook_create_options {
    size_t struct_size;
    const char *name; /* at most 63 bytes; NULL: "" */
    const char *kind; /* at most 15 bytes, says how strings were chosen; NULL: "custom" */
    const char *card; /* JSON text: data, sizes, figures; NULL: "{}" */
    /* Names of special ids after "<|endoftext|>", which is always the first; distinct, 1 .. 63 bytes each. */
    const char *const *specials;
    size_t n_specials;
} isb_codebook_create_options;
ISB_API void isb_codebook_create_options_init(isb_codebook_create_options *options);
/* From any strings, in any order; single bytes that are missing are added, doubles dropped, empty strings refused.
 * options may be NULL.  Errors: RANGE (too many, too long), NO_MEMORY. */
ISB_API isb_status isb_codebook_create(isb_context *context, const isb_codebook_text *strings,
                                       size_t n_strings, const isb_codebook_create_options *options,
                                       isb_codebook **codebook);
/* Written to a temporary name and renamed.  context may be NULL. */
ISB_API isb_status isb_codebook_save(isb_context *context, const isb_codebook *codebook,
                                     const char *path);

/* ---- what it is ---- */

typedef struct isb_codebook_info {
    size_t struct_size; /* set by the caller */
    int64_t n_ids, n_codes, n_specials;
    int64_t
        n_strings; /* distinct strings: fewer than n_codes when ids share one (compiled windows) */
    size_t max_string_nbytes;
    size_t memory_nbytes, file_nbytes;
    char name[64];
    char kind[16];
    char identity
        [33]; /* hash of all strings, ids and special names: equal if and only if all ids always are */
    const char *card; /* borrows from the codebook */
} isb_codebook_info;
ISB_API void isb_codebook_get_info(const isb_codebook *codebook, isb_codebook_info *info);
/* The string of an id, or the name of a special one; *bytes borrows from the codebook and is NULL for an id that is
 * out of range (and *nbytes 0). */
ISB_API void isb_codebook_string(const isb_codebook *codebook, uint32_t id, const uint8_t **bytes,
                                 size_t *nbytes);
/* The id of exactly this string, or -1. */
ISB_API int64_t isb_codebook_find(const isb_codebook *codebook, const uint8_t *bytes,
                                  size_t nbytes);
/* The id of a special name, or -1. */
ISB_API int64_t isb_codebook_find_special(const isb_codebook *codebook, const char *name);
/* Ids [*first, *first + *count) of all strings that begin with prefix.  Errors: UNSUPPORTED (compiled windows). */
ISB_API isb_status isb_codebook_prefix_range(const isb_codebook *codebook, const uint8_t *prefix,
                                             size_t nbytes, uint32_t *first, size_t *count);

/* ---- text to ids ---- */

/* At most one id per byte. */
ISB_API size_t isb_codebook_encode_bound(size_t nbytes);
/* ids: [capacity].  Time is linear in nbytes for every input.  Errors: BUFFER_SIZE (capacity < what is needed;
 * *n_ids is then the number needed, and ids is undefined). */
ISB_API isb_status isb_codebook_encode(const isb_codebook *codebook, const uint8_t *text,
                                       size_t nbytes, uint32_t *ids, size_t capacity,
                                       size_t *n_ids);
/* The same for codebooks of at most 65,536 ids.  Errors: also RANGE (more ids). */
ISB_API isb_status isb_codebook_encode_u16(const isb_codebook *codebook, const uint8_t *text,
                                           size_t nbytes, uint16_t *ids, size_t capacity,
                                           size_t *n_ids);
/* The number of ids, without storing them. */
ISB_API size_t isb_codebook_count(const isb_codebook *codebook, const uint8_t *text, size_t nbytes);
/* As encode, but names of special ids in the text become these ids (leftmost, longest name first).  allowed: ids, or
 * NULL for all.  Never use it on text from strangers. */
ISB_API isb_status isb_codebook_encode_special(const isb_codebook *codebook, const uint8_t *text,
                                               size_t nbytes, const uint32_t *allowed,
                                               size_t n_allowed, uint32_t *ids, size_t capacity,
                                               size_t *n_ids);
/* Where each id's bytes begin: offsets[0] = 0 .. offsets[n_ids] = the text's length.  offsets: [n_ids + 1].  Special
 * ids have no bytes.  Errors: RANGE. */
ISB_API isb_status isb_codebook_offsets(const isb_codebook *codebook, const uint32_t *ids,
                                        size_t n_ids, uint64_t *offsets);
/* Many documents into one flat array, on the context's threads: ids of document i are ids[offsets[i] ..
 * offsets[i+1]).  ids: [capacity], capacity at least the sum of all nbytes; offsets: [n + 1].  Same ids as one by
 * one.  Errors: BUFFER_SIZE, CANCELLED. */
ISB_API isb_status isb_codebook_encode_batch(isb_context *context, const isb_codebook *codebook,
                                             const isb_codebook_text *texts, size_t n,
                                             uint32_t *ids, size_t capacity, uint64_t *offsets);

/* Streaming: bytes come in any pieces, the ids are those of the whole.  What is held back is at most the longest
 * string.  The state is this struct alone: copy it to remember a place. */
typedef struct isb_codebook_encoder {
    const isb_codebook *codebook;
    uint64_t state[2];
} isb_codebook_encoder;
ISB_API void isb_codebook_encoder_init(isb_codebook_encoder *encoder, const isb_codebook *codebook);
/* ids: [capacity] with capacity >= nbytes + isb_codebook_info.max_string_nbytes. */
ISB_API isb_status isb_codebook_encoder_push(isb_codebook_encoder *encoder, const uint8_t *text,
                                             size_t nbytes, uint32_t *ids, size_t capacity,
                                             size_t *n_ids);
/* The end of the document: what was held back; the encoder is then as after init.  ids: [capacity] with
 * capacity >= max_string_nbytes. */
ISB_API isb_status isb_codebook_encoder_finish(isb_codebook_encoder *encoder, uint32_t *ids,
                                               size_t capacity, size_t *n_ids);

/* ---- ids to text ---- */

/* The number of bytes.  Errors: RANGE (*n_good, if not NULL, is the index of the first bad id). */
ISB_API isb_status isb_codebook_decode_nbytes(const isb_codebook *codebook, const uint32_t *ids,
                                              size_t n_ids, size_t *nbytes, size_t *n_good);
/* text: [capacity]; special ids give nothing.  Writes only text[0 .. capacity).  Errors: RANGE; BUFFER_SIZE (*nbytes
 * is then the number needed). */
ISB_API isb_status isb_codebook_decode(const isb_codebook *codebook, const uint32_t *ids,
                                       size_t n_ids, uint8_t *text, size_t capacity,
                                       size_t *nbytes);
ISB_API isb_status isb_codebook_decode_u16(const isb_codebook *codebook, const uint16_t *ids,
                                           size_t n_ids, uint8_t *text, size_t capacity,
                                           size_t *nbytes);

/* Streaming decode for text that is shown as it comes: gives bytes only up to the last whole UTF-8 character; bytes
 * that can never become one are replaced by U+FFFD if `replace` is set, else given as they are. */
typedef struct isb_codebook_decoder {
    const isb_codebook *codebook;
    int replace;
    unsigned char held[4];
    size_t n_held;
} isb_codebook_decoder;
ISB_API void isb_codebook_decoder_init(isb_codebook_decoder *decoder, const isb_codebook *codebook,
                                       int replace);
/* text: [capacity] with capacity >= 3 * max_string_nbytes + 12.  Errors: RANGE, BUFFER_SIZE; the id is then
 * ignored. */
ISB_API isb_status isb_codebook_decoder_push(isb_codebook_decoder *decoder, uint32_t id,
                                             uint8_t *text, size_t capacity, size_t *nbytes);
/* What is held back, which is no whole character.  capacity >= 12. */
ISB_API isb_status isb_codebook_decoder_finish(isb_codebook_decoder *decoder, uint8_t *text,
                                               size_t capacity, size_t *nbytes);

/* ---- making one from an M1 (docs/codebooks.md) ---- */

/* After each round of choosing: how many strings there were, and what they give on the corpus itself. */
typedef struct isb_codebook_round {
    /* "start", "refine", "shrink", "choose", "kept" (the best round, after one that was taken
     * back): borrows for the call.  The last report is about the codebook that is given. */
    const char *phase;
    int round;
    int64_t n_strings;
    uint64_t n_bytes, n_tokens; /* over the corpus parsed; document ends are not counted */
    double bytes_per_token;     /* 0 when there is no corpus */
    double seconds;             /* since the build began */
} isb_codebook_round;

typedef struct isb_codebook_build_options {
    size_t struct_size;
    int64_t n_ids; /* V, specials included; 0: 65536 */
    /* "phrase" (default), "word", "run", "words", "free": which strings are allowed (docs/codebooks.md); "exact",
     * "delay": the 16-bit windows of the M1, compiled: the ids are those of the tokenizers
     * window:b=16,variant=exact and delay. */
    const char *kind;
    /* A byte model, whose most probable strings are taken, and corrected with counts if there are paths; NULL: counts
     * of the corpus alone. */
    const char *m1_dir;
    int n_rounds; /* rounds of refinement at real window starts; negative: the default, 6 */
    int choose;   /* choose by use: 1 yes (needs a corpus), 0 no; _init(): 1 */
    size_t max_string_nbytes; /* 0: 32 */
    const char *name;
    /* What the text is, for the card, which also says how the codebook was made; may be NULL. */
    const char *note;
    const char *const *specials; /* as in isb_codebook_create_options */
    size_t n_specials;
    isb_corpus_options corpus;
    void (*report)(void *user, const isb_codebook_round *round); /* may be NULL */
    void *report_user;
} isb_codebook_build_options;
ISB_API void isb_codebook_build_options_init(isb_codebook_build_options *options);
/* paths: [n_paths], the corpus; may be empty when m1_dir is given.  The whole text is held in memory, with about 10
 * bytes of tables a byte of text.  Returns owned.  Errors: ARGUMENT, RANGE, EMPTY, those of corpora and M1s,
 * CANCELLED. */
ISB_API isb_status isb_codebook_build(isb_context *context, const char *const *paths,
                                      size_t n_paths, const isb_codebook_build_options *options,
                                      isb_codebook **codebook);

/* ---- for other programs ---- */

/* format: "tokenizer.json" (Hugging Face tokenizers), "rwkv" (RWKV-World vocabulary text), "gguf" (a file with
 * llama.cpp's rwkv vocabulary and no weights), "text" (an id and an escaped string a line).  path "-" is standard output for text formats.
 * Errors: ARGUMENT, UNSUPPORTED (compiled windows where an id has no string of its own), those of files. */
ISB_API isb_status isb_codebook_export(isb_context *context, const isb_codebook *codebook,
                                       const char *format, const char *path);

/* ---- how it treats text ---- */

/* A word is a longest run of ASCII letters, digits and bytes above 127. */
typedef struct isb_codebook_measures {
    size_t struct_size; /* set by the caller */
    uint64_t n_documents, n_bytes, n_tokens;
    double bytes_per_token; /* ends of documents are no tokens */
    /* Of the tokens: those with one whole word or more, and the spaces and marks around them; a token that begins
     * or ends inside a word is none. */
    double whole_word_share;
    /* How often a word looks different: the number of different sequences of ids (of the tokens that overlap the
     * word), mean over the words of `words` that occur at least 10 times, byte for byte; 0: there is none. */
    double spellings_per_word;
    uint64_t n_words; /* these words */
    int64_t n_used;   /* ids that occur */
    /* How far an edit reaches: tokens of the new text from the first to the last that differ from the old ones, mean
     * over edits.  An edit puts in, takes out or replaces one byte; one edit in each 16 KiB of a document, at places
     * and with bytes (of the same document) that a fixed seed chooses. */
    double edit_tokens_changed;
} isb_codebook_measures;
/* words: [n_words] texts, NULL: no spellings.  corpus: NULL: defaults.  Errors: ARGUMENT, EMPTY (no byte of text),
 * those of corpora. */
ISB_API isb_status isb_codebook_measure(isb_context *context, const isb_codebook *codebook,
                                        const char *const *paths, size_t n_paths,
                                        const isb_corpus_options *corpus, const char *const *words,
                                        size_t n_words, isb_codebook_measures *measures);

#ifdef __cplusplus
}
#endif
#endif
