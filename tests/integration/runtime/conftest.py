"""A real server around a servicer whose answers a test chooses."""

from __future__ import annotations

import pytest
from support.serving import Serving, serve


@pytest.fixture
def serving() -> Serving:
    """Serve a handler of `GetIndex`; keyword arguments are settings, `hooks` those of `Service`."""
    return serve
