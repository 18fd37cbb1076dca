"""Tables that people read: scores of a run, stages, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_BUCKETS = ("head", "medium", "tail")
_MIB = 1024 * 1024
_WORKERS = {
    "train": "training",
    "predict": "extraction",
    "index": "retrieval",
    "select": "retrieval",
    "guide": "guidance",
    "fit": "evaluation",
    "merge": "evaluation",
    "evaluate": "evaluation",
    "report": "coordinator",
}
"""Which service does a stage's work."""


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print what a run found: scores, policy, stages."""
    console.print(scores_table(report))
    for name, figure in (("micro F1", "micro_f1"), ("macro F1", "macro_f1_pr")):
        value = report["merged_minus_slm"][figure]
        low, high = value["low"], value["high"]
        verdict = "" if low > 0 or high < 0 else "  within chance"
        console.print(
            f"merged - SLM, {name}: {100 * value['value']:+.1f} points, 95 % interval "
            f"[{100 * low:+.1f}, {100 * high:+.1f}]{verdict}",
            markup=False,
        )
    console.print(f"\nPolicy: {report['policy']['provenance']}", markup=False)
    console.print(answers_line(report["answers"]))
    if "stages" in report:
        console.print(stages_table(report["stages"]))


def scores_table(report: Mapping[str, Any]) -> Table:
    """Micro, macro and frequency buckets of SLM, LLM and merged triples, in percent."""
    table = Table(
        title="Relations on test, strict, in %", title_justify="left", box=SIMPLE, padding=0
    )
    table.add_column("", no_wrap=True, min_width=11)
    for kind in ("micro", "macro"):
        for figure in ("P", "R", "F1"):
            table.add_column(f"{kind}\n{figure}", justify="right", no_wrap=True)
    buckets = [b for b in _BUCKETS if b in report["slm"]["strict"]["by_frequency"]]
    for bucket in buckets:
        types = report["slm"]["strict"]["by_frequency"][bucket]["types"]
        table.add_column(f"{bucket}\nF1 ({types})", justify="right", no_wrap=True)
    for key, title in _systems(report):
        scores = report[key]["strict"]
        micro, macro = scores["micro"], scores["macro"]
        figures = [micro["p"], micro["r"], micro["f"], macro["p"], macro["r"], macro["f1_pr"]]
        figures += [scores["by_frequency"][bucket]["f"] for bucket in buckets]
        style = "bold" if key == "merged" else None
        table.add_row(title, *(f"{100 * figure:.1f}" for figure in figures), style=style)
    table.caption = "head, medium, tail: by training count; (types in test)"
    table.caption_justify = "left"
    return table


def is_offline(report: Mapping[str, Any]) -> bool:
    """Whether rules answered, and no language model."""
    return any(part["offline_rules"] for part in report["answers"].values())


def _systems(report: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    guide = "rules" if is_offline(report) else "LLM"
    return (("slm", "SLM alone"), ("llm", f"{guide} alone"), ("merged", "merged"))


def answers_line(answers: Mapping[str, Any]) -> str:
    """Who answered, and for how many texts."""
    parts = [f"{split} {part['usable']} of {part['texts']}" for split, part in answers.items()]
    line = "Answers: " + ", ".join(parts)
    if any(part["offline_rules"] for part in answers.values()):
        line += ", from [yellow]offline rules: no language model was asked[/]"
    left_out = [f"{part['not_asked']} of {split}" for split, part in answers.items()]
    if any(part["not_asked"] for part in answers.values()):
        line += f"; the budget left out {', '.join(left_out)}"
    return line + ". Texts without an answer keep the SLM's triples in the merged result."


def stages_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    """Time of each stage, and peak memory of the service that did its work."""
    table = Table(title="\nStages", title_justify="left", box=SIMPLE)
    table.add_column("stage", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("service", no_wrap=True)
    table.add_column("MiB", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for stage in stages:
        worker = _WORKERS.get(stage["name"], "")
        peak = stage["peak_memory_bytes"].get(worker)
        memory = f"{peak / _MIB:,.0f}" if peak else ""
        what = ("reused: " if stage["reused"] else "") + stage["message"].split("; ")[0]
        table.add_row(stage["name"], f"{stage['seconds']:.1f}", worker, memory, escape(what))
    return table


def example(line: Mapping[str, Any], gold: frozenset[tuple[str, str, str]]) -> Text:
    """A sentence with its final triples, marked right or wrong, and the explanation."""
    text = Text(line["text"] + "\n", style="bold")
    for triple in line["triples"]:
        right = (triple["head"], triple["tail"], triple["type"]) in gold
        mark, style = ("✓", "green") if right else ("✗", "red")
        sources = "+".join(triple["sources"])
        prob = f" {triple['prob']:.2f}" if "prob" in triple else ""
        text.append(f"  {mark} ", style)
        text.append(f"{triple['head']} —{triple['type']}→ {triple['tail']}")
        text.append(f"  ({sources}{prob})\n", "dim")
    found = {(t["head"], t["tail"], t["type"]) for t in line["triples"]}
    for head, tail, kind in sorted(gold - found):
        text.append("  · ", "yellow")
        text.append(f"{head} —{kind}→ {tail}  ")
        text.append("(missed)\n", "dim")
    if line.get("explanation"):
        text.append("  " + line["explanation"].strip().replace("\n", "\n  ") + "\n", "italic dim")
    return text
