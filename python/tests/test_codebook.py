"""The codebook object: exactness, the naive definition, threads, streams, and what is refused."""
from __future__ import annotations

import os
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TEXT, hostile_texts, naive

from isobit import BuildRound, Codebook, IsobitError


@lru_cache
def hostile_bytes() -> list[bytes]:
    random.seed(3)
    return [b"", bytes(range(256)), b"\xff" * 300, b"\x80", b"\xe6\xbc", b"\xed\xa0\x80", b"\xc0\x80", random.randbytes(3000),
            *(text.encode() for text in hostile_texts())]


def test_round_trip_and_definition(codebook: Codebook) -> None:
    for data in hostile_bytes():
        ids = codebook.encode(data)
        assert ids.dtype == np.uint32
        assert codebook.decode_bytes(ids) == data
        assert ids.tolist() == naive(codebook, data)
        assert codebook.count(data) == len(ids)
        assert codebook.encode(bytearray(data)).tolist() == codebook.encode(memoryview(data)).tolist() == ids.tolist()


def test_text(codebook: Codebook) -> None:
    for text in hostile_texts():
        assert codebook.decode(codebook.encode(text)) == text
        assert codebook.encode_ordinary(text).tolist() == codebook.encode(text.encode()).tolist()
    assert codebook.decode(codebook.encode(b"a\xff")) == "a\ufffd"
    with pytest.raises(UnicodeDecodeError):
        codebook.decode(codebook.encode(b"\xff"), errors="strict")
    with pytest.raises(UnicodeEncodeError):
        codebook.encode("\ud800")


def test_strings(codebook: Codebook) -> None:
    values = codebook.token_byte_values()
    assert len(values) == codebook.n_codes == codebook.eot_token and values == sorted(set(values))
    assert {bytes([b]) for b in range(256)} <= set(values)
    assert max(map(len, values)) == codebook.max_string_nbytes
    for token, string in enumerate(values):
        assert codebook.encode_single_token(string) == token
        assert codebook.decode_single_token_bytes(token) == string
    found = codebook.prefix_range(b"a")
    assert [values[i] for i in found] == [s for s in values if s.startswith(b"a")]
    with pytest.raises(KeyError):
        codebook.encode_single_token("no such string")
    for token in (-1, codebook.n_vocab):
        with pytest.raises(KeyError):
            codebook.decode_single_token_bytes(token)


def test_special(codebook: Codebook) -> None:
    eot, user, us = (codebook.n_codes + i for i in range(3))
    assert codebook.special_tokens == {"<|endoftext|>": eot, "<|user|>": user, "<|us": us}
    assert codebook.n_vocab == codebook.max_token_value + 1 == us + 1
    assert codebook.is_special_token(eot) and not codebook.is_special_token(eot - 1)
    assert codebook.encode_single_token("<|user|>") == user
    text = "a<|user|>b<|us<|endoftext|>"
    a, b = codebook.encode("a").tolist(), codebook.encode("b").tolist()
    assert codebook.encode_with_special(text).tolist() == [*a, user, *b, us, eot]
    assert codebook.encode(text, allowed_special={"<|user|>"}).tolist() == [
        *a, user, *codebook.encode("b<|us<|endoftext|>").tolist()]
    assert not any(map(codebook.is_special_token, codebook.encode(text).tolist()))
    assert codebook.decode([*a, eot, *b]) == "ab"
    with pytest.raises(ValueError, match="no special id is named"):
        codebook.encode(text, allowed_special={"<|system|>"})
    with pytest.raises(ValueError, match="all"):
        codebook.encode(text, allowed_special="<|user|>")


def test_offsets(codebook: Codebook) -> None:
    for data in hostile_bytes():
        ids = codebook.encode(data)
        offsets = codebook.offsets(ids).tolist()
        values = codebook.decode_tokens_bytes(ids)
        assert offsets[0] == 0 and offsets[-1] == len(data) and b"".join(values) == data
        assert np.diff(offsets).tolist() == [len(v) for v in values]
    for text in hostile_texts():
        ids = codebook.encode(text)
        again, starts = codebook.decode_with_offsets(ids)
        expected, n = [], 0
        for value in codebook.decode_tokens_bytes(ids):
            expected.append(max(0, n - (0x80 <= value[0] < 0xC0)))
            n += sum(not 0x80 <= byte < 0xC0 for byte in value)
        assert again == text and starts == expected


def test_batch(codebook: Codebook) -> None:
    texts = hostile_bytes() * 3
    expected = [codebook.encode(text).tolist() for text in texts]
    for n_threads in (0, 1, 2, 5):
        assert [ids.tolist() for ids in codebook.encode_batch(texts, n_threads=n_threads)] == expected
    ids, offsets = codebook.encode_batch_flat(texts)
    assert offsets.dtype == np.uint64 and offsets[-1] == ids.size == sum(map(len, expected))
    assert codebook.decode_bytes_batch(expected) == texts
    assert codebook.decode_batch(expected[:1]) == [""]
    assert codebook.encode_batch([]) == []


