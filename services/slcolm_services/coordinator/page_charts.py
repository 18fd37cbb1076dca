"""Geometry of the page's charts, which the template draws as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slcolm_services.coordinator.report import SYSTEMS
from slcolm_services.corpus.stats import HEAD_ABOVE, TAIL_UP_TO, frequency_bucket

_BANDS = {
    "head": f"more than {HEAD_ABOVE} training instances",
    "medium": f"{TAIL_UP_TO + 1}–{HEAD_ABOVE}",
    "tail": f"at most {TAIL_UP_TO}",
}
_ISO_F1 = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Frame:
    """A square of the drawing in which both axes run from 0 to 1.

    Attributes:
        left: Of the square, in units of the drawing.
        top: Likewise.
        size: Length of a side.
    """

    left: float
    top: float
    size: float

    def x(self, value: float) -> float:
        """Abscissa of a value in [0, 1]."""
        return round(self.left + value * self.size, 1)

    def y(self, value: float) -> float:
        """Ordinate of a value in [0, 1]; upwards."""
        return round(self.top + (1 - value) * self.size, 1)

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        """A polyline through the points, as the `d` of a path."""
        return "M" + "L".join(f"{self.x(x)} {self.y(y)}" for x, y in points)


SQUARE = Frame(left=40, top=10, size=280)


def long_tail(report: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Relation types by training frequency, with what each system makes of them.

    Returns:
        `bands` with their `rows`, the most frequent first, and `ticks` of the logarithmic axis of
        training counts. Positions are shares of the axis, in [0, 1]. A row without gold has no
        figures.
    """
    counts: dict[str, int] = dict(report["training_counts"])
    for name in SYSTEMS:
        for kind, item in report[name]["strict"]["per_relation"].items():
            counts.setdefault(kind, item["training_count"])
    top = max(counts.values(), default=0)
    rows = [
        _tail_row(report, labels, kind, counts[kind], top)
        for kind in sorted(counts, key=lambda kind: (-counts[kind], kind))
    ]
    return {
        "ticks": [
            {"label": label, "at": _log_share(label, top)}
            for label in (1, 10, 100, 1000, 10_000, 100_000)
            if label <= max(top, 1)
        ],
        "bands": [
            {"name": name, "limits": limits, "rows": found}
            for name, limits in _BANDS.items()
            if (found := [row for row in rows if frequency_bucket(row["training"]) == name])
        ],
    }


def _tail_row(
    report: Mapping[str, Any], labels: Mapping[str, str], kind: str, training: int, top: int
) -> dict[str, Any]:
    found = {name: report[name]["strict"]["per_relation"].get(kind) for name in SYSTEMS}
    gold = max((item["counts"][2] for item in found.values() if item), default=0)
    figures = {name: item["f"] if item else 0.0 for name, item in found.items()} if gold else {}
    told = [f"{kind}: {training} in training, {gold} in test"]
    for name, item in found.items():
        correct, predicted = item["counts"][:2] if item else (0, 0)
        told.append(
            f"{labels[name]}: F1 {100 * figures[name]:.1f} ({correct} of {predicted} right)"
            if gold
            else f"{labels[name]}: {predicted} predicted"
        )
    return {
        "type": kind,
        "training": training,
        "at": _log_share(training, top),
        "gold": gold,
        "figures": figures,
        "low": min(figures.values(), default=0.0),
        "high": max(figures.values(), default=0.0),
        "told": "\n".join(told),
    }


def _log_share(count: int, top: int) -> float:
    """Place of a count on a logarithmic axis that has room for 0."""
    return math.log1p(count) / math.log1p(top) if top else 0.0


def reliability(report: Mapping[str, Any]) -> dict[str, Any]:
    """The reliability diagram: a line a system, with a bar for the predictions in each bin."""
    calibration = report["calibration"]
    method = calibration["method"]
    names = {"before": "SLM as predicted", "after": f"SLM calibrated ({method})"}
    if method == "none":
        # Without calibration both are the same.
        del names["after"]
    names["merged"] = "Merged"
    shown = {name: calibration[name] for name in names if calibration[name]}
    tallest = max((item["count"] for part in shown.values() for item in part["bins"]), default=1)
    return {
        "frame": SQUARE,
        "systems": [
            {
                "key": name,
                "label": names[name],
                "count": part["count"],
                "error": part["expected_calibration_error"],
                "brier": part["brier_score"],
                "path": SQUARE.path(_bin_points(part["bins"])),
                "bins": [
                    {
                        **item,
                        "x": SQUARE.x(item["mean_probability"]),
                        "y": SQUARE.y(item["fraction_right"]),
                        "left": SQUARE.x(item["low"]),
                        "share": item["count"] / tallest,
                        "radius": round(2.5 + 4 * math.sqrt(item["count"] / tallest), 1),
                    }
                    for item in part["bins"]
                ],
            }
            for name, part in shown.items()
        ],
    }


def _bin_points(bins: Sequence[Mapping[str, float]]) -> list[tuple[float, float]]:
    return [(item["mean_probability"], item["fraction_right"]) for item in bins]


def curves(report: Mapping[str, Any]) -> dict[str, Any]:
    """Precision-recall curves of SLM and merged, with the point where each system stands."""
    return {
        "frame": SQUARE,
        "lines": [
            {
                "key": name,
                "path": SQUARE.path((point["r"], point["p"]) for point in points),
                "average": report["average_precision"][name],
            }
            for name, points in report["precision_recall"].items()
            if points
        ],
        "points": [
            {
                "key": name,
                "p": report[name]["strict"]["micro"]["p"],
                "r": report[name]["strict"]["micro"]["r"],
                "x": SQUARE.x(report[name]["strict"]["micro"]["r"]),
                "y": SQUARE.y(report[name]["strict"]["micro"]["p"]),
            }
            for name in SYSTEMS
        ],
        "iso": [{"f1": value, "path": SQUARE.path(_iso_f1(value))} for value in _ISO_F1],
    }


def _iso_f1(value: float) -> list[tuple[float, float]]:
    """Points (recall, precision) of one F1: p = f r / (2 r - f), for r from f / (2 - f) to 1."""
    start = value / (2 - value)
    recalls = [start + (1 - start) * step / 24 for step in range(25)]
    return [(recall, value * recall / (2 * recall - value)) for recall in recalls]
