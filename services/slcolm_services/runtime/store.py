"""Artifacts under the digest of their content: data sets, models, reports, results of stages.

    ROOT/KIND/DIGEST                  bytes
    ROOT/KIND/REVISION/...            the files of a folder
    ROOT/KIND/REVISION/SHA256SUMS     their digests; its own SHA-256 is the folder's revision
    ROOT/KIND/records/KEY             a small value under a key that the caller derived

The root is a folder or any fsspec URL. A folder exists once its SHA256SUMS does, which is written
last; `sha256sum -c SHA256SUMS` checks one by hand. Bytes appear as a whole: on a local disk by
renaming, on an object store because an object does.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from slcolm_services.corpus.files import file_digest
from slcolm_services.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    ConfigInvalid,
    FieldViolation,
    InvalidInput,
    SlcolmError,
    StorageRefused,
    StoreUnavailable,
)
from slcolm_services.runtime.folders import (
    MANIFEST,
    check_folder,
    corrupt,
    file_digests,
    manifest_of,
    read_manifest,
)
from slcolm_services.runtime.storage import storage_error

_RECORDS = "records"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[a-z][a-z0-9-]*")
_OBJECT_STORES = frozenset({"s3", "gs", "abfs", "az", "oci"})
_S3_OPTIONS = {
    "config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}
}
"""The library itself tries five times: a store that is away is known of within two minutes."""


class ArtifactStore:
    """Content-addressed artifacts. Thread-safe; every method blocks on disk or network.

    Putting is idempotent, and replaces a damaged artifact by a sound one.

    Args:
        root: A folder or an fsspec URL, for example `s3://bucket/slcolm`. Made when needed.

    Raises:
        ConfigInvalid: The URL's protocol is unknown or its library is not installed.
    """

    def __init__(self, root: str) -> None:
        options = _S3_OPTIONS if root.startswith("s3:") else {}
        try:
            self._fs, path = fsspec.core.url_to_fs(root, **options)
        except (ImportError, ValueError) as error:
            raise ConfigInvalid(
                f"artifact store {root!r} cannot be used: {error}",
                violations=[FieldViolation("store", str(error))],
            ) from error
        self._root = path.rstrip("/")
        self._is_local = isinstance(self._fs, LocalFileSystem)
        protocols = (
            (self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol
        )
        self._has_folders = not _OBJECT_STORES & set(protocols)

    def is_there(self) -> bool:
        """Whether the root exists: nothing was ever put where it does not."""
        with self._telling():
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self._root))

    def check(self) -> None:
        """Go on where artifacts can be read and put, as far as that is known without a try.

        Raises:
            StorageRefused: The folder may not be written to, or the bucket does not exist.
            StoreUnavailable: The store does not answer.
        """
        if self._is_local:
            folder = Path(self._root)
            while not folder.exists():
                folder = folder.parent
            if not os.access(folder, os.W_OK | os.X_OK):
                raise self._refused(f"{folder} may not be written to")
        elif not self._has_folders:
            with self._telling():
                self._fs.invalidate_cache()
                if not self._fs.exists(self._root.partition("/")[0]):
                    raise self._refused("there is no such place in it")

    def put_bytes(self, kind: str, data: bytes) -> str:
        """Store bytes; returns their SHA-256."""
        digest = hashlib.sha256(data).hexdigest()
        self._write(self._path(kind, digest), data)
        return digest

    def put_file(self, kind: str, path: Path) -> str:
        """Store a file's bytes; returns their SHA-256."""
        digest = file_digest(path)
        self._copy_in(path, self._path(kind, digest))
        return digest

    def get_bytes(self, kind: str, digest: str) -> bytes:
        """Read bytes.

        Raises:
            ArtifactNotFound: There are none under this digest.
            ArtifactCorrupt: They do not match it.
        """
        data = self._read(self._path(kind, digest), kind, digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise corrupt(kind, digest, "its bytes do not match the digest")
        return data

    def put_folder(self, kind: str, folder: Path) -> str:
        """Store a folder's files; returns the revision, which their paths and bytes make.

        Raises:
            InvalidInput: The folder holds no file, or a name that no manifest can carry.
        """
        files = file_digests(folder)
        manifest = manifest_of(files)
        revision = hashlib.sha256(manifest).hexdigest()
        target = self._path(kind, revision)
        for name in files:
            self._copy_in(folder / name, f"{target}/{name}")
        self._write(f"{target}/{MANIFEST}", manifest)
        return revision

    def fetch_folder(self, kind: str, revision: str, cache: Path) -> Path:
        """A local folder with the files of a revision, checked against their digests.

        Args:
            kind: Kind of artifact.
            revision: What `put_folder` returned.
            cache: Folder that keeps what was fetched; not used where the store is a local folder.

        Returns:
            Path of the folder. It is shared: do not write to it.

        Raises:
            ArtifactNotFound: There is no such revision.
            ArtifactCorrupt: A file is missing or does not match its digest.
        """
        source = self._path(kind, revision)
        manifest = self._read(f"{source}/{MANIFEST}", kind, revision)
        if hashlib.sha256(manifest).hexdigest() != revision:
            raise corrupt(kind, revision, f"{MANIFEST} does not match the revision")
        digests = read_manifest(manifest, kind, revision)
        if self._is_local:
            check_folder(Path(source), digests, kind, revision)
            return Path(source)
        target = cache / revision
        with suppress(ArtifactCorrupt):
            check_folder(target, digests, kind, revision)
            return target
        partial = cache / f".{revision}.{uuid.uuid4().hex}.partial"
        try:
            for name in digests:
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError), self._telling():
                    self._fs.get_file(f"{source}/{name}", str(partial / name))
            check_folder(partial, digests, kind, revision)
            (partial / MANIFEST).write_bytes(manifest)
            _replace_folder(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        check_folder(target, digests, kind, revision)
        return target

    def exists(self, kind: str, digest: str) -> bool:
        """Whether bytes or a whole folder stand under this digest; their content is not read."""
        path = self._path(kind, digest)
        with self._telling():
            return bool(self._fs.isfile(path) or self._fs.isfile(f"{path}/{MANIFEST}"))

    def list(self, kind: str) -> tuple[str, ...]:
        """Digests of all artifacts of a kind, sorted."""
        found = self._digests(self._folder(kind))
        return tuple(name for name in found if self.exists(kind, name))

    def size(self, kind: str, digest: str) -> int:
        """Bytes that an artifact takes; 0 where there is none."""
        with self._telling():
            self._fs.invalidate_cache()
            try:
                return int(self._fs.du(self._path(kind, digest)))
            except FileNotFoundError:
                return 0

    def delete(self, kind: str, digest: str) -> None:
        """Delete an artifact; nothing where there is none. A folder is gone with its first file."""
        path = self._path(kind, digest)
        for place in (f"{path}/{MANIFEST}", path):
            with self._writing(), suppress(FileNotFoundError, NotADirectoryError):
                self._fs.rm(place, recursive=True)

    def records(self, kind: str) -> tuple[str, ...]:
        """Keys of all records of a kind, sorted."""
        return self._digests(f"{self._folder(kind)}/{_RECORDS}")

    def delete_record(self, kind: str, key: str) -> None:
        """Delete a record; nothing where there is none."""
        with self._writing(), suppress(FileNotFoundError):
            self._fs.rm(self._record(kind, key))

    def put_record(self, kind: str, key: str, data: bytes) -> None:
        """Keep a value under a key, over what was there.

        Args:
            kind: Kind of artifact that the value belongs to.
            key: A SHA-256 in hexadecimal, of what the value was made from.
            data: The value.
        """
        check = hashlib.sha256(data).hexdigest().encode()
        self._write(self._record(kind, key), check + b"\n" + data)

    def get_record(self, kind: str, key: str) -> bytes:
        """The value under a key.

        Raises:
            ArtifactNotFound: There is none.
            ArtifactCorrupt: It is damaged.
        """
        check, _, data = self._read(self._record(kind, key), kind, key).partition(b"\n")
        if hashlib.sha256(data).hexdigest().encode() != check:
            raise corrupt(kind, key, "the record is damaged")
        return data

    def _digests(self, folder: str) -> tuple[str, ...]:
        """Names in a folder that are digests, sorted."""
        try:
            with self._telling():
                self._fs.invalidate_cache()
                paths: list[str] = self._fs.ls(folder, detail=False)
        except FileNotFoundError:
            return ()
        names = {path.rstrip("/").rpartition("/")[2] for path in paths}
        return tuple(sorted(name for name in names if _DIGEST.fullmatch(name)))

    def _folder(self, kind: str) -> str:
        if not _KIND.fullmatch(kind):
            raise InvalidInput(f"{kind!r} is no kind of artifact")
        return f"{self._root}/{kind}"

    def _path(self, kind: str, digest: str) -> str:
        return f"{self._folder(kind)}/{_checked(digest)}"

    def _record(self, kind: str, key: str) -> str:
        return f"{self._folder(kind)}/{_RECORDS}/{_checked(key)}"

    def _read(self, path: str, kind: str, name: str) -> bytes:
        try:
            with self._telling():
                data: bytes = self._fs.cat_file(path)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ArtifactNotFound(
                f"there is no {name} among the {kind} of the store",
                metadata={"artifact": f"{kind}/{name}"},
            ) from error
        return data

    def _write(self, path: str, data: bytes) -> None:
        with self._writing():
            if self._is_local:
                with _Partial(Path(path)) as partial:
                    partial.write_bytes(data)
            else:
                self._make_folder_of(path)
                self._fs.pipe_file(path, data)

    def _copy_in(self, source: Path, path: str) -> None:
        with self._writing():
            if self._is_local:
                with _Partial(Path(path)) as partial:
                    shutil.copyfile(source, partial)
            else:
                self._make_folder_of(path)
                self._fs.put_file(str(source), path)

    def _make_folder_of(self, path: str) -> None:
        # An object store has none; asked for one, its library would make the bucket.
        if self._has_folders:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say in the project's errors what a disk or an object store says in its own."""
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, SlcolmError):
            raise
        except Exception as error:
            if self._is_local:
                raise storage_error(error) or error from error
            if isinstance(error, PermissionError):
                raise self._refused("access is denied") from error
            # Every library behind fsspec has errors of its own.
            raise StoreUnavailable(
                f"the artifact store {self._root} does not answer: {type(error).__name__}",
                metadata={"store": self._root},
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._telling():
                yield
        except FileNotFoundError as error:
            if self._is_local:
                raise
            raise self._refused("there is no such place in it") from error

    def _refused(self, problem: str) -> StorageRefused:
        return StorageRefused(
            f"the artifact store {self._root} refuses: {problem}", metadata={"store": self._root}
        )


class _Partial:
    """A file beside the target that takes the target's place once it is written and on disk."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")

    def __enter__(self) -> Path:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        return self._path

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with self._path.open("rb+") as file:
                    os.fsync(file.fileno())
                self._path.replace(self._target)
        finally:
            self._path.unlink(missing_ok=True)


def _checked(digest: str) -> str:
    # Digests come from requests and become paths.
    if not _DIGEST.fullmatch(digest):
        raise InvalidInput(
            f"{digest[:80]!r} is not a digest: 64 hexadecimal digits in lower case are expected"
        )
    return digest


def _replace_folder(source: Path, target: Path) -> None:
    """Put a fetched folder in its place; another process may do the same at the same time."""
    shutil.rmtree(target, ignore_errors=True)
    with suppress(OSError):  # the other process was faster: its files are the same
        source.rename(target)
