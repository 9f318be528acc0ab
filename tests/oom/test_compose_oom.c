/* Composed embeddings without memory: every allocation fails once, from the file of pieces to a step
 * of training. */
#include <isobit/isobit.h>

#include "data/id_strings.h"
#include "fail_alloc.h"
#include "nn/compose.h"
#include "temp_dir.h"

static char pieces_path[600], ids_path[600], prefix[600], out_path[600];

static isb_status read_pieces(isb_context *ctx, void *arg) {
    (void)arg;
    isb__id_strings strings;
    const isb_status status = isb__id_strings_read(ctx, pieces_path, 3, &strings);
    CHECK((status == ISB_OK) == (strings.begin != NULL));
    isb__id_strings_free(&strings);
    return status;
}

static isb_status make_map(isb_context *ctx, void *arg) {
    (void)arg;
    static const uint64_t begin[] = {0, 8, 12};
    isb__compose_map *map = NULL;
    const isb_status status =
        isb__compose_map_create(ctx, 3, 2, begin, (const uint8_t *)" the catcats", 16, &map);
    CHECK((status == ISB_OK) == (map != NULL));
    isb__compose_map_free(map);
    return status;
}

/* Nothing is left beside a dataset that was not made. */
static isb_status prepare(isb_context *ctx, void *arg) {
    (void)arg;
    char json[700], pieces[700];
    const char *paths[] = {ids_path};
    isb_prepare_options o;
    isb_prepare_options_init(&o);
    o.tokenizer = "external:made-up,vocab=4";
    o.pieces_path = pieces_path;
    snprintf(json, sizeof json, "%s.json", prefix);
    snprintf(pieces, sizeof pieces, "%s.pieces", prefix);
    remove(json);
    remove(pieces);
    const isb_status status = isb_prepare(ctx, paths, 1, prefix, &o, NULL);
    CHECK(temp_exists(json) == temp_exists(pieces));
    return status;
}

static isb_status train(isb_context *ctx, void *arg) {
    (void)arg;
    isb_train_options o;
    isb_train_result r;
    isb_train_options_init(&o);
    o.dataset_prefix = prefix;
    o.out_dir = out_path;
    o.overwrite = 1;
    o.model = (isb_model_config){.struct_size = sizeof o.model,
                                 .hidden_size = 8,
                                 .n_layers = 1,
                                 .n_heads = 1,
                                 .intermediate_size = 8,
                                 .context_length = 8,
                                 .rope_theta = 10000,
                                 .norm_eps = 1e-6,
                                 .tie_embeddings = 1};
    o.batch_rows = 1;
    o.max_steps = 1;
    o.embeddings = ISB_EMBEDDINGS_COMPOSED;
    return isb_train(ctx, &o, &r);
}

static void write_inputs(void) {
    static const char ids[] = "{\"n_bytes\": 30, \"ids\": [0,1,2,0,1,2,0,1,2,0,1,2]}\n";
    static const char pieces[] = "{\"piece\": \" the\"}\n{\"bytes\": [255]}\n{}\n";
    const char *dir = temp_dir_begin();
    snprintf(ids_path, sizeof ids_path, "%s/ids.jsonl", dir);
    snprintf(pieces_path, sizeof pieces_path, "%s/pieces", dir);
    snprintf(prefix, sizeof prefix, "%s/tokens", dir);
    snprintf(out_path, sizeof out_path, "%s/out", dir);
    temp_write(ids_path, ids, sizeof ids - 1);
    temp_write(pieces_path, pieces, sizeof pieces - 1);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    write_inputs();
    fail_alloc_sweep("pieces", read_pieces, NULL);
    fail_alloc_sweep("map", make_map, NULL);
    fail_alloc_sweep("prepare", prepare, NULL);
    fail_alloc_sweep("train", train, NULL);
    temp_dir_end();
    return check_end();
}
