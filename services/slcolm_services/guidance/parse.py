"""Reads LLM answers: every triple that a person would find, and what had to be repaired.

The ladder of `containers` gives values, `sections` sorts them, `shapes` makes tuples of mentions,
`mentions` finds them in the text; here labels are mapped to the schema. Nothing is guessed: what
the schema or the text does not hold is counted and left out. No text makes it raise.
"""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from slcolm_services.corpus.documents import Entity, Triple
from slcolm_services.corpus.labels import normalise_label
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.containers import Reading, readings
from slcolm_services.guidance.literals import Value
from slcolm_services.guidance.mentions import MAX_MENTION_CHARS, MentionFinder, Span
from slcolm_services.guidance.sections import Sections, read_sections
from slcolm_services.guidance.shapes import pieces, tuples

_PAIR = 2
_MAX_FOUND = 2_000
_MIN_PROSE_CHARS = 16
_MAX_PROSE_CHARS = 2_000
_MAX_MENTION_DEPTH = 3
_MAX_BEGINNINGS = 50
_SAYS_NONE = re.compile(r"(?:关系|relations?)[\"'”]?\s*[:：]\s*(?:\{\s*\}|\[\s*\])", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class DiscontinuousEntity:
    """A mention in several pieces of the text, from left to right."""

    type: str
    pieces: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """What an answer says about one text.

    Attributes:
        triples: Each once, in the order of the answer; mentions as they stand in the text.
        ungrounded: Triples with a mention that the text does not have, as the answer has them.
        entities: Mentions of the answer's entity lists, at every place where they stand.
        discontinuous: Mentions that the answer gives in pieces.
        explanation: The LLM's reasons; empty where it gave none.
        usable: False when what was asked for could not be read: the caller falls back to the SLM.
        repairs: What had to be repaired, by name.
        dropped: Triples left out, by reason: `unknown_type`, `not_in_text`, `wrong_arity`,
            `same_mention`, `over_limit`.
        unknown_types: Relation types outside the schema, as written, with the number of triples.
        dropped_entities: Entities left out, by reason: `unknown_type`, `not_in_text`, `over_limit`.
        repaired: Mentions of the text that the answer has in other words.
    """

    triples: tuple[Triple, ...] = ()
    ungrounded: tuple[Triple, ...] = ()
    entities: tuple[Entity, ...] = ()
    discontinuous: tuple[DiscontinuousEntity, ...] = ()
    explanation: str = ""
    usable: bool = False
    repairs: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    unknown_types: Counter[str] = field(default_factory=Counter)
    dropped_entities: Counter[str] = field(default_factory=Counter)
    repaired: frozenset[str] = frozenset()


def parse_answer(
    answer: str, text: str, schema: TaskSchema, *, entities_only: bool = False
) -> ParsedAnswer:
    """Read an answer about `text`.

    Args:
        answer: What the LLM wrote, as it came.
        text: The sentence the answer is about; triples carry its own characters.
        schema: Entity and relation types that count.
        entities_only: Whether entities were asked for and no relations.

    Returns:
        The triples found; `usable` is False when there is nothing to read. Never raises.
    """
    chosen = _choose(answer, schema, _lists_entities if entities_only else _has_relations)
    if chosen is None:
        return ParsedAnswer(explanation=_clean(answer.strip()[:_MAX_PROSE_CHARS]))
    reading, sections, usable = chosen
    if entities_only:
        sections.relations = []
    return _Interpreter(text, schema, reading.repairs + sections.repairs).interpret(
        sections, _explanation(sections.reasons, reading.outside), usable=usable
    )


def _has_relations(sections: Sections) -> bool:
    return sections.has_relations


def _lists_entities(sections: Sections) -> bool:
    return sections.has_entities


def _choose(
    answer: str, schema: TaskSchema, answers: Callable[[Sections], bool]
) -> tuple[Reading, Sections, bool] | None:
    """The gentlest reading that answers what was asked; else the first that holds anything."""
    partial: list[tuple[Reading, Sections]] = []
    for reading in readings(answer):
        sections = read_sections(reading.values, schema)
        if answers(sections):
            return reading, sections, True
        if sections.entities or sections.reasons:
            partial.append((reading, sections))
    for reading, outer in partial:
        for reason in outer.reasons:
            for inner in readings(reason):
                sections = read_sections(inner.values, schema)
                if answers(sections):
                    repairs = reading.repairs + inner.repairs
                    repairs["answer_in_reasoning"] += 1
                    sections.reasons = [*outer.reasons, *sections.reasons]
                    return replace(reading, repairs=repairs), sections, True
    says_none = bool(_SAYS_NONE.search(answer)) and answers is _has_relations
    if says_none and not partial:
        return Reading(()), Sections(), True
    return (*partial[0], says_none) if partial else None


class _Interpreter:
    """Maps the sections of one answer to the schema and to the text, and keeps count."""

    def __init__(self, text: str, schema: TaskSchema, repairs: Counter[str]) -> None:
        self._schema = schema
        self._repairs = repairs
        self._finder = MentionFinder(text, schema, repairs)
        self._ungrounded: dict[Triple, None] = {}
        self._dropped: Counter[str] = Counter()
        self._unknown_types: Counter[str] = Counter()
        self._discontinuous: dict[DiscontinuousEntity, None] = {}
        self._dropped_entities: Counter[str] = Counter()

    def interpret(self, sections: Sections, explanation: str, *, usable: bool) -> ParsedAnswer:
        triples, entities = self._triples(sections.relations), self._entities(sections.entities)
        return ParsedAnswer(
            triples=triples,
            ungrounded=tuple(self._ungrounded),
            entities=entities,
            discontinuous=tuple(self._discontinuous),
            explanation=explanation,
            usable=usable,
            repairs=self._repairs,
            dropped=self._dropped,
            unknown_types=self._unknown_types,
            dropped_entities=self._dropped_entities,
            repaired=frozenset(self._finder.repaired),
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
                    self._unknown_types[_clean(raw.strip())[:MAX_MENTION_CHARS]] += 1
                    continue
                if len(found) + len(self._ungrounded) >= _MAX_FOUND:
                    self._dropped["over_limit"] += 1
                    continue
                triple = self._triple(members, label)
                if triple in found:
                    self._repairs["duplicate_triple"] += 1
                elif triple:
                    found[triple] = None
        return tuple(found)

    def _triple(self, members: tuple[str, ...], label: str) -> Triple | None:
        if len(members) != _PAIR:
            # Of the pairs that could be picked from the longer tuples of recorded answers one in
            # five was right, of all other pairs two in three: they are not worth guessing.
            self._dropped["wrong_arity"] += 1
            return None
        head, tail = (self._finder.ground(member) for member in members)
        if head is None or tail is None:
            self._dropped["not_in_text"] += 1
            first, second = (_clean(member)[:MAX_MENTION_CHARS] for member in members)
            self._ungrounded[Triple(first, second, label)] = None
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
                if kind is None:
                    self._dropped_entities["unknown_type"] += 1
                elif len(found) + len(self._discontinuous) >= _MAX_FOUND:
                    self._dropped_entities["over_limit"] += 1
                elif places := self._places(mention):
                    found |= {Entity(kind.name, *place): None for place in places}
                elif in_pieces := self._pieces(mention):
                    self._discontinuous[DiscontinuousEntity(kind.name, in_pieces)] = None
                else:
                    self._dropped_entities["not_in_text"] += 1
        return tuple(found)

    def _places(self, mention: str | tuple[str, ...]) -> list[Span]:
        """Where a mention stands in one piece."""
        if isinstance(mention, tuple):
            return []
        grounded = self._finder.ground(mention)
        return [] if grounded is None else self._finder.places(grounded)

    def _pieces(self, mention: str | tuple[str, ...]) -> tuple[Span, ...]:
        """Where the pieces of a mention stand closest together, in order; empty if they do not."""
        if isinstance(mention, str):
            return ()
        grounded = [self._finder.ground(piece) for piece in mention]
        places = [self._finder.places(piece) if piece else [] for piece in grounded]
        found = [
            spans
            for first in places[0][:_MAX_BEGINNINGS]
            if (spans := _following(first, places[1:]))
        ]
        return min(found, key=lambda spans: spans[-1][1] - spans[0][0], default=())


def _following(first: Span, places: Sequence[Sequence[Span]]) -> tuple[Span, ...]:
    """The first span and the nearest of each further piece after the one before; or nothing."""
    spans = [first]
    for further in places:
        after = bisect.bisect_left(further, (spans[-1][1], 0))
        if after == len(further):
            return ()
        spans.append(further[after])
    return tuple(spans)


def _mentions(value: Value, depth: int) -> Iterator[str | tuple[str, ...]]:
    """Mentions in the value of an entity type: text, [text, probability], {text: ...}, pieces."""
    if isinstance(value, str) and value.strip():
        yield value
    elif depth < _MAX_MENTION_DEPTH and isinstance(value, list):
        for item in value:
            yield from _mentions(item, depth + 1)
    elif depth < _MAX_MENTION_DEPTH and isinstance(value, dict):
        in_pieces = pieces(value)
        if in_pieces:
            yield in_pieces[0] if len(in_pieces) == 1 else in_pieces
            return
        for key in value:
            yield from _mentions(key, depth + 1)


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
