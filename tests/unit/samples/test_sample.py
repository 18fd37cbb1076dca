"""The data set that ships with the project keeps what its README promises."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.duplicates import dedup_key, shared_runs
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import frequency_bucket, statistics, training_counts
from slcolm_services.errors import DataInvalid

ROOT = Path(__file__).resolve().parents[3]
ANNALS = ROOT / "services" / "slcolm_services" / "samples" / "annals"
SCRIPT = ROOT / "scripts" / "build_sample.py"
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def schema() -> TaskSchema:
    return read_schema(ANNALS / "task.yaml")


@pytest.fixture(scope="module")
def splits(schema: TaskSchema) -> dict[str, list[Document]]:
    return {split: read_documents(ANNALS / f"{split}.jsonl", schema) for split in SPLITS}


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_sample", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_committed_files_are_what_the_source_makes() -> None:
    """A build in a fresh process gives the committed files, README table included."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_edit_to_the_source_shows_in_the_check(builder: ModuleType, tmp_path: Path) -> None:
    """The check can fail: another sentence makes other files."""
    for name in ("task.yaml", "README.md", "source.txt"):
        (tmp_path / name).write_bytes((ANNALS / name).read_bytes())
    with (tmp_path / "source.txt").open("a", encoding="utf-8") as file:
        file.write("100 | [P1 申屠岳]复攻[L2 云泽]，又不克而还。 | 1攻伐2\n")
    changed = {
        path.name
        for path, content in builder.outputs(tmp_path).items()
        if content != (ANNALS / path.name).read_text(encoding="utf-8")
    }
    assert {"train.jsonl", "README.md"} <= changed


def test_every_type_has_a_definition(schema: TaskSchema) -> None:
    """Prompts rest on definitions: each type has its own, and says what it may join."""
    definitions = [kind.definition for kind in schema.entity_types + schema.relation_types]
    assert all(definitions)
    assert len(set(definitions)) == len(definitions)
    assert len(schema.entity_types) == 6
    assert len(schema.relation_types) == 24
    assert all(kind.head_types and kind.tail_types for kind in schema.relation_types)
    assert schema.fallback_relation == "其他"
    assert any(kind.symmetric for kind in schema.relation_types)


def test_relations_join_the_types_that_the_schema_admits(
    schema: TaskSchema, splits: dict[str, list[Document]]
) -> None:
    for doc in (doc for docs in splits.values() for doc in docs):
        for relation in doc.relations:
            head, tail = doc.entities[relation.head], doc.entities[relation.tail]
            kind = schema.relations_by_name[relation.type]
            assert kind.admits(head.type, tail.type), (doc.id, relation)


def test_no_entity_lies_across_another_and_no_relation_stands_twice(
    splits: dict[str, list[Document]],
) -> None:
    for docs in splits.values():
        held = statistics(docs)
        assert (held.nested_entities, held.crossing_entities, held.repeated_texts) == (0, 0, 0)
        for doc in docs:
            assert len(set(doc.relations)) == len(doc.relations), doc.id


def test_sizes(splits: dict[str, list[Document]]) -> None:
    """Enough sentences of the right length, and nearly two relations in each."""
    assert len(splits["train"]) >= 360
    assert len(splits["dev"]) >= 90
    assert len(splits["test"]) >= 110
    for docs in splits.values():
        held = statistics(docs)
        assert held.relations / held.documents >= 1.75
        assert held.without_relations >= 4
        assert held.length_percentiles[0] >= 8
        assert held.length_percentiles[100] <= 45


def test_train_has_a_long_tail(schema: TaskSchema, splits: dict[str, list[Document]]) -> None:
    counts = training_counts(splits["train"], schema)
    buckets = Counter(frequency_bucket(count) for count in counts.values())
    assert buckets == {"head": 3, "medium": 9, "tail": 12}
    assert min(counts.values()) >= 4


