"""What an image would hold and how it would run, without an engine for containers.

An environment of what some extras ask for is laid out of links to the packages that are installed
here: the same versions, a hundred times faster than an installer. A command then runs as the image
would: as a user without rights, on file systems that may only be read but for one folder.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DOCKER = Path(__file__).resolve().parents[2] / "deploy" / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
USER = 10001

_UNPRIVILEGED = """
set -eu
mount --bind "$1" "$1"
mount -o remount,bind,ro /
cd "$1"
shift
exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs \
  --inh-caps=+dac_read_search --ambient-caps=+dac_read_search "$@"
"""
"""The folder stays what it was, all else is read-only. The capability is to read what may lie in
folders of root's here; it lets nobody write."""


class CannotIsolate(Exception):
    """Nothing may be mounted here, or there are no users to become."""


def extras_of(role: str) -> str:
    """Extras that the image of a service is installed with."""
    found = re.findall(rf"AS {role}-environment\n(?:ARG .*\n)?RUN .*install\.sh (\S+)", DOCKERFILE)
    (extras,) = found
    return str(extras)


@dataclass(frozen=True)
class Environment:
    """Packages in a folder.

    Attributes:
        folder: Where they are; nothing else is on Python's path.
        packages: Their names.
    """

    folder: Path
    packages: frozenset[str]

    def command(self, *arguments: str) -> list[str]:
        """The `slcolm` command of this environment."""
        # -S: without the packages that are installed here.
        return [sys.executable, "-S", "-m", "slcolm_services", *arguments]

    def variables(self, more: Mapping[str, str]) -> dict[str, str]:
        """What the command is to have in its environment, and no more."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }


def lay_out(folder: Path, wheel: Path, extras: str) -> Environment:
    """Put the wheel, and links to everything that it needs with these extras, into a folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (information,) = folder.glob("slcolm-*.dist-info")
    needed = _closure(Distribution.at(information), frozenset(extras.split(",")))
    shared = _shared()
    for package in needed.values():
        for path in {_link(file.parts, shared) for file in package.files or ()} - {()}:
            link = folder.joinpath(*path)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(str(package.locate_file("/".join(path))))
    return Environment(folder, frozenset(needed))


def _link(parts: tuple[str, ...], shared: frozenset[str]) -> tuple[str, ...]:
    """What is linked for a file: the folder at the top, or itself where packages share that."""
    if parts[0] == "..":  # scripts
        return ()
    return parts if parts[0] in shared else parts[:1]


@functools.cache
def _shared() -> frozenset[str]:
    """Names at the top of what is installed that several packages have files in."""
    owners: dict[str, set[str]] = {}
    for package in distributions():
        name = package.name  # which is read anew each time
        for file in package.files or ():
            owners.setdefault(file.parts[0], set()).add(name)
    return frozenset(name for name, packages in owners.items() if len(packages) > 1)


def _closure(root: Distribution, extras: frozenset[str]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(root, extras)]
    while waiting:
        package, wanted = waiting.pop()
        name = canonicalize_name(package.name)
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        if package is not root and name != root.name:
            found[name] = package
        for need in _needs(package, wanted):
            if canonicalize_name(need.name) == root.name:
                waiting.append((root, frozenset(need.extras)))
            else:
                waiting.append((distribution(need.name), frozenset(need.extras)))
    return found


def _needs(package: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in package.requires or ():
        need = Requirement(line)
        chosen = [{"extra": extra} for extra in (*sorted(extras), "")]
        if need.marker is None or any(need.marker.evaluate(choice) for choice in chosen):
            try:
                distribution(need.name)
            except PackageNotFoundError:
                raise AssertionError(f"{package.name} needs {need}, which is not here") from None
            yield need


def isolated(writable: Path, command: Sequence[str]) -> list[str]:
    """A command as an image runs it; `writable` is the only folder that it may write to.

    Raises:
        CannotIsolate: This machine does not let us.
    """
    os.chown(writable, USER, USER)
    prefix = ["unshare", "--mount", "sh", "-c", _UNPRIVILEGED.format(user=USER), "sh"]
    words = [*prefix, str(writable)]
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotIsolate(f"there are no rights to set this up: {error}") from error
    return [*words, *command]
