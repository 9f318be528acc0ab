"""The codebook object, in the style of tiktoken's Encoding."""
from __future__ import annotations

import ctypes
import json
import os
import tempfile
import threading
from ctypes import byref, c_char_p, c_size_t, c_uint8, c_uint32, c_void_p
from dataclasses import dataclass
from typing import AbstractSet, Any, Callable, Iterable, Literal, Mapping, Optional, Sequence, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library as c
from ._library import Context, library

TextLike = Union[str, bytes, bytearray, memoryview]
Allowed = Union[Literal["all"], AbstractSet[str], Sequence[str]]
Ids = NDArray[np.uint32]
PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class BuildRound:
    """What Codebook.build() reports after each round of choosing."""

    phase: str
    round: int
    n_strings: int
    n_bytes: int
    n_tokens: int
    bytes_per_token: float
    seconds: float


def _bytes_of(text: TextLike) -> bytes:
    """Text as bytes; str as UTF-8 (lone surrogates have none and raise UnicodeEncodeError)."""
    if isinstance(text, str):
        return text.encode("utf-8")
    return text if isinstance(text, bytes) else bytes(text)


def _ids_of(ids: ArrayLike) -> Ids:
    """Ids as a contiguous uint32 array, without wrapping numbers that do not fit."""
    array = np.asarray(ids)
    if array.size == 0:
        return np.empty(0, np.uint32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"ids are one row of integers, found shape {array.shape} of {array.dtype}")
    if array.dtype != np.uint32:
        bad = np.flatnonzero((array < 0) | (array > 0xFFFFFFFF))
        if bad.size:
            raise c.IsobitError("ISB_ERR_RANGE", f"id {array[bad[0]]} at index {bad[0]} is out of range")
    return np.ascontiguousarray(array, np.uint32)


def _names(names: Sequence[str]) -> tuple[Any, int]:
    return (c_char_p * max(1, len(names)))(*[name.encode() for name in names]), len(names)


