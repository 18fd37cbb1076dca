"""IOB2 columns: entities as code points of the joined tokens, and no tag is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.iob2 import read_iob2
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import DataInvalid

GOOD = """\
-DOCSTART- -X- O O

Peter NNP I-NP B-PER
Blackburn NNP I-NP I-PER
met VBD I-VP O
Ann NNP I-NP B-PER
Lee NNP I-NP B-PER

-DOCSTART- -X- O O

Rome\tB-LOC
"""


def _write(folder: Path, content: str) -> Path:
    path = folder / "train.iob2"
    path.write_text(content, encoding="utf-8")
    return path


def test_tagged_tokens_become_documents(tmp_path: Path) -> None:
    """A B after a B begins another entity; the last sentence needs no empty line."""
    assert read_iob2(_write(tmp_path, GOOD)) == [
        Document(
            "train-00000",
            "Peter Blackburn met Ann Lee",
            (Entity("PER", 0, 15), Entity("PER", 20, 23), Entity("PER", 24, 27)),
        ),
        Document("train-00001", "Rome", (Entity("LOC", 0, 4),)),
    ]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("a O\nb I-PER\n", 2, "I-PER continues no entity"),
        ("a I-PER\n", 1, "I-PER continues no entity"),
        ("a B-PER\nb I-LOC\n", 2, "I-LOC continues no entity"),
        ("a B-PER\n\nb I-PER\n", 3, "I-PER continues no entity"),
        ("a O\nb\n", 2, "needs a token and a tag"),
        ("a O\nb PER\n", 2, "'PER' is no IOB2 tag"),
        ("a O\nb B-\n", 2, "'B-' is no IOB2 tag"),
        ("a O\nb S-PER\n", 2, "'S-PER' is no IOB2 tag"),
        ("a o\n", 1, "'o' is no IOB2 tag"),
    ],
)
def test_a_wrong_tag_is_named_by_its_line(
    content: str, line: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid) as caught:
        read_iob2(_write(tmp_path, content))

    (violation,) = caught.value.violations
    assert violation.field == f"line {line}: tag"
    assert words in violation.problem


def test_every_tag_that_continues_nothing_is_named(tmp_path: Path) -> None:
    """An entity that begins with I is wrong on each of its lines."""
    with pytest.raises(DataInvalid) as caught:
        read_iob2(_write(tmp_path, "a I-PER\nb I-PER\n\nc B-PER\nd I-PER\n"))

    assert [violation.field for violation in caught.value.violations] == [
        "line 1: tag",
        "line 2: tag",
    ]


def test_labels_are_checked_against_the_task(tmp_path: Path, schema: TaskSchema) -> None:
    with pytest.raises(DataInvalid, match="1 problem") as caught:
        read_iob2(_write(tmp_path, GOOD), schema)

    assert caught.value.violations[0].field == "line 11: entities[0].type"


def test_a_file_without_sentences_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid):
        read_iob2(_write(tmp_path, "-DOCSTART- -X- O O\n\n"))