def test_tail_types_occur_in_dev_and_test(
    schema: TaskSchema, splits: dict[str, list[Document]]
) -> None:
    """A score on the tail means little without instances to score."""
    train = training_counts(splits["train"], schema)
    dev = training_counts(splits["dev"], schema)
    test = training_counts(splits["test"], schema)
    assert min(dev.values()) >= 3
    for name, count in train.items():
        if frequency_bucket(count) == "tail":
            assert test[name] >= 4, name


@pytest.mark.parametrize(("a", "b"), [("dev", "train"), ("test", "train"), ("test", "dev")])
def test_splits_share_no_sentence_and_no_long_run(
    splits: dict[str, list[Document]], a: str, b: str
) -> None:
    a_texts, b_texts = ([doc.text for doc in splits[split]] for split in (a, b))
    assert not {dedup_key(text) for text in a_texts} & {dedup_key(text) for text in b_texts}
    assert shared_runs(a_texts, b_texts, 12) == []


def test_most_persons_of_test_are_new(splits: dict[str, list[Document]]) -> None:
    """Names are not what a model may learn by heart, though some recur."""
    persons = {
        split: {
            doc.mention(index)
            for doc in docs
            for index, entity in enumerate(doc.entities)
            if entity.type == "PER"
        }
        for split, docs in splits.items()
    }
    recurring = len(persons["test"] & persons["train"]) / len(persons["test"])
    assert 0.05 < recurring < 0.5


def test_lines_with_slots_make_few_alike(builder: ModuleType) -> None:
    """At least 120 constructions, three sentences of each at most, six sentences in ten in all."""
    source = builder.parse((ANNALS / "source.txt").read_text(encoding="utf-8"))
    slotted = [line for line in source.lines if line.has_slots]
    sentences = sum(sum(line.counts) for line in source.lines)
    assert len(slotted) >= 120
    assert max(sum(line.counts) for line in slotted) <= 3
    assert sum(sum(line.counts) for line in slotted) <= 0.6 * sentences


@pytest.mark.shared_data
def test_nothing_is_taken_from_the_reference_corpus(splits: dict[str, list[Document]]) -> None:
    """No eight characters in a row stand in the reference corpus of real annals."""
    folder = Path(os.environ.get("SLCOLM_SHARED", ROOT.parent / "shared")) / "data" / "chisre"
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}")
    real = [doc.text for path in sorted(folder.glob("*.jsonl")) for doc in read_documents(path)]
    ours = [doc.text for docs in splits.values() for doc in docs]
    assert shared_runs(ours, real, 8) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("100 | 无标而长者八字", "must be `NNN"),
        ("200 | [P1 申屠岳]攻[L2 云泽]，不克。 | 1攻伐2", "makes 2 sentences"),
        ("100 | [P1 申屠岳]攻[L2 云泽]，不克。 | 攻伐", "is not a relation such as"),
        ("100 | [P1 申屠岳]攻[L2 云泽]，不克。 | 1取2", "not a relation type"),
        ("100 | [P1 申屠岳]攻[L2 云泽]，不克。 | 1攻伐3", "a mention that is not there"),
        ("100 | [P1 申屠岳]攻[L2 云泽]，不克。 | 1任职2", "任职 may not hold"),
        ("100 | [P2 申屠岳]攻[L1 云泽]，不克。 | ", "mention 2 must be 1"),
        ("100 | [P1 申屠岳]攻[云泽]，不克而还。 | ", "markup is left over"),
        ("100 | [P1 {无此}]攻[L2 云泽]，不克。 | ", "names neither a pool"),
        ("100 | [P1 岳]败。 | ", "has 3 characters"),
        ("100 | 甲乙丙丁戊己庚辛。 | \n100 | 甲乙丙丁，戊己庚辛。 | ", "repeats a sentence"),
        (
            "100 | 甲乙丙丁戊己庚辛壬癸子丑。 | \n010 | 甲乙丙丁戊己庚辛壬癸子丑寅。 | ",
            "with another split",
        ),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(
    builder: ModuleType, schema: TaskSchema, line: str, problem: str
) -> None:
    with pytest.raises(DataInvalid, match=problem) as caught:
        builder.build(builder.parse(line), schema)
    assert caught.value.violations[0].field == f"line {line.count(chr(10)) + 1}"
