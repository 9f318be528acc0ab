/* isobit/data.h: text in, token datasets out.
 *
 * Corpora: plain text files (one document each, or cut at blank lines: see plain_document_nbytes),
 * JSONL with a "text" field (one document a line), gzip or zstd of either, folders (every file
 * below, in bytewise order of paths, without names that begin with a dot and without links to
 * folders), "-" for standard input.  The kind is told by the name
 * (.jsonl, .ndjson, .json-lines; .gz, .zst stripped first; all else is plain) or set by `format`.
 * Bytes pass through as they are, valid UTF-8 or not.  docs/data.md is the guide, docs/formats.md
 * the specification.
 *
 * Split: a document belongs to test, valid or train by a hash of its bytes alone, so the same text
 * is always on the same side, whatever file, order or shard it comes in.
 */
#ifndef ISOBIT_DATA_H
#define ISOBIT_DATA_H

#include <isobit/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum isb_split {
    ISB_SPLIT_ALL = 0,
    ISB_SPLIT_TRAIN = 1,
    ISB_SPLIT_VALID = 2,
    ISB_SPLIT_TEST = 3
} isb_split;
typedef enum isb_text_format {
    ISB_TEXT_AUTO = 0,
    ISB_TEXT_PLAIN = 1,
    ISB_TEXT_JSONL = 2
} isb_text_format;

enum { ISB_PLAIN_DOCUMENT_NBYTES = 65536 };

typedef struct isb_corpus_options {
    size_t struct_size;
    isb_text_format format;
    /* Plain text longer than this is cut into documents at the first blank line (else line end,
     * else between two characters) after it and within twice of it; 0: a file is one document.  The
     * documents are exactly the file's bytes, one after another.  _init():
     * ISB_PLAIN_DOCUMENT_NBYTES, and 0 in isb_encode_options.  The side of the split goes by
     * document, so preparing, training and evaluating must cut alike. */
    size_t plain_document_nbytes;
    int valid_permille, test_permille; /* shares by document; negative: default (20, 20) */
    isb_split split;                   /* which documents are given */
    /* Stop once so many bytes of text were given (the last document stays whole); 0: no limit. */
    uint64_t max_nbytes;
} isb_corpus_options;
ISB_API void isb_corpus_options_init(isb_corpus_options *options);

typedef struct isb_corpus isb_corpus;
/* paths: [n_paths].  Errors: NOT_FOUND, EMPTY (a folder without files), IS_DIRECTORY never (folders
 * are fine). */
ISB_API isb_status isb_corpus_open(isb_context *context, const char *const *paths, size_t n_paths,
                                   const isb_corpus_options *options, isb_corpus **corpus);
/* The next document: *text borrows until the next call; *text == NULL at the end.  Empty documents
 * are given too.  Errors: CORRUPT (bad gzip/zstd; bad JSON, with file and line), NO_MEMORY,
 * CANCELLED. */
ISB_API isb_status isb_corpus_next(isb_corpus *corpus, const uint8_t **text, size_t *nbytes);
/* Share of the input read so far, 0 .. 1, or -1 when unknown (standard input). */
ISB_API double isb_corpus_fraction(const isb_corpus *corpus);
ISB_API void isb_corpus_free(isb_corpus *corpus);

/* ---- token datasets: Megatron's PREFIX.bin and PREFIX.idx, and PREFIX.json; a codebook beside them
 * as PREFIX.isb-codebook ---- */
typedef struct isb_prepare_options {
    size_t struct_size;
    /* "codebook" (as after _init(): the one in the library), "codebook:FILE", "bytes",
     * "window:b=16,variant=exact", ...; docs/data.md has all.  "external:NAME,vocab=N": the paths
     * are JSONL of ids and text instead of text. */
    const char *tokenizer;
    const char *m1_dir; /* for tokenizers that need an M1; else NULL */
    /* External ids: their strings (docs/formats.md), kept as PREFIX.pieces for composed embeddings;
     * NULL: none. */
    const char *pieces_path;
    isb_corpus_options corpus; /* .split is ignored when split_files is set */
    int split_files;   /* write PREFIX.train, PREFIX.valid and PREFIX.test; else one PREFIX */
    int check_windows; /* decode every window again and count failures */
    /* For mixed training (docs/training.md): documents can be read as tokens and as raw bytes.  Adds
     * 258 ids and PREFIX.raw.  Codebooks only. */
    int raw_bytes;
    /* Divides the work: n_shards calls, on as many machines, each with its own shard_index below
     * n_shards and all else the same, write OUT.shard-00003-of-00016.*, which isb_merge() makes into
     * what one call without shards (n_shards 0) writes.  Not for external ids. */
    uint32_t shard_index, n_shards;
} isb_prepare_options;
ISB_API void isb_prepare_options_init(isb_prepare_options *options);

