"""What a model says of rows."""

from __future__ import annotations

from dataclasses import dataclass

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
