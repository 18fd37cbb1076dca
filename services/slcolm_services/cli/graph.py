"""`slcolm graph`: predictions as a knowledge graph for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.corpus.predictions import Prediction, read_predictions
from slcolm_services.corpus.records import MAX_VIOLATIONS
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.knowledge.graph import KnowledgeGraph, graph_of

_file = click.Path(path_type=Path)


@click.command()
@click.argument("files", type=_file, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["neo4j", "turtle", "graphml"]),
    required=True,
    help="neo4j: CSV for neo4j-admin; turtle: RDF with lineage; graphml: networkx, Gephi, yEd.",
)
@click.option(
    "--out", type=_file, required=True, help="File to write; a folder of two files for neo4j."
)
@click.option(
    "--base-iri",
    metavar="IRI",
    show_default="urn:slcolm:data:",
    help="What IRIs of turtle begin with; ends in /, # or a colon.",
)
@json_option
def graph(
    files: tuple[Path, ...], kind: str, out: Path, base_iri: str | None, *, as_json: bool
) -> None:
    """Write the entities and relations of every FILE as one knowledge graph.

    FILE is native JSONL, gold or predicted, or merged.jsonl with its lineage. Nodes are mentions
    by text and type; each relation of each document is an edge, with probability and sources.

    \b
    Examples:
      slcolm graph out/merged.jsonl --format neo4j --out graph/
      slcolm graph found.jsonl --format turtle --out graph.ttl --base-iri https://my.org/annals/
    """
    if base_iri is not None and kind != "turtle":
        raise click.UsageError(f"--base-iri is for turtle; {kind} has no IRIs")
    made = graph_of(_read(files))
    _write(made, kind, out, base_iri)
    if as_json:
        emit_json(
            {
                "out": str(out),
                "format": kind,
                "documents": len(made.sources),
                "nodes": len(made.nodes),
                "edges": len(made.edges),
            }
        )
        return
    console().print(
        f"{number_of(len(made.sources), 'document')}: {number_of(len(made.nodes), 'node')}, "
        f"{number_of(len(made.edges), 'edge')} -> {escape(str(out))}",
        soft_wrap=True,
    )


def _read(files: Sequence[Path]) -> list[Prediction]:
    """The predictions of all files.

    Raises:
        DataInvalid: A file cannot be read, or an id stands in two of them.
    """
    found: list[Prediction] = []
    places: dict[str, Path] = {}
    repeated = []
    for file in files:
        for prediction in read_predictions(file):
            if prediction.id in places:
                problem = f"{prediction.id!r} stands in {places[prediction.id]} and in {file}"
                repeated.append(FieldViolation("id", problem))
            places[prediction.id] = file
            found.append(prediction)
    if repeated:
        raise DataInvalid(
            "a document can be part of a graph once", violations=repeated[:MAX_VIOLATIONS]
        )
    return found


def _write(made: KnowledgeGraph, kind: str, out: Path, base_iri: str | None) -> None:
    # Each needs a library of its own, or none.
    if kind == "neo4j":
        from slcolm_services.knowledge.neo4j import write_neo4j  # noqa: PLC0415

        write_neo4j(out, made)
    elif kind == "turtle":
        from slcolm_services.knowledge.turtle import DEFAULT_BASE, write_turtle  # noqa: PLC0415

        write_turtle(out, made, DEFAULT_BASE if base_iri is None else base_iri)
    else:
        from slcolm_services.knowledge.graphml import write_graphml  # noqa: PLC0415

        write_graphml(out, made)
