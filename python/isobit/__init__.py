"""Codebooks of isobit: text to ids and back, as fast as the C library (docs/python.md).

>>> codebook = Codebook.create([b"to", b" be", b" or", b" not"])
>>> codebook.decode(codebook.encode("to be or not to be"))
'to be or not to be'
"""
from ._library import IsobitError
from ._version import version as __version__
from .codebook import BuildRound, Codebook, StreamDecoder, StreamEncoder

__all__ = ["BuildRound", "Codebook", "IsobitError", "StreamDecoder", "StreamEncoder", "__version__"]
