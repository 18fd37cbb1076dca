"""The trainings of an experiment, and the data of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from slcolm_services.corpus.documents import Document
from slcolm_services.training.experiments.config import Experiment, ExperimentData
from slcolm_services.training.options import TrainOptions
from slcolm_services.training.schedules import Schedule
from slcolm_services.training.versions import versions

GROUPS = {
    "A": "original",
    "B": "distilled",
    "C": "distilled + other",
    "D": "simple mix",
    "E": "simple mix + other",
}
"""Groups of the paper's table 2; `other` is distilled data of another domain."""


@dataclass(frozen=True)
class Condition:
    """What is trained with every seed.

    Attributes:
        schedule: How distilled and original data are blended.
        rate_course: Of the learning rate.
        other_domain: Whether the distilled data of the other domain are among the distilled data.
    """

    schedule: Schedule
    rate_course: str
    other_domain: bool = False

    @property
    def data_sets(self) -> set[str]:
        """Names of the data sets that it sees."""
        seen = {"task", "dev", "test", "original", "distilled"}
        if self.other_domain:
            seen.add("other_domain")
        pure = {"original": {"distilled", "other_domain"}, "distilled": {"original"}}
        return seen - pure.get(self.schedule.name, set())

    def __str__(self) -> str:
        """As tables and logs name it."""
        other = " + other domain" if self.other_domain else ""
        return f"{self.schedule}{other}, {self.rate_course}"


@dataclass(frozen=True)
class Cell:
    """One training: a condition and a seed."""

    condition: Condition
    seed: int

    def key(self, experiment: Experiment, digests: dict[str, str]) -> str:
        """Name of the cell's folder: a digest of everything that decides its result."""
        condition = self.condition
        inputs = {
            "model": experiment.model,
            "options": asdict(options_of(self, experiment)),
            "max_tokens": experiment.max_tokens,
            "data": {
                name: digest for name, digest in digests.items() if name in condition.data_sets
            },
            "versions": versions(),
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:24]


def groups(experiment: Experiment) -> dict[str, Condition]:
    """The groups of the paper's table 2; C and E only where there is another domain."""
    course = experiment.rate_courses[0]
    found = {
        "A": Condition(Schedule("original"), course),
        "B": Condition(Schedule("distilled"), course),
        "C": Condition(Schedule("distilled"), course, other_domain=True),
        "D": Condition(Schedule("simple-mix"), course),
        "E": Condition(Schedule("simple-mix"), course, other_domain=True),
    }
    other = "other_domain" in experiment.paths
    return {name: condition for name, condition in found.items() if other or name not in "CE"}


def schedule_conditions(experiment: Experiment) -> list[Condition]:
    """Every schedule with every course of the learning rate (the paper's table 3)."""
    return [
        Condition(schedule, course)
        for schedule in experiment.schedules
        for course in experiment.rate_courses
    ]


def cells(experiment: Experiment) -> list[Cell]:
    """Every training once; all conditions with the first seed, then with the next."""
    conditions = dict.fromkeys([*groups(experiment).values(), *schedule_conditions(experiment)])
    return [Cell(condition, seed) for seed in experiment.seeds for condition in conditions]


def options_of(cell: Cell, experiment: Experiment) -> TrainOptions:
    """What a cell asks of the trainer."""
    condition = cell.condition
    blended = {"original", "distilled"} <= condition.data_sets
    return TrainOptions(
        experiment.encoder,
        experiment.epochs,
        experiment.batch_size,
        experiment.learning_rate,
        cell.seed,
        # Early stopping is no part of what is compared.
        patience=experiment.epochs,
        schedule=str(condition.schedule) if blended else "",
        rate_course=condition.rate_course,
    )


def data_of(
    condition: Condition, data: ExperimentData
) -> tuple[Sequence[Document], Sequence[Document]]:
    """What a condition trains on: one set, or original and distilled sentences to be blended.

    Returns:
        The original sentences and the distilled ones. Where only one kind is trained on, it comes
        first and the second is empty: the other must not be seen, not even by a vocabulary.
    """
    distilled = [*data.distilled, *(data.other_domain if condition.other_domain else ())]
    if "original" not in condition.data_sets:
        return distilled, []
    return data.original, distilled if "distilled" in condition.data_sets else []
