"""Every test here runs against both stacks of the SDK."""

from __future__ import annotations

import pytest
from support.clients import Stack


@pytest.fixture(params=["threads", "asyncio"])
def stack(request: pytest.FixtureRequest) -> Stack:
    return Stack(request.param)
