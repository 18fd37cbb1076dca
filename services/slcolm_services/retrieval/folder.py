"""Opens a folder of the embedded Qdrant, and no code that somebody has put into it.

The embedded Qdrant keeps its points as pickles and unpickles whatever lies in its folder, so that a
folder from elsewhere could run any program. Every pickle is therefore read here first, by a reader
that knows the classes of points and nothing else. The folder must not change meanwhile: who can
write to it while the service starts can still do what they like.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from qdrant_client import QdrantClient
from qdrant_client.local.persistence import STORAGE_FILE_NAME
from qdrant_client.local.qdrant_local import META_INFO_FILENAME

from slcolm_services.errors import ConfigInvalid, FieldViolation, HomeInUse

_COLLECTIONS = "collection"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_MODELS = "qdrant_client.http.models.models"
_CLASSES = frozenset({(_MODELS, "PointStruct"), (_MODELS, "SparseVector")})
_MAX_META_BYTES = 64 * 1024 * 1024


def open_folder(folder: Path) -> QdrantClient:
    """Open the embedded Qdrant in a folder, which is made where there is none, and lock it.

    Raises:
        HomeInUse: Another process has the folder open.
        ConfigInvalid: The folder cannot be made or read, or holds what no index holds.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for problem in _problems(folder):
            raise _unusable(folder, problem)
        return QdrantClient(path=str(folder))
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from error
    except RuntimeError as error:
        raise HomeInUse(
            f"index folder {folder} is open in another process; "
            "stop that one, or let both use a Qdrant server",
            metadata={"folder": str(folder)},
        ) from error
    # Qdrant has no classes of its own for what it cannot read.
    except (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unusable(
            folder, f"holds no index that can be read ({type(error).__name__})"
        ) from error


def _unusable(folder: Path, problem: str) -> ConfigInvalid:
    return ConfigInvalid(
        f"index folder {folder} cannot be used: {problem}",
        violations=[FieldViolation("folder", f"{folder}: {problem}")],
    )


def _problems(folder: Path) -> Iterator[str]:
    """Why Qdrant must not open a folder."""
    meta = folder / META_INFO_FILENAME
    if not meta.exists():
        return
    if meta.stat().st_size > _MAX_META_BYTES:
        yield f"{META_INFO_FILENAME} is larger than {_MAX_META_BYTES} bytes"
        return
    try:
        names = list(json.loads(meta.read_bytes())["collections"])
    except (ValueError, KeyError, TypeError, RecursionError):
        yield f"{META_INFO_FILENAME} is damaged"
        return
    for name in names:
        storage = folder / _COLLECTIONS / name / STORAGE_FILE_NAME
        if not _NAME.fullmatch(name):
            yield f"the collection {name[:100]!r} has a name that leads elsewhere"
        elif not storage.resolve().is_relative_to(folder.resolve()):
            yield f"the collection {name!r} is a link that leaves the folder"
        elif storage.exists():
            yield from (f"the collection {name!r} {problem}" for problem in _foreign(storage))


def _foreign(storage: Path) -> Iterator[str]:
    connection = sqlite3.connect(f"{storage.resolve().as_uri()}?mode=ro", uri=True)
    try:
        for (point,) in connection.execute("SELECT point FROM points"):
            try:
                found = _Points(io.BytesIO(point)).load()
            # A damaged pickle raises whatever it pleases.
            except Exception as error:  # noqa: BLE001
                yield f"holds what is no point ({error})"
                return
            if type(found).__name__ != "PointStruct":
                yield f"holds what is no point ({type(found).__name__})"
                return
    except sqlite3.Error as error:
        yield f"cannot be read ({error})"
    finally:
        connection.close()


class _Points(pickle.Unpickler):
    """Reads points, and runs nothing: a pickle can call only what it can name."""

    def find_class(self, module: str, name: str) -> object:
        """A class of points.

        Raises:
            UnpicklingError: It is none.
        """
        if (module, name) not in _CLASSES:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a point"[:200])
        return super().find_class(module, name)
