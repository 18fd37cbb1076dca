"""Engines for actors, which import them by name: some die, some refuse."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slcolm_client import Extraction
from slcolm_services.batch.answers import Answer, Model
from slcolm_services.batch.job import Job, write_shards
from slcolm_services.batch.manifest import Shard
from slcolm_services.batch.rows import Row
from slcolm_services.errors import DataInvalid, FieldViolation


@dataclass
class Puppet:
    """Finds nothing, dies over one text and refuses another.

    Attributes:
        folder: Its actors count their lives here.
    """

    folder: Path

    @property
    def model(self) -> Model:
        return Model("late" if (self.folder / "changed").exists() else "m", "fp32")

    def shards(
        self, job: Job, numbers: Sequence[int], advance: Callable[[int], None]
    ) -> Generator[Shard, None, None]:
        return write_shards(job, self.answers, numbers, advance)

    def answers(self, rows: Iterator[Row]) -> Generator[Answer, None, None]:
        for row in rows:
            if row.text == "die":
                (self.folder / str(os.getpid())).touch()
                os._exit(1)
            if row.text == "die once" and not (self.folder / "once").exists():
                (self.folder / "once").touch()
                os._exit(1)
            if row.text == "refuse":
                raise DataInvalid("refused", violations=[FieldViolation("a field", "is wrong")])
            yield Answer(row, row.error or Extraction("0", row.text, (), (), (), "m", None))


@contextmanager
def puppet(folder: Path) -> Iterator[Puppet]:
    yield Puppet(folder)
