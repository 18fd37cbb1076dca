"""`slcolm distil experiment`: killed and gone on with, and with both kinds of models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.annals import SAMPLE, small_data

from slcolm_services.corpus.jsonl import read_documents, write_documents

PATIENT = 240.0


def command(folder: Path, *arguments: str) -> list[str]:
    config = ["--config", str(folder / "experiment.toml"), "--out", str(folder / "out")]
    return [sys.executable, "-m", "slcolm_services", "distil", "experiment", *config, *arguments]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A small experiment on the sample; the annotated sentences are others than the human ones."""
    small_data(tmp_path)
    write_documents(tmp_path / "silver.jsonl", read_documents(SAMPLE / "train.jsonl")[60:120])
    write(tmp_path)
    return tmp_path


def write(folder: Path, model: str = "tagger", schedules: str = '"cosine"') -> None:
    (folder / "experiment.toml").write_text(
        f"""
model = "{model}"
encoder = "random"
epochs = 2
batch_size = 8
learning_rate = 2e-3
seeds = [0]
schedules = [{schedules}]
rate_courses = ["constant"]
[data]
task = "{SAMPLE / "task.yaml"}"
original = "train.jsonl"
distilled = "silver.jsonl"
dev = "dev.jsonl"
test = "test.jsonl"
""",
        encoding="utf-8",
    )


def results(folder: Path) -> dict[Path, int]:
    """Finished cells and when they were written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("out/cells/*/result.json")}


@pytest.mark.timeout(400)
def test_a_killed_experiment_leaves_no_process_and_goes_on_where_it_was(prepared: Path) -> None:
    process = subprocess.Popen(
        command(prepared, "--jobs", "1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + PATIENT
    while not results(prepared) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    before = results(prepared)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert children
    _gone, alive = psutil.wait_procs(children, timeout=PATIENT)
    assert alive == []
    assert len(before) < 4

    done = subprocess.run(command(prepared, "--json"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    after = results(prepared)
    assert len(after) == 4
    assert before.items() <= after.items()
    summary: dict[str, Any] = json.loads(done.stdout)
    assert [line["group"] for line in summary["entities"]["groups"]] == ["A", "B", "D"]
    assert [line["schedule"] for line in summary["entities"]["schedules"]] == ["cosine"]
    assert "relations" not in summary
    assert (prepared / "out" / "summary.svg").stat().st_size > 1000

    again = subprocess.run(command(prepared, "--json"), capture_output=True, text=True, check=False)
    assert json.loads(again.stdout) == summary
    assert results(prepared) == after


@pytest.mark.timeout(400)
def test_the_joint_model_is_compared_on_relations_too(prepared: Path) -> None:
    write(prepared, model="span", schedules='"all"')
    done = subprocess.run(
        command(prepared, "--jobs", "2"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((prepared / "out" / "summary.json").read_bytes())
    assert set(summary) == {"entities", "relations"}
    assert "relations on test, 1 seed" in done.stdout
    # Models and checkpoints of cells are not kept.
    names = {path.name for path in (prepared / "out" / "cells").glob("*/*")}
    assert names == {"result.json", "entities.npy", "relations.npy"}


def test_a_process_that_is_killed_is_told_and_costs_no_finished_cell(prepared: Path) -> None:
    process = subprocess.Popen(
        command(prepared, "--jobs", "1", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENT
    while not results(prepared) and time.monotonic() < deadline:
        time.sleep(0.05)
    finished = results(prepared)
    for child in psutil.Process(process.pid).children(recursive=True):
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    output, errors = process.communicate(timeout=PATIENT)
    assert process.returncode == 1
    assert json.loads(output)["error"]["reason"] == "UNAVAILABLE"
    assert "Traceback" not in errors
    assert finished.items() <= results(prepared).items()
