"""Leakage between the splits of a corpus: sentences of one that another has seen already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.duplicates import RUN_LENGTHS, Unit, shared_runs, unit_of

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class LeakedSentence:
    """A sentence of one split that shares something with a sentence of another.

    Attributes:
        id: The sentence.
        other_id: The first sentence of the other split that shares a run with it.
        run: What they share, folded and without punctuation: all of the sentence where they are the
            same, else the first shared run.
    """

    id: str
    other_id: str
    run: str


@dataclass(frozen=True, slots=True)
class Leak:
    """What one split shares with another.

    Attributes:
        split: Name of the split whose sentences are looked at.
        other: Name of the split that they are looked for in.
        sentences: Sentences in `split`.
        unit: What runs are counted in: words, or characters where the script has no spaces.
        run_length: Units in a run that counts.
        same: Sentences that stand in `other` as a whole, but for script, space and punctuation.
        sharing: Sentences that do not, but share a run of `run_length` units with one there.
    """

    split: str
    other: str
    sentences: int
    unit: Unit
    run_length: int
    same: tuple[LeakedSentence, ...]
    sharing: tuple[LeakedSentence, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all sentences that leak, those that are the same first."""
        return tuple(sentence.id for sentence in (*self.same, *self.sharing))


def find_leakage(
    splits: Mapping[str, Sequence[Document]], run_length: int | None = None
) -> list[Leak]:
    """Compare every split with those that come before it.

    Args:
        splits: Documents by name of the split, in the order in which they are used: train, dev,
            test.
        run_length: Units in a run, at least 1; None for 12 characters or 8 words. The unit is one
            for all pairs: that of most of the text.

    Returns:
        One entry a pair, empty ones too: test in train, test in dev, dev in train.

    Raises:
        ValueError: `run_length` is less than 1.
    """
    unit = unit_of(document.text for document in chain.from_iterable(splits.values()))
    names = list(splits)
    return [
        _leak(split, other, splits, unit, run_length)
        for place, split in reversed(list(enumerate(names)))
        for other in names[:place]
    ]


def _leak(
    split: str,
    other: str,
    splits: Mapping[str, Sequence[Document]],
    unit: Unit,
    run_length: int | None,
) -> Leak:
    documents, others = splits[split], splits[other]
    length = RUN_LENGTHS[unit] if run_length is None else run_length
    found = shared_runs(
        [document.text for document in documents], [seen.text for seen in others], length, unit
    )
    same, sharing = (
        tuple(
            LeakedSentence(documents[hit.a].id, others[hit.b].id, hit.run)
            for hit in found
            if hit.same is whole
        )
        for whole in (True, False)
    )
    return Leak(split, other, len(documents), unit, length, same, sharing)


def leakage_json(leaks: Iterable[Leak], examples: int = _EXAMPLES) -> list[dict[str, Any]]:
    """Leaks as JSON, in the form that `report.json` holds.

    Args:
        leaks: From `find_leakage`.
        examples: At most so many shared runs are shown of each kind; ids are all there.
    """
    return [
        {
            "split": leak.split,
            "other": leak.other,
            "sentences": leak.sentences,
            "unit": leak.unit,
            "run_length": leak.run_length,
            **{
                kind: {
                    "count": len(found),
                    "ids": [sentence.id for sentence in found],
                    "examples": [
                        {"id": sentence.id, "other_id": sentence.other_id, "run": sentence.run}
                        for sentence in found[:examples]
                    ],
                }
                for kind, found in (("same", leak.same), ("sharing", leak.sharing))
            },
        }
        for leak in leaks
    ]
