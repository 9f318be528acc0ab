/* isobit/status.h: what a call returns.
 *
 * Every call that can fail returns an isb_status: ISB_OK (0) or a negative code.  One code has one
 * meaning and a number is never used again.  The sentence for a code says what kind of thing went
 * wrong; what exactly was expected and found, and where, is in isb_context_error().
 *
 *     isb_status status = isb_model_load(context, "m1", &model);
 *     if (status != ISB_OK) {
 *         fprintf(stderr, "%s: %s\n", isb_status_sentence(status), isb_context_error(context));
 *     }
 */
#ifndef ISOBIT_STATUS_H
#define ISOBIT_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ISB_API __attribute__((visibility("default")))
#else
#define ISB_API
#endif

/* X(name, number, sentence); grouped by kind: the call, the machine, the data, the file system, the
 * numbers. */
#define ISB_STATUS_MAP(X)                                                     \
    X(ISB_OK, 0, "success")                                                   \
    X(ISB_ERR_ARGUMENT, -1, "invalid argument")                               \
    X(ISB_ERR_SHAPE, -2, "shapes do not match")                               \
    X(ISB_ERR_RANGE, -3, "value out of range")                                \
    X(ISB_ERR_UNSUPPORTED, -4, "not supported by this build or machine")      \
    X(ISB_ERR_BUFFER_SIZE, -5, "output buffer is too small")                  \
    X(ISB_ERR_NO_MEMORY, -10, "out of memory")                                \
    X(ISB_ERR_CANCELLED, -11, "interrupted")                                  \
    X(ISB_ERR_THREAD, -12, "cannot start a thread")                           \
    X(ISB_ERR_RANK, -13, "another process of the run failed")                 \
    X(ISB_ERR_DEVICE, -14, "the GPU failed")                                  \
    X(ISB_ERR_CORRUPT, -20, "data is corrupt")                                \
    X(ISB_ERR_FORMAT, -21, "not a file of the expected kind")                 \
    X(ISB_ERR_VERSION, -22, "written by an unknown version")                  \
    X(ISB_ERR_MISMATCH, -23, "made by another model or tokenizer")            \
    X(ISB_ERR_EMPTY, -24, "no data")                                          \
    X(ISB_ERR_UNDECODABLE, -25, "code does not decode")                       \
    X(ISB_ERR_IO, -30, "input/output error")                                  \
    X(ISB_ERR_NOT_FOUND, -31, "no such file")                                 \
    X(ISB_ERR_IS_DIRECTORY, -32, "is a directory")                            \
    X(ISB_ERR_NO_SPACE, -33, "no space left")                                 \
    X(ISB_ERR_EXISTS, -34, "already exists")                                  \
    X(ISB_ERR_PERMISSION, -35, "permission denied")                           \
    X(ISB_ERR_BUSY, -36, "in use by another process")                         \
    X(ISB_ERR_DIVERGED, -40, "training diverged")

typedef enum isb_status {
#define ISB_STATUS_ENUM(name, number, sentence) name = number,
    ISB_STATUS_MAP(ISB_STATUS_ENUM)
#undef ISB_STATUS_ENUM
} isb_status;

/* The code's name ("ISB_ERR_CORRUPT") and sentence ("data is corrupt").  Never NULL; static
 * storage; any thread. An unknown number gives "ISB_ERR_UNKNOWN" and "unknown status". */
ISB_API const char *isb_status_name(isb_status status);
ISB_API const char *isb_status_sentence(isb_status status);

#ifdef __cplusplus
}
#endif
#endif
