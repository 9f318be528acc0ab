"""Codebooks of several shapes, and hostile text."""
from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

from isobit import Codebook

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "LICENSE").read_text()


def word_strings() -> list[bytes]:
    """Words with the space before them, and pieces of words."""
    counts: Counter[bytes] = Counter()
    for word in re.findall(r" ?[A-Za-z]+| ?[^\sA-Za-z]+|\n+| +", TEXT):
        counts[word.encode()] += 1
        for end in range(2, len(word)):
            counts[word[:end].encode()] += 1
    return [string for string, _ in counts.most_common(1500) if len(string) <= 32]


def free_strings() -> list[bytes]:
    """Any pieces of the text, across words and lines: not closed under prefixes."""
    random.seed(1)
    places = [(random.randrange(len(TEXT) - 40), random.randint(2, 40)) for _ in range(1500)]
    return [TEXT[at:at + n].encode() for at, n in places]


def hard_strings() -> list[bytes]:
    """Long repeats, pieces of characters, and everything that formats escape."""
    repeats = [b"a" * n for n in range(2, 256)] + [b"b" * 255, b"ab" * 100]
    pieces = ["漢字".encode()[i:j] for i in range(6) for j in range(i + 1, 7)]
    marks = [m.encode() for m in ("\\x41", "\\\\", "'\"'", "(?:a|b)*", "[^]$", "\x00\x00", "\r\n", "\t", "<EOT>", "<unk>",
                                  "not a token", "[PAD]", "<|endof", "text|>", "\u00a0\u2028", "é", "́", " 5 'x' 3")]
    return repeats + pieces + marks + [bytes([255, 254]), bytes([0x80]) * 3]


CODEBOOKS = {"word": word_strings, "free": free_strings, "hard": hard_strings, "bytes": list}


@pytest.fixture(scope="session", params=CODEBOOKS)
def codebook(request: pytest.FixtureRequest) -> Codebook:
    return Codebook.create(CODEBOOKS[request.param](), name=request.param, specials=["<|user|>", "<|us"])


@lru_cache
def ids_of_strings(codebook: Codebook) -> dict[bytes, int]:
    return {string: i for i, string in enumerate(codebook.token_byte_values())}


def naive(codebook: Codebook, data: bytes) -> list[int]:
    """The definition: at each place the longest string."""
    ids = ids_of_strings(codebook)
    result, at = [], 0
    while at < len(data):
        n = next(n for n in range(min(codebook.max_string_nbytes, len(data) - at), 0, -1) if data[at:at + n] in ids)
        result.append(ids[data[at:at + n]])
        at += n
    return result


@lru_cache
def hostile_texts() -> list[str]:
    """Valid Unicode that programs stumble over."""
    random.seed(2)
    assigned = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    blocks = ["".join(assigned[at:at + 24]) for at in range(0, 0x20000, 0x180)]
    marks = [c for c in assigned[:0x20000] if unicodedata.combining(c)]
    scripts = "the Аб漢字かなกขअआعربית😀👨‍👩‍👧é́ﷺ\u200d\ufeff\u2028\u00a0\t\r\n \\'\"<[|"
    return [
        "", " ", "\n", "\0", "a\0b\0\0", "\x7f\x80\x85\xa0", *blocks,
        "".join(random.sample(marks, 200)), "e" + "\u0301" * 500, "a" * 1500, "ab" * 700, " " * 700, "\n" * 300, "漢" * 400,
        "".join(random.choices(scripts, k=2000)), "".join(random.choices(assigned, k=500)),
        "<|endoftext|><|user|><|us", "\\x41\\n\\\\", "b'\\x00'", "Ġthe Ċ Ā", TEXT,
    ]
