"""Speed of codebooks beside other tokenizers (bench/tokenizer_speed.sh has the options).

What is timed: the test documents, text to ids and back, by calls from Python, either one call a document or one call
for all.  Everything runs on one processor.  Rounds are interleaved: each tokenizer is timed right before our Python
package, called the same way (and our C API right before tiktoken), and a ratio is the median over rounds of the two
neighbours; so load on a shared machine falls on both.

    from Python   str to what the package returns: lists for most, NumPy arrays for isobit, "to NumPy" and gigatoken
    C API         isb_codebook_encode() and _decode() on prepared buffers, called through ctypes; all at once: the batch
                  call, and one decode of all ids
    new text      one pass over text never seen before, after 8 MB of the training text: Hugging Face tokenizers and
                  gigatoken keep words in caches, which the rounds, repeating one text, find complete
    load          from a file to a tokenizer that is ready, the modules being imported

One size, one text: a byte-level BPE trained by Hugging Face tokenizers, its ranks given to tiktoken, gigatoken and
quicktok (whose ids are checked to agree), SentencePiece, and a codebook.  rs-bpe from PyPI can load no other ranks than
OpenAI's: it is timed with cl100k_base, beside tiktoken with the same ranks (read out of rs-bpe) and a codebook of the
same strings.
"""
from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from ctypes import byref, c_size_t, c_void_p
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TIKTOKEN_CACHE_DIR"] = ""

import awkward  # gigatoken imports it in its first batch
import gigatoken
import numpy as np
import quicktok
import rs_bpe.bpe
import sentencepiece
import tiktoken
import tiktoken.load
import tokenizers

import tokenizer_peers as peers

import isobit
from isobit._library import Context, library

MIN_SECONDS = 0.05  # a measurement repeats its pass until then
WARM_NBYTES = 8 << 20
EACH, ALL = "one by one", "all at once"


@dataclass
class Subject:
    """One way to call one tokenizer."""

    name: str
    version: str
    how: str
    load: Callable[[], Any]
    encode: Callable[[Any, Sequence[str]], Any]
    decode: Callable[[Any, Any], Sequence[str]]
    n_tokens: Callable[[Any], int] = lambda ids: sum(map(len, ids))
    n_vocab: int = 0
    path: Optional[Path] = None
    neighbour: Optional[Subject] = None  # timed right after it
    rows: Callable[[Any], Any] = lambda ids: ids  # as decode takes them
    # found by prepare():
    tokenizer: Any = None
    ids: Any = None
    tokens: int = 0
    n_differ: int = 0
    new_seconds: float = 0
    load_seconds: list[float] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"encode": [], "decode": []})
    ratios: dict[str, list[float]] = field(default_factory=lambda: {"encode": [], "decode": []})


# ---- isobit's C API, without Python objects per document ----

