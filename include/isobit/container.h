/* isobit/container.h: lossless compression of any bytes with an M1, in the .isb form
 * (docs/container.md).
 *
 *     isb_compress_options options;
 *     isb_compress_options_init(&options);
 *     status = isb_compress_file(context, "book.txt", "book.txt.isb", &options, NULL);
 *     ...
 *     status = isb_decompress_file(context, "book.txt.isb", "again.txt", &options, NULL);
 *
 * Data is cut into chunks that are packed on their own, each by what makes it smallest: M1,
 * zstd, nothing at all.  Each has a checksum, and the whole has two: every flipped bit is found.
 * The library is not a cipher, and the checksums are not signatures. */
#ifndef ISOBIT_CONTAINER_H
#define ISOBIT_CONTAINER_H

#include <isobit/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Holes in place of zeros, 4 KiB at least: in regular files with a name (AUTO), nowhere, or also
 * in a standard output that is a regular file.  The bytes that a reader of the file sees are the
 * same. */
typedef enum isb_sparse { ISB_SPARSE_AUTO = 0, ISB_SPARSE_OFF = 1, ISB_SPARSE_ON = 2 } isb_sparse;

typedef struct isb_compress_options {
    size_t struct_size; /* set by isb_compress_options_init() */
    /* A model's folder, NAME.isb-m1, or the name of the M1 in the library.  NULL: to compress,
     * the one in the library; to decompress, the one that the file needs: from the file itself,
     * the library, the folders in ISB_M1_PATH (colons between them), or isobit/m1 in
     * $XDG_DATA_HOME or ~/.local/share; in a folder it is called IDENTITY.isb-m1. */
    const char *m1_path;
    size_t chunk_nbytes; /* 0: 16 KiB; 1 KiB .. 16 MiB */
    size_t n_streams;  /* chunks in M1 at once; 0: what suits the machine; a matter of speed only */
    int embed_m1;      /* put M1 into the file, if any chunk needs it */
    int force;         /* replace an existing output file */
    isb_sparse sparse; /* of decompression */
    /* What a call may allocate, about; 0: 1 GiB.  n_streams is lowered to fit; a file that
     * cannot be packed or unpacked within it is refused, with what it needs. */
    uint64_t memory_limit_nbytes;
    /* Decompression of a part, by the index: range_nbytes bytes from raw position range_start; 0
     * bytes: to the end. */
    uint64_t range_start, range_nbytes;
} isb_compress_options;
ISB_API void isb_compress_options_init(isb_compress_options *options);

typedef struct isb_compress_result {
    uint64_t raw_nbytes;    /* of the range, where one was asked for */
    uint64_t packed_nbytes; /* of the file */
    uint64_t n_frames;      /* 1, or more if files were joined end to end */
    uint64_t n_chunks;      /* the sum of the next four */
    uint64_t n_stored, n_fill, n_zstd, n_ac;
    uint64_t m1_nbytes;    /* of M1 in the file; 0: it is not there */
    uint32_t chunk_nbytes; /* of the first frame */
    char m1_identity[33];  /* of the first frame that names one; "" if no chunk needs an M1 */
    double seconds;        /* without loading M1 */
} isb_compress_result;

/* in_path, out_path: "-" is standard input or output.  Nothing appears under out_path unless all
 * went well.  The same bytes, M1, chunk size and embed_m1 give the same file, whatever the
 * threads and streams (with one version of libzstd). Errors: NOT_FOUND (also of an M1: the text
 * names it and where it was looked for), EXISTS, RANGE, NO_SPACE, IO, CANCELLED, NO_MEMORY (also
 * where memory_limit_nbytes does not suffice).  result may be NULL. */
ISB_API isb_status isb_compress_file(isb_context *context, const char *in_path,
                                     const char *out_path, const isb_compress_options *options,
                                     isb_compress_result *result);
/* out_path NULL: everything is unpacked and checked, and nothing written.  options may be NULL.
 * Errors besides: FORMAT, VERSION, MISMATCH (m1_path is not the file's M1; the text names both
 * identities), CORRUPT (the text names the chunk and its offset), UNSUPPORTED (a range of an
 * input that cannot be sought), RANGE (it begins past the end). */
ISB_API isb_status isb_decompress_file(isb_context *context, const char *in_path,
                                       const char *out_path, const isb_compress_options *options,
                                       isb_compress_result *result);

/* What a .isb file says of itself, without M1.  A regular file: from its headers, indexes and
 * footers, whose checksums are verified; anything else is read to its end, and every bit checked
 * but for what only M1 can tell. */
ISB_API isb_status isb_container_info(isb_context *context, const char *path,
                                      isb_compress_result *info);

#ifdef __cplusplus
}
#endif
#endif
