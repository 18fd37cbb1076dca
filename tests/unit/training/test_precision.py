"""A faster precision is let through when it costs no F1 on dev."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slcolm_services.errors import ModelInvalid
from slcolm_services.model.folder import passed_precisions
from slcolm_services.training.precision import PrecisionCheck

_FP32 = {"entity": 0.9, "relation": 0.6, "relation_strict": 0.5}


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        ({}, True),
        ({"entity": 0.95}, True),
        ({"relation_strict": 0.4981}, True),
        ({"relation_strict": 0.4979}, False),
        ({"entity": 0.99, "relation": 0.59}, False),
    ],
)
def test_no_f1_may_fall_by_more_than_two_tenths_of_a_point(
    changed: dict[str, float], passed: bool
) -> None:
    check = PrecisionCheck({**_FP32, **changed}, _FP32)
    assert check.passed is passed
    assert check.as_dict()["passed"] is passed


def test_the_card_says_what_has_passed(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    checks = {
        "bf16": PrecisionCheck(_FP32, _FP32).as_dict(),
        "other": PrecisionCheck({**_FP32, "entity": 0.5}, _FP32).as_dict(),
    }
    card.write_text(json.dumps({"precisions": checks}), encoding="utf-8")
    assert passed_precisions(tmp_path) == {"bf16"}
    card.write_text("{}", encoding="utf-8")
    assert passed_precisions(tmp_path) == frozenset()
    card.write_text('{"precisions": {"bf16": 1}}', encoding="utf-8")
    with pytest.raises(ModelInvalid):
        passed_precisions(tmp_path)