class Raw:
    """Prepared buffers for one codebook and the test documents."""

    def __init__(self, codebook: isobit.Codebook, texts: Sequence[str], n_threads: int = 1) -> None:
        data = [text.encode() for text in texts]
        self.codebook, self.context = codebook, Context(n_threads)
        self.bytes = b"".join(data)
        sizes = np.array([len(text) for text in data], np.uint64)
        starts = np.cumsum(sizes) - sizes
        base = ctypes.cast(self.bytes, c_void_p).value or 0
        self.table = np.stack([starts + np.uint64(base), sizes], axis=1)
        self.ids = np.zeros(len(self.bytes), np.uint32)
        self.offsets = np.zeros(len(data) + 1, np.uint64)
        self.text = np.zeros(len(self.bytes), np.uint8)
        ids = self.ids.ctypes.data
        self.calls = [(base + int(start), int(size), ids + 4 * int(start)) for start, size in zip(starts, sizes)]

    def encode_each(self) -> list[int]:
        handle, n, encode = self.codebook._handle, c_size_t(), library.isb_codebook_encode
        counts = []
        for text, nbytes, ids in self.calls:
            encode(handle, text, nbytes, ids, nbytes, byref(n))
            counts.append(n.value)
        return counts

    def decode_each(self, counts: list[int]) -> None:
        handle, n, decode = self.codebook._handle, c_size_t(), library.isb_codebook_decode
        text = self.text.ctypes.data
        for (_, nbytes, ids), count in zip(self.calls, counts):
            decode(handle, ids, count, text, nbytes, byref(n))
            text += n.value

    def encode_all(self) -> int:
        self.context.check(library.isb_codebook_encode_batch(
            self.context.handle, self.codebook._handle, self.table.ctypes.data, len(self.calls), self.ids.ctypes.data,
            self.ids.size, self.offsets.ctypes.data))
        return int(self.offsets[-1])

    def decode_all(self, n_ids: int) -> None:
        library.isb_codebook_decode(self.codebook._handle, self.ids.ctypes.data, n_ids, self.text.ctypes.data,
                                    self.text.size, byref(c_size_t()))

    def check(self, _texts: Sequence[str]) -> int:
        """The number of decodings that differ."""
        return int(self.text.tobytes() != self.bytes)


def raw_subject(name: str, how: str, open_it: Callable[[], isobit.Codebook], texts: Sequence[str],
                path: Path) -> Subject:
    each = how == EACH
    return Subject(name, isobit.__version__, how, lambda: Raw(open_it(), texts),
                   lambda raw, _: raw.encode_each() if each else raw.encode_all(),
                   lambda raw, ids: raw.decode_each(ids) if each else raw.decode_all(ids),
                   lambda ids: sum(ids) if each else ids, path=path)


# ---- the subjects ----

def isobit_subjects(path: Path, texts: Sequence[str]) -> list[Subject]:
    def open_it() -> isobit.Codebook:
        return isobit.Codebook.open(path)

    each = Subject("isobit, Python", isobit.__version__, EACH, open_it,
                   lambda codebook, texts: [codebook.encode(text) for text in texts],
                   lambda codebook, ids: codebook.decode_batch(ids), path=path)
    batch = Subject("isobit, Python", isobit.__version__, ALL, open_it,
                    lambda codebook, texts: codebook.encode_batch(texts, n_threads=1),
                    lambda codebook, ids: codebook.decode_batch(ids), path=path)
    return [each, batch, raw_subject("isobit, C API", EACH, open_it, texts, path),
            raw_subject("isobit, C API", ALL, open_it, texts, path)]


def tiktoken_load(path: Path) -> tiktoken.Encoding:
    ranks = tiktoken.load.load_tiktoken_bpe(str(path))
    return tiktoken.Encoding(path.stem, pat_str=peers.PATTERN, mergeable_ranks=ranks, special_tokens={})


