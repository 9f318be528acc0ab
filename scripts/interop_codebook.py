"""Exports of codebooks read by the programs they are for: the ids of every text must be ours.

- tokenizer.json: tokenizers (transformers is in python/tests/test_hf.py)
- rwkv: rwkv (the reference, in Python) and pyrwkv-tokenizer (in Rust)
- gguf: gguf (ggml's reader) and llama.cpp, inside the wheel of xllamacpp

The texts: real ones of this machine, and the hostile ones of python/tests.  What a program cannot take
is left out by name below, and said in docs/exports.md.
"""
from __future__ import annotations

import ctypes
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xllamacpp
from gguf import GGUFReader
from pyrwkv_tokenizer import RWKVTokenizer
from rwkv.rwkv_tokenizer import TRIE_TOKENIZER
from tokenizers import Tokenizer

import isobit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python" / "tests"))
from conftest import free_strings, hard_strings, hostile_texts, word_strings  # noqa: E402


def real_texts() -> list[str]:
    """Our documentation and sources, and what Debian machines have: licences, locales, translations."""
    folders = [ROOT.glob("*.md"), ROOT.glob("docs/*.md"), ROOT.glob("src/codebook/*.c"),
               Path("/usr/share/common-licenses").glob("*"), Path("/usr/share/i18n/locales").glob("??_*"),
               Path("/usr/share/locale").glob("*/LC_MESSAGES/*.mo")]
    paths = [path for folder in folders for path in sorted({path.resolve() for path in folder})[:25]]
    return [path.read_bytes()[:40000].decode("utf-8", "replace") for path in paths]


def hostile_bytes() -> list[bytes]:
    return [bytes(range(256)) * 3, b"\xff" * 100, b"\xe6\xbc", b"\x80\xbf" * 50,
            np.random.default_rng(5).bytes(20000)]


# ---- llama.cpp ----

class ModelParams(ctypes.Structure):
    """llama_model_params of the llama.cpp inside the pinned version of xllamacpp."""
    _fields_ = [("devices", ctypes.c_void_p), ("overrides", ctypes.c_void_p), ("n_gpu_layers", ctypes.c_int32),
                ("split_mode", ctypes.c_int), ("load_mode", ctypes.c_int), ("lazy_mode", ctypes.c_int),
                ("main_gpu", ctypes.c_int32), ("tensor_split", ctypes.c_void_p), ("callback", ctypes.c_void_p),
                ("callback_user", ctypes.c_void_p), ("kv_overrides", ctypes.c_void_p), ("vocab_only", ctypes.c_bool),
                ("check_tensors", ctypes.c_bool), ("use_extra_bufts", ctypes.c_bool), ("no_host", ctypes.c_bool),
                ("no_alloc", ctypes.c_bool), ("load_mtp", ctypes.c_bool)]


class LlamaVocab:
    """xllamacpp's extension module exports llama.cpp's own C functions; its Python side does not tokenize."""

    def __init__(self, path: Path) -> None:
        self.llama = llama = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
        pointer, text, i32, flag = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_bool
        for name, result, arguments in [
            ("llama_model_default_params", ModelParams, []),
            ("llama_model_load_from_file", pointer, [text, ModelParams]),
            ("llama_model_get_vocab", pointer, [pointer]),
            ("llama_vocab_n_tokens", i32, [pointer]),
            ("llama_vocab_eos", i32, [pointer]),
            ("llama_tokenize", i32, [pointer, text, i32, pointer, i32, flag, flag]),
            ("llama_detokenize", i32, [pointer, pointer, i32, pointer, i32, flag, flag]),
        ]:
            getattr(llama, name).restype = result
            getattr(llama, name).argtypes = arguments
        self.quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, text, pointer)(lambda *_: None)
        llama.llama_log_set(self.quiet, None)
        params = llama.llama_model_default_params()
        assert params.use_extra_bufts and not params.vocab_only and not params.no_alloc, "other llama_model_params"
        params.vocab_only = True
        self.model = llama.llama_model_load_from_file(str(path).encode(), params)
        assert self.model, path
        self.vocab = llama.llama_model_get_vocab(self.model)

    def encode(self, data: bytes, parse_special: bool = False) -> list[int]:
        ids = np.empty(len(data) + 1, np.int32)
        n = self.llama.llama_tokenize(self.vocab, data, len(data), ids.ctypes.data, ids.size, False, parse_special)
        return ids[:n].tolist()

    def decode(self, ids: list[int]) -> bytes:
        array, text = np.array(ids, np.int32), np.empty(1 << 20, np.uint8)
        n = self.llama.llama_detokenize(self.vocab, array.ctypes.data, array.size, text.ctypes.data, text.size, False, False)
        assert n >= 0, n
        return text[:n].tobytes()


