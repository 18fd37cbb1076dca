"""Recordings: what a model was asked about a sentence, what it answered, and what is true.

A recording is one JSON object a line. Only `id`, `text` and `llm_raw` are always there, the last of
them null where nobody answered; a line that is to be merged also holds the small model's
prediction, and one that is to be scored the gold data. `slcolm guide` writes all of it. In place of
`text` there may be `tokens`: the text is then what they are with a space between them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.jsonfields import SURROGATE, BrokenJson, load_json
from slcolm_services.corpus.lines import scan_lines
from slcolm_services.corpus.records import Findings, shown
from slcolm_services.errors import DataInvalid, FieldViolation

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RecordedEntity:
    """A mention as recordings name it: by its text, without offsets.

    Attributes:
        text: Text of the mention.
        type: Entity type, by its label.
        prob: Probability in [0, 1]; None on gold data.
    """

    text: str
    type: str
    prob: float | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded answer to one sentence.

    Attributes:
        id: Name of the sentence. It may stand on several lines: the sentence was asked again.
        text: The sentence.
        llm_raw: The answer as it came. Where an object was recorded in place of a text, that object
            as JSON. None where there is no answer: asking failed.
        prompt: What was asked, as one text; empty where the line does not say.
        occurrence: Which answer to the sentence this is, counted from 0.
        answer_is_object: Whether an object was recorded in place of the answer's text.
        gold_entities: True mentions, repeated mentions included.
        gold_triples: True triples, repeated ones included, without probabilities. None where the
            line does not say.
        slm_entities: Mentions that the SLM found, repeated ones included.
        slm_triples: Triples that the SLM found, repeated ones included.
        llm_entities: The answer's entities as read when it was recorded: type to what it listed,
            in whatever shape it listed it. None where the line does not say.
        llm_relations: Likewise, relation label to what was listed under it.
        strict_llm_triples: The answer's triples after the strict protocol's filter; None where the
            line does not say.
        line: Number of the line in its file, for errors; 0 where there is none.
    """

    id: str
    text: str
    llm_raw: str | None
    prompt: str = ""
    occurrence: int = 0
    answer_is_object: bool = False
    gold_entities: tuple[RecordedEntity, ...] = ()
    gold_triples: tuple[Triple, ...] | None = None
    slm_entities: tuple[RecordedEntity, ...] = ()
    slm_triples: tuple[Triple, ...] = ()
    llm_entities: Mapping[str, object] | None = None
    llm_relations: Mapping[str, object] | None = None
    strict_llm_triples: tuple[Triple, ...] | None = None
    line: int = field(default=0, compare=False)


def first_answers(recordings: Iterable[Recording]) -> list[Recording]:
    """Each sentence once, with its first answer, in order of appearance."""
    first: dict[str, Recording] = {}
    for recording in recordings:
        first.setdefault(recording.id, recording)
    return list(first.values())


def read_recordings(path: Path) -> list[Recording]:
    """Read a file of recordings.

    Args:
        path: JSON lines in UTF-8; empty lines are skipped.

    Raises:
        DataInvalid: The file or a line cannot be read; the violation names line and field.
    """
    return list(iter_recordings(path))


def iter_recordings(path: Path) -> Iterator[Recording]:
    """Read a file of recordings line by line; see `read_recordings`."""
    for line in scan_lines(path):
        if line.problem:
            raise _invalid(path, f"line {line.number}" if line.number else "file", line.problem)
        if line.text.strip():
            place = f"line {line.number}"
            value = _Value(_parse(line.text, path, place), place, path)
            yield _recording(value, line.number or 0)


def _parse(line: str, path: Path, place: str) -> object:
    try:
        # Answers are recorded as they came: a key may stand twice, and the last one wins.
        return load_json(line, Findings(None))
    except BrokenJson as error:
        raise _invalid(path, place, str(error)) from error


def _invalid(path: Path, place: str, problem: str) -> DataInvalid:
    return DataInvalid(
        f"{path} is not a file of recordings", violations=[FieldViolation(place, problem)]
    )


