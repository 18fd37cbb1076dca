"""`slcolm annotate`: raw text annotated by an LLM, with origins and tiers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from slcolm_services.cli.annotate_work import Tally, combined_answer
from slcolm_services.cli.guide_work import opened_guidance
from slcolm_services.cli.options import (
    budget_options,
    existing_file,
    guidance_options,
    price_options,
)
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.preview import tell_preview
from slcolm_services.cli.progress import progress_bar
from slcolm_services.cli.selection import Examples
from slcolm_services.cli.settings import config_option, configure
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.files import check_writable
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.tiers import TIERS
from slcolm_services.errors import (
    DataInvalid,
    FieldViolation,
    InvalidInput,
    SlcolmError,
)
from slcolm_services.extraction.engine import Engine
from slcolm_services.extraction.reading import Reading
from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.core import Guidance
from slcolm_services.guidance.items import GuideItem
from slcolm_services.guidance.outcome import Guided, Outcome
from slcolm_services.guidance.usage import RunBudget

_STYLES = ("standard", "cot")
_SHOWN_FAILURES = 10


@dataclass(frozen=True, slots=True)
class _Request:
    """What every text is asked.

    Attributes:
        schema: The task.
        styles: Of prompts; each is asked `samples` times.
        samples: Answers to each prompt.
        entities_only: Whether no relations are asked for.
        timeout_seconds: Longest time for one answer to every text.
    """

    schema: TaskSchema
    styles: tuple[str, ...]
    samples: int
    entities_only: bool
    timeout_seconds: float

    @property
    def rounds(self) -> list[tuple[str, int]]:
        """Style and sample of each time that every text is asked about."""
        return [(style, sample) for style in self.styles for sample in range(self.samples)]


@click.command()
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option(
    "--input",
    "input_path",
    type=existing_file,
    required=True,
    help="Texts: native JSONL, whose annotations are not looked at.",
)
@click.option(
    "--prompt",
    "styles",
    type=click.Choice(_STYLES),
    multiple=True,
    default=("standard",),
    show_default=True,
    help="Ask for the result, or for four steps of reasoning before it (cot). Given twice, both "
    "are asked.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Answers to each prompt; what more than half of a text's answers have is kept.",
)
@click.option(
    "--demos",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Solved examples in each prompt: the most similar of --demonstrations.",
)
@click.option("--demonstrations", type=existing_file, help="Solved examples to choose from.")
@click.option("--entities-only", is_flag=True, help="Ask for no relations.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Model folder: a small model whose agreement counts for the tiers.",
)
@config_option
@guidance_options
@budget_options
@price_options
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Longest time for one answer to every text, in seconds.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Native JSONL with tiers and origins; appears whole or not at all.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing: tell how much would be sent.")
@click.option("--show", metavar="ID", help="With --dry-run: show the messages for this text.")
@json_option
def annotate(
    *,
    task: Path,
    input_path: Path,
    styles: tuple[str, ...],
    samples: int,
    demos: int,
    demonstrations: Path | None,
    entities_only: bool,
    model: Path | None,
    config_path: Path | None,
    max_calls: int,
    max_tokens: int,
    max_cost: float,
    timeout_seconds: float,
    out: Path | None,
    dry_run: bool,
    show: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Annotate raw text with an LLM, for `slcolm train --silver`.

    Mentions are found in the text and repaired where that is certain; what cannot be placed is
    dropped and counted. Tier A: all answers agree, in the words of the text, and a second answer or
    the small model bears them out; B: in the words of the text; C: in other words. Paid answers are
    kept in the ledger: an interrupted command is gone on with by giving it again. Where some texts
    have no answer, the others are written all the same and the exit status is 1.

    \b
    Examples:
      slcolm annotate --task task.yaml --input raw.jsonl --guide openai --llm-model NAME \\
        --prompt-price 0.27 --completion-price 1.10 --dry-run
      slcolm annotate --task task.yaml --input raw.jsonl --guide openai --llm-model NAME \\
        --demos 4 --demonstrations train.jsonl --max-cost 5 --out annotated.jsonl
      slcolm annotate --task task.yaml --input raw.jsonl --guide openai --llm-model NAME \\
        --prompt standard --prompt cot --model model/ --out annotated.jsonl
    """
    if bool(demos) != (demonstrations is not None):
        problem = "--demos and --demonstrations go together"
        raise InvalidInput(problem, violations=[FieldViolation("--demos", problem)])
    if not dry_run and (show or out is None):
        raise click.UsageError("--show goes with --dry-run" if show else "give --out, or --dry-run")
    started = time.monotonic()
    schema = read_schema(task)
    documents = [document.without_annotations() for document in read_documents(input_path)]
    items = [GuideItem(document) for document in documents]
    if demonstrations:
        examples = Examples(read_any(demonstrations, schema), schema)
        items = [examples.item(document, demos) for document in documents]
    config = configure(config_path, **options).guidance
    request = _Request(
        schema, tuple(dict.fromkeys(styles)), samples, entities_only, timeout_seconds
    )
    if out is None or dry_run:
        asyncio.run(_preview(config, items, request, show, as_json=as_json))
        return
    check_writable(out)
    budget = RunBudget(max_calls, max_tokens, max_cost)

    async def ask() -> dict[str, list[tuple[str, Outcome]]]:
        async with opened_guidance(config) as guidance:
            return await _ask(guidance, items, request, budget)

    answers = asyncio.run(ask())
    predictions = _predict(model, documents) if model else {}
    tally = Tally()
    annotated, origins = [], {}
    for document in documents:
        found = combined_answer(document, answers[document.id], predictions.get(document.id), tally)
        if found is not None:
            annotated.append(found)
            origins[found.id] = _origin(answers[found.id], request)
    if not annotated:
        raise next(iter(tally.failures.values()), DataInvalid("no answer could be read"))
    write_documents(out, annotated, origins)
    offline = any(
        isinstance(outcome, Guided) and outcome.provider.offline_rules
        for found in answers.values()
        for _, outcome in found
    )
    _report(annotated, tally, out, time.monotonic() - started, offline=offline, as_json=as_json)
    if tally.failures:
        click.get_current_context().exit(1)