def bpe_subjects(folder: Path, texts: Sequence[str], n_vocab: int) -> list[Subject]:
    json_path = peers.byte_bpe(folder, texts, n_vocab)
    ranks_path = peers.write_ranks(folder / f"bpe-{n_vocab}.tiktoken", peers.ranks_of(json_path))
    quick_name = f"bpe-{n_vocab}"
    if not (folder / f"{quick_name}.enc").exists():
        with contextlib.redirect_stdout(sys.stderr):
            quicktok.import_tokenizer(str(json_path), quick_name, str(folder))

    def tiktoken_subject(how: str, name: str, encode: Callable[[Any, Sequence[str]], Any]) -> Subject:
        return Subject(name, version("tiktoken"), how, lambda: tiktoken_load(ranks_path), encode,
                       lambda encoding, ids: [encoding.decode(row) for row in ids], path=ranks_path)

    def hf_subject(how: str, encode: Callable[[Any, Sequence[str]], Any]) -> Subject:
        return Subject("Hugging Face tokenizers", version("tokenizers"), how,
                       lambda: tokenizers.Tokenizer.from_file(str(json_path)), encode,
                       lambda tokenizer, ids: [tokenizer.decode(row) for row in ids], path=json_path)

    def giga_subject(how: str, encode: Callable[[Any, Sequence[str]], Any]) -> Subject:
        return Subject("gigatoken", version("gigatoken"), how, lambda: gigatoken.Tokenizer(str(json_path)), encode,
                       lambda tokenizer, ids: [tokenizer.decode(row).decode() for row in ids], path=json_path,
                       rows=lambda ids: [np.asarray(row) for row in ids])

    def quick_subject(how: str, encode: Callable[[Any, Sequence[str]], Any]) -> Subject:
        return Subject("quicktok", version("quicktok-v1"), how, lambda: quicktok.Tokenizer(quick_name, str(folder)),
                       encode, lambda tokenizer, ids: [tokenizer.decode(row) for row in ids],
                       path=folder / f"{quick_name}.vocab",
                       rows=lambda ids: [np.asarray(row).tolist() for row in ids])

    return [
        tiktoken_subject(EACH, "tiktoken", lambda encoding, texts: [encoding.encode_ordinary(text) for text in texts]),
        tiktoken_subject(ALL, "tiktoken", lambda encoding, texts: encoding.encode_ordinary_batch(texts, num_threads=1)),
        tiktoken_subject(EACH, "tiktoken, to NumPy", lambda encoding, texts: [
            encoding.encode_to_numpy(text, disallowed_special=()) for text in texts]),
        hf_subject(EACH, lambda tokenizer, texts: [tokenizer.encode(text).ids for text in texts]),
        hf_subject(ALL, lambda tokenizer, texts: [row.ids for row in tokenizer.encode_batch_fast(texts)]),
        giga_subject(EACH, lambda tokenizer, texts: [tokenizer.encode(text) for text in texts]),
        giga_subject(ALL, lambda tokenizer, texts: tokenizer.encode_batch(texts, parallel=False)),
        quick_subject(EACH, lambda tokenizer, texts: [tokenizer.encode_ordinary(text) for text in texts]),
        quick_subject(ALL, lambda tokenizer, texts: split(*tokenizer.encode_batch(texts, 1, False)))]


def split(flat: np.ndarray, offsets: np.ndarray) -> list[np.ndarray]:
    bounds = offsets.tolist()
    return [flat[begin:end] for begin, end in zip(bounds, bounds[1:])]


def sentencepiece_subjects(folder: Path, texts: Sequence[str], n_vocab: int) -> list[Subject]:
    def subject(kind: str, how: str, path: Path) -> Subject:
        return Subject(f"SentencePiece {kind}", version("sentencepiece"), how,
                       lambda: sentencepiece.SentencePieceProcessor(model_file=str(path)),
                       (lambda model, texts: [model.encode(text) for text in texts]) if how == EACH else
                       (lambda model, texts: model.encode(texts, num_threads=1)),
                       lambda model, ids: [model.decode(row) for row in ids], path=path)

    return [subject(kind, how, peers.sentencepiece_model(folder, texts, kind, n_vocab, 1))
            for kind in ("unigram", "bpe") for how in (EACH, ALL)]