class Codebook:
    """A set of byte strings with one id each; text is cut by greedy longest match.

    Made by open(), default(), create(), build() or from_bytes().  It never changes: any number of threads may use one
    at once, and calls run outside the interpreter lock.  It can be pickled.
    """

    def __init__(self, handle: c_void_p, context: Context) -> None:
        """Used by the class methods: takes an open codebook and the context it was made with."""
        self._handle = handle
        self._context = context
        self._contexts: dict[int, list[Context]] = {}
        self._lock = threading.Lock()
        info = c.Info(struct_size=ctypes.sizeof(c.Info))
        library.isb_codebook_get_info(handle, byref(info))
        self.name: str = info.name.decode()
        self.kind: str = info.kind.decode()
        self.identity: str = info.identity.decode()
        """A hash of all strings, ids and special names: equal if and only if all ids always are."""
        self.card: Any = json.loads(info.card or b"{}")
        """What the codebook was made from, with figures."""
        self.n_vocab: int = info.n_ids
        self.n_codes: int = info.n_codes
        """Ids below this are strings, the others are special."""
        self.max_string_nbytes: int = info.max_string_nbytes
        self.memory_nbytes: int = info.memory_nbytes

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            library.isb_codebook_free(self._handle)

    def __repr__(self) -> str:
        return f"<isobit.Codebook {self.name!r}: {self.n_vocab} ids, kind {self.kind!r}>"

    def __reduce__(self) -> tuple[Callable[[bytes], Codebook], tuple[bytes]]:
        return Codebook.from_bytes, (self.to_bytes(),)

    # ---- life ----

    @classmethod
    def open(cls, where: Optional[PathLike] = None) -> Codebook:
        """A file, or the name of the codebook in the library ("english-65k"); None: the same."""
        context, handle = Context(), c_void_p()
        path = None if where is None else os.fsencode(where)
        context.check(library.isb_codebook_open(context.handle, path, byref(handle)))
        return cls(handle, context)

    @classmethod
    def default(cls) -> Codebook:
        """The codebook in the library."""
        return cls.open()

    @classmethod
    def from_bytes(cls, file: bytes) -> Codebook:
        """From the bytes of a file."""
        context, handle = Context(), c_void_p()
        context.check(library.isb_codebook_open_memory(context.handle, file, len(file), byref(handle)))
        return cls(handle, context)

    @classmethod
    def create(cls, strings: Iterable[TextLike], *, name: str = "", kind: str = "custom",
               card: Optional[Mapping[str, Any]] = None, specials: Sequence[str] = ()) -> Codebook:
        """From any strings, in any order; single bytes that are missing are added.

        specials: names of special ids after "<|endoftext|>", which is always the first.
        """
        data = [_bytes_of(string) for string in strings]
        texts = (c.Text * max(1, len(data)))()
        for text, string in zip(texts, data):
            text.bytes = ctypes.cast(c_char_p(string), c_void_p)
            text.nbytes = len(string)
        options = c.options(c.CreateOptions, "isb_codebook_create_options_init")
        options.name = name.encode()
        options.kind = kind.encode()
        options.card = json.dumps(dict(card or {})).encode()
        options.specials, options.n_specials = _names(specials)
        context, handle = Context(), c_void_p()
        context.check(library.isb_codebook_create(context.handle, texts, len(data), byref(options), byref(handle)))
        return cls(handle, context)

    @classmethod
    def build(cls, paths: Sequence[PathLike], *, n_ids: int = 65536, kind: str = "phrase", m1: Optional[PathLike] = None,
              n_rounds: int = -1, choose: bool = True, max_string_nbytes: int = 0, name: str = "",
              note: str = "", specials: Sequence[str] = (), max_nbytes: int = 0, n_threads: int = 0,
              report: Optional[Callable[[BuildRound], None]] = None) -> Codebook:
        """The most useful strings of a corpus (files, folders, gzip, zstd, JSONL) or of the byte model in folder m1.

        note: what the text is, for the card.  max_nbytes: use so much of the corpus; 0: all.  n_threads 0: all
        processors.
        """
        context, handle = Context(n_threads), c_void_p()
        options = c.options(c.BuildOptions, "isb_codebook_build_options_init")
        options.n_ids = n_ids
        options.kind = kind.encode()
        options.m1_dir = None if m1 is None else os.fsencode(m1)
        options.n_rounds = n_rounds
        options.choose = int(choose)
        options.max_string_nbytes = max_string_nbytes
        options.name = name.encode()
        options.note = note.encode() or None
        options.specials, options.n_specials = _names(specials)
        options.corpus.max_nbytes = max_nbytes
        caught: list[BaseException] = []

        def on_round(_user: int, row: Any) -> None:
            try:
                r = row.contents
                if report:
                    report(BuildRound(r.phase.decode(), r.round, r.n_strings, r.n_bytes, r.n_tokens, r.bytes_per_token,
                                      r.seconds))
            except BaseException as exception:  # also KeyboardInterrupt: it must not be lost in C
                caught.append(exception)
                context.cancel()

        options.report = c.REPORT(on_round)
        files = (c_char_p * max(1, len(paths)))(*[os.fsencode(path) for path in paths])
        status = library.isb_codebook_build(context.handle, files, len(paths), byref(options), byref(handle))
        if caught:
            if handle:
                library.isb_codebook_free(handle)
            raise caught[0]
        context.check(status)
        return cls(handle, context)

    def save(self, path: PathLike) -> None:
        """To a file, which appears whole or not at all."""
        context = Context()
        context.check(library.isb_codebook_save(context.handle, self._handle, os.fsencode(path)))

    def to_bytes(self) -> bytes:
        """The bytes that save() writes."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "codebook")
            self.save(path)
            with open(path, "rb") as file:
                return file.read()

    def export(self, format: Literal["tokenizer.json", "rwkv", "gguf", "text"], path: PathLike) -> None:
        """For other programs (docs/exports.md)."""
        context = Context()
        context.check(library.isb_codebook_export(context.handle, self._handle, format.encode(), os.fsencode(path)))

    # ---- text to ids ----

    def encode(self, text: TextLike, *, allowed_special: Allowed = ()) -> Ids:
        """The ids of text.

        Names of special ids in it are ordinary text, but for those allowed: "all" or a set of names.
        """
        data = _bytes_of(text)
        ids = np.empty(len(data), np.uint32)
        n = c_size_t()
        if len(allowed_special) == 0:
            status = library.isb_codebook_encode(self._handle, data, len(data), ids.ctypes.data, ids.size, byref(n))
        else:
            allowed = self._allowed(allowed_special)
            status = library.isb_codebook_encode_special(
                self._handle, data, len(data), None if allowed is None else allowed.ctypes.data,
                0 if allowed is None else allowed.size, ids.ctypes.data, ids.size, byref(n))
        if status != 0:
            c.fail(status)
        return ids[: n.value].copy()

    def encode_ordinary(self, text: TextLike) -> Ids:
        """encode() under tiktoken's name for it without special ids."""
        return self.encode(text)

    def encode_with_special(self, text: TextLike, allowed_special: Allowed = "all") -> Ids:
        """The ids of text in which names of special ids are these ids.  Never use it on text from strangers."""
        return self.encode(text, allowed_special=allowed_special)

    def _allowed(self, allowed: Allowed) -> Optional[Ids]:
        if isinstance(allowed, str):
            if allowed != "all":
                raise ValueError(f'allowed_special is "all" or a set of names, found {allowed!r}')
            return None
        return np.array([self.special_id(name) for name in allowed], np.uint32)

    def encode_batch_flat(self, texts: Sequence[TextLike], *,
                          n_threads: int = 0) -> tuple[Ids, NDArray[np.uint64]]:
        """All texts into one array: the ids of texts[i] are ids[offsets[i] : offsets[i + 1]].

        n_threads 0: all processors.
        """
        data = [_bytes_of(text) for text in texts]
        sizes = np.fromiter(map(len, data), np.uint64, len(data))
        joined = b"".join(data)
        table = np.empty((len(data), 2), np.uint64)  # isb_codebook_text
        table[:, 0] = ctypes.cast(c_char_p(joined), c_void_p).value or 0
        table[:, 0] += np.cumsum(sizes) - sizes
        table[:, 1] = sizes
        ids = np.empty(len(joined), np.uint32)
        offsets = np.zeros(len(data) + 1, np.uint64)
        context = self._take_context(n_threads)
        try:
            context.check(library.isb_codebook_encode_batch(context.handle, self._handle, table.ctypes.data, len(data),
                                                            ids.ctypes.data, ids.size, offsets.ctypes.data))
        finally:
            self._return_context(n_threads, context)
        return ids[: int(offsets[-1])].copy(), offsets

    def encode_batch(self, texts: Sequence[TextLike], *, n_threads: int = 0) -> list[Ids]:
        """The ids of each text; the same as encode() for each.  n_threads 0: all processors."""
        ids, offsets = self.encode_batch_flat(texts, n_threads=n_threads)
        bounds = offsets.tolist()
        return [ids[begin:end] for begin, end in zip(bounds, bounds[1:])]

    def _take_context(self, n_threads: int) -> Context:
        """Contexts serve one call at a time and keep their threads, so they are kept for the next call."""
        with self._lock:
            free = self._contexts.setdefault(n_threads, [])
            if free:
                return free.pop()
        return Context(n_threads)

    def _return_context(self, n_threads: int, context: Context) -> None:
        with self._lock:
            self._contexts[n_threads].append(context)

    def count(self, text: TextLike) -> int:
        """len(encode(text)), without storing the ids."""
        data = _bytes_of(text)
        return int(library.isb_codebook_count(self._handle, data, len(data)))

    def encode_single_token(self, text_or_bytes: TextLike) -> int:
        """The id of exactly this string or special name.  KeyError if there is none."""
        data = _bytes_of(text_or_bytes)
        found = library.isb_codebook_find(self._handle, data, len(data))
        if found < 0 and b"\0" not in data:
            found = library.isb_codebook_find_special(self._handle, data)
        if found < 0:
            raise KeyError(text_or_bytes)
        return int(found)

    def encoder(self) -> StreamEncoder:
        """For text that comes in pieces."""
        return StreamEncoder(self)

    # ---- ids to text ----

    def decode_bytes(self, ids: ArrayLike) -> bytes:
        """The exact bytes.  Special ids give none.  ValueError for ids out of range, with the place."""
        array = _ids_of(ids)
        nbytes = c_size_t()
        self._check_ids(array, nbytes)
        text = np.empty(nbytes.value, np.uint8)
        status = library.isb_codebook_decode(self._handle, array.ctypes.data, array.size, text.ctypes.data, text.size,
                                             byref(nbytes))
        if status != 0:
            c.fail(status)
        return text.tobytes()

    def _check_ids(self, array: Ids, nbytes: c_size_t) -> None:
        good = c_size_t()
        status = library.isb_codebook_decode_nbytes(self._handle, array.ctypes.data, array.size, byref(nbytes),
                                                    byref(good))
        if status != 0:
            found = int(array[good.value])
            why = f"ids are 0 .. {self.n_vocab - 1}" if found >= self.n_vocab else "it stands for no text"
            c.fail(status, f"id {found} at index {good.value} is out of range: {why}")

    def decode(self, ids: ArrayLike, errors: str = "replace") -> str:
        """The text; bytes that are not UTF-8 become U+FFFD, or as `errors` says (see bytes.decode)."""
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_batch(self, batch: Sequence[ArrayLike], errors: str = "replace") -> list[str]:
        """decode() of each."""
        return [self.decode(ids, errors) for ids in batch]

    def decode_bytes_batch(self, batch: Sequence[ArrayLike]) -> list[bytes]:
        """decode_bytes() of each."""
        return [self.decode_bytes(ids) for ids in batch]

    def decode_single_token_bytes(self, token: int) -> bytes:
        """The string of an id, or the name of a special one.  KeyError if out of range."""
        string, nbytes = c_void_p(), c_size_t()
        if 0 <= token < self.n_vocab:
            library.isb_codebook_string(self._handle, token, byref(string), byref(nbytes))
        if not string:
            raise KeyError(token)
        return ctypes.string_at(string.value or 0, nbytes.value)

    def decode_tokens_bytes(self, ids: ArrayLike) -> list[bytes]:
        """The bytes of each id; b"" for special ones."""
        array = _ids_of(ids)
        text, bounds = self.decode_bytes(array), self.offsets(array).tolist()
        return [text[begin:end] for begin, end in zip(bounds, bounds[1:])]

    def offsets(self, ids: ArrayLike) -> NDArray[np.uint64]:
        """Where in the bytes each id begins; one more entry for the end."""
        array = _ids_of(ids)
        self._check_ids(array, c_size_t())
        offsets = np.empty(array.size + 1, np.uint64)
        library.isb_codebook_offsets(self._handle, array.ctypes.data, array.size, offsets.ctypes.data)
        return offsets

    def decode_with_offsets(self, ids: ArrayLike) -> tuple[str, list[int]]:
        """The text, and the character in which each id begins.  UnicodeDecodeError if it is not UTF-8."""
        array = _ids_of(ids)
        data = self.decode_bytes(array)
        text = data.decode("utf-8")
        begins_character = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
        characters = np.concatenate([[0], np.cumsum(begins_character)])  # [i]: characters that begin before byte i
        starts = self.offsets(array)[:-1].astype(np.int64)
        inside = (starts < len(data)) & ~np.append(begins_character, True)[starts]
        return text, (characters[starts] - inside).tolist()

    def decoder(self, *, replace: bool = True) -> StreamDecoder:
        """For ids that come one by one, and text that is shown as it comes."""
        return StreamDecoder(self, replace)

    # ---- what it is ----

    @property
    def max_token_value(self) -> int:
        return self.n_vocab - 1

    @property
    def eot_token(self) -> int:
        """The id of "<|endoftext|>", the border between documents."""
        return self.n_codes

    @property
    def special_tokens(self) -> dict[str, int]:
        """Names and ids."""
        return {self.decode_single_token_bytes(token).decode("utf-8", "replace"): token
                for token in range(self.n_codes, self.n_vocab)}

    @property
    def special_tokens_set(self) -> set[str]:
        return set(self.special_tokens)

    def special_id(self, name: str) -> int:
        """The id of a special name.  ValueError if there is none."""
        found = library.isb_codebook_find_special(self._handle, name.encode())
        if found < 0:
            raise ValueError(f"no special id is named {name!r}; there are {sorted(self.special_tokens)}")
        return int(found)

    def is_special_token(self, token: int) -> bool:
        return self.n_codes <= token < self.n_vocab

    def token_byte_values(self) -> list[bytes]:
        """All strings, in the order of their ids; b"" for an id without one (compiled windows)."""
        string, nbytes = c_void_p(), c_size_t()
        values = []
        for token in range(self.n_codes):
            library.isb_codebook_string(self._handle, token, byref(string), byref(nbytes))
            values.append(ctypes.string_at(string.value, nbytes.value) if string.value else b"")
        return values

    def prefix_range(self, prefix: TextLike) -> range:
        """The ids of all strings that begin with prefix."""
        data = _bytes_of(prefix)
        first, count = c_uint32(), c_size_t()
        status = library.isb_codebook_prefix_range(self._handle, data, len(data), byref(first), byref(count))
        if status != 0:
            c.fail(status)
        return range(first.value, first.value + count.value)


