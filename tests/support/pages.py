"""A small report, as `build_report` makes it, for tests of the page."""

from __future__ import annotations

from typing import Any

from slcolm_services.corpus.documents import Document, Entity, Relation

GOLD = Document(
    id="a",
    text="甲为太守，子乙。",
    entities=(Entity("PER", 0, 1), Entity("OFI", 2, 4), Entity("PER", 6, 7)),
    relations=(Relation("任职", 0, 1), Relation("父", 0, 2)),
)


def reliability() -> dict[str, Any]:
    """Reliability with one bin."""
    one = {"low": 0.5, "high": 0.6, "count": 4, "mean_probability": 0.55, "fraction_right": 0.75}
    return {
        "count": 4,
        "expected_calibration_error": 0.2,
        "brier_score": 0.25,
        "bins": [one],
    }


def strict(relation: str = "任职") -> dict[str, Any]:
    """Strict scores of one system."""
    figures = {"p": 0.5, "r": 0.5, "f": 0.5, "f_interval": [0.4, 0.6]}
    bucket = {**figures, "types": 1}
    return {
        "micro": figures,
        "macro": {"p": 0.5, "r": 0.5, "f1_pr": 0.5, "f1_mean": 0.5},
        "by_frequency": {"head": bucket, "medium": {**bucket, "types": 0}, "tail": bucket},
        "per_relation": {
            "父": {**figures, "counts": [0, 0, 1], "training_count": 1},
            relation: {**figures, "counts": [1, 2, 3], "training_count": 222},
        },
    }


def report(
    *, relation: str = "任职", low: float = -0.1, high: float = 0.1, offline: bool = False
) -> dict[str, Any]:
    """A report on two relation types, one of them frequent, and a third without gold."""
    names = ("micro_f1", "macro_f1_pr", "macro_f1_mean")
    difference = {name: {"value": (low + high) / 2, "low": low, "high": high} for name in names}
    told = {
        "usable": 1,
        "failed": 0,
        "not_asked": 0,
        "offline_rules": offline,
        "models": [],
        "repairs": {},
        "dropped": {},
    }
    answers = {"texts": 1, **told, "sources": {"offline" if offline else "openai": told}}
    spending = {
        "calls": 1,
        "prompt_tokens": 2,
        "cached_tokens": 0,
        "completion_tokens": 3,
        "cost": 0.5,
        "currency": "EUR",
        "budget": None,
    }
    return {
        "run_id": "r1",
        "task": "annals",
        "datasets": {"train": "d1", "dev": "d2", "test": "d3"},
        **{name: {"strict": strict(relation)} for name in ("slm", "llm", "merged")},
        "merged_minus_slm": difference,
        "merged_minus_llm": difference,
        "training_counts": {relation: 222, "父": 1, "隐": 40},
        "calibration": {"method": "none", "before": None, "after": None, "merged": None},
        "precision_recall": {"slm": [], "merged": []},
        "average_precision": {"slm": None, "merged": None},
        "leakage": {"splits": [], "clean_test": {"sentences": 1}},
        "policy": {
            "mode": "gate",
            "threshold": 0.6,
            "weak_types": [],
            "rare_below": 20,
            "entity_filter": "slm",
            "provenance": "chosen on dev",
            "quorum": 0.0,
            "digest": "p1",
            "calibration": None,
            "confidence": None,
            "runners_up": [],
        },
        "answers": {"dev": answers, "test": answers},
        "spending": spending,
        "revisions": {"model_revision": "m1"},
    }


def line(
    name: str = "a", *, text: str = GOLD.text, relation: str = "任职", note: str = "因为"
) -> dict[str, Any]:
    """A line of `merged.jsonl`: the office found, the father missed."""
    triple = {"head": "甲", "tail": "太守", "type": relation}
    return {
        "id": name,
        "text": text,
        "entities": [
            {"type": "PER", "start": 0, "end": 1},
            {"type": "OFI", "start": 2, "end": 4},
        ],
        "relations": [{"type": relation, "head": 0, "tail": 1}],
        "triples": [{**triple, "sources": ["slm", "llm"], "prob": 0.8, "rule": "gate"}],
        "revisions": [
            {"kind": "kept", **triple},
            {"kind": "dropped", "head": "甲", "tail": "乙", "type": "父"},
            {"kind": "dropped", "head": "甲", "tail": "丙", "type": "父"},
            {"kind": "added", "head": "乙", "tail": "太守", "type": "任职"},
        ],
        "explanation": note,
    }
