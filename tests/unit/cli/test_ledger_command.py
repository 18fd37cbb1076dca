"""`slcolm ledger` as a person and as a program use it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from slcolm_services.cli.ledger import ledger
from slcolm_services.errors import ConfigInvalid, DataInvalid, NotFound
from slcolm_services.guidance.entries import Answer, Asked, Settlement
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.usage import Usage


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose ledger holds one answer."""

    async def fill() -> None:
        opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
        await opened.open()
        usage, asked = Usage(1, 1000, 200, 50, 0.25), Asked("s1", "甲子乙。")
        await opened.settle(Settlement("a" * 64, Answer("答", "m"), usage, "openai", "r1", asked))
        await opened.close()

    asyncio.run(fill())
    return tmp_path


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(ledger, [str(each) for each in arguments], catch_exceptions=False)


def test_usage_of_everything_and_of_a_run(home: Path) -> None:
    told = json.loads(run("usage", "--home", home, "--json").stdout)
    assert told["usage"]["calls"] == 1
    assert told["usage"]["cost"] == 0.25
    assert told["since"]
    other = json.loads(run("usage", "--home", home, "--run", "r2", "--json").stdout)
    assert other["usage"]["calls"] == 0
    assert other["since"] is None
    assert "0.2500" in run("usage", "--home", home, "--run", "r1").stdout


def test_answers_move_from_one_home_to_another(home: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "out" / "x.jsonl", tmp_path / "other"
    assert json.loads(run("export", "--home", home, "--out", file, "--json").stdout) == {
        "answers": 1
    }
    assert "1 answer imported, 0 known" in run("import", file, "--home", other).stdout
    url = f"sqlite:///{other / 'ledger.sqlite'}"
    told = json.loads(run("import", file, "--ledger", url, "--json").stdout)
    assert told == {"answers": 0, "known": 1}
    assert json.loads(run("usage", "--ledger", url, "--json").stdout)["usage"]["calls"] == 1


def test_a_file_without_answers_is_not_imported(home: Path, tmp_path: Path) -> None:
    run("export", "--home", home, "--out", tmp_path / "full.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataInvalid) as caught:
        run("import", tmp_path / "full.jsonl", tmp_path / "empty.jsonl", "--home", tmp_path / "new")
    assert [violation.problem for violation in caught.value.violations] == ["holds no answer"]
    told = json.loads(run("usage", "--home", tmp_path / "new", "--json").stdout)
    assert told["usage"]["calls"] == 0


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        run("usage", "--home", tmp_path)
    with pytest.raises(ConfigInvalid):
        run("usage", "--ledger", "no url")
    assert list(tmp_path.iterdir()) == []