class StreamEncoder:
    """Bytes come in any pieces, the ids are those of the whole.  Not for several threads at once."""

    def __init__(self, codebook: Codebook) -> None:
        self._codebook = codebook
        self._state = c.EncoderState()
        library.isb_codebook_encoder_init(byref(self._state), codebook._handle)

    def push(self, text: TextLike) -> Ids:
        """The ids that are settled by this piece; at most the longest string is held back."""
        data = _bytes_of(text)
        ids = np.empty(len(data) + self._codebook.max_string_nbytes, np.uint32)
        n = c_size_t()
        status = library.isb_codebook_encoder_push(byref(self._state), data, len(data), ids.ctypes.data, ids.size,
                                                   byref(n))
        if status != 0:
            c.fail(status)
        return ids[: n.value].copy()

    def finish(self) -> Ids:
        """The end of the document: the ids of what was held back.  The encoder is then as new."""
        ids = np.empty(self._codebook.max_string_nbytes, np.uint32)
        n = c_size_t()
        status = library.isb_codebook_encoder_finish(byref(self._state), ids.ctypes.data, ids.size, byref(n))
        if status != 0:
            c.fail(status)
        return ids[: n.value].copy()

    def copy(self) -> StreamEncoder:
        """One that goes on from the same place."""
        other = StreamEncoder(self._codebook)
        ctypes.memmove(byref(other._state), byref(self._state), ctypes.sizeof(self._state))
        return other


