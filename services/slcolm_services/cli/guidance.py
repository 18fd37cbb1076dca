"""`slcolm guidance`: look at prompts, have single files guided, and read LLM answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.options import (
    default_home,
    existing_file,
    guidance_options,
    guidance_settings,
)
from slcolm_services.cli.output import console, describe, emit_json, json_option
from slcolm_services.corpus.documents import Document, Triple
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.recordings import Recording, read_recordings
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.embedded import ledger_url
from slcolm_services.errors import NotFound, SlcolmError
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Outcome
from slcolm_services.guidance.items import Demonstration, GuideItem, PromptOptions
from slcolm_services.guidance.parse import ParsedAnswer, parse_answer
from slcolm_services.guidance.prompt import Window, build_guide
from slcolm_services.guidance.service import build_guidance
from slcolm_services.runtime.database import make_folder_of

_task_option = click.option("--task", type=existing_file, required=True, help="Task schema.")


@click.group()
def guidance() -> None:
    """Look at prompts, and read LLM answers.

    \b
    Example:
      slcolm guidance parse recording.jsonl --task task.yaml
    """


@guidance.command()
@click.argument("file", type=existing_file)
@_task_option
@json_option
def parse(file: Path, task: Path, *, as_json: bool) -> None:
    """Read the LLM answer (`llm_raw`) of every line of FILE.

    \b
    Example:
      slcolm guidance parse recording.jsonl --task task.yaml --json
    """
    schema = read_schema(task)
    recordings = read_recordings(file)
    answers = [parse_answer(line.llm_raw, line.text, schema) for line in recordings]
    if as_json:
        emit_json({"items": [_item(*pair) for pair in zip(recordings, answers, strict=True)]})
    else:
        _print_summary(answers)


@guidance.command()
@click.argument("file", type=existing_file)
@_task_option
@click.option(
    "--demonstrations", type=existing_file, help="Solved examples, shown in every prompt."
)
@click.option("--id", "name", help="Only the text of this id; the first one otherwise.")
@click.option("--template", default="", help="Template, for example guide.zh.v1.")
@json_option
def prompt(
    file: Path,
    task: Path,
    demonstrations: Path | None,
    name: str | None,
    template: str,
    *,
    as_json: bool,
) -> None:
    """Show the prompt for a text of FILE (native JSONL, with what the small model found).

    \b
    Example:
      slcolm guidance prompt predictions.jsonl --task task.yaml --id s17
    """
    schema = read_schema(task)
    documents = read_documents(file, schema)
    found = [document for document in documents if name in (None, document.id)]
    if not found:
        raise NotFound(f"there is no text {name!r} in {file}", metadata={"id": name or ""})
    examples = read_documents(demonstrations, schema) if demonstrations else []
    config = GuidanceConfig()
    made = build_guide(
        GuideItem(found[0], tuple(Demonstration(gold) for gold in examples)),
        schema,
        PromptOptions(template=template),
        Window(config.context_tokens, config.max_answer_tokens),
    )
    if as_json:
        messages = [{"role": item.role, "content": item.content} for item in made.messages]
        emit_json({"id": found[0].id, "messages": messages, "shortened": list(made.shortened)})
        return
    for message in made.messages:
        click.echo(f"[{message.role}]")
        click.echo(message.content)
    for part in made.shortened:
        click.echo(f"left out to fit: {part}", err=True)


@guidance.command()
@click.argument("file", type=existing_file)
@_task_option
@guidance_options
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Longest time for all texts together, in seconds.",
)
@json_option
def guide(file: Path, task: Path, *, timeout_seconds: float, as_json: bool, **options: Any) -> None:
    """Have the predictions of FILE (native JSONL) revised.

    Paid answers are kept in the ledger of $SLCOLM_HOME or ~/.slcolm, and not paid for again.

    \b
    Example:
      slcolm guidance guide predictions.jsonl --task task.yaml --guide openai \\
        --llm-model NAME --json
    """
    schema = read_schema(task)
    documents = read_documents(file, schema)
    settings = guidance_settings(**options)
    settings["recordings"] = tuple(settings.get("recordings", ()))
    settings["ledger_url"] = "sqlite://"
    if settings["provider"] == "openai":
        settings["ledger_url"] = ledger_url(default_home())
        make_folder_of(settings["ledger_url"])
    outcomes = asyncio.run(_guide(GuidanceConfig(**settings), documents, schema, timeout_seconds))
    if as_json:
        items = zip(documents, outcomes, strict=True)
        emit_json({"items": [{"id": text.id, **_outcome(outcome)} for text, outcome in items]})
    else:
        _print_outcomes(documents, outcomes)


async def _guide(
    config: GuidanceConfig, documents: list[Document], schema: TaskSchema, timeout_seconds: float
) -> list[Outcome]:
    work = build_guidance(config)
    await work.open()
    try:
        items = [GuideItem(document) for document in documents]
        return await work.guide(items, schema, timeout_seconds=timeout_seconds)
    finally:
        await work.close()


def _outcome(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, SlcolmError):
        return describe(outcome)
    return {
        **_answer(outcome.parsed),
        "explanation": outcome.parsed.explanation,
        "model": outcome.model,
        "prompt_digest": outcome.prompt_digest,
        "offline_rules": outcome.provider.offline_rules,
    }


def _print_outcomes(documents: list[Document], outcomes: list[Outcome]) -> None:
    table = Table("text", "triples", "why", box=box.SIMPLE_HEAD)
    for document, outcome in zip(documents, outcomes, strict=True):
        if isinstance(outcome, SlcolmError):
            table.add_row(escape(document.id), "", f"[red]{escape(outcome.message)}[/]")
            continue
        triples = [f"{item.head} {item.type} {item.tail}" for item in outcome.parsed.triples]
        table.add_row(
            escape(document.id), escape("\n".join(triples)), escape(outcome.parsed.explanation)
        )
    console().print(table)


def _item(recording: Recording, answer: ParsedAnswer) -> dict[str, Any]:
    return {"id": recording.id, "occurrence": recording.occurrence, **_answer(answer)}


def _answer(answer: ParsedAnswer) -> dict[str, Any]:
    return {
        "triples": [_triple(triple) for triple in answer.triples],
        "usable": answer.usable,
        "dropped": dict(answer.dropped),
        "repairs": dict(answer.repairs),
        "unknown_types": dict(answer.unknown_types),
    }


def _triple(triple: Triple) -> dict[str, str]:
    return {"head": triple.head, "tail": triple.tail, "type": triple.type}


def _print_summary(answers: list[ParsedAnswer]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_row("answers", str(len(answers)))
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
