"""Tables that people read: scores of a run, stages, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_SYSTEMS = (("slm", "SLM alone"), ("llm", "LLM alone"), ("merged", "merged"))
_BUCKETS = ("head", "medium", "tail")
_MIB = 1024 * 1024


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print what a run found: scores, policy, stages."""
    console.print(scores_table(report))
    difference = report["merged_minus_slm"]
    for name, figure in (("micro F1", "micro_f1"), ("macro F1", "macro_f1_pr")):
        value = difference[figure]
        console.print(
            f"merged - SLM, {name}: {100 * value['value']:+.1f} points "
            f"[{100 * value['low']:+.1f}, {100 * value['high']:+.1f}] (95 % bootstrap interval)"
        )
    policy = report["policy"]
    console.print(f"\nPolicy: [bold]{policy['mode']}[/]. {escape(policy['provenance'])}")
    console.print(answers_line(report["answers"]))
    if "stages" in report:
        console.print(stages_table(report["stages"]))


def scores_table(report: Mapping[str, Any]) -> Table:
    """Micro, macro and frequency buckets of SLM, LLM and merged triples, in percent."""
    table = Table(title="Relations on test, strict, in %", title_justify="left")
    table.add_column("")
    for name in ("micro P", "micro R", "micro F1"):
        table.add_column(name, justify="right")
    for name in ("macro P", "macro R", "macro F1"):
        table.add_column(name, justify="right")
    buckets = [b for b in _BUCKETS if b in report["slm"]["strict"]["by_frequency"]]
    for bucket in buckets:
        types = report["slm"]["strict"]["by_frequency"][bucket]["types"]
        table.add_column(f"{bucket} F1\n({types} types)", justify="right")
    for key, title in _SYSTEMS:
        scores = report[key]["strict"]
        micro, macro = scores["micro"], scores["macro"]
        figures = [micro["p"], micro["r"], micro["f"], macro["p"], macro["r"], macro["f1_pr"]]
        figures += [scores["by_frequency"][bucket]["f"] for bucket in buckets]
        style = "bold" if key == "merged" else None
        table.add_row(title, *(f"{100 * figure:.1f}" for figure in figures), style=style)
    return table


def answers_line(answers: Mapping[str, Any]) -> str:
    """Who answered, and for how many texts."""
    parts = [f"{split} {part['usable']} of {part['texts']}" for split, part in answers.items()]
    line = "LLM answers: " + ", ".join(parts)
    if any(part["offline_rules"] for part in answers.values()):
        line += " [yellow](from the offline rules: no language model was asked)[/]"
    return line + ". Texts without an answer keep the SLM's triples in the merged result."


def stages_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    """Time and memory of each stage."""
    table = Table(title="\nStages", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("largest service, MiB", justify="right")
    table.add_column("what", overflow="fold")
    for stage in stages:
        peaks = stage["peak_memory_bytes"]
        memory = ""
        if peaks:
            role, size = max(peaks.items(), key=lambda item: item[1])
            memory = f"{role} {size / _MIB:,.0f}"
        what = ("reused: " if stage["reused"] else "") + stage["message"]
        table.add_row(stage["name"], f"{stage['seconds']:.1f}", memory, escape(what))
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
