"""An output that cannot be written is an error in one line, with `--json` too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import write_documents

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_without_a_stack_trace(tmp_path: Path) -> None:
    write_documents(tmp_path / "a.jsonl", [Document(str(n), "A B C" * 20) for n in range(200)])
    overlap = ["data", "overlap", str(tmp_path / "a.jsonl"), str(tmp_path / "a.jsonl"), "--json"]
    with FULL.open("w") as full:
        found = subprocess.run(
            [sys.executable, "-c", "from slcolm_services.cli.main import main; main()", *overlap],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert found.returncode == 1
    assert found.stderr.splitlines() == ["error No space left on device (INVALID_INPUT)"]
