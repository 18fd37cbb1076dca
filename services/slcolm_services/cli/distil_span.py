"""One cell of an experiment with the joint span model: trained, exported, and run as in use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from slcolm_services.cli.predictions import predictions
from slcolm_services.model.folder import CARD_FILE
from slcolm_services.training.experiments.cells import Cell, data_of, options_of
from slcolm_services.training.experiments.config import Experiment, ExperimentData
from slcolm_services.training.experiments.results import Outcome, Result, result_of
from slcolm_services.training.train import train


def train_span_cell(
    cell: Cell, experiment: Experiment, data: ExperimentData, folder: Path
) -> Result:
    """Train a span model and score what extraction finds with it on test.

    Checkpoints lie in `folder` while it is trained, so that a training that was interrupted goes
    on; the model itself is not kept.
    """
    original, distilled = data_of(cell.condition, data)
    work, model = folder / "checkpoints", folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    trained = train(
        original,
        data.dev,
        data.schema,
        options_of(cell, experiment),
        work_dir=work,
        output=model,
        silver_docs=distilled,
    )
    history = json.loads((model / CARD_FILE).read_bytes())["history"]
    kind = "relation_f1" if data.schema.relation_types else "entity_f1"
    best = max(history, key=lambda record: (record["relation_f1"], record["entity_f1"]))
    found = predictions(model, data.test)
    shutil.rmtree(work)
    shutil.rmtree(model)
    outcome = Outcome(best["epoch"], best[kind], trained.train_seconds)
    return result_of(outcome, data.test, found, relations=bool(data.schema.relation_types))
