"""Disks that fail for real: a small one in memory, and one that may only be read."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotMount(Exception):
    """The tests may not mount file systems here."""


@contextmanager
def small_disk(folder: Path, *, mib: int) -> Iterator[Path]:
    """A file system of its own at `folder`, in memory.

    Raises:
        CannotMount: That needs rights that are not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder)
    try:
        yield folder
    finally:
        _run("umount", "-l", folder)


def fill(path: Path) -> None:
    """Write a file that takes all the room there is on its disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def grow(folder: Path, *, mib: int) -> None:
    """Give a small disk that much room in all."""
    _run("mount", "-o", f"remount,size={mib}m", folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """What lies in a folder, as if its disk could not be written: even root is refused.

    Raises:
        CannotMount: That needs rights that are not there.
    """
    _run("mount", "--bind", folder, folder)
    try:
        _run("mount", "-o", "remount,bind,ro", folder)
        yield
    finally:
        _run("umount", "-l", folder)


def _run(*command: str | Path) -> None:
    try:
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotMount(f"no file system can be mounted here: {error}") from error
