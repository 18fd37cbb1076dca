"""Labels as data files and LLMs write them find the schema's own, and nothing is guessed."""

from __future__ import annotations

import pytest

from slcolm_services.corpus.labels import normalise_label, short_label
from slcolm_services.corpus.schema import RelationType, TaskSchema


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("任 职 & 爵 位 & 谥 号", "任职"),
        ("任职&爵位&谥号", "任职"),
        ("任职＆爵位", "任职"),
        ("死 于 （ 时 间 ）", "死于时间"),
        ("死于(时间)", "死于时间"),
        ("任职 ", "任职"),
        ("任\u3000职", "任职"),
        ("其他关系", "其他"),
        ("其 他", "其他"),
        ("父", "父"),
        ("父子", None),
        ("任命&任职", None),
        ("Father", None),
        ("", None),
        ("&", None),
    ],
)
def test_a_label_finds_its_relation_type(
    raw: str, expected: str | None, schema: TaskSchema
) -> None:
    assert normalise_label(raw, schema) == expected


def test_the_long_forms_of_the_schema_are_found_by_the_short_one() -> None:
    schema = TaskSchema("t", "lzh", (), (RelationType("游历&途经"), RelationType("生于（地点）")))

    assert normalise_label("游历", schema) == "游历&途经"
    assert normalise_label("生 于 （ 地 点 ）", schema) == "生于（地点）"


def test_an_ambiguous_short_form_is_no_answer() -> None:
    schema = TaskSchema("t", "lzh", (), (RelationType("封&赐官"), RelationType("封&赐地")))

    assert normalise_label("封", schema) is None
    assert normalise_label("封&赐地", schema) == "封&赐地"


def test_labels_without_chinese_keep_their_words() -> None:
    assert short_label(" Research & Development (R) ") == "Research & Development (R)"
