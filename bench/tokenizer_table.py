"""Bytes per token and the shape of tokens, codebooks beside SentencePiece (bench/tokenizer_table.sh has the options).

All are made from the same documents.  For each size V and each kind of codebook: the codebook as built (chosen by
use), and the most probable strings alone after 0 .. 3 rounds of refinement (--no-choose --refine N).  SentencePiece is
set to be lossless: no normalization, no dummy prefix, byte fallback, line breaks as pieces of their own; where the text
does not give V pieces, the table says how many there are.

Bytes per token count no ends of documents.  The other measures are those of `isobit codebook measure`; for
SentencePiece they are computed here by the same definitions, with the same edits, and to be sure that they are the
same, both ways of computing are first run on one codebook and must agree.  (SentencePiece takes UTF-8 only: bytes that
an edit makes invalid become U+FFFD.)
"""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import numpy as np
import sentencepiece

import tokenizer_peers as peers

import isobit

KINDS = ("word", "phrase", "run", "words", "free")
EDIT_EVERY, EDIT_SEED, MIN_OCCURRENCES = 16384, 1, 10  # as in src/measure/codebook_measure.c
MEASURES = ("bytes_per_token", "whole_word_share", "spellings_per_word", "edit_tokens_changed", "n_words", "n_used")
MASK = (1 << 64) - 1


# ---- measures, in Python ----

class Rng:
    """xoshiro256**, seeded by splitmix64, as src/base/rng.c."""

    def __init__(self, seed: int) -> None:
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & MASK
            z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
            self.s.append(z ^ (z >> 31))

    def next(self) -> int:
        def rotate(x: int, n: int) -> int:
            return ((x << n) | (x >> (64 - n))) & MASK

        s = self.s
        result = (rotate((s[1] * 5) & MASK, 7) * 9) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)
        return result

    def below(self, n: int) -> int:
        surplus = (1 << 64) % n
        while True:
            x = self.next()
            if x >= surplus:
                return x % n


def edited(rng: Rng, text: bytes, at: int) -> bytes:
    """One byte put in, taken out or replaced."""
    sort = rng.below(3)
    byte = text[rng.below(len(text))]
    if sort == 2 and text[at] == byte:
        sort = 0
    return text[:at] + (b"" if sort == 1 else bytes([byte])) + text[at + (sort != 0):]


def n_changed(a: Sequence[int], b: Sequence[int]) -> int:
    """Tokens of b between the common beginning and the common end."""
    head = tail = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    return len(b) - head - tail


IS_WORD_BYTE = np.array([c >= 0x80 or chr(c).isalnum() for c in range(256)])


def measure(encode: Callable[[bytes], Sequence[int]], lengths: np.ndarray, texts: Sequence[str],
            words: Sequence[str]) -> dict[str, float]:
    """lengths: [id], the bytes of each."""
    rng = Rng(EDIT_SEED)
    n_bytes = n_tokens = n_whole = n_edits = n_edit_tokens = 0
    used: set[int] = set()
    spellings: dict[bytes, list[tuple[int, ...]]] = {word.encode(): [] for word in words}
    n_lossy = 0
    for text in texts:
        data = text.encode()
        if not data:
            continue
        ids = encode(data)
        offsets = np.concatenate([[0], np.cumsum(lengths[ids])])
        n_bytes += len(data)
        n_tokens += len(ids)
        used.update(ids)
        if offsets[-1] != len(data):
            n_lossy += 1
        else:
            is_word = IS_WORD_BYTE[np.frombuffer(data, np.uint8)]
            inside = np.zeros(len(data) + 1, bool)  # does a word go on here?
            inside[1:-1] = is_word[:-1] & is_word[1:]
            n_before = np.concatenate([[0], np.cumsum(is_word)])
            begins, ends = offsets[:-1], offsets[1:]
            n_whole += int((~inside[begins] & ~inside[ends] & (n_before[ends] > n_before[begins])).sum())
            add_spellings(spellings, data, ids, offsets, is_word)
        for piece in range(0, len(data), EDIT_EVERY):
            at = piece + rng.below(min(EDIT_EVERY, len(data) - piece))
            n_edit_tokens += n_changed(ids, encode(edited(rng, data, at)))
            n_edits += 1
    if n_lossy:
        peers.say(f"{n_lossy} documents do not come back: left out of the measures of words")
    often = [found for found in spellings.values() if len(found) >= MIN_OCCURRENCES]
    return {"bytes_per_token": n_bytes / n_tokens, "whole_word_share": n_whole / n_tokens,
            "spellings_per_word": sum(len(set(found)) for found in often) / len(often) if often else 0,
            "edit_tokens_changed": n_edit_tokens / n_edits, "n_words": len(often), "n_used": len(used)}


