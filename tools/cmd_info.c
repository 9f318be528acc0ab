/* cmd_info.c: isobit info: what a file or folder is, or what this build and machine can do. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "archives.h"
#include "codebooks.h"
#include "format.h"

typedef struct info_values {
    common_values common;
    text_list paths;
    int full;
} info_values;

static const option_spec info_options[] = {
    {.group = "Options", .name = "full", .type = OPTION_FLAG, .offset = offsetof(info_values, full),
     .help = "verify the checksum of all tokens of a dataset too, not only of its index"},
};

/* ---- build and machine ---- */

/* {"cpu": {"model": "..."}} as "cpu model   ...": names to their last level, underscores as spaces.
 */
static void print_tree(const json_t *value, const char *name) {
    const char *key;
    json_t *child;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, child) {
            char longer[128];
            snprintf(longer, sizeof longer, "%s%s%s", name, *name ? " " : "", key);
            for (char *c = longer; *c; ++c) *c = *c == '_' ? ' ' : *c;
            print_tree(child, longer);
        }
        return;
    }
    printf("%-22s  ", name);
    if (json_is_string(value)) {
        printf("%s\n", *json_string_value(value) ? json_string_value(value) : "-");
    } else if (json_is_integer(value)) {
        printf("%s\n", format_grouped((uint64_t)json_integer_value(value)).text);
    } else if (json_is_boolean(value)) {
        printf("%s\n", json_is_true(value) ? "yes" : "no");
    } else if (json_is_array(value)) {
        printf("%zu\n", json_array_size(value));
    } else {
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
        putchar('\n');
    }
}

/* The M1 in the library, if this build has one (no name: none), and the instruction set of its
 * integer kernels: each tier has all of them.  NULL when memory runs out. */
static json_t *released_m1(const tool_session *session, const isb_m1_info *info) {
    return json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", info->name, "identity", info->identity,
                     "int8_tier_used", isb_context_cpu(session->context), "parameters",
                     (json_int_t)info->n_parameters, "bytes", (json_int_t)info->nbytes);
}

