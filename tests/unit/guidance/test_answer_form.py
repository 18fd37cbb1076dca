"""The form that prompts ask for, that endpoints enforce and that the parser reads is one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.guidance.answer_form import AnswerForm
from slcolm_services.guidance.parse import parse_answer

_LETTERS = "甲乙丙丁戊己庚辛"
_names = st.text(alphabet='父子任职攻伐交谈abc&[]"{}:', min_size=1, max_size=4).filter(
    lambda name: name.strip() == name
)
_forms = st.builds(
    AnswerForm,
    language=st.sampled_from(["zh", "en"]),
    reasoning=st.booleans(),
    steps=st.booleans(),
    relations=st.booleans(),
    pieces=st.booleans(),
)


@st.composite
def tasks(draw: st.DrawFn) -> TaskSchema:
    kinds = draw(st.lists(_names, min_size=1, max_size=4, unique=True))
    labels = [f"类{number}" for number in range(draw(st.integers(1, 3)))]
    return TaskSchema(
        "t",
        "zh",
        tuple(EntityType(f"T{number}", label) for number, label in enumerate(labels)),
        tuple(RelationType(kind) for kind in kinds),
    )


def enforced(node: dict[str, Any]) -> bool:
    """Whether a JSON schema is one that strict modes take: nothing optional, nothing open."""
    if "anyOf" in node:
        return all(map(enforced, node["anyOf"]))
    if node["type"] == "array":
        return enforced(node["items"])
    if node["type"] == "object":
        return (
            node["additionalProperties"] is False
            and node["required"] == list(node["properties"])
            and all(map(enforced, node["properties"].values()))
        )
    return bool(node["type"] == "string")


def fits(value: object, node: dict[str, Any]) -> bool:
    """Whether a value follows a JSON schema of the kind that is made here."""
    if "anyOf" in node:
        return any(fits(value, choice) for choice in node["anyOf"])
    if isinstance(value, list):
        return node["type"] == "array" and all(fits(item, node["items"]) for item in value)
    if isinstance(value, dict):
        return (
            node["type"] == "object"
            and list(value) == node["required"]
            and all(fits(item, node["properties"][key]) for key, item in value.items())
        )
    return node["type"] == "string" and value in node.get("enum", [value])


@given(tasks(), _forms)
def test_the_schema_is_strict_and_the_skeleton_has_its_keys(
    task: TaskSchema, form: AnswerForm
) -> None:
    schema = form.json_schema(task)
    assert enforced(schema)
    assert list(form.skeleton(task)) == schema["required"]


@given(tasks(), _forms, st.data())
def test_an_answer_of_the_form_is_read_without_loss_or_repair(
    task: TaskSchema, form: AnswerForm, data: st.DataObject
) -> None:
    kinds = st.sampled_from([kind.name for kind in task.entity_types])
    entities = tuple(Entity(data.draw(kinds), place, place + 1) for place in range(len(_LETTERS)))
    ends = st.integers(0, len(_LETTERS) - 1)
    relations = data.draw(
        st.lists(
            st.builds(
                Relation, st.sampled_from([kind.name for kind in task.relation_types]), ends, ends
            ).filter(lambda relation: relation.head != relation.tail),
            unique=True,
            max_size=6,
        )
    )
    document = Document("q", _LETTERS, entities, tuple(relations))
    answer = form.answer(document, task)
    keys = form.keys
    for kind in task.entity_types:
        answer[keys.entities].setdefault(kind.label, [])
    answer[keys.entities] = {
        kind.label: answer[keys.entities][kind.label] for kind in task.entity_types
    }
    if form.reasoning:
        reasons: object = dict.fromkeys(keys.steps, "因为") if form.steps else "因为"
        answer = {keys.reasoning: reasons, **answer}
    assert fits(answer, form.json_schema(task))
    parsed = parse_answer(json.dumps(answer), _LETTERS, task, entities_only=not form.relations)
    assert parsed.usable
    assert set(parsed.triples) == (set(document.triples()) if form.relations else set())
    assert set(parsed.entities) == set(entities)
    assert not parsed.repairs
    assert ("因为" in parsed.explanation) is form.reasoning


def test_more_types_than_strict_modes_take_are_any_text() -> None:
    task = TaskSchema("t", "en", (), tuple(RelationType(f"r{n}") for n in range(1_001)))
    relations = AnswerForm("en").json_schema(task)["properties"]["relations"]
    assert "enum" not in relations["items"]["properties"]["type"]
