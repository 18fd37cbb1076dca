"""Every decoder keeps its promises on inputs near good ones and on any bytes, in bounded number."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.inputs import TOKENS
from fuzz.targets import TARGETS

EXAMPLES = {"graph": 20, "tokenizer": 60, "wire-fit": 30, "settings": 60, "answer": 60}
"""Fewer where each takes long."""


@st.composite
def near(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with a few pieces replaced, left out, repeated or put in."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        piece = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)))
        kept = content[start:end] * draw(st.integers(0, 2))
        content = content[:start] + piece + kept + content[end:]
    return content


@pytest.mark.parametrize("name", list(TARGETS))
def test_promises_hold(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    for seed in seeds:
        target.check(seed)

    @settings(max_examples=EXAMPLES.get(name, 150))
    @given(st.one_of(near(seeds), near(seeds), near(seeds), st.binary(max_size=200)))
    def holds(content: bytes) -> None:
        target.check(content)

    holds()
