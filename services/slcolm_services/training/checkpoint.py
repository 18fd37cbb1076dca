"""The state of a training run on disk: whole or not there, and never a pickle.

A run's folder holds `epoch-00012/` with `state.json`, `model.safetensors` and
`optimizer.safetensors`; and `best-00009.safetensors`. An epoch's folder is written under another
name and renamed, so whatever has its name is complete. Older ones are removed after that.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor

from slcolm_services.training.model import SpanModel


@dataclass(frozen=True)
class EpochRecord:
    """One line of a run's history.

    Attributes:
        epoch: Counted from 1.
        loss: Mean training loss.
        relation_f1: On dev, span-level micro F1 with entity types, in [0, 1].
        entity_f1: On dev, span-level micro F1 with types, in [0, 1].
    """

    epoch: int
    loss: float
    relation_f1: float
    entity_f1: float


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        history: One record for each full epoch, in order.
    """

    history: tuple[EpochRecord, ...] = ()

    @property
    def epoch(self) -> int:
        """Full epochs."""
        return len(self.history)

    @property
    def best(self) -> EpochRecord | None:
        """The epoch with the best relation F1, entity F1 deciding a tie; the first such epoch."""
        return max(
            self.history,
            key=lambda record: (record.relation_f1, record.entity_f1, -record.epoch),
            default=None,
        )

    @property
    def epochs_since_best(self) -> int:
        """Full epochs after the best one."""
        return self.epoch - self.best.epoch if self.best else 0

    def as_json(self) -> list[dict[str, float]]:
        """The history as JSON takes it."""
        return [asdict(record) for record in self.history]

    def after(self, loss: float, relation_f1: float, entity_f1: float) -> RunState:
        """The state one epoch later."""
        record = EpochRecord(self.epoch + 1, loss, relation_f1, entity_f1)
        return RunState((*self.history, record))


class Checkpoints:
    """Reads and writes the state of one run.

    Args:
        folder: The run's own folder; made when it is first written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, model: SpanModel, optimizer: torch.optim.Optimizer) -> RunState:
        """Put the last full epoch into model and optimizer; a new run changes nothing."""
        epochs = sorted(self._folder.glob("epoch-?????"))
        if not epochs:
            return RunState()
        folder = epochs[-1]
        load_model(model, folder / "model.safetensors")
        load_optimizer(optimizer, folder / "optimizer.safetensors")
        raw = json.loads((folder / "state.json").read_bytes())
        return RunState(tuple(EpochRecord(**record) for record in raw))

    def save(self, state: RunState, model: SpanModel, optimizer: torch.optim.Optimizer) -> None:
        """Write a full epoch; then remove what it replaces."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if state.epochs_since_best == 0:
            best = self._best_path(state)
            save_model(model, str(best.with_suffix(".partial")))
            best.with_suffix(".partial").replace(best)
        partial = self._folder / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_model(model, str(partial / "model.safetensors"))
        save_optimizer(optimizer, partial / "optimizer.safetensors")
        (partial / "state.json").write_text(json.dumps(state.as_json()), encoding="utf-8")
        current = self._folder / f"epoch-{state.epoch:05d}"
        partial.rename(current)
        for old in self._folder.glob("epoch-?????"):
            if old != current:
                shutil.rmtree(old)
        for old in self._folder.glob("best-*.safetensors"):
            if old != self._best_path(state):
                old.unlink()

    def load_best(self, model: SpanModel) -> None:
        """Put the weights of the best epoch into the model."""
        best = max(self._folder.glob("best-?????.safetensors"))
        load_model(model, best)

    def _best_path(self, state: RunState) -> Path:
        assert state.best is not None  # noqa: S101  a state that is saved has a full epoch
        return self._folder / f"best-{state.best.epoch:05d}.safetensors"


def save_optimizer(optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Write the tensors of an optimizer's state; its settings come from the run's options."""
    tensors: dict[str, Tensor] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"{index}.{name}"] = torch.as_tensor(value).contiguous()
    save_file(tensors, path)


def load_optimizer(optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Put tensors that `save_optimizer` wrote into an optimizer with the same parameters."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in load_file(path).items():
        index, name = key.split(".", maxsplit=1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