class StreamDecoder:
    """Gives text only up to the last whole character.  Not for several threads at once.

    replace: bytes that can never become a character are U+FFFD; else they come as they are: take push_bytes() then, as
    push() gives them as lone surrogates (bytes.decode, "surrogateescape").
    """

    def __init__(self, codebook: Codebook, replace: bool) -> None:
        self._codebook = codebook
        self._state = c.DecoderState()
        library.isb_codebook_decoder_init(byref(self._state), codebook._handle, int(replace))
        self._buffer = (c_uint8 * (3 * codebook.max_string_nbytes + 12))()

    def push_bytes(self, token: int) -> bytes:
        """What this id settles.  ValueError for an id out of range, which is then ignored."""
        n = c_size_t()
        if not 0 <= token < self._codebook.n_vocab:
            raise c.IsobitError("ISB_ERR_RANGE", f"id {token} is out of range: ids are 0 .. {self._codebook.n_vocab - 1}")
        status = library.isb_codebook_decoder_push(byref(self._state), token, self._buffer, len(self._buffer), byref(n))
        if status != 0:
            c.fail(status, f"id {token} stands for no text")
        return bytes(self._buffer[: n.value])

    def finish_bytes(self) -> bytes:
        """What is held back, which is no whole character."""
        n = c_size_t()
        status = library.isb_codebook_decoder_finish(byref(self._state), self._buffer, len(self._buffer), byref(n))
        if status != 0:
            c.fail(status)
        return bytes(self._buffer[: n.value])

    def push(self, token: int) -> str:
        """push_bytes() as text."""
        return self.push_bytes(token).decode("utf-8", "surrogateescape")

    def finish(self) -> str:
        """finish_bytes() as text."""
        return self.finish_bytes().decode("utf-8", "surrogateescape")
