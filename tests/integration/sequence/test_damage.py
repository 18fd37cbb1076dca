"""`slcolm run` under damage: the same command again completes it, and does nothing twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.annals import Data
from support.disks import CannotMount, fill, read_only, small_disk

_PATIENCE_SECONDS = 240.0


class Command:
    """`slcolm run` with one home and one folder for the results."""

    def __init__(self, data: Data, folder: Path) -> None:
        self.home = folder / "home"
        self.out = folder / "out"
        self._arguments = ["run", "--task", str(data.task), "--epochs", "3", "--json"]
        for split, path in data.paths.items():
            self._arguments += [f"--{split}", str(path)]
        self._arguments += ["--home", str(self.home), "--out", str(self.out)]

    @contextmanager
    def begun(self) -> Iterator[subprocess.Popen[str]]:
        """The command at work; its processes are gone afterwards."""
        with subprocess.Popen(
            [sys.executable, "-m", "slcolm_services", *self._arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                kill_tree(process)

    def complete(self) -> dict[str, Any]:
        """Run it to its end; returns the report."""
        with self.begun() as process:
            stdout, stderr = process.communicate(timeout=_PATIENCE_SECONDS)
        assert process.returncode == 0, stderr
        found: dict[str, Any] = json.loads(stdout)
        assert found == json.loads((self.out / "report.json").read_bytes())
        return found

    def stages(self, event: str) -> Counter[str]:
        """How often a stage was started or done, by the coordinator's log."""
        log = self.home / "logs" / "coordinator.log"
        text = log.read_text(encoding="utf-8") if log.is_file() else ""
        # A killed process may have left half a line; gRPC writes lines of its own.
        whole = [line for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
        lines = map(json.loads, whole)
        return Counter(
            line["stage"]
            for line in lines
            if line["event"] == event and not line.get("reused", False)
        )

    def wait_for(self, stage: str, process: subprocess.Popen[str]) -> None:
        """Wait until a stage has begun."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.stages("stage started")[stage]:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)


def kill_tree(process: subprocess.Popen[str]) -> None:
    """Kill -9 a process with all its descendants."""
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in family:
            child.kill()
        psutil.wait_procs(family, timeout=_PATIENCE_SECONDS)
        process.wait()


def result_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report without what differs between two runs of the same: names and times.

    A model's card tells how long its training took, hence its revision differs too.
    """
    different = ("run_id", "stages", "revisions")
    return {name: value for name, value in report.items() if name not in different}


@pytest.fixture
def command(data: Data, tmp_path: Path) -> Command:
    return Command(data, tmp_path)


@dataclass(frozen=True)
class Undisturbed:
    """What the command leaves without damage."""

    home: Path
    result: Mapping[str, Any]

    def give_model(self, command: Command) -> None:
        """Let a command whose training is not disturbed find the model that it would make."""
        models = Path("store", "models")
        shutil.copytree(self.home / models, command.home / models)


@pytest.fixture(scope="module")
def undisturbed(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    command = Command(data, tmp_path_factory.mktemp("undisturbed"))
    return Undisturbed(command.home, result_of(command.complete()))


def is_completed(command: Command, undisturbed: Undisturbed, *, in_flight: str = "") -> None:
    """The same command again ends well, with the same result, and no stage was done twice.

    The stage in flight may have been done when its end could not be recorded any more.
    """
    assert result_of(command.complete()) == undisturbed.result
    done = command.stages("stage done")
    assert done.pop(in_flight, 1) in (1, 2)
    assert set(done.values()) == {1}
    assert (command.out / "model" / "manifest.json").is_file()


@pytest.mark.parametrize("stage", ["train", "guide", "report"])
def test_a_killed_tree_is_no_loss(command: Command, undisturbed: Undisturbed, stage: str) -> None:
    if stage != "train":
        undisturbed.give_model(command)
    with command.begun() as process:
        command.wait_for(stage, process)
    is_completed(command, undisturbed, in_flight=stage)


def test_a_killed_command_can_be_given_again_at_once(
    command: Command, undisturbed: Undisturbed
) -> None:
    """Its services live on for a moment, and hold ports, locks and folders."""
    undisturbed.give_model(command)
    with command.begun() as process:
        command.wait_for("predict", process)
        services = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        is_completed(command, undisturbed, in_flight="predict")
        assert not [service for service in services if service.is_running()]


def fails(command: Command, damage: Callable[[], object]) -> dict[str, Any]:
    """Do damage while the run trains; returns the error that the command ends with."""
    with command.begun() as process:
        command.wait_for("train", process)
        damage()
        stdout, stderr = process.communicate(timeout=_PATIENCE_SECONDS)
    assert process.returncode != 0
    assert "Traceback" not in stderr
    found: dict[str, Any] = json.loads(stdout or stderr.splitlines()[-1])
    return found


def test_a_disk_that_becomes_read_only_is_named(command: Command, undisturbed: Undisturbed) -> None:
    command.home.mkdir()
    try:
        with read_only(command.home):
            pass
    except CannotMount as problem:
        pytest.skip(str(problem))
    stack = read_only(command.home)
    error = fails(command, stack.__enter__)
    stack.__exit__(None, None, None)
    assert error["error"]["reason"] == "STORAGE_REFUSED"
    is_completed(command, undisturbed, in_flight="train")


def test_a_disk_that_is_full_is_named(command: Command, undisturbed: Undisturbed) -> None:
    try:
        with small_disk(command.home, mib=400) as disk:
            error = fails(command, lambda: fill(disk / "ballast"))
            assert error["error"]["reason"] == "STORAGE_FULL"
            (disk / "ballast").unlink()
            is_completed(command, undisturbed, in_flight="train")
    except CannotMount as problem:
        pytest.skip(str(problem))
