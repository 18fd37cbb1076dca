"""`slcolm guide`: have the predictions of a file revised by an LLM, or see what that would take."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.markup import escape

from slcolm_services.cli.guide_work import opened_guidance
from slcolm_services.cli.guided_json import as_line, recording_json
from slcolm_services.cli.options import (
    budget_options,
    existing_file,
    guidance_options,
    omit_option,
    price_options,
)
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.preview import tell_preview
from slcolm_services.cli.progress import progress_bar
from slcolm_services.cli.selection import Examples
from slcolm_services.cli.settings import config_option, configure
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.files import check_writable, replacing
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.errors import DataInvalid, FieldViolation, InvalidInput, SlcolmError
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.items import GuideItem, PromptOptions
from slcolm_services.guidance.outcome import Outcome
from slcolm_services.guidance.usage import RunBudget

_CommandT = TypeVar("_CommandT", bound=Callable[..., Any])
_T = TypeVar("_T")

_SHOWN_FAILURES = 10


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done."""

    items: list[GuideItem]
    schema: TaskSchema
    options: PromptOptions
    samples: int


def _prompt_options(command: _CommandT) -> _CommandT:
    """Add the options that say how prompts are made."""
    for option in reversed(
        (
            click.option(
                "--demonstrations",
                type=existing_file,
                help="Solved examples (native JSONL): the most similar are shown, and candidate "
                "relation types are taken from them.",
            ),
            click.option(
                "--shots",
                type=click.IntRange(min=0),
                default=2,
                show_default=True,
                help="Demonstrations in each prompt.",
            ),
            click.option("--template", default="", help="Template, for example guide.zh.v1."),
            omit_option,
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("file", type=existing_file)
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@config_option
@guidance_options
@_prompt_options
@budget_options
@price_options
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Answers to each text; those after the first are sampled anew.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Longest time for one sample of all texts, in seconds.",
)
@click.option(
    "--gold",
    type=existing_file,
    help="What is true of the texts (native JSONL, by id): recorded beside the answers, so that "
    "`slcolm policy fit` can learn from them.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Recordings, an answer a line, for `slcolm policy`; appears whole or not at all.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing: tell how much would be sent.")
@click.option("--show", metavar="ID", help="With --dry-run: show the messages for this text.")
@json_option
def guide(
    file: Path,
    task: Path,
    *,
    demonstrations: Path | None,
    shots: int,
    template: str,
    omit: tuple[str, ...],
    max_calls: int,
    max_tokens: int,
    max_cost: float,
    config_path: Path | None,
    samples: int,
    timeout_seconds: float,
    gold: Path | None,
    out: Path | None,
    show: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Have the predictions of FILE (native JSONL) revised by an LLM.

    Paid answers are kept in the ledger of $SLCOLM_HOME or ~/.slcolm and not paid for again: a
    command that was interrupted is gone on with by giving it again. Where some texts have no
    answer, the others are written all the same and the exit status is 1.

    \b
    Examples:
      slcolm guide predictions.jsonl --task task.yaml --demonstrations train.jsonl \\
        --guide openai --llm-model NAME --dry-run --show s17
      slcolm guide predictions.jsonl --task task.yaml --demonstrations train.jsonl \\
        --guide openai --llm-model NAME --max-tokens 2000000 --out answers.jsonl
      slcolm guide predictions.jsonl --task task.yaml --config slcolm.toml --guide deepseek \\
        --out answers.jsonl
      slcolm guide dev_predictions.jsonl --task task.yaml --gold dev.jsonl --guide openai \\
        --llm-model NAME --out dev_answers.jsonl
    """
    if show and not dry_run:
        raise _wrong("--show", "goes with --dry-run")
    if not (dry_run or out or as_json):
        raise _wrong("--out", "is needed, or --json, or --dry-run")
    schema = read_schema(task)
    documents = read_documents(file, schema)
    true = _gold_of(documents, gold, schema) if gold else {}
    items = [GuideItem(document) for document in documents]
    if demonstrations:
        examples = Examples(read_documents(demonstrations, schema), schema)
        items = [examples.item(document, shots) for document in documents]
    how = PromptOptions(
        template=template,
        omit_definitions="definitions" in omit,
        omit_demonstrations="demonstrations" in omit,
        omit_prediction="prediction" in omit,
    )
    config = configure(config_path, **options).guidance
    if out and not dry_run:
        check_writable(out)
    work = _Work(items, schema, how, samples)
    if dry_run:
        asyncio.run(_opened(config, lambda it: _preview(it, work, show, as_json=as_json)))
        return
    budget = RunBudget(max_calls, max_tokens, max_cost)
    answers = asyncio.run(_opened(config, lambda it: _guide(it, work, budget, timeout_seconds)))
    if _deliver(answers, true, out, as_json=as_json):
        click.get_current_context().exit(1)


def _gold_of(documents: Sequence[Document], path: Path, schema: TaskSchema) -> dict[str, Document]:
    """What is true of each text.

    Raises:
        DataInvalid: The file cannot be read, or has another text or none for an id.
    """
    gold = {document.id: document for document in read_documents(path, schema)}
    violations = []
    for document in documents:
        true = gold.get(document.id)
        if true is None:
            violations.append(FieldViolation(f"--gold {document.id}", "is missing"))
        elif true.text != document.text:
            violations.append(FieldViolation(f"--gold {document.id}", "has another text"))
    if violations:
        wrong = number_of(len(violations), "text")
        raise DataInvalid(
            f"{path} does not tell what is true of {wrong}", violations=violations[:_SHOWN_FAILURES]
        )
    return gold


async def _opened(config: GuidanceConfig, do: Callable[[Guidance], Awaitable[_T]]) -> _T:
    async with opened_guidance(config) as guidance:
        return await do(guidance)


async def _guide(
    guidance: Guidance, work: _Work, budget: RunBudget, timeout_seconds: float
) -> list[tuple[int, GuideItem, Outcome]]:
    """Every sample of every text."""
    answers = []
    # A name of its own: the budget is for what this command spends.
    run_id = f"guide-{secrets.token_hex(6)}"
    with progress_bar("guiding", len(work.items) * work.samples) as advance:
        for sample in range(work.samples):
            outcomes = await guidance.guide(
                work.items,
                work.schema,
                timeout_seconds=timeout_seconds,
                options=work.options,
                sample=sample,
                run_id=run_id,
                budget=budget,
                on_done=lambda: advance(1),
            )
            answers += [
                (sample, item, outcome) for item, outcome in zip(work.items, outcomes, strict=True)
            ]
    return answers


def _deliver(
    answers: Sequence[tuple[int, GuideItem, Outcome]],
    gold: Mapping[str, Document],
    out: Path | None,
    *,
    as_json: bool,
) -> bool:
    """Write the answers and tell how it went.

    Returns:
        Whether answers are missing.

    Raises:
        SlcolmError: No text was answered: the first error.
    """
    failures = [
        (item.prediction.id, outcome)
        for _, item, outcome in answers
        if isinstance(outcome, SlcolmError)
    ]
    if failures and len(failures) == len(answers):
        raise failures[0][1]
    lines = [
        recording_json(item.prediction, sample, outcome, gold.get(item.prediction.id))
        for sample, item, outcome in answers
    ]
    if out:
        with replacing(out) as file:
            file.writelines(map(as_line, lines))
    if as_json:
        emit_json({"items": lines})
    else:
        _print_summary(answers, failures, out)
    return bool(failures)


def _print_summary(
    answers: Sequence[tuple[int, GuideItem, Outcome]],
    failures: Sequence[tuple[str, SlcolmError]],
    out: Path | None,
) -> None:
    done = [outcome for _, _, outcome in answers if not isinstance(outcome, SlcolmError)]
    changes = Counter(revision.kind.value for outcome in done for revision in outcome.revisions)
    told = ", ".join(f"{count} {kind}" for kind, count in changes.most_common()) or "no triples"
    spent = sum((outcome.usage.calls for outcome in done), 0)
    unusable = sum(not outcome.parsed.usable for outcome in done)
    console().print(
        f"{number_of(len(done), 'answer')} ({spent} paid for now, {unusable} unusable): {told}"
        f" -> {escape(str(out))}"
    )
    if any(outcome.provider.offline_rules for outcome in done):
        console().print("written by offline rules: no language model was asked")
    if failures:
        stderr = console(stderr=True)
        stderr.print(f"[bold yellow]without an answer[/]: {len(failures)} of {len(answers)}")
        for name, error in failures[:_SHOWN_FAILURES]:
            stderr.print(f"  {escape(name)}: {escape(error.message)} ({error.reason})")
        if len(failures) > _SHOWN_FAILURES:
            stderr.print(f"  and {len(failures) - _SHOWN_FAILURES} more (--json lists all)")


async def _preview(guidance: Guidance, work: _Work, show: str | None, *, as_json: bool) -> None:
    """Tell what would be sent."""
    rounds = [
        await guidance.render(work.items, work.schema, "", work.options, sample=sample)
        for sample in range(work.samples)
    ]
    names = [item.prediction.id for item in work.items]
    tell_preview(guidance.provider(), names, rounds, show=show, as_json=as_json)


def _wrong(option: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{option} {problem}", violations=[FieldViolation(option, problem)])
