"""A PostgreSQL server of the tests' own: a fresh cluster in a folder, on a Unix socket alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

_USER = "postgres"


class NoPostgres(Exception):
    """PostgreSQL is not installed here."""


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a server; it is gone with its data afterwards.

    Raises:
        NoPostgres: It cannot be started here.
    """
    programs = _programs()
    # A socket's path may have about 100 characters: pytest's folders are too long for it.
    with tempfile.TemporaryDirectory(prefix="slcolm-pg-") as folder:
        data = Path(folder, "data")
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        _run(programs / "initdb", "-D", data, "-U", _USER, "-A", "trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        server = programs / "pg_ctl"
        _run(server, "start", "-w", "-D", data, "-o", options, "-l", Path(folder, "log"))
        try:
            yield Cluster(folder)
        finally:
            _run(server, "stop", "-D", data, "-m", "immediate")


class Cluster:
    """A running server.

    Args:
        folder: Folder of its socket.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def new_database(self) -> str:
        """SQLAlchemy URL of a database that nobody else uses."""
        name = f"test_{uuid4().hex}"
        engine = sa.create_engine(self._url(_USER), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://{_USER}@/{database}?host={self._folder}"


def _programs() -> Path:
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found is None and not folders:
        raise NoPostgres("PostgreSQL is not installed: no initdb on PATH")
    return Path(found).parent if found else folders[-1].parent


def _run(*command: str | Path) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        # It stands where an ordinary PATH does not look.
        places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        words = [shutil.which("runuser", path=places) or "runuser", "-u", _USER, "--", *words]
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=120, cwd="/")
    except (OSError, subprocess.SubprocessError) as error:
        raise NoPostgres(f"PostgreSQL cannot be started here: {error}") from error
