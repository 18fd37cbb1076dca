"""`slcolm documents` as a person and as a program use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from support.annals import SAMPLE

from slcolm_services.batch import manifest as manifests
from slcolm_services.batch.answers import Model
from slcolm_services.batch.inputs import Source
from slcolm_services.batch.manifest import Manifest
from slcolm_services.batch.rows import Fields
from slcolm_services.cli.documents import documents
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.errors import DataInvalid, PreconditionFailed

TASK = """
name: t
language: zh
entity_types: [{name: PER}]
relation_types: [{name: 同僚, symmetric: true, definition: d}, {name: 父, definition: d}]
"""


def row(name: str, text: str, relation: str, *, head: int, prob: float) -> dict[str, Any]:
    spans = [(0, 1), (1, 2)]
    return {
        "id": name,
        "text": text,
        "doc": "d",
        "entities": [{"type": "PER", "start": start, "end": end} for start, end in spans],
        "relations": [{"type": relation, "head": head, "tail": 1 - head, "prob": prob}],
    }


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [
        row("s1", "甲乙", "同僚", head=0, prob=0.9),
        row("s2", "乙甲", "同僚", head=0, prob=0.6),
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def run(*args: object) -> str:
    result = CliRunner().invoke(
        documents, list(map(str, args)), catch_exceptions=False, standalone_mode=False
    )
    if result.exception:
        raise result.exception
    return result.output


def test_a_document_has_each_thing_and_each_fact_once(rows: Path, tmp_path: Path) -> None:
    task, out = tmp_path / "task.yaml", tmp_path / "documents.jsonl"
    task.write_text(TASK, encoding="utf-8")

    summary = json.loads(run(rows, "--out", out, "--group-by", "doc", "--task", task, "--json"))

    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == [
        {
            "id": "d",
            "rows": [{"id": "s1", "text": "甲乙"}, {"id": "s2", "text": "乙甲"}],
            "things": [
                {
                    "type": "PER",
                    "name": "甲",
                    "mentions": [
                        {"row": 0, "start": 0, "end": 1},
                        {"row": 1, "start": 1, "end": 2},
                    ],
                },
                {
                    "type": "PER",
                    "name": "乙",
                    "mentions": [
                        {"row": 0, "start": 1, "end": 2},
                        {"row": 1, "start": 0, "end": 1},
                    ],
                },
            ],
            "facts": [
                {
                    "type": "同僚",
                    "head": 0,
                    "tail": 1,
                    "prob": 0.9,
                    "evidence": [
                        {
                            "row": 0,
                            "head": {"start": 0, "end": 1},
                            "tail": {"start": 1, "end": 2},
                            "prob": 0.9,
                        },
                        {
                            "row": 1,
                            "head": {"start": 0, "end": 1},
                            "tail": {"start": 1, "end": 2},
                            "prob": 0.6,
                        },
                    ],
                }
            ],
        }
    ]
    assert summary == {
        "out": str(out),
        "documents": 1,
        "rows": 2,
        "failed": 0,
        "things": 2,
        "mentions": 4,
        "facts": 1,
        "relations": 2,
    }


def test_people_read_a_line(rows: Path, tmp_path: Path) -> None:
    output = run(rows, "--out", tmp_path / "o.jsonl", "--group-by", "doc", "--apart", "甲")

    assert "1 document of 2 rows: 3 things of 4 mentions, 2 facts of 2 relations" in output


def test_what_is_wrong_leaves_nothing_behind(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    rows.write_text(rows.read_text(encoding="utf-8") + "{\n", encoding="utf-8")

    with pytest.raises(DataInvalid) as caught:
        run(rows, "--out", out)

    assert [violation.field for violation in caught.value.violations] == ["line 3: json"]
    assert list(tmp_path.iterdir()) == [rows]
    with pytest.raises(click.UsageError, match="needs --group-by"):
        run(rows, "--out", out, "--group-pattern", "a")
    with pytest.raises(click.BadParameter, match="no regular expression"):
        run(rows, "--out", out, "--group-by", "id", "--group-pattern", "(")


def test_a_folder_that_is_no_complete_output_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "found"
    folder.mkdir()
    with pytest.raises(PreconditionFailed, match=r"a folder without manifest\.json"):
        run(folder, "--out", tmp_path / "out.jsonl")

    source = Source(tmp_path / "c.jsonl", "jsonl", 0, "", 1)
    manifests.save(folder, Manifest.of([source], Model("m", "fp32"), Fields(), shard_rows=1))
    with pytest.raises(PreconditionFailed, match="is not complete"):
        run(folder, "--out", tmp_path / "out.jsonl")


def test_gold_data_is_read_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    gold = read_documents(SAMPLE / "dev.jsonl")

    summary = json.loads(run(SAMPLE / "dev.jsonl", "--out", out, "--json"))

    assert summary["documents"] == summary["rows"] == len(gold)
    assert summary["mentions"] == sum(len(document.entities) for document in gold)
    assert summary["relations"] == sum(len(document.relations) for document in gold)
