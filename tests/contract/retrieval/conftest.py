"""Both homes of an index: the embedded Qdrant and a server.

The server half needs `QDRANT_URL`, a server that the tests may write to.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from slcolm_services.errors import IndexNotFound
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.store import IndexStore
from slcolm_services.runtime.config import Secret


@pytest.fixture(params=["embedded", "server"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> RetrievalConfig:
    if request.param == "embedded":
        return RetrievalConfig(folder=tmp_path / "index")
    url = os.environ.get("QDRANT_URL")
    if not url:
        pytest.skip("QDRANT_URL names no Qdrant server to test against")
    return RetrievalConfig(qdrant_url=Secret(url))


@pytest.fixture
def revision() -> str:
    """A revision that no other test on the same server uses."""
    return f"test-{uuid4().hex}"


@pytest.fixture
def store(config: RetrievalConfig, revision: str) -> Iterator[IndexStore]:
    opened = IndexStore(config)
    yield opened
    try:
        opened.delete(revision)
    except IndexNotFound:
        pass
    finally:
        opened.close()


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port of this machine that is taken and does not listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
