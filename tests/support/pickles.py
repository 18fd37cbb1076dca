"""What a hostile pickle is: a call of whatever it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Runs:
    """Makes a file when it is unpickled by who runs what a pickle names."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._mark}",)
