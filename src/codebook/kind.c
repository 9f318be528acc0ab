/* The kinds, each as a list of moves between states by class of byte. */
#include "codebook/kind.h"

#include <string.h>

enum { OTHER, SPACE, BREAK, N_CLASSES };

/* state --class--> state; what is not listed is dead. */
typedef struct move {
    uint8_t from, class, to;
} move;

enum { S = ISB__KIND_START, RUN, ONE_SPACE, SPACES, BREAKS, GAP, NEXT };

static const move free_moves[] = {
    {S, OTHER, RUN},   {S, SPACE, RUN},      {S, BREAK, BREAKS},      {RUN, OTHER, RUN},
    {RUN, SPACE, RUN}, {RUN, BREAK, BREAKS}, {BREAKS, BREAK, BREAKS},
};
/* A space may be first; then the run up to the next space or the line breaks after it. */
static const move word_moves[] = {
    {S, OTHER, RUN},
    {S, SPACE, ONE_SPACE},
    {S, BREAK, BREAKS},
    {RUN, OTHER, RUN},
    {RUN, BREAK, BREAKS},
    {ONE_SPACE, OTHER, RUN},
    {ONE_SPACE, SPACE, SPACES},
    {SPACES, SPACE, SPACES},
    {BREAKS, BREAK, BREAKS},
};
/* RUN is the first word or a piece of one, GAP the space after a word, NEXT a word after it, which
 * must end in its own space or in line breaks. */
static const move words_moves[] = {
    {S, OTHER, RUN},    {S, SPACE, SPACES},    {S, BREAK, BREAKS},      {RUN, OTHER, RUN},
    {RUN, SPACE, GAP},  {RUN, BREAK, BREAKS},  {GAP, OTHER, NEXT},      {NEXT, OTHER, NEXT},
    {NEXT, SPACE, GAP}, {NEXT, BREAK, BREAKS}, {SPACES, SPACE, SPACES}, {BREAKS, BREAK, BREAKS},
};

#define N_ITEMS(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *name;
    const move *moves;
    size_t n_moves;
    uint32_t accepting;    /* a bit for each state */
    uint8_t starts_before; /* windows start before these classes (a bit each) ... */
    uint8_t starts_after;  /* ... and after these, where the class changes */
} kinds[] = {
    {"free", free_moves, N_ITEMS(free_moves), 1u << RUN | 1u << BREAKS, 0, 0},
    {"word", word_moves, N_ITEMS(word_moves),
     1u << RUN | 1u << ONE_SPACE | 1u << SPACES | 1u << BREAKS, 1u << SPACE, 1u << BREAK},
    {"words", words_moves, N_ITEMS(words_moves),
     1u << RUN | 1u << GAP | 1u << SPACES | 1u << BREAKS, 0, 1u << SPACE | 1u << BREAK},
};

static void fill(size_t which, isb__kind *kind) {
    memset(kind, 0, sizeof *kind);
    kind->name = kinds[which].name;
    kind->n_states = NEXT + 1;
    for (int byte = 0; byte < 256; ++byte)
        kind->class_of[byte] = byte == ' ' ? SPACE : byte == '\n' ? BREAK : OTHER;
    for (size_t i = 0; i < kinds[which].n_moves; ++i) {
        const move m = kinds[which].moves[i];
        for (int byte = 0; byte < 256; ++byte) {
            if (kind->class_of[byte] == m.class) kind->step[m.from][byte] = m.to;
        }
    }
    for (int state = 0; state < kind->n_states; ++state)
        kind->accepts[state] = kinds[which].accepting >> state & 1;
    const bool everywhere = !kinds[which].starts_before && !kinds[which].starts_after;
    for (int a = 0; a < N_CLASSES; ++a) {
        for (int b = 0; b < N_CLASSES; ++b) {
            const bool border =
                (kinds[which].starts_before >> b | kinds[which].starts_after >> a) & 1;
            kind->starts[a][b] = everywhere || (border && a != b);
        }
    }
}

isb_status isb__kind_by_name(isb_context *ctx, const char *name, isb__kind *kind) {
    for (size_t i = 0; i < N_ITEMS(kinds); ++i) {
        if (strcmp(kinds[i].name, name) == 0) {
            fill(i, kind);
            return ISB_OK;
        }
    }
    return isb__fail(ctx, ISB_ERR_ARGUMENT,
                     "\"%s\" is no kind of codebook; there are word, words and free, and exact and "
                     "delay for compiled windows",
                     name);
}

bool isb__kind_accepts(const isb__kind *kind, const uint8_t *bytes, size_t nbytes) {
    uint8_t state = ISB__KIND_START;
    for (size_t i = 0; i < nbytes; ++i) state = kind->step[state][bytes[i]];
    return kind->accepts[state];
}
