"""The house keeps its order: what may import what is written in pyproject.toml, and holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_import_contract_is_kept() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]

    result = subprocess.run(
        [*command, "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"COLUMNS": "120"},
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout
