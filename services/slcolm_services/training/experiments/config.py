"""What an experiment compares, as its TOML file says it.

    model = "tagger"              # or "span"
    encoder = "bert-base-uncased" # as `slcolm train --encoder`
    epochs = 20
    batch_size = 4
    learning_rate = 1e-5
    max_tokens = 128
    seeds = [0, 1, 2, 3, 4]
    schedules = ["simple-mix", "sigmoid:8", "cosine"]
    rate_courses = ["constant", "decay"]

    [data]
    task = "task.yaml"
    original = "train.jsonl"      # annotated by people
    distilled = "annotated.jsonl" # annotated by an LLM
    other_domain = "bbc.jsonl"    # likewise, of another domain; may be left out
    dev = "dev.jsonl"
    test = "test.jsonl"

Paths are relative to the file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.files import file_digest
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.records import shown
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import read_file
from slcolm_services.training.options import RATE_COURSES
from slcolm_services.training.schedules import Schedule, usual_schedules

TAGGER, SPAN = MODELS = ("tagger", "span")
"""Kinds of models: the token classifier of the paper, and the joint span model."""

_PURE = ("distilled", "original")
_DATA = ("task", "original", "distilled", "dev", "test")


@dataclass(frozen=True)
class Experiment:
    """What is compared.

    Attributes:
        paths: Data files by name: `task`, `original`, `distilled`, `dev`, `test`, and
            `other_domain` where there is one.
        model: `tagger` or `span`.
        encoder: As `slcolm train --encoder`; empty leaves the choice to the trainer.
        epochs: Of every training.
        batch_size: Sentences a step; None leaves the choice to the trainer.
        learning_rate: Peak; None leaves the choice to the trainer.
        max_tokens: Longest text of the tagger; longer ones are left out of training, and nothing
            is found in them.
        seeds: Each cell is trained once with each.
        schedules: Compared over `distilled` and `original`.
        rate_courses: Each schedule is trained with each; the groups with the first.
    """

    paths: dict[str, Path]
    model: str
    encoder: str
    epochs: int
    batch_size: int | None
    learning_rate: float | None
    max_tokens: int
    seeds: tuple[int, ...]
    schedules: tuple[Schedule, ...]
    rate_courses: tuple[str, ...]

    def digests(self) -> dict[str, str]:
        """SHA-256 of every data file, by name."""
        return {name: file_digest(path) for name, path in self.paths.items()}


@dataclass(frozen=True)
class ExperimentData:
    """The data sets of an experiment, read; `other_domain` may be empty."""

    schema: TaskSchema
    original: list[Document]
    distilled: list[Document]
    other_domain: list[Document]
    dev: list[Document]
    test: list[Document]


def read_experiment(path: Path) -> Experiment:
    """Read an experiment's file.

    Raises:
        ConfigInvalid: It cannot be read, or a key is unknown, missing or wrong; `violations` names
            each.
    """
    return _Reader(path, read_file(path)).experiment()


def read_data(experiment: Experiment) -> ExperimentData:
    """Read the data sets.

    Raises:
        DataInvalid: One cannot be read.
    """
    schema = read_schema(experiment.paths["task"])
    other = experiment.paths.get("other_domain")
    return ExperimentData(
        schema,
        other_domain=read_any(other, schema) if other else [],
        **{name: read_any(experiment.paths[name], schema) for name in _DATA if name != "task"},
    )


class _Reader:
    """Takes the values out of the file and keeps a list of what is wrong."""

    def __init__(self, path: Path, raw: dict[str, Any]) -> None:
        self._path = path
        self._raw = raw
        self._wrong: list[FieldViolation] = []

    def experiment(self) -> Experiment:
        known = {item.name for item in fields(Experiment)} - {"paths"} | {"data"}
        for name in self._raw.keys() - known:
            self._fail(shown(name), f"is none of {', '.join(sorted(known))}")
        values: dict[str, Any] = {
            "paths": self._paths(),
            "model": self._one_of("model", self._raw.get("model", TAGGER), MODELS),
            "encoder": self._raw.get("encoder", ""),
            "epochs": self._number("epochs", int, 20),
            "batch_size": self._number("batch_size", int, None),
            "learning_rate": self._number("learning_rate", float, None),
            "max_tokens": self._number("max_tokens", int, 128),
            "seeds": self._seeds(),
            "schedules": self._schedules(),
            "rate_courses": tuple(
                self._one_of("rate_courses", course, RATE_COURSES)
                for course in self._list("rate_courses", ["constant", "decay"])
            ),
        }
        if not isinstance(values["encoder"], str):
            self._fail("encoder", "must be a string")
        if self._wrong:
            raise _invalid(self._path, self._wrong)
        return Experiment(**values)

    def _fail(self, field: str, problem: str) -> None:
        self._wrong.append(FieldViolation(field, problem))

    def _paths(self) -> dict[str, Path]:
        data = self._raw.get("data")
        if not isinstance(data, dict):
            self._fail("data", f"must be a table with {', '.join(_DATA)}")
            return {}
        found = {}
        for name in (*_DATA, "other_domain"):
            value = data.pop(name, None)
            if isinstance(value, str):
                found[name] = self._path.parent / value
            elif value is not None or name in _DATA:
                self._fail(f"data.{name}", "must be the path of a file")
        for name in data:
            problem = f"is none of {', '.join((*_DATA, 'other_domain'))}"
            self._fail(f"data.{shown(name)}", problem)
        return found

    def _number(self, name: str, kind: type, default: float | None) -> Any:
        value = self._raw.get(name, default)
        allowed = (int,) if kind is int else (int, float)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, allowed) or not value > 0
        ):
            self._fail(name, f"must be a number greater than 0, got {shown(repr(value))}")
        return value

    def _list(self, name: str, default: list[Any]) -> list[Any]:
        value = self._raw.get(name, default)
        if not isinstance(value, list) or not value:
            self._fail(name, "must be a list with at least one item")
            return default
        return value

    def _seeds(self) -> tuple[int, ...]:
        seeds = self._list("seeds", [0, 1, 2, 3, 4])
        for seed in seeds:
            if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
                self._fail("seeds", f"must be integers of at least 0, got {shown(repr(seed))}")
        return tuple(dict.fromkeys(seeds))

    def _schedules(self) -> tuple[Schedule, ...]:
        usual = [str(schedule) for schedule in usual_schedules() if schedule.name not in _PURE]
        found = []
        for text in self._list("schedules", usual):
            try:
                found.append(Schedule.parse(str(text)))
            except ConfigInvalid as error:
                self._fail("schedules", f"{shown(str(text))}: {error.violations[0].problem}")
        return tuple(dict.fromkeys(found))

    def _one_of(self, name: str, value: Any, known: tuple[str, ...]) -> str:
        if value not in known:
            self._fail(name, f"{shown(repr(value))} is none of {', '.join(known)}")
        return str(value)


def _invalid(path: Path, violations: list[FieldViolation]) -> ConfigInvalid:
    return ConfigInvalid(f"{path} is no experiment", violations=violations)
