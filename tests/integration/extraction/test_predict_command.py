"""`slcolm predict` and `slcolm models`, as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slcolm_services.cli.models import models
from slcolm_services.cli.predict import predict
from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.errors import DataInvalid, ModelInvalid, ModelNotFound, NotFound
from slcolm_services.runtime.folders import folder_revision
from slcolm_services.runtime.store import ArtifactStore


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "found.jsonl"


def run(model: Path, source: Path, output: Path, *more: str) -> Result:
    arguments = ["--model", str(model), "--input", str(source), "--output", str(output), *more]
    return CliRunner().invoke(predict, arguments)


def test_a_native_file_gives_predictions_with_probabilities(
    model_folder: Path, tmp_path: Path, output: Path
) -> None:
    source = tmp_path / "gold.jsonl"
    gold = Document("a", "王AxB", (Entity("PER", 0, 1),))
    write_documents(source, [gold, Document("b", "王")])
    result = run(model_folder, source, output)
    assert result.exception is None
    assert "2 texts, 3 entities, 4 relations" in result.stdout
    first, second = read_documents(output)
    assert (first.id, first.text, second.id) == ("a", "王AxB", "b")
    assert [entity.start for entity in first.entities] == [1, 2, 3]
    assert all(entity.prob is not None for entity in first.entities)
    assert all(relation.prob is not None for relation in first.relations)
    assert second.entities == ()


def test_a_text_file_gives_a_document_for_each_line(
    model_folder: Path, tmp_path: Path, output: Path
) -> None:
    source = tmp_path / "texts.txt"
    source.write_bytes("\ufeffAx\r\n\n  \n 𠀀B\n".encode())
    result = run(model_folder, source, output, "--json")
    assert result.exception is None
    summary = json.loads(result.stdout)
    assert summary.pop("seconds") > 0
    assert summary == {
        "output": str(output),
        "documents": 2,
        "entities": 3,
        "relations": 1,
        "read_in_windows": 0,
        "unseen_pairs": 0,
        "failures": [],
    }
    assert [(doc.id, doc.text) for doc in read_documents(output)] == [("1", "Ax"), ("4", " 𠀀B")]


def test_a_long_text_is_read_in_windows_and_the_report_says_so(
    model_folder: Path, tmp_path: Path, output: Path
) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("A" + "王" * 200 + "x\nAx\n", encoding="utf-8")
    result = run(model_folder, source, output, "--json")
    assert result.exception is None
    summary = json.loads(result.stdout)
    assert (summary["entities"], summary["relations"]) == (4, 1)
    assert (summary["read_in_windows"], summary["unseen_pairs"]) == (1, 2)
    shown = " ".join(run(model_folder, source, output).stdout.split())
    assert "1 of them are longer than the model's window" in shown
    assert "2 pairs of entities" in shown


def test_a_failing_text_keeps_everything_from_being_written(
    model_folder: Path, tmp_path: Path, output: Path
) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("A\n" + "x" * 1_000_001 + "\nB\n", encoding="utf-8")
    output.write_text("old", encoding="utf-8")
    result = run(model_folder, source, output)
    assert isinstance(result.exception, DataInvalid)
    assert "nothing was written" in result.exception.message
    assert [violation.field for violation in result.exception.violations] == ["line 2: text"]
    assert "1000001 characters" in result.exception.violations[0].problem
    assert output.read_text(encoding="utf-8") == "old"
    assert {path.name for path in tmp_path.iterdir()} == {source.name, output.name}


def test_failing_texts_are_left_out_when_that_is_asked_for(
    model_folder: Path, tmp_path: Path, output: Path
) -> None:
    source = tmp_path / "texts.jsonl"
    lines = [
        '{"id": "a", "text": "A"}',
        "{broken",
        '{"id": "b", "text": "' + "x" * 1_000_001 + '"}',
        '{"id": "a", "text": "B"}',
    ]
    source.write_text("\n".join(lines), encoding="utf-8")
    result = run(model_folder, source, output, "--skip-errors", "--json")
    assert result.exception is None
    assert [failure["line"] for failure in json.loads(result.stdout)["failures"]] == [2, 3, 4]
    assert [doc.id for doc in read_documents(output)] == ["a"]

    shown = run(model_folder, source, output, "--skip-errors")
    assert "1 text," in shown.stdout
    assert "line 3: text" in shown.stderr


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.txt"])
def test_a_missing_file_is_an_error_even_then(
    model_folder: Path, tmp_path: Path, output: Path, name: str
) -> None:
    result = run(model_folder, tmp_path / name, output, "--skip-errors")
    assert isinstance(result.exception, DataInvalid)
    assert not output.exists()


def test_text_that_is_not_utf8_is_named_by_its_place(
    model_folder: Path, tmp_path: Path, output: Path
) -> None:
    source = tmp_path / "texts.txt"
    source.write_bytes("王A".encode("gbk"))
    result = run(model_folder, source, output)
    assert isinstance(result.exception, DataInvalid)
    assert "byte offset 0" in result.exception.violations[0].problem


def test_a_missing_model_is_one_message_and_status_1(tmp_path: Path, output: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("A", encoding="utf-8")
    command = [
        *(sys.executable, "-c", "from slcolm_services.cli import main; main()", "predict"),
        *("--model", str(tmp_path / "none"), "--input", str(source), "--output", str(output)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "MODEL_NOT_FOUND" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_folder_is_described(model_folder: Path) -> None:
    described = json.loads(CliRunner().invoke(models, ["show", str(model_folder), "--json"]).stdout)
    assert described["revision"] == folder_revision(model_folder)
    assert described["entity_types"] == ["PER", "LOC"]
    assert described["dev_scores"] == {"relation_strict_f1": 0.5}
    shown = CliRunner().invoke(models, ["show", str(model_folder)]).stdout
    assert "lives_in, knows" in shown
    assert "50.0" in shown


def test_a_damaged_folder_is_not_described(tmp_path: Path) -> None:
    assert isinstance(CliRunner().invoke(models, ["show", str(tmp_path)]).exception, ModelNotFound)
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    assert isinstance(CliRunner().invoke(models, ["show", str(tmp_path)]).exception, ModelInvalid)


def test_the_models_of_a_store_are_listed_with_the_damaged_ones(
    model_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    store = ArtifactStore(str(root))
    assert isinstance(
        CliRunner().invoke(models, ["list", "--store", str(root)]).exception, NotFound
    )
    revision = store.put_folder("models", model_folder)
    listed = CliRunner().invoke(models, ["list", "--store", str(root), "--json"])
    (model,) = json.loads(listed.stdout)["models"]
    assert (model["revision"], model["task"]) == (revision, "letters")

    (root / "models" / revision / "spans.onnx").write_bytes(b"damaged")
    shown = CliRunner().invoke(models, ["list", "--store", str(root)])
    assert shown.exception is None
    assert revision[:12] in shown.stdout
    listed = CliRunner().invoke(models, ["list", "--store", str(root), "--json"])
    assert "damaged" in json.loads(listed.stdout)["models"][0]["problem"]