def cl100k_subjects(folder: Path, texts: Sequence[str]) -> list[Subject]:
    """rs-bpe has no other table: so others with the same strings."""
    openai = rs_bpe.bpe.openai
    begin = Clock.now()
    table = openai.cl100k_base().bpe()
    load_seconds = [Clock.now() - begin]  # later loads find it in memory
    strings = [bytes(table.decode_tokens([token])) for token in range(100256)]
    ranks_path = peers.write_ranks(folder / "cl100k.tiktoken", {string: rank for rank, string in enumerate(strings)})
    book_path = folder / "cl100k.isb-codebook"
    isobit.Codebook.create(strings, name="cl100k").save(book_path)
    return [
        Subject("rs-bpe, cl100k", version("rs-bpe"), EACH, openai.cl100k_base,
                lambda tokenizer, texts: [tokenizer.encode(text) for text in texts],
                lambda tokenizer, ids: [tokenizer.decode(row) for row in ids], n_vocab=100256,
                load_seconds=load_seconds),
        Subject("rs-bpe, cl100k", version("rs-bpe"), ALL, openai.cl100k_base,
                lambda tokenizer, texts: tokenizer.encode_batch(texts)[0],
                lambda tokenizer, ids: tokenizer.decode_batch(ids), n_vocab=100256, load_seconds=load_seconds),
        Subject("tiktoken, cl100k", version("tiktoken"), EACH, lambda: tiktoken_load(ranks_path),
                lambda encoding, texts: [encoding.encode_ordinary(text) for text in texts],
                lambda encoding, ids: [encoding.decode(row) for row in ids], n_vocab=100256, path=ranks_path),
        raw_subject("isobit, strings of cl100k, C API", ALL, lambda: isobit.Codebook.open(book_path), texts,
                    book_path)]


# ---- measuring ----

class Clock:
    now: Callable[[], float] = time.perf_counter


def timed(pass_once: Callable[[], Any]) -> float:
    """Seconds of one pass: the mean over as many as fit MIN_SECONDS."""
    n = 0
    begin = Clock.now()
    while True:
        pass_once()
        n += 1
        passed = Clock.now() - begin
        if passed >= MIN_SECONDS:
            return passed / n


def first_of(texts: Sequence[str], nbytes: int) -> list[str]:
    sizes = np.cumsum([len(text.encode()) for text in texts])
    return list(texts[:int(np.searchsorted(sizes, nbytes)) + 1])


def prepare(subject: Subject, warm: Sequence[str], texts: Sequence[str]) -> None:
    subject.tokenizer = subject.load()
    if not isinstance(subject.tokenizer, Raw):
        subject.encode(subject.tokenizer, warm)
    begin = Clock.now()
    ids = subject.encode(subject.tokenizer, texts)
    subject.new_seconds = Clock.now() - begin
    subject.ids = subject.rows(ids)
    subject.tokens = subject.n_tokens(subject.ids)
    back = subject.decode(subject.tokenizer, subject.ids)
    if isinstance(subject.tokenizer, Raw):
        subject.n_differ = subject.tokenizer.check(texts)
    else:
        subject.n_differ = sum(a != b for a, b in zip(texts, back))
    if subject.n_vocab == 0:
        subject.n_vocab = n_vocab_of(subject.tokenizer)


def n_vocab_of(tokenizer: Any) -> int:
    if isinstance(tokenizer, Raw):
        return tokenizer.codebook.n_vocab
    for name in ("n_vocab", "vocab_size", "get_vocab_size"):
        if hasattr(tokenizer, name):
            value = getattr(tokenizer, name)
            return int(value() if callable(value) else value)
    return 0


def run(subject: Subject, what: str, texts: Sequence[str]) -> float:
    if what == "encode":
        seconds = timed(lambda: subject.encode(subject.tokenizer, texts))
    else:
        seconds = timed(lambda: subject.decode(subject.tokenizer, subject.ids))
    subject.seconds[what].append(seconds)
    return seconds


def one_round(subjects: Sequence[Subject], texts: Sequence[str]) -> None:
    for subject in subjects:
        for what in ("encode", "decode"):
            seconds = run(subject, what, texts)
            if subject.neighbour is not None:
                subject.ratios[what].append(seconds / run(subject.neighbour, what, texts))
        if subject.path is not None:
            begin = Clock.now()
            loaded = subject.load() if not isinstance(subject.tokenizer, Raw) else isobit.Codebook.open(subject.path)
            subject.load_seconds.append(Clock.now() - begin)
            del loaded


