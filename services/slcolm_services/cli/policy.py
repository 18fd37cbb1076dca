"""`slcolm policy`: choose a merge on dev, apply it to recorded answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.corpus.files import replacing
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.recordings import Recording, first_answers, read_recordings
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.evaluation.fit import Fit, Trial
from slcolm_services.evaluation.fit import fit as fit_policy
from slcolm_services.evaluation.merge import MergedTriple
from slcolm_services.evaluation.policy import (
    ENTITY_FILTERS,
    EntityFilter,
    Mode,
    policy_json,
    read_policy,
    write_policy,
)
from slcolm_services.evaluation.recorded import dev_sentences, merge_recorded


@click.group()
def policy() -> None:
    """Fit a merge policy on dev, and apply it."""


@policy.command()
@click.option(
    "--dev",
    type=existing_file,
    multiple=True,
    required=True,
    help="Recorded answers of one LLM on dev; may be repeated. The first answer to a sentence "
    "counts.",
)
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option("--train", type=existing_file, required=True, help="Training data: counts of types.")
@click.option(
    "--entity-filter",
    type=click.Choice(ENTITY_FILTERS),
    default="slm",
    show_default=True,
    help="Mentions of an LLM triple must be among the SLM's entities, or stand in the text.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Policy to write.")
@json_option
def fit(
    *,
    dev: Sequence[Path],
    task: Path,
    train: Path,
    entity_filter: EntityFilter,
    out: Path,
    as_json: bool,
) -> None:
    """Choose mode and thresholds on dev. Give it no test data.

    \b
    Example:
      slcolm policy fit --dev recordings/frontier_k2_dev.jsonl --task task.yaml \\
        --train train.jsonl --out policy.json
    """
    schema = read_schema(task)
    lines = [line for path in dev for line in read_recordings(path)]
    fitted = fit_policy(
        dev_sentences(lines, schema, entity_filter),
        schema,
        training_counts(read_any(train, schema), schema),
        entity_filters=[entity_filter],
    )
    write_policy(out, fitted.policy)
    if as_json:
        emit_json(
            {
                "policy": policy_json(fitted.policy),
                "trials": [_trial_json(trial) for trial in fitted.trials],
            }
        )
    else:
        _print_fit(fitted, out)


@policy.command()
@click.option("--policy", "policy_file", type=existing_file, required=True, help="Policy to apply.")
@click.argument("recording", type=existing_file)
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option(
    "--train",
    type=existing_file,
    help="Count types in this training data instead of using the policy's own counts.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON lines to write.")
@json_option
def apply(
    *,
    policy_file: Path,
    recording: Path,
    task: Path,
    train: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Merge recorded answers: a line a sentence with its final triples and their lineage.

    \b
    Example:
      slcolm policy apply --policy policy.json recordings/frontier_k2.jsonl --task task.yaml \\
        --out merged.jsonl
    """
    schema, chosen = read_schema(task), read_policy(policy_file)
    if train is not None:
        chosen = chosen.with_training_counts(training_counts(read_any(train, schema), schema))
    lines = first_answers(read_recordings(recording))
    merged = [merge_recorded(line, schema, chosen) for line in lines]
    with replacing(out) as file:
        for line, triples in zip(lines, merged, strict=True):
            content = {**_line_json(line, triples), "policy_digest": chosen.digest}
            file.write(json.dumps(content, ensure_ascii=False) + "\n")
    count = sum(map(len, merged))
    if as_json:
        emit_json(
            {
                "sentences": len(lines),
                "triples": count,
                "policy_digest": chosen.digest,
                "out": str(out),
            }
        )
    else:
        console().print(
            f"{count} triples in {len(lines)} sentences by [bold]{chosen.mode}[/], "
            f"written to {escape(str(out))}"
        )


def _line_json(line: Recording, merged: Sequence[MergedTriple]) -> dict[str, Any]:
    return {"id": line.id, "text": line.text, "triples": [_triple_json(item) for item in merged]}


def _triple_json(merged: MergedTriple) -> dict[str, Any]:
    triple = merged.triple
    return {
        "head": triple.head,
        "tail": triple.tail,
        "type": triple.type,
        **({} if triple.prob is None else {"prob": triple.prob}),
        "sources": list(merged.sources),
        "rule": merged.rule,
    }


def _trial_json(trial: Trial) -> dict[str, Any]:
    return {
        "mode": trial.policy.mode.value,
        "threshold": trial.policy.threshold,
        "rare_below": trial.policy.rare_below,
        "objective": trial.objective,
        "objective_standard_error": trial.standard_error,
        "gap": trial.gap,
        "gap_standard_error": trial.gap_standard_error,
        "dev_micro_f1": trial.scores.micro.f1,
        "dev_macro_f1_pr": trial.scores.macro.f1_pr,
    }


def _print_fit(fitted: Fit, path: Path) -> None:
    out = console()
    if fitted.trials:
        out.print(_trials_table(fitted.trials))
    out.print(f"Policy: {escape(fitted.policy.provenance)}")
    out.print(f"Written to {escape(str(path))}")


def _trials_table(trials: Sequence[Trial]) -> Table:
    """The best trial of each mode; h and T where the mode has them."""
    table = Table(title="Best of each mode on dev, cross-validated, in %", title_justify="left")
    table.add_column("mode")
    for column in ("h", "T", "micro F1", "macro F1", "objective", "behind the best"):
        table.add_column(column, justify="right")
    best: dict[Mode, Trial] = {}
    for trial in trials:
        best.setdefault(trial.policy.mode, trial)
    for mode, trial in best.items():
        has_threshold = mode in (Mode.THRESHOLD, Mode.GATE)
        table.add_row(
            mode.value,
            f"{trial.policy.threshold:g}" if has_threshold else "",
            str(trial.policy.rare_below) if mode is Mode.GATE else "",
            f"{100 * trial.scores.micro.f1:.2f}",
            f"{100 * trial.scores.macro.f1_pr:.2f}",
            f"{100 * trial.objective:.2f}",
            f"{100 * trial.gap:.2f} ± {100 * trial.gap_standard_error:.2f}",
        )
    return table
