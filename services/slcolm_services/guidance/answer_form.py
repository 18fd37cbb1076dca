"""The form of answers: what prompts ask for, what endpoints enforce, what the rules write.

    {reasoning: text or steps, entities: {label: [mention, ...]}, relations: [{type, head, tail}]}

One relation is one object that names its type, head and tail: such an answer cannot have pairs of
three, flat lists or repeated keys, and OpenAI's strict mode can enforce it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slcolm_services.corpus.documents import Document, Entity, Triple
from slcolm_services.corpus.schema import TaskSchema


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of an answer in one language.

    Attributes:
        reasoning: The reasons; always the first, so that a model thinks before it answers.
        entities: Mentions by the label of their type.
        relations: The relations.
        type: Of a relation: the relation type.
        head: Of a relation: the mention that it goes from.
        tail: Of a relation: the mention that it goes to.
        pieces: Of a mention that does not stand in one piece.
        steps: Steps of a chain of thought: understand the text, find the mentions, give them types,
            justify them (https://arxiv.org/abs/2402.09282).
    """

    reasoning: str
    entities: str
    relations: str
    type: str
    head: str
    tail: str
    pieces: str
    steps: tuple[str, str, str, str]


KEYS: Mapping[str, Keys] = {
    "zh": Keys(
        "思考过程",
        "真实的实体",
        "真实的关系",
        "类型",
        "主体",
        "客体",
        "片段",
        ("理解", "实体范围", "实体类型", "依据"),
    ),
    "en": Keys(
        "reasoning",
        "entities",
        "relations",
        "type",
        "head",
        "tail",
        "pieces",
        ("understanding", "spans", "types", "justification"),
    ),
}
"""Keys by the language of the prompt."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What an answer holds.

    Attributes:
        language: Language of its keys: `zh` or `en`.
        reasoning: Whether it gives reasons.
        steps: Whether it gives them step by step.
        relations: Whether it gives relations.
        pieces: Whether mentions may come in pieces.
    """

    language: str
    reasoning: bool = True
    steps: bool = False
    relations: bool = True
    pieces: bool = False

    @property
    def keys(self) -> Keys:
        """Its keys."""
        return KEYS[self.language]

    def json_schema(self, schema: TaskSchema) -> dict[str, Any]:
        """The JSON schema of answers about a task, such as strict modes take it.

        Every property is required and no other is allowed; the types of the task are enumerated.
        """
        keys = self.keys
        properties: dict[str, Any] = {}
        if self.reasoning:
            properties[keys.reasoning] = (
                _object(dict.fromkeys(keys.steps, _TEXT)) if self.steps else _TEXT
            )
        mention = _TEXT
        if self.pieces:
            mention = {"anyOf": [_TEXT, _object({keys.pieces: _array(_TEXT)})]}
        properties[keys.entities] = _object(
            {kind.label: _array(mention) for kind in schema.entity_types}
        )
        if self.relations:
            kind = _enumeration([kind.name for kind in schema.relation_types])
            properties[keys.relations] = _array(
                _object({keys.type: kind, keys.head: _TEXT, keys.tail: _TEXT})
            )
        return _object(properties)

    def skeleton(self, schema: TaskSchema) -> dict[str, Any]:
        """An answer of this form with its contents left open, for prompts."""
        keys = self.keys
        answer: dict[str, Any] = {}
        if self.reasoning:
            answer[keys.reasoning] = dict.fromkeys(keys.steps, "…") if self.steps else "…"
        answer[keys.entities] = {kind.label: ["…"] for kind in schema.entity_types}
        if self.relations:
            answer[keys.relations] = [{keys.type: "…", keys.head: "…", keys.tail: "…"}]
        return answer

    def answer(self, document: Document, schema: TaskSchema, reasoning: str = "") -> dict[str, Any]:
        """The answer that gives a document's annotations, without entity types that it lacks.

        Args:
            document: The annotations.
            schema: The task.
            reasoning: The reasons; left out where there are none.
        """
        keys = self.keys
        answer: dict[str, Any] = {keys.reasoning: reasoning} if reasoning else {}
        answer[keys.entities] = mentions_by_label(document.entities, document.text, schema)
        if self.relations:
            answer[keys.relations] = self.relation_list(document.triples())
        return answer

    def relation_list(self, triples: Iterable[Triple]) -> list[dict[str, str]]:
        """Relations in the form of an answer."""
        keys = self.keys
        return [
            {keys.type: triple.type, keys.head: triple.head, keys.tail: triple.tail}
            for triple in triples
        ]


def mentions_by_label(
    entities: Iterable[Entity], text: str, schema: TaskSchema
) -> dict[str, list[str]]:
    """Mentions by the label of their type, each once, in the order of the text."""
    labels = {kind.name: kind.label for kind in schema.entity_types}
    listed: dict[str, dict[str, None]] = {}
    for entity in sorted(entities, key=lambda entity: (entity.start, entity.end)):
        mentions = listed.setdefault(labels.get(entity.type, entity.type), {})
        mentions[text[entity.start : entity.end]] = None
    return {label: list(mentions) for label, mentions in listed.items()}


# Limits of OpenAI's strict mode (platform.openai.com/docs/guides/structured-outputs).
_MAX_ENUM = 1_000
_MANY_NAMES = 250
_MAX_ENUM_CHARS = 15_000
_TEXT: dict[str, Any] = {"type": "string"}


def _enumeration(names: Sequence[str]) -> dict[str, Any]:
    """One of `names`; any text where they are more than strict modes take."""
    long = len(names) > _MANY_NAMES and sum(map(len, names)) > _MAX_ENUM_CHARS
    return _TEXT if long or len(names) > _MAX_ENUM else {**_TEXT, "enum": list(names)}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
