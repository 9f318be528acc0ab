/* archives.c: what compress, decompress and info say of compressed files. */
#include "archives.h"

#include <stdio.h>
#include <string.h>

#include "format.h"

static void add_to(archive_totals *totals, const isb_compress_result *result) {
    ++totals->n_files;
    totals->raw_nbytes += result->raw_nbytes;
    totals->packed_nbytes += result->packed_nbytes;
    totals->seconds += result->seconds;
}

/* ---- one file ---- */

/* "1,000 -> 250 bytes (25.00%, 2.000 bits/byte), 1.5 MB/s" */
static void print_sizes(uint64_t raw_nbytes, uint64_t packed_nbytes, double seconds,
                        bool unpacked) {
    const double raw = (double)raw_nbytes, packed = (double)packed_nbytes;
    fprintf(stderr, "%s -> ", format_grouped(unpacked ? packed_nbytes : raw_nbytes).text);
    fprintf(stderr, "%s bytes", format_grouped(unpacked ? raw_nbytes : packed_nbytes).text);
    if (raw > 0) fprintf(stderr, " (%.2f%%, %.3f bits/byte)", 100 * packed / raw, 8 * packed / raw);
    if (seconds > 0) fprintf(stderr, ", %.3g MB/s", raw / seconds / 1e6);
    fputc('\n', stderr);
}

static void note(tool_session *session, const char *what, const char *input,
                 const isb_compress_result *r) {
    progress_clear(&session->progress);
    fprintf(stderr, "%s: ", input);
    if (strcmp(what, "test") == 0) {
        fprintf(stderr, "whole, %s bytes\n", format_grouped(r->raw_nbytes).text);
    } else {
        print_sizes(r->raw_nbytes, r->packed_nbytes, r->seconds, strcmp(what, "decompress") == 0);
    }
}

void archive_describe(results *out, const isb_compress_result *r) {
    const double raw = (double)r->raw_nbytes, packed = (double)r->packed_nbytes;
    results_count(out, "raw_bytes", "bytes of data", r->raw_nbytes);
    results_count(out, "packed_bytes", "bytes compressed", r->packed_nbytes);
    results_real(out, "ratio", "ratio", 3, raw / packed);
    results_real(out, "bits_per_byte", "bits/byte", 4, 8 * packed / raw);
    results_count(out, "chunk_bytes", "bytes of a chunk", r->chunk_nbytes);
    results_count(out, "n_frames", r->n_frames > 1 ? "files joined" : NULL, r->n_frames);
    results_count(out, "n_chunks", "chunks", r->n_chunks);
    results_count(out, "n_ac", "  by M1", r->n_ac);
    results_count(out, "n_zstd", "  by zstd", r->n_zstd);
    results_count(out, "n_stored", "  stored", r->n_stored);
    results_count(out, "n_fill", "  of one value", r->n_fill);
    results_text(out, "m1_identity", *r->m1_identity ? "identity of its M1" : NULL, r->m1_identity);
    results_count(out, "m1_bytes", r->m1_nbytes ? "  in the file, bytes" : NULL, r->m1_nbytes);
}

int archive_report(tool_session *session, const char *what, const char *input, const char *output,
                   const isb_compress_result *r, archive_totals *totals) {
    const bool compressed = strcmp(what, "compress") == 0;
    add_to(totals, r);
    totals->unpacked = !compressed;
    if (session->common->quiet && !session->common->json) return EXIT_OK;
    if (output && strcmp(output, "-") == 0 && !session->progress.verbose) {
        totals->n_files = 0; /* nothing is said of a stream, nor of several */
        return EXIT_OK;
    }
    if (!session->common->json) {
        note(session, what, input, r);
        return EXIT_OK;
    }
    results *out = results_new(what);
    results_text(out, "in", NULL, input);
    if (output) results_text(out, "out", NULL, output);
    archive_describe(out, r);
    results_real(out, "seconds", NULL, 3, r->seconds);
    results_real(out, compressed ? "compress_mb_per_s" : "decompress_mb_per_s", NULL, 3,
                 (double)r->raw_nbytes / r->seconds / 1e6);
    return results_print(out, stdout, true);
}

/* ---- lists ---- */

static const char list_format[] = "%13s %15s %7s %9s %6s %5s %6s %5s  %-9s %s\n";

static void print_row(uint64_t packed, uint64_t raw, const isb_compress_result *r,
                      const char *name) {
    char ratio[32] = "-", bits[32] = "-", chunks[4][32] = {"", "", "", ""}, m1[16] = "";
    const double times = packed > 0 ? (double)raw / (double)packed : 0;
    if (packed > 0) snprintf(ratio, sizeof ratio, "%.*f", times < 1000 ? 3 : 0, times);
    if (raw > 0) snprintf(bits, sizeof bits, "%.4f", 8 * (double)packed / (double)raw);
    if (r) {
        const uint64_t n[4] = {r->n_ac, r->n_zstd, r->n_stored, r->n_fill};
        for (int i = 0; i < 4; ++i)
            snprintf(chunks[i], sizeof chunks[i], "%llu", (unsigned long long)n[i]);
        snprintf(m1, sizeof m1, "%.8s%s", *r->m1_identity ? r->m1_identity : "-",
                 r->m1_nbytes ? "+" : "");
    }
    printf(list_format, format_grouped(packed).text, format_grouped(raw).text, ratio, bits,
           chunks[0], chunks[1], chunks[2], chunks[3], m1, name);
}

int archive_list(tool_session *session, const char *path, archive_totals *totals) {
    isb_compress_result info;
    const isb_status status = isb_container_info(session->context, path, &info);
    if (status != ISB_OK) return error_status(session, status);
    if (session->common->json) {
        results *out = results_new("list");
        results_text(out, "path", NULL, path);
        archive_describe(out, &info);
        return results_print(out, stdout, true);
    }
    if (!totals->listed) {
        printf(list_format, "packed", "raw", "ratio", "bits/byte", "by M1", "zstd", "stored",
               "fill", "M1", "name");
    }
    totals->listed = true;
    add_to(totals, &info);
    print_row(info.packed_nbytes, info.raw_nbytes, &info, path);
    return EXIT_OK;
}

void archive_report_totals(tool_session *session, const archive_totals *totals) {
    char name[48];
    if (totals->n_files < 2 || session->common->json) return;
    snprintf(name, sizeof name, "%llu files", (unsigned long long)totals->n_files);
    if (totals->listed) {
        print_row(totals->packed_nbytes, totals->raw_nbytes, NULL, name);
    } else if (!session->common->quiet) {
        progress_clear(&session->progress);
        fprintf(stderr, "%s: ", name);
        print_sizes(totals->raw_nbytes, totals->packed_nbytes, totals->seconds, totals->unpacked);
    }
}
