"""Task schemas on disk: every mistake has its line, and what is written is read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import read_schema, schema_digest, write_schema
from slcolm_services.errors import DataInvalid

GOOD = """\
# A comment.
name: annals
language: lzh
fallback_relation: 其他
entity_types:
  - {name: PER, label: 人物}
  - {name: LOC}
relation_types:
  - name: 到达
    count: 7
    head: [PER]
    tail: [LOC]
    definition: 人物到达地点
  - name: 其他
    symmetric: true
"""


def _write(folder: Path, content: str, name: str = "task.yaml") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_the_native_form_is_read(tmp_path: Path) -> None:
    assert read_schema(_write(tmp_path, GOOD)) == TaskSchema(
        name="annals",
        language="lzh",
        entity_types=(EntityType("PER", "人物"), EntityType("LOC", "LOC")),
        relation_types=(
            RelationType("到达", "人物到达地点", ("PER",), ("LOC",), count=7),
            RelationType("其他", symmetric=True),
        ),
        fallback_relation="其他",
    )


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("name: annals", "name: NO", "line 2: name", "not bool `NO`; put it in quotes"),
        ("name: annals", "title: annals", "line 2: title", "not known here"),
        ("name: annals\n", "", "line 2: name", "is missing"),
        ("name: annals", "name: annals\nname: b", "line 3: name", "stands twice"),
        ("language: lzh", "language: [lzh]", "line 3: language", "not a list"),
        ("language: lzh", "language:", "line 3: language", "is missing"),
        ("language: lzh", "language: lzh\nscript: old", "line 4: script", "'old'"),
        ("fallback_relation: 其他", "fallback_relation: 无", "line 4: fallback_relation", "'无'"),
        ("{name: LOC}", "{name: PER}", "line 7: entity_types[1].name", "twice"),
        ("{name: LOC}", "LOC", "line 7: entity_types[1]", "a mapping"),
        ("{name: LOC}", "{label: LOC}", "line 7: entity_types[1].name", "is missing"),
        ("tail: [LOC]", "tail: [GPE]", "line 12: relation_types[0].tail", "'GPE'"),
        ("tail: [LOC]", "tail: LOC", "line 12: relation_types[0].tail", "a list"),
        ("tail: [LOC]", "tail: [3]", "line 12: relation_types[0].tail[0]", "a string"),
        ("count: 7", "count: -7", "line 10: relation_types[0].count", "0 or more"),
        ("count: 7", "count: 7.5", "line 10: relation_types[0].count", "0 or more"),
        ("count: 7", "count: 2147483648", "line 10: relation_types[0].count", "at most 2147483647"),
        (
            "count: 7",
            "count: " + "9" * 5000,
            "line 10: relation_types[0].count",
            "at most 2147483647",
        ),
        ("count: 7", "colour: 7", "line 10: relation_types[0].colour", "not known"),
        ("symmetric: true", "symmetric: 1", "line 15: relation_types[1].symmetric", "true or"),
        ("name: 其他", "name: ''", "line 14: relation_types[1].name", "empty"),
        ("count: 7", "count: {", "file", "line"),
        ("# A comment.", "- a", "file", "not YAML"),
    ],
)
def test_a_mistake_is_named_by_line_and_field(
    old: str, new: str, place: str, words: str, tmp_path: Path
) -> None:
    assert old in GOOD
    path = _write(tmp_path, GOOD.replace(old, new, 1))

    with pytest.raises(DataInvalid) as caught:
        read_schema(path)

    matching = [v.problem for v in caught.value.violations if v.field == place]
    assert any(words in problem for problem in matching), caught.value.violations


@pytest.mark.parametrize("content", ["", "3", "- a", "name: x\n", "\x00", "a: *b", "!!python/x {}"])
def test_what_is_no_schema_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid):
        read_schema(_write(tmp_path, content))


def test_the_types_file_of_spert_is_read(tmp_path: Path) -> None:
    """Labels come in their short form, the name from the file."""
    content = """\
{"entities": {"PER": {"short": "人 物", "verbose": "人 物"}},
 "relations": {"任 职 & 爵 位": {"short": "任", "verbose": "任", "symmetric": false},
               "同 僚": {"short": "同", "verbose": "同", "symmetric": true}}}"""

    assert read_schema(_write(tmp_path, content, "chisre_types.json")) == TaskSchema(
        name="chisre",
        language="zh",
        entity_types=(EntityType("PER", "人物"),),
        relation_types=(RelationType("任职"), RelationType("同僚", symmetric=True)),
    )


def test_english_labels_of_a_types_file_stay(tmp_path: Path) -> None:
    content = '{"entities": {}, "relations": {"Work & Live": {"short": "W", "verbose": "Work"}}}'

    schema = read_schema(_write(tmp_path, content, "types.json"))

    assert (schema.language, schema.relation_types[0].name) == ("en", "Work & Live")
    assert schema.name == tmp_path.name


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


@st.composite
def schemas(draw: st.DrawFn) -> TaskSchema:
    entity_names = draw(st.lists(NAMES, unique=True, max_size=4))
    relation_names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    kinds = st.lists(st.sampled_from(entity_names), unique=True) if entity_names else st.just([])
    return TaskSchema(
        name=draw(NAMES),
        language=draw(st.sampled_from(["en", "no", "lzh", "1e3"])),
        entity_types=tuple(
            EntityType(name, draw(NAMES), draw(st.just("") | NAMES)) for name in entity_names
        ),
        relation_types=tuple(
            RelationType(
                name,
                draw(st.just("") | NAMES),
                tuple(draw(kinds)),
                tuple(draw(kinds)),
                symmetric=draw(st.booleans()),
                count=draw(st.none() | st.integers(0, 10**6)),
            )
            for name in relation_names
        ),
        fallback_relation=draw(st.none() | st.sampled_from(relation_names)),
        script=draw(st.sampled_from(["", "simplified", "traditional"])),
    )


@given(schemas())
def test_a_schema_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, schema: TaskSchema
) -> None:
    """Names that YAML takes for numbers or booleans too (`no`, `1e3`)."""
    path = tmp_path_factory.mktemp("schema") / "task.yaml"
    write_schema(path, schema)

    assert read_schema(path) == schema


def test_the_digest_says_what_the_task_is(schema: TaskSchema) -> None:
    """Counts are of a training set; a definition, an order, a direction are of the task."""
    first, *rest = schema.relation_types

    def digest(*kinds: RelationType) -> str:
        return schema_digest(replace(schema, relation_types=kinds))

    assert digest(replace(first, count=9), *rest) == schema_digest(schema)
    changed = {
        digest(replace(first, definition="别的"), *rest),
        digest(replace(first, symmetric=True), *rest),
        digest(*rest, first),
        schema_digest(schema),
    }
    assert len(changed) == 4
