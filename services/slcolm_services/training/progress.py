"""What a training run says of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a training run is.

    Attributes:
        phase: `train`, `calibrate`, `export` or `check`.
        epoch: Epoch under way, counted from 1.
        epochs: Most epochs there can be.
        step: Steps done in all epochs.
        steps: Most steps there can be.
        loss: Mean loss since the epoch began.
        dev_f1: Relation F1 on dev after the last full epoch, in [0, 1].
        best_dev_f1: The best of them.
        eta_seconds: Time to the last epoch at the present pace; early stopping may shorten it.
    """

    phase: str
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    dev_f1: float = 0.0
    best_dev_f1: float = 0.0
    eta_seconds: float = 0.0


OnProgress = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Listener of a run that nobody watches."""
    del progress
