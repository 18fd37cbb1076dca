"""What holds for all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Nothing is judged by the clock: these machines are shared. In CI the examples are the same every
# time, so that a change is judged by what it changes; elsewhere new ones are tried.
settings.register_profile(
    "slcolm",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("slcolm")

_LONGEST = (
    "tests/integration/sequence/",
    "tests/integration/distillation/",
    "tests/integration/training/",
    "tests/unit/training/",
    "tests/integration/",
    "tests/deploy/",
)
"""Where the files are whose tests take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with long files, so that workers do not wait for the last one to end its own.

    Within a place the order stays as it is: random.
    """
    items.sort(key=lambda item: _place(item.nodeid))


def _place(nodeid: str) -> int:
    return next(
        (place for place, start in enumerate(_LONGEST) if nodeid.startswith(start)), len(_LONGEST)
    )
