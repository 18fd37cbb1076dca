"""`slcolm batch` as a process of its own, over a corpus of letters; see `letters`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS, SHARD_ROWS = 2000, 200
SHARDS = ROWS // SHARD_ROWS
WRONG = {7: "", 11: "x" * 300, 1500: None}
"""Rows that are wrong in themselves: empty, too long, no text."""


def write_corpus(path: Path) -> Path:
    """A file of rows, three of them wrong, and give its path back."""
    texts: list[str | None] = [
        f"{'AxBy'[n % 4]}By"[: 1 + n % 3] + "Ax" * (n % 9) for n in range(ROWS)
    ]
    for number, text in WRONG.items():
        texts[number] = text
    lines = (json.dumps({"id": f"r{n}", "text": text}) for n, text in enumerate(texts))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def start(corpus: Path, out: Path, address: str, *more: str) -> subprocess.Popen[str]:
    """Begin to have a service read it."""
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
    out, err = process.communicate(timeout=240)
    assert process.returncode == status, err
    return json.loads(out)


def files_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
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
