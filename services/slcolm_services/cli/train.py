"""`slcolm train`: a small model out of annotated files, in this process."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.tiers import TIERS, at_least
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.model.folder import CARD_FILE
from slcolm_services.training.options import LINEAR, RATE_COURSES, TrainOptions
from slcolm_services.training.progress import OnProgress, Progress

if TYPE_CHECKING:
    from slcolm_services.training.train import TrainedModel

_PLAIN_SECONDS = 15.0


@click.command()
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option("--train", "train_path", type=existing_file, required=True, help="Training data.")
@click.option("--dev", "dev_path", type=existing_file, required=True, help="Dev data.")
@click.option(
    "--silver",
    "silver_path",
    type=existing_file,
    default=None,
    help="Data annotated by models, as `slcolm label` and `slcolm annotate` write them, to learn "
    "from beside --train.",
)
@click.option(
    "--schedule",
    default="",
    metavar="NAME[:PARAMETER]",
    help="How --silver and --train are blended over the epochs, for example cosine or sigmoid:8 "
    "(`slcolm schedules`); without it every epoch has all of --train and as much of --silver.",
)
@click.option(
    "--silver-tier",
    type=click.Choice(TIERS),
    help="Leave out texts of --silver with an annotation below this tier.",
)
@click.option(
    "--weigh-silver",
    is_flag=True,
    help="Let the annotations of --silver count by their probabilities.",
)
@click.option(
    "--out",
    "output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Model folder; appears whole or not at all.",
)
@click.option(
    "--encoder",
    default="",
    metavar="NAME_OR_PATH",
    help="Transformers encoder, `built-in` (pre-trained on classical Chinese) or `random`; "
    "without it the built-in one where it suits the texts, else random weights.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=None, help="Most epochs.")
@click.option("--batch-size", type=click.IntRange(min=1), default=None, help="Sentences a step.")
@click.option(
    "--learning-rate", "--lr", "learning_rate", type=float, default=None, help="Peak learning rate."
)
@click.option(
    "--rate-course",
    type=click.Choice(RATE_COURSES),
    default=LINEAR,
    show_default=True,
    help="Warm-up and linear fall; constant; or x 0.95 after each epoch.",
)
@click.option("--patience", type=click.IntRange(min=1), default=None, help="Epochs without gain.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
@json_option
def train(
    *,
    task: Path,
    train_path: Path,
    dev_path: Path,
    silver_path: Path | None,
    schedule: str,
    silver_tier: str | None,
    weigh_silver: bool,
    output: Path,
    encoder: str,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    rate_course: str,
    patience: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train a small model, calibrate it on dev, and export it for `slcolm predict`.

    What is not given is chosen by the kind of encoder and the size of the training set. The same
    command again goes on where an interrupted one stopped.

    \b
    Examples:
      slcolm train --task task.yaml --train train.jsonl --dev dev.jsonl --out model/
      slcolm train --task task.yaml --train train.jsonl --dev dev.jsonl \\
        --silver annotated.jsonl --schedule cosine --out model/
    """
    schema = read_schema(task)
    checkpoints = output.with_name(f"{output.name}.checkpoints")
    options = TrainOptions(
        encoder,
        epochs,
        batch_size,
        learning_rate,
        seed,
        patience,
        schedule=schedule,
        rate_course=rate_course,
        weigh_silver=weigh_silver,
    )
    silver = read_any(silver_path, schema) if silver_path else []
    if silver_tier:
        silver = at_least(silver, silver_tier)
        if not silver:
            raise DataInvalid(
                "no silver text is left",
                violations=[
                    FieldViolation("--silver-tier", f"every text has something below {silver_tier}")
                ],
            )
    train_docs, dev_docs = read_any(train_path, schema), read_any(dev_path, schema)
    with TrainingWatch() as on_progress:
        from slcolm_services.training.train import (  # noqa: PLC0415  torch takes seconds to load
            train as train_model,
        )

        model = train_model(
            train_docs,
            dev_docs,
            schema,
            options,
            work_dir=checkpoints,
            output=output,
            silver_docs=silver,
            on_progress=on_progress,
        )
    shutil.rmtree(checkpoints)
    _report(model, relations=bool(schema.relation_types), as_json=as_json)


class TrainingWatch:
    """A bar with the time left on a terminal, a line every few seconds elsewhere; on stderr."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._last = float("-inf")
        self._bars: Bars | None = None
        self._task = TaskID(0)

    def __enter__(self) -> OnProgress:
        if not self._console.is_terminal:
            return self._line
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bars.add_task("preparing", total=None)
        self._bars.start()
        return self._bar

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def _bar(self, progress: Progress) -> None:
        assert self._bars is not None  # noqa: S101  `__enter__` made it
        self._bars.update(self._task, description=_describe(progress))
        if progress.phase == "train":
            self._bars.update(self._task, total=progress.steps, completed=progress.step)

    def _line(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase != "train" or now - self._last > _PLAIN_SECONDS:
            self._last = now
            left = f", {progress.eta_seconds:.0f} s left" if progress.phase == "train" else ""
            self._console.print(_describe(progress) + left, soft_wrap=True)


def _describe(progress: Progress) -> str:
    if progress.phase != "train":
        return progress.phase
    return (
        f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}, "
        f"dev F1 {progress.dev_f1:.3f} (best {progress.best_dev_f1:.3f})"
    )


def _report(model: TrainedModel, *, relations: bool, as_json: bool) -> None:
    if as_json:
        card: dict[str, Any] = json.loads((model.folder / CARD_FILE).read_bytes())
        emit_json(
            {
                "model": str(model.folder),
                "dev_scores": dict(model.dev_scores),
                "relation_threshold": card["relation_threshold"],
                "train_seconds": round(model.train_seconds, 1),
            }
        )
        return
    table = Table(title="on dev, span-level", title_justify="left")
    for name in ("", "precision", "recall", "F1"):
        table.add_column(name, justify="right" if name else "left")
    labels = {"entity": "entities"}
    if relations:
        labels |= {"relation": "relations", "relation_strict": "relations with entity types"}
    for name, label in labels.items():
        figures = [model.dev_scores[f"{name}_{part}"] for part in ("precision", "recall", "f1")]
        table.add_row(label, *(f"{100 * figure:.1f}" for figure in figures))
    out = console()
    out.print(table)
    out.print(f"model in {model.folder}, {model.train_seconds:.0f} s", soft_wrap=True)
