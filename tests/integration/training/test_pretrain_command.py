"""`slcolm pretrain` as a user calls it, kills it, and calls it again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

_STEPS = 60
_BATCH = 256


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rng = random.Random(0)
    words = ("山东", "河西", "江南", "为太守", "至", "击", "，")
    lines = ["".join(rng.choices(words, k=rng.randint(5, 60))) + "。" for _ in range(3000)]
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _command(corpus: Path, folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "slcolm_services", "pretrain", "--json"),
        *("--input", str(corpus), "--out", str(folder), "--tokens", str(_STEPS * _BATCH)),
        *("--layers", "1", "--hidden-size", "64", "--threads", "1"),
        *("--batch-tokens", str(_BATCH), "--micro-tokens", str(_BATCH)),
    ]


def _finish(corpus: Path, folder: Path) -> dict[str, object]:
    done = subprocess.run(_command(corpus, folder), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def _interrupt(corpus: Path, folder: Path, number: int, *, after: str) -> int:
    """Start a run, send it a signal once a file is there, and wait for its end."""
    process = subprocess.Popen(
        _command(corpus, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob(after)) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)  # a checkpoint in the making is not there for long
    process.send_signal(number)
    return process.wait(timeout=120)


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next(folder.glob("step-*/model.safetensors")))


def test_a_run_killed_at_any_moment_ends_with_the_weights_of_one_that_was_not(
    corpus: Path, tmp_path: Path
) -> None:
    whole = _finish(corpus, tmp_path / "whole")
    parts = tmp_path / "parts"
    # While the corpus is read, at the first sign of a checkpoint, and once it is there.
    for after in ("corpus.partial", "checkpoint.partial", "step-*"):
        assert _interrupt(corpus, parts, signal.SIGKILL, after=after) == -signal.SIGKILL
    found = _finish(corpus, parts)
    assert {**found, "encoder": "", "seconds": 0} == {**whole, "encoder": "", "seconds": 0}
    one, other = _weights(tmp_path / "whole"), _weights(parts)
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())
    one_file, other_file = (
        folder / "encoder" / "model.safetensors" for folder in (tmp_path / "whole", parts)
    )
    assert one_file.read_bytes() == other_file.read_bytes()


def _stop(corpus: Path, folder: Path, number: int) -> int:
    """Start a run, send it a signal once it reports progress, and wait for its end."""
    command = _command(corpus, folder)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("step")
        process.send_signal(number)
        process.stderr.read()
        return process.wait(timeout=120)


def test_a_run_that_is_asked_to_stop_writes_a_checkpoint(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for number in (signal.SIGTERM, signal.SIGINT):
        assert _stop(corpus, run, number) == 1
        assert len(list(run.glob("step-*/state.json"))) == 1
    assert _finish(corpus, run)["steps"] == _STEPS
    export = [sys.executable, "-m", "slcolm_services", "pretrain", "--json"]
    export += ["--out", str(run), "--export", str(tmp_path / "encoder")]
    done = subprocess.run(export, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["tokens"] == _STEPS * _BATCH
    assert (tmp_path / "encoder" / "tokenizer.json").is_file()


def test_bad_input_is_one_error_and_no_stack_trace(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    done = subprocess.run(
        _command(empty, tmp_path / "run"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["reason"] == "DATA_INVALID"
    assert "Traceback" not in done.stderr
