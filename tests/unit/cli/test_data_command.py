"""`slcolm data` names what is wrong, exits with a status, and keeps stdout to itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from slcolm_services.cli.data import data
from slcolm_services.errors import DataInvalid

TASK = """\
name: annals
language: lzh
entity_types: [{name: PER}, {name: OFI}]
relation_types: [{name: 任职}, {name: 死于地点}]
"""
GOOD = {
    "id": "a",
    "text": "裕为太尉，镇丹徒之京口里",
    "entities": [{"type": "PER", "start": 0, "end": 1}, {"type": "OFI", "start": 2, "end": 4}],
    "relations": [{"type": "任职", "head": 0, "tail": 1}],
}


@pytest.fixture
def task(tmp_path: Path) -> str:
    path = tmp_path / "task.yaml"
    path.write_text(TASK, encoding="utf-8")
    return str(path)


def _write(path: Path, *documents: object) -> str:
    lines = [json.dumps(document, ensure_ascii=False) for document in documents]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(data, arguments, terminal_width=100)


def test_a_good_file_passes(tmp_path: Path, task: str) -> None:
    result = _run("check", _write(tmp_path / "a.jsonl", GOOD), "--task", task)

    assert result.exit_code == 0
    assert "1 document, 2 entities, 1 relation; 0 errors" in result.stdout


def test_a_bad_file_fails_with_every_problem_named(tmp_path: Path, task: str) -> None:
    bad = GOOD | {"relations": [{"type": "母", "head": 0, "tail": 7}]}
    path = _write(tmp_path / "a.jsonl", GOOD, bad)

    result = _run("check", path, "--task", task)

    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == f"{path}:2: error relations[0].type: '母' is no relation type of the task"
    assert lines[1] == f"{path}:2: error relations[0].tail: 7 is not one of 2 entities"


def test_a_check_for_programs_is_one_json_document(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", GOOD, {"id": "b", "text": 3})

    result = _run("check", path, "--json")

    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["format"], answer["documents"]) == (False, "jsonl", 1)
    assert answer["problems"] == [
        {
            "line": 2,
            "field": "text",
            "problem": "must be a string, not the number 3",
            "severity": "error",
        }
    ]


def test_warnings_fail_a_strict_check_only(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", GOOD | {"relations": GOOD["relations"] * 2})  # type: ignore[operator]

    assert _run("check", path).exit_code == 0
    assert _run("check", path, "--strict").exit_code == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    result = _run("check", str(tmp_path / "absent.jsonl"))

    assert result.exit_code == 1
    assert "does not exist" in result.stdout


def test_text_in_brackets_is_no_markup(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", GOOD | {"[bold]": 1})

    assert "[bold]: is not known here" in _run("check", path).stdout


def test_statistics_are_aligned_with_chinese(tmp_path: Path, task: str) -> None:
    """Bars begin in the same column whatever the width of the relation's name."""
    rare = GOOD | {"id": "x", "relations": [{"type": "死于地点", "head": 0, "tail": 1}]}
    path = _write(tmp_path / "train.jsonl", *(GOOD | {"id": str(n)} for n in range(30)), rare)

    result = _run("stats", path, "--task", task)

    rows = [line for line in result.stdout.splitlines() if "任职" in line or "死于地点" in line]
    assert [row.split()[:3] for row in rows] == [
        ["任职", "medium", "30"],
        ["死于地点", "tail", "1"],
    ]
    bars = [re.search("[▏▎▍▌▋▊▉█]+", row) for row in rows]
    assert (
        len({cell_len(row[: bar.start()]) for row, bar in zip(rows, bars, strict=True) if bar}) == 1
    )
    lengths = [cell_len(bar[0]) for bar in bars if bar]
    assert lengths[0] > 20
    assert lengths[1] <= 2


def test_statistics_for_programs(tmp_path: Path) -> None:
    path = _write(tmp_path / "train.jsonl", GOOD)

    (answer,) = json.loads(_run("stats", path, "--json").stdout)

    assert answer["file"] == path
    assert answer["relation_counts"] == [{"name": "任职", "count": 1, "bucket": "tail"}]


def test_a_bad_file_has_no_statistics(tmp_path: Path) -> None:
    result = _run("stats", _write(tmp_path / "a.jsonl", {}))

    assert isinstance(result.exception, DataInvalid)


def test_repairs_are_said_beside_the_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"tokens": "裕为太尉"}]', encoding="utf-8")

    result = _run("stats", str(path), "--json")

    assert json.loads(result.stdout)[0]["documents"] == 1
    assert "tokens given as a string" in result.stderr


def test_a_file_is_converted(tmp_path: Path) -> None:
    source, target = tmp_path / "a.iob2", tmp_path / "b.jsonl"
    source.write_text("Rome B-LOC\n", encoding="utf-8")

    result = _run("convert", str(source), str(target), "--json")

    assert json.loads(result.stdout) == {"file": str(target), "documents": 1, "repairs": {}}
    assert json.loads(target.read_text(encoding="utf-8"))["text"] == "Rome"


def test_overlap_names_the_texts_that_leak(tmp_path: Path) -> None:
    a = _write(tmp_path / "test.jsonl", GOOD | {"id": "t"}, {"id": "u", "text": "帝崩"})
    b = _write(tmp_path / "train.jsonl", GOOD | {"text": "是岁裕为太尉镇丹徒之京口"})

    answer = json.loads(_run("overlap", a, b, "--length", "10", "--json").stdout)
    assert answer["shared"] == [{"a": "t", "b": "a", "run": "裕为太尉镇丹徒之京口", "same": False}]
    assert (answer["unit"], answer["length"], answer["documents"]) == ("characters", 10, 2)
    told = _run("overlap", a, b, "--length", "10").stdout
    assert "0 of 2 texts" in told
    assert "1 more share a run of 10 characters" in told


def test_overlap_of_texts_with_spaces_is_by_words(tmp_path: Path) -> None:
    text = "He was born in the old town of Bonn"
    a = _write(tmp_path / "test.jsonl", {"id": "t", "text": text + "."}, {"id": "u", "text": "Oh"})
    b = _write(tmp_path / "train.jsonl", {"id": "x", "text": text})

    answer = json.loads(_run("overlap", a, b, "--json").stdout)

    assert answer["shared"] == [
        {"a": "t", "b": "x", "run": "he was born in the old town of bonn", "same": True}
    ]
    assert (answer["unit"], answer["length"]) == ("words", 8)


def test_a_long_text_in_common_is_shortened_on_the_screen_only(tmp_path: Path) -> None:
    text = "裕为太尉镇丹徒之京口里" * 20
    a = _write(tmp_path / "test.jsonl", {"id": "t", "text": text})
    b = _write(tmp_path / "train.jsonl", {"id": "x", "text": text})

    told = _run("overlap", a, b).stdout

    assert "…" in told
    assert text[:30] in told
    assert text[:60] not in told
    assert json.loads(_run("overlap", a, b, "--json").stdout)["shared"][0]["run"] == text


@pytest.mark.parametrize("command", [[], *([name] for name in data.commands)])
def test_help_shows_an_example_as_it_is_typed(command: list[str]) -> None:
    result = _run(*command, "--help")

    assert result.exit_code == 0
    assert "\n    slcolm data" in result.stdout
