"""`slcolm data`: check, describe and convert data files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich import box
from rich.bar import Bar
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.formats import CheckReport, check_file, convert, read_with_repairs
from slcolm_services.corpus.leakage import find_leakage
from slcolm_services.corpus.records import Problem, shown
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import Bucket, CorpusStats, frequency_bucket, statistics

_BAR_WIDTH = 32
_EIGHTHS = 8  # parts of a cell that a bar can end in
_COLORS: dict[Bucket, str] = {"head": "green", "medium": "yellow", "tail": "red"}
_SHOWN_OVERLAPS = 20

_file = click.Path(path_type=Path)
_task_option = click.option(
    "--task", type=_file, help="Task schema (YAML, or SpERT's types file): labels are checked."
)


@click.group()
def data() -> None:
    """Check, describe and convert data files.

    Formats: native JSONL, SpERT's JSON, IOB2 columns; told by extension and content.

    \b
    Example:
      slcolm data check train.jsonl --task task.yaml
    """


@data.command()
@click.argument("file", type=_file)
@_task_option
@click.option("--strict", is_flag=True, help="Repeated annotations fail the check too.")
@json_option
@click.pass_context
def check(ctx: click.Context, file: Path, task: Path | None, strict: bool, as_json: bool) -> None:
    """Name everything that is wrong with FILE, by line and field.

    Exit status: 0 the file can be read, 1 it cannot.

    \b
    Examples:
      slcolm data check train.jsonl --task task.yaml
      slcolm data check conll04_train.json --json
    """
    report = check_file(file, _schema(task))
    failed = bool(report.problems if strict else report.errors)
    if as_json:
        emit_json(
            {
                "file": report.path,
                "ok": not failed,
                "format": report.format,
                "documents": report.documents,
                "entities": report.entities,
                "relations": report.relations,
                "problems": [asdict(problem) for problem in report.problems],
                "repairs": report.repairs,
            }
        )
    else:
        _print_report(console(), report, failed=failed)
    if failed:
        ctx.exit(1)


@data.command()
@click.argument("files", type=_file, nargs=-1, required=True, metavar="FILE...")
@_task_option
@json_option
def stats(files: tuple[Path, ...], task: Path | None, as_json: bool) -> None:
    """Describe each FILE: sizes, lengths, and how often each relation type occurs.

    Give the training file first: buckets (head > 100, medium 21-100, tail <= 20) are by its counts.

    \b
    Example:
      slcolm data stats train.jsonl dev.jsonl test.jsonl --task task.yaml
    """
    schema = _schema(task)
    found = [statistics(_read(file, schema), schema) for file in files]
    if as_json:
        emit_json(
            [
                {"file": str(file)} | asdict(described)
                for file, described in zip(files, found, strict=True)
            ]
        )
        return
    out = console()
    out.print(_sizes(files, found))
    if any(item.relation_counts for item in found):
        out.print(_relation_types(files, found))


@data.command("convert")
@click.argument("source", type=_file, metavar="IN")
@click.argument("target", type=_file, metavar="OUT")
@_task_option
@json_option
def convert_(source: Path, target: Path, task: Path | None, as_json: bool) -> None:
    """Write the documents of IN (any format) to OUT as native JSONL.

    OUT appears whole or not at all. What had to be put right on the way is listed.

    \b
    Example:
      slcolm data convert chisre_train.json train.jsonl --task task.yaml
    """
    documents, repairs = convert(source, target, _schema(task))
    if as_json:
        emit_json({"file": str(target), "documents": documents, "repairs": dict(repairs)})
        return
    out = console()
    out.print(f"[green]{number_of(documents, 'document')}[/] written to {escape(str(target))}")
    _print_repairs(out, repairs)


@data.command()
@click.argument("a", type=_file)
@click.argument("b", type=_file)
@click.option(
    "--length",
    type=click.IntRange(min=1),
    show_default="12 characters or 8 words",
    help="Characters, or words, in a shared run.",
)
@json_option
def overlap(a: Path, b: Path, length: int | None, as_json: bool) -> None:
    """Find the texts of A that repeat a text of B or share a run of characters or words with one.

    Runs are of words where the script has spaces between them, else of characters. Case, spaces
    and punctuation are left out; traditional and simplified characters are the same.

    \b
    Example: does the test set leak into training?
      slcolm data overlap test.jsonl train.jsonl
    """
    (leak,) = find_leakage({"b": _read(b), "a": _read(a)}, length)
    found = [(hit, True) for hit in leak.same] + [(hit, False) for hit in leak.sharing]
    if as_json:
        emit_json(
            {
                "a": str(a),
                "b": str(b),
                "unit": leak.unit,
                "length": leak.run_length,
                "documents": leak.sentences,
                "shared": [
                    {"a": hit.id, "b": hit.other_id, "run": hit.run, "same": same}
                    for hit, same in found
                ],
            }
        )
        return
    out = console()
    out.print(
        f"[bold]{len(leak.same)}[/] of {leak.sentences} texts of {escape(str(a))} stand in "
        f"{escape(str(b))} too; [bold]{len(leak.sharing)}[/] more share a run of "
        f"{leak.run_length} {leak.unit} or more with it.",
        soft_wrap=True,
    )
    if found:
        table = Table("A", "B", "", "shared", box=box.SIMPLE)
        for hit, same in found[:_SHOWN_OVERLAPS]:
            kind = "same" if same else "run"
            table.add_row(escape(hit.id), escape(hit.other_id), kind, escape(shown(hit.run)))
        out.print(table)
    if len(found) > _SHOWN_OVERLAPS:
        out.print(f"and {len(found) - _SHOWN_OVERLAPS} more (--json lists all)")


def _schema(task: Path | None) -> TaskSchema | None:
    return None if task is None else read_schema(task)


def _read(file: Path, schema: TaskSchema | None = None) -> list[Document]:
    """Read a file; what had to be put right is said on stderr, so that stdout stays JSON."""
    documents, repairs = read_with_repairs(file, schema)
    _print_repairs(console(stderr=True), repairs)
    return documents


def _print_report(out: Console, report: CheckReport, *, failed: bool) -> None:
    for problem in report.problems:
        out.print(_problem_line(report.path, problem), soft_wrap=True)
    _print_repairs(out, report.repairs)
    verdict = "[bold red]not usable[/]" if failed else "[bold green]fine[/]"
    out.print(
        f"{verdict} {escape(report.path)} ({report.format}): "
        f"{number_of(report.documents, 'document')}, "
        f"{number_of(report.entities, 'entity', 'entities')}, "
        f"{number_of(report.relations, 'relation')}; "
        f"{number_of(len(report.errors), 'error')}, {number_of(len(report.warnings), 'warning')}",
        soft_wrap=True,
    )


def _problem_line(path: str, problem: Problem) -> str:
    """A problem as compilers print it, so that editors can jump to it."""
    place = path if problem.line is None else f"{path}:{problem.line}"
    color = "red" if problem.severity == "error" else "yellow"
    return (
        f"{escape(place)}: [{color}]{problem.severity}[/] "
        f"[bold]{escape(problem.field)}[/]: {escape(problem.problem)}"
    )


def _print_repairs(out: Console, repairs: dict[str, int]) -> None:
    for kind, times in repairs.items():
        out.print(f"[yellow]put right[/] {escape(kind)}: {times} times")


def _sizes(files: Sequence[Path], found: Sequence[CorpusStats]) -> Table:
    table = Table("", *(escape(file.stem) for file in files), box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    rows = {
        "documents": [item.documents for item in found],
        "characters": [item.characters for item in found],
        "entities": [item.entities for item in found],
        "relations": [item.relations for item in found],
        "documents without relations": [item.without_relations for item in found],
        "repeated texts": [item.repeated_texts for item in found],
        "nested entity pairs": [item.nested_entities for item in found],
        "crossing entity pairs": [item.crossing_entities for item in found],
    }
    for rank in (50, 95, 100):
        label = "longest text" if rank == 100 else f"text length, {rank} %"  # noqa: PLR2004  the maximum
        rows[label] = [item.length_percentiles.get(rank, 0) for item in found]
    for label, values in rows.items():
        table.add_row(label, *(f"{value:,}" for value in values))
    for name in sorted({name for item in found for name in item.entity_counts}):
        table.add_row(
            f"  {escape(name)}", *(f"{item.entity_counts.get(name, 0):,}" for item in found)
        )
    return table


def _relation_types(files: Sequence[Path], found: Sequence[CorpusStats]) -> Table:
    """Relation types by the counts of the first file, with a bar for each."""
    counts = [{kind.name: kind.count for kind in item.relation_counts} for item in found]
    names = dict.fromkeys(name for of in counts for name in of)
    table = Table(box=box.SIMPLE)
    for header in ("relation", "bucket"):
        table.add_column(header, no_wrap=True)
    for file in files:
        table.add_column(escape(file.stem), justify="right", no_wrap=True)
    # The only column that gives way in a narrow terminal.
    table.add_column(f"in {escape(files[0].stem)}", max_width=_BAR_WIDTH)
    longest = max(counts[0].values(), default=0) or 1
    for name in names:
        count = counts[0].get(name, 0)
        bucket = frequency_bucket(count)
        # One eighth of a cell at least: a rare type is rare, not absent.
        end = max(count, longest / (_BAR_WIDTH * _EIGHTHS)) if count else 0
        table.add_row(
            escape(name),
            f"[{_COLORS[bucket]}]{bucket}[/]",
            *(f"{of.get(name, 0):,}" for of in counts),
            Bar(longest, 0, end, color=_COLORS[bucket]),
        )
    return table
