"""From the values of an answer to its sections: entities by type, relations by type, reasons."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeGuard

from slcolm_services.corpus.labels import normalise_label
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.literals import Unreadable, Value, read_value
from slcolm_services.guidance.shapes import TYPES, head_and_tail, pieces, role

_MAX_DEPTH = 6
_TRIPLE = 3
_RELATIONS = re.compile(r"关系|三元组|relation|triple", re.IGNORECASE)
_ENTITIES = re.compile(r"实体|entit", re.IGNORECASE)
_REASONS = re.compile(
    r"思考|解释|理由|说明|分析|推理|reason|explanation|thought|rationale|analysis", re.IGNORECASE
)


@dataclass(slots=True)
class Sections:
    """What an answer states, still in the LLM's own shapes.

    Attributes:
        entities: (type as written, value) in order.
        relations: (type as written, value) in order.
        reasons: The LLM's reasons, in order.
        has_relations: Whether the answer has a section for relations, even an empty one.
        has_entities: Likewise for entities.
        repairs: What had to be repaired, by name.
    """

    entities: list[tuple[str, Value]] = field(default_factory=list)
    relations: list[tuple[str, Value]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    has_relations: bool = False
    has_entities: bool = False
    repairs: Counter[str] = field(default_factory=Counter)


def read_sections(values: Iterable[Value], schema: TaskSchema) -> Sections:
    """Sort the values of an answer into sections, by the schema's names and by usual headings."""
    reader = _Reader(schema)
    for value in values:
        if value == {} and reader.found.entities:
            # "Entities: {...} Relations: {}" says that there are none.
            reader.found.has_relations = True
        reader.top(value, 0)
    return reader.found


class _Reader:
    def __init__(self, schema: TaskSchema) -> None:
        self.schema = schema
        self.found = Sections()

    def top(self, value: Value, depth: int) -> None:
        if depth > _MAX_DEPTH:
            self.found.repairs["too_deep"] += 1
        elif isinstance(value, dict):
            for key, item in value.items():
                self._field(key, item, depth)
        elif isinstance(value, list):
            if _holds_triples(value):
                self.found.has_relations = True
                self._relation_section(value, depth)
            else:
                for item in value:
                    self.top(item, depth + 1)
        elif isinstance(value, str) and value.strip():
            self.found.reasons.append(value)

    def _field(self, key: str, value: Value, depth: int) -> None:
        name = key.strip(" \n\t:：")
        if name in self.schema.entities_by_label or name in self.schema.entities_by_name:
            self.found.has_entities = True
            self.found.entities.append((name, value))
        elif normalise_label(name, self.schema) is not None:
            self.found.has_relations = True
            self.found.relations.append((name, value))
        elif _RELATIONS.search(name) and (_holds_triples(value) or not _is_pairs(value)):
            self.found.has_relations = True
            self._relation_section(value, depth + 1)
        elif _ENTITIES.search(name) and not isinstance(value, str):
            self._entity_section(value)
        else:
            self._unnamed(name, value, depth)

    def _unnamed(self, name: str, value: Value, depth: int) -> None:
        """A field whose name is neither in the schema nor a heading."""
        if isinstance(value, str):
            if not _REASONS.search(name):
                self.found.repairs["stray_key"] += 1
            self.found.reasons.append(value)
        elif _REASONS.search(name) and isinstance(value, list):
            self.found.reasons.extend(item for item in value if isinstance(item, str))
        elif _REASONS.search(name) and _is_steps(value):
            self.found.reasons.extend(f"{step}: {item}" for step, item in value.items() if item)
        elif isinstance(value, dict):
            # Reasoning that broke out of its string becomes a key above the real answer.
            self.found.repairs["stray_key"] += 1
            self.top(value, depth + 1)
        elif _is_pairs(value):
            self.found.has_relations = True
            self.found.relations.append((name, value))
        elif isinstance(value, list) and value:
            self.found.entities.append((name, value))

    def _relation_section(self, value: Value, depth: int) -> None:
        if depth > _MAX_DEPTH:
            self.found.repairs["too_deep"] += 1
        elif isinstance(value, dict):
            self._relation_object(value, depth)
        elif isinstance(value, list):
            for item in value:
                if _is_text_list(triple := _without_numbers(item), _TRIPLE):
                    self._labelled(triple)
                else:
                    self._relation_section(item, depth + 1)
        elif isinstance(value, str) and value.strip():
            self.found.repairs["section_as_string"] += 1
            try:
                parsed, _, needed = read_value(value.strip())
            except Unreadable:
                return
            self.found.repairs.update(needed)
            if not isinstance(parsed, str):
                self._relation_section(parsed, depth + 1)

    def _relation_object(self, value: dict[str, Value], depth: int) -> None:
        label, pair = role(value, TYPES), head_and_tail(value)
        if pair and isinstance(label, str):
            self.found.relations.append((label, [list(pair)]))
            return
        for key, item in value.items():
            if _REASONS.search(key) and isinstance(item, str):
                self.found.reasons.append(item)
            elif _RELATIONS.search(key) and normalise_label(key, self.schema) is None:
                if _is_pairs(item) and not _holds_triples(item):
                    self.found.relations.append((key, item))
                else:
                    self._relation_section(item, depth + 1)
            else:
                self.found.relations.append((key, item))

    def _labelled(self, triple: list[str]) -> None:
        """[head, type, tail], [head, tail, type] or [type, head, tail]."""
        self.found.repairs["labelled_triple"] += 1
        for index in (1, 2, 0):
            if normalise_label(triple[index], self.schema) is not None:
                break
        else:
            index = 1
        rest: list[Value] = [item for place, item in enumerate(triple) if place != index]
        self.found.relations.append((triple[index], [rest]))

    def _entity_section(self, value: Value) -> None:
        self.found.has_entities = True
        if isinstance(value, dict):
            self.found.entities.extend(value.items())
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    label = role(item, ("type", "label", "类型", "实体类型"))
                    text = role(item, ("text", "mention", "name", "entity", "实体", "名称", "文本"))
                    if isinstance(label, str) and isinstance(text, str):
                        self.found.entities.append((label, [text]))
                    elif isinstance(label, str) and pieces(item):
                        self.found.entities.append((label, [item]))
                    else:
                        self.found.entities.extend(item.items())


def _is_steps(value: Value) -> TypeGuard[dict[str, str]]:
    """Whether this is reasoning by named steps."""
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _is_pairs(value: Value) -> bool:
    """Whether this is a list of lists: what stands under a relation type, never under a type."""
    return isinstance(value, list) and any(isinstance(item, list) for item in value)


def _without_numbers(value: Value) -> Value:
    """The list without the probabilities that stand beside the texts."""
    if not isinstance(value, list):
        return value
    return [item for item in value if isinstance(item, bool) or not isinstance(item, float | int)]


def _is_text_list(value: Value, length: int) -> TypeGuard[list[str]]:
    return (
        isinstance(value, list)
        and len(value) == length
        and all(isinstance(item, str) for item in value)
    )


def _holds_triples(value: Value) -> bool:
    """Whether this is a list of triples that name their types themselves."""
    return isinstance(value, list) and any(
        head_and_tail(item) is not None
        if isinstance(item, dict)
        else _is_text_list(_without_numbers(item), _TRIPLE)
        for item in value
    )
