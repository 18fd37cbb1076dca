"""Both homes of a ledger: an SQLite file and a PostgreSQL server of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.postgres import Cluster, NoPostgres, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster | str]:
    """The server, or why there is none."""
    with ExitStack() as stack:
        try:
            server: Cluster | str = stack.enter_context(cluster())
        except NoPostgres as problem:
            server = str(problem)
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server = request.getfixturevalue("postgres")
    if isinstance(server, str):
        pytest.skip(server)
    assert isinstance(server, Cluster)
    return server.new_database()
