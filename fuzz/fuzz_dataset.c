/* Any bytes as a dataset.  The first byte says how: a description made to fit the rest, so that the
 * index is read past its checksum, or a description from the input.  What opens must be safe to
 * read and to train on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "data/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static char folder[] = "/tmp/isobit-fuzz-XXXXXX";
static isb_context *ctx;

static void require(int condition) {
    if (!condition) abort();
}

static void clean_up(void) {
    static const char *const names[] = {"d.bin", "d.idx", "d.json"};
    for (int i = 0; i < 3; ++i) unlink(names[i]);
    if (chdir("/") == 0) rmdir(folder);
    isb_context_free(ctx);
}

static void set_up(void) {
    if (ctx) return;
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = 1;
    require(isb_context_create(&options, &ctx) == ISB_OK && mkdtemp(folder) && chdir(folder) == 0);
    atexit(clean_up);
}

static void write_file(const char *name, const void *data, size_t nbytes) {
    FILE *file = fopen(name, "wb");
    require(file && fwrite(data, 1, nbytes, file) == nbytes && fclose(file) == 0);
}

/* Counts read from the index itself, or nearly. */
static void write_description(const uint8_t *idx, size_t nbytes, size_t bin_nbytes, int flags) {
    char text[1024];
    uint64_t n_documents = 0;
    if (nbytes >= 26) memcpy(&n_documents, idx + 18, 8);
    const int id_nbytes = flags & 2 ? 4 : 2;
    const int n = snprintf(
        text, sizeof text,
        "{\"format\": \"isobit-dataset\", \"version\": 1, \"tokenizer\": \"t\", \"m1_identity\": "
        "\"\", \"n_codes\": 256, \"id_nbytes\": %d, \"n_documents\": %" PRIu64
        ", \"n_tokens\": %zu, \"n_bytes\": 9, "
        "\"bin_xxh3_64\": \"0123456789abcdef\", \"idx_xxh3_64\": \"%016" PRIx64 "\"}",
        id_nbytes, n_documents, bin_nbytes / (size_t)id_nbytes, isb__hash64(idx, nbytes, 0));
    write_file("d.json", text, (size_t)n);
}

static void read_rows(const isb__dataset *dataset) {
    const isb__loader_options options = {.B = 2, .T = 5, .isolate_documents = 1, .cut_share = 0.5};
    isb__loader *loader = NULL;
    int32_t inputs[10], targets[10], starts[10];
    if (isb__loader_create(ctx, dataset, &options, &loader) != ISB_OK) return;
    for (uint64_t position = 0; position < 8; ++position) {
        isb__loader_fill(loader, position, inputs, targets, starts);
        for (int i = 0; i < 10; ++i) {
            require(inputs[i] >= 0 && inputs[i] <= dataset->info.n_codes);
            require(targets[i] >= -1 && targets[i] <= dataset->info.n_codes);
            require(starts[i] >= 0 && starts[i] <= i % 5);
        }
    }
    isb__loader_free(loader);
}

/* flags, length of .bin (16 bits), .bin, then .idx; or, with bit 0 of flags: length of .idx (16
 * bits), .idx, then .json. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes) {
    if (nbytes < 3) return 0;
    set_up();
    const int flags = data[0];
    size_t first = (size_t)(data[1] | data[2] << 8);
    data += 3;
    nbytes -= 3;
    if (first > nbytes) first = nbytes;
    if (flags & 1) {
        write_file("d.idx", data, first);
        write_file("d.json", data + first, nbytes - first);
        write_file("d.bin", "\1\0\2\0", 4);
    } else {
        write_file("d.bin", data, first);
        write_file("d.idx", data + first, nbytes - first);
        write_description(data + first, nbytes - first, first, flags);
    }
    isb__dataset *dataset = NULL;
    if (isb__dataset_open(ctx, "d", &dataset) == ISB_OK) {
        (void)isb__dataset_verify(dataset);
        read_rows(dataset);
    }
    isb__dataset_close(dataset);
    return 0;
}
