"""`slcolm batch` and the extraction service as processes of their own, killed at any moment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from support.letters import MANIFEST, write_model


@pytest.fixture(scope="module")
def whole(
    service: Killable, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The output of an undisturbed run, and its summary."""
    out = tmp_path_factory.mktemp("whole") / "out"
    summary = done(start(corpus, out, service.address))
    return files_of(out), summary


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
