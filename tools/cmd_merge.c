/* cmd_merge.c: isobit merge */
#include <stdio.h>

#include "session.h"

typedef struct merge_values {
    common_values common;
    text_list prefixes;
    uint64_t shards;
    int remove;
} merge_values;

#define AT(field) .offset = offsetof(merge_values, field)

static const option_spec merge_options[] = {
    {.group = "Options", .name = "shards", .metavar = "N", .type = OPTION_COUNT, .low = 1,
     .high = 10000, AT(shards),
     .help = "how many shards there are, if shards of another run lie beside them"},
    {.name = "remove", .type = OPTION_FLAG, AT(remove),
     .help = "remove the shards when the merged datasets are in place"},
};

static int report(const tool_session *session, const char *prefix, const isb_merge_result *r) {
    results *out = results_new("merge");
    results_text(out, "out", "dataset", prefix);
    results_count(out, "n_shards", "shards", r->n_shards);
    results_count(out, "n_documents", "documents", r->n_documents);
    results_count(out, "n_bytes", "bytes of text", r->n_bytes);
    results_count(out, "n_tokens", "tokens", r->n_tokens);
    results_real(out, "bytes_per_token", "bytes/token", 4, r->bytes_per_token);
    results_seconds(out, "seconds", "time", r->seconds);
    return results_print(out, stdout, session->common->json);
}

static int run_merge(tool_session *session, void *values) {
    const merge_values *v = values;
    if (v->prefixes.count != 1) {
        return error_usage(session->command->name,
                           "name one PREFIX: the --out that the shards were prepared with");
    }
    isb_merge_options options;
    isb_merge_options_init(&options);
    options.n_shards = (uint32_t)v->shards;
    options.remove = v->remove;
    isb_merge_result result;
    const isb_status status =
        isb_merge(session->context, v->prefixes.items[0], &options, &result);
    if (status != ISB_OK) return error_status(session, status);
    return report(session, v->prefixes.items[0], &result);
}

const tool_command command_merge = {
    .name = "merge",
    .summary = "put the shards of a token dataset together",
    .synopsis = "PREFIX [OPTION ...]",
    .description =
        "Makes the datasets PREFIX.train, PREFIX.valid and PREFIX.test (or PREFIX) of the shards "
        "that \"isobit prepare --shard I/N --out PREFIX\" wrote. The files are byte for byte those "
        "of one prepare without shards. All N must be there, whole, and made from the same text "
        "with the same tokenizer and options; the one that is not is named, and nothing is "
        "written.",
    .examples = "  parallel isobit prepare --data corpus/ --out tokens --shard {}/4 ::: 0 1 2 3\n"
                "  isobit merge tokens --remove",
    .options = merge_options,
    .n_options = sizeof merge_options / sizeof *merge_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(merge_values, prefixes),
    .values_nbytes = sizeof(merge_values),
    .run = run_merge,
};
