"""The training loop: AdamW, warm-up and linear decay, early stopping on dev, checkpoints.

An epoch is the unit of everything: random choices are seeded by (seed, epoch), dev is scored and a
checkpoint written after each. A run that was interrupted goes on from its last full epoch and ends
with the same weights as one that was not.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn

from slcolm_services.errors import Cancelled
from slcolm_services.training.checkpoint import Checkpoints, RunState
from slcolm_services.training.epochs import TrainingSet
from slcolm_services.training.model import SpanModel
from slcolm_services.training.options import CONSTANT, DECAYING, Settings
from slcolm_services.training.progress import OnProgress, Progress
from slcolm_services.training.sampling import Batch, Sampler, collate, length_batches
from slcolm_services.training.schedules import DECAY

_STEPS_A_REPORT = 10


@dataclass(frozen=True)
class DevScore:
    """What early stopping compares.

    Attributes:
        relation_f1: Span-level micro F1 of relations with entity types, in [0, 1].
        entity_f1: Span-level micro F1 of entities with types, in [0, 1].
    """

    relation_f1: float
    entity_f1: float


class Trainer:
    """Trains a span model.

    Args:
        model: On its device; changed in place.
        sampler: Draws each sentence's spans and pairs.
        settings: Of the run.
        pad_id: Token id of padding.
        unknown_id: Token id that token dropout writes; None turns token dropout off.
        evaluate: Scores a model on dev.
        checkpoints: Where the state of the run lives.
    """

    def __init__(
        self,
        model: SpanModel,
        sampler: Sampler,
        settings: Settings,
        *,
        pad_id: int,
        unknown_id: int | None,
        evaluate: Callable[[SpanModel], DevScore],
        checkpoints: Checkpoints,
    ) -> None:
        self.model = model
        self._sampler = sampler
        self._settings = settings
        self._pad_id = pad_id
        self._unknown_id = unknown_id
        self._evaluate = evaluate
        self._checkpoints = checkpoints
        self._device = next(model.parameters()).device
        self._optimizer = torch.optim.AdamW(
            parameter_groups(model, model.encoder, settings), lr=settings.learning_rate, fused=True
        )

    def run(
        self,
        examples: TrainingSet,
        on_progress: OnProgress,
        should_stop: Callable[[], bool],
    ) -> RunState:
        """Train until the last epoch, or until dev has not got better for `patience` epochs.

        Side effects: the model ends with its best weights; checkpoints are written.

        Args:
            examples: What the epochs train on.
            on_progress: Called every few steps and after each epoch.
            should_stop: Asked before every step.

        Raises:
            Cancelled: `should_stop` said so; the last full epoch is kept.
        """
        settings = self._settings
        ends = _epoch_ends(examples, settings)
        state = self._checkpoints.load(self.model, self._optimizer)
        clock = _Clock(ends[state.epoch], ends[-1])

        def report(step: int, losses: Sequence[float]) -> None:
            progress = Progress(
                "train",
                epoch=bisect.bisect_left(ends, step),
                epochs=settings.epochs,
                step=step,
                steps=ends[-1],
                loss=float(np.mean(losses)),
                dev_f1=state.history[-1].relation_f1 if state.history else 0.0,
                best_dev_f1=state.best.relation_f1 if state.best else 0.0,
                eta_seconds=clock.remaining_seconds(step),
            )
            on_progress(progress)

        while state.epoch < settings.epochs and state.epochs_since_best < settings.patience:
            losses: list[float] = []
            for step, batch in enumerate(
                self._batches(examples, state.epoch + 1), ends[state.epoch]
            ):
                if should_stop():
                    raise Cancelled("training was cancelled")
                self._set_learning_rate(step, ends[-1], state.epoch)
                losses.append(self._step(batch))
                if len(losses) % _STEPS_A_REPORT == 0:
                    report(step + 1, losses)
            score = self._evaluate(self.model)
            state = state.after(float(np.mean(losses)), score.relation_f1, score.entity_f1)
            self._checkpoints.save(state, self.model, self._optimizer)
            report(ends[state.epoch], losses)
        self._checkpoints.load_best(self.model)
        return state

    def _batches(self, training: TrainingSet, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng((self._settings.seed, epoch))
        torch.manual_seed(int(rng.integers(2**31)))
        self.model.train()
        examples = training.draw(epoch - 1, rng)
        lengths = [len(example.encoded) for example in examples]
        for chosen in length_batches(lengths, self._settings.batch_size, rng):
            batch = [examples[index] for index in chosen]
            samples = [self._sampler.draw(example, rng) for example in batch]
            yield collate(batch, samples, pad_id=self._pad_id).to(self._device)

    def _step(self, batch: Batch) -> float:
        """One optimizer step; returns the loss."""
        loss = self._loss(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        nn.utils.clip_grad_norm_(self.model.parameters(), self._settings.gradient_clip)
        self._optimizer.step()
        return float(loss.detach())

    def _loss(self, batch: Batch) -> Tensor:
        """Entity cross-entropy plus weighted relation binary cross-entropy (SpERT, 3.4)."""
        input_ids = self._drop_tokens(batch.input_ids, batch.spans)
        # On CPUs every new shape costs a compilation in bfloat16, and every batch has new shapes.
        bfloat16 = self._device.type == "cuda"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bfloat16):
            entities, relations = self.model(
                input_ids, batch.attention_mask, batch.spans, batch.classes, batch.pairs
            )
        losses = nn.functional.cross_entropy(entities.float(), batch.classes, reduction="none")
        loss = (batch.span_weights * losses).mean()
        if len(relations):
            relation_loss = nn.functional.binary_cross_entropy_with_logits(
                relations.float(), batch.labels, reduction="none"
            )
            relation_loss = (batch.pair_weights * relation_loss.sum(dim=-1)).mean()
            loss = loss + self._settings.relation_weight * relation_loss
        return loss

    def _drop_tokens(self, input_ids: Tensor, spans: Tensor) -> Tensor:
        """Write the unknown token over some tokens, so that unknown characters are no surprise."""
        share = self._settings.token_dropout
        if not share or self._unknown_id is None:
            return input_ids
        real = torch.zeros_like(input_ids, dtype=torch.bool)
        real[spans[:, 0], spans[:, 1]] = True
        dropped = (torch.rand(input_ids.shape, device=input_ids.device) < share) & real
        return input_ids.masked_fill(dropped, self._unknown_id)

    def _set_learning_rate(self, step: int, steps: int, epoch: int) -> None:
        factor = learning_rate_factor(step, steps, epoch, self._settings)
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * group["rate"] * factor


def learning_rate_factor(step: int, steps: int, epoch: int, settings: Settings) -> float:
    """What the peak learning rate is multiplied by in a step.

    Args:
        step: Counted from 0.
        steps: Of the whole run.
        epoch: The step's, counted from 0.
        settings: `rate_course` is `constant`; `decay`: 0.95 to the power of the epoch; or `linear`:
            a rise to 1 over the share `warmup` of the steps, then a fall to 0.
    """
    if settings.rate_course == CONSTANT:
        return 1.0
    if settings.rate_course == DECAYING:
        return DECAY**epoch
    rising = max(1, round(steps * settings.warmup))
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)


def _epoch_ends(examples: TrainingSet, settings: Settings) -> list[int]:
    """Steps done before the first epoch, after it, and so on to the last."""
    sizes = (examples.size(epoch) for epoch in range(settings.epochs))
    return list(accumulate((-(-size // settings.batch_size) for size in sizes), initial=0))


def parameter_groups(
    model: nn.Module, encoder: nn.Module, settings: Settings
) -> list[dict[str, object]]:
    """Matrices with weight decay, biases and norms without; encoder and heads at their rates.

    Args:
        model: Its parameters are grouped.
        encoder: The part of it that has the encoder's rate.
        settings: Weight decay and rates; a group's `rate` is a multiple of the learning rate.
    """
    encoder_ids = {id(parameter) for parameter in encoder.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            rate = settings.encoder_rate if id(parameter) in encoder_ids else 1.0
            groups.setdefault((decay, rate), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "rate": rate}
        for (decay, rate), parameters in groups.items()
    ]


class _Clock:
    """Estimates the time that is left from the pace since this process began."""

    def __init__(self, first_step: int, last_step: int) -> None:
        self._first_step = first_step
        self._last_step = last_step
        self._started = time.monotonic()

    def remaining_seconds(self, step: int) -> float:
        pace = (time.monotonic() - self._started) / max(1, step - self._first_step)
        return pace * (self._last_step - step)
