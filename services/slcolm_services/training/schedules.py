"""Blending schedules: how much of annotated and of human data each epoch trains on.

An epoch t of T draws the share w0(t) of the sentences that a model annotated (distilled) and the
share w1(t) of those that people annotated (original), without replacement. All but `all` go from
distilled to original, w1 = 1 - w0. "Leveraging Large Language Models for Enhanced NLP Task
Performance through Knowledge Distillation and Optimized Training Strategies" (arXiv 2402.09282),
section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from slcolm_services.errors import ConfigInvalid, FieldViolation

DECAY = 0.95
"""What a learning rate that decays is multiplied by after each epoch (the paper's)."""


def distilled(epoch: int, epochs: int, parameter: float) -> float:
    """Nothing but distilled data."""
    del epoch, epochs, parameter
    return 1.0


def original(epoch: int, epochs: int, parameter: float) -> float:
    """Nothing but original data."""
    del epoch, epochs, parameter
    return 0.0


def simple_mix(epoch: int, epochs: int, parameter: float) -> float:
    """Distilled data in the first half of the epochs, original data in the second."""
    del parameter
    return 1.0 if epoch < epochs / 2 else 0.0


def sigmoid(epoch: int, epochs: int, parameter: float) -> float:
    """Falls around the middle, the steeper the greater k is; begins below 1 and ends above 0."""
    return 1.0 - 1.0 / (1.0 + math.exp(-parameter * (_place(epoch, epochs) - 0.5)))


def cosine(epoch: int, epochs: int, parameter: float) -> float:
    """Half a wave from 1 to 0."""
    del parameter
    return 0.5 * (1.0 + math.cos(math.pi * _place(epoch, epochs)))


def power(epoch: int, epochs: int, parameter: float) -> float:
    """From 1 to 0: at once where n is small, in the last epochs where it is great."""
    return 1.0 - math.pow(_place(epoch, epochs), parameter)


def everything(epoch: int, epochs: int, parameter: float) -> float:
    """All distilled data in every epoch; the one schedule with all original data beside it."""
    del epoch, epochs, parameter
    return 1.0


def _place(epoch: int, epochs: int) -> float:
    """Where an epoch stands, from 0 for the first to 1 for the last; the only one is the first."""
    return epoch / (epochs - 1) if epochs > 1 else 0.0


@dataclass(frozen=True)
class _Kind:
    """A family of schedules.

    Attributes:
        weight: w0 by epoch (counted from 0), number of epochs, and parameter.
        parameter: Name of its parameter; empty where it has none.
        values: Those of the paper.
    """

    weight: Callable[[int, int, float], float]
    parameter: str = ""
    values: tuple[float, ...] = ()


KINDS: dict[str, _Kind] = {
    "distilled": _Kind(distilled),
    "original": _Kind(original),
    "simple-mix": _Kind(simple_mix),
    "sigmoid": _Kind(sigmoid, "k", (2, 4, 8, 16, 32)),
    "cosine": _Kind(cosine),
    "power": _Kind(power, "n", (0.1, 0.2, 0.5, 1, 2, 5, 10)),
    "all": _Kind(everything),
}
"""Families by name."""


@dataclass(frozen=True)
class Weights:
    """Shares of the data of one epoch, each in [0, 1].

    Attributes:
        distilled: w0, of the sentences that a model annotated.
        original: w1, of those that people annotated.
    """

    distilled: float
    original: float


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Attributes:
        name: Of its family.
        parameter: k of `sigmoid` or n of `power`; None for the others.
    """

    name: str
    parameter: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no schedule.

        Raises:
            ConfigInvalid: There is no such family, or the parameter is not its.
        """
        kind = KINDS.get(self.name)
        if kind is None:
            raise _invalid("schedule", f"{self.name!r} is none of {', '.join(KINDS)}")
        if not kind.parameter and self.parameter is not None:
            raise _invalid("schedule", f"{self.name} takes no parameter")
        if kind.parameter and self.parameter is None:
            usual = ", ".join(f"{value:g}" for value in kind.values)
            raise _invalid(kind.parameter, f"{self.name} needs it; the usual values are {usual}")
        if self.parameter is not None and not (
            math.isfinite(self.parameter) and 0 < self.parameter <= _LARGEST
        ):
            raise _invalid(
                kind.parameter,
                f"must be greater than 0 and at most {_LARGEST:g}, got {self.parameter:g}",
            )

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read `NAME` or `NAME:PARAMETER`, as `str` writes it.

        Raises:
            ConfigInvalid: It is no schedule.
        """
        name, colon, parameter = text.partition(":")
        try:
            return cls(name, float(parameter) if colon else None)
        except ValueError as error:
            raise _invalid("schedule", f"{parameter!r} is no number") from error

    def __str__(self) -> str:
        """`NAME` or `NAME:PARAMETER`."""
        return self.name if self.parameter is None else f"{self.name}:{self.parameter:g}"

    def weights(self, epoch: int, epochs: int) -> Weights:
        """Shares of an epoch.

        Args:
            epoch: Counted from 0.
            epochs: Of the whole training.
        """
        w0 = KINDS[self.name].weight(epoch, epochs, self.parameter or 0.0)
        return Weights(w0, 1.0 if self.name == "all" else 1.0 - w0)

    def course(self, epochs: int) -> list[Weights]:
        """Shares of every epoch."""
        return [self.weights(epoch, epochs) for epoch in range(epochs)]


_LARGEST = 1000.0
"""Largest parameter; steeper ones are steps."""


def usual_schedules() -> list[Schedule]:
    """Every schedule with the paper's parameters."""
    return [
        Schedule(name, value)
        for name, kind in KINDS.items()
        for value in (kind.values if kind.parameter else (None,))
    ]


def _invalid(field: str, problem: str) -> ConfigInvalid:
    return ConfigInvalid(
        f"the schedule cannot be used: {problem}", violations=[FieldViolation(field, problem)]
    )
