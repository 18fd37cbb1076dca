"""What one training came to, on disk: a JSON file and its counts by sentence, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.files import replacing
from slcolm_services.scoring.counts import CountMatrix
from slcolm_services.scoring.span import score_spans

RESULT_FILE = "result.json"

ENTITIES, RELATIONS = KINDS = ("entities", "relations")
"""What is scored: entities with types, and relations with entity types."""


@dataclass(frozen=True)
class Outcome:
    """A finished training.

    Attributes:
        epoch: The one that counts, from 1.
        dev_f1: What it was chosen by, in [0, 1].
        seconds: Time that training took.
    """

    epoch: int
    dev_f1: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Result:
    """An outcome with what was found on test.

    Attributes:
        outcome: Of the training.
        counts: By kind, over the test sentences in their order.
    """

    outcome: Outcome
    counts: Mapping[str, CountMatrix]


def result_of(
    outcome: Outcome, gold: Sequence[Document], found: Sequence[Document], *, relations: bool
) -> Result:
    """Score a model's findings on test.

    Args:
        outcome: Of its training.
        gold: The test sentences.
        found: The same sentences as the model annotates them.
        relations: Whether the model finds relations.
    """
    scores = score_spans(gold, found)
    counts = {ENTITIES: scores.entities.matrix}
    if relations:
        counts[RELATIONS] = scores.relations_strict.matrix
    return Result(outcome, counts)


def write_result(folder: Path, result: Result, condition: dict[str, Any]) -> None:
    """Write a cell's result; the JSON file comes last, and says that all is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, counts in result.counts.items():
        np.save(folder / f"{kind}.npy", counts.values.astype(np.int32), allow_pickle=False)
    types = {kind: list(counts.types) for kind, counts in result.counts.items()}
    with replacing(folder / RESULT_FILE) as file:
        content = {**condition, **asdict(result.outcome), "types": types}
        json.dump(content, file, ensure_ascii=False, indent=2)


def read_result(folder: Path) -> Result | None:
    """A cell's result; None where there is none yet."""
    path = folder / RESULT_FILE
    if not path.is_file():
        return None
    raw = json.loads(path.read_bytes())
    return Result(
        Outcome(raw["epoch"], raw["dev_f1"], raw["seconds"]),
        {
            kind: CountMatrix(
                tuple(types),
                np.load(folder / f"{kind}.npy", allow_pickle=False).astype(np.int64),
            )
            for kind, types in raw["types"].items()
        },
    )
