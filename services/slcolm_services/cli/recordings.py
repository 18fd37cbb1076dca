"""`slcolm recordings`: recorded LLM answers, scored in every merge mode without asking again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.answers import read_answers, recordings_of
from slcolm_services.cli.curve import curve
from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.recordings import Recording
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.evaluation.policy import PLAIN_MODES, Mode, default_policy
from slcolm_services.evaluation.recorded import count_modes, weak_types_of
from slcolm_services.scoring.counts import Counts, macro, micro, total, totals_of
from slcolm_services.scoring.paper import score_paper


@click.group()
def recordings() -> None:
    """Score recorded LLM answers in every merge mode, and see what a budget buys."""


@recordings.command()
@click.argument("files", nargs=-1, required=True, type=existing_file)
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option("--train", type=existing_file, required=True, help="Training data: counts of types.")
@click.option(
    "--dev",
    type=existing_file,
    help="Recording on dev: the SLM's weak types come from it. Without it, strict replace-weak is "
    "left out.",
)
@click.option(
    "--protocol",
    type=click.Choice(["strict", "paper"]),
    default="strict",
    show_default=True,
    help="strict: sets of directed triples. paper: the published scripts, to compare with their "
    "tables.",
)
@json_option
def score(
    *,
    files: Sequence[Path],
    task: Path,
    train: Path,
    dev: Path | None,
    protocol: str,
    as_json: bool,
) -> None:
    """Score recorded answers, every mode of every FILE.

    \b
    Example:
      slcolm recordings score recordings/gpt35_k2.jsonl --task task.yaml --train train.jsonl \\
        --dev recordings/frontier_k2_dev.jsonl
    """
    schema = read_schema(task)
    paths = _by_stem(files)
    if protocol == "paper":
        types = [kind.name for kind in schema.relation_types]
        runs = {
            name: score_paper(recordings_of(path, need_gold=True), types)
            for name, path in paths.items()
        }
    else:
        lines = {name: read_answers(path, schema, need_gold=True) for name, path in paths.items()}
        runs = _score_strict(lines, schema, train, dev)
    if as_json:
        emit_json(
            {
                "runs": {
                    name: {protocol: {mode: _mode_json(c) for mode, c in modes.items()}}
                    for name, modes in runs.items()
                }
            }
        )
        return
    for name, modes in runs.items():
        console().print(_table(name, protocol, modes))


def _by_stem(files: Sequence[Path]) -> dict[str, Path]:
    runs: dict[str, Path] = {}
    for path in files:
        if path.stem in runs:
            raise DataInvalid(
                "runs are named after their files, and two files have the same name",
                violations=[FieldViolation(str(path), f"{runs[path.stem]} is named alike")],
            )
        runs[path.stem] = path
    return runs


def _score_strict(
    lines: Mapping[str, Sequence[Recording]], schema: TaskSchema, train: Path, dev: Path | None
) -> dict[str, dict[str, dict[str, Counts]]]:
    counts = training_counts(read_any(train, schema), schema)
    weak = (
        weak_types_of(read_answers(dev, schema, need_gold=True), schema, counts)
        if dev
        else frozenset[str]()
    )
    policy = default_policy(counts, weak)
    modes = [mode for mode in PLAIN_MODES if dev or mode is not Mode.REPLACE_WEAK]
    return {
        name: {
            mode.value: found.matrix.by_type()
            for mode, found in count_modes(run, schema, policy, modes).items()
        }
        for name, run in lines.items()
    }


def _mode_json(by_type: Mapping[str, Counts]) -> dict[str, Any]:
    """Figures over the types with gold > 0."""
    scored = {name: counts for name, counts in by_type.items() if counts.gold}
    totals = totals_of(scored)
    all_types, averages = total(scored), macro(totals)
    figures = micro(totals)
    return {
        "micro": [figures.precision, figures.recall, figures.f1],
        "macro": [averages.precision, averages.recall, averages.f1_pr],
        "macro_f_mean": averages.f1_mean,
        "totals": [all_types.correct, all_types.predicted, all_types.gold],
        "per_relation": {
            name: [counts.correct, counts.predicted, counts.gold] for name, counts in scored.items()
        },
    }


def _table(name: str, protocol: str, modes: Mapping[str, Mapping[str, Counts]]) -> Table:
    table = Table(title=f"{escape(name)}, {protocol}, in %", title_justify="left")
    table.add_column("mode", no_wrap=True)
    for column in ("P", "R", "F1", "macro P", "macro R", "macro F1", "mean F1"):
        table.add_column(column, justify="right")
    for mode, by_type in modes.items():
        figures = _mode_json(by_type)
        values = [*figures["micro"], *figures["macro"], figures["macro_f_mean"]]
        table.add_row(mode, *(f"{100 * value:.2f}" for value in values))
    return table


recordings.add_command(curve)