def check_agreement(subjects: Sequence[Subject]) -> int:
    """Everything that was given tiktoken's ranks must give its ids."""
    groups: dict[int, list[Subject]] = {}
    for subject in subjects:
        if subject.name.startswith(("tiktoken", "Hugging", "gigatoken", "quicktok", "rs-bpe")):
            groups.setdefault(int("cl100k" in subject.name), []).append(subject)
    n_differ = 0
    for group in groups.values():
        reference = [list(map(int, row)) for row in group[0].ids]
        for subject in group[1:]:
            differ = sum(a != list(map(int, b)) for a, b in zip(reference, subject.ids))
            if differ:
                peers.say(f"{subject.name}, {subject.how}: ids of {differ} of {len(reference)} documents are not those "
                          f"of {group[0].name}")
            n_differ += differ
    return n_differ


def two_threads(path: Path, texts: Sequence[str], n_rounds: int) -> float:
    """How many times as fast are two threads?"""
    nbytes = sum(len(text.encode()) for text in texts)
    many = list(texts) * (1 + (32 << 20) // nbytes)
    codebook = isobit.Codebook.open(path)
    one, two = Raw(codebook, many, 1), Raw(codebook, many, 2)
    one.encode_all(), two.encode_all()
    return statistics.median(timed(one.encode_all) / timed(two.encode_all) for _ in range(n_rounds))


def without_python(path: Path, texts: Sequence[str], as_json: bool) -> str:
    """bench/bench_codebook.c on the same codebook, all documents as one text, right after the rounds."""
    program = peers.ROOT / "build" / "bench" / "bench_codebook"
    if not program.exists():
        return ""
    with tempfile.NamedTemporaryFile() as text:
        text.write("".join(texts).encode())
        text.flush()
        command = [str(program), *(["--json"] if as_json else []), str(path), text.name]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


# ---- results ----

def result(subject: Subject, nbytes: int, n_documents: int, base: Subject) -> dict[str, Any]:
    """base: tiktoken, called one by one."""
    def isobit_over_it(what: str) -> Optional[float]:
        against_isobit = subject.neighbour not in (None, base)
        return statistics.median(subject.ratios[what]) if against_isobit else None

    def times_tiktoken() -> float:
        if subject.neighbour is base:
            return 1 / statistics.median(subject.ratios["encode"])
        return statistics.median(base.seconds["encode"]) / statistics.median(subject.seconds["encode"])

    def speed(what: str) -> float:
        return nbytes / statistics.median(subject.seconds[what]) / 1e6

    return {
        "tokenizer": subject.name, "version": subject.version, "call": subject.how, "n_vocab": subject.n_vocab,
        "bytes_per_token": nbytes / subject.tokens, "encode_mb_s": speed("encode"), "decode_mb_s": speed("decode"),
        "isobit_over_it_encode": isobit_over_it("encode"), "isobit_over_it_decode": isobit_over_it("decode"),
        "times_tiktoken_encode": times_tiktoken(),
        "new_text_mb_s": nbytes / subject.new_seconds / 1e6,
        "load_ms": 1e3 * statistics.median(subject.load_seconds),
        "file_bytes": subject.path.stat().st_size if subject.path else None,
        "documents_not_restored": subject.n_differ, "n_documents": n_documents, "n_bytes": nbytes}


def markdown(rows: Sequence[dict[str, Any]]) -> None:
    print("| tokenizer | version | call | V | bytes/token | encode MB/s | isobit / it | x tiktoken | new text MB/s "
          "| decode MB/s | isobit / it | load ms | file KB |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")

    def ratio(value: Optional[float]) -> str:
        return "" if value is None else f"{value:.2f}"

    for row in rows:
        size = "" if row["file_bytes"] is None else f"{row['file_bytes'] / 1e3:.0f}"
        print(f"| {row['tokenizer']} | {row['version']} | {row['call']} | {row['n_vocab']:,} "
              f"| {row['bytes_per_token']:.3f} | {row['encode_mb_s']:.1f} | {ratio(row['isobit_over_it_encode'])} "
              f"| {row['times_tiktoken_encode']:.2f} | {row['new_text_mb_s']:.1f} | {row['decode_mb_s']:.0f} "
              f"| {ratio(row['isobit_over_it_decode'])} | {row['load_ms']:.2f} | {size} |")



def codebook_file(options: argparse.Namespace, folder: Path) -> Path:
    if options.codebook:
        return Path(options.codebook)
    path = peers.codebook_folder(folder) / f"{options.kind}-{options.size}.isb-codebook"
    if not path.exists():
        peers.say(f"building codebook {options.kind} {options.size}")
        command = [peers.ISOBIT, "codebook", "build", "--quiet", "--threads", "1", "--split", "all", "--data",
                   *options.train, "--size", str(options.size), "--kind", options.kind, "--out", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of codebooks beside other tokenizers.")
    parser.add_argument("--train", nargs="+", required=True, help="the text that all are made from")
    parser.add_argument("--test", nargs="+", required=True, help="the text that is timed")
    parser.add_argument("--size", type=int, default=65536, help="V of all")
    parser.add_argument("--kind", default="phrase", help="of the codebook")
    parser.add_argument("--codebook", help="time this one, instead of one made from the text")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true", help="processor time of the process instead of wall time")
    parser.add_argument("--json", action="store_true", help="a JSON object a line instead of a table")
    options = parser.parse_args()

    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, processors[-1:])
    if options.cpu_time:
        Clock.now = time.process_time
    folder = peers.cache_folder(options.train)
    train = [text for path in options.train for text in peers.documents(path)]
    texts = [text for path in options.test for text in peers.documents(path)]
    nbytes = sum(len(text.encode()) for text in texts)
    warm = first_of(train, WARM_NBYTES)

    book = codebook_file(options, folder)
    ours = isobit_subjects(book, texts)
    others = (bpe_subjects(folder, train, options.size) + sentencepiece_subjects(folder, train, options.size) +
              cl100k_subjects(folder, texts))
    base = next(subject for subject in others if subject.name == "tiktoken")
    subjects = ours + others
    for subject in subjects[2:]:
        is_c = subject.name.endswith("C API")
        subject.neighbour = base if is_c else ours[0] if subject.how == EACH else ours[1]
    for subject in subjects:
        prepare(subject, warm, texts)
    agree = check_agreement(subjects)
    for number in range(options.rounds):
        peers.say(f"round {number + 1} of {options.rounds}")
        one_round(subjects[2:], texts)
    for subject in ours[:2]:
        subject.load_seconds = ours[2].load_seconds
    rows = [result(subject, nbytes, len(texts), base) for subject in subjects]
    in_c = without_python(book, texts, options.json)
    scaling = None
    if len(processors) > 1:
        os.sched_setaffinity(0, processors[-2:])
        Clock.now = time.perf_counter
        scaling = two_threads(book, texts, options.rounds)
    if options.json:
        for row in rows:
            print(json.dumps(row))
        print(in_c, end="")
        print(json.dumps({"two_threads_over_one": scaling, "documents_with_other_ids": agree}))
        return 0
    markdown(rows)
    print(f"\n{len(texts)} documents, {nbytes:,} bytes, {options.rounds} rounds, "
          f"{'processor' if options.cpu_time else 'wall'} time.  Documents that do not come back: "
          + (", ".join(f"{row['tokenizer']} ({row['call']}) {row['documents_not_restored']}" for row in rows
                       if row["documents_not_restored"]) or "none") + ".")
    if in_c:
        print(f"\nbench_codebook, all documents as one text, on the same one processor:\n\n{in_c}")
    if scaling is not None:
        print(f"isobit, C API, all at once: two threads are {scaling:.2f} times as fast as one (wall time).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
