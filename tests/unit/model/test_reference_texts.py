"""Every gold entity of the reference data has a place among the candidates."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.model.tokenization import TextTokenizer, align

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def chisre() -> Path:
    shared = Path(os.environ.get("SLCOLM_SHARED") or REPOSITORY.parent / "shared")
    folder = shared / "data" / "chisre"
    if not folder.is_dir():
        pytest.skip("no reference data: set SLCOLM_SHARED to the folder that holds data/")
    return folder


def characters() -> TextTokenizer:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return TextTokenizer(tokenizer, max_tokens=512)


@pytest.mark.shared_data
@pytest.mark.parametrize("split", ["train", "dev"])
def test_gold_entities_are_candidates_on_characters(chisre: Path, split: str) -> None:
    tokenizer = characters()
    entities = missed = 0
    for document in read_documents(chisre / f"{split}.jsonl"):
        encoded = tokenizer.encode(document.text)
        candidates = encoded.candidates(10)
        for entity in document.entities:
            entities += 1
            span = align(encoded, entity.start, entity.end)
            assert span is not None, (document.id, entity)
            first, end = span
            assert (int(encoded.starts[first]), int(encoded.ends[end - 1])) == (
                entity.start,
                entity.end,
            )
            if end - first > 10:
                missed += 1
            else:
                assert candidates[first, end - first - 1]
    # Ten tokens are the default width; only a handful of gold entities are longer.
    assert missed < entities / 200
