"""How much is masked, in what runs, and what then stands there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from slcolm_services.training.pretraining.masking import IGNORED, Masked, mask, places_of
from slcolm_services.training.vocabulary import (
    CLS_ID,
    PAD_ID,
    SEP_ID,
    SPECIAL_TOKENS,
    UNKNOWN_ID,
)

_WORDS = 5000
_SHARE = 0.3


def _blocks(rng: np.random.Generator) -> NDArray[np.uint16]:
    blocks = rng.integers(len(SPECIAL_TOKENS), _WORDS, size=(256, 128)).astype(np.uint16)
    blocks[:, 0] = CLS_ID
    blocks[rng.random(blocks.shape) < 0.02] = SEP_ID
    blocks[rng.random(blocks.shape) < 0.02] = UNKNOWN_ID
    blocks[-1, 60:] = PAD_ID
    return blocks


@pytest.fixture
def blocks() -> NDArray[np.uint16]:
    return _blocks(np.random.default_rng(0))


def _mask(blocks: NDArray[np.uint16], seed: int = 1) -> Masked:
    return mask(blocks, _SHARE, _WORDS, np.random.default_rng(seed))


def test_shapes_are_the_same_for_every_batch(
    blocks: NDArray[np.uint16],
) -> None:
    batches = [_mask(blocks, seed) for seed in range(5)]
    shapes = {(m.inputs.shape, m.places.shape, m.labels.shape) for m in batches}
    room = places_of(blocks.size, _SHARE)
    assert shapes == {(blocks.shape, (room,), (room,))}


def test_labels_are_what_stood_there_and_nothing_else_is_changed(
    blocks: NDArray[np.uint16],
) -> None:
    masked = _mask(blocks)
    real = masked.labels != IGNORED
    restored = masked.inputs.ravel().copy()
    restored[masked.places[real]] = masked.labels[real]
    np.testing.assert_array_equal(restored.reshape(blocks.shape), blocks)
    assert len(set(masked.places[real].tolist())) == real.sum()
    assert masked.labels[real].min() >= len(SPECIAL_TOKENS), "special and unknown stay"


def test_shares_of_what_is_hidden_replaced_and_left(
    blocks: NDArray[np.uint16],
) -> None:
    masked = _mask(blocks)
    real = masked.labels != IGNORED
    maskable = (blocks >= len(SPECIAL_TOKENS)).sum()
    assert real.sum() / maskable == pytest.approx(_SHARE, abs=0.01)
    seen = masked.inputs.ravel()[masked.places[real]]
    hidden, kept = seen == UNKNOWN_ID, seen == masked.labels[real]
    assert hidden.mean() == pytest.approx(0.8, abs=0.02)
    assert kept.mean() == pytest.approx(0.1, abs=0.02)
    assert (~hidden & ~kept).mean() == pytest.approx(0.1, abs=0.02)


def test_runs_are_of_one_to_four_characters_and_some_longer_where_they_meet(
    blocks: NDArray[np.uint16],
) -> None:
    masked = _mask(blocks)
    flags = np.zeros(blocks.size, np.int8)
    flags[masked.places[masked.labels != IGNORED]] = 1
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags, [0]))))
    lengths = edges[1::2] - edges[::2]
    single = (lengths == 1).mean()
    assert 0.2 < single < 0.5
    assert lengths.mean() > 2


def test_a_batch_with_fewer_maskable_characters_than_places_is_filled_up() -> None:
    blocks = np.full((2, 64), PAD_ID, np.uint16)
    blocks[0, 1:5] = 9
    masked = mask(blocks, 0.5, _WORDS, np.random.default_rng(0))
    assert (masked.labels == IGNORED).sum() >= places_of(blocks.size, 0.5) - 4
