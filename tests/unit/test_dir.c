/* Folders: create, list, remove, replace as a whole, recover after a crash between the two renames;
 * path joins. */
#include "base/io.h"
#include "base/path.h"
#include "check.h"
#include "temp_dir.h"

static isb_context *ctx;

static void check_join(const char *dir, const char *name, const char *expected) {
    char *path = NULL;
    CHECK_OK(ctx, isb__path_join(ctx, dir, name, &path));
    check_report(strcmp(path, expected) == 0, __FILE__, __LINE__, expected, path);
    isb__free(ctx, path);
}

static void test_paths(void) {
    check_join("a", "b", "a/b");
    check_join("a/", "b", "a/b");
    check_join("a//", "b", "a/b");
    check_join("/", "b", "/b");
    check_join("", "b", "b");
    char *path = NULL;
    CHECK_OK(ctx, isb__path_append(ctx, "out/", ".old", &path));
    CHECK(strcmp(path, "out.old") == 0);
    isb__free(ctx, path);
    CHECK_OK(ctx, isb__path_sync_parent(ctx, "name"));
    CHECK_OK(ctx, isb__path_sync_parent(ctx, "/name"));
    CHECK_OK(ctx, isb__path_sync_parent(ctx, temp_path("name/")));
    CHECK_STATUS(isb__path_sync_parent(ctx, temp_path("none/name")), ISB_ERR_NOT_FOUND);
    CHECK(isb__path_exists(temp_dir_path) && isb__path_is_dir(temp_dir_path));
    CHECK(!isb__path_exists(temp_path("none")) && !isb__path_is_dir(temp_path("none")));
}

static void test_create(void) {
    CHECK_OK(ctx, isb__dir_create(ctx, temp_path("a/b//c/")));
    CHECK(isb__path_is_dir(temp_path("a/b/c")));
    CHECK_OK(ctx, isb__dir_create(ctx, temp_path("a/b")));
    CHECK_OK(ctx, isb__dir_create(ctx, "/"));
    CHECK_STATUS(isb__dir_create(ctx, ""), ISB_ERR_ARGUMENT);
    temp_write(temp_path("a/file"), "x", 1);
    CHECK(!isb__path_is_dir(temp_path("a/file")) && isb__path_exists(temp_path("a/file")));
    CHECK_STATUS(isb__dir_create(ctx, temp_path("a/file")), ISB_ERR_EXISTS);
    CHECK(isb__dir_create(ctx, temp_path("a/file/below")) != ISB_OK);
}

static void test_list_and_remove(void) {
    char **names = NULL;
    size_t count = 0;
    temp_write(temp_path("a/b/zeta"), "", 0);
    temp_write(temp_path("a/b/Alpha"), "", 0);
    temp_write(temp_path("a/b/\xc3\xa9"), "", 0);
    CHECK_OK(ctx, isb__dir_list(ctx, temp_path("a/b"), &names, &count));
    CHECK_EQ(count, 4);
    CHECK(strcmp(names[0], "Alpha") == 0 && strcmp(names[1], "c") == 0 &&
          strcmp(names[2], "zeta") == 0);
    isb__names_free(ctx, names, count);
    CHECK_OK(ctx, isb__dir_list(ctx, temp_path("a/b/c"), &names, &count));
    CHECK_EQ(count, 0);
    isb__names_free(ctx, names, count);
    CHECK_STATUS(isb__dir_list(ctx, temp_path("none"), &names, &count), ISB_ERR_NOT_FOUND);

    CHECK_OK(ctx, isb__dir_create(ctx, temp_path("kept")));
    temp_write(temp_path("kept/file"), "x", 1);
    CHECK_FATAL(symlink(temp_path("kept"), temp_path("a/link")) == 0);
    CHECK_OK(ctx, isb__dir_remove(ctx, temp_path("a")));
    /* links are not followed */
    CHECK(!temp_exists(temp_path("a")) && temp_exists(temp_path("kept/file")));
    CHECK_OK(ctx, isb__dir_remove(ctx, temp_path("a"))); /* nothing to do */
    CHECK_OK(ctx, isb__dir_remove(ctx, temp_path("kept")));
}

static void make_dir(const char *name, const char *content) {
    CHECK_OK(ctx, isb__dir_create(ctx, temp_path(name)));
    char file[256];
    snprintf(file, sizeof file, "%s/sub", name);
    CHECK_OK(ctx, isb__dir_create(ctx, temp_path(file)));
    snprintf(file, sizeof file, "%s/sub/file", name);
    temp_write(temp_path(file), content, strlen(content));
}

static int holds(const char *content) {
    return temp_holds(temp_path("out/sub/file"), content, strlen(content));
}

static void test_commit(void) {
    make_dir("out.new", "one");
    CHECK_OK(ctx, isb__dir_commit(ctx, temp_path("out.new"), temp_path("out")));
    CHECK(holds("one") && temp_count(temp_dir_path) == 1);
    make_dir("out.new", "two");
    CHECK_OK(ctx, isb__dir_commit(ctx, temp_path("out.new"), temp_path("out/")));
    CHECK(holds("two") && temp_count(temp_dir_path) == 1);
    make_dir("out.old", "stale");
    make_dir("out.new", "three");
    CHECK_OK(ctx, isb__dir_commit(ctx, temp_path("out.new"), temp_path("out")));
    CHECK(holds("three") && temp_count(temp_dir_path) == 1);
    CHECK_STATUS(isb__dir_commit(ctx, temp_path("out.new"), temp_path("out")), ISB_ERR_NOT_FOUND);
    CHECK(holds("three"));
    temp_write(temp_path("plain"), "x", 1);
    make_dir("out.new", "four");
    CHECK_STATUS(isb__dir_commit(ctx, temp_path("out.new"), temp_path("plain")), ISB_ERR_EXISTS);
    CHECK(temp_exists(temp_path("out.new/sub/file")));
    CHECK_OK(ctx, isb__dir_remove(ctx, temp_path("out.new")));
    CHECK_OK(ctx, isb__dir_remove(ctx, temp_path("plain"))); /* also takes a file */
}

/* The states that a crash can leave. */
static void test_recover(void) {
    CHECK_OK(ctx, isb__dir_recover(ctx, temp_path("out")));
    CHECK(holds("three"));
    CHECK_FATAL(rename(temp_path("out"), temp_path("out.old")) == 0); /* between the renames */
    CHECK_OK(ctx, isb__dir_recover(ctx, temp_path("out/")));
    CHECK(holds("three") && temp_count(temp_dir_path) == 1);
    make_dir("out.old", "older"); /* before the old one was removed */
    CHECK_OK(ctx, isb__dir_recover(ctx, temp_path("out")));
    CHECK(holds("three") && temp_count(temp_dir_path) == 1);
    /* commit goes on where nobody recovered */
    CHECK_FATAL(rename(temp_path("out"), temp_path("out.old")) == 0);
    make_dir("out.new", "five");
    CHECK_OK(ctx, isb__dir_commit(ctx, temp_path("out.new"), temp_path("out")));
    CHECK(holds("five") && temp_count(temp_dir_path) == 1);
    CHECK_OK(ctx, isb__dir_recover(ctx, temp_path("never-there")));
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    test_paths();
    test_create();
    test_list_and_remove();
    test_commit();
    test_recover();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
