"""Artifacts are what their digests say, or an error; on a local disk and on any fsspec store."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.errors import ArtifactCorrupt, ArtifactNotFound, ConfigInvalid, InvalidInput
from slcolm_services.runtime.store import ArtifactStore

DIGEST = "0" * 64


@pytest.fixture
def store(root: str) -> ArtifactStore:
    return ArtifactStore(root)


def damage(root: str, path: str) -> None:
    """Replace a stored file's bytes behind the store's back."""
    with fsspec.open(f"{root}/{path}", "wb") as file:
        file.write(b"damaged")


def folder(tmp_path: Path, **files: str) -> Path:
    path = tmp_path / "folder"
    shutil.rmtree(path, ignore_errors=True)
    for name, text in files.items():
        target = path / name.replace("__", "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return path


def test_bytes_come_back_under_their_sha256(store: ArtifactStore) -> None:
    assert not store.is_there()
    digest = store.put_bytes("datasets", b"abc")
    assert store.is_there()
    assert digest == hashlib.sha256(b"abc").hexdigest()
    assert store.put_bytes("datasets", b"abc") == digest
    assert store.get_bytes("datasets", digest) == b"abc"
    assert store.exists("datasets", digest)
    assert store.list("datasets") == (digest,)


def test_a_file_is_stored_as_its_bytes(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert store.put_file("datasets", path) == store.put_bytes("datasets", b"abc")


def test_kinds_are_apart(store: ArtifactStore) -> None:
    digest = store.put_bytes("datasets", b"abc")
    assert not store.exists("reports", digest)
    assert store.list("reports") == ()
    with pytest.raises(ArtifactNotFound, match="reports"):
        store.get_bytes("reports", digest)


def test_damaged_bytes_are_not_returned_and_are_repaired(store: ArtifactStore, root: str) -> None:
    digest = store.put_bytes("datasets", b"abc")
    damage(root, f"datasets/{digest}")
    with pytest.raises(ArtifactCorrupt, match=digest):
        store.get_bytes("datasets", digest)
    store.put_bytes("datasets", b"abc")
    assert store.get_bytes("datasets", digest) == b"abc"


@given(name=st.one_of(st.text(), st.sampled_from(["../x", "a" * 63, "A" * 64, DIGEST + "\n"])))
def test_names_that_are_no_digests_reach_no_file(name: str) -> None:
    store = ArtifactStore("memory://names")
    for read in (store.get_bytes, store.get_record, store.exists):
        with pytest.raises(InvalidInput, match="not a digest"):
            read("datasets", name)
    with pytest.raises(InvalidInput, match="no kind"):
        store.list("../datasets")


def test_a_folders_revision_is_made_of_its_paths_and_bytes(
    store: ArtifactStore, tmp_path: Path
) -> None:
    first = store.put_folder("models", folder(tmp_path, a="1", sub__b="2"))
    assert store.put_folder("models", folder(tmp_path, sub__b="2", a="1")) == first
    others = {
        store.put_folder("models", folder(tmp_path, a="1", sub__b="3")),
        store.put_folder("models", folder(tmp_path, a="1", b="2")),
        store.put_folder("models", folder(tmp_path, a="1")),
    }
    assert len(others | {first}) == 4
    assert set(store.list("models")) == others | {first}


def test_a_fetched_folder_holds_the_files_and_can_be_stored_again(
    store: ArtifactStore, tmp_path: Path
) -> None:
    revision = store.put_folder("models", folder(tmp_path, a="1", sub__b="2"))
    for _ in range(2):
        fetched = store.fetch_folder("models", revision, tmp_path / "cache")
        assert (fetched / "a").read_text() == "1"
        assert (fetched / "sub/b").read_text() == "2"
    assert store.put_folder("models", fetched) == revision


def test_a_local_store_is_read_in_place_and_checked_by_sha256sum(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    revision = store.put_folder("models", folder(tmp_path, a="1", sub__b="2"))
    fetched = store.fetch_folder("models", revision, tmp_path / "cache")
    assert fetched == tmp_path / "store/models" / revision
    assert not (tmp_path / "cache").exists()
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=fetched, check=True)


@pytest.mark.parametrize("name", ["a", "SHA256SUMS"])
def test_a_damaged_folder_is_not_returned_and_is_repaired(
    store: ArtifactStore, root: str, tmp_path: Path, name: str
) -> None:
    source = folder(tmp_path, a="1", b="2")
    revision = store.put_folder("models", source)
    damage(root, f"models/{revision}/{name}")
    with pytest.raises(ArtifactCorrupt):
        store.fetch_folder("models", revision, tmp_path / "cache")
    assert not list((tmp_path).glob("cache/*"))
    store.put_folder("models", source)
    assert (store.fetch_folder("models", revision, tmp_path / "cache") / "a").read_text() == "1"


def test_a_damaged_cache_is_fetched_again(tmp_path: Path) -> None:
    store = ArtifactStore("memory://cache")
    revision = store.put_folder("models", folder(tmp_path, a="1"))
    fetched = store.fetch_folder("models", revision, tmp_path / "cache")
    (fetched / "a").write_text("damaged")
    assert store.fetch_folder("models", revision, tmp_path / "cache") == fetched
    assert (fetched / "a").read_text() == "1"


def test_a_folder_that_is_not_complete_does_not_exist(
    store: ArtifactStore, root: str, tmp_path: Path
) -> None:
    """An interrupted put leaves files without the manifest, which comes last."""
    revision = store.put_folder("models", folder(tmp_path, a="1"))
    fs, path = fsspec.core.url_to_fs(f"{root}/models/{revision}/SHA256SUMS")
    fs.rm(path)
    assert not store.exists("models", revision)
    assert store.list("models") == ()
    with pytest.raises(ArtifactNotFound):
        store.fetch_folder("models", revision, tmp_path / "cache")


def test_a_manifest_cannot_name_files_outside(store: ArtifactStore, root: str) -> None:
    manifest = f"{DIGEST}  ../../outside\n".encode()
    revision = hashlib.sha256(manifest).hexdigest()
    fs, path = fsspec.core.url_to_fs(f"{root}/models/{revision}")
    fs.makedirs(path, exist_ok=True)
    fs.pipe_file(f"{path}/SHA256SUMS", manifest)
    with pytest.raises(ArtifactCorrupt, match="outside the folder"):
        store.fetch_folder("models", revision, Path("cache"))


@pytest.mark.parametrize("files", [{}, {"a\nb": "1"}])
def test_folders_that_no_manifest_can_say_are_refused(
    store: ArtifactStore, tmp_path: Path, files: dict[str, str]
) -> None:
    source = folder(tmp_path, **files)
    source.mkdir(exist_ok=True)
    with pytest.raises(InvalidInput):
        store.put_folder("models", source)
    assert store.list("models") == ()


def test_records_are_kept_under_keys_and_replaced(store: ArtifactStore, root: str) -> None:
    with pytest.raises(ArtifactNotFound):
        store.get_record("stages", DIGEST)
    store.put_record("stages", DIGEST, b"first\nline")
    store.put_record("stages", DIGEST, b"second\nline")
    assert store.get_record("stages", DIGEST) == b"second\nline"
    assert store.list("stages") == ()
    damage(root, f"stages/records/{DIGEST}")
    with pytest.raises(ArtifactCorrupt):
        store.get_record("stages", DIGEST)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtifactStore(str(tmp_path / "store"))

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        store.put_bytes("datasets", b"abc")
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_an_unknown_protocol_is_a_configuration_error() -> None:
    with pytest.raises(ConfigInvalid, match="nosuch"):
        ArtifactStore("nosuch://bucket")


def test_what_is_deleted_is_gone_and_the_rest_stays(store: ArtifactStore, tmp_path: Path) -> None:
    gone, kept = (store.put_bytes("datasets", data) for data in (b"abc", b"defg"))
    revision = store.put_folder("models", folder(tmp_path, a="1", sub__b="23"))
    store.put_record("stages", gone, b"value")
    assert store.size("datasets", gone) == 3
    assert store.size("models", revision) > 3
    assert store.records("stages") == (gone,)

    for _ in range(2):  # once more does no harm
        store.delete("datasets", gone)
        store.delete("models", revision)
        store.delete_record("stages", gone)

    assert not store.exists("datasets", gone)
    assert (store.list("datasets"), store.list("models")) == ((kept,), ())
    assert store.records("stages") == ()
    assert (store.size("datasets", gone), store.size("models", revision)) == (0, 0)
    with pytest.raises(ArtifactNotFound):
        store.fetch_folder("models", revision, tmp_path / "cache")
    with pytest.raises(ArtifactNotFound):
        store.get_record("stages", gone)
    assert store.get_bytes("datasets", kept) == b"defg"
