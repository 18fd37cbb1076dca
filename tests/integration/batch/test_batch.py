"""`slcolm batch` and the extraction service as processes of their own, killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.extracting import extraction_process
from support.killable import Killable
from support.letters import MANIFEST, write_model

ROWS, SHARD_ROWS = 2000, 200
SHARDS = ROWS // SHARD_ROWS
WRONG = {7: "", 11: "x" * 300, 1500: None}
"""Rows that are wrong in themselves: empty, too long, no text."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    texts: list[str | None] = [
        f"{'AxBy'[n % 4]}By"[: 1 + n % 3] + "Ax" * (n % 9) for n in range(ROWS)
    ]
    for number, text in WRONG.items():
        texts[number] = text
    lines = (json.dumps({"id": f"r{n}", "text": text}) for n, text in enumerate(texts))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def service(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    with extraction_process(
        model, tmp_path_factory.mktemp("service"), max_text_characters=200
    ) as running:
        yield running


@pytest.fixture(scope="module")
def whole(
    service: Killable, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The output of an undisturbed run, and its summary."""
    out = tmp_path_factory.mktemp("whole") / "out"
    summary = done(start(corpus, out, service.address))
    return files_of(out), summary


def start(corpus: Path, out: Path, address: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "slcolm_services", "batch", "--input", str(corpus)),
            *("--output", str(out), "--extraction", address, "--json"),
            *("--shard-rows", str(SHARD_ROWS), "--batch-size", "8", *more),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "FORCE_COLOR"},
    )


def done(process: subprocess.Popen[str], status: int = 0) -> Any:
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    return json.loads(out)


def files_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def shards_in(out: Path) -> int:
    manifest = out / "manifest.json"
    return len(json.loads(manifest.read_bytes())["shards"]) if manifest.exists() else 0


def test_every_row_has_a_row(whole: tuple[dict[str, bytes], dict[str, Any]]) -> None:
    files, summary = whole
    shards = [files[f"part-{number:05}.jsonl"] for number in range(SHARDS)]
    rows = [json.loads(line) for shard in shards for line in shard.splitlines()]

    assert [row["id"] for row in rows] == [f"r{n}" for n in range(ROWS)]
    assert {n: row["error"]["reason"] for n, row in enumerate(rows) if "error" in row} == {
        7: "INVALID_INPUT",
        11: "TEXT_TOO_LONG",
        1500: "DATA_INVALID",
    }
    assert all(row["entities"] for row in rows if "error" not in row)
    assert any(row["relations"] for row in rows if "error" not in row)
    assert files.keys() == {"manifest.json", *(f"part-{n:05}.jsonl" for n in range(SHARDS))}
    assert (summary["rows"], summary["rows_before"]) == (ROWS, 0)
    assert summary["failed"] == {"DATA_INVALID": 1, "INVALID_INPUT": 1, "TEXT_TOO_LONG": 1}


def test_a_command_that_is_killed_goes_on_and_ends_the_same(
    service: Killable,
    corpus: Path,
    tmp_path: Path,
    whole: tuple[dict[str, bytes], dict[str, Any]],
) -> None:
    out = tmp_path / "out"
    # Once with a shard in work, once just when one is renamed.
    first = start(corpus, out, service.address)
    wait_for(lambda: shards_in(out) >= 2 and any(out.glob(".part-*.part")))
    kill(first)
    finished = shards_in(out)
    second = start(corpus, out, service.address)
    wait_for((out / f"part-{finished + 2:05}.jsonl").exists)
    kill(second)
    finished = shards_in(out)
    assert finished < SHARDS

    summary = done(start(corpus, out, service.address))

    assert files_of(out) == whole[0]
    assert summary["rows_before"] == finished * SHARD_ROWS > 0


def test_a_service_that_restarts_in_the_middle_costs_no_row(
    model: Path, corpus: Path, tmp_path: Path, whole: tuple[dict[str, bytes], dict[str, Any]]
) -> None:
    out = tmp_path / "out"
    with extraction_process(model, tmp_path, max_text_characters=200) as first:
        command = start(corpus, out, first.address, "--patience", "60")
        wait_for(lambda: shards_in(out) >= 2)
        first.process.kill()
        first.process.wait()
    assert shards_in(out) < SHARDS
    time.sleep(1)
    assert command.poll() is None
    with extraction_process(model, tmp_path, first.port, max_text_characters=200):
        done(command)

    assert files_of(out) == whole[0]


def test_a_service_that_stays_away_stops_the_command_and_costs_no_row(
    service: Killable,
    model: Path,
    corpus: Path,
    tmp_path: Path,
    whole: tuple[dict[str, bytes], dict[str, Any]],
) -> None:
    out = tmp_path / "out"
    with extraction_process(model, tmp_path, max_text_characters=200) as first:
        command = start(corpus, out, first.address, "--patience", "0.5")
        wait_for(lambda: shards_in(out) >= 1)
    failure = done(command, status=1)
    assert failure["error"]["reason"] == "SERVICE_UNAVAILABLE"
    assert "goes on after the last finished shard" in failure["error"]["message"]

    done(start(corpus, out, service.address))

    assert files_of(out) == whole[0]


def test_another_input_and_another_model_are_refused(
    service: Killable, corpus: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.jsonl"
    small.write_text('{"id": "a", "text": "AxB"}\n', encoding="utf-8")
    out = tmp_path / "out"
    done(start(small, out, service.address))
    before = files_of(out)

    refused = done(start(corpus, out, service.address), status=1)
    assert refused["error"]["reason"] == "PRECONDITION_FAILED"
    assert [v["field"] for v in refused["error"]["violations"]] == ["input"]

    (tmp_path / "other").mkdir()
    other = write_model(tmp_path / "other", manifest=replace(MANIFEST, relation_threshold=0.9))
    with extraction_process(other, tmp_path) as another:
        refused = done(start(small, out, another.address), status=1)
    assert [v["field"] for v in refused["error"]["violations"]] == ["model_revision"]
    assert files_of(out) == before


def test_a_model_folder_is_served_for_the_command(model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("AxB\n\nBy", encoding="utf-8")
    command = [sys.executable, "-m", "slcolm_services", "batch", "--output", str(tmp_path / "out")]
    command += ["--input", str(tmp_path / "*.txt")]

    ended = subprocess.run(
        [*command, "--model", str(model)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "3 rows in 1 shard" in ended.stdout
    assert "1 row failed: 1 INVALID_INPUT" in ended.stdout
    lines = (tmp_path / "out" / "part-00000.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [f"texts.txt:{n}" for n in (1, 2, 3)]

    ended = subprocess.run(
        [*command, "--model", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "the extraction service ended" in ended.stderr
