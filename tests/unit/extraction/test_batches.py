"""How texts are grouped before they pass the model."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document
from slcolm_services.extraction.engine import Sentence, batches
from slcolm_services.model.tokenization import Encoded


def sentence(index: int, length: int) -> Sentence:
    zeros = np.zeros(length, dtype=np.int64)
    return Sentence(index, Document(str(index), "x"), Encoded(zeros, zeros, zeros))


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200))
def test_every_text_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    groups = list(batches([sentence(i, n) for i, n in enumerate(lengths)], budget))
    assert sorted(item.index for group in groups for item in group) == list(range(len(lengths)))
    for group in groups:
        padded = len(group) * max(len(item.encoded) for item in group)
        assert padded <= budget or len(group) == 1


def test_texts_of_like_length_go_together() -> None:
    groups = list(batches([sentence(i, n) for i, n in enumerate([50, 2, 49, 3])], 100))
    assert [[item.index for item in group] for group in groups] == [[1, 3], [2, 0]]
