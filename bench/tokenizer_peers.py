"""What the tokenizer benchmarks share: documents, and tokenizers of other projects trained on them.

Everything trained is kept in a folder named by a hash of the text, so that a second run measures at once.
"""
from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, Sequence

import sentencepiece
import tokenizers

# How GPT-4-like tokenizers cut text before they merge, in the form that Llama 3's tokenizer.json has it.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")


ROOT = Path(__file__).resolve().parents[1]
ISOBIT = os.environ.get("ISOBIT", str(ROOT / "build" / "isobit"))
os.environ.setdefault("ISOBIT_LIBRARY", str(ROOT / "build" / "libisobit.so"))
sys.path.insert(0, str(ROOT / "python"))  # who imports this can import isobit


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def documents(path: str) -> list[str]:
    """As isobit reads files: JSON lines with a document in "text", or plain text; .gz and .zst are seen through."""
    data = Path(path).read_bytes()
    name = path
    if name.endswith(".gz"):
        data, name = gzip.decompress(data), name[:-3]
    elif name.endswith(".zst"):
        data, name = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout, name[:-4]
    if name.endswith((".jsonl", ".ndjson")):
        return [json.loads(line)["text"] for line in io.BytesIO(data) if line.strip()]
    return [data.decode()]


def cache_folder(paths: Sequence[str]) -> Path:
    """Where what is trained on these files is kept."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "isobit" / "bench" / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def codebook_folder(folder: Path) -> Path:
    """In it, codebooks of this very program: another one may choose other strings."""
    own = folder / ("isobit-" + hashlib.sha256(Path(ISOBIT).read_bytes()).hexdigest()[:16])
    own.mkdir(exist_ok=True)
    return own


@contextlib.contextmanager
def appears_whole(path: Path) -> Iterator[Path]:
    """A name to write to, which becomes path when all went well."""
    unfinished = path.with_name("unfinished-" + path.name)
    yield unfinished
    unfinished.replace(path)


# ---- SentencePiece ----

def sentencepiece_model(folder: Path, texts: Sequence[str], kind: str, n_vocab: int, n_threads: int) -> Path:
    """A lossless model ("unigram" or "bpe") trained on the lines of the texts; line breaks are pieces of their own.

    Beside it: NAME.seconds, the time it took.
    """
    path = folder / f"sentencepiece-{kind}-{n_vocab}.model"
    if path.exists():
        return path
    say(f"training SentencePiece {kind} {n_vocab}")
    begin = time.perf_counter()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.split("\n") if line), model_writer=model,
        model_type=kind, vocab_size=n_vocab, hard_vocab_limit=False, normalization_rule_name="identity",
        remove_extra_whitespaces=False, add_dummy_prefix=False, byte_fallback=True, character_coverage=0.9999,
        user_defined_symbols=["\n", "\n\n"], max_sentence_length=1 << 20, num_threads=n_threads, minloglevel=2)
    path.with_suffix(".seconds").write_text(f"{time.perf_counter() - begin:.3f}")
    with appears_whole(path) as unfinished:
        unfinished.write_bytes(model.getvalue())
    return path


# ---- byte-level BPE ----

def _byte_of_letter() -> dict[str, int]:
    """Byte-level tokenizer.json files write bytes as printable letters: the inverse of GPT-2's table."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def byte_bpe(folder: Path, texts: Sequence[str], n_vocab: int) -> Path:
    """A byte-level BPE as tokenizer.json, trained by Hugging Face tokenizers."""
    path = folder / f"bpe-{n_vocab}.json"
    if path.exists():
        return path
    say(f"training byte-level BPE {n_vocab}")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERN), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=n_vocab, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    with appears_whole(path) as unfinished:
        tokenizer.save(str(unfinished))
    return path


def ranks_of(path: Path) -> dict[bytes, int]:
    """The strings of a byte-level tokenizer.json with their ids, which are the order of merging."""
    byte_of = _byte_of_letter()
    vocabulary = json.loads(path.read_text())["model"]["vocab"]
    return {bytes(byte_of[letter] for letter in token): token_id for token, token_id in vocabulary.items()}


def write_ranks(path: Path, ranks: dict[bytes, int]) -> Path:
    """A .tiktoken file."""
    if not path.exists():
        with appears_whole(path) as unfinished:
            unfinished.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank
                                            for token, rank in sorted(ranks.items(), key=lambda item: item[1])))
    return path