# ---- the checks ----

def compare(codebook: isobit.Codebook, texts: Iterable[bytes], encode: Callable[[bytes], list[int]],
            decode: Callable[[list[int]], bytes]) -> str:
    n_bytes = n_ids = 0
    for data in texts:
        ours, theirs = codebook.encode(data).tolist(), encode(data)
        assert ours == theirs, f"{codebook}: {data[:60]!r}: {ours[:20]} here, {theirs[:20]} there"
        assert decode(ours) == data, f"{codebook}: {data[:60]!r} does not come back"
        n_bytes += len(data)
        n_ids += len(ours)
    return f"{n_bytes:,} bytes, {n_ids:,} ids"


def check(codebook: isobit.Codebook, folder: Path, valid: list[bytes], hostile: list[bytes]) -> None:
    def export(name: str) -> Path:
        codebook.export(name, folder / name)  # type: ignore[arg-type]
        return folder / name

    hf = Tokenizer.from_file(str(export("tokenizer.json")))
    hf.encode_special_tokens = True
    assert hf.get_vocab_size() == codebook.n_vocab and hf.token_to_id("<|endoftext|>") == codebook.eot_token
    results = {"tokenizers": compare(codebook, valid, lambda data: hf.encode(data.decode()).ids,
                                     lambda ids: hf.decode(ids).encode())}

    path = export("rwkv")
    trie = TRIE_TOKENIZER(str(path))
    results["rwkv"] = compare(codebook, valid + hostile, trie.encodeBytes, trie.decodeBytes)
    if codebook.n_codes <= 65536:  # pyrwkv-tokenizer has 16-bit ids, and stops at id 0, NUL
        fast = RWKVTokenizer(vocab_filepath=str(path))
        results["pyrwkv-tokenizer"] = compare(codebook, [data for data in valid if data and b"\0" not in data],
                                              lambda data: fast.encode(data.decode()),
                                              lambda ids: fast.decode(ids).encode())

    fields = GGUFReader(export("gguf")).fields
    assert fields["tokenizer.ggml.model"].contents() == "rwkv"
    assert len(fields["tokenizer.ggml.tokens"].contents()) == codebook.n_vocab
    llama = LlamaVocab(folder / "gguf")
    assert llama.llama.llama_vocab_n_tokens(llama.vocab) == codebook.n_vocab
    assert llama.llama.llama_vocab_eos(llama.vocab) == codebook.eot_token
    names = b"a<|endoftext|>b"
    assert llama.encode(names, parse_special=True) == codebook.encode(names).tolist()
    results["llama.cpp"] = compare(codebook, valid + hostile, llama.encode, llama.decode)
    print(f"{codebook}: " + "; ".join(f"{name} {text}" for name, text in results.items()))


def main() -> None:
    print(", ".join(f"{name} {version(name)}" for name in ("tokenizers", "rwkv", "pyrwkv-tokenizer", "gguf", "xllamacpp")))
    valid = [text.encode() for text in hostile_texts() + real_texts()]
    docs = sorted(ROOT.glob("docs/*.md"))
    codebooks = [
        isobit.Codebook.default(),
        isobit.Codebook.build(docs, n_ids=4096, kind="words", name="docs-words"),
        isobit.Codebook.build(docs, n_ids=4096, kind="free", name="docs-free"),
        *(isobit.Codebook.create(strings(), name=strings.__name__) for strings in (word_strings, free_strings, hard_strings)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for codebook in codebooks:
            check(codebook, Path(folder), valid, hostile_bytes())


main()
