"""What asks a model about rows. `local` is one; others can stand beside it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from slcolm_client import Extraction
from slcolm_services.batch.rows import Row, RowError


@dataclass(frozen=True, slots=True)
class Model:
    """What shapes an extraction beside the text.

    Attributes:
        revision: Revision of the model.
        precision: Numeric precision of its graph.
    """

    revision: str
    precision: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a row.

    Attributes:
        row: The row.
        found: What the model found, or why there is nothing.
    """

    row: Row
    found: Extraction | RowError


class Engine(Protocol):
    """Asks one model about any number of rows."""

    @property
    def model(self) -> Model:
        """The model that every row is read with."""

    def answers(self, rows: Iterator[Row]) -> Generator[Answer, None, None]:
        """Exactly one answer for each row, in order.

        Rows are read as answers are taken, so that neither piles up. A failure of a row itself is
        its answer. What may pass, a service that restarts for one, is waited for; what does not
        pass is raised, and no row is lost by it: whoever goes on begins with the first row
        without an answer.

        Raises:
            SlcolmError, SlcolmClientError: Rows cannot be asked about now.
        """
