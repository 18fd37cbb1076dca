"""`slcolm distil experiment`: ways to blend annotated and human data, compared over seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.distil_span import train_span_cell
from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.progress import progress_bar
from slcolm_services.corpus.files import replacing
from slcolm_services.runtime.cpu import available_cpus
from slcolm_services.training.experiments.cells import Cell, cells
from slcolm_services.training.experiments.config import SPAN, Experiment, read_experiment
from slcolm_services.training.experiments.results import Result
from slcolm_services.training.experiments.runner import run
from slcolm_services.training.experiments.summary import summarize
from slcolm_services.training.experiments.tagging import train_tagger_cell
from slcolm_services.training.plots import plot_experiment

SUMMARY_FILE, PLOT_FILE = "summary.json", "summary.svg"


@click.command()
@click.option(
    "--config", "config_path", type=existing_file, required=True, help="What is compared (TOML)."
)
@click.option(
    "--out",
    "output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the results; what is there already is not trained again.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    help="Trainings at once; a processor or a GPU each. Default: as many as there are processors.",
)
@json_option
def experiment(*, config_path: Path, output: Path, jobs: int | None, as_json: bool) -> None:
    """Train every group and schedule with every seed, and tell what can be told apart.

    Groups: A original, B distilled, C distilled and another domain, D simple mix, E simple mix and
    another domain. Models are chosen on dev and scored on test. Means and deviations are over
    seeds; `against` compares with a group over the same seeds and the same sentences.

    \b
    Example:
      slcolm distil experiment --config conll2003.toml --out out/
    """
    asked = read_experiment(config_path)
    train = train_span_cell if asked.model == SPAN else train_tagger_cell
    out = console(stderr=True)
    every = cells(asked)
    with progress_bar("training", len(every)) as advance:

        def on_done(cell: Cell, result: Result, known: bool) -> None:
            advance(1)
            if not known:
                out.print(
                    f"{cell.condition}, seed {cell.seed}: dev F1 {100 * result.outcome.dev_f1:.1f} "
                    f"in epoch {result.outcome.epoch} ({result.outcome.seconds:.0f} s)",
                    soft_wrap=True,
                )

        results = run(asked, output, train, jobs=jobs or available_cpus(), on_done=on_done)
    summary = summarize(asked, results)
    with replacing(output / SUMMARY_FILE) as file:
        json.dump(summary, file, ensure_ascii=False, indent=2)
    plot_experiment(summary, output / PLOT_FILE)
    if as_json:
        emit_json(summary)
    else:
        _print(asked, summary, output)


def _print(asked: Experiment, summary: dict[str, Any], output: Path) -> None:
    out = console()
    seeds = number_of(len(asked.seeds), "seed")
    for kind, part in summary.items():
        table = _table(f"{kind} on test, {seeds}", "group", "A")
        for line in part["groups"]:
            table.add_row(f"{line['group']} {line['data']}", *_figures(line, "A"))
        out.print(table)
        table = _table(f"{kind} on test, {seeds}", "schedule, rate", "D")
        for line in part["schedules"]:
            table.add_row(f"{line['schedule']}, {line['rate_course']}", *_figures(line, "D"))
        out.print(table)
    out.print(
        "F1 and macro F1: mean and deviation over seeds; interval over sentences, p over seeds"
    )
    out.print(f"{SUMMARY_FILE} and {PLOT_FILE} in {escape(str(output))}", soft_wrap=True)


def _table(title: str, name: str, against: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column(name, no_wrap=True)
    for column in ("P", "R", "F1", "macro F1", f"F1 - {against} [95 %]", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _figures(line: dict[str, Any], against: str) -> list[str]:
    shares = [f"{100 * line[name]['mean']:.1f}" for name in ("precision", "recall")]
    spreads = [
        f"{100 * line[name]['mean']:.1f} ± {100 * line[name]['deviation']:.1f}"
        for name in ("f1", "macro_f1")
    ]
    gap = line["against"].get(against)
    if gap is None:
        return [*shares, *spreads, "", ""]
    interval = f"[{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}]"
    p_seeds = "" if gap["p_seeds"] is None else f"{gap['p_seeds']:.3f}"
    return [*shares, *spreads, f"{100 * gap['mean']:+.1f} {interval}", p_seeds]
