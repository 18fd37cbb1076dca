"""Recordings as merging and scoring need them: with the triples of every answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slcolm_services.cli.output import number_of
from slcolm_services.corpus.recordings import Recording, read_recordings
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.evaluation.recorded import Recorded, check_gold
from slcolm_services.guidance.parse import parse_answer


def read_answers(path: Path, schema: TaskSchema, *, need_gold: bool = False) -> list[Recording]:
    """Read recordings, and the answers of those that hold an answer's text alone.

    Args:
        path: The file.
        schema: What answers are read by.
        need_gold: Whether recordings without any true triple are of no use.

    Raises:
        DataInvalid: The file cannot be read, holds nothing, or lacks the gold that is needed.
    """
    lines = recordings_of(path, need_gold=need_gold)
    return [_with_triples(line, schema) for line in lines]


def recordings_of(path: Path, *, need_gold: bool = False) -> list[Recording]:
    """Read recordings; see `read_answers`."""
    lines = read_recordings(path)
    if not lines:
        raise _of_no_use(path, "file", "holds no recording")
    if need_gold:
        if not any(line.gold_triples for line in lines):
            raise _of_no_use(
                path, "gold_triples", "no line has true triples: there is nothing to compare with"
            )
        check_gold({str(path): lines})
    return lines


def how_read(recorded: Recorded) -> str:
    """In words, how recordings were understood."""
    return f"{recorded.reading}; {number_of(len(recorded.sentences), 'sentence')}"


def _with_triples(line: Recording, schema: TaskSchema) -> Recording:
    """The recording with what its answer says; an answer that cannot be read is none."""
    recorded = line.strict_llm_triples is not None or line.llm_relations is not None
    if recorded or line.llm_raw is None:
        return line
    answer = parse_answer(line.llm_raw, line.text, schema)
    return replace(line, strict_llm_triples=answer.triples) if answer.usable else line


def _of_no_use(path: Path, field: str, problem: str) -> DataInvalid:
    return DataInvalid(
        f"{path} cannot be used: {problem}", violations=[FieldViolation(field, problem)]
    )
