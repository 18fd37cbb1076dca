"""Answers that real LLMs gave are read as a careful parser reads them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from slcolm_services.corpus.labels import short_label
from slcolm_services.corpus.recordings import Recording, read_recordings
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.script import fold
from slcolm_services.guidance.parse import parse_answer

REPOSITORY = Path(__file__).resolve().parents[3]
RUNS = (
    "deepseek_icl",
    "deepseek_icl_slcolm",
    "ernie_k2_nodef",
    "ernie_k2_unedited",
    "frontier_k2",
    "frontier_k2_dev",
    "gpt35_k2",
    "gpt35_k2_nodef",
    "gpt35_k4",
)

OTHERS = {"ernie_k2_unedited": 5, "gpt35_k2": 7, "gpt35_k2_nodef": 5, "gpt35_k4": 1}
"""Triples that the reference misses."""

pytestmark = pytest.mark.shared_data

Key = tuple[str, str, str]


@pytest.fixture(scope="module")
def chisre() -> Path:
    shared = Path(os.environ.get("SLCOLM_SHARED") or REPOSITORY.parent / "shared")
    if not (shared / "data").is_dir():
        pytest.skip("no reference data: set SLCOLM_SHARED to the folder that holds data/")
    return shared / "data" / "chisre"


@pytest.fixture(scope="module")
def schema(chisre: Path) -> TaskSchema:
    return read_schema(chisre / "task.yaml")


def _compare(recording: Recording, schema: TaskSchema) -> tuple[set[Key], set[Key]]:
    """What the reference found and what we found."""
    parsed = parse_answer(recording.llm_raw or "", recording.text, schema)
    ours = {(fold(found.head), fold(found.tail), found.type) for found in parsed.triples}
    reference = {
        (fold(found.head), fold(found.tail), found.type)
        for found in recording.strict_llm_triples or ()
    }
    return reference, ours


def _stands_in(answer: str, triple: Key) -> bool:
    """Whether the pair stands in the answer under its type, by a reading that is not the parser's.

    The pair is looked for as text, `"head", "tail"` or `"head-tail"`; its type is the last key of
    a relation type before it.
    """
    folded = fold(answer)
    head, tail, kind = triple
    pair = re.compile(rf"""["']{re.escape(head)}(?:["']\s*,\s*["']|-){re.escape(tail)}["']""")
    for found in pair.finditer(folded):
        keys = re.findall(r"""["']([^"'\[\]{}]+)["']\s*:""", folded[: found.start()])
        if keys and short_label(keys[-1]) == fold(kind):
            return True
    return False


@pytest.mark.parametrize("run", RUNS)
def test_finds_every_triple_of_the_reference_and_nothing_that_the_answer_does_not_say(
    chisre: Path, schema: TaskSchema, run: str
) -> None:
    """All 5,921 triples of the reference are found, and 18 others, which the answers do say.

    The reference reads an answer with a plain loader, without a filter by the SLM's mentions. What
    it misses by that: 15 pairs under a key that the answer repeats (a plain loader keeps the last:
    5 in one answer of ernie_k2_unedited, 7 in gpt35_k2, 3 in gpt35_k2_nodef), 2 under a key for
    relations inside the answer's object of entities (gpt35_k2_nodef), 1 written as a string
    (`"布-东平"`, gpt35_k4).
    """
    wanted = found = 0
    others: list[tuple[str, Key]] = []
    for recording in read_recordings(chisre / "recordings" / f"{run}.jsonl"):
        reference, ours = _compare(recording, schema)
        wanted += len(reference)
        found += len(reference & ours)
        others += [(recording.llm_raw or "", triple) for triple in ours - reference]
    assert wanted > 500
    assert found == wanted
    assert len(others) == OTHERS.get(run, 0)
    assert all(_stands_in(answer, triple) for answer, triple in others)


def test_answers_that_are_no_json_are_all_usable(chisre: Path, schema: TaskSchema) -> None:
    recordings = read_recordings(chisre / "recordings" / "ernie_k4_failed_json.jsonl")
    answers = [parse_answer(line.llm_raw or "", line.text, schema) for line in recordings]
    assert len(answers) == 64
    assert all(answer.usable for answer in answers)