async def _preview(
    config: GuidanceConfig,
    items: Sequence[GuideItem],
    request: _Request,
    show: str | None,
    *,
    as_json: bool,
) -> None:
    """Tell what would be sent."""
    async with opened_guidance(config) as guidance:
        rounds = [
            await guidance.render_annotate(
                items,
                request.schema,
                style=style,
                entities_only=request.entities_only,
                sample=sample,
            )
            for style, sample in request.rounds
        ]
        names = [item.prediction.id for item in items]
        tell_preview(guidance.provider(), names, rounds, show=show, as_json=as_json)


async def _ask(
    guidance: Guidance, items: Sequence[GuideItem], request: _Request, budget: RunBudget
) -> dict[str, list[tuple[str, Outcome]]]:
    """Every answer to every text, by its id, with the style of its prompt."""
    answers: dict[str, list[tuple[str, Outcome]]] = defaultdict(list)
    # A name of its own: the budget is for what this command spends.
    run_id = f"annotate-{secrets.token_hex(6)}"
    with progress_bar("annotating", len(items) * len(request.rounds)) as advance:
        for style, sample in request.rounds:
            outcomes = await guidance.annotate(
                items,
                request.schema,
                timeout_seconds=request.timeout_seconds,
                style=style,
                entities_only=request.entities_only,
                sample=sample,
                run_id=run_id,
                budget=budget,
                on_done=lambda: advance(1),
            )
            for item, outcome in zip(items, outcomes, strict=True):
                answers[item.prediction.id].append((style, outcome))
    return answers


def _predict(model: Path, documents: Sequence[Document]) -> dict[str, Document]:
    """What a small model finds, by id; texts that it cannot read are left out."""
    engine = Engine.load(model)
    outputs = Reading.of(engine, documents).run(engine)
    return {
        document.id: output.document
        for document, output in zip(documents, outputs, strict=True)
        if not isinstance(output, SlcolmError)
    }


def _origin(answers: Sequence[tuple[str, Outcome]], request: _Request) -> dict[str, Any]:
    """Where the annotation of a text comes from, as its line says it."""
    guided = [(style, one) for style, one in answers if isinstance(one, Guided)]
    return {
        "provider": guided[0][1].provider.name,
        "model": guided[0][1].model,
        "offline_rules": guided[0][1].provider.offline_rules,
        "answers": len(guided),
        "asked": len(request.styles) * request.samples,
        "prompts": [{"style": style, "digest": one.prompt_digest} for style, one in guided],
    }


def _report(
    annotated: Sequence[Document],
    tally: Tally,
    out: Path,
    seconds: float,
    *,
    offline: bool,
    as_json: bool,
) -> None:
    entities = sum(len(document.entities) for document in annotated)
    relations = sum(len(document.relations) for document in annotated)
    dropped = {reason: count for reason, count in sorted(tally.dropped.items()) if count}
    if as_json:
        emit_json(
            {
                "output": str(out),
                "documents": len(annotated),
                "entities": entities,
                "relations": relations,
                "tiers": {tier: tally.kept[tier] for tier in TIERS},
                "dropped": dropped,
                "repairs": dict(sorted(tally.repairs.items())),
                "unusable_answers": tally.unusable,
                "paid_calls": tally.paid,
                "offline_rules": offline,
                "failures": {name: error.reason for name, error in tally.failures.items()},
                "seconds": round(seconds, 3),
            }
        )
        return
    lines = console()
    lines.print(
        f"{number_of(len(annotated), 'text')}, {number_of(entities, 'entity', 'entities')}, "
        f"{number_of(relations, 'relation')} ({_listed(tally.kept)}) -> {escape(str(out))} "
        f"({number_of(tally.paid, 'call')} paid for now, {seconds:.1f} s)",
        soft_wrap=True,
    )
    lines.print(f"dropped: {_listed(dropped)}", soft_wrap=True)
    lines.print(f"repaired: {_listed(tally.repairs)}", soft_wrap=True)
    if offline:
        lines.print("written by offline rules: no language model was asked")
    stderr = console(stderr=True)
    if tally.failures:
        stderr.print(f"[bold yellow]without an annotation[/]: {len(tally.failures)}")
    for name, error in list(tally.failures.items())[:_SHOWN_FAILURES]:
        stderr.print(f"  {escape(name)}: {escape(error.message)} ({error.reason})")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts) if counts[name]) or "none"
