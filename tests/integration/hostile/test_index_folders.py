"""An index folder from elsewhere runs nothing and leads nowhere."""

from __future__ import annotations

import json
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from support.pickles import Runs

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import ConfigInvalid
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.records import IndexedSentence, Manifest, Role
from slcolm_services.retrieval.store import IndexStore

SCHEMA = TaskSchema("t", "en", (EntityType("P", "P"),), (RelationType("r"),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an index that can be opened again."""
    path = tmp_path / "qdrant"
    store = IndexStore(RetrievalConfig(folder=path))
    store.create(Manifest("rev", "m", 3, SCHEMA))
    document = Document("a", "Peter met Mary", (Entity("P", 0, 5, 0.5),))
    vector = np.array([1, 0, 0], dtype=np.float32)
    store.add("rev", [IndexedSentence(document, document, vector, Role.TRAINING)])
    store.close()
    return path


def put(folder: Path, content: bytes) -> None:
    storage = folder / "collection" / "slcolm-index-rev" / "storage.sqlite"
    with sqlite3.connect(storage) as connection:
        connection.execute("INSERT INTO points VALUES ('x', ?)", (content,))
    connection.close()


def refused(folder: Path) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        IndexStore(RetrievalConfig(folder=folder))
    (violation,) = caught.value.violations
    assert violation.field == "folder"
    return violation.problem


def test_what_was_written_here_opens_again(folder: Path) -> None:
    store = IndexStore(RetrievalConfig(folder=folder))
    assert [document.id for document in store.gold("rev", Role.TRAINING)] == ["a"]
    store.close()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_something_runs_nothing(
    folder: Path, tmp_path: Path, protocol: int
) -> None:
    mark = tmp_path / "ran"
    content = pickle.dumps(Runs(mark), protocol=protocol)
    put(folder, content)
    assert "is not part of a point" in refused(folder)
    assert not mark.exists()
    # The pickle is a real one: the embedded Qdrant itself would have run it.
    pickle.loads(content)
    assert mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04",
        b"not a pickle",
        pickle.dumps("text"),
        pickle.dumps([1] * 5),
        b"cbuiltins\neval\n(V1\ntR.",
        b"cqdrant_client.http.models.models\nos.system\n(Vtrue\ntR.",
    ],
)
def test_what_is_no_point_is_refused(folder: Path, content: bytes) -> None:
    put(folder, content)
    assert "slcolm-index-rev" in refused(folder)


@pytest.mark.parametrize("name", ["../../elsewhere", "/tmp/elsewhere", "a/b", "..", "", "a\0b"])
def test_a_collection_leads_nowhere_else(folder: Path, name: str) -> None:
    meta = folder / "meta.json"
    content = json.loads(meta.read_text())
    content["collections"][name] = content["collections"]["slcolm-index-rev"]
    meta.write_text(json.dumps(content))
    assert "leads elsewhere" in refused(folder)


def test_a_collection_is_no_link_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    collection = folder / "collection" / "slcolm-index-rev"
    collection.rename(tmp_path / "elsewhere")
    collection.symlink_to(tmp_path / "elsewhere")
    assert "leaves the folder" in refused(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"collections": 1}', b"[" * 100_000, b"\xff"]
)
def test_a_damaged_folder_is_refused(folder: Path, content: bytes) -> None:
    (folder / "meta.json").write_bytes(content)
    assert "meta.json is damaged" in refused(folder)


def test_a_damaged_description_of_a_collection_is_refused(folder: Path) -> None:
    meta = folder / "meta.json"
    content = json.loads(meta.read_text())
    content["collections"]["slcolm-index-rev"] = {"vectors": 5}
    meta.write_text(json.dumps(content))
    assert "can be read" in refused(folder)


def test_a_damaged_storage_is_refused(folder: Path) -> None:
    storage = folder / "collection" / "slcolm-index-rev" / "storage.sqlite"
    storage.write_bytes(b"no database at all" * 100)
    assert "cannot be read" in refused(folder)
