"""`slcolm label`: raw text annotated by several small models, to train another one on."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.markup import escape

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.progress import progress_bar
from slcolm_services.corpus.agreement import agreed
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.files import check_writable
from slcolm_services.corpus.jsonl import write_documents
from slcolm_services.corpus.windows import windows
from slcolm_services.errors import ConfigInvalid, DataInvalid, FieldViolation, SlcolmError
from slcolm_services.extraction.engine import Engine
from slcolm_services.extraction.reading import Reading
from slcolm_services.training.pretraining.text import passages

_SHORTEST = 10
"""Characters below which a sentence says too little."""


@click.command()
@click.option(
    "--model",
    "model_paths",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="Model folder; repeat it for models of other seeds, whose majority counts.",
)
@click.option(
    "--input",
    "input_paths",
    type=existing_file,
    required=True,
    multiple=True,
    help="Raw text, UTF-8, a passage a line; .zst is decompressed; may be repeated.",
)
@click.option(
    "--out",
    "output_path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Native JSONL with probabilities; appears whole or not at all.",
)
@click.option(
    "--sentences",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Most sentences, drawn at random.",
)
@click.option(
    "--longest",
    type=click.IntRange(min=_SHORTEST),
    default=80,
    show_default=True,
    help="Characters of a sentence; longer passages are cut where sentences end.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
@json_option
def label(
    *,
    model_paths: tuple[Path, ...],
    input_paths: tuple[Path, ...],
    output_path: Path,
    sentences: int,
    longest: int,
    seed: int,
    as_json: bool,
) -> None:
    """Annotate raw text with small models, for `slcolm train --silver`.

    What more than half of the models find in a sentence is kept; sentences without an entity are
    left out. Models of one task that differ in nothing but their seed are what it is meant for.

    \b
    Example:
      slcolm label --model m0/ --model m1/ --model m2/ --input raw.txt --out silver.jsonl
    """
    started = time.monotonic()
    check_writable(output_path)
    texts = _draw(input_paths, sentences, longest, random.Random(seed))
    annotations = _annotate(model_paths, texts)
    silver = [document for document in map(agreed, annotations) if document.entities]
    if not silver:
        raise DataInvalid("the models agree on no entity in any sentence; nothing was written")
    write_documents(output_path, silver)
    _report(silver, len(texts), output_path, time.monotonic() - started, as_json=as_json)


def _draw(paths: Sequence[Path], count: int, longest: int, rng: random.Random) -> list[Document]:
    """Up to `count` sentences, each as likely as any other (Vitter 1985, algorithm R)."""
    drawn: list[Document] = []
    for number, text in enumerate(_sentences(paths, longest)):
        place = number if number < count else rng.randrange(number + 1)
        if place < count:
            drawn[place : place + 1] = [Document(f"silver-{number}", text)]
    if not drawn:
        raise DataInvalid(
            "the input holds no sentence",
            violations=[FieldViolation("input", f"no line has {_SHORTEST} characters")],
        )
    return drawn


def _sentences(paths: Sequence[Path], longest: int) -> Iterator[str]:
    for passage in passages(paths):
        for window in windows(passage, longest, 0):
            text = passage[window.start : window.end].strip()
            if len(text) >= _SHORTEST:
                yield text


def _annotate(model_paths: Sequence[Path], texts: Sequence[Document]) -> list[list[Document]]:
    """The annotations of each text, one a model."""
    found: list[list[Document]] = [[] for _ in texts]
    types: set[tuple[str, ...]] = set()
    with progress_bar("annotating", len(texts) * len(model_paths)) as advance:
        for path in model_paths:
            engine = Engine.load(path)
            types.add(engine.manifest.entity_types + engine.manifest.relation_types)
            if len(types) > 1:
                raise ConfigInvalid(
                    "the models know different types",
                    violations=[FieldViolation("model", f"{path} differs from those before it")],
                )
            outputs = Reading.of(engine, texts).run(engine, advance)
            for place, output in zip(found, outputs, strict=True):
                if isinstance(output, SlcolmError):
                    raise output
                place.append(output.document)
    return found


def _report(
    silver: Sequence[Document], drawn: int, output: Path, seconds: float, *, as_json: bool
) -> None:
    entities = sum(len(document.entities) for document in silver)
    relations = Counter(relation.type for document in silver for relation in document.relations)
    if as_json:
        emit_json(
            {
                "output": str(output),
                "drawn": drawn,
                "documents": len(silver),
                "entities": entities,
                "relations": dict(relations.most_common()),
                "seconds": round(seconds, 3),
            }
        )
        return
    console().print(
        f"{number_of(len(silver), 'sentence')} of {drawn}, "
        f"{number_of(entities, 'entity', 'entities')}, "
        f"{number_of(relations.total(), 'relation')} of {number_of(len(relations), 'type')} "
        f"-> {escape(str(output))} ({seconds:.1f} s)",
        soft_wrap=True,
    )
