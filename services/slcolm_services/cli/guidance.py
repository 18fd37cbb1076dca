"""`slcolm guidance`: read LLM answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.answers import recordings_of
from slcolm_services.cli.guided_json import parsed_json
from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.guidance.parse import ParsedAnswer, parse_answer


@click.group()
def guidance() -> None:
    """Read LLM answers. To have texts guided, see `slcolm guide`.

    \b
    Example:
      slcolm guidance parse recording.jsonl --task task.yaml
    """


@guidance.command()
@click.argument("file", type=existing_file)
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@json_option
def parse(file: Path, task: Path, *, as_json: bool) -> None:
    """Read the LLM answer (`llm_raw`) of every line of FILE.

    \b
    Example:
      slcolm guidance parse recording.jsonl --task task.yaml --json
    """
    schema = read_schema(task)
    recordings = recordings_of(file)
    answers = [
        None if line.llm_raw is None else parse_answer(line.llm_raw, line.text, schema)
        for line in recordings
    ]
    if as_json:
        pairs = zip(recordings, answers, strict=True)
        items = [
            {"id": line.id, "occurrence": line.occurrence}
            | ({"answered": False} if answer is None else parsed_json(answer))
            for line, answer in pairs
        ]
        emit_json({"items": items})
        return
    given = [answer for answer in answers if answer is not None]
    _print_summary(given, unanswered=len(answers) - len(given))


def _print_summary(answers: list[ParsedAnswer], unanswered: int) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_row("answers", str(len(answers)))
    if unanswered:
        table.add_row("without an answer", str(unanswered))
    table.add_row("usable", str(sum(answer.usable for answer in answers)))
    table.add_row("triples", str(sum(len(answer.triples) for answer in answers)))
    for heading, counts in (
        ("repaired", sum((answer.repairs for answer in answers), Counter[str]())),
        ("dropped", sum((answer.dropped for answer in answers), Counter[str]())),
        ("unknown type", sum((answer.unknown_types for answer in answers), Counter[str]())),
    ):
        for name, count in counts.most_common():
            table.add_row(f"{heading}: {escape(name)}", str(count))
    console().print(table)