static int info_machine(tool_session *session) {
    char text[16384];
    isb_m1_info m1;
    isb_status status = isb_build_info_json(session->context, text, sizeof text);
    if (status != ISB_OK) return error_status(session, status);
    status = isb_m1_get_info(session->context, RELEASED_M1, &m1);
    if (status == ISB_ERR_NOT_FOUND) {
        m1 = (isb_m1_info){0};
    } else if (status != ISB_OK) {
        return error_status(session, status);
    }
    json_t *root = json_loads(text, 0, NULL);
    if (!root || json_object_set_new(root, "m1", released_m1(session, &m1)) != 0) {
        json_decref(root);
        return error_at(session->command->name, ISB_ERR_NO_MEMORY, "no memory for the description");
    }
    if (session->common->json) {
        json_dumpf(root, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_tree(root, "");
    }
    json_decref(root);
    return EXIT_OK;
}

/* ---- models and runs ---- */

static bool join(char *path, size_t nbytes, const char *dir, const char *name) {
    const int n = snprintf(path, nbytes, "%s/%s", dir, name);
    return n > 0 && (size_t)n < nbytes;
}

static bool holds(const char *dir, const char *name) {
    char path[4096];
    struct stat status;
    return join(path, sizeof path, dir, name) && stat(path, &status) == 0;
}

/* What the ids depend on beside the tokenizer's text. */
static void add_identity(results *out, const char *tokenizer, const char *identity) {
    const bool codebook = strncmp(tokenizer, "codebook:", 9) == 0;
    results_text(out, codebook ? "codebook_identity" : "m1_identity",
                 !*identity ? NULL : codebook ? "identity of its codebook" : "identity of its M1",
                 identity);
}

static void add_shape(results *out, const isb_model_config *c, int64_t n_parameters,
                      int64_t n_parameters_no_embed) {
    static const char *const activations[] = {"silu", "relu"}, *const positions[] = {"rope", "t5"};
    results_count(out, "n_parameters", "parameters", (uint64_t)n_parameters);
    results_count(out, "n_parameters_no_embed", "  without embeddings",
                  (uint64_t)n_parameters_no_embed);
    results_count(out, "vocab_size", "ids", (uint64_t)c->vocab_size);
    results_count(out, "hidden_size", "hidden size", (uint64_t)c->hidden_size);
    results_count(out, "n_layers", "layers", (uint64_t)c->n_layers);
    results_count(out, "n_heads", "heads", (uint64_t)c->n_heads);
    results_count(out, "intermediate_size", "MLP size", (uint64_t)c->intermediate_size);
    results_count(out, "context_length", "context, tokens", (uint64_t)c->context_length);
    results_text(out, "activation", "activation",
                 activations[c->activation == ISB_ACTIVATION_RELU]);
    results_text(out, "position", "position", positions[c->position == ISB_POSITION_T5]);
    results_flag(out, "tied_embeddings", "tied embeddings", c->tie_embeddings != 0);
}

static void add_model(results *out, const isb_model_info *info) {
    results_text(out, "identity", "identity", info->identity);
    results_text(out, "tokenizer", "tokenizer", info->tokenizer);
    add_identity(out, info->tokenizer, info->tokenizer_identity);
    add_shape(out, &info->config, info->n_parameters, info->n_parameters_no_embed);
}

/* A byte model as what it is for codes. */
static void add_as_m1(results *out, const isb_m1_info *info) {
    results_text(out, "identity_as_m1", "identity as an M1", info->identity);
    if (!info->is_static) results_count(out, "m1_bytes", "bytes as an M1's file", info->nbytes);
}

/* The last whole line of log.jsonl about training. */
static json_t *last_log_line(const char *dir) {
    char path[4096], *line = NULL;
    size_t capacity = 0;
    json_t *last = NULL;
    FILE *file = join(path, sizeof path, dir, "log.jsonl") ? fopen(path, "re") : NULL;
    while (file && getline(&line, &capacity, file) > 0) {
        json_t *parsed = json_loads(line, 0, NULL);
        if (!parsed) continue;
        if (!json_object_get(parsed, "bits_per_token")) { /* a line of a measurement */
            json_decref(parsed);
            continue;
        }
        json_decref(last);
        last = parsed;
    }
    free(line);
    if (file) fclose(file);
    return last;
}

static void add_run(results *out, const char *dir) {
    char path[4096];
    uint64_t n_checkpoints = 0;
    DIR *folder = join(path, sizeof path, dir, "checkpoints") ? opendir(path) : NULL;
    for (const struct dirent *e; folder && (e = readdir(folder)) != NULL;) {
        n_checkpoints += strncmp(e->d_name, "step-", 5) == 0 && !strchr(e->d_name, '.');
    }
    if (folder) closedir(folder);
    results_count(out, "n_checkpoints", "checkpoints", n_checkpoints);
    json_t *last = last_log_line(dir);
    const json_t *step = json_object_get(last, "step"),
                 *loss = json_object_get(last, "bits_per_token");
    if (json_is_integer(step)) {
        results_count(out, "last_step", "last step logged", (uint64_t)json_integer_value(step));
    }
    if (json_is_number(loss)) {
        results_real(out, "last_bits_per_token", "  its bits/token", 4, json_number_value(loss));
    }
    json_decref(last);
}

/* NAME.isb-m1, the one in the library, or byte counts, as `isobit train --size static` makes
 * them. */
static int info_m1(tool_session *session, const char *path) {
    isb_m1_info info;
    const isb_status status = isb_m1_get_info(session->context, path, &info);
    if (status != ISB_OK) return error_status(session, status);
    results *out = results_new("info");
    results_text(out, "path", "path", path);
    results_text(out, "kind", "what it is",
                 info.is_static ? "static M1: byte counts"
                 : info.is_file ? "M1: a byte model in int8"
                                : "M1 in the library: a byte model in int8");
    if (*info.name) results_text(out, "name", "name", info.name);
    if (!info.is_static) {
        add_shape(out, &info.config, info.n_parameters, info.n_parameters_no_embed);
    }
    add_as_m1(out, &info);
    return results_print(out, stdout, session->common->json);
}

static bool is_m1_file(const char *path) {
    static const char suffix[] = ".isb-m1";
    const size_t n = strlen(path), m = sizeof suffix - 1;
    return n > m && strcmp(path + n - m, suffix) == 0;
}

/* Whatever its name. */
static bool holds_m1(tool_session *session, const char *path) {
    isb_m1_info info;
    return isb_m1_get_info(session->context, path, &info) == ISB_OK;
}

static bool is_static_m1(const char *dir) {
    char path[4096];
    json_t *config =
        join(path, sizeof path, dir, "config.json") ? json_load_file(path, 0, NULL) : NULL;
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const bool is_static = type && strcmp(type, "isobit-static") == 0;
    json_decref(config);
    return is_static;
}

static int info_folder(tool_session *session, const char *path) {
    const bool run = holds(path, "checkpoints") || holds(path, "log.jsonl"),
               model = holds(path, "config.json");
    if (!run && !model) {
        return error_at(
            session->command->name, ISB_ERR_FORMAT,
            "%s is a folder, but no model (config.json) and no run (checkpoints) is in it; name a "
            "file or such a folder",
            path);
    }
    if (model && is_static_m1(path)) return info_m1(session, path);
    isb_model_info info;
    if (model) {
        isb_model *loaded = NULL;
        const isb_status status = isb_model_load(session->context, path, &loaded);
        if (status != ISB_OK) return error_status(session, status);
        isb_model_get_info(loaded, &info);
        isb_model_free(loaded);
    }
    /* A byte model of sizes that an M1 cannot have is a model all the same. */
    isb_m1_info m1;
    const bool is_m1 = model && strcmp(info.tokenizer, "bytes") == 0 &&
                       isb_m1_get_info(session->context, path, &m1) == ISB_OK;
    results *out = results_new("info");
    results_text(out, "path", "path", path);
    results_text(out, "kind", "what it is",
                 run ? model ? "training run with a model" : "training run" : "model");
    if (model) add_model(out, &info);
    if (is_m1) add_as_m1(out, &m1);
    if (run) add_run(out, path);
    return results_print(out, stdout, session->common->json);
}

/* ---- datasets ---- */

static int info_dataset(tool_session *session, const char *prefix, int full) {
    isb_dataset_info info;
    const isb_status status = isb_dataset_get_info(session->context, prefix, full, &info);
    if (status != ISB_OK) return error_status(session, status);
    results *out = results_new("info");
    results_text(out, "path", "path", prefix);
    results_text(out, "kind", "what it is", "token dataset");
    results_text(out, "tokenizer", "tokenizer", info.tokenizer);
    add_identity(out, info.tokenizer, info.tokenizer_identity);
    results_count(out, "n_documents", "documents", info.n_documents);
    results_count(out, "n_bytes", "bytes of text", info.n_bytes);
    results_count(out, "n_tokens", "tokens", info.n_tokens);
    results_real(out, "bytes_per_token", "bytes/token", 4,
                 (double)info.n_bytes / (double)info.n_tokens);
    results_count(out, "n_codes", "ids", (uint64_t)info.n_codes);
    results_count(out, "id_bytes", "bytes of an id", (uint64_t)info.id_nbytes);
    return results_print(out, stdout, session->common->json);
}

/* PREFIX, or PREFIX.bin, .idx, .json; and PREFIX stands for its parts PREFIX.train and so on.
 * Returns -1 if it is none. */
static int info_any_dataset(tool_session *session, const char *path, int full) {
    static const char *const suffixes[] = {"", ".bin", ".idx", ".json"}, *const parts[] = {
                                                                             "", ".train", ".valid",
                                                                             ".test"};
    int code = -1;
    for (size_t i = 0; i < 4 && code == -1; ++i) {
        const size_t n = strlen(path), m = strlen(suffixes[i]);
        if (n <= m || strcmp(path + n - m, suffixes[i]) != 0) continue;
        for (size_t j = 0; j < 4 && code <= 0; ++j) {
            char prefix[4096], index[4096 + 8];
            snprintf(prefix, sizeof prefix, "%.*s%s", (int)(n - m), path, parts[j]);
            snprintf(index, sizeof index, "%s.idx", prefix);
            if (!path_is_dataset(prefix) || !path_is_file(index)) continue;
            if (code == 0 && !session->common->json) putchar('\n');
            code = info_dataset(session, prefix, full);
        }
    }
    return code;
}

/* ---- codebooks and compressed files ---- */

static int info_codebook(tool_session *session, const char *path) {
    isb_codebook *codebook = NULL;
    const int code = codebook_open(session, path, &codebook);
    if (code != 0) return code;
    results *out = results_new("info");
    results_text(out, "path", "path", path);
    results_text(out, "kind", "what it is", "codebook");
    codebook_describe(out, codebook);
    isb_codebook_free(codebook);
    return results_print(out, stdout, session->common->json);
}

/* Whatever its name. */
static bool holds_codebook(tool_session *session, const char *path) {
    isb_codebook *codebook = NULL;
    const isb_status status = isb_codebook_open(session->context, path, &codebook);
    isb_codebook_free(codebook);
    return status == ISB_OK;
}

static int info_container(tool_session *session, const char *path) {
    isb_compress_result info;
    isb_status status = isb_container_info(session->context, path, &info);
    if (status == ISB_ERR_FORMAT && path_is_file(path)) {
        if (holds_codebook(session, path)) return info_codebook(session, path);
        if (holds_m1(session, path)) return info_m1(session, path);
        status = isb_container_info(session->context, path, &info); /* to say it once more */
    }
    if (status != ISB_OK) return error_status(session, status);
    results *out = results_new("info");
    results_text(out, "path", "path", path);
    results_text(out, "kind", "what it is", "compressed file");
    archive_describe(out, &info);
    return results_print(out, stdout, session->common->json);
}

static int info_path(tool_session *session, const char *path, int full) {
    if (path_is_dir(path)) return info_folder(session, path);
    if (path_is_codebook(path)) return info_codebook(session, path);
    if (is_m1_file(path) || strcmp(path, RELEASED_M1) == 0) return info_m1(session, path);
    const int code = info_any_dataset(session, path, full);
    return code >= 0 ? code : info_container(session, path);
}

static int run_info(tool_session *session, void *values) {
    const info_values *v = values;
    if (v->paths.count == 0) return info_machine(session);
    int first = 0;
    for (size_t i = 0; i < v->paths.count; ++i) {
        if (i > 0 && !session->common->json) putchar('\n');
        const int code = info_path(session, v->paths.items[i], v->full);
        if (first == 0) first = code;
    }
    return first;
}

const tool_command command_info = {
    .name = "info",
    .summary = "tell what a file or folder is, or what this machine can do",
    .synopsis = "[PATH ...] [--full] [OPTION ...]",
    .description =
        "Tells what each PATH is: a model's folder, a training run, an M1, the prefix of a token "
        "dataset, a codebook, or a compressed file. Checksums are verified, so it also finds "
        "damage. Without "
        "a PATH: the version, the processor and instruction set in use, and the libraries.",
    .examples = "  isobit info\n"
                "  isobit info m1 tokens book.txt.isb",
    .options = info_options,
    .n_options = sizeof info_options / sizeof *info_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(info_values, paths),
    .values_nbytes = sizeof(info_values),
    .run = run_info,
};
