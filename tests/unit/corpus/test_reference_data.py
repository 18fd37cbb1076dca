"""The reference data sets are read whole, and the import of ChisRE is exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from slcolm_services.corpus.duplicates import shared_runs
from slcolm_services.corpus.formats import check_file, read_any
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.labels import normalise_label
from slcolm_services.corpus.schema_file import read_schema, write_schema
from slcolm_services.corpus.script import find_mention
from slcolm_services.corpus.spert import read_spert
from slcolm_services.corpus.stats import statistics, training_counts

pytestmark = pytest.mark.shared_data

# Documents, entities, relations, repeated relations.
SIZES = {
    "chisre/train.jsonl": (3208, 20058, 7693, 8),
    "chisre/dev.jsonl": (410, 2592, 1035, 0),
    "chisre/test_a.jsonl": (
        181,
        1181,
        602,
        3,
    ),  # two join types that train, and so the schema, never joins
    "chisre/upstream/chisre_train.json": (3208, 20058, 7693, 8),
    "chisre/upstream/chisre_train_dev.json": (410, 2592, 1035, 0),
    "chisiec/train.jsonl": (1559, 9891, 6975, 0),
    "chisiec/dev.jsonl": (194, 1218, 824, 0),
    "conll04/train.json": (922, 3377, 1283, 0),
    "conll04/dev.json": (231, 893, 343, 0),
    "scierc/train.json": (1861, 5598, 3219, 4),
    "scierc/dev.json": (275, 811, 455, 0),
    "conll2003/train.iob2": (14041, 23499, 0, 0),
    "conll2003/testa.iob2": (3250, 5942, 0, 0),
}
TASKS = {"chisre": "task.yaml", "conll04": "types.json"}


@pytest.mark.parametrize("name", SIZES)
def test_every_file_is_read_without_an_error(name: str, shared: Path) -> None:
    task = TASKS.get(name.partition("/")[0])
    schema = read_schema(shared / name.partition("/")[0] / task) if task else None

    report = check_file(shared / name, schema)

    assert report.errors == ()
    sizes = (report.documents, report.entities, report.relations, len(report.warnings))
    assert sizes == SIZES[name]


@pytest.mark.parametrize(
    ("upstream", "native"), [("chisre_train.json", "train"), ("chisre_train_dev.json", "dev")]
)
def test_the_chisre_import_is_the_native_file(upstream: str, native: str, shared: Path) -> None:
    schema = read_schema(shared / "chisre/task.yaml")
    imported, repairs = read_spert(shared / "chisre/upstream" / upstream, schema)
    expected = read_documents(shared / f"chisre/{native}.jsonl", schema)

    assert [(doc.text, doc.entities, doc.relations) for doc in imported] == [
        (doc.text, doc.entities, doc.relations) for doc in expected
    ]
    assert set(repairs.values()) >= {len(imported)}


def test_every_upstream_label_is_understood(shared: Path) -> None:
    schema = read_schema(shared / "chisre/task.yaml")
    types = read_schema(shared / "chisre/upstream/chisre_types.json")

    assert set(types.relations_by_name) == set(schema.relations_by_name)
    assert {kind.name: kind.label for kind in types.entity_types} == {
        kind.name: kind.label for kind in schema.entity_types
    }
    assert all(normalise_label(name, schema) == name for name in types.relations_by_name)


def test_the_counts_of_the_task_are_those_of_its_training_set(shared: Path) -> None:
    schema = read_schema(shared / "chisre/task.yaml")
    docs = read_documents(shared / "chisre/train.jsonl", schema)

    assert training_counts(docs, schema) == {
        kind.name: kind.count for kind in schema.relation_types
    }


def test_every_traditional_span_is_found_in_the_simplified_text(shared: Path) -> None:
    import json

    documents = json.loads((shared / "chisre/upstream/chisre_train.json").read_text("utf-8"))
    missed = [
        entity["span"]
        for document in documents
        for entity in document["entities"]
        if (entity["start"], entity["end"]) not in find_mention(document["tokens"], entity["span"])
    ]

    assert missed == []


def test_a_native_file_is_written_as_it_was_read(shared: Path, tmp_path: Path) -> None:
    source = shared / "chisre/train.jsonl"
    write_documents(tmp_path / "copy.jsonl", read_documents(source))

    assert (tmp_path / "copy.jsonl").read_bytes() == source.read_bytes()


def test_a_schema_is_written_as_it_was_read(shared: Path, tmp_path: Path) -> None:
    schema = read_schema(shared / "chisre/task.yaml")
    write_schema(tmp_path / "task.yaml", schema)

    assert read_schema(tmp_path / "task.yaml") == schema


def test_known_leakage_and_nesting_are_seen(shared: Path) -> None:
    """The half of the test set that is here shares 12 characters with train in 26 sentences."""
    train = [doc.text for doc in read_any(shared / "chisre/train.jsonl")]
    test = [doc.text for doc in read_any(shared / "chisre/test_a.jsonl")]

    assert len(shared_runs(test, train)) == 26
    assert len(shared_runs(test, test)) == len(test)
    assert statistics(read_any(shared / "scierc/train.json")).nested_entities > 0
