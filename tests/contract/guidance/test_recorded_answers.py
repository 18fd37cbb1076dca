"""Answers that real LLMs gave are read as a careful parser reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


def _compare(recording: Recording, schema: TaskSchema) -> tuple[set[Key], set[Key], bool]:
    """What the reference found, what we found, and whether the answer repeats a key."""
    parsed = parse_answer(recording.llm_raw, recording.text, schema)
    ours = {(fold(found.head), fold(found.tail), found.type) for found in parsed.triples}
    reference = {
        (fold(found.head), fold(found.tail), found.type)
        for found in recording.strict_llm_triples or ()
    }
    return reference, ours, bool(parsed.repairs["repeated_key"])


@pytest.mark.parametrize("run", RUNS)
def test_finds_every_triple_of_the_reference(chisre: Path, schema: TaskSchema, run: str) -> None:
    """No triple is lost; more are found where a key is repeated, and hardly anywhere else.

    The reference keeps the last of two equal keys; we keep both.
    """
    wanted = found = beyond = 0
    for recording in read_recordings(chisre / "recordings" / f"{run}.jsonl"):
        reference, ours, repeats = _compare(recording, schema)
        wanted += len(reference)
        found += len(reference & ours)
        beyond += 0 if repeats else len(ours - reference)
    assert wanted > 500
    assert found == wanted
    assert beyond <= 0.005 * wanted


def test_the_reference_and_we_differ_by_less_than_half_a_percent(
    chisre: Path, schema: TaskSchema
) -> None:
    """Over all runs, repeated keys included."""
    wanted = beyond = 0
    for run in RUNS:
        for recording in read_recordings(chisre / "recordings" / f"{run}.jsonl"):
            reference, ours, _ = _compare(recording, schema)
            wanted += len(reference)
            beyond += len(ours - reference)
    assert beyond <= 0.005 * wanted


def test_answers_that_are_no_json_are_all_usable(chisre: Path, schema: TaskSchema) -> None:
    recordings = read_recordings(chisre / "recordings" / "ernie_k4_failed_json.jsonl")
    answers = [parse_answer(line.llm_raw, line.text, schema) for line in recordings]
    assert len(answers) == 64
    assert all(answer.usable for answer in answers)
