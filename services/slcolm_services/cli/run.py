"""`slcolm run`: the whole sequence on the user's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.cli.options import (
    budget_options,
    coordinator_option,
    existing_file,
    guidance_options,
    home_option,
    omit_option,
    price_options,
)
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.cli.sequence import Asking, Sequence, execute
from slcolm_services.cli.settings import config_option, configure, refuse_both
from slcolm_services.cli.tables import print_report
from slcolm_services.errors import FieldViolation, InvalidInput


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
@config_option
@guidance_options
@click.option(
    "--also-guide",
    "other_providers",
    metavar="NAME",
    multiple=True,
    help="Who guides beside --guide; the answers of all are merged; may be repeated.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Answers of each provider to each text; those after the first are sampled anew.",
)
@click.option(
    "--demonstrations",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Solved examples per prompt.",
)
@click.option(
    "--random-demonstrations",
    is_flag=True,
    help="Draw the solved examples at random instead of by similarity.",
)
@omit_option
@budget_options
@price_options
@click.option(
    "--batch",
    is_flag=True,
    help="Use the provider's batch API: cheaper, and answers take hours.",
)
@click.option("--encoder", default="", help="As of `slcolm train`.")
@click.option("--epochs", type=click.IntRange(min=1), default=None, help="Training epochs.")
@click.option("--batch-size", type=click.IntRange(min=1), default=None, help="Sentences a batch.")
@click.option("--learning-rate", type=float, default=None, help="Peak learning rate.")
@click.option("--seed", type=click.IntRange(min=0), default=None, help="Random seed.")
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
    other_providers: tuple[str, ...],
    samples: int,
    demonstrations: int,
    random_demonstrations: bool,
    omit: tuple[str, ...],
    max_calls: int,
    max_tokens: int,
    max_cost: float,
    batch: bool,
    config_path: Path | None,
    home: Path,
    coordinator: str | None,
    as_json: bool,
    **guidance: Any,
) -> None:
    """Train a small model, let an LLM guide it, merge, and score: Training-Guide-Predict.

    Every file is checked first. Work that is done is kept in --home: the same command again, or
    another run on the same data, does not do it twice. Data may be native JSONL, SpERT JSON or
    IOB2.

    With --max-calls, --max-tokens or --max-cost the texts where the LLM is expected to help most
    are asked about first; those that are left over keep the SLM's triples.

    \b
    Examples:
      slcolm run --task task.yaml --train train.jsonl --dev dev.jsonl --test test.jsonl \\
        --guide offline --out out/
      slcolm run ... --guide openai --llm-base-url http://localhost:8000/v1 --llm-model qwen3 \\
        --out out/
      slcolm run ... --config slcolm.toml --guide local --also-guide deepseek --out out/
      slcolm run ... --guide replay --recordings dev-answers.jsonl \\
        --recordings test-answers.jsonl --out out/ --json
      slcolm run ... --guide openai --llm-model NAME --max-calls 500 --out out/
    """
    refuse_both(config_path, coordinator)
    settings: dict[str, dict[str, Any]] = {}
    # A coordinator's services are not known here: without a word, nothing is to be paid.
    provider = guidance["provider"] or "offline"
    if coordinator is None:
        configured = configure(config_path, other_providers=other_providers, **guidance)
        settings, provider = configured.settings, configured.guidance.provider
        if max_cost and not configured.priced:
            problem = "needs --prompt-price or --completion-price, or prices in --config"
            raise InvalidInput(
                f"--max-cost {problem}", violations=[FieldViolation("--max-cost", problem)]
            )
        if batch:
            # Whoever asks for batches says that the endpoint has them.
            settings["guidance"]["batches"] = True
        if encoder and Path(encoder).is_dir():
            encoder = str(Path(encoder).absolute())
            training = settings.setdefault("training", {})
            training["encoder_dirs"] = [*training.get("encoder_dirs", ()), encoder]
    sequence = Sequence(
        task=task,
        train=train,
        dev=dev,
        test=test,
        asking=Asking(
            provider=provider,
            other_providers=other_providers,
            samples=samples,
            demonstrations=demonstrations,
            random_demonstrations=random_demonstrations,
            prompt=guidance_pb2.PromptOptions(
                omit_definitions="definitions" in omit,
                omit_demonstrations="demonstrations" in omit,
                omit_prediction="prediction" in omit,
            ),
            budget=guidance_pb2.Budget(
                max_calls=max_calls, max_tokens=max_tokens, max_cost=max_cost
            ),
            batch=batch,
        ),
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
