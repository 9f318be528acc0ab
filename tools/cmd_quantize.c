/* cmd_quantize.c: isobit quantize: a trained byte model as one small file, and what that costs. */
#include <stdio.h>
#include <string.h>

#include "session.h"

typedef struct quantize_values {
    common_values common;
    text_list models, data;
    const char *out, *name;
    int force;
    corpus_values corpus;
} quantize_values;

#define AT(field) .offset = offsetof(quantize_values, field)

static const option_spec quantize_options[] = {
    {.group = "Options", .name = "out", .letter = 'o', .metavar = "FILE", .type = OPTION_TEXT,
     .complete = COMPLETE_FILE, AT(out), .help = "where the M1 goes: NAME.isb-m1"},
    {.name = "force", .letter = 'f', .type = OPTION_FLAG, AT(force),
     .help = "replace an existing file"},
    {.name = "name", .metavar = "NAME", .type = OPTION_TEXT, AT(name),
     .help = "a name of up to 31 bytes kept in the file; the file's own without it"},
    {.name = "data", .letter = 'd', .metavar = "PATH", .type = OPTION_LIST,
     .complete = COMPLETE_FILE, AT(data),
     .help = "measure on this text what 8 bits cost: a file, a folder, or \"-\" for standard "
             "input; may be given again"},
    CORPUS_OPTION_SPLIT(quantize_values),
    CORPUS_OPTION_FORMAT(quantize_values),
    CORPUS_OPTION_DOCUMENT(quantize_values),
    CORPUS_OPTION_VALID(quantize_values),
    CORPUS_OPTION_TEST(quantize_values),
    CORPUS_OPTION_MAX(quantize_values),
};

static int measure(tool_session *session, const quantize_values *v, const char *made,
                   isb_m1_measurement *measured) {
    isb_m1_measure_options options;
    isb_m1_measure_options_init(&options);
    const int code = corpus_options_from(session, &v->corpus, &options.corpus);
    if (code != 0) return code;
    options.model_dir = v->models.items[0];
    options.m1 = made;
    const isb_status status =
        isb_m1_measure(session->context, v->data.items, v->data.count, &options, measured);
    return status == ISB_OK ? 0 : error_status(session, status);
}

static int report(const tool_session *session, const quantize_values *v, const isb_m1_info *info,
                  const isb_m1_measurement *measured) {
    const bool to_stdout = v->out && strcmp(v->out, "-") == 0;
    if (to_stdout && session->common->quiet) return EXIT_OK;
    results *out = results_new("quantize");
    results_text(out, "model", "model", v->models.items[0]);
    if (v->out) results_text(out, "out", "file", v->out);
    results_text(out, "identity_as_m1", "identity as an M1", info->identity);
    results_count(out, "n_parameters", "parameters", (uint64_t)info->n_parameters);
    results_count(out, "file_bytes", "bytes of the file", info->nbytes);
    if (measured) {
        results_count(out, "n_documents", "documents", measured->n_documents);
        results_count(out, "n_bytes", "bytes of text", measured->n_bytes);
        results_real(out, "model_bits_per_byte", "bits/byte, trained model", 4,
                     measured->model_bits_per_byte);
        results_real(out, "model_cdf_bits_per_byte", "  with 16-bit probabilities", 4,
                     measured->model_cdf_bits_per_byte);
        results_real(out, "bits_per_byte", "bits/byte, int8 M1", 4, measured->bits_per_byte);
        results_real(out, "loss_percent", "  lost, %", 3, 100 * measured->loss);
        results_seconds(out, "seconds", "time", measured->seconds);
    }
    return results_print(out, to_stdout ? stderr : stdout, session->common->json);
}

static int check_usage(tool_session *session, const quantize_values *v) {
    const char *name = session->command->name;
    if (v->models.count != 1) {
        return error_usage(name, "expected one model's folder, found %zu%s", v->models.count,
                           v->data.count > 0 ? "; each text has a --data of its own" : "");
    }
    if (!v->out && v->data.count == 0) {
        return error_usage(name, "-o FILE is missing: where does the M1 go?");
    }
    if (!v->out) return 0;
    const int code = refuse_mixed_output(session, v->out);
    return code != 0 ? code : refuse_terminal(session, v->out, v->force);
}

static int run_quantize(tool_session *session, void *values) {
    const quantize_values *v = values;
    const char *model = v->models.count > 0 ? v->models.items[0] : NULL;
    int code = check_usage(session, v);
    if (code != 0) return code;
    isb_status status = ISB_OK;
    if (v->out) status = isb_m1_quantise_file(session->context, model, v->out, v->name, v->force);
    const char *made = v->out && strcmp(v->out, "-") != 0 ? v->out : model;
    isb_m1_info info;
    if (status == ISB_OK) status = isb_m1_get_info(session->context, made, &info);
    if (status != ISB_OK) return error_status(session, status);
    isb_m1_measurement measured;
    if (v->data.count > 0) code = measure(session, v, made, &measured);
    return code != 0 ? code : report(session, v, &info, v->data.count > 0 ? &measured : NULL);
}

const tool_command command_quantize = {
    .name = "quantize",
    .summary = "make a trained byte model an M1 in one small file",
    .synopsis = "MODEL -o NAME.isb-m1 [--name NAME] [--data PATH] [OPTION ...]\n"
                "MODEL --data PATH",
    .description =
        "Writes a byte model (\"isobit train --tokenizer bytes\") with weights of 8 bits, as one "
        "file of about a byte a parameter. That is the form in which every M1 computes: a folder "
        "given with --m1 is quantised each time it is read, to the same M1 with the same identity. "
        "The file is smaller, starts faster, and can be sent alone.\n\n"
        "With --data it also measures what the 8 bits cost, on text that was never trained on: "
        "bits/byte of the trained model and of the M1, and the difference in percent.",
    .examples = "  isobit quantize m1 -o mine.isb-m1\n"
                "  isobit quantize m1 -o mine.isb-m1 --data corpus/ --split test --max-bytes 1M",
    .options = quantize_options,
    .n_options = sizeof quantize_options / sizeof *quantize_options,
    .operands = COMPLETE_FILE,
    .operands_offset = offsetof(quantize_values, models),
    .values_nbytes = sizeof(quantize_values),
    .run = run_quantize,
};
