"""`slcolm train` as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.annals import small_data


def test_standard_error_holds_the_progress_and_nothing_else(tmp_path: Path) -> None:
    """Libraries that train and export have much to say that is of no use to who trains."""
    data = small_data(tmp_path)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "slcolm_services", "train", "--epochs", "1"),
            *("--task", str(data.task), "--out", str(tmp_path / "model")),
            *("--train", str(data.paths["dev"]), "--dev", str(data.paths["dev"])),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    words = [line.split()[0] for line in result.stderr.splitlines()]
    assert list(dict.fromkeys(words)) == ["epoch", "calibrate", "export", "check"]
