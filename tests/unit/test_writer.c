/* Writers: nothing under the final name before commit, nothing at all after abort or failure, a
 * full disk, links, devices, patches; and folders that are replaced as a whole. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/rng.h"
#include "check.h"
#include "temp_dir.h"

static isb_context *ctx;

static isb__writer *open_writer(const char *path) {
    isb__writer *writer = NULL;
    CHECK_OK(ctx, isb__writer_open(ctx, path, &writer));
    return writer;
}

static void test_commit_and_abort(void) {
    const char *path = temp_path("file");
    isb__writer *writer = open_writer(path);
    CHECK_OK(ctx, isb__writer_write(writer, "first", 5));
    CHECK(!temp_exists(path));
    CHECK_EQ(temp_count(temp_dir_path), 1); /* the temporary, beside the final name */
    CHECK_OK(ctx, isb__writer_commit(writer));
    CHECK(temp_holds(path, "first", 5));
    CHECK_EQ(temp_count(temp_dir_path), 1);

    chmod(path, 0640);
    writer = open_writer(path);
    CHECK_OK(ctx, isb__writer_write(writer, "second", 6));
    CHECK(temp_holds(path, "first", 5));
    isb__writer_abort(writer);
    CHECK(temp_holds(path, "first", 5));
    CHECK_EQ(temp_count(temp_dir_path), 1);
    CHECK_OK(ctx, isb__file_write(ctx, path, "second", 6));
    CHECK(temp_holds(path, "second", 6));
    struct stat info;
    CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0640);
    isb__writer_abort(NULL);
    CHECK_OK(ctx, isb__file_write(ctx, path, "", 0));
    CHECK(temp_holds(path, "", 0));
    CHECK(remove(path) == 0);
}

/* Pieces of every size around the buffer's, with patches, against a plain array. */
static void test_against_array(uint64_t seed) {
    enum { MAX_NBYTES = 3 << 20 };
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    uint8_t *model = malloc(MAX_NBYTES), *piece = malloc(MAX_NBYTES);
    for (size_t i = 0; i < MAX_NBYTES; ++i) piece[i] = (uint8_t)isb__rng_u64(&rng);
    isb__writer *writer = open_writer(temp_path("array"));
    static const size_t sizes[] = {0, 1, 17, 1000, 262143, 262144, 262145, 600000};
    size_t used = 0;
    for (int step = 0; step < 60; ++step) {
        const size_t n = sizes[isb__rng_below(&rng, 8)],
                     from = isb__rng_below(&rng, MAX_NBYTES - n);
        if (used + n > MAX_NBYTES) break;
        CHECK_OK(ctx, isb__writer_write(writer, piece + from, n));
        memcpy(model + used, piece + from, n);
        used += n;
        CHECK_EQ(isb__writer_position(writer), used);
        if (step % 5 != 4) continue;
        const size_t at = isb__rng_below(&rng, used + 1),
                     patch = isb__rng_below(&rng, used - at + 1);
        CHECK_OK(ctx, isb__writer_patch(writer, at, piece, patch));
        memcpy(model + at, piece, patch);
    }
    CHECK_STATUS(isb__writer_patch(writer, used, "x", 1), ISB_ERR_RANGE);
    CHECK_STATUS(isb__writer_patch(writer, used + 1, "", 0), ISB_ERR_RANGE);
    CHECK_OK(ctx, isb__writer_commit(writer));
    CHECK(temp_holds(temp_path("array"), model, used));
    remove(temp_path("array"));
    free(model);
    free(piece);
}

