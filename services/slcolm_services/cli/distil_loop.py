"""`slcolm distil loop`: both models annotate raw text, and a small model is trained on it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.distil_work import annotate_raw, ask, compare, fitted_policy
from slcolm_services.cli.options import (
    budget_options,
    existing_file,
    guidance_options,
    price_options,
)
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.predictions import predictions
from slcolm_services.cli.selection import Examples
from slcolm_services.cli.settings import config_option, configure
from slcolm_services.cli.train import TrainingWatch
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.errors import ConfigInvalid, DataInvalid, FieldViolation
from slcolm_services.evaluation.policy_file import read_policy
from slcolm_services.guidance.usage import RunBudget
from slcolm_services.training.options import TrainOptions

_METRICS = ("macro", "micro", "tail", "entities")


@click.command()
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option("--train", "train_path", type=existing_file, required=True, help="Training data.")
@click.option(
    "--dev",
    "dev_path",
    type=existing_file,
    required=True,
    help="Dev data: the merge policy is fitted on them, and both models compared.",
)
@click.option(
    "--input", "input_path", type=existing_file, required=True, help="Raw texts (native JSONL)."
)
@click.option(
    "--model",
    "old",
    type=click.Path(path_type=Path),
    required=True,
    help="Model folder to better; it is not changed.",
)
@click.option(
    "--policy",
    "policy_path",
    type=existing_file,
    help="Merge policy; without it the LLM is asked about --dev too, and one is fitted.",
)
@click.option(
    "--shots",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Demonstrations in each prompt, the most similar of --train.",
)
@config_option
@guidance_options
@budget_options
@price_options
@click.option("--encoder", default="", help="As of `slcolm train`.")
@click.option("--epochs", type=click.IntRange(min=1), default=None, help="Most epochs.")
@click.option("--schedule", default="", help="As of `slcolm train`.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
@click.option(
    "--metric",
    type=click.Choice(_METRICS),
    default="macro",
    show_default=True,
    help="What the new model must be better at on --dev: F1 of relations (macro, micro, of rare "
    "types) or of entities.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Longest time for all answers, in seconds.",
)
@click.option(
    "--silver",
    "silver_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was annotated, too (native JSONL).",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Model folder of the new model; it is there only if the new model is better.",
)
@json_option
def loop(
    *,
    task: Path,
    train_path: Path,
    dev_path: Path,
    input_path: Path,
    old: Path,
    policy_path: Path | None,
    shots: int,
    config_path: Path | None,
    max_calls: int,
    max_tokens: int,
    max_cost: float,
    encoder: str,
    epochs: int | None,
    schedule: str,
    seed: int,
    metric: str,
    timeout_seconds: float,
    silver_path: Path | None,
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Annotate raw text with the small model and an LLM, and train a new small model on it too.

    The small model predicts, the LLM revises, the policy merges; each final relation counts in
    training by its probability. The new model is kept if it is better than the old one on dev;
    else the old one stays, and OUT.rejected holds the new one. Paid answers are in the ledger:
    the same command again pays for none twice.

    \b
    Example:
      slcolm distil loop --task task.yaml --train train.jsonl --dev dev.jsonl --input raw.jsonl \\
        --model model/ --guide openai --llm-model NAME --max-cost 10 --out better/
    """
    schema = read_schema(task)
    if not schema.relation_types:
        raise DataInvalid("the task has no relation types; `slcolm annotate` annotates entities")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigInvalid(
            f"{out} exists and is not an empty folder",
            violations=[FieldViolation("--out", "must not exist, or be an empty folder")],
        )
    train_docs, dev_docs = read_any(train_path, schema), read_any(dev_path, schema)
    raw = [document.without_annotations() for document in read_documents(input_path)]
    counts = training_counts(train_docs, schema)
    examples = Examples(train_docs, schema)
    old_dev, old_raw = predictions(old, dev_docs), predictions(old, raw)
    asked = old_raw if policy_path else [*old_dev, *old_raw]
    items = [examples.item(document, shots) for document in asked]
    budget = RunBudget(max_calls, max_tokens, max_cost)
    config = configure(config_path, **options).guidance
    answers = asyncio.run(ask(config, items, schema, budget, timeout_seconds))
    policy = (
        read_policy(policy_path)
        if policy_path
        else fitted_policy(dev_docs, old_dev, answers[: len(old_dev)], schema, counts)
    )
    silver = annotate_raw(old_raw, answers[-len(old_raw) :], policy, schema)
    if silver_path:
        write_documents(silver_path, silver.documents)

    candidate = out.with_name(f"{out.name}.rejected")
    shutil.rmtree(candidate, ignore_errors=True)
    work = out.with_name(f"{out.name}.checkpoints")
    with TrainingWatch() as on_progress:
        from slcolm_services.training.train import (  # noqa: PLC0415  torch takes seconds to load
            train,
        )

        train(
            train_docs,
            dev_docs,
            schema,
            TrainOptions(encoder, epochs, seed=seed, schedule=schedule, weigh_silver=True),
            work_dir=work,
            output=candidate,
            silver_docs=silver.documents,
            on_progress=on_progress,
        )
    shutil.rmtree(work)
    figures = compare(dev_docs, old_dev, predictions(candidate, dev_docs), schema, counts)
    better = figures["new"][metric] > figures["old"][metric]
    if better:
        if out.exists():
            out.rmdir()
        candidate.rename(out)
    _report(
        {
            "kept": "new" if better else "old",
            "model": str(out if better else old),
            "metric": metric,
            "raw_texts": len(raw),
            "answered": silver.answered,
            "silver": {
                "documents": len(silver.documents),
                "relations": silver.relations,
                "corrected": silver.corrected,
            },
            "policy": silver.policy.provenance,
            **figures,
        },
        as_json=as_json,
    )


def _report(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(result)
        return
    out = console()
    silver = result["silver"]
    out.print(
        f"{number_of(silver['documents'], 'text')} of {result['raw_texts']} annotated "
        f"({result['answered']} answered by the LLM), "
        f"{number_of(silver['relations'], 'relation')}, {silver['corrected']} of them the LLM's; "
        f"merged by: {escape(result['policy'])}",
        soft_wrap=True,
    )
    table = Table(title="F1 on dev, span-level", title_justify="left")
    for name in ("", "relations", "macro", "rare types", "entities"):
        table.add_column(name, justify="right" if name else "left")
    for name in ("old", "new"):
        figures = [result[name][part] for part in ("micro", "macro", "tail", "entities")]
        table.add_row(name, *(f"{100 * figure:.1f}" for figure in figures))
    out.print(table)
    gap = result["micro_difference"]
    out.print(
        f"relations, new - old: {100 * gap['mean']:+.1f} "
        f"[{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}]"
    )
    out.print(f"kept by {result['metric']}: the {result['kept']} model, {escape(result['model'])}")
