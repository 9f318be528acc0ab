/* errors.c: statuses as one line of cause, one of advice, and an exit code. */
#include "errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "session.h"

typedef struct error_kind {
    isb_status status;
    int exit_code;
    const char *advice;
} error_kind;

static const error_kind kinds[] = {
    {ISB_OK, EXIT_OK, ""},
    {ISB_ERR_ARGUMENT, EXIT_USAGE, "see the command's --help for what is allowed"},
    {ISB_ERR_SHAPE, EXIT_DATA, "the parts do not belong together: use the files of one model"},
    {ISB_ERR_RANGE, EXIT_USAGE, "see the command's --help for what is allowed"},
    {ISB_ERR_UNSUPPORTED, EXIT_FAILED, "\"isobit info\" shows what this build and machine can do"},
    {ISB_ERR_BUFFER_SIZE, EXIT_FAILED, "this is a defect in isobit: please report it with the "
                                       "command line"},
    {ISB_ERR_NO_MEMORY, EXIT_FAILED, "use a smaller model, batch or context, or a machine with "
                                     "more memory"},
    {ISB_ERR_CANCELLED, EXIT_INTERRUPTED, ""},
    {ISB_ERR_THREAD, EXIT_FAILED, "use fewer threads (--threads), or raise the limit of "
                                  "processes (ulimit -u)"},
    {ISB_ERR_RANK, EXIT_FAILED, "see what became of the process named, then resume"},
    {ISB_ERR_DEVICE, EXIT_FAILED, "see the driver's messages (dmesg, nvidia-smi), then resume"},
    {ISB_ERR_CORRUPT, EXIT_DATA, "the data was damaged after it was written: take another copy "
                                 "or make it again"},
    {ISB_ERR_FORMAT, EXIT_DATA, "\"isobit info PATH\" tells what a file or folder is"},
    {ISB_ERR_VERSION, EXIT_DATA, "use the version of isobit that wrote it, or a newer one"},
    {ISB_ERR_MISMATCH, EXIT_DATA, "use the model or tokenizer it was made with; \"isobit info "
                                  "PATH\" shows identities"},
    {ISB_ERR_EMPTY, EXIT_DATA, "give files that hold text"},
    {ISB_ERR_UNDECODABLE, EXIT_DATA, "the ids were not made by this tokenizer, or they are "
                                     "damaged"},
    {ISB_ERR_IO, EXIT_FILES, "check the disk and try again"},
    {ISB_ERR_NOT_FOUND, EXIT_FILES, "check the name; relative names start at the current folder"},
    {ISB_ERR_IS_DIRECTORY, EXIT_FILES, "name a file inside the folder"},
    {ISB_ERR_NO_SPACE, EXIT_FILES, "free some space or choose another folder; nothing "
                                   "half-written is left"},
    {ISB_ERR_EXISTS, EXIT_FILES, "choose another name, or replace it on purpose (see --help)"},
    {ISB_ERR_PERMISSION, EXIT_FILES, "check the owner and mode of the file and its folder"},
    {ISB_ERR_BUSY, EXIT_FILES, "one process at a time may write there"},
    {ISB_ERR_DIVERGED, EXIT_FAILED, "use a lower --lr or a longer --warmup; the last checkpoint "
                                    "is still there"},
};

static const error_kind *kind_of(isb_status status) {
    static const error_kind unknown = {ISB_ERR_ARGUMENT, EXIT_FAILED, ""};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
        if (kinds[i].status == status) return &kinds[i];
    }
    return &unknown;
}

int error_exit_code(isb_status status) { return kind_of(status)->exit_code; }

static void print_where(const char *where) {
    fputs("isobit: ", stderr);
    if (where) fprintf(stderr, "%s: ", where);
}

/* The library's texts end in "; what to do" where it knows better than the general advice. */
static int print_error(const char *where, isb_status status, const char *text) {
    const error_kind *kind = kind_of(status);
    const char *advice = kind->advice;
    size_t length = strlen(text);
    for (const char *at = text; (at = strstr(at, "; ")) != NULL; at += 2) {
        length = (size_t)(at - text);
        advice = at + 2;
    }
    print_where(where);
    fprintf(stderr, "%.*s\n", (int)length, text);
    if (*advice) fprintf(stderr, "  %s\n", advice);
    return kind->exit_code;
}

int error_status(struct tool_session *session, isb_status status) {
    const char *detail = isb_context_error(session->context);
    progress_clear(&session->progress);
    return print_error(session->command->name, status,
                       *detail ? detail : isb_status_sentence(status));
}

int error_at(const char *where, isb_status status, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return print_error(where, status, text);
}

int error_usage(const char *where, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_where(where);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n  see isobit %s%s--help\n", where ? where : "", where ? " " : "");
    return EXIT_USAGE;
}

isb_status error_from_errno(void) {
    switch (errno) {
    case ENOENT: return ISB_ERR_NOT_FOUND;
    case EISDIR: return ISB_ERR_IS_DIRECTORY;
    case EACCES:
    case EPERM:
    case EROFS: return ISB_ERR_PERMISSION;
    case EEXIST: return ISB_ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ISB_ERR_NO_SPACE;
    case ENOMEM: return ISB_ERR_NO_MEMORY;
    default: return ISB_ERR_IO;
    }
}
