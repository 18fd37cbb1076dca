"""Pre-training from text files to a checkpoint: the way through."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.training.pretraining.blocks import prepare
from slcolm_services.training.pretraining.checkpoints import RunState
from slcolm_services.training.pretraining.loop import Pace, Pretrainer, PretrainProgress
from slcolm_services.training.pretraining.objective import MaskedCharacters
from slcolm_services.training.pretraining.optimization import Optimization
from slcolm_services.training.pretraining.options import Budget, Recipe
from slcolm_services.training.pretraining.text import files_digest

RUN_FILE = "run.json"
"""What the run in a folder is: its recipe and the digest of its corpus."""
CORPUS_FOLDER = "corpus"


def pretrain(
    inputs: Sequence[Path],
    folder: Path,
    recipe: Recipe,
    budget: Budget,
    *,
    threads: int,
    pace: Pace | None = None,
    on_progress: Callable[[PretrainProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> RunState:
    """Train an encoder on raw text, or go on where an earlier call stopped.

    Args:
        inputs: Text files, UTF-8, a passage a line; `.zst` are decompressed as they are read.
        folder: Of the run: corpus, checkpoints, history.
        recipe: What makes the weights.
        budget: When the run ends.
        threads: Of torch.
        pace: How often it speaks and writes.
        on_progress: Told how far the run is.
        should_stop: Asked before every step; true ends the run after a checkpoint.

    Raises:
        DataInvalid: The corpus cannot be used.
        ConfigInvalid: `folder` cannot be written, or holds a run with another recipe or corpus.

    Side effects: sets torch's number of threads and seed for this process.
    """
    digest = files_digest(inputs)
    _enter(folder, {"recipe": recipe.as_dict(), "corpus": digest})
    blocks = prepare(inputs, folder / CORPUS_FOLDER, recipe)
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    model = MaskedCharacters(recipe, len(blocks.vocabulary))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    optimization = Optimization(model, recipe)
    pretrainer = Pretrainer(
        blocks, optimization, recipe=recipe, budget=budget, folder=folder, pace=pace or Pace()
    )
    return pretrainer.run(on_progress, should_stop)


def _enter(folder: Path, run: dict[str, Any]) -> None:
    """Make the folder a run's, or see that it is this run's.

    Raises:
        ConfigInvalid: It cannot be written, or belongs to another run.
    """
    path = folder / RUN_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _compare(folder, json.loads(path.read_bytes()), run)
            return
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        problem = error.strerror or str(error)
        raise ConfigInvalid(
            f"{folder} cannot be written: {problem}", violations=[FieldViolation("out", problem)]
        ) from error


def _compare(folder: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    violations = [
        FieldViolation(name, f"{there['recipe'].get(name)!r} there, {value!r} asked for")
        for name, value in wanted["recipe"].items()
        if there["recipe"].get(name) != value
    ]
    if there["corpus"] != wanted["corpus"]:
        violations.append(FieldViolation("input", "holds other text"))
    if violations:
        raise ConfigInvalid(
            f"{folder} holds another pre-training run: go on with its settings, or take another "
            "folder",
            violations=violations,
        )
