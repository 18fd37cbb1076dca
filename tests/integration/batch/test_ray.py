"""`slcolm batch --engine ray`: real actors, killed while they write. `local` says what is right."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.batches import (
    ROWS,
    SHARD_ROWS,
    SHARDS,
    done,
    files_of,
    kill,
    shards_in,
    start,
    wait_for,
)
from support.extracting import extraction_process
from support.killable import Killable

pytest.importorskip("ray", reason="ray is not installed")

RAY = ("--engine", "ray", "--actors", "2")


@pytest.fixture(scope="module")
def whole(
    service: Killable, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What the engine `local` writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done(start(corpus, out, service.address))
    return files_of(out)


def writers(command: subprocess.Popen[str]) -> list[psutil.Process]:
    """Actors of a command that are at work; waits until there is one."""
    found: list[psutil.Process] = []

    def found_some() -> bool:
        for process in psutil.Process(command.pid).children(recursive=True):
            # One that ends meanwhile is none.
            with contextlib.suppress(psutil.Error):
                if "".join(process.cmdline()).startswith("ray::_Writer.shard"):
                    found.append(process)
        return bool(found)

    wait_for(found_some)
    return found


@pytest.mark.timeout(600)
def test_an_actor_and_the_service_are_killed_and_cost_no_row(
    model: Path, corpus: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    with extraction_process(model, tmp_path, max_text_characters=200) as first:
        command = start(corpus, out, first.address, *RAY)
        wait_for(lambda: shards_in(out) >= 1 and any(out.glob(".part-*.part")))
        writers(command)[0].kill()
        wait_for(lambda: shards_in(out) >= 3)
        first.process.kill()
        first.process.wait()
    assert shards_in(out) < SHARDS
    with extraction_process(model, tmp_path, first.port, max_text_characters=200):
        out_of_command, said = command.communicate(timeout=240)

    assert command.returncode == 0, said
    # Nothing of what Ray has to say stands on stdout, and one line of ours on stderr.
    assert json.loads(out_of_command)["rows"] == ROWS
    assert said.count("an actor died; its shard is written again") >= 1
    assert "raylet" not in said
    assert files_of(out) == whole


@pytest.mark.timeout(600)
def test_either_engine_goes_on_with_what_the_other_began(
    service: Killable, corpus: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    first = start(corpus, out, service.address, *RAY)
    wait_for(lambda: shards_in(out) >= 2 and any(out.glob(".part-*.part")))
    actors = writers(first)
    kill(first)
    psutil.wait_procs(actors, timeout=60)
    assert not any(actor.is_running() for actor in actors)
    begun = shards_in(out)
    second = start(corpus, out, service.address)
    wait_for(lambda: shards_in(out) > begun)
    kill(second)
    finished = shards_in(out)
    assert finished < SHARDS

    summary = done(start(corpus, out, service.address, *RAY))

    assert summary["rows_before"] == finished * SHARD_ROWS
    assert files_of(out) == whole


@pytest.mark.timeout(600)
def test_a_service_that_stays_away_stops_the_command_and_costs_no_row(
    service: Killable, corpus: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    nobody = f"127.0.0.1:{free_port()}"
    failure = done(start(corpus, out, nobody, *RAY, "--patience", "0.5"), status=1)
    assert failure["error"]["code"] == "UNAVAILABLE"
    assert "cannot be reached" in failure["error"]["message"]
    assert files_of(out) == {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_cluster_that_is_not_there_is_said_at_once(corpus: Path, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    more = (*RAY, "--ray-address", nobody)
    failure = done(start(corpus, tmp_path / "out", "127.0.0.1:1", *more), status=1)
    assert failure["error"]["reason"] == "SERVICE_UNAVAILABLE"
    assert f"no Ray cluster can be reached at {nobody}" in failure["error"]["message"]


@contextmanager
def a_cluster(folder: Path) -> Iterator[str]:
    """A Ray of one node, started by hand as a user would; gives its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sysconfig.get_path("scripts"), "ray")), "start", "--head", "--block"]
    command += ["--node-ip-address", "127.0.0.1", "--port", address.rpartition(":")[2]]
    command += ["--num-cpus", "2", "--object-store-memory", str(80 << 20)]
    command += ["--include-dashboard", "false", "--disable-usage-stats"]
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"RAY_AUTH_MODE": "disabled"}
        )
    try:
        wait_for(lambda: "Ray runtime started" in (folder / "ray.log").read_text())
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@pytest.mark.timeout(600)
def test_actors_of_a_cluster_that_runs_have_services_of_their_own(
    model: Path, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("AxB\n\nBy\nAy", encoding="utf-8")
    outs = [tmp_path / "local", tmp_path / "ray"]
    with a_cluster(tmp_path) as address:
        for out, more in zip(outs, ((), (*RAY, "--ray-address", address)), strict=True):
            ended = subprocess.run(
                [
                    *(sys.executable, "-m", "slcolm_services", "batch", "--output", str(out)),
                    *("--input", str(texts), "--model", str(model), "--shard-rows", "2", *more),
                ],
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
                env=os.environ | {"RAY_AUTH_MODE": "disabled"},
            )
            assert ended.returncode == 0, ended.stderr
            assert "4 rows in 2 shards" in ended.stdout
            assert "1 row failed: 1 INVALID_INPUT" in ended.stdout

    assert files_of(outs[1]) == files_of(outs[0])
