"""Folders as artifacts: a manifest as `sha256sum` writes it, whose digest is the name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from slcolm_services.corpus.files import file_digest
from slcolm_services.errors import ArtifactCorrupt, InvalidInput

MANIFEST = "SHA256SUMS"
"""File that lists the others, and is written last."""


def folder_revision(folder: Path) -> str:
    """The revision that `ArtifactStore.put_folder` would give a folder; nothing is stored.

    Raises:
        InvalidInput: The folder holds no file, or a name that no manifest can carry.
    """
    return hashlib.sha256(manifest_of(file_digests(folder))).hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its path in the folder, in the order of the paths."""
    names = sorted(
        name
        for name in (
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        if name != MANIFEST
    )
    if not names:
        raise InvalidInput(f"{folder} holds no files")
    if unfit := [name for name in names if "\n" in name or "\\" in name]:
        raise InvalidInput(f"{folder} holds a file with a name that cannot be kept: {unfit[0]!r}")
    return {name: file_digest(folder / name) for name in names}


def manifest_of(digests: Mapping[str, str]) -> bytes:
    """The manifest of files by their digests."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()


def read_manifest(manifest: bytes, kind: str, revision: str) -> dict[str, str]:
    """Digests by the names of the files.

    Raises:
        ArtifactCorrupt: It names a file outside the folder.
    """
    digests = {}
    for line in manifest.decode().rstrip("\n").split("\n"):
        digest, _, name = line.partition("  ")
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts:
            raise corrupt(kind, revision, f"{MANIFEST} names {name!r}, outside the folder")
        digests[name] = digest
    return digests


def check_folder(folder: Path, digests: dict[str, str], kind: str, revision: str) -> None:
    """Go on where every file is there and has its digest.

    Raises:
        ArtifactCorrupt: One is not or has not.
    """
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise corrupt(kind, revision, f"{name} is missing")
        if file_digest(path) != digest:
            raise corrupt(kind, revision, f"{name} does not match its digest")


def corrupt(kind: str, name: str, problem: str) -> ArtifactCorrupt:
    """What is said of a damaged artifact."""
    return ArtifactCorrupt(
        f"{name} among the {kind} of the store is damaged: {problem}",
        metadata={"artifact": f"{kind}/{name}"},
    )
