"""Predictions in the order of the gold sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from slcolm_services.errors import FieldViolation, InvalidInput

_SHOWN_IDS = 20
"""Violations shown of one kind; the message says how many there are."""


class Identified(Protocol):
    """Anything that belongs to a sentence by its id."""

    @property
    def id(self) -> str:
        """Id of the sentence."""


_Item = TypeVar("_Item", bound=Identified)


def by_gold_id(
    gold: Sequence[Identified], items: Iterable[_Item], field: str = "predictions"
) -> list[_Item | None]:
    """Put `items` into the order of `gold`.

    Args:
        gold: The sentences to be scored, each id once.
        items: What was predicted. Of items with one id the first stands.
        field: Name of `items`, for errors.

    Returns:
        One entry for each gold sentence; None where nothing was predicted for it.

    Raises:
        InvalidInput: A gold id stands twice, or an item belongs to no gold sentence.
    """
    known = _unique(gold)
    first: dict[str, _Item] = {}
    for item in items:
        first.setdefault(item.id, item)
    strangers = [name for name in first if name not in known]
    if strangers:
        raise InvalidInput(
            f"{len(strangers)} of {len(first)} ids in {field} are not among the gold sentences",
            violations=[
                FieldViolation(field, f"id {name!r} is not in the gold data")
                for name in strangers[:_SHOWN_IDS]
            ],
            metadata={"unknown_ids": str(len(strangers))},
        )
    return [first.get(sentence.id) for sentence in gold]


def _unique(gold: Sequence[Identified]) -> Mapping[str, int]:
    place: dict[str, int] = {}
    violations = []
    for index, sentence in enumerate(gold):
        if sentence.id in place:
            violations.append(
                FieldViolation(
                    f"gold[{index}].id", f"{sentence.id!r} also names sentence {place[sentence.id]}"
                )
            )
        place.setdefault(sentence.id, index)
    if violations:
        raise InvalidInput("gold ids must be unique", violations=violations[:_SHOWN_IDS])
    return place
