"""What `slcolm batch` writes becomes documents: a file of sentences is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.letters import write_model

from slcolm_services.knowledge.names import name_key

TEXTS = {"a.txt": "AxB\naxAyB\n\nByA\n", "b.txt": "AB\n"}
"""Capitals are entities to the model; a blank line is a row that fails."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    model = write_model(tmp_path_factory.mktemp("model"))
    # Shards that end in the middle of a document.
    run("batch", "--input", folder / "*.txt", "--output", folder / "found", "--model", model,
        "--shard-rows", "2")  # fmt: skip
    return folder / "found"


def run(*args: object) -> Any:
    ended = subprocess.run(
        [sys.executable, "-m", "slcolm_services", *map(str, args), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_every_entity_and_relation_of_the_rows_is_in_the_documents(
    found: Path, tmp_path: Path
) -> None:
    rows = [
        json.loads(line)
        for shard in sorted(found.glob("part-*.jsonl"))
        for line in shard.read_text(encoding="utf-8").splitlines()
    ]
    out = tmp_path / "documents.jsonl"

    summary = run("documents", found, "--out", out, "--group-by", "origin.file")

    read = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(document["id"], len(document["rows"])) for document in read] == [
        ("a.txt", 4),
        ("b.txt", 1),
    ]
    assert [row.get("error") for row in read[0]["rows"]] == [None, None, "INVALID_INPUT", None]
    entities = [entity for row in rows for entity in row.get("entities", ())]
    relations = [relation for row in rows for relation in row.get("relations", ())]
    assert entities
    assert relations
    assert (summary["mentions"], summary["relations"]) == (len(entities), len(relations))
    assert summary["things"] < summary["mentions"]
    assert summary["facts"] < summary["relations"]
    for document in read:
        for thing in document["things"]:
            for mention in thing["mentions"]:
                text = document["rows"][mention["row"]]["text"][mention["start"] : mention["end"]]
                assert name_key(text) == name_key(thing["name"])
        for fact in document["facts"]:
            assert fact["prob"] == max(item["prob"] for item in fact["evidence"])
