/* The kinds, each as a list of moves between states by class of byte. */
#include "codebook/kind.h"

#include <string.h>

enum {
    LETTER = 1 << ISB__BYTE_LETTER,
    DIGIT = 1 << ISB__BYTE_DIGIT,
    MARK = 1 << ISB__BYTE_MARK,
    SPACE = 1 << ISB__BYTE_SPACE,
    BREAK = 1 << ISB__BYTE_BREAK,
    VISIBLE = LETTER | DIGIT | MARK
};

enum {
    S = ISB__KIND_START,
    RUN,
    NUMBER,
    MARKS,
    FIRST,
    GAP,
    NEXT,
    ONE_SPACE,
    SPACES,
    BREAKS,
    N_STATES
};

/* state --classes--> state; what is not listed is dead. */
typedef struct move {
    uint8_t from, classes, to;
} move;

static const move free_moves[] = {
    {S, VISIBLE | SPACE, RUN}, {S, BREAK, BREAKS},      {RUN, VISIBLE | SPACE, RUN},
    {RUN, BREAK, BREAKS},      {BREAKS, BREAK, BREAKS},
};

#define SPACES_AND_BREAKS                                                       \
    {S, SPACE, ONE_SPACE}, {ONE_SPACE, SPACE, SPACES}, {SPACES, SPACE, SPACES}, \
        {S, BREAK, BREAKS}, {                                                   \
        BREAKS, BREAK, BREAKS                                                   \
    }

static const move run_moves[] = {
    SPACES_AND_BREAKS,   {S, VISIBLE, RUN},    {ONE_SPACE, VISIBLE, RUN},
    {RUN, VISIBLE, RUN}, {RUN, BREAK, BREAKS},
};

#define ONE_CLASS                                                                       \
    {S, LETTER, RUN}, {S, DIGIT, NUMBER}, {S, MARK, MARKS}, {ONE_SPACE, DIGIT, NUMBER}, \
        {ONE_SPACE, MARK, MARKS}, {RUN, LETTER, RUN}, {NUMBER, DIGIT, NUMBER},          \
        {MARKS, MARK, MARKS}, {                                                         \
        MARKS, BREAK, BREAKS                                                            \
    }

static const move word_moves[] = {SPACES_AND_BREAKS, ONE_CLASS, {ONE_SPACE, LETTER, RUN}};

/* FIRST is a word with its space, GAP the space after it, NEXT a word after that. */
static const move phrase_moves[] = {
    SPACES_AND_BREAKS,   ONE_CLASS,           {ONE_SPACE, LETTER, FIRST}, {FIRST, LETTER, FIRST},
    {FIRST, SPACE, GAP}, {GAP, LETTER, NEXT}, {NEXT, LETTER, NEXT},       {NEXT, SPACE, GAP},
};

/* RUN is the first word or a piece of one, GAP the space after a word, NEXT a word after it, which
 * must end in its own space or in line breaks. */
static const move words_moves[] = {
    {S, VISIBLE, RUN},  {S, SPACE, SPACES},    {S, BREAK, BREAKS},      {RUN, VISIBLE, RUN},
    {RUN, SPACE, GAP},  {RUN, BREAK, BREAKS},  {GAP, VISIBLE, NEXT},    {NEXT, VISIBLE, NEXT},
    {NEXT, SPACE, GAP}, {NEXT, BREAK, BREAKS}, {SPACES, SPACE, SPACES}, {BREAKS, BREAK, BREAKS},
};

#define N_ITEMS(array) (sizeof(array) / sizeof *(array))
#define BIT(state) (1u << (state))

enum { PARTS = BIT(RUN) | BIT(NUMBER) | BIT(MARKS) | BIT(ONE_SPACE) | BIT(SPACES) | BIT(BREAKS) };

static const struct {
    const char *name;
    const move *moves;
    size_t n_moves;
    uint32_t accepting, whole; /* a bit for each state */
    uint8_t starts_before;     /* windows start before these classes ... */
    uint8_t starts_after;      /* ... and after these, where the class changes */
} kinds[] = {
    {"word", word_moves, N_ITEMS(word_moves), PARTS, 0, SPACE | DIGIT | MARK, DIGIT | MARK | BREAK},
    {"phrase", phrase_moves, N_ITEMS(phrase_moves), PARTS | BIT(FIRST) | BIT(NEXT), BIT(NEXT),
     SPACE | DIGIT | MARK, DIGIT | MARK | BREAK},
    {"run", run_moves, N_ITEMS(run_moves), PARTS, 0, SPACE, BREAK},
    {"words", words_moves, N_ITEMS(words_moves), PARTS | BIT(GAP), 0, 0, SPACE | BREAK},
    {"free", free_moves, N_ITEMS(free_moves), PARTS, 0, 0, 0},
};

static int class_of(int byte) {
    if (byte == ' ') return ISB__BYTE_SPACE;
    if (byte == '\n') return ISB__BYTE_BREAK;
    if (byte >= '0' && byte <= '9') return ISB__BYTE_DIGIT;
    /* An apostrophe is within a word more often than around one; bytes from 0x80 are letters of all
     * languages but English. */
    const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                        byte == '\'' || byte >= 0x80;
    return letter ? ISB__BYTE_LETTER : ISB__BYTE_MARK;
}

static void fill(size_t which, isb__kind *kind) {
    memset(kind, 0, sizeof *kind);
    kind->name = kinds[which].name;
    kind->n_states = N_STATES;
    for (int byte = 0; byte < 256; ++byte) kind->class_of[byte] = (uint8_t)class_of(byte);
    for (size_t i = 0; i < kinds[which].n_moves; ++i) {
        const move m = kinds[which].moves[i];
        for (int byte = 0; byte < 256; ++byte) {
            if (m.classes >> kind->class_of[byte] & 1) kind->step[m.from][byte] = m.to;
        }
    }
    for (int state = 0; state < N_STATES; ++state) {
        kind->accepts[state] = kinds[which].accepting >> state & 1;
        kind->whole[state] = kinds[which].whole >> state & 1;
    }
    const bool everywhere = !kinds[which].starts_before && !kinds[which].starts_after;
    for (int a = 0; a < ISB__N_BYTE_CLASSES; ++a) {
        for (int b = 0; b < ISB__N_BYTE_CLASSES; ++b) {
            /* a space takes what follows with it */
            const bool joined = 1 << a == SPACE && kinds[which].starts_before & SPACE;
            const bool border =
                (kinds[which].starts_before >> b | kinds[which].starts_after >> a) & 1;
            kind->starts[a][b] = everywhere || (border && a != b && !joined);
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
                     "\"%s\" is no kind of codebook; there are word, phrase, run, words and free, "
                     "and exact and delay for compiled windows",
                     name);
}

bool isb__kind_accepts(const isb__kind *kind, const uint8_t *bytes, size_t nbytes) {
    uint8_t state = ISB__KIND_START;
    for (size_t i = 0; i < nbytes; ++i) state = kind->step[state][bytes[i]];
    return kind->accepts[state];
}
