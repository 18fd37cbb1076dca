"""IOB2 columns: a token a line, its tag in the last column, an empty line after each sentence.

    Peter NNP I-NP B-PER
    Blackburn NNP I-NP I-PER

The text of a sentence is its tokens joined by one space. `-DOCSTART-` lines are no sentences.
Tagging scheme: Ratnaparkhi 1998; Tjong Kim Sang and Veenstra 1999 (IOB2: every entity begins
with B).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.lines import Line, scan_lines
from slcolm_services.corpus.records import (
    Findings,
    Record,
    check_annotations,
    documents_of,
    failed,
    shown,
)
from slcolm_services.corpus.schema import TaskSchema

_COLUMNS = re.compile(r"[ \t]+")
_TAG = re.compile(r"(?:O|([BI])-(.+))")
_DOCUMENT_START = "-DOCSTART-"


def read_iob2(path: str | os.PathLike[str], schema: TaskSchema | None = None) -> list[Document]:
    """Read an IOB2 file.

    Args:
        path: The file.
        schema: The task; None takes any label.

    Returns:
        A document a sentence, without relations. The id is the file's name without its extension
        and the number of the sentence, counted from 0.

    Raises:
        DataInvalid: Anything is wrong; `violations` names each problem by its line.
    """
    documents, _ = documents_of(path, scan(path, schema))
    return documents


def scan(path: str | os.PathLike[str], schema: TaskSchema | None = None) -> Iterator[Record]:
    """Go through an IOB2 file, a sentence in memory at a time."""
    stem = Path(path).stem
    number = 0
    for item in _sentences(path):
        if isinstance(item, Record):
            yield item
            continue
        yield _record(item, f"{stem}-{number:05d}", schema)
        number += 1


def _sentences(path: str | os.PathLike[str]) -> Iterator[list[Line] | Record]:
    """Sentences as their lines; lines that cannot be decoded as records of the problem."""
    sentence: list[Line] = []
    for line in scan_lines(path):
        if line.problem:
            yield failed(line.number, "file", line.problem)
        elif line.text.strip():
            if not line.text.startswith(_DOCUMENT_START):
                sentence.append(line)
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _record(lines: list[Line], name: str, schema: TaskSchema | None) -> Record:
    found = Findings(lines[0].number)
    tokens: list[str] = []
    entities: list[Entity] = []
    open_type = ""
    position = 0
    for line in lines:
        columns = _COLUMNS.split(line.text.strip(" \t"))
        token, tag = columns[0], columns[-1]
        match = _TAG.fullmatch(tag) if len(columns) > 1 else None
        end = position + len(token)
        if match is None:
            problem = (
                f"{shown(tag)!r} is no IOB2 tag: O, B-TYPE or I-TYPE"
                if len(columns) > 1
                else "needs a token and a tag, separated by a space or tab"
            )
            found.error("tag", problem, line.number)
            open_type = ""
        elif match[1] == "B":
            entities.append(Entity(match[2], position, end))
            open_type = match[2]
        elif match[1] == "I" and open_type == match[2]:
            entities[-1] = Entity(open_type, entities[-1].start, end)
        elif match[1] == "I":
            found.error(
                "tag", f"{shown(tag)} continues no entity; the first tag must be B-", line.number
            )
            open_type = ""
        else:
            open_type = ""
        tokens.append(token)
        position = end + 1
    text = " ".join(tokens)
    if not text.strip():
        found.error("text", "must not be empty")
    check_annotations(entities, [], text_length=len(text), schema=schema, found=found)
    return found.record(Document(name, text, tuple(entities)))
