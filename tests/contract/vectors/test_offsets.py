"""The vectors of offsets say what Python finds, which counts code points as the services do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CASES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("offsets.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_a_range_is_the_same_in_every_unit(case: dict[str, Any]) -> None:
    text = case["text"]
    for piece in case["ranges"]:
        assert text[piece["start"] : piece["end"]] == piece["substring"]
        for encoding, unit, width in (("utf-16-le", "utf16", 2), ("utf-8", "utf8", 1)):
            start, end = piece[unit]
            cut = text.encode(encoding)[start * width : end * width]
            assert cut.decode(encoding) == piece["substring"]


def test_the_vectors_have_what_is_easily_got_wrong() -> None:
    texts = "".join(case["text"] for case in CASES)
    for character in ("a", "甲", "𠀀", "😀", "\u0301", "\0", "\u200d"):
        assert character in texts
    units = [piece for case in CASES for piece in case["ranges"]]
    assert any(piece["utf16"] != [piece["start"], piece["end"]] for piece in units)
