"""The page of a run: what it shows, and that nothing in the data becomes markup."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from slcolm_services.coordinator.page import render_page

EVIL = "</script><script>alert(1)</script>"


def _strict(relation: str) -> dict[str, Any]:
    figures = {"p": 0.5, "r": 0.5, "f": 0.5, "f_interval": [0.4, 0.6]}
    return {
        "strict": {
            "micro": figures,
            "macro": {"p": 0.5, "r": 0.5, "f1_pr": 0.5, "f1_mean": 0.5},
            "by_frequency": dict.fromkeys(("head", "medium", "tail"), figures),
            "per_relation": {
                "少": {**figures, "counts": [0, 0, 1], "training_count": 1},
                relation: {**figures, "counts": [1, 2, 3], "training_count": 222},
            },
        }
    }


def _report(
    *, relation: str = "任职", low: float = -0.1, high: float = 0.1, offline: bool = True
) -> dict[str, Any]:
    difference = {"value": (low + high) / 2, "low": low, "high": high}
    return {
        "run_id": "r1",
        "task": "annals",
        **{name: _strict(relation) for name in ("slm", "llm", "merged")},
        "merged_minus_slm": {"micro_f1": difference, "macro_f1_pr": difference},
        "policy": {
            "mode": "gate",
            "entity_filter": "slm",
            "provenance": "chosen on dev",
            "runners_up": [],
        },
        "answers": {"test": {"offline_rules": offline}},
    }


def _line(
    *, text: str = "甲为太守。", relation: str = "任职", note: str = "因为"
) -> dict[str, Any]:
    triple = {"head": "甲", "tail": "太守", "type": relation}
    return {
        "id": "a",
        "text": text,
        "entities": [{"type": "PER", "start": 0, "end": 1}],
        "triples": [{**triple, "sources": ["slm", "llm"]}],
        "revisions": [
            {"kind": "kept", **triple},
            {"kind": "dropped", "head": "甲", "tail": "乙", "type": "父"},
            {"kind": "dropped", "head": "甲", "tail": "丙", "type": "父"},
        ],
        "explanation": note,
    }


GOLD = {"a": [("甲", "太守", "任职"), ("甲", "乙", "父")]}


def _page(report: dict[str, Any], line: dict[str, Any]) -> str:
    return render_page(report, [line], GOLD, seconds={"train": 12.34})


def _data(page: str) -> Any:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_triples_and_revisions_are_judged_against_gold() -> None:
    (sentence,) = _data(_page(_report(), _line()))

    assert [(t["type"], t["verdict"]) for t in sentence["triples"]] == [
        ("任职", "right"),
        ("父", "missed"),
    ]
    # 甲-乙 is in gold, so to drop it was wrong; 甲-丙 is not.
    assert [(r["kind"], r["right"]) for r in sentence["revisions"]] == [
        ("kept", True),
        ("dropped", False),
        ("dropped", True),
    ]


def test_a_failed_sentence_says_why_and_misses_its_gold() -> None:
    line = {"id": "a", "text": "甲", "entities": [], "triples": [], "error": "too long"}

    (sentence,) = _data(_page(_report(), line))

    assert sentence["problem"] == "too long"
    assert [t["verdict"] for t in sentence["triples"]] == ["missed", "missed"]


def test_relations_stand_in_order_of_their_training_count() -> None:
    page = _page(_report(), _line())

    assert page.index("<td>任职</td>") < page.index("<td>少</td>")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-0.1, 0.1, "Within chance"), (0.1, 0.2, "is better"), (-0.2, -0.1, "is worse")],
)
def test_a_plain_sentence_says_whether_the_difference_is_chance(
    low: float, high: float, words: str
) -> None:
    assert words in _page(_report(low=low, high=high), _line())


def test_offline_rules_are_named_and_never_called_an_llm() -> None:
    offline = _page(_report(), _line())
    online = _page(_report(offline=False), _line())

    assert 'id="offline"' in offline
    assert "<th>rules</th>" in offline
    assert "<th>LLM</th>" not in offline
    assert 'id="offline"' not in online
    assert "<th>LLM</th>" in online


def test_stage_times_are_shown() -> None:
    assert "<td>train</td><td>12.3</td>" in _page(_report(), _line())


def test_markup_in_text_label_and_explanation_stays_text() -> None:
    page = _page(_report(relation=EVIL), _line(text=EVIL, relation=EVIL, note=EVIL))

    assert "<script>alert" not in page
    assert page.count("</script>") == _page(_report(), _line()).count("</script>")
    (sentence,) = _data(page)
    assert sentence["text"] == sentence["explanation"] == sentence["triples"][0]["type"] == EVIL


@pytest.mark.parametrize("outside", ["http://", "https://", "src=", "@import", "url("])
def test_the_page_refers_to_nothing_outside_itself(outside: str) -> None:
    assert outside not in _page(_report(), _line())
