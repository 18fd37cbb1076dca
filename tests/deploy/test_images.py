"""Images hold what their service needs and no torch, and run as a user who may write nothing.

There is no engine for containers here. The wheel is built, and what images are made of is laid out
from it. With SLCOLM_TEST_INSTALL=1 an environment is also installed by the images' own script,
which takes minutes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.images import (
    DOCKER,
    DOCKERFILE,
    CannotIsolate,
    Environment,
    extras_of,
    isolated,
    lay_out,
)
from support.manifests import ROOT

from slcolm_services.cli.roles import ROLES
from slcolm_services.runtime.service import NO_START

_START_SECONDS = 120

_IN_A_CLUSTER = {
    "coordinator": {"psycopg", "s3fs"},
    "extraction": {"s3fs", "openvino"},
    "retrieval": {"qdrant-client"},
    "guidance": {"psycopg", "openai"},
    "evaluation": set(),
    "training": {"s3fs"},
}
"""What the settings of a cluster need, beside what the service itself does."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of what .dockerignore lets into an image's build and of nothing else."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in _let_in():
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)],
        check=True,
        capture_output=True,
    )
    (found,) = folder.glob("*.whl")
    return found


def _let_in() -> set[str]:
    """Files and folders of the working tree that get into the build of an image."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return {line.removeprefix("!") for line in rules if line.startswith("!")}


@pytest.fixture(scope="module", params=ROLES)
def environment(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Environment]:
    """A service, and what its image holds."""
    role = str(request.param)
    return role, lay_out(tmp_path_factory.mktemp(role), wheel, extras_of(role))


def test_an_image_has_what_its_service_needs_and_training_alone_torch(
    environment: tuple[str, Environment],
) -> None:
    role, installed = environment

    heavy = {"torch", "transformers"} & installed.packages
    assert heavy == ({"torch", "transformers"} if role == "training" else set())
    assert {"grpcio", "opentelemetry-sdk", *_IN_A_CLUSTER[role]} <= installed.packages


def test_a_service_runs_as_its_image_would_run_it(
    environment: tuple[str, Environment],
) -> None:
    """With its extras alone, without rights, and with nothing to write to but its home."""
    role, installed = environment
    with _serving(role, installed) as (process, health_port):
        check = _healthcheck(installed, health_port)
        deadline = time.monotonic() + _START_SECONDS
        while not _succeeds(check, installed.variables({})):
            assert process.poll() is None
            assert time.monotonic() < deadline
        owner = Path(f"/proc/{process.pid}").stat().st_uid
        process.send_signal(_stop_signal())
        status = process.wait(_START_SECONDS)

    assert owner > 0
    assert status == 0


@contextmanager
def _serving(role: str, installed: Environment) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The service of an image as its own process, and the port of its health checks."""
    ports = {f"SLCOLM_SERVER_{name}": "0" for name in ("PORT", "HEALTH_PORT", "METRICS_PORT")}
    # Not pytest's own folder, into which nobody else may look.
    with tempfile.TemporaryDirectory(prefix="slcolm-") as home:
        try:
            command = isolated(Path(home), installed.command(*_command(role)))
        except CannotIsolate as error:
            pytest.skip(str(error))
        variables = installed.variables({"HOME": home, "TMPDIR": home, **ports})
        with _started(command, variables) as process:
            yield process, _health_port(process)


@contextmanager
def _started(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _succeeds(command: list[str], variables: dict[str, str]) -> bool:
    return not subprocess.run(command, env=variables, capture_output=True, check=False).returncode


def _health_port(process: subprocess.Popen[str]) -> int:
    """Where the service says that it answers health checks."""
    assert process.stderr is not None
    lines: Iterator[dict[str, Any]] = (json.loads(line) for line in process.stderr)
    line = next(line for line in lines if line["event"] in ("listening", NO_START))
    assert line["event"] == "listening", line
    return int(line["health_port"])


def _command(role: str) -> list[str]:
    """What the image starts: its CMD, after the ENTRYPOINT `slcolm`."""
    (found,) = re.findall(rf'^CMD (\["serve", "--role", "{role}"\])$', DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["slcolm"]' in DOCKERFILE
    arguments: list[str] = json.loads(found)
    return arguments


def _healthcheck(installed: Environment, port: int) -> list[str]:
    """The image's HEALTHCHECK, at another port."""
    (found,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(found)
    assert program == "slcolm"
    (usual,) = re.findall(r"SLCOLM_SERVER_HEALTH_PORT=(\d+)", DOCKERFILE)
    return installed.command(*(item.replace(f":{usual}", f":{port}") for item in arguments))


def _stop_signal() -> signal.Signals:
    (name,) = re.findall(r"^STOPSIGNAL (\w+)$", DOCKERFILE, re.MULTILINE)
    return signal.Signals[name]


def test_hadolint_finds_nothing() -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    hadolint = shutil.which("hadolint", path=places)
    assert hadolint is not None
    done = subprocess.run(
        [hadolint, "--failure-threshold", "style", "Dockerfile"],
        cwd=DOCKER,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_every_image_ends_with_the_user_without_rights() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)

    for role in ROLES:
        (stage,) = (item for item in stages if re.match(rf"runtime AS {role}\n", item))
        assert re.findall(r"^USER (\S+)$", stage, re.MULTILINE) == ["10001:10001"]
        assert f"COPY --from={role}-environment /opt/slcolm /opt/slcolm\n" in stage


def test_what_the_build_copies_is_let_in() -> None:
    """Of the working tree nothing else gets into an image, whatever lies about in it."""
    copied = {
        source
        for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in shlex.split(words)[:-1]
    }

    assert copied == _let_in()


def test_a_licence_is_known_for_every_package_that_is_installed() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/licences.py")],
        capture_output=True,
        text=True,
        check=False,
    )

    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert {"grpcio": "Apache-2.0", "psycopg": "LGPL-3.0-only"}.items() <= {
        name: licence for name, _, licence in rows
    }.items()


@pytest.mark.skipif(
    "SLCOLM_TEST_INSTALL" not in os.environ,
    reason="slow, and loads packages: set SLCOLM_TEST_INSTALL=1",
)
@pytest.mark.timeout(1800)
def test_the_script_of_images_installs_an_environment(wheel: Path, tmp_path: Path) -> None:
    tools, folder = tmp_path / "tools", tmp_path / "slcolm"
    constraints = ROOT / "constraints.txt"
    pip = [str(tools / "bin/pip"), "install", "--quiet", "--constraint", str(constraints)]
    subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
    subprocess.run([*pip, "build", "cyclonedx-bom"], check=True)

    subprocess.run(
        [DOCKER / "install.sh", extras_of("evaluation")],
        env={
            **os.environ,
            "FOLDER": str(folder),
            "TOOLS": str(tools),
            "WHEELS": str(wheel.parent),
            "CONSTRAINTS": str(constraints),
            "LICENCES": str(ROOT / "scripts/licences.py"),
        },
        check=True,
    )

    parts = json.loads((folder / "share/slcolm/sbom.cdx.json").read_text(encoding="utf-8"))
    names = {item["name"] for item in parts["components"]}
    licences = (folder / "share/slcolm/licences.txt").read_text(encoding="utf-8")
    help_text = subprocess.run(
        [folder / "bin/slcolm", "--help"], check=True, capture_output=True, text=True
    ).stdout
    assert parts["bomFormat"] == "CycloneDX"
    assert {"slcolm", "grpcio"} <= names
    assert not {"torch", "pip"} & names
    assert {line.split("\t")[0] for line in licences.splitlines()} == names
    assert "serve" in help_text
