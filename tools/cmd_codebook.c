/* cmd_codebook.c: isobit codebook: the group, and its lesson. */
#include "codebooks.h"

static const tool_command *const subcommands[] = {
    &command_codebook_build, &command_codebook_show,    &command_codebook_export,
    &command_codebook_diff,  &command_codebook_measure,
};

const tool_command command_codebook = {
    .name = "codebook",
    .summary = "make, look at, compare and export codebooks: tokens by table",
    .synopsis = "COMMAND [OPTION ...]",
    .description =
        "A codebook is a set of byte strings with an id each; text is cut by greedy longest match, "
        "so coding needs no model any more. Every single byte is in it: any bytes have ids and "
        "come back as they were, valid UTF-8 or not. A codebook is what is left of an M1 whose "
        "windows are one token each: its most probable strings, or with --kind exact its very "
        "windows, as a table.\n\n"
        "The library has one built in, english-65k, which is taken where no codebook is named. "
        "Tokenizers name a codebook as codebook:FILE (\"isobit help tokenizers\").\n\n"
        "Which strings: \"word\" has pieces of words, with the space before, and nothing across "
        "words; \"phrase\", the default, adds the most frequent runs of whole words; \"run\" keeps "
        "marks with their word; \"words\" has pieces of a word, or whole words each with the space "
        "after; \"free\" has any. They are the most probable under an M1 or by counting, counted again where "
        "tokens really start (--refine), and then chosen by use: more are taken than wanted, text "
        "is cut with them, and the least used are dropped. Ids are in the order of the strings, "
        "byte by byte; the special ids follow, <|endoftext|> first.",
    .examples = "  isobit codebook build --data corpus/ -o mine.isb-codebook\n"
                "  isobit codebook measure -c mine.isb-codebook --data corpus/ --split test\n"
                "  echo The three currently living species | isobit codebook show --text -\n"
                "  isobit codebook export mine.isb-codebook --to tokenizer.json -o tokenizer.json",
    .subcommands = subcommands,
    .n_subcommands = sizeof subcommands / sizeof *subcommands,
};
