"""Files of recordings: parts of one LLM, several LLMs, or samples; told apart, never mixed up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.recordings import RecordedEntity, Recording
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import DataInvalid
from slcolm_services.evaluation.recorded import dev_sentences, evidence_of, understand

SCHEMA = TaskSchema(
    "t", "en", (EntityType("PER", "person"),), (RelationType("knows"), RelationType("likes"))
)


def line(name: str, *said: tuple[str, str, str], answered: bool = True) -> Recording:
    return Recording(
        name,
        "A B",
        "",
        gold_triples=(Triple("A", "B", "knows"),),
        slm_entities=(
            RecordedEntity("A", "person", 0.8),
            RecordedEntity("A", "PER", 0.9),
            RecordedEntity("B", "person", 0.7),
        ),
        slm_triples=(Triple("A", "B", "likes", 0.6),),
        strict_llm_triples=tuple(Triple(*triple) for triple in said) if answered else None,
    )


KNOWS, LIKES = ("A", "B", "knows"), ("A", "B", "likes")


def test_files_without_a_common_sentence_are_one_llm_in_parts() -> None:
    found = understand({"a": [line("1", KNOWS)], "b": [line("2", LIKES)]})
    assert found.sources == ("llm",)
    assert [sentence.id for sentence in found.sentences] == ["1", "2"]
    assert found.reading == "one LLM in 2 parts"


def test_files_with_a_common_sentence_are_an_llm_each() -> None:
    found = understand({"a": [line("1", KNOWS)], "b": [line("1", LIKES), line("2", KNOWS)]})
    assert found.sources == ("llm-1", "llm-2")
    assert [list(sentence.answers) for sentence in found.sentences] == [
        ["llm-1", "llm-2"],
        ["llm-2"],
    ]
    assert found.reading == "2 LLMs over the same sentences"


def test_of_repeated_lines_the_first_stands_unless_they_are_samples() -> None:
    lines = [line("1", KNOWS), line("1", LIKES)]
    first = understand({"a": lines}).sentences[0]
    assert {s: r.strict_llm_triples for s, r in first.answers.items()} == {"llm": (Triple(*KNOWS),)}
    samples = understand({"a": lines}, repeats_are_samples=True)
    assert samples.sources == ("llm#1", "llm#2")
    assert "samples" in samples.reading


def test_samples_of_an_llm_in_parts_go_on_counting() -> None:
    files = {"a": [line("1", KNOWS)], "b": [line("1", LIKES), line("1", KNOWS)]}
    found = understand(files, repeats_are_samples=True)
    assert found.sources == ("llm-1#1", "llm-2#1", "llm-2#2")


@pytest.mark.parametrize(
    "other",
    [
        replace(line("1", KNOWS), text="A B C"),
        replace(line("1", KNOWS), slm_triples=()),
        replace(line("1", KNOWS), gold_triples=()),
    ],
)
def test_lines_that_do_not_belong_together_are_refused(other: Recording) -> None:
    with pytest.raises(DataInvalid, match="do not belong together"):
        understand({"a": [line("1", KNOWS)], "b": [other]})


def test_evidence_has_each_answer_filtered_and_the_mentions_with_their_types() -> None:
    answers = {"x": line("1", KNOWS, ("A", "Z", "knows")), "y": line("1", answered=False)}
    found = evidence_of(answers, SCHEMA, "slm")
    assert dict(found.answers) == {"x": (Triple(*KNOWS),)}
    assert found.mentions["A"].types == {"PER"}
    assert found.mentions["A"].prob == 0.9
    assert found.slm == (Triple(*LIKES),)


def test_dev_sentences_hold_what_each_filter_leaves() -> None:
    recorded = understand({"a": [replace(line("1", KNOWS), slm_entities=())]})
    (sentence,) = dev_sentences(recorded.sentences, SCHEMA, ["slm", "text"])
    assert sentence.evidence["slm"].answers == {"llm": ()}
    assert sentence.evidence["text"].answers == {"llm": (Triple(*KNOWS),)}