static void test_names(void) {
    isb__writer *writer = NULL;
    CHECK_STATUS(isb__writer_open(ctx, temp_dir_path, &writer), ISB_ERR_IS_DIRECTORY);
    CHECK_STATUS(isb__writer_open(ctx, temp_path("new/"), &writer), ISB_ERR_IS_DIRECTORY);
    CHECK_STATUS(isb__writer_open(ctx, "", &writer), ISB_ERR_IS_DIRECTORY);
    CHECK_STATUS(isb__writer_open(ctx, temp_path("no/such/folder"), &writer), ISB_ERR_NOT_FOUND);
    CHECK(writer == NULL && strstr(isb_context_error(ctx), "no/such/folder"));

    temp_write(temp_path("target"), "old", 3); /* a link stays a link, its target is replaced */
    CHECK_FATAL(symlink("target", temp_path("link")) == 0);
    CHECK_OK(ctx, isb__file_write(ctx, temp_path("link"), "new", 3));
    struct stat info;
    CHECK(lstat(temp_path("link"), &info) == 0 && S_ISLNK(info.st_mode));
    CHECK(temp_holds(temp_path("target"), "new", 3));
    remove(temp_path("link"));
    remove(temp_path("target"));

    /* a device is written, not replaced */
    CHECK_OK(ctx, isb__file_write(ctx, "/dev/null", "x", 1));
    CHECK(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
    writer = open_writer("/dev/null");
    CHECK_OK(ctx, isb__writer_write(writer, "abc", 3));
    CHECK_STATUS(isb__writer_patch(writer, 0, "x", 1), ISB_ERR_ARGUMENT);
    CHECK_OK(ctx, isb__writer_commit(writer));

    char stale[1200]; /* the litter of a dead process with our id */
    snprintf(stale, sizeof stale, "%s.tmp.%ld", temp_path("again"), (long)getpid());
    temp_write(stale, "litter", 6);
    CHECK_OK(ctx, isb__file_write(ctx, temp_path("again"), "fresh", 5));
    CHECK(temp_holds(temp_path("again"), "fresh", 5) && !temp_exists(stale));
    remove(temp_path("again"));
}

/* /dev/full refuses every byte: the error comes at the latest from commit. */
static void test_full_device(void) {
    if (!temp_exists("/dev/full")) return;
    CHECK_STATUS(isb__file_write(ctx, "/dev/full", "x", 1), ISB_ERR_NO_SPACE);
    CHECK(strstr(isb_context_error(ctx), "/dev/full") != NULL);
}

/* The file size limit stands in for a full disk: the failure is sticky, and commit removes what was
 * written. */
static void test_no_space(void) {
    enum { LIMIT = 1 << 20 };
    const char *path = temp_path("big");
    temp_write(path, "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = LIMIT;
    CHECK_FATAL(setrlimit(RLIMIT_FSIZE, &small) == 0);
    static uint8_t chunk[100000];
    isb__writer *writer = open_writer(path);
    isb_status status = ISB_OK;
    for (int i = 0; i < 20 && status == ISB_OK; ++i)
        status = isb__writer_write(writer, chunk, sizeof chunk);
    CHECK_STATUS(status, ISB_ERR_NO_SPACE);
    CHECK(strstr(isb_context_error(ctx), path) != NULL);
    CHECK_STATUS(isb__writer_write(writer, chunk, 1), ISB_ERR_NO_SPACE);
    CHECK_STATUS(isb__writer_commit(writer), ISB_ERR_NO_SPACE);
    CHECK(temp_holds(path, "old", 3));
    static uint8_t large[2 * LIMIT]; /* written past the buffer */
    CHECK_STATUS(isb__file_write(ctx, temp_path("bigger"), large, sizeof large), ISB_ERR_NO_SPACE);
    CHECK(!temp_exists(temp_path("bigger")));
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(remove(path) == 0);
    CHECK_EQ(temp_count(temp_dir_path), 0);
}

/* A process killed at any moment of writing leaves the old file or the new one. */
static void test_killed(uint64_t seed) {
    enum { NBYTES = 400000 };
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    static uint8_t old[NBYTES], new[NBYTES];
    memset(old, 'o', NBYTES);
    memset(new, 'n', NBYTES);
    const char *path = temp_path("killed");
    for (int i = 0; i < 10; ++i) {
        temp_write(path, old, NBYTES);
        const pid_t child = fork();
        if (child == 0) {
            for (;;) {
                if (isb__file_write(ctx, path, new, NBYTES) != ISB_OK) _exit(1);
            }
        }
        usleep((useconds_t)isb__rng_below(&rng, 20000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        CHECK(temp_holds(path, old, NBYTES) || temp_holds(path, new, NBYTES));
    }
}

static void write_with_hole(isb__writer *writer, uint64_t first, uint64_t last) {
    CHECK_OK(ctx, isb__writer_skip(writer, first));
    CHECK_OK(ctx, isb__writer_write(writer, "middle", 6));
    CHECK_OK(ctx, isb__writer_skip(writer, last));
    CHECK_OK(ctx, isb__writer_skip(writer, 0));
    CHECK_EQ(isb__writer_position(writer), first + 6 + last);
    CHECK_OK(ctx, isb__writer_commit(writer));
}

/* Zeros that are not written are zeros all the same, at the start, in the middle and at the end. */
static void test_holes(void) {
    static uint8_t expected[700006];
    const char *path = temp_path("holes");
    isb__writer *writer = open_writer(path);
    CHECK(isb__writer_can_skip(writer, false));
    memcpy(expected + 300000, "middle", 6);
    write_with_hole(writer, 300000, 400000);
    CHECK(temp_holds(path, expected, sizeof expected));
    writer = open_writer("/dev/null");
    CHECK(!isb__writer_can_skip(writer, true));
    isb__writer_abort(writer);
    remove(path);
}

/* Opens a file as standard output, asks whether it may have holes, and writes some if so. */
static void try_standard_output(const char *path, int flags, bool expected) {
    const int file = open(path, O_WRONLY | O_CREAT | flags, 0600), saved = dup(STDOUT_FILENO);
    fflush(stdout);
    CHECK_FATAL(file >= 0 && saved >= 0 && dup2(file, STDOUT_FILENO) >= 0);
    isb__writer *writer = open_writer("-");
    CHECK(!isb__writer_can_skip(writer, false));
    const bool can = isb__writer_can_skip(writer, true);
    if (can) write_with_hole(writer, 5000, 5000);
    if (!can) isb__writer_abort(writer);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(file);
    CHECK_EQ(can, expected);
}

/* Appending has no positions, and a hole would let older bytes through. */
static void test_holes_in_standard_output(void) {
    static uint8_t expected[10006];
    const char *path = temp_path("stdout");
    memcpy(expected + 5000, "middle", 6);
    try_standard_output(path, O_TRUNC, true);
    CHECK(temp_holds(path, expected, sizeof expected));
    try_standard_output(path, O_APPEND, false);
    try_standard_output(path, 0, false);
    CHECK(temp_holds(path, expected, sizeof expected));
    remove(path);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    temp_dir_begin();
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = 1; /* this test forks */
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    test_commit_and_abort();
    test_against_array(seed);
    test_names();
    test_holes();
    test_holes_in_standard_output();
    test_full_device();
    test_no_space();
    test_killed(seed);
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
