"""Reads LLM answers: every triple that a person would find, and what had to be repaired.

The ladder of `containers` gives values, `sections` sorts them, `shapes` makes tuples of mentions;
here labels are mapped to the schema and mentions to the characters of the text. Nothing is
guessed: what the schema or the text does not hold is counted and left out. No text makes it raise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from slcolm_services.corpus.documents import Entity, Triple
from slcolm_services.corpus.labels import normalise_label
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.script import find_mention
from slcolm_services.guidance.containers import Reading, readings
from slcolm_services.guidance.literals import Value
from slcolm_services.guidance.sections import Sections, read_sections
from slcolm_services.guidance.shapes import tuples

_PAIR = 2
_MAX_MENTION_CHARS = 500
_MAX_FOUND = 2_000
_MIN_PROSE_CHARS = 16
_MAX_PROSE_CHARS = 2_000
_MAX_MENTION_DEPTH = 3
_BRACKETED = re.compile(r"[(（\[【].*?[)）\]】]")
_WRAPPING = " \t\r\n\"'“”‘’「」『』《》〈〉()（）[]【】<>,，。;；:："
_SAYS_NONE = re.compile(r"(?:关系|relations?)[\"'”]?\s*[:：]\s*(?:\{\s*\}|\[\s*\])", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """What an answer says about one text.

    Attributes:
        triples: Each once, in the order of the answer; mentions as they stand in the text.
        entities: Mentions of the answer's entity lists, at every place where they stand.
        explanation: The LLM's reasons; empty where it gave none.
        usable: False when no relations could be read: the caller falls back to the SLM.
        repairs: What had to be repaired, by name.
        dropped: Triples left out, by reason: `unknown_type`, `not_in_text`, `wrong_arity`,
            `same_mention`, `over_limit`.
        unknown_types: Relation types outside the schema, as written, with the number of triples.
        dropped_entities: Entities left out, by reason: `unknown_type`, `not_in_text`.
    """

    triples: tuple[Triple, ...] = ()
    entities: tuple[Entity, ...] = ()
    explanation: str = ""
    usable: bool = False
    repairs: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    unknown_types: Counter[str] = field(default_factory=Counter)
    dropped_entities: Counter[str] = field(default_factory=Counter)


def parse_answer(answer: str, text: str, schema: TaskSchema) -> ParsedAnswer:
    """Read an answer about `text`.

    Args:
        answer: What the LLM wrote, as it came.
        text: The sentence the answer is about; triples carry its own characters.
        schema: Entity and relation types that count.

    Returns:
        The triples found; `usable` is False when there is nothing to read. Never raises.
    """
    chosen = _choose(answer, schema)
    if chosen is None:
        return ParsedAnswer(explanation=_clean(answer.strip()[:_MAX_PROSE_CHARS]))
    reading, sections = chosen
    return _Interpreter(text, schema, reading.repairs + sections.repairs).interpret(
        sections, _explanation(sections.reasons, reading.outside)
    )


def _choose(answer: str, schema: TaskSchema) -> tuple[Reading, Sections] | None:
    """The gentlest reading that holds relations; else the first that holds anything."""
    partial: list[tuple[Reading, Sections]] = []
    for reading in readings(answer):
        sections = read_sections(reading.values, schema)
        if sections.has_relations:
            return reading, sections
        if sections.entities or sections.reasons:
            partial.append((reading, sections))
    for reading, outer in partial:
        for reason in outer.reasons:
            for inner in readings(reason):
                sections = read_sections(inner.values, schema)
                if sections.has_relations:
                    repairs = reading.repairs + inner.repairs
                    repairs["answer_in_reasoning"] += 1
                    sections.reasons = [*outer.reasons, *sections.reasons]
                    return replace(reading, repairs=repairs), sections
    if _SAYS_NONE.search(answer):
        reading, sections = partial[0] if partial else (Reading(()), Sections())
        sections.has_relations = True
        return reading, sections
    return partial[0] if partial else None


class _Interpreter:
    """Maps the sections of one answer to the schema and to the text, and keeps count."""

    def __init__(self, text: str, schema: TaskSchema, repairs: Counter[str]) -> None:
        self._schema = schema
        self._repairs = repairs
        self._grounder = _Grounder(text, schema, repairs)
        self._dropped: Counter[str] = Counter()
        self._unknown_types: Counter[str] = Counter()
        self._dropped_entities: Counter[str] = Counter()

    def interpret(self, sections: Sections, explanation: str) -> ParsedAnswer:
        return ParsedAnswer(
            triples=self._triples(sections.relations),
            entities=self._entities(sections.entities),
            explanation=explanation,
            usable=sections.has_relations,
            repairs=self._repairs,
            dropped=self._dropped,
            unknown_types=self._unknown_types,
            dropped_entities=self._dropped_entities,
        )

    def _triples(self, relations: list[tuple[str, Value]]) -> tuple[Triple, ...]:
        found: dict[Triple, None] = {}
        for raw, value in relations:
            label = normalise_label(raw, self._schema)
            if label is not None and label != raw:
                self._repairs["label"] += 1
            for members in tuples(value, self._repairs):
                if label is None:
                    self._dropped["unknown_type"] += 1
                    self._unknown_types[_clean(raw.strip())[:_MAX_MENTION_CHARS]] += 1
                    continue
                triple = self._triple(members, label)
                if triple in found:
                    self._repairs["duplicate_triple"] += 1
                elif triple and len(found) >= _MAX_FOUND:
                    self._dropped["over_limit"] += 1
                elif triple:
                    found[triple] = None
        return tuple(found)

    def _triple(self, members: tuple[str, ...], label: str) -> Triple | None:
        if len(members) != _PAIR:
            # Of the pairs that could be picked from the longer tuples of recorded answers one in
            # five was right, of all other pairs two in three: they are not worth guessing.
            self._dropped["wrong_arity"] += 1
            return None
        head, tail = (self._grounder.ground(member) for member in members)
        if head is None or tail is None:
            self._dropped["not_in_text"] += 1
            return None
        if head == tail:
            self._dropped["same_mention"] += 1
            return None
        return Triple(head, tail, label)

    def _entities(self, entities: list[tuple[str, Value]]) -> tuple[Entity, ...]:
        found: dict[Entity, None] = {}
        for raw, value in entities:
            name = raw.strip()
            kind = self._schema.entities_by_label.get(name) or self._schema.entities_by_name.get(
                name
            )
            for mention in _mentions(value, 0):
                grounded = self._grounder.ground(mention)
                if kind is None:
                    self._dropped_entities["unknown_type"] += 1
                elif grounded is None:
                    self._dropped_entities["not_in_text"] += 1
                elif len(found) < _MAX_FOUND:
                    for start, end in self._grounder.places(grounded):
                        found[Entity(kind.name, start, end)] = None
        return tuple(found)


def _mentions(value: Value, depth: int) -> Iterator[str]:
    """Mentions in the value of an entity type: text, [text, probability], {text: ...}."""
    if isinstance(value, str) and value.strip():
        yield value
    elif depth < _MAX_MENTION_DEPTH and isinstance(value, list):
        for item in value:
            yield from _mentions(item, depth + 1)
    elif depth < _MAX_MENTION_DEPTH and isinstance(value, dict):
        for key in value:
            yield from _mentions(key, depth + 1)


class _Grounder:
    """Maps what the LLM wrote to the characters of one text."""

    def __init__(self, text: str, schema: TaskSchema, repairs: Counter[str]) -> None:
        self._text = text
        self._type_words = re.compile(
            "|".join(re.escape(kind.label) for kind in schema.entity_types) or r"(?!)"
        )
        self._repairs = repairs
        self._places: dict[str, list[tuple[int, int]]] = {}

    def places(self, mention: str) -> list[tuple[int, int]]:
        """Where a mention stands in the text, script variants folded."""
        if mention not in self._places:
            usable = 0 < len(mention) <= _MAX_MENTION_CHARS and not mention.isspace()
            self._places[mention] = find_mention(self._text, mention) if usable else []
        return self._places[mention]

    def ground(self, written: str) -> str | None:
        """The mention as it stands in the text, or None when it does not stand there."""
        for candidate in self._candidates(written):
            places = self.places(candidate)
            if places:
                if candidate != written:
                    self._repairs["mention_trimmed"] += 1
                if candidate in self._text:
                    return candidate
                self._repairs["script_variant"] += 1
                start, end = places[0]
                return self._text[start:end]
        return None

    def _candidates(self, written: str) -> Iterator[str]:
        yield written
        if len(written) > _MAX_MENTION_CHARS:
            return
        stripped = written.strip(_WRAPPING)
        yield stripped
        yield _BRACKETED.sub("", stripped).strip(_WRAPPING)
        yield self._type_words.sub("", stripped).strip(_WRAPPING)


def _explanation(reasons: list[str], outside: str) -> str:
    """The reasons given in the answer; else the prose around it, without headings."""
    if reasons:
        return _clean("\n".join(dict.fromkeys(reason.strip() for reason in reasons)))
    lines = [line.strip() for line in outside.replace("```", "").splitlines()]
    prose = "\n".join(line for line in lines if line and not line.endswith((":", "：")))
    return _clean(prose) if len(prose) >= _MIN_PROSE_CHARS else ""


def _clean(text: str) -> str:
    """The text without lone surrogates, which no encoding can carry."""
    return _SURROGATE.sub("�", text)
