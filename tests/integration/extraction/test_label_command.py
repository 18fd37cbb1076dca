"""`slcolm label`, as a person runs it: raw text in, what the models agree on out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slcolm_services.cli.label import label
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.errors import ConfigInvalid, DataInvalid
from slcolm_services.model.folder import read_manifest


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "silver.jsonl"


def run(models: list[Path], source: Path, output: Path, *more: str) -> Result:
    arguments = [part for model in models for part in ("--model", str(model))]
    return CliRunner().invoke(
        label, [*arguments, "--input", str(source), "--out", str(output), *more]
    )


def raw(tmp_path: Path, *lines: str) -> Path:
    source = tmp_path / "raw.txt"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return source


def test_sentences_in_which_something_is_found_are_written(
    model_folder: Path, tmp_path: Path, output: Path
) -> None:
    source = raw(tmp_path, "王AxB王王王王王王", "", "王" * 20, "A")
    result = run([model_folder, model_folder], source, output, "--json")
    assert result.exception is None
    summary = json.loads(result.stdout)
    assert (summary["drawn"], summary["documents"], summary["entities"]) == (2, 1, 3)
    (document,) = read_documents(output)
    assert document.text == "王AxB王王王王王王"
    assert all(entity.prob is not None for entity in document.entities)


def test_long_passages_are_cut_and_no_more_is_drawn_than_asked_for(
    model_folder: Path, tmp_path: Path, output: Path
) -> None:
    source = raw(tmp_path, "A王王王王王王王王王王。" * 100)
    result = run([model_folder], source, output, "--sentences", "7", "--longest", "24")
    assert result.exception is None
    documents = list(read_documents(output))
    assert [document.text for document in documents] == ["A王王王王王王王王王王。" * 2] * 7
    assert len({document.id for document in documents}) == 7


def test_models_of_different_tasks_are_refused_and_nothing_is_written(
    model_folder: Path, make_folder: Callable[..., Path], tmp_path: Path, output: Path
) -> None:
    manifest, schema = read_manifest(model_folder), read_schema(model_folder / "schema.yaml")
    first, *others = schema.relation_types
    other = make_folder(
        manifest=replace(manifest, relation_types=("other", *manifest.relation_types[1:])),
        schema=replace(schema, relation_types=(replace(first, name="other"), *others)),
    )
    result = run([model_folder, other], raw(tmp_path, "王AxB王王王王王王"), output)
    assert isinstance(result.exception, ConfigInvalid)
    assert str(other) in result.exception.violations[0].problem
    assert not output.exists()


@pytest.mark.parametrize("text", ["王" * 20, "A"])
def test_nothing_to_write_is_an_error(
    model_folder: Path, tmp_path: Path, output: Path, text: str
) -> None:
    result = run([model_folder], raw(tmp_path, text), output)
    assert isinstance(result.exception, DataInvalid)
    assert not output.exists()
