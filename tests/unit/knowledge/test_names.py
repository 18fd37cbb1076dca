"""Which mentions have one name, and which have none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.knowledge.names import is_pronoun, name_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("尙書郎", "尚书郎"),
        ("曹\n操", "曹操"),
        ("ＩＢＭ", "IBM"),
        ("NEW YORK", "New  York"),
        ("New\u3000York", "new york"),
        ("曹操 Cao", "曹操\tcao"),
    ],
)
def test_names_that_are_one(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("曹操", "操"), ("New York", "NewYork"), ("曹操", "曹丕"), ("U.S.", "US")],
)
def test_names_that_are_two(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)


@given(st.text())
def test_the_form_of_a_form_is_the_form(text: str) -> None:
    # Case folding may make letters that composed ones are made of, never other case.
    assert name_key(name_key(text)) == name_key(text)


@pytest.mark.parametrize("text", ["其", "朕", "寡人", "它們", "it", "It", "They", "I", "我"])
def test_pronouns(text: str) -> None:
    assert is_pronoun(text)


@pytest.mark.parametrize("text", ["US", "WHO", "IT", "汝", "焉", "帝", "操", "", " ", "i"])
def test_what_is_no_pronoun(text: str) -> None:
    assert not is_pronoun(text)
