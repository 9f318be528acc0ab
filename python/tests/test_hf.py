"""The Hugging Face tokenizer gives the same ids and survives saving."""
from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TEXT, hostile_texts

from isobit import Codebook

transformers = pytest.importorskip("transformers")
from isobit import hf  # noqa: E402


def test_same_ids(codebook: Codebook, tmp_path: Path) -> None:
    made = hf.tokenizer(codebook, model_max_length=1000)
    made.save_pretrained(tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for tokenizer in (made, loaded):
        assert len(tokenizer) == codebook.n_vocab and tokenizer.model_max_length == 1000
        assert tokenizer.eos_token_id == codebook.eot_token
        for text in hostile_texts():
            ids = tokenizer(text, split_special_tokens=True, verbose=False)["input_ids"]
            assert ids == codebook.encode(text).tolist()
            assert tokenizer.decode(ids) == text
            assert tokenizer(text)["input_ids"] == codebook.encode_with_special(text).tolist()


def test_offsets(codebook: Codebook) -> None:
    found = hf.tokenizer(codebook)(TEXT, return_offsets_mapping=True)["offset_mapping"]
    ids = codebook.encode(TEXT)
    assert [list(pair) for pair in found] == [
        [a, b] for a, b in zip(codebook.offsets(ids).tolist(), codebook.offsets(ids).tolist()[1:])]
