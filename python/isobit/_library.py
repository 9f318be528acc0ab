"""libisobit through ctypes: where it is, its structs and functions, and its errors as exceptions.

The structs mirror include/isobit/codebook.h, context.h and data.h.  ctypes releases the interpreter lock during every
call, so threads of Python encode in parallel.
"""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import NoReturn, TypeVar


def _candidates() -> list[Path]:
    """A library that is asked for by name is the only one; else the wheel's, else that of a checkout."""
    named = os.environ.get("ISOBIT_LIBRARY")
    if named:
        return [Path(named)]
    here = Path(__file__).resolve().parent
    return [here / "libisobit.so", here.parents[1] / "build" / "libisobit.so"]


def _load() -> ctypes.CDLL:
    paths = _candidates()
    for path in paths:
        if path.exists():
            return ctypes.CDLL(str(path))
    raise ImportError("libisobit.so is not at " + " or ".join(map(str, paths)) +
                      ": install the wheel, run ./run build in a checkout, or set ISOBIT_LIBRARY")


# ---- structs ----

class Text(ctypes.Structure):
    _fields_ = [("bytes", c_void_p), ("nbytes", c_size_t)]


class ContextOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("n_threads", c_int), ("cpu", c_char_p), ("allocate", c_void_p),
                ("release", c_void_p), ("memory_user", c_void_p), ("log", c_void_p), ("log_user", c_void_p),
                ("progress", c_void_p), ("progress_user", c_void_p)]


class CreateOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("name", c_char_p), ("kind", c_char_p), ("card", c_char_p),
                ("specials", POINTER(c_char_p)), ("n_specials", c_size_t)]


class Info(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("n_ids", c_int64), ("n_codes", c_int64), ("n_specials", c_int64),
                ("n_strings", c_int64), ("max_string_nbytes", c_size_t), ("memory_nbytes", c_size_t),
                ("file_nbytes", c_size_t), ("name", c_char * 64), ("kind", c_char * 16), ("identity", c_char * 33),
                ("card", c_char_p)]


class EncoderState(ctypes.Structure):
    _fields_ = [("codebook", c_void_p), ("state", c_uint64 * 2)]


class DecoderState(ctypes.Structure):
    _fields_ = [("codebook", c_void_p), ("replace", c_int), ("held", c_uint8 * 4), ("n_held", c_size_t)]


class CorpusOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("format", c_int), ("plain_document_nbytes", c_size_t),
                ("valid_permille", c_int), ("test_permille", c_int), ("split", c_int), ("max_nbytes", c_uint64)]


class Round(ctypes.Structure):
    _fields_ = [("phase", c_char_p), ("round", c_int), ("n_strings", c_int64), ("n_bytes", c_uint64),
                ("n_tokens", c_uint64), ("bytes_per_token", c_double), ("seconds", c_double)]


Options = TypeVar("Options", ContextOptions, CreateOptions, "BuildOptions")
REPORT = ctypes.CFUNCTYPE(None, c_void_p, POINTER(Round))


class BuildOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("n_ids", c_int64), ("kind", c_char_p), ("m1_dir", c_char_p),
                ("n_rounds", c_int), ("choose", c_int), ("max_string_nbytes", c_size_t), ("name", c_char_p),
                ("note", c_char_p), ("specials", POINTER(c_char_p)), ("n_specials", c_size_t), ("corpus", CorpusOptions),
                ("report", REPORT), ("report_user", c_void_p)]


# ---- functions ----

library = _load()
_codebook, _context, _ids, _size = c_void_p, c_void_p, c_void_p, POINTER(c_size_t)
_bytes = c_void_p  # bytes objects and addresses alike

