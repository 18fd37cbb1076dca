"""From a mention as an LLM wrote it to the characters of the text.

What is repaired is certain: brackets and type words around a mention, script variants, and letter
case or white space where only one wording of the text can be meant. Everything else is not there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.script import fold

MAX_MENTION_CHARS = 500
"""Longest mention that is looked for."""

_MAX_PLACES = 1_000
_MAX_VARIANT_CHARS = 100
_MAX_VARIANTS = 200
"""Mentions that are looked for loosely: on hostile texts that takes milliseconds each."""

_BRACKETED = re.compile(r"[(（\[【].*?[)）\]】]")
_WRAPPING = " \t\r\n\"'“”‘’「」『』《》〈〉()（）[]【】<>,，。;；:："
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")

Span = tuple[int, int]
"""Half-open range of the text, in code points."""


class MentionFinder:
    """Looks mentions up in one text.

    Args:
        text: The text.
        schema: Its entity labels are no part of a mention that the text has without them.
        repairs: Counts what had to be repaired: `mention_trimmed`, `script_variant`,
            `case_variant`, `spacing_variant`.

    Attributes:
        repaired: Mentions of the text that were looked for in other words.
    """

    def __init__(self, text: str, schema: TaskSchema, repairs: Counter[str] | None = None) -> None:
        self._text = text
        self._folded = fold(text)
        self._type_words = re.compile(
            "|".join(re.escape(kind.label) for kind in schema.entity_types) or r"(?!)"
        )
        self._repairs = Counter[str]() if repairs is None else repairs
        self._variants = 0
        self._places: dict[str, list[Span]] = {}
        self._grounded: dict[str, tuple[str | None, Counter[str]]] = {}
        self.repaired: set[str] = set()

    def places(self, mention: str) -> list[Span]:
        """Where a mention stands, from left to right, script variants folded.

        Places inside a longer word count only where the mention stands nowhere as a word.
        """
        if mention not in self._places:
            usable = 0 < len(mention) <= MAX_MENTION_CHARS and not mention.isspace()
            found: list[Span] = []
            if usable:
                found = _occurrences(self._text, mention)
                found = found or _occurrences(self._folded, fold(mention))
            whole = [span for span in found if self._is_whole(span)]
            self._places[mention] = whole or found
        return self._places[mention]

    def ground(self, written: str) -> str | None:
        """The mention as it stands in the text, or None when it does not stand there."""
        if written not in self._grounded:
            self._grounded[written] = self._look_up(written)
        mention, repairs = self._grounded[written]
        self._repairs.update(repairs)
        if mention is not None and repairs:
            self.repaired.add(mention)
        return mention

    def _look_up(self, written: str) -> tuple[str | None, Counter[str]]:
        for candidate in self._candidates(written):
            places = self.places(candidate)
            if places:
                repairs = Counter({"mention_trimmed": 1} if candidate != written else {})
                start, end = places[0]
                mention = self._text[start:end]
                if mention != candidate:
                    repairs["script_variant"] += 1
                return mention, repairs
        return self._variant(written.strip(_WRAPPING))

    def _candidates(self, written: str) -> Iterator[str]:
        yield written
        if len(written) > MAX_MENTION_CHARS:
            return
        stripped = written.strip(_WRAPPING)
        yield stripped
        yield _BRACKETED.sub("", stripped).strip(_WRAPPING)
        yield self._type_words.sub("", stripped).strip(_WRAPPING)

    def _variant(self, mention: str) -> tuple[str | None, Counter[str]]:
        """The one wording of the text that differs in letter case or white space only."""
        if not 0 < len(mention) <= _MAX_VARIANT_CHARS or self._variants >= _MAX_VARIANTS:
            return None, Counter()
        self._variants += 1
        pattern = re.compile(_loosely(fold(mention)), re.IGNORECASE)
        wordings = {
            self._text[found.start() : found.end()]
            for found in pattern.finditer(self._folded)
            if self._is_whole(found.span())
        }
        if len(wordings) != 1:
            return None, Counter()
        wording = wordings.pop()
        same_case = _squeezed(fold(wording)) == _squeezed(fold(mention))
        return wording, Counter({"spacing_variant" if same_case else "case_variant": 1})

    def _is_whole(self, span: Span) -> bool:
        """Whether the range does not begin or end inside a word; Chinese has no such words."""
        return not any(
            0 < edge < len(self._text) and _joins(self._text[edge - 1], self._text[edge])
            for edge in span
        )


def _occurrences(text: str, mention: str) -> list[Span]:
    found: list[Span] = []
    start = text.find(mention)
    while start >= 0 and len(found) < _MAX_PLACES:
        found.append((start, start + len(mention)))
        start = text.find(mention, start + 1)
    return found


def _joins(before: str, after: str) -> bool:
    """Whether two neighbouring characters belong to one word of a script with spaces."""
    return before.isalnum() and after.isalnum() and not (_WIDE.match(before) or _WIDE.match(after))


def _loosely(mention: str) -> str:
    """A pattern in which white space may come and go, but not between two letters of a word."""
    parts = []
    before = ""
    for match in re.finditer(r"(\s*)(\S)", mention):
        space, character = match.groups()
        if before and _joins(before, character):
            parts.append(r"\s+" if space else "")
        elif before:
            parts.append(r"\s*")
        parts.append(re.escape(character))
        before = character
    return "".join(parts)


def _squeezed(text: str) -> str:
    return "".join(text.split())
