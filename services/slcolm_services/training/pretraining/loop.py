"""The loop: every random choice is made from the seed and the number of the step.

So a run that was interrupted, at any moment and in any way, goes on from its last checkpoint with
the blocks and the masks that it would have had, and ends with the same weights (on one machine,
with one number of threads, and a budget of tokens).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slcolm_services.errors import ConfigInvalid
from slcolm_services.training.pretraining.blocks import Blocks
from slcolm_services.training.pretraining.checkpoints import PretrainingCheckpoints, RunState
from slcolm_services.training.pretraining.history import History, Record
from slcolm_services.training.pretraining.masking import Masked, mask
from slcolm_services.training.pretraining.optimization import Optimization
from slcolm_services.training.pretraining.options import Budget, Recipe

_ORDER, _MASKS, _VALIDATION = range(3)
"""What random numbers are drawn for, so that no two purposes share them."""


@dataclass(frozen=True)
class Pace:
    """How often a run speaks and writes, in steps.

    Attributes:
        report: Between two reports.
        record: Between two records of the history, each with a validation loss.
        checkpoint: Between two checkpoints.
        validation_tokens: Most tokens of the held-out part that a validation takes.
    """

    report: int = 10
    record: int = 100
    checkpoint: int = 50
    validation_tokens: int = 65_536


@dataclass(frozen=True)
class PretrainProgress:
    """How far a run is.

    Attributes:
        step: Steps done.
        tokens: Tokens seen.
        spent: Share of the budget that is spent.
        loss: Mean since the last report, in nats.
        validation_loss: The last one; None before the first.
        tokens_per_second: Since the last report.
        eta_seconds: Time left at the present pace.
    """

    step: int
    tokens: int
    spent: float
    loss: float
    validation_loss: float | None
    tokens_per_second: float
    eta_seconds: float


class Pretrainer:
    """Trains on blocks until the budget is spent.

    Args:
        blocks: The corpus.
        optimization: Model and optimizers; changed in place.
        recipe: Of the run.
        budget: When it ends.
        folder: For checkpoints and history.
        pace: How often it speaks and writes.
    """

    def __init__(
        self,
        blocks: Blocks,
        optimization: Optimization,
        *,
        recipe: Recipe,
        budget: Budget,
        folder: Path,
        pace: Pace,
    ) -> None:
        self._blocks = blocks
        self._optimization = optimization
        self._recipe = recipe
        self._budget = budget
        self._history = History(folder / "history.jsonl")
        self._checkpoints = PretrainingCheckpoints(folder)
        self._pace = pace
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def run(
        self, on_progress: Callable[[PretrainProgress], None], should_stop: Callable[[], bool]
    ) -> RunState:
        """Train until the budget is spent or `should_stop` says so, and write a checkpoint.

        Returns:
            The state that was written last; `spent` is below 1 where the run was stopped.

        Raises:
            ConfigInvalid: The loss is no number any more; the last checkpoint stays.
        """
        state = self._checkpoints.load(self._optimization)
        state = replace(state, spent=self._budget.spent(state.tokens, state.seconds))
        self._history.cut(state.step)
        losses: list[float] = []
        unreported: list[float] = []
        reported = time.monotonic()
        while state.spent < 1 and not should_stop():
            state, loss = self._step(state)
            losses.append(loss)
            unreported.append(loss)
            ends = state.spent >= 1
            if ends or state.step % self._pace.record == 0:
                state = replace(state, validation_loss=self._validate())
                self._history.add(Record.of(state, float(np.mean(losses))))
                losses = []
            if state.step % self._pace.checkpoint == 0:
                self._checkpoints.save(state, self._optimization)
            if ends or state.step % self._pace.report == 0:
                now = time.monotonic()
                speed = len(unreported) * self._recipe.batch_tokens / (now - reported)
                on_progress(self._progress(state, float(np.mean(unreported)), speed))
                unreported, reported = [], now
        self._checkpoints.save(state, self._optimization)
        return state

    def _step(self, state: RunState) -> tuple[RunState, float]:
        """One step: the state after it, and its loss."""
        began = time.monotonic()
        factor = self._budget.factor(state.tokens, state.seconds, self._recipe.warmup_tokens)
        loss = self._optimization.step(self._batches(state.step), factor)
        if not math.isfinite(loss):
            raise ConfigInvalid(
                f"the loss is {loss} in step {state.step + 1}: the learning rates are too high",
                metadata={"step": str(state.step + 1)},
            )
        tokens = state.tokens + self._recipe.batch_tokens
        seconds = state.seconds + time.monotonic() - began
        spent = self._budget.spent(tokens, seconds)
        return RunState(state.step + 1, tokens, seconds, spent, state.validation_loss), loss

    def _progress(self, state: RunState, loss: float, speed: float) -> PretrainProgress:
        eta = []
        if self._budget.tokens:
            eta.append((self._budget.tokens - state.tokens) / speed)
        if self._budget.seconds:
            eta.append(self._budget.seconds - state.seconds)
        return PretrainProgress(
            state.step,
            state.tokens,
            state.spent,
            loss,
            state.validation_loss,
            speed,
            max(0.0, min(eta)),
        )

    def _batches(self, step: int) -> list[Masked]:
        """The micro-batches of a step."""
        count = self._recipe.batch_tokens // self._recipe.block_tokens
        rows = [self._block(step * count + index) for index in range(count)]
        rng = np.random.default_rng((self._recipe.seed, _MASKS, step))
        return self._masked(self._blocks.train[np.array(rows)], rng)

    def _block(self, position: int) -> int:
        """Which block stands at a place in the endless row of shuffled corpora."""
        epoch, place = divmod(position, len(self._blocks.train))
        if self._epoch[0] != epoch:
            rng = np.random.default_rng((self._recipe.seed, _ORDER, epoch))
            self._epoch = (epoch, rng.permutation(len(self._blocks.train)))
        return int(self._epoch[1][place])

    def _masked(self, rows: NDArray[np.uint16], rng: np.random.Generator) -> list[Masked]:
        size = self._recipe.micro_tokens // self._recipe.block_tokens
        words = len(self._blocks.vocabulary)
        return [
            mask(rows[first : first + size], self._recipe.mask_share, words, rng)
            for first in range(0, len(rows), size)
        ]

    def _validate(self) -> float:
        """Loss on the held-out part: always the same blocks with the same masks."""
        size = self._recipe.micro_tokens // self._recipe.block_tokens
        held_out = self._blocks.validation
        most = max(1, self._pace.validation_tokens // self._recipe.micro_tokens) * size
        rows = held_out[: min(most, max(size, len(held_out) // size * size))]
        rng = np.random.default_rng((self._recipe.seed, _VALIDATION))
        return self._optimization.loss(self._masked(np.asarray(rows), rng))
