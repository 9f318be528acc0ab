"""A codebook as a Hugging Face tokenizer.  Needs the package transformers; PyTorch is not needed."""
from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

from .codebook import Codebook

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def tokenizer(codebook: Codebook, **options: Any) -> PreTrainedTokenizerFast:
    """A tokenizer with the same ids; it can be saved, and AutoTokenizer.from_pretrained() loads what it saved.

    options: as for PreTrainedTokenizerFast.  Names of special ids in text become these ids, as everywhere in Hugging
    Face; pass split_special_tokens=True to it or to a call to have them cut as ordinary text.
    """
    from transformers import PreTrainedTokenizerFast

    names = list(codebook.special_tokens)
    settings: dict[str, Any] = {
        "bos_token": names[0],
        "eos_token": names[0],
        "additional_special_tokens": names[1:],
        "clean_up_tokenization_spaces": False,
        **options,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokenizer.json")
        codebook.export("tokenizer.json", path)
        untyped: Any = PreTrainedTokenizerFast
        made: PreTrainedTokenizerFast = untyped(tokenizer_file=path, **settings)
        return made
