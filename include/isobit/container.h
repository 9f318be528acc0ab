/* isobit/container.h: lossless compression of any bytes with an M1, in the .isb form (docs/container.md).
 *
 * Data is cut into chunks that are coded on their own; each has a checksum, and the whole has one.  A file made with
 * another M1 is refused by its identity.  The library is not a cipher and the checksums are not signatures.
 */
#ifndef ISOBIT_CONTAINER_H
#define ISOBIT_CONTAINER_H

#include <isobit/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct isb_compress_options {
    size_t struct_size;
    const char *m1_dir;  /* the M1's folder */
    size_t chunk_nbytes; /* 0: 16 KiB; 1 KiB .. 16 MiB */
    size_t n_streams;    /* chunks coded together; 0: 64 */
    int force;           /* replace an existing output file */
} isb_compress_options;
ISB_API void isb_compress_options_init(isb_compress_options *options);

typedef struct isb_compress_result {
    uint64_t raw_nbytes, packed_nbytes, n_chunks;
    double seconds; /* without loading the M1 */
    char m1_identity[33];
} isb_compress_result;

/* in_path, out_path: "-" is standard input or output.  Nothing appears under out_path unless all went well.
 * Errors: NOT_FOUND, EXISTS, NO_SPACE, IO, CANCELLED, and for decompression FORMAT, VERSION, MISMATCH (the text names both
 * identities), CORRUPT (the text names the chunk and its offset).  result may be NULL. */
ISB_API isb_status isb_compress_file(isb_context *context, const char *in_path,
                                     const char *out_path, const isb_compress_options *options,
                                     isb_compress_result *result);
ISB_API isb_status isb_decompress_file(isb_context *context, const char *in_path,
                                       const char *out_path, const isb_compress_options *options,
                                       isb_compress_result *result);

/* What a .isb file says of itself, without its M1: sizes, chunks, M1's identity.  The header and index checksums are verified. */
ISB_API isb_status isb_container_info(isb_context *context, const char *path,
                                      isb_compress_result *info);

#ifdef __cplusplus
}
#endif
#endif
