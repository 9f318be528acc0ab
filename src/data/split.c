/* Documents and their side of the split.
 *
 * Side: h = XXH3-64(document, seed = "isobit01"); share = floor((h >> 32) * 1000 / 2^32); test if
 * share < test_permille, valid if share < test_permille + valid_permille, else train.  A document
 * keeps its side whatever file, order or shard it comes in, equal documents are never on two sides,
 * and a larger test share only adds to the test side.
 *
 * Cut: text longer than `target` ends at the first blank line after target bytes (the blank lines
 * belong to the document they end), else at the first line end, else between two characters; all
 * within 2 * target, which bounds memory. */
#include "data/split.h"

#include <stdbool.h>

#include "base/hash.h"

static const uint64_t SPLIT_SALT = 0x69736f6269743031u; /* "isobit01" */

isb_split isb__split_of(const uint8_t *text, size_t nbytes, int valid_permille, int test_permille) {
    const uint64_t h = isb__hash64(text, nbytes, SPLIT_SALT);
    const int share = (int)((h >> 32) * 1000 >> 32);
    if (share < test_permille) return ISB_SPLIT_TEST;
    return share < test_permille + valid_permille ? ISB_SPLIT_VALID : ISB_SPLIT_TRAIN;
}

/* End of the blank lines that begin at `at`; `at` itself if the line there is not blank. */
static size_t skip_blank_lines(const uint8_t *data, size_t at, size_t limit) {
    size_t end = at;
    for (size_t i = at; i < limit; ++i) {
        if (data[i] == '\n') {
            end = i + 1;
        } else if (data[i] != ' ' && data[i] != '\t' && data[i] != '\r') {
            break;
        }
    }
    return end;
}

static bool continues_character(uint8_t c) { return (c & 0xC0) == 0x80; }

size_t isb__plain_cut(const uint8_t *data, size_t nbytes, size_t target) {
    if (target == 0 || nbytes <= target) return nbytes;
    const size_t limit = nbytes <= 2 * target ? nbytes : 2 * target;
    size_t line_end = 0;
    for (size_t i = target - 1; i < limit; ++i) {
        if (data[i] != '\n') continue;
        const size_t blank_end = skip_blank_lines(data, i + 1, limit);
        if (blank_end > i + 1) return blank_end;
        if (line_end == 0) line_end = i + 1;
    }
    if (line_end > 0 || limit == nbytes) return line_end > 0 ? line_end : nbytes;
    size_t cut = limit;
    while (cut > limit - 3 && cut > 1 && continues_character(data[cut])) --cut;
    return continues_character(data[cut]) ? limit : cut;
}
