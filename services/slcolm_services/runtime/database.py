"""What services with a database of their own have in common."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url

from slcolm_services.errors import ConfigInvalid


def make_folder_of(url: str) -> None:
    """Make the folder of an SQLite file, which SQLite does not do itself; else do nothing.

    Args:
        url: SQLAlchemy URL.

    Raises:
        ConfigInvalid: The folder cannot be made.
        sqlalchemy.exc.ArgumentError: The URL is none.
    """
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite" or not parts.database:
        return
    folder = Path(parts.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigInvalid(f"the folder {folder} cannot be made: {error.strerror}") from error
