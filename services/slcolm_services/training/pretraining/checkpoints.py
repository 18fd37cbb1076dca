"""The state of a pre-training run on disk: whole or not there, and never a pickle.

`step-00012000/` holds `model.safetensors`, one file for each optimizer and `state.json`. It is
written under another name and renamed, so whatever has its name is complete; then older ones go.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors.torch import load_model, save_model

from slcolm_services.errors import ConfigInvalid
from slcolm_services.training.checkpoint import load_optimizer, save_optimizer
from slcolm_services.training.pretraining.objective import MaskedCharacters
from slcolm_services.training.pretraining.optimization import Optimization

_MODEL, _STATE = "model.safetensors", "state.json"


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        step: Steps that were done.
        tokens: Tokens that were seen, masked ones included.
        seconds: Time that they took, in all processes together.
        spent: Share of the budget that was spent when this was written.
        validation_loss: The last one, in nats; None before the first.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    spent: float = 0.0
    validation_loss: float | None = None


class PretrainingCheckpoints:
    """Reads and writes the state of one run.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def latest(self) -> Path | None:
        """The folder of the last checkpoint, if there is one."""
        return max(self._folder.glob("step-????????"), default=None)

    def state(self) -> RunState:
        """The state of the last checkpoint; that of a new run where there is none."""
        latest = self.latest()
        return RunState(**json.loads((latest / _STATE).read_bytes())) if latest else RunState()

    def load(self, optimization: Optimization) -> RunState:
        """Put the last checkpoint into model and optimizers; a new run changes nothing."""
        latest = self.latest()
        if latest:
            load_model(optimization.model, latest / _MODEL)
            for name, optimizer in optimization.optimizers.items():
                load_optimizer(optimizer, latest / f"{name}.safetensors")
        return self.state()

    def load_weights(self, model: MaskedCharacters) -> RunState:
        """Put the weights of the last checkpoint into a model.

        Raises:
            ConfigInvalid: There is no checkpoint.
        """
        latest = self.latest()
        if latest is None:
            raise ConfigInvalid(f"{self._folder} holds no checkpoint of a pre-training run")
        load_model(model, latest / _MODEL)
        return self.state()

    def save(self, state: RunState, optimization: Optimization) -> None:
        """Write a checkpoint; then remove what it replaces."""
        partial = self._folder / "checkpoint.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_model(optimization.model, str(partial / _MODEL))
        for name, optimizer in optimization.optimizers.items():
            save_optimizer(optimizer, partial / f"{name}.safetensors")
        (partial / _STATE).write_text(json.dumps(asdict(state)), encoding="utf-8")
        for path in partial.iterdir():
            _sync(path)
        current = self._folder / f"step-{state.step:08d}"
        if current.exists():
            # A run that was stopped before its first step.
            shutil.rmtree(partial)
        else:
            partial.rename(current)
        for old in self._folder.glob("step-????????"):
            if old != current:
                shutil.rmtree(old)


def _sync(path: Path) -> None:
    """Have a file on disk before its name says that it is complete."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
