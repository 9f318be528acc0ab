/* Runs a fuzz target once over each file of the folders named, so that the corpus is a test under
 * any compiler, and over as many variations of each as ISB_FUZZ_VARIATIONS says (8 without it):
 * bytes changed, cut or repeated. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

enum { MAX_NBYTES = 1 << 20 };

static uint64_t state = 88172645463325252u;

static size_t random_below(size_t n) { /* Marsaglia's xorshift64 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return n > 0 ? (size_t)(state % n) : 0;
}

/* A copy of the exact size: reading past it shows under a sanitizer. */
static void run_once(const uint8_t *data, size_t nbytes) {
    uint8_t *copy = malloc(nbytes + (nbytes == 0));
    if (!copy) exit(1);
    if (nbytes > 0) memcpy(copy, data, nbytes);
    LLVMFuzzerTestOneInput(copy, nbytes);
    free(copy);
}

static void run_variations(uint8_t *data, size_t nbytes, int n) {
    for (int i = 0; i < n && nbytes > 0; i++) {
        uint8_t *varied = malloc(nbytes);
        if (!varied) exit(1);
        memcpy(varied, data, nbytes);
        for (size_t changes = 1 + random_below(4); changes > 0; changes--) {
            varied[random_below(nbytes)] = (uint8_t)random_below(256);
        }
        const size_t from = random_below(nbytes), to = random_below(nbytes),
                     length = random_below(16);
        if (from + length < nbytes && to + length < nbytes)
            memmove(varied + to, varied + from, length);
        run_once(varied, i % 3 ? nbytes : random_below(nbytes + 1));
        free(varied);
    }
}

static size_t replay_file(const char *path, uint8_t *data, int n_variations) {
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    const size_t nbytes = fread(data, 1, MAX_NBYTES, file);
    fclose(file);
    run_once(data, nbytes);
    run_variations(data, nbytes, n_variations);
    return 1;
}

static size_t replay_folder(const char *folder, uint8_t *data, int n_variations) {
    size_t n = 0;
    struct dirent **names = NULL;
    const int n_names = scandir(folder, &names, NULL, alphasort); /* in one order everywhere */
    for (int i = 0; i < n_names; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.') n += replay_file(path, data, n_variations);
        free(names[i]);
    }
    free(names);
    return n;
}

int main(int argc, char **argv) {
    const char *text = getenv("ISB_FUZZ_VARIATIONS");
    const int n_variations = text ? atoi(text) : 8;
    uint8_t *data = malloc(MAX_NBYTES);
    size_t n = 0;
    if (!data) return 1;
    for (int i = 1; i < argc; i++) n += replay_folder(argv[i], data, n_variations);
    free(data);
    printf("%zu files\n", n);
    return n == 0;
}
