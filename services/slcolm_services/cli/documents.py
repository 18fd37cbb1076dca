"""`slcolm documents`: the things and facts of each document, each once, with their evidence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from slcolm_services.batch import manifest as manifests
from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.progress import progress_bar
from slcolm_services.corpus.files import check_writable, replacing
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.errors import PreconditionFailed
from slcolm_services.knowledge.document_lines import format_document
from slcolm_services.knowledge.document_rows import Grouping, read_documents
from slcolm_services.knowledge.things import merge


@click.command()
@click.argument("files", type=existing_file, nargs=-1, required=True, metavar="FILE...")
@click.option("--out", type=existing_file, required=True, help="File to write, a document a line.")
@click.option(
    "--group-by",
    "field",
    metavar="FIELD",
    help="Field of a row that names its document; origin.file is the field file in origin.  "
    "[default: each row is a document]",
)
@click.option(
    "--group-pattern",
    "pattern",
    metavar="REGEX",
    help=r"What the whole of FIELD looks like; its first group is the document: '(.+)-\d+'.",
)
@click.option(
    "--task",
    type=existing_file,
    help="Task schema: says which relation types are symmetric; others than its own are refused.",
)
@click.option(
    "--apart",
    multiple=True,
    metavar="WORDING",
    help="A wording that is no name: each mention is a thing of its own; may be repeated.",
)
@json_option
def documents(
    *,
    files: tuple[Path, ...],
    out: Path,
    field: str | None,
    pattern: str | None,
    task: Path | None,
    apart: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write what each document names and says: things and facts, each once, with evidence.

    FILE is native JSONL, gold or predicted, merged.jsonl, or an output folder of slcolm batch.
    Mentions of one type and one name are one thing. Rows of a document stand together.

    \b
    Examples:
      slcolm documents found/ --out documents.jsonl
      slcolm documents found/ --out documents.jsonl --group-by origin.file --task task.yaml
      slcolm documents a.jsonl --out documents.jsonl --group-by id --group-pattern '(.+)-\\d+'
    """
    grouping = _grouping(field, pattern)
    schema = None if task is None else read_schema(task)
    known = schema.relations_by_name if schema else None
    symmetric = {name for name, kind in (known or {}).items() if kind.symmetric}
    paths = _expanded(files)
    check_writable(out)
    count: Counter[str] = Counter()
    with replacing(out) as file, progress_bar("files", len(paths)) as done:
        for name, rows in read_documents(paths, grouping, known, done):
            things, facts = merge(rows, symmetric=symmetric, apart=apart)
            file.write(format_document(name, rows, things, facts) + "\n")
            count["documents"] += 1
            count["rows"] += len(rows)
            count["failed"] += sum(row.document is None for row in rows)
            count["things"] += len(things)
            count["mentions"] += sum(len(thing.mentions) for thing in things)
            count["facts"] += len(facts)
            count["relations"] += sum(len(fact.evidence) for fact in facts)
    _report(count, out, as_json=as_json)


def _grouping(field: str | None, pattern: str | None) -> Grouping | None:
    if field is None:
        if pattern is not None:
            raise click.UsageError("--group-pattern needs --group-by")
        return None
    try:
        return Grouping(field, None if pattern is None else re.compile(pattern))
    except re.error as error:
        raise click.BadParameter(f"{pattern!r} is no regular expression: {error}") from error


def _expanded(files: Sequence[Path]) -> list[Path]:
    """Files as they are, folders of `slcolm batch` as their shards.

    Raises:
        PreconditionFailed: A folder holds no output of a batch, or one that is not complete.
    """
    paths: list[Path] = []
    for file in files:
        if not file.is_dir():
            paths.append(file)
            continue
        manifest = manifests.load(file)
        if manifest is None:
            raise PreconditionFailed(f"{file} is a folder without {manifests.NAME}; name a file")
        if not manifest.complete:
            raise PreconditionFailed(
                f"{file} is not complete; finish it with the same slcolm batch command"
            )
        manifests.check_shards(file, manifest)
        paths += [file / shard.name for shard in manifest.shards]
    return paths


def _report(count: Counter[str], out: Path, *, as_json: bool) -> None:
    names = ("documents", "rows", "failed", "things", "mentions", "facts", "relations")
    if as_json:
        emit_json({"out": str(out)} | {name: count[name] for name in names})
        return
    console().print(
        f"{number_of(count['documents'], 'document')} of {number_of(count['rows'], 'row')}: "
        f"{number_of(count['things'], 'thing')} of {number_of(count['mentions'], 'mention')}, "
        f"{number_of(count['facts'], 'fact')} of {number_of(count['relations'], 'relation')} "
        f"-> {escape(str(out))}",
        soft_wrap=True,
    )
    if count["failed"]:
        console().print(f"{number_of(count['failed'], 'row')} had failed and names nothing")
