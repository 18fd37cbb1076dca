"""`slcolm predict`: entities and relations out of a file of texts, in this process."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.markup import escape

from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.progress import progress_bar
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.files import read_bytes
from slcolm_services.corpus.jsonl import scan, write_documents
from slcolm_services.corpus.records import Problem, Record, data_invalid, with_file_problems
from slcolm_services.errors import DataInvalid, FieldViolation, SlcolmError
from slcolm_services.extraction.engine import Engine, Extraction
from slcolm_services.extraction.reading import Reading

_SHOWN_FAILURES = 20


@click.command()
@click.option(
    "--model",
    "model_path",
    type=click.Path(path_type=Path),
    required=True,
    help="Model folder, as `slcolm train` writes it.",
)
@click.option(
    "--input",
    "input_path",
    type=click.Path(path_type=Path),
    required=True,
    help="Native JSONL (id and text are read), or .txt with a text a line.",
)
@click.option(
    "--output",
    "output_path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Native JSONL with probabilities; appears whole or not at all.",
)
@click.option(
    "--skip-errors", is_flag=True, help="Leave failing texts out instead of writing nothing."
)
@json_option
def predict(
    model_path: Path, input_path: Path, output_path: Path, *, skip_errors: bool, as_json: bool
) -> None:
    """Extract entities and relations with a trained model.

    Texts longer than the model's window are read in overlapping windows; how many pairs of entities
    lay too far apart for that is told. Texts that cannot be processed are listed with their lines.
    Without --skip-errors nothing is written then.

    \b
    Example:
      slcolm predict --model model/ --input texts.txt --output found.jsonl
    """
    started = time.monotonic()
    documents, failures = _read(input_path)
    if failures and not skip_errors:
        raise _refusal(input_path, failures)
    engine = Engine.load(model_path)
    found: list[Extraction] = []
    reading = Reading.of(engine, [document for _, document in documents])
    with progress_bar("extracting", len(reading.sentences)) as advance:
        results = reading.run(engine, advance)
    for (line, _), result in zip(documents, results, strict=True):
        if isinstance(result, SlcolmError):
            failures.append(Problem(line, "text", result.message))
        else:
            found.append(result)
    failures.sort(key=lambda problem: problem.line or 0)
    if failures and not (skip_errors and found):
        raise _refusal(input_path, failures)
    write_documents(output_path, [extraction.document for extraction in found])
    _report(found, failures, output_path, time.monotonic() - started, as_json=as_json)


def _read(path: Path) -> tuple[list[tuple[int | None, Document]], list[Problem]]:
    """Texts with their lines, and what is wrong with the others.

    Raises:
        DataInvalid: The file as a whole cannot be read, or holds no text.
    """
    records = _text_lines(path) if path.suffix == ".txt" else scan(path)
    documents, failures = [], []
    for record in with_file_problems(records):
        if record.document is not None:
            documents.append((record.line, record.document))
        errors = [problem for problem in record.problems if problem.severity == "error"]
        if record.line is None and errors:
            raise data_invalid(path, errors)
        failures.extend(errors)
    return documents, failures


def _text_lines(path: Path) -> Iterator[Record]:
    """Each line that is not blank as a document whose id is the line's number."""
    try:
        text = read_bytes(path).removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        problem = FieldViolation("file", f"is not UTF-8 at byte offset {error.start}")
        raise DataInvalid(f"{path} cannot be read", violations=[problem]) from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            document = Document(str(number), line.removesuffix("\r"))
            yield Record(number, document, (), id=document.id)


def _refusal(path: Path, failures: Sequence[Problem]) -> DataInvalid:
    error = data_invalid(path, failures)
    return DataInvalid(
        f"{error.message}; nothing was written (--skip-errors writes the other texts)",
        violations=error.violations,
        metadata=error.metadata,
    )


def _report(
    found: Sequence[Extraction],
    failures: Sequence[Problem],
    output: Path,
    seconds: float,
    *,
    as_json: bool,
) -> None:
    entities = sum(len(extraction.document.entities) for extraction in found)
    relations = sum(len(extraction.document.relations) for extraction in found)
    in_windows = sum(bool(extraction.windows) for extraction in found)
    unseen_pairs = sum(extraction.unseen_pairs for extraction in found)
    if as_json:
        emit_json(
            {
                "output": str(output),
                "documents": len(found),
                "entities": entities,
                "relations": relations,
                "read_in_windows": in_windows,
                "unseen_pairs": unseen_pairs,
                "failures": [
                    {"line": problem.line, "field": problem.field, "problem": problem.problem}
                    for problem in failures
                ],
                "seconds": round(seconds, 3),
            }
        )
        return
    console().print(
        f"{number_of(len(found), 'text')}, {number_of(entities, 'entity', 'entities')}, "
        f"{number_of(relations, 'relation')} "
        f"-> {escape(str(output))} ({seconds:.1f} s)"
    )
    if in_windows:
        console().print(
            f"{in_windows} of them are longer than the model's window and were read in several; "
            f"{unseen_pairs} pairs of entities lie in no window together"
        )
    if failures:
        out = console(stderr=True)
        out.print(f"[bold yellow]left out[/]: {number_of(len(failures), 'problem')}")
        for problem in failures[:_SHOWN_FAILURES]:
            out.print(f"  {escape(str(problem.violation()))}")
        if len(failures) > _SHOWN_FAILURES:
            out.print(f"  and {len(failures) - _SHOWN_FAILURES} more (--json lists all)")
