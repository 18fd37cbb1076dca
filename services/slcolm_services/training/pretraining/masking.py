"""What the encoder has to guess: short runs of characters, as names and titles are.

Runs of one to four characters are masked (Joshi et al. 2020, SpanBERT): a single masked character
of a name is given away by the others. Of the masked runs 80 % become the unknown token, 10 % other
characters, 10 % stay (Devlin et al. 2019). The unknown token is the mask: a character that the
vocabulary lacks then looks to the trained encoder like one that it has learned to guess.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slcolm_services.training.vocabulary import SPECIAL_TOKENS, UNKNOWN_ID

IGNORED = -100
"""Label of a place that stands for none."""

_LENGTHS = np.array([0.4, 0.35, 0.15, 0.1])
"""Probability of runs of 1, 2, ... characters."""
_HIDDEN, _REPLACED = 0.8, 0.9
"""Up to the first share of the runs are hidden, up to the second are replaced, the rest stays."""


@dataclass(frozen=True)
class Masked:
    """A batch with masks; all shapes are the same for every batch of a size.

    Attributes:
        inputs: int64[B,L], what the encoder sees.
        places: int64[K], indexes into the flattened batch.
        labels: int64[K], the ids that stood there; `IGNORED` where a place is none.
    """

    inputs: NDArray[np.int64]
    places: NDArray[np.int64]
    labels: NDArray[np.int64]


def mask(
    blocks: NDArray[np.uint16], share: float, vocabulary_size: int, rng: np.random.Generator
) -> Masked:
    """Choose what is masked in uint16[B,L] and hide it.

    Special tokens and unknown characters are never masked.
    """
    ids = blocks.astype(np.int64)
    maskable = ids >= len(SPECIAL_TOKENS)
    starts = rng.random(ids.shape) < _start_probability(share)
    lengths = rng.choice(len(_LENGTHS), size=ids.shape, p=_LENGTHS) + 1
    fates = rng.random(ids.shape)
    chosen = np.zeros(ids.shape, bool)
    fate = np.zeros(ids.shape)
    for offset in range(len(_LENGTHS)):
        reached = np.zeros(ids.shape, bool)
        end = ids.shape[1] - offset
        reached[:, offset:] = starts[:, :end] & (lengths[:, :end] > offset)
        chosen |= reached
        fate[:, offset:] = np.where(reached[:, offset:], fates[:, :end], fate[:, offset:])
    places = np.flatnonzero(chosen & maskable)
    room = places_of(ids.size, share)
    if len(places) > room:
        places = np.sort(rng.choice(places, size=room, replace=False))
    labels = ids.ravel()[places]

    inputs = ids.ravel().copy()
    others = rng.integers(len(SPECIAL_TOKENS), vocabulary_size, size=len(places))
    fates_here = fate.ravel()[places]
    inputs[places] = np.where(
        fates_here < _HIDDEN, UNKNOWN_ID, np.where(fates_here < _REPLACED, others, labels)
    )
    missing = room - len(places)
    return Masked(
        inputs.reshape(ids.shape),
        np.pad(places, (0, missing)),
        np.pad(labels, (0, missing), constant_values=IGNORED),
    )


def places_of(tokens: int, share: float) -> int:
    """Places in a batch of that many tokens: a multiple of 16, which matrix units like."""
    return max(16, round(tokens * share) // 16 * 16)


def _start_probability(share: float) -> float:
    """Probability that a run begins at a token, so that runs cover `share` of the tokens."""
    longer = np.cumsum(_LENGTHS[::-1])[::-1]
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        covered = 1 - np.prod(1 - middle * longer)
        low, high = (middle, high) if covered < share else (low, middle)
    return low
