"""The page of `slcolm recordings curve`: F1 against what was spent, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slcolm_services.coordinator.page import environment

_FIGURES = {"micro": "Micro F1", "macro": "Macro F1", "tail": "F1 of rare types"}
_TICKS = 5


@dataclass(frozen=True)
class Axes:
    """A drawing whose axes have ranges of their own.

    Attributes:
        right: Highest abscissa; the lowest is 0.
        low: Lowest ordinate.
        high: Highest ordinate.
    """

    right: float
    low: float
    high: float
    left_edge: float = 40
    top_edge: float = 10
    width: float = 280
    height: float = 190

    def x(self, value: float) -> float:
        """Abscissa of a value, in units of the drawing."""
        share = value / self.right if self.right else 0.0
        return round(self.left_edge + share * self.width, 1)

    def y(self, value: float) -> float:
        """Ordinate of a value, upwards, in units of the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.top_edge + (1 - share) * self.height, 1)

    def path(self, across: Sequence[float], upwards: Sequence[float]) -> str:
        """A polyline, as the `d` of a path."""
        points = zip(across, upwards, strict=True)
        return "M" + "L".join(f"{self.x(a)} {self.y(b)}" for a, b in points)

    def band(self, across: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
        """The area between two lines, as the `d` of a path."""
        back = self.path(list(reversed(across)), list(reversed(high)))
        return self.path(across, low) + "L" + back[1:] + "Z"

    def x_ticks(self) -> list[float]:
        """Round values of the abscissa."""
        return _round_values(0.0, self.right)

    def y_ticks(self) -> list[float]:
        """Round values of the ordinate."""
        return _round_values(self.low, self.high)


def render_curve(result: Mapping[str, Any]) -> str:
    """The page, as HTML that refers to nothing outside itself.

    Args:
        result: What `slcolm recordings curve --json` prints.
    """
    units = {"asked": "sentences asked about", "tokens": "tokens, estimated"}
    if result["priced"]:
        units["cost"] = f"cost, {result['currency']}".rstrip(", ")
    return (
        environment()
        .get_template("curve.html.jinja")
        .render(
            result=result,
            rows=[
                {"unit": unit, "title": title, "charts": _charts(result, unit)}
                for unit, title in units.items()
            ],
            figures=_FIGURES,
        )
    )


def _charts(result: Mapping[str, Any], unit: str) -> list[dict[str, Any]]:
    return [_chart(result, unit, name) for name in _FIGURES]


def _chart(result: Mapping[str, Any], unit: str, name: str) -> dict[str, Any]:
    orders = result["orders"]
    routing, random = orders["routing"], orders["random"]
    steps = list(range(result["sentences"] + 1))
    across = {
        order: steps if unit == "asked" else found[unit]
        for order, found in (("routing", routing), ("random", random))
    }
    # A bound on the sentences is no bound on tokens: another choice may be shorter.
    bound = orders["upper_bound"].get(name) if unit == "asked" else None
    values = [*routing[name], *random[f"{name}_low"], *random[f"{name}_high"], *(bound or ())]
    axes = Axes(across["routing"][-1], *_widened(min(values), max(values)))
    return {
        "name": name,
        "axes": axes,
        "routing": axes.path(across["routing"], routing[name]),
        "random": axes.path(across["random"], random[name]),
        "band": axes.band(across["random"], random[f"{name}_low"], random[f"{name}_high"]),
        "bound": axes.path(steps, bound) if bound else "",
    }


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range with some room, at least two points of F1 high."""
    room = max(0.01, 0.05 * (high - low))
    return max(0.0, low - room), min(1.0, high + room)


def _round_values(low: float, high: float) -> list[float]:
    """About `_TICKS` values of 1, 2 or 5 times a power of ten within a range."""
    raw = (high - low) / _TICKS
    if raw <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [(first + index) * step for index in range(count)]
