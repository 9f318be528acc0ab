/* beside.c: an output beside each input. */
#include "beside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_stream(const char *path) { return strcmp(path, "-") == 0; }

static bool has_suffix(const char *path, const char *suffix) {
    const size_t n = strlen(path), m = strlen(suffix);
    return n > m && path[n - m - 1] != '/' && strcmp(path + n - m, suffix) == 0;
}

/* A link to a file; one to a pipe, as shells make for <(...), is a stream like others. */
static bool is_link_to_file(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 && S_ISLNK(status.st_mode) && path_is_file(path);
}

int beside_name(tool_session *session, const beside_rules *rules, const char *input, char *path,
                size_t nbytes) {
    const char *name = session->command->name, *suffix = rules->suffix;
    if (rules->remove_suffix && !has_suffix(input, suffix)) {
        return error_at(name, ISB_ERR_FORMAT,
                        "%s: the name does not end in %s; name the output with -o, or use -c",
                        input, suffix);
    }
    if (!rules->remove_suffix && has_suffix(input, suffix) && !rules->force) {
        return error_at(name, ISB_ERR_EXISTS,
                        "%s: already has the suffix %s; use -f to compress it again", input,
                        suffix);
    }
    if (is_link_to_file(input) && !rules->force) {
        return error_at(name, ISB_ERR_EXISTS,
                        "%s: is a symbolic link; use -f to follow it, or -c or -o to say where to",
                        input);
    }
    const size_t kept = strlen(input) - (rules->remove_suffix ? strlen(suffix) : 0);
    const int n =
        snprintf(path, nbytes, "%.*s%s", (int)kept, input, rules->remove_suffix ? "" : suffix);
    if (n > 0 && (size_t)n < nbytes) return 0;
    return error_at(name, ISB_ERR_ARGUMENT, "%s: the name is too long", input);
}

static bool asked_to_replace(tool_session *session, const char *output) {
    char answer[16] = "";
    if (session->common->quiet || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) return false;
    progress_clear(&session->progress);
    fprintf(stderr, "isobit: %s exists already; replace it (y/n)? ", output);
    if (!fgets(answer, sizeof answer, stdin)) return false;
    for (size_t n = strlen(answer); n > 0 && answer[n - 1] != '\n';) { /* the rest of a long line */
        const int c = getchar();
        if (c == EOF || c == '\n') break;
    }
    return *answer == 'y' || *answer == 'Y';
}

int beside_may_write(tool_session *session, const char *input, const char *output, int *force) {
    const char *name = session->command->name;
    struct stat in, out;
    if (is_stream(output) || stat(output, &out) != 0 || !S_ISREG(out.st_mode)) return 0;
    if (!is_stream(input) && stat(input, &in) == 0 && in.st_dev == out.st_dev &&
        in.st_ino == out.st_ino) {
        return error_usage(name, "%s is the input too; name another output", output);
    }
    if (*force) return 0;
    *force = !is_stream(input) && asked_to_replace(session, output);
    if (*force) return 0;
    return error_at(name, ISB_ERR_EXISTS, "%s exists already; use -f to replace it", output);
}

mode_t beside_begin(const char *input) {
    const mode_t before = umask(077);
    if (is_stream(input) || !path_is_file(input)) umask(before);
    return before;
}

/* By the open file, so that nothing else of that name is touched; never on devices such as
 * /dev/null. */
static void copy_attributes(const char *input, const char *output) {
    struct stat in, out;
    if (stat(input, &in) != 0 || !S_ISREG(in.st_mode)) return;
    const int fd = open(output, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    if (fstat(fd, &out) == 0 && S_ISREG(out.st_mode)) {
        const struct timespec times[2] = {in.st_atim, in.st_mtim};
        (void)!fchown(fd, in.st_uid, in.st_gid);
        (void)!fchmod(fd, in.st_mode & 0777);
        (void)!futimens(fd, times);
    }
    close(fd);
}

void beside_finish(mode_t before, bool whole, const char *input, const char *output) {
    umask(before);
    if (whole && !is_stream(input) && !is_stream(output)) copy_attributes(input, output);
}

int beside_remove(tool_session *session, const char *input) {
    if (unlink(input) == 0) return 0;
    return error_at(session->command->name, error_from_errno(), "cannot remove %s: %s", input,
                    strerror(errno));
}
