"""`slcolm distil agreement`: how far annotations agree with gold, type by type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.tiers import TIERS, at_least
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.scoring.counts import CountMatrix, Prf, macro, micro, tally, weighted
from slcolm_services.scoring.span import score_spans

_AVERAGES = ("micro", "macro", "weighted")


@click.command()
@click.argument("gold", type=existing_file)
@click.argument("annotated", type=existing_file, nargs=-1, required=True)
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option(
    "--tier",
    type=click.Choice(TIERS),
    help="Look at texts alone whose every annotation is of this tier or better.",
)
@json_option
def agreement(
    *, gold: Path, annotated: tuple[Path, ...], task: Path, tier: str | None, as_json: bool
) -> None:
    """Compare ANNOTATED files with GOLD: precision, recall and F1 by type.

    Texts are matched by id; those that a file does not have are left out for it. `spans` match in
    type and place. `mentions` match in type and wording, as often as they stand (a multiset): what
    an answer says before it is placed in the text. Relations match in type and both entities.

    \b
    Example:
      slcolm distil agreement gold.jsonl standard.jsonl cot.jsonl --task task.yaml
    """
    schema = read_schema(task)
    true = {document.id: document for document in read_any(gold, schema)}
    found = {}
    for path in annotated:
        documents = read_any(path, schema)
        if tier:
            documents = at_least(documents, tier)
        unknown = [document.id for document in documents if document.id not in true]
        if unknown or not documents:
            problem = f"{unknown[0]!r} is not in {gold}" if unknown else "no text is left"
            raise DataInvalid(
                f"{path} cannot be compared with gold",
                violations=[FieldViolation("annotated", problem)],
            )
        found[str(path)] = _figures([true[document.id] for document in documents], documents)
    if as_json:
        emit_json({"gold": str(gold), "annotated": found})
        return
    out = console()
    for path_name, figures in found.items():
        for kind in ("spans", "mentions", "relations"):
            if kind in figures:
                out.print(_table(f"{path_name}, {kind}", figures["texts"], figures[kind]))


def _figures(gold: Sequence[Document], found: Sequence[Document]) -> dict[str, Any]:
    scores = score_spans(gold, found)
    figures = {
        "texts": len(found),
        "spans": _by_type(scores.entities.matrix),
        "mentions": _by_type(_mention_counts(gold, found)),
    }
    if scores.relations_strict.matrix.types:
        figures["relations"] = _by_type(scores.relations_strict.matrix)
    return figures


def _mention_counts(gold: Sequence[Document], found: Sequence[Document]) -> CountMatrix:
    """Counts of entities by type and wording; the k-th of equal ones is an item of its own."""
    items = [[_numbered(document) for document in documents] for documents in (gold, found)]
    types = sorted({kind for part in items for document in part for kind, _ in document})
    return tally(items[0], items[1], types)


def _numbered(document: Document) -> list[tuple[str, tuple[str, int]]]:
    seen: Counter[tuple[str, str]] = Counter()
    numbered = []
    for index, entity in enumerate(document.entities):
        mention = document.mention(index)
        numbered.append((entity.type, (mention, seen[entity.type, mention])))
        seen[entity.type, mention] += 1
    return numbered


def _by_type(matrix: CountMatrix) -> dict[str, dict[str, Any]]:
    totals = matrix.totals()
    means = macro(totals)
    averages = {
        "micro": micro(totals),
        "macro": Prf(means.precision, means.recall, means.f1_mean),
        "weighted": weighted(totals),
    }
    lines: dict[str, dict[str, Any]] = {
        kind: _line(counts.prf()) | asdict(counts) for kind, counts in matrix.by_type().items()
    }
    return lines | {name: _line(prf) for name, prf in averages.items()}


def _line(prf: Prf) -> dict[str, Any]:
    return {"precision": prf.precision, "recall": prf.recall, "f1": prf.f1}


def _table(title: str, texts: int, lines: dict[str, dict[str, Any]]) -> Table:
    table = Table(title=f"{title} ({number_of(texts, 'text')})", title_justify="left")
    table.add_column("type")
    for name in ("precision", "recall", "F1", "right", "found", "gold"):
        table.add_column(name, justify="right")
    for name, line in lines.items():
        if name == _AVERAGES[0]:
            table.add_section()
        shares = [f"{100 * line[part]:.1f}" for part in ("precision", "recall", "f1")]
        counts = [str(line.get(part, "")) for part in ("correct", "predicted", "gold")]
        table.add_row(name, *shares, *counts)
    return table
