"""The page of a run: what it shows, and that nothing in the data becomes markup."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.pages import GOLD, line, reliability, report

from slcolm_services.coordinator.page import render_page
from slcolm_services.coordinator.page_charts import SQUARE, curves, long_tail
from slcolm_services.coordinator.page_figures import changes_by_type
from slcolm_services.coordinator.page_sentences import sentence_views
from slcolm_services.corpus.documents import Document

EVIL = "</script><script>alert(1)</script>"
LABELS = {"slm": "SLM", "llm": "LLM", "merged": "Merged"}


def _page(value: dict[str, Any], *lines: dict[str, Any], gold: Sequence[Document] = (GOLD,)) -> str:
    return render_page(value, lines or [line()], gold, seconds={"train": 12.34})


def _data(page: str) -> Any:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_triples_and_revisions_are_judged_against_gold() -> None:
    (sentence,) = sentence_views([line()], [GOLD], frozenset())

    assert [(t["type"], t["verdict"]) for t in sentence["triples"]] == [
        ("任职", "right"),
        ("父", "missed"),
    ]
    # 甲-乙 is in gold, so to drop it was wrong; 甲-丙 is not. The merged triples lack both, and
    # what was added as well.
    assert [(r["kind"], r["right"], r["taken"]) for r in sentence["revisions"]] == [
        ("kept", True, True),
        ("dropped", False, True),
        ("dropped", True, True),
        ("added", False, False),
    ]


def test_arrows_know_their_mentions_and_a_missed_mention_is_added() -> None:
    (sentence,) = sentence_views([line()], [GOLD], frozenset())

    assert [triple["mentions"] for triple in sentence["triples"]] == [[0, 1], [0, 2]]
    assert sentence["entities"][2] == {"type": "PER", "start": 6, "end": 7, "missed": True}


def test_a_symmetric_relation_is_right_in_both_directions_and_missed_once() -> None:
    turned = replace(GOLD.relations[1], head=2, tail=0)
    gold = replace(GOLD, relations=(GOLD.relations[1], turned))
    found = line() | {
        "relations": [],
        "triples": [{"head": "乙", "tail": "甲", "type": "父", "sources": ["llm"]}],
    }

    (right,) = sentence_views([found], [gold], frozenset({"父"}))
    (missed,) = sentence_views([found | {"triples": []}], [gold], frozenset({"父"}))
    (directed,) = sentence_views(
        [found], [replace(gold, relations=gold.relations[:1])], frozenset()
    )

    assert [triple["verdict"] for triple in right["triples"]] == ["right"]
    assert [triple["verdict"] for triple in missed["triples"]] == ["missed"]
    assert [triple["verdict"] for triple in directed["triples"]] == ["wrong", "missed"]


def test_a_failed_sentence_says_why_and_misses_its_gold() -> None:
    failed = {
        "id": "a",
        "text": GOLD.text,
        "entities": [],
        "relations": [],
        "triples": [],
        "error": "too long",
    }

    (sentence,) = sentence_views([failed], [GOLD], frozenset())

    assert sentence["problem"] == "too long"
    assert [triple["verdict"] for triple in sentence["triples"]] == ["missed", "missed"]


def test_the_long_tail_is_in_bands_and_a_type_without_gold_has_no_figures() -> None:
    tail = long_tail(report(), LABELS)

    assert [(band["name"], [row["type"] for row in band["rows"]]) for band in tail["bands"]] == [
        ("head", ["任职"]),
        ("medium", ["隐"]),
        ("tail", ["父"]),
    ]
    head, medium, _ = (band["rows"][0] for band in tail["bands"])
    assert head["at"] == 1.0
    assert 0 < medium["at"] < 1
    assert head["figures"] == {"slm": 0.5, "llm": 0.5, "merged": 0.5}
    assert medium["figures"] == {}
    assert "no gold in test" in _page(report())


def test_errors_saved_are_wrong_and_missed_triples_together() -> None:
    value = report()
    value["merged"]["strict"]["per_relation"]["任职"]["counts"] = [3, 4, 3]

    # The SLM: 1 wrong and 2 missed; merged: 1 wrong.
    assert changes_by_type(value) == [
        {"type": "任职", "saved": 2, "wrong": [1, 1], "missed": [2, 0]}
    ]


def test_lines_of_one_f1_go_through_the_points_that_have_it() -> None:
    for iso in curves(report())["iso"]:
        for point in iso["path"][1:].split("L"):
            x, y = map(float, point.split())
            recall = (x - SQUARE.left) / SQUARE.size
            precision = 1 - (y - SQUARE.top) / SQUARE.size
            assert 2 * precision * recall / (precision + recall) == pytest.approx(
                iso["f1"], abs=0.01
            )


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.1, 0.1, "No difference from the SLM"),
        (0.1, 0.2, "is better"),
        (-0.2, -0.1, "is worse"),
        (0.0, 0.0, "is the same"),
    ],
)
def test_a_plain_sentence_says_whether_the_difference_is_chance(
    low: float, high: float, words: str
) -> None:
    assert words in _page(report(low=low, high=high))


def test_offline_rules_are_named_and_never_called_an_llm() -> None:
    offline = _page(report(offline=True))
    online = _page(report())

    assert 'id="offline"' in offline
    assert '<th scope="col">rules</th>' in offline
    assert '<th scope="col">LLM</th>' not in offline
    assert 'id="offline"' not in online
    assert '<th scope="col">LLM</th>' in online


def test_a_policy_that_was_not_fitted_says_so() -> None:
    fitted = report()
    fitted["policy"]["runners_up"] = [
        {
            "mode": "gate",
            "threshold": 0.6,
            "rare_below": 20,
            "entity_filter": "slm",
            "objective": 0.5,
            "objective_standard_error": 0.1,
            "gap": 0.0,
            "gap_standard_error": 0.0,
        }
    ]

    assert "documented default" in _page(report())
    assert "documented default" not in _page(fitted)


def test_probabilities_are_shown_where_there_are_any() -> None:
    value = report()
    value["calibration"] = {
        "method": "isotonic",
        "before": reliability(),
        "after": reliability(),
        "merged": None,
    }
    value["precision_recall"]["slm"] = [{"threshold": 0.5, "p": 1.0, "r": 0.5}]
    value["average_precision"]["slm"] = 0.625

    page = _page(value)

    assert "SLM calibrated (isotonic)" in page
    assert "SLM: average precision 0.625." in page
    assert "no probabilities" not in page
    assert "Merged triples do not all have a probability" in page
    assert "no probabilities" in _page(report())


def test_leakage_is_told_with_the_scores_of_what_does_not_leak() -> None:
    value = report()
    kind = {
        "count": 1,
        "ids": ["a"],
        "examples": [{"id": "a", "other_id": "t9", "run": "甲为太守"}],
    }
    value["leakage"]["splits"] = [
        {
            "split": "test",
            "other": "train",
            "sentences": 2,
            "unit": "characters",
            "run_length": 12,
            "same": kind,
            "sharing": {"count": 0, "ids": [], "examples": []},
        }
    ]
    clean = {name: {"strict": value[name]["strict"]} for name in LABELS}
    value["leakage"]["clean_test"] = {"sentences": 1, **clean}

    page = _page(value, line("a"), line("b"))

    assert "1 of 2 test sentences stand in train or dev too" in page
    assert 'href="#id=a"' in page
    assert "No test sentence stands in train or dev" in _page(report())


def test_stage_times_and_digests_are_shown() -> None:
    page = _page(report())

    assert '<th scope="row">train</th><td>12.3</td>' in page
    assert "<dt>model_revision</dt><dd>m1</dd>" in page


def test_markup_in_text_label_and_explanation_stays_text() -> None:
    page = _page(report(relation=EVIL), line(text=EVIL, relation=EVIL, note=EVIL))

    assert "<script>alert" not in page
    assert page.count("</script>") == _page(report()).count("</script>")
    (sentence,) = _data(page)
    assert sentence["text"] == sentence["explanation"] == sentence["triples"][0]["type"] == EVIL


@pytest.mark.parametrize("outside", ["http://", "https://", "src=", "@import", "url("])
def test_the_page_refers_to_nothing_outside_itself(outside: str) -> None:
    assert outside not in _page(report())


def _colours(theme: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", theme))


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_can_be_read_in_both_themes() -> None:
    """Contrast of at least 4.5, WCAG 2.2 criterion 1.4.3."""
    light, dark = re.findall(r":root \{.*?\}", _page(report()), re.DOTALL)[:2]
    for theme in (_colours(light), _colours(dark)):
        for ground in ("bg", "box", "warn"):
            for name in ("fg", "dim", "link", "right", "wrong", "missed"):
                high, low = sorted((_luminance(theme[name]), _luminance(theme[ground])))[::-1]
                assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)