_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "isb_status_name": (c_char_p, [c_int]),
    "isb_status_sentence": (c_char_p, [c_int]),
    "isb_context_options_init": (None, [POINTER(ContextOptions)]),
    "isb_context_create": (c_int, [POINTER(ContextOptions), POINTER(_context)]),
    "isb_context_free": (None, [_context]),
    "isb_context_error": (c_char_p, [_context]),
    "isb_context_cancel": (None, [_context]),
    "isb_codebook_open": (c_int, [_context, c_char_p, POINTER(_codebook)]),
    "isb_codebook_open_memory": (c_int, [_context, _bytes, c_size_t, POINTER(_codebook)]),
    "isb_codebook_free": (None, [_codebook]),
    "isb_codebook_create_options_init": (None, [POINTER(CreateOptions)]),
    "isb_codebook_create": (c_int, [_context, POINTER(Text), c_size_t, POINTER(CreateOptions), POINTER(_codebook)]),
    "isb_codebook_save": (c_int, [_context, _codebook, c_char_p]),
    "isb_codebook_get_info": (None, [_codebook, POINTER(Info)]),
    "isb_codebook_string": (None, [_codebook, c_uint32, POINTER(c_void_p), _size]),
    "isb_codebook_find": (c_int64, [_codebook, _bytes, c_size_t]),
    "isb_codebook_find_special": (c_int64, [_codebook, c_char_p]),
    "isb_codebook_prefix_range": (c_int, [_codebook, _bytes, c_size_t, POINTER(c_uint32), _size]),
    "isb_codebook_encode": (c_int, [_codebook, _bytes, c_size_t, _ids, c_size_t, _size]),
    "isb_codebook_encode_special": (c_int, [_codebook, _bytes, c_size_t, _ids, c_size_t, _ids, c_size_t, _size]),
    "isb_codebook_count": (c_size_t, [_codebook, _bytes, c_size_t]),
    "isb_codebook_offsets": (c_int, [_codebook, _ids, c_size_t, c_void_p]),
    "isb_codebook_encode_batch": (c_int, [_context, _codebook, c_void_p, c_size_t, _ids, c_size_t, c_void_p]),
    "isb_codebook_encoder_init": (None, [POINTER(EncoderState), _codebook]),
    "isb_codebook_encoder_push": (c_int, [POINTER(EncoderState), _bytes, c_size_t, _ids, c_size_t, _size]),
    "isb_codebook_encoder_finish": (c_int, [POINTER(EncoderState), _ids, c_size_t, _size]),
    "isb_codebook_decode_nbytes": (c_int, [_codebook, _ids, c_size_t, _size, _size]),
    "isb_codebook_decode": (c_int, [_codebook, _ids, c_size_t, _bytes, c_size_t, _size]),
    "isb_codebook_decoder_init": (None, [POINTER(DecoderState), _codebook, c_int]),
    "isb_codebook_decoder_push": (c_int, [POINTER(DecoderState), c_uint32, _bytes, c_size_t, _size]),
    "isb_codebook_decoder_finish": (c_int, [POINTER(DecoderState), _bytes, c_size_t, _size]),
    "isb_codebook_build_options_init": (None, [POINTER(BuildOptions)]),
    "isb_codebook_build": (c_int, [_context, POINTER(c_char_p), c_size_t, POINTER(BuildOptions), POINTER(_codebook)]),
    "isb_codebook_export": (c_int, [_context, _codebook, c_char_p, c_char_p]),
}

for _name, (_result, _arguments) in _SIGNATURES.items():
    _function = getattr(library, _name)
    _function.restype = _result
    _function.argtypes = _arguments


def options(kind: type[Options], init: str) -> Options:
    """A struct filled by its _init function, which says how large the library has it."""
    room = ctypes.create_string_buffer(ctypes.sizeof(kind) + 256)
    filled = kind.from_buffer(room)
    getattr(library, init)(byref(filled))
    if filled.struct_size != ctypes.sizeof(kind):
        raise ImportError(f"libisobit.so is of another version than this package: {kind.__name__} has "
                          f"{filled.struct_size} bytes there and {ctypes.sizeof(kind)} here")
    return filled


# ---- errors ----

class IsobitError(ValueError):
    """The library refused: `status` is its name for why, such as "ISB_ERR_CORRUPT"."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


_EXCEPTIONS: dict[str, type[Exception]] = {
    "ISB_ERR_NOT_FOUND": FileNotFoundError,
    "ISB_ERR_IS_DIRECTORY": IsADirectoryError,
    "ISB_ERR_EXISTS": FileExistsError,
    "ISB_ERR_PERMISSION": PermissionError,
    "ISB_ERR_IO": OSError,
    "ISB_ERR_NO_SPACE": OSError,
    "ISB_ERR_NO_MEMORY": MemoryError,
}


def fail(status: int, message: str = "") -> NoReturn:
    name = library.isb_status_name(status).decode()
    text = message or library.isb_status_sentence(status).decode()
    if name in _EXCEPTIONS:
        raise _EXCEPTIONS[name](text)
    raise IsobitError(name, text)


class Context:
    """Threads and the text of the last error; for one call at a time."""

    def __init__(self, n_threads: int = 1) -> None:
        self.handle = c_void_p()
        settings = options(ContextOptions, "isb_context_options_init")
        settings.n_threads = n_threads
        status = library.isb_context_create(byref(settings), byref(self.handle))
        if status != 0:
            fail(status, f"cannot start {n_threads} threads" if n_threads else "")

    def check(self, status: int) -> None:
        if status != 0:
            fail(status, library.isb_context_error(self.handle).decode("utf-8", "replace"))

    def cancel(self) -> None:
        library.isb_context_cancel(self.handle)

    def __del__(self) -> None:
        if self.handle:
            library.isb_context_free(self.handle)
