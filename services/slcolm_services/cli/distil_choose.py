"""`slcolm distil choose`: which raw texts an LLM should annotate next."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.predictions import predictions
from slcolm_services.cli.selection import Examples
from slcolm_services.coordinator.routing import Outlook, expected_gain, route
from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.files import check_writable
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.jsonl import read_documents, write_documents
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.guidance.items import GuideItem


@click.command()
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option(
    "--train",
    type=existing_file,
    required=True,
    help="Training data: which types are rare, and what speaks for them.",
)
@click.option(
    "--model", type=click.Path(path_type=Path), required=True, help="Model folder: what it doubts."
)
@click.option(
    "--input", "input_path", type=existing_file, required=True, help="Raw texts (native JSONL)."
)
@click.option("--count", type=click.IntRange(min=1), required=True, help="Texts to choose.")
@click.option(
    "--by",
    type=click.Choice(("gain", "random")),
    default="gain",
    show_default=True,
    help="By expected gain: doubt, entities without a relation, and signs of rare types that the "
    "model does not find; or at random, to compare with.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of a random choice."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Chosen texts, the best first; appears whole or not at all.",
)
@json_option
def choose(
    *,
    task: Path,
    train: Path,
    model: Path,
    input_path: Path,
    count: int,
    by: str,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Choose the raw texts from whose annotation a small model will learn most.

    \b
    Example:
      slcolm distil choose --task task.yaml --train train.jsonl --model model/ \\
        --input raw.jsonl --count 500 --out next.jsonl
    """
    schema = read_schema(task)
    check_writable(out)
    texts = [document.without_annotations() for document in read_documents(input_path)]
    if by == "random":
        order = random.Random(seed).sample(range(len(texts)), len(texts))
        gains: Sequence[float | None] = [None] * len(texts)
    else:
        known = read_any(train, schema)
        examples = Examples(known, schema)
        counts = training_counts(known, schema)
        outlooks = [_outlook(examples.item(found, 0)) for found in predictions(model, texts)]
        order = route(outlooks, counts)
        gains = [expected_gain(outlook, counts) for outlook in outlooks]
    chosen = order[:count]
    write_documents(out, [texts[place] for place in chosen])
    if as_json:
        emit_json(
            {
                "output": str(out),
                "by": by,
                "texts": [{"id": texts[place].id, "gain": gains[place]} for place in chosen],
            }
        )
        return
    console().print(
        f"{number_of(len(chosen), 'text')} of {len(texts)}, by {by} -> {escape(str(out))}",
        soft_wrap=True,
    )


def _outlook(item: GuideItem) -> Outlook:
    document = item.prediction
    wordings = [document.mention(index) for index in range(len(document.entities))]
    return Outlook.of(
        wordings,
        [
            Triple(wordings[one.head], wordings[one.tail], one.type, one.prob)
            for one in document.relations
        ],
        {candidate.type: candidate.score for candidate in item.candidates},
    )
