"""Scores as JSON, in the form that `report.json` holds; figures in [0, 1]."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from slcolm_services.scoring.counts import Counts, Interval, MacroPrf, Prf
from slcolm_services.scoring.ner import NerScores
from slcolm_services.scoring.reliability import Judged, precision_recall, reliability
from slcolm_services.scoring.span import SpanFigures, SpanScores
from slcolm_services.scoring.strict import Comparison, Scores


def strict_json(scores: Scores) -> dict[str, Any]:
    """Strict scores."""
    return {
        "sentences": scores.sentences,
        "micro": prf_json(scores.micro),
        "macro": macro_json(scores.macro),
        "counts": counts_json(scores.counts),
        "by_frequency": {
            item.bucket: {
                **prf_json(item.micro),
                "macro": macro_json(item.macro),
                "counts": counts_json(item.counts),
                "types": item.type_count,
            }
            for item in scores.by_frequency
        },
        "per_relation": {
            item.type: {
                **prf_json(item.counts.prf()),
                "counts": counts_json(item.counts),
                "training_count": item.training_count,
            }
            for item in scores.per_type
        },
        "without_gold": scores.without_gold,
        "off_schema": scores.off_schema,
        "same_mention": scores.same_mention,
    }


def judged_json(judged: Judged) -> dict[str, Any]:
    """What probabilities are worth: reliability and precision-recall; null where they are none."""
    calibrated, curve = reliability(judged), precision_recall(judged)
    return {
        "reliability": None if calibrated is None else asdict(calibrated),
        "average_precision": None if curve is None else curve.average_precision,
        "precision_recall": [
            {"threshold": point.threshold, "p": point.precision, "r": point.recall}
            for point in (curve.points if curve else ())
        ],
    }


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Differences of two systems, with their intervals."""
    return {
        name: {
            "value": difference.value,
            "low": difference.interval.low,
            "high": difference.interval.high,
        }
        for name, difference in (
            ("micro_f1", comparison.micro_f1),
            ("macro_f1_pr", comparison.macro_f1_pr),
            ("macro_f1_mean", comparison.macro_f1_mean),
        )
    }


def span_json(scores: SpanScores, ner: NerScores) -> dict[str, Any]:
    """Span scores, and entities by the schemes of SemEval 2013 task 9.1."""
    return {
        "entities": _span_figures_json(scores.entities),
        "boundaries": _span_figures_json(scores.boundaries),
        "relations": _span_figures_json(scores.relations),
        "relations_strict": _span_figures_json(scores.relations_strict),
        "ner": {
            scheme: {**prf_json(counts.prf()), "counts": asdict(counts)}
            for scheme, counts in ner.by_scheme().items()
        },
    }


def _span_figures_json(figures: SpanFigures) -> dict[str, Any]:
    return {
        "micro": prf_json(figures.micro),
        "macro": macro_json(figures.macro),
        "counts": counts_json(figures.counts),
        "per_type": {
            name: {**prf_json(counts.prf()), "counts": counts_json(counts)}
            for name, counts in figures.by_type.items()
        },
    }


def prf_json(figures: Prf) -> dict[str, Any]:
    """Precision, recall and F1."""
    return {
        "p": figures.precision,
        "r": figures.recall,
        "f": figures.f1,
        **_interval_json("f_interval", figures.f1_interval),
    }


def macro_json(figures: MacroPrf) -> dict[str, Any]:
    """Macro averages, with both forms of F1."""
    return {
        "p": figures.precision,
        "r": figures.recall,
        "f1_pr": figures.f1_pr,
        "f1_mean": figures.f1_mean,
        **_interval_json("f1_pr_interval", figures.f1_pr_interval),
        **_interval_json("f1_mean_interval", figures.f1_mean_interval),
    }


def counts_json(counts: Counts) -> list[int]:
    """[correct, predicted, gold]."""
    return [counts.correct, counts.predicted, counts.gold]


def _interval_json(key: str, interval: Interval | None) -> dict[str, list[float]]:
    return {} if interval is None else {key: [interval.low, interval.high]}
