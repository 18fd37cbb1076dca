"""The client programs in other languages: built from a copy of their sources, and run."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_BUILD_SECONDS = 500
_RUN_SECONDS = 120


# Debian's packages, by a file or folder that they have. protobuf 1.3, which gRPC for Go is content
# with too, cannot read what protoc-gen-go generates, and has no registry.go.
_GO_PACKAGES = {
    "/usr/share/gocode/src/google.golang.org/grpc": "golang-google-grpc-dev",
    "/usr/share/gocode/src/google.golang.org/genproto": "golang-google-genproto-dev",
    "/usr/share/gocode/src/github.com/golang/protobuf/proto/registry.go": (
        "golang-github-golang-protobuf-1-5-dev"
    ),
}
_CPP_PACKAGES = {
    "/usr/include/grpcpp/grpcpp.h": "libgrpc++-dev",
    "/usr/include/google/protobuf/message.h": "libprotobuf-dev",
}


@dataclass(frozen=True)
class Ended:
    """What a program left when it ended."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """Its output as lines of fields."""
        return [line.split("\t") for line in self.out.splitlines()]


@dataclass(frozen=True)
class Program:
    """A program that is built.

    Attributes:
        language: Its language.
        command: How it is called.
        tests: How its own tests are run.
        unit: What its language counts: `utf16` or `utf8`.
        environment: What it needs in its environment.
    """

    language: str
    command: tuple[str, ...]
    tests: tuple[str, ...]
    unit: str
    environment: Mapping[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str) -> Ended:
        """Run it with these arguments."""
        process = await asyncio.create_subprocess_exec(
            *(*self.command, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | self.environment,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _RUN_SECONDS)
        except BaseException:
            process.kill()
            raise
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())


class NotHere(Exception):
    """What a program is built with is not on this machine."""


def build(language: str, folder: Path) -> Program:
    """Build a program in an empty folder, without a trace in the sources.

    Raises:
        NotHere: A compiler or a package is missing.
    """
    for part in (f"clients/{language}", "proto", "tests/contract/vectors"):
        ignored = shutil.ignore_patterns("node_modules", "dist", "build", "generated")
        shutil.copytree(REPOSITORY / part, folder / part, ignore=ignored)
    return _BUILDERS[language](folder / "clients" / language)


def _node(source: Path) -> Program:
    _need("node", "npm")
    _make(source, "npm", "ci", "--no-audit", "--no-fund")
    _make(source, "npm", "run", "build")
    tests = ("npm", "--prefix", str(source), "test")
    return Program("node", ("node", str(source / "dist" / "main.js")), tests, "utf16")


def _go(source: Path) -> Program:
    _need("go", "make", "protoc", "protoc-gen-go", "protoc-gen-go-grpc")
    _need_packages(_GO_PACKAGES)
    _make(source, "make", "build")
    tests = ("make", "-C", str(source), "test")
    # gRPC of Debian 12 is 1.33; from 1.40 on retries need no word in the environment.
    environment = {"GRPC_GO_RETRY": "on"}
    return Program("go", (str(source / "build" / "slcolm-client"),), tests, "utf8", environment)


def _cpp(source: Path) -> Program:
    _need("g++", "cmake", "protoc", "grpc_cpp_plugin")
    _need_packages(_CPP_PACKAGES)
    made = source / "build"
    # Nothing is measured, so what compiles faster is better.
    _make(source, "cmake", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Debug")
    _make(source, "cmake", "--build", "build", "-j2")
    tests = ("ctest", "--test-dir", str(made), "--output-on-failure")
    return Program("cpp", (str(made / "slcolm-client"),), tests, "utf8")


_BUILDERS: dict[str, Callable[[Path], Program]] = {"node": _node, "go": _go, "cpp": _cpp}
LANGUAGES = tuple(_BUILDERS)


def _need(*names: str) -> None:
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise NotHere(f"not installed: {', '.join(missing)}")


def _need_packages(packages: Mapping[str, str]) -> None:
    missing = [package for path, package in packages.items() if not Path(path).exists()]
    if missing:
        raise NotHere(f"not installed: {', '.join(missing)}")


def _make(folder: Path, *command: str) -> None:
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
