"""`slcolm run`: the whole sequence on the user's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from slcolm_services.cli.options import (
    coordinator_option,
    existing_file,
    guidance_options,
    guidance_settings,
    home_option,
)
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.cli.sequence import Sequence, execute
from slcolm_services.cli.tables import print_report


@click.command()
@click.option("--task", type=existing_file, required=True, help="Task schema (YAML).")
@click.option("--train", type=existing_file, required=True, help="Training data.")
@click.option("--dev", type=existing_file, required=True, help="Dev data: choices are made here.")
@click.option("--test", type=existing_file, required=True, help="Test data: scored once.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for report.html, report.json, merged.jsonl, run.json and model/.",
)
@guidance_options
@click.option("--encoder", default="", help="Transformers encoder by name or path.")
@click.option("--epochs", type=click.IntRange(min=1), default=None, help="Training epochs.")
@click.option("--batch-size", type=click.IntRange(min=1), default=None, help="Sentences a batch.")
@click.option("--learning-rate", type=float, default=None, help="Peak learning rate.")
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Random seed.")
@click.option(
    "--demonstrations",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Solved examples per prompt.",
)
@home_option
@coordinator_option
@json_option
def run(
    *,
    task: Path,
    train: Path,
    dev: Path,
    test: Path,
    out: Path,
    encoder: str,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int | None,
    demonstrations: int,
    home: Path,
    coordinator: str | None,
    as_json: bool,
    **guidance: Any,
) -> None:
    """Train a small model, let an LLM guide it, merge, and score: Training-Guide-Predict.

    Every file is checked first. Work that is done is kept in --home: the same command again, or
    another run on the same data, does not do it twice. Data may be native JSONL, SpERT JSON or
    IOB2.

    \b
    Examples:
      slcolm run --task task.yaml --train train.jsonl --dev dev.jsonl --test test.jsonl \\
        --guide offline --out out/
      slcolm run ... --guide openai --llm-base-url http://localhost:8000/v1 --llm-model qwen3 \\
        --out out/
      slcolm run ... --guide replay --recordings dev-answers.jsonl \\
        --recordings test-answers.jsonl --out out/ --json
    """
    settings: dict[str, dict[str, Any]] = {}
    if coordinator is None:
        settings["guidance"] = guidance_settings(**guidance)
        if encoder and Path(encoder).is_dir():
            encoder = str(Path(encoder).absolute())
            settings["training"] = {"encoder_dirs": [encoder]}
    sequence = Sequence(
        task=task,
        train=train,
        dev=dev,
        test=test,
        provider=guidance["provider"],
        demonstrations=demonstrations,
        training={
            "encoder": encoder,
            "epochs": epochs or 0,
            "batch_size": batch_size or 0,
            "learning_rate": learning_rate or 0.0,
            "seed": seed or 0,
        },
    )
    report = execute(sequence, out=out, home=home, coordinator=coordinator, settings=settings)
    if as_json:
        emit_json(report)
    else:
        print_report(console(), report)
        console().print(f"\nWritten to {out}: report.html, report.json, merged.jsonl, run.json")