typedef struct isb_prepare_result {
    uint64_t n_documents, n_tokens, n_bytes; /* over all splits written */
    double seconds;
    uint64_t n_windows, n_windows_failed, n_documents_failed; /* failures only with check_windows */
    double bytes_per_token;
    uint64_t m1_bytes; /* bytes that M1 was evaluated on */
} isb_prepare_result;
/* Errors: EMPTY (no byte of text at all; a shard may be empty), those of corpora, tokenizers and
 * files.  Nothing appears under the final names unless all went well. */
ISB_API isb_status isb_prepare(isb_context *context, const char *const *paths, size_t n_paths,
                               const char *out_prefix, const isb_prepare_options *options,
                               isb_prepare_result *result);

typedef struct isb_merge_options {
    size_t struct_size;
    uint32_t n_shards; /* 0: as many as there are; needed if some of another number lie beside them */
    int remove;        /* remove the shards when all is done */
} isb_merge_options;
ISB_API void isb_merge_options_init(isb_merge_options *options);
typedef struct isb_merge_result {
    uint64_t n_shards, n_documents, n_tokens, n_bytes; /* over all splits written */
    double bytes_per_token, seconds;
} isb_merge_result;
/* The shards PREFIX.shard-*-of-N.* as the datasets PREFIX.*: byte for byte those of one isb_prepare()
 * without shards.  All are read and verified before anything is written.  options may be NULL.
 * Errors, each with the shard's name: NOT_FOUND (one is missing, or was never finished), MISMATCH
 * (made from other text, with another tokenizer or otherwise), CORRUPT; EMPTY (no text in any). */
ISB_API isb_status isb_merge(isb_context *context, const char *prefix,
                             const isb_merge_options *options, isb_merge_result *result);

typedef struct isb_dataset_info {
    uint64_t n_documents, n_tokens, n_bytes;
    /* Ids 0 .. n_codes-1 are codes, n_codes is the boundary, and a model has n_ids ids: more than
     * n_codes + 1 for a codebook with special ids after the boundary. */
    int64_t n_codes, n_ids;
    int64_t first_byte_id; /* of the ids of raw bytes and two markers, the last 258; 0: none */
    int id_nbytes;         /* 2 or 4 */
    char tokenizer[256];
    char tokenizer_identity[33]; /* of the M1 or codebook behind the ids; "" if none */
} isb_dataset_info;
/* Reads and verifies PREFIX.json, .idx and .bin (full: the checksum of all tokens too). */
ISB_API isb_status isb_dataset_get_info(isb_context *context, const char *prefix, int full,
                                        isb_dataset_info *info);

/* ---- text <-> ids without a dataset ---- */
typedef enum isb_ids_format {
    ISB_IDS_U16 = 0,
    ISB_IDS_U32 = 1,
    ISB_IDS_TEXT = 2,
    ISB_IDS_JSON = 3
} isb_ids_format;
typedef struct isb_encode_options {
    size_t struct_size;
    const char *tokenizer, *m1_dir; /* tokenizer NULL: "codebook" */
    const char *model_dir;          /* instead of the two above: the tokenizer of this M2 */
    /* TEXT: a document a line, ids in decimal; JSON: an object a line {"ids": [...]};
     * U16/U32: little-endian ids of one document after another, without borders */
    isb_ids_format format;
    isb_corpus_options corpus;
    /* The input is one file of any bytes and one document: not a corpus, and not unpacked. */
    int whole_file;
    int jsonl_out; /* isb_decode_file(): write JSONL {"text": ...}, which keeps documents apart */
} isb_encode_options;
ISB_API void isb_encode_options_init(isb_encode_options *options);
typedef struct isb_encode_result {
    uint64_t n_documents, n_tokens, n_bytes, n_windows;
    double seconds;
} isb_encode_result;
/* out_path "-" is standard output.  Errors: those of corpora, tokenizers and files; ARGUMENT if U16
 * or U32 would lose where documents end for a code that needs it (all but bytes, codebooks and
 * windows that each reset M1), or ids do not fit U16; EMPTY (no document). */
ISB_API isb_status isb_encode_files(isb_context *context, const char *const *paths, size_t n_paths,
                                    const char *out_path, const isb_encode_options *options,
                                    isb_encode_result *result);
/* The inverse: documents' bytes one after another, or JSONL.  U16 and U32 are read as one document;
 * of the options, corpus and whole_file are ignored.  Errors: CORRUPT (ids that are no numbers,
 * with the line; a code that no text has), RANGE (an id that the tokenizer does not have, with its
 * place), UNDECODABLE. */
ISB_API isb_status isb_decode_file(isb_context *context, const char *in_path, const char *out_path,
                                   const isb_encode_options *options, isb_encode_result *result);

#ifdef __cplusplus
}
#endif
#endif
