"""`slcolm train` as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from support.annals import small_data

from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.schema_file import read_schema, write_schema


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


def slcolm(*arguments: str) -> str:
    command = [sys.executable, "-m", "slcolm_services", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_task_may_have_entities_alone(tmp_path: Path) -> None:
    """And annotations of an LLM are blended in by a schedule, those of a tier or better."""
    data = small_data(tmp_path)
    task, dev, silver = (tmp_path / name for name in ("task.yaml", "bare.jsonl", "silver.jsonl"))
    schema = replace(read_schema(data.task), relation_types=(), fallback_relation=None)
    write_schema(task, schema)
    assert read_schema(task) == schema
    documents = [replace(document, relations=()) for document in data.documents["dev"]]
    write_documents(dev, documents)
    write_documents(
        silver,
        (
            replace(
                document,
                id=f"silver-{document.id}",
                relations=(),
                entities=tuple(replace(one, tier="BC"[place % 2]) for one in document.entities),
            )
            for place, document in enumerate(data.documents["train"])
        ),
    )
    model = tmp_path / "model"
    printed = slcolm(
        *("train", "--task", str(task), "--train", str(dev), "--dev", str(dev)),
        *("--silver", str(silver), "--silver-tier", "B", "--schedule", "cosine"),
        *("--rate-course", "decay", "--encoder", "random", "--epochs", "2", "--out", str(model)),
    )
    assert "entities" in printed
    assert "relations" not in printed
    card = json.loads((model / "card.json").read_bytes())
    assert card["data"]["silver"]["documents"] == 30
    assert (card["settings"]["schedule"], card["settings"]["rate_course"]) == ("cosine", "decay")
    found = tmp_path / "found.jsonl"
    slcolm("predict", "--model", str(model), "--input", str(dev), "--output", str(found))
    assert len(read_documents(found, schema)) == len(documents)
