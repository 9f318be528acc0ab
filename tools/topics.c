/* topics.c: the short lessons of `isobit help NAME`; the man page isobit(1) prints them too. */
#include "help.h"

const topic topics[] = {
    {"start", "from a folder of text to a model that writes, in five commands",
     "Say corpus/ holds text files. Train a small model of bytes, M1. --cut-share shows it many "
     "short pieces, because windows will start from an empty context:\n\n"
     "    isobit train --size nano --tokenizer bytes --data corpus/ --out m1 --minutes 5 --cut-share 0.75\n\n"
     "Cut the text into windows that each take 16 bits under M1, and train M2 on those "
     "tokens:\n\n"
     "    isobit prepare --tokenizer window:b=16 --m1 m1 --data corpus/ --out tokens\n"
     "    isobit train --size nano --data tokens --m1 m1 --out m2 --minutes 10\n\n"
     "Measure it on documents it never saw, and let it write:\n\n"
     "    isobit eval --model m2 --data corpus/ --split test\n"
     "    isobit generate --model m2 --prompt \"The \"\n"},
    {"tokenizers", "how text becomes ids: codebook, bytes, window, ac and others",
     "A tokenizer is named by a short text, and a dataset or model remembers the full one.\n\n"
     "    codebook                 the default: an id is a string of the library's codebook\n"
     "    codebook:NAME            another one that the library has, or a file\n"
     "    FILE.isb-codebook        a codebook's file, as \"isobit codebook build\" makes them\n"
     "    bytes                    an id is a byte\n"
     "    window:b=16              windows of b bits (8 to 128) of arithmetic code under M1\n"
     "    ac                       one arithmetic code over the whole document under M1\n"
     "    static-ac                the same with fixed byte counts (train --size static)\n"
     "    external:NAME,vocab=N    ids of another program, for comparison\n\n"
     "A codebook needs no M1 and no network: text is cut by greedy longest match, at the speed of "
     "reading it. It is kept beside datasets (PREFIX.isb-codebook) and in the model's folder "
     "(tokenizer.isb-codebook), so nothing else has to be named again.\n\n"
     "Parameters follow the colon, separated by commas. b: bits in a window. token=16, 8 or 1: "
     "bits in an id. variant=exact (the default) or delay give every byte string back; "
     "variant=greedy is the published method and does not always decode, so it is for comparison "
     "only. reset=K: M1 forgets its context every K windows, 0 never. precision: bits of the "
     "probabilities, 16 unless said otherwise.\n\n"
     "window, ac and static-ac need an M1: name it with --m1, see \"isobit help m1\".\n\n"
     "external: prepare reads JSONL with {\"ids\": [...], \"text\": \"...\"} in each line. Ids are "
     "0 to N-2, and N-1 is the end of a document. Such a dataset can be trained on and measured "
     "(isobit eval --data PREFIX), but its model cannot write text.\n"},
    {"m1", "the model behind windows and archives: folder, file, name, identity",
     "M1 is a small model that predicts the next byte. Where its predictions decide bits (compress, "
     "window, ac) it computes with int8 weights, in an order that is laid down: every machine, "
     "instruction set and number of threads gets the same bits. --m1 takes\n\n"
     "    m1                       a folder that \"isobit train --tokenizer bytes\" made\n"
     "    NAME.isb-m1              one file, a quarter of the size, by \"isobit quantize\"\n"
     "    english-3m               the M1 in the library; compress takes it without --m1\n\n"
     "An M1 has an identity, 32 hexadecimal digits over its int8 weights and all else that "
     "changes its predictions: the folder, the file and the name of one M1 have the same. Datasets "
     "and compressed files remember it, and refuse another. \"isobit info\" shows it:\n\n"
     "    isobit train --size nano --tokenizer bytes --data corpus/ --out m1 --minutes 5\n"
     "    isobit quantize m1 -o mine.isb-m1\n"
     "    isobit info m1 mine.isb-m1\n"
     "    isobit compress --m1 mine.isb-m1 book.txt\n"},
    {"data", "what text is read and how it is divided",
     "Text comes from plain files, JSONL files with a \"text\" field in each line (.jsonl, "
     ".ndjson), gzip or zstd of either, folders of those (in order of their names), or standard "
     "input as \"-\". Bytes pass as they are, valid UTF-8 or not.\n\n"
     "A line of JSONL is a document. A plain file is one document, or several with "
     "--document-size. Every document belongs to train, valid or test by a hash of its bytes (20 "
     "and 20 in a thousand are valid and test), so the same text is always on the same side, "
     "whatever file it comes in. Training reads only train and measures itself on valid; "
     "\"--split test\" of eval reads what neither has seen.\n"},
    {"resume", "what survives an interruption",
     "Ctrl-C (SIGINT) or SIGTERM lets a training finish its step and write a checkpoint; a "
     "second one ends it at once. After that, after a power cut, or to train longer with a "
     "larger budget:\n\n"
     "    isobit train --out m2 --resume\n\n"
     "The options of the first call are kept in the checkpoint and need not be repeated; a larger "
     "budget may be given. The run goes on from the newest whole checkpoint, as if it had not been "
     "interrupted. Every file is written under a temporary name "
     "and renamed when it is whole, so there is never half a file under a final name.\n"},
    {"measures", "bits/byte, FLOPs/byte and what they mean",
     "    bits/byte  = (sum over tokens of -log2 p(token)) / bytes of raw text\n"
     "    bits/token = the same sum / tokens\n"
     "    FLOPs/byte = 2 N / (bytes/token) + 2 N1\n\n"
     "The sum runs over every document's tokens and its end. N and N1 are the parameters of the "
     "model and of its M1 without embeddings. Bits/byte compares models whose tokens differ; "
     "loss per token does not. It is also the size of the text if the model compressed it, in "
     "bits for each byte. Less is better.\n"},
};
const size_t n_topics = sizeof topics / sizeof *topics;
