"""The course of a pre-training run, a line for each validation, for people and plots."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from slcolm_services.training.pretraining.checkpoints import RunState


@dataclass(frozen=True)
class Record:
    """A line of `history.jsonl`.

    Attributes:
        step: Steps done.
        tokens: Tokens seen.
        seconds: Time that they took.
        loss: Mean over the steps since the line before, in nats.
        validation_loss: On the held-out part, in nats.
    """

    step: int
    tokens: int
    seconds: float
    loss: float
    validation_loss: float | None

    @classmethod
    def of(cls, state: RunState, loss: float) -> Record:
        """The record of a state."""
        seconds = round(state.seconds, 2)
        return cls(state.step, state.tokens, seconds, loss, state.validation_loss)


class History:
    """`history.jsonl`: a line for each record, for people and plots.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self) -> list[Record]:
        """All records, in order."""
        if not self._path.is_file():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return [Record(**json.loads(line)) for line in lines if line.endswith("}")]

    def cut(self, step: int) -> None:
        """Drop what lies behind a checkpoint: its steps will be done again."""
        kept = [record for record in self.records() if record.step <= step]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(map(_line, kept)), encoding="utf-8")
        partial.replace(self._path)

    def add(self, record: Record) -> None:
        """Write a record."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(_line(record))


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"
