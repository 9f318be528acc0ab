/* isobit/m1.h: M1, the byte model quantised to int8 whose predictions drive codes: docs/m1.md.
 *
 *     isb_m1_quantise_file(context, "out/m1", "english.isb-m1", "english", 0);
 *     isb_m1_info info;
 *     isb_m1_get_info(context, "english.isb-m1", &info);
 *
 * Where a call takes an M1, its path is that of a file NAME.isb-m1, of a trained byte model's folder (which is quantised
 * as it is read: the same M1 as the file made of it), of a static M1's folder, or, where no such file exists, the name
 * of the M1 in the library.
 */
#ifndef ISOBIT_M1_H
#define ISOBIT_M1_H

#include <isobit/context.h>
#include <isobit/data.h>
#include <isobit/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Quantises a trained byte model (`isobit train --tokenizer bytes`) and writes it as one file.
 * out_path: NAME.isb-m1, or "-".  name: 1 to 31 bytes of UTF-8, kept in the file; NULL: out_path's.  force: replace a
 * file that is there.  Errors: those of isb_model_load(); SHAPE (not a byte model, or sizes that docs/m1.md does not
 * allow), RANGE (an infinite or NaN weight), EXISTS, those of writing. */
ISB_API isb_status isb_m1_quantise_file(isb_context *context, const char *model_dir,
                                        const char *out_path, const char *name, int force);

typedef struct isb_m1_info {
    isb_model_config config;
    char name[33];     /* "" for a folder */
    char identity[33]; /* of the arithmetic, the weights and every parameter; not of the name */
    int64_t n_parameters;
    int64_t n_parameters_no_embed; /* the N of FLOPs = 2 N per byte */
    uint64_t nbytes;               /* as a file NAME.isb-m1 */
    int is_static;                 /* byte counts: all fields above but identity are 0 */
    int is_file;                   /* NAME.isb-m1, not a folder or the one in the library */
} isb_m1_info;
/* Loads and verifies it.  Errors: NOT_FOUND, FORMAT, VERSION, CORRUPT, SHAPE, NO_MEMORY. */
ISB_API isb_status isb_m1_get_info(isb_context *context, const char *path, isb_m1_info *info);

/* The identity alone: the name of an M1 in datasets and compressed files, which is not isb_model_info.identity.
 * identity: 32 hexadecimal digits and a NUL.  Errors: as above. */
ISB_API isb_status isb_m1_identity(isb_context *context, const char *path, char identity[33]);

typedef struct isb_m1_measure_options {
    size_t struct_size;
    const char *model_dir; /* the trained model */
    const char *m1;        /* what was made of it; NULL: model_dir, quantised now */
    isb_corpus_options corpus;
} isb_m1_measure_options;
ISB_API void isb_m1_measure_options_init(isb_m1_measure_options *options);

/* All three see the same positions in the same contexts, those of the code `ac`: each document from its start, every
 * byte and the document's end, looking back over the last T positions. */
typedef struct isb_m1_measurement {
    uint64_t n_documents, n_bytes;
    double model_bits_per_byte;     /* the trained model, in float32, -log2 of its probabilities */
    double model_cdf_bits_per_byte; /* the same with its probabilities as CDFs of 16 bits */
    double bits_per_byte;           /* M1: what its code takes, less than 2 bits a document more */
    double loss;                    /* bits_per_byte / model_bits_per_byte - 1 */
    double seconds;
} isb_m1_measurement;
/* What quantisation costs, on texts never trained on.  Errors: EMPTY, MISMATCH (m1 has other sizes than the model),
 * those of models and corpora. */
ISB_API isb_status isb_m1_measure(isb_context *context, const char *const *paths, size_t n_paths,
                                  const isb_m1_measure_options *options,
                                  isb_m1_measurement *result);

#ifdef __cplusplus
}
#endif
#endif
