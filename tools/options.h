/* options.h: one table per command stands behind parsing, --help, the man pages and the shells'
 * completion.
 *
 * An option says how its value is written, where in the command's struct of values it goes, and
 * what the help shows. Every command's struct of values begins with common_values, so the options
 * that all commands share need no copies:
 *
 *     typedef struct prepare_values { common_values common; text_list data; const char *out; }
 * prepare_values; static const option_spec prepare_options[] = {
 *         {.name = "out", .letter = 'o', .metavar = "PREFIX", .type = OPTION_TEXT, .offset =
 * offsetof(prepare_values, out), .help = "where the dataset goes"},
 *     };
 */
#ifndef ISB_TOOLS_OPTIONS_H
#define ISB_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OPTIONS_MAX = 64
}; /* per command, the common ones included: a bit each in parsed_options.seen */

typedef struct text_list {
    const char **items; /* the array is owned, the texts are borrowed from argv or the pool */
    size_t count;
} text_list;

/* The comment gives the type of the field at option_spec.offset. */
typedef enum option_type {
    OPTION_FLAG,       /* int: 1 when given */
    OPTION_TEXT,       /* const char * */
    OPTION_WORD,       /* const char *: one of the choices */
    OPTION_CHOICE,     /* int: the place of the word among the choices */
    OPTION_LIST,       /* text_list: may be given again; operands are added to it */
    OPTION_COUNT,      /* uint64_t: 12, 10k, 1.5M, 64Ki */
    OPTION_REAL,       /* double */
    OPTION_REAL_OR_OFF /* double: 0 is stored as -1, the library's "off"; 0 stays "not given" */
} option_type;

typedef enum completion { COMPLETE_NONE, COMPLETE_FILE, COMPLETE_DIR, COMPLETE_CHOICES } completion;

typedef struct option_spec {
    const char *group;   /* heading in the help, on the first option of a group; else NULL */
    const char *name;    /* the long name without its dashes */
    char letter;         /* the short name; 0: none */
    const char *metavar; /* NULL: a flag */
    option_type type;
    completion complete;
    size_t offset;
    double low, high;      /* for numbers; high 0: no limit above */
    const char *choices;   /* "a|b|c": the only words (WORD, CHOICE), or words worth completing */
    const char *initial;   /* the default, set as if it had been given; NULL: none */
    const char *otherwise; /* the default that the library takes, shown only */
    const char *help;
} option_spec;

typedef struct common_values {
    uint64_t threads;
    const char *cpu;
    int json, quiet, verbose, help;
} common_values;

struct tool_session;

/* A command; or a group of commands such as codebook: it has subcommands, and neither options nor
 * run(). */
typedef struct tool_command tool_command;
struct tool_command {
    const char *name; /* as it is typed: "train", "codebook build" */
    const char *summary;
    const char *synopsis;    /* what follows "isobit NAME", a line each */
    const char *description; /* paragraphs; a line that begins with a space is kept as it is */
    const char *examples;    /* likewise */
    const option_spec *options;
    size_t n_options;
    completion operands;    /* COMPLETE_NONE: takes none */
    size_t operands_offset; /* the text_list that gets them */
    size_t values_nbytes;
    int (*run)(struct tool_session *session, void *values); /* returns the exit code */
    const tool_command *const *subcommands;                 /* NULL: not a group */
    size_t n_subcommands;
};

extern const option_spec common_options[];
extern const size_t n_common_options;

typedef struct parsed_options {
    const tool_command *command;
    void *values;
    uint64_t seen;  /* bit i: option i was given on the command line or in a configuration file */
    text_list pool; /* texts owned: those that came from a configuration file */
} parsed_options;

/* The i-th option: the command's own first, then the common ones; NULL past the last. */
const option_spec *options_at(const tool_command *command, size_t i);

/* argv[0] is the command's name.  Returns 0, or the exit code after saying what is wrong.  values:
 * values_nbytes, all zero. Call options_free() in either case. */
int options_parse(parsed_options *parsed, const tool_command *command, int argc, char **argv,
                  void *values);
void options_free(parsed_options *parsed);

/* Takes what the command line left open from a JSON object whose keys are long names. */
int options_read_config(parsed_options *parsed, const char *path);

/* A count as COUNT options take it. */
bool options_parse_count(const char *text, uint64_t *value);

bool options_seen(const parsed_options *parsed, const char *name);
/* The first option seen that is not among `allowed` (ends with NULL) and not common; NULL: none. */
const char *options_first_other(const parsed_options *parsed, const char *const *allowed);

#endif