def test_threads(codebook: Codebook) -> None:
    expected = codebook.encode(TEXT).tolist()

    def work(i: int) -> bool:
        batch = codebook.encode_batch([TEXT, "x"], n_threads=1 + i % 2)
        return (codebook.encode(TEXT).tolist() == expected == batch[0].tolist() and codebook.decode(expected) == TEXT)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(40)))


@pytest.mark.parametrize("seed", range(5))
def test_stream_encoder(codebook: Codebook, seed: int) -> None:
    random.seed(seed)
    encoder = codebook.encoder()
    for data in hostile_bytes():
        ids, at = [], 0
        while at < len(data):
            n = random.choice((0, 1, 2, 7, 300))
            ids += encoder.push(data[at:at + n]).tolist()
            at += n
        copy = encoder.copy()
        assert ids + encoder.finish().tolist() == codebook.encode(data).tolist()
        assert ids + copy.finish().tolist() == codebook.encode(data).tolist()


def test_stream_decoder(codebook: Codebook) -> None:
    for data in hostile_bytes():
        shown, exact = codebook.decoder(), codebook.decoder(replace=False)
        text, raw = "", b""
        for token in codebook.encode(data).tolist():
            text += shown.push(token)
            raw += exact.push_bytes(token)
        assert text + shown.finish() == data.decode("utf-8", "replace")
        assert raw + exact.finish_bytes() == data
    decoder = codebook.decoder()
    for part in "漢😀".encode():
        piece = decoder.push(codebook.encode_single_token(bytes([part])))
        assert piece in ("", "漢", "😀")
    with pytest.raises(ValueError, match="out of range"):
        decoder.push(codebook.n_vocab)


def test_ids_out_of_range(codebook: Codebook) -> None:
    n = codebook.n_vocab
    for bad in ([0, n], [0, 2**32 - 1], [0, 2**32], [0, -1], np.array([0, n], np.int64)):
        for call in (codebook.decode, codebook.decode_bytes, codebook.offsets, codebook.decode_with_offsets):
            with pytest.raises(ValueError, match="index 1 is out of range"):
                call(bad)
    for bad in ([0.5], [[0]], ["a"]):
        with pytest.raises(ValueError):
            codebook.decode(bad)
    assert codebook.decode([]) == "" and codebook.decode(np.array([97], np.uint16)) != ""


def test_files(codebook: Codebook, tmp_path: Path) -> None:
    path = tmp_path / "x.isb-codebook"
    codebook.save(path)
    for again in (Codebook.open(path), Codebook.from_bytes(path.read_bytes()), pickle.loads(pickle.dumps(codebook))):
        assert again.identity == codebook.identity and again.name == codebook.name
        assert again.token_byte_values() == codebook.token_byte_values()
    data = bytearray(codebook.to_bytes())
    assert bytes(data) == path.read_bytes()
    for at in random.Random(4).sample(range(len(data)), 50):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(IsobitError):
            Codebook.from_bytes(bytes(damaged))
    for n in (0, 1, len(data) // 2, len(data) - 1):
        with pytest.raises(IsobitError):
            Codebook.from_bytes(bytes(data[:n]))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Codebook.open(tmp_path / "nowhere.isb-codebook")
    with pytest.raises(OSError):
        codebook.save(tmp_path / "no" / "folder")
    with pytest.raises(ValueError):
        Codebook.open(ROOT / "LICENSE")


def test_create() -> None:
    codebook = Codebook.create(["b", b"ab", "ab"], name="n", kind="k", card={"é": 1})
    assert (codebook.name, codebook.kind, codebook.card, codebook.n_vocab) == ("n", "k", {"é": 1}, 258)
    assert Codebook.create([]).n_vocab == 257
    assert codebook.identity != Codebook.create([]).identity
    with pytest.raises(ValueError):
        Codebook.create([b"x" * 256])
    with pytest.raises(ValueError):
        Codebook.create([b""])
    with pytest.raises(ValueError):
        Codebook.create([], specials=["a", "a"])


def test_build() -> None:
    rounds: list[BuildRound] = []
    paths = [ROOT / "LICENSE", ROOT / "README.md"]
    codebook = Codebook.build(paths, n_ids=600, name="built", n_threads=1, report=rounds.append)
    assert codebook.n_vocab == 600 and codebook.kind == "phrase" and rounds
    assert codebook.decode(codebook.encode(TEXT)) == TEXT
    assert len(TEXT.encode()) / codebook.count(TEXT) > 2
    with pytest.raises(ValueError, match="kind"):
        Codebook.build(paths, kind="sentence")
    with pytest.raises(FileNotFoundError):
        Codebook.build(["/nowhere"])

    def stop(_: BuildRound) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Codebook.build(paths, n_ids=600, report=stop)


def test_default() -> None:
    codebook = Codebook.default()
    assert codebook.name == "english-65k" and codebook.n_vocab <= 65536
    assert codebook.decode(codebook.encode(TEXT)) == TEXT
    assert len(TEXT.encode()) / codebook.count(TEXT) > 2


def test_export(codebook: Codebook, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "rwkv", "gguf", "text"):
        codebook.export(name, tmp_path / name)
        assert os.path.getsize(tmp_path / name) > 256
    with pytest.raises(ValueError, match="known:"):
        codebook.export("bpe", tmp_path / "x")  # type: ignore[arg-type]
