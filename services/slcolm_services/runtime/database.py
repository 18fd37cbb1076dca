"""What services with a database of their own have in common."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url

from slcolm_services.errors import ConfigInvalid


def make_folder_of(url: str) -> None:
    """Make the folder of an SQLite file, which SQLite does not do itself; else do nothing.

    Args:
        url: SQLAlchemy URL.

    Raises:
        ConfigInvalid: The folder cannot be made.
        sqlalchemy.exc.ArgumentError: The URL is none.
    """
    file = sqlite_file(url)
    if file is None:
        return
    folder = file.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigInvalid(f"the folder {folder} cannot be made: {error.strerror}") from error


def sqlite_file(url: str | URL) -> Path | None:
    """The file of an SQLite database by its SQLAlchemy URL; None where it has none."""
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite" or not parts.database:
        return None
    return Path(parts.database)
