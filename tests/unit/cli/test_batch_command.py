"""What `slcolm batch` refuses before it works."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from slcolm_services.cli.batch import batch
from slcolm_services.errors import ConfigInvalid


def arguments(folder: Path, *more: str) -> list[str]:
    path = folder / "c.txt"
    path.write_text("a\n", encoding="utf-8")
    return ["--input", str(path), "--output", str(folder / "out"), *more]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ((), "name either --extraction or --model"),
        (("--extraction", "h:1", "--model", "m"), "name either --extraction or --model"),
        (("--extraction", "h:1", "--ray-address", "h:2"), "--ray-address goes with --engine ray"),
        (("--extraction", "h:1", "--engine", "dask"), "'dask' is not one of"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    more: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(batch, arguments(tmp_path, *more))
    assert result.exit_code == 2
    assert problem in result.output
    assert not (tmp_path / "out").exists()


def test_without_ray_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "slcolm_services.batch.actors", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    more = ("--extraction", "h:1", "--engine", "ray")
    result = CliRunner().invoke(batch, arguments(tmp_path, *more))
    assert isinstance(result.exception, ConfigInvalid)
    assert 'pip install "slcolm[ray]"' in result.exception.message