@dataclass(frozen=True, slots=True)
class _Value:
    """A JSON value that knows its place in the file."""

    value: object
    place: str
    path: Path

    def expect(self, kind: type[_T] | tuple[type, ...], name: str) -> _T:
        if not isinstance(self.value, kind) or isinstance(self.value, bool):
            raise _invalid(self.path, self.place, f"must be {name}, got {shown(repr(self.value))}")
        return self.value  # type: ignore[return-value]  # a tuple of types stands for their join

    def get(self, key: str) -> _Value | None:
        """A member, or None where it is absent or null."""
        value = self.expect(dict, "an object").get(key)
        return None if value is None else _Value(value, _join(self.place, key), self.path)

    def need(self, key: str) -> _Value:
        found = self.get(key)
        if found is None:
            raise _invalid(self.path, _join(self.place, key), "is missing")
        return found

    def text(self) -> str:
        text = self.expect(str, "a string")
        half = SURROGATE.search(text)
        if half:
            problem = (
                f"holds half of a surrogate pair at offset {half.start()}, which is no character"
            )
            raise _invalid(self.path, self.place, problem)
        return text

    def integer(self) -> int:
        return self.expect(int, "an integer")

    def number(self) -> float:
        value: int | float = self.expect((int, float), "a number")
        try:
            return float(value)
        except OverflowError:
            raise _invalid(self.path, self.place, "is too large") from None

    def object(self) -> dict[str, object]:
        return self.expect(dict, "an object")

    def items(self, read: Callable[[_Value], _T]) -> tuple[_T, ...]:
        values = self.expect(list, "a list")
        return tuple(
            read(_Value(value, f"{self.place}[{index}]", self.path))
            for index, value in enumerate(values)
        )


def _join(place: str, key: str) -> str:
    return f"{place}{': ' if place.startswith('line') and ':' not in place else '.'}{key}"


def _recording(line: _Value, number: int) -> Recording:
    raw, is_object = _answer(line)
    gold = line.get("gold_triples")
    prompt = line.get("prompt")
    occurrence, strict = line.get("occurrence"), line.get("strict_llm_triples")
    entities, relations = line.get("llm_entities_parsed"), line.get("llm_relations_parsed")
    return Recording(
        id=line.need("id").text(),
        text=_text(line),
        llm_raw=raw,
        prompt=prompt.text() if prompt else "",
        occurrence=occurrence.integer() if occurrence else 0,
        answer_is_object=is_object,
        gold_entities=_all(line.get("gold_entities"), _entity),
        gold_triples=gold.items(_triple) if gold else None,
        slm_entities=_all(line.get("slm_entities"), _entity),
        slm_triples=_all(line.get("slm_triples"), _triple),
        llm_entities=entities.object() if entities else None,
        llm_relations=relations.object() if relations else None,
        strict_llm_triples=strict.items(_listed_triple) if strict else None,
        line=number,
    )


def _text(line: _Value) -> str:
    """The sentence, or its tokens with a space between them."""
    tokens = None if line.get("text") else line.get("tokens")
    return " ".join(tokens.items(_Value.text)) if tokens else line.need("text").text()


def _answer(line: _Value) -> tuple[str | None, bool]:
    """The answer, and whether an object was recorded in its place."""
    if "llm_raw" in line.object() and line.get("llm_raw") is None:
        return None, False
    raw = line.need("llm_raw")
    if isinstance(raw.value, dict):
        return json.dumps(raw.value, ensure_ascii=False), True
    # To the letter: an LLM may have written half of a surrogate pair.
    return raw.expect(str, "a string"), False


def _all(found: _Value | None, read: Callable[[_Value], _T]) -> tuple[_T, ...]:
    return found.items(read) if found else ()


def _entity(value: _Value) -> RecordedEntity:
    return RecordedEntity(value.need("text").text(), value.need("type").text(), _prob(value))


def _triple(value: _Value) -> Triple:
    head, tail, kind = (value.need(key).text() for key in ("head", "tail", "type"))
    return Triple(head, tail, kind, _prob(value))


def _prob(value: _Value) -> float | None:
    found = value.get("prob")
    if found is None:
        return None
    prob = found.number()
    if not 0 <= prob <= 1:
        raise _invalid(found.path, found.place, f"{prob} is not in [0, 1]")
    return prob


def _listed_triple(value: _Value) -> Triple:
    """A triple written as [head, tail, type]."""
    texts = value.items(_Value.text)
    if len(texts) != 3:  # noqa: PLR2004  head, tail, type
        raise _invalid(
            value.path, value.place, f"must be [head, tail, type], got {shown(repr(texts))}"
        )
    return Triple(*texts)
