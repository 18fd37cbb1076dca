"""What happens to a store when its disk or its server fails: a clear error, and nothing half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from support.disks import CannotMount, read_only, small_disk
from support.s3 import S3Server, s3_server

from slcolm_services.errors import StorageFull, StorageRefused, StoreUnavailable
from slcolm_services.runtime.store import ArtifactStore

_PUT = """
import sys
from slcolm_services.runtime.store import ArtifactStore
store, data = ArtifactStore(sys.argv[1]), bytes(8 << 20)
while True:
    store.put_bytes("datasets", data + str(len(data)).encode())
    data += b"."
    print("put", flush=True)
"""


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with small_disk(tmp_path / "disk", mib=4) as folder:
            yield folder
    except CannotMount as problem:
        pytest.skip(str(problem))


def test_a_full_disk_is_named_and_keeps_nothing_half(tiny_disk: Path, tmp_path: Path) -> None:
    store = ArtifactStore(str(tiny_disk / "store"))
    kept = store.put_bytes("datasets", b"small")
    large = tmp_path / "large"
    large.write_bytes(bytes(8 << 20))
    with pytest.raises(StorageFull):
        store.put_bytes("datasets", bytes(8 << 20))
    with pytest.raises(StorageFull):
        store.put_file("datasets", large)
    assert store.list("datasets") == (kept,)
    assert [path.name for path in tiny_disk.rglob("*") if path.is_file()] == [kept]
    assert store.get_bytes("datasets", kept) == b"small"
    assert store.put_bytes("datasets", b"fits") in store.list("datasets")


def test_a_disk_that_is_read_only_is_named_and_still_read(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    kept = store.put_bytes("datasets", b"abc")
    try:
        with read_only(tmp_path / "store"):
            with pytest.raises(StorageRefused, match="Read-only"):
                store.put_bytes("datasets", b"other")
            assert store.get_bytes("datasets", kept) == b"abc"
    except CannotMount as problem:
        pytest.skip(str(problem))


def test_a_process_killed_while_it_puts_leaves_no_artifact_that_is_damaged(
    root: str, request: pytest.FixtureRequest
) -> None:
    for moment in (0.0, 0.01, 0.05):
        command = [sys.executable, "-c", _PUT, root]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ.copy())
        assert process.stdout is not None
        process.stdout.readline()
        threading.Event().wait(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        store = ArtifactStore(root)
        found = store.list("datasets")
        assert found
        for digest in found:
            store.get_bytes("datasets", digest)


def test_many_may_put_the_same_at_once(root: str, tmp_path: Path) -> None:
    source = tmp_path / "folder"
    source.mkdir()
    (source / "a").write_bytes(bytes(1 << 20))
    (source / "b").write_text("b", encoding="utf-8")
    revisions: list[str] = []

    def put() -> None:
        revisions.append(ArtifactStore(root).put_folder("models", source))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(revisions) == 8
    (revision,) = set(revisions)
    fetched = ArtifactStore(root).fetch_folder("models", revision, tmp_path / "cache")
    assert (fetched / "b").read_text(encoding="utf-8") == "b"


def test_a_bucket_that_is_not_there_is_refused_and_not_made(bucket: str) -> None:
    missing = bucket.replace("tests-", "others-")
    with pytest.raises(StorageRefused, match="no such place"):
        ArtifactStore(missing).put_bytes("datasets", b"abc")
    assert not ArtifactStore(missing).is_there()


def test_a_server_that_is_gone_is_unavailable_and_the_error_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.make_bucket("short-lived")
        fsspec.filesystem("s3").clear_instance_cache()
        store = ArtifactStore("s3://short-lived")
        kept = store.put_bytes("datasets", b"abc")
        server.process.kill()
        server.process.wait()
        for attempt in (
            lambda: store.put_bytes("datasets", b"other"),
            lambda: store.get_bytes("datasets", kept),
            lambda: store.list("datasets"),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                attempt()
            assert "no-secret" not in str(caught.value)
    fsspec.filesystem("s3").clear_instance_cache()


def test_wrong_credentials_are_not_mistaken_for_an_empty_store(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises((StoreUnavailable, StorageRefused)):
        ArtifactStore(bucket).put_bytes("datasets", b"abc")