def add_spellings(spellings: dict[bytes, list[tuple[int, ...]]], data: bytes, ids: Sequence[int], offsets: np.ndarray,
                  is_word: np.ndarray) -> None:
    """The ids that overlap each word that is asked for."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], is_word.astype(np.int8), [0]])))
    begins, ends = change[::2], change[1::2]
    first = np.searchsorted(offsets, begins, "right") - 1
    last = np.searchsorted(offsets, ends, "left")
    for begin, end, low, high in zip(begins.tolist(), ends.tolist(), first.tolist(), last.tolist()):
        found = spellings.get(data[begin:end])
        if found is not None:
            found.append(tuple(ids[low:high]))


# ---- codebooks ----

def isobit_json(arguments: Sequence[str]) -> list[dict[str, Any]]:
    command = [peers.ISOBIT, "codebook", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def codebook(folder: Path, options: argparse.Namespace, n_vocab: int, kind: str,
             n_rounds: Optional[int]) -> dict[str, Any]:
    """n_rounds None: as built without asking; else that many rounds of refinement and no choosing."""
    name = f"{kind}-{n_vocab}" + ("" if n_rounds is None else f"-round{n_rounds}")
    if options.m1:
        name += "-" + Path(options.m1).resolve().name
    path = peers.codebook_folder(folder) / f"{name}.isb-codebook"
    log = path.with_suffix(".json")
    if not log.exists():
        peers.say(f"building codebook {name}")
        path.unlink(missing_ok=True)
        begin = time.perf_counter()
        rounds = isobit_json(["build", "--threads", str(options.threads), "--split", "all", "--data", *options.train,
                              "--size", str(n_vocab), "--kind", kind, "--out", str(path),
                              *(["--m1", options.m1] if options.m1 else []),
                              *([] if n_rounds is None else ["--no-choose", "--refine", str(n_rounds)])])
        log.write_text(json.dumps({"seconds": time.perf_counter() - begin, "rounds": rounds}))
    made = json.loads(log.read_text())
    how = "chosen by use" if n_rounds is None else f"round {n_rounds}"
    row = {"tokenizer": f"codebook {kind}", "how": how, "size": n_vocab, "seconds": made["seconds"],
           "n_vocab": made["rounds"][-1]["n_ids"], "rounds": made["rounds"], "path": str(path)}
    return row | measure_codebook(path, options)


def measure_codebook(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    words = ["--words", options.words] if options.words else []
    whole = isobit_json(["measure", "--codebook", str(path), "--data", *options.test, *words])[0]
    row: dict[str, Any] = {name: whole.get(name) for name in MEASURES} | {"tests": {}}
    for test in options.test:
        result = isobit_json(["measure", "--codebook", str(path), "--data", test])[0]
        row["tests"][name_of(test)] = result["bytes_per_token"]
    return row


def name_of(path: str) -> str:
    return Path(path).name.split(".")[0]


def check_measures(path: Path, test: str, words: Sequence[str], options: argparse.Namespace) -> None:
    """Both ways of computing, on one codebook."""
    listed = ["--words", options.words] if options.words else []
    there = isobit_json(["measure", "--codebook", str(path), "--data", test, *listed])[0]
    book = isobit.Codebook.open(path)
    lengths = np.array([len(string) for string in book.token_byte_values()] + [0] * (book.n_vocab - book.n_codes))
    here = measure(lambda data: book.encode(data).tolist(), lengths, peers.documents(test), words)
    for name, value in here.items():
        if name in there and abs(value - there[name]) > 1e-9 * abs(value):
            raise SystemExit(f"{name} of {path} on {test}: {value} here, {there[name]} by isobit codebook measure")
    peers.say("the measures here and those of isobit codebook measure agree")


# ---- SentencePiece ----

def piece_lengths(model: sentencepiece.SentencePieceProcessor) -> np.ndarray:
    pieces = [model.id_to_piece(i) for i in range(model.vocab_size())]
    return np.array([1 if model.is_byte(i) else len(piece.replace("\u2581", " ").encode())
                     for i, piece in enumerate(pieces)])


def sentencepiece_row(path: Path, size: int, kind: str, tests: dict[str, list[str]],
                      words: Sequence[str]) -> dict[str, Any]:
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    row: dict[str, Any] = {"tokenizer": f"SentencePiece {kind}", "how": "", "size": size, "n_vocab": model.vocab_size(),
                           "seconds": float(path.with_suffix(".seconds").read_text())}
    all_texts = [text for texts in tests.values() for text in texts]
    whole = measure(lambda data: model.encode(data), piece_lengths(model), all_texts, words)
    row |= {name: whole[name] for name in MEASURES}
    row["tests"] = {name: sum(len(text.encode()) for text in texts) / sum(len(model.encode(text)) for text in texts)
                    for name, texts in tests.items()}
    return row


# ---- results ----

def markdown_head(tests: Sequence[str]) -> None:
    print("| V asked for | tokenizer | made | ids | bytes/token | " + " | ".join(tests) + " | whole-word tokens "
          "| spellings/word | tokens/edit | ids used | seconds |")
    print("|---:|---|---|" + "---:|" * (len(tests) + 7))


def markdown(row: dict[str, Any]) -> None:
    spellings = f"{row['spellings_per_word']:.3f}" if row["spellings_per_word"] else ""
    print(f"| {row['size']:,} | {row['tokenizer']} | {row['how']} | {row['n_vocab']:,} "
          f"| {row['bytes_per_token']:.3f} | " + " | ".join(f"{value:.3f}" for value in row["tests"].values())
          + f" | {row['whole_word_share']:.3f} | {spellings} | {row['edit_tokens_changed']:.2f} | {row['n_used']:,} "
          f"| {row['seconds']:.1f} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Bytes per token, codebooks beside SentencePiece.")
    parser.add_argument("--train", nargs="+", required=True, help="the text that all are made from")
    parser.add_argument("--test", nargs="+", required=True, help="the texts measured")
    parser.add_argument("--words", help="a word a line: in how many ways is each cut?")
    parser.add_argument("--sizes", default="4096,8192,16384,32768,65536,262144")
    parser.add_argument("--m1", help="codebooks from this byte model, corrected by the text, instead of counts alone")
    parser.add_argument("--no-rounds", action="store_true", help="only what is chosen by use")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="the rows as JSON lines too, with each build's own rounds on the training text")
    options = parser.parse_args()

    folder = peers.cache_folder(options.train)
    train = [text for path in options.train for text in peers.documents(path)]
    tests = {name_of(path): peers.documents(path) for path in options.test}
    words = [line for line in Path(options.words).read_text().split("\n") if line] if options.words else []
    out = open(options.out, "w") if options.out else None
    sizes = [int(size) for size in options.sizes.split(",")]

    def emit(row: dict[str, Any]) -> None:
        markdown(row)
        if out:
            print(json.dumps(row), file=out, flush=True)

    first = codebook(folder, options, sizes[0], KINDS[0], None)
    check_measures(Path(first["path"]), options.test[0], words, options)
    markdown_head(list(tests))
    for size in sizes:
        for kind in KINDS:
            for n_rounds in [] if options.no_rounds else range(4):
                emit(codebook(folder, options, size, kind, n_rounds))
            emit(codebook(folder, options, size, kind, None))
        for kind in ("unigram", "bpe"):
            path = peers.sentencepiece_model(folder, train, kind, size, options.threads)
            emit(sentencepiece_row(path, size, kind, tests, words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
