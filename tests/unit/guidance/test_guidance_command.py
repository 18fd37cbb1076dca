"""`slcolm guidance` on files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from slcolm_services.cli.guidance import guidance
from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.jsonl import write_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import write_schema
from slcolm_services.errors import NotFound


@pytest.fixture
def task(tmp_path: Path, schema: TaskSchema) -> str:
    write_schema(tmp_path / "task.yaml", schema)
    return str(tmp_path / "task.yaml")


@pytest.fixture
def predictions(tmp_path: Path) -> str:
    entities = (Entity("PER", 0, 1, 0.9), Entity("OFI", 2, 4, 0.9))
    document = Document("s1", "甲为某官。", entities, (Relation("任职", 0, 1, 0.1),))
    write_documents(tmp_path / "predictions.jsonl", [document])
    return str(tmp_path / "predictions.jsonl")


def test_parse_reads_every_line_of_a_recording(tmp_path: Path, task: str) -> None:
    answers: tuple[object, ...] = (
        "```json\n{'任职':[['甲','某官']],'师生':[['甲','乙']]}\n```",
        {"任职": []},
    )
    lines = [{"id": "s1", "occurrence": 1, "text": "甲为某官。", "llm_raw": raw} for raw in answers]
    file = tmp_path / "recording.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    arguments = ["parse", str(file), "--task", task]
    result = CliRunner().invoke(guidance, [*arguments, "--json"], catch_exceptions=False)
    first, second = json.loads(result.stdout)["items"]
    assert (first["id"], first["occurrence"]) == ("s1", 1)
    assert first["triples"] == [{"head": "甲", "tail": "某官", "type": "任职"}]
    assert first["dropped"] == {"unknown_type": 1}
    assert first["repairs"] == {"code_fence": 1, "python_literal": 1}
    assert second["triples"] == []
    table = CliRunner().invoke(guidance, arguments, catch_exceptions=False)
    assert "unknown type: 师生" in table.stdout


def test_prompt_shows_what_would_be_sent(task: str, predictions: str) -> None:
    arguments = ["prompt", predictions, "--task", task]
    result = CliRunner().invoke(guidance, [*arguments, "--id", "s1"], catch_exceptions=False)
    assert '句子："甲为某官。"' in result.stdout
    shown = CliRunner().invoke(guidance, [*arguments, "--json"], catch_exceptions=False)
    made = json.loads(shown.stdout)
    assert (made["id"], made["shortened"]) == ("s1", [])
    assert [message["role"] for message in made["messages"]] == ["system", "user"]
    assert made["messages"][-1]["content"] in result.stdout
    with pytest.raises(NotFound):
        CliRunner().invoke(guidance, [*arguments, "--id", "s2"], catch_exceptions=False)


def test_guide_revises_a_file_of_predictions(task: str, predictions: str) -> None:
    arguments = ["guide", predictions, "--task", task]
    table = CliRunner().invoke(guidance, arguments, catch_exceptions=False)
    assert "s1" in table.stdout
    assert "0.10" in table.stdout
    result = CliRunner().invoke(guidance, [*arguments, "--json"], catch_exceptions=False)
    (item,) = json.loads(result.stdout)["items"]
    assert item["id"] == "s1"
    assert item["triples"] == []
    assert item["offline_rules"]
    assert "0.10" in item["explanation"]
