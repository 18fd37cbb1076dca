"""Text that is not ours can say anything, and do nothing."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.printable import printable, printable_json, printable_line

DIRECTION = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def is_fit(text: str) -> bool:
    return not any(
        unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in DIRECTION for c in text
    )


@given(st.text(st.characters(categories=None)))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert is_fit(printable_line(text))
    assert is_fit(printable(text).replace("\n", "").replace("\t", ""))


@given(st.recursive(st.text(st.characters(categories=None)), st.lists))
def test_json_says_the_same(value: object) -> None:
    written = printable_json(json.dumps(value, ensure_ascii=False))
    assert is_fit(written)
    written.encode("utf-8")
    assert json.loads(written) == value


@pytest.mark.parametrize(
    "text", ["吕范为丹杨太守。", "שלום \u200f עולם", "naïve 𠀀 👩‍👩‍👧", "a\tb\nc"]
)
def test_text_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_control_character_is_named() -> None:
    assert printable("\x1b[2J\x9b\u202e\r\ud800") == r"\x1b[2J\x9b\u202e\x0d\ud800"
