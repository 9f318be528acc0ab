#!/usr/bin/python3
"""Train SentencePiece on documents and write ids of documents, for `isobit prepare --tokenizer external:...`.

    sentencepiece_ids.py train V TRAIN.jsonl MODEL        unigram, V pieces at most
    sentencepiece_ids.py ids MODEL.model IN.jsonl OUT.jsonl    {"text": ..., "ids": [...]} a line; prints the vocabulary
                                                          with the border between documents
    sentencepiece_ids.py pieces MODEL.model OUT.pieces    the string of each id, for `isobit prepare --pieces`

Nothing may be lost: no normalisation, spaces kept, unknown characters as bytes.  Line breaks, on which SentencePiece
never trains, are pieces of their own.  Needs Debian's python3-sentencepiece (or PyPI's sentencepiece).
"""
import json
import os
import sys

import sentencepiece


def documents(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def train(n_pieces, path, model):
    sentences = (line for text in documents(path) for line in text.split("\n") if line)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences, model_prefix=model, vocab_size=int(n_pieces), model_type="unigram",
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=False, byte_fallback=True,
        character_coverage=0.9999, user_defined_symbols=["\n", "\n\n"], hard_vocab_limit=False,
        num_threads=os.cpu_count(), max_sentence_length=1 << 20, minloglevel=2)


def write_ids(model, path, out_path):
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    with open(out_path + ".part", "w", encoding="utf-8") as out:
        for text in documents(path):
            out.write(json.dumps({"text": text, "ids": processor.encode(text)}, ensure_ascii=False) + "\n")
    os.rename(out_path + ".part", out_path)
    print(processor.get_piece_size() + 1)


def piece(processor, i):
    """A piece's bytes as a line of docs/formats.md: U+2581 stands for a space, <0x0A> for a byte, <s> and the like for nothing."""
    if processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i):
        return {}
    text = processor.id_to_piece(i)
    return {"bytes": [int(text[3:5], 16)]} if processor.is_byte(i) else {"piece": text.replace("\u2581", " ")}


def write_pieces(model, out_path):
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    with open(out_path + ".part", "w", encoding="utf-8") as out:
        for i in range(processor.get_piece_size()):
            out.write(json.dumps(piece(processor, i), ensure_ascii=False) + "\n")
    os.rename(out_path + ".part", out_path)


if __name__ == "__main__":
    commands = {"train": (train, 3), "ids": (write_ids, 3), "pieces": (write_pieces, 2)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands or len(sys.argv) != 2 + commands[sys.argv[1]][1]:
        sys.exit(__doc__)
    commands[sys.argv[1]][0](*sys.argv[2:])
