"""The quirks of the published scripts, one at a time."""

from __future__ import annotations

from pathlib import Path

import slcolm_services
from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.recordings import RecordedEntity, Recording
from slcolm_services.scoring.counts import Counts
from slcolm_services.scoring.paper import score_paper

TYPES = ["任职", "位于", "救援", "父"]


def line(
    *,
    gold: tuple[Triple, ...] = (),
    slm: tuple[Triple, ...] = (),
    llm: dict[str, object] | None = None,
    entities: str = "甲乙丙",
    is_object: bool = False,
) -> Recording:
    return Recording(
        "1",
        "甲乙丙",
        "",
        answer_is_object=is_object,
        gold_triples=gold,
        slm_entities=tuple(RecordedEntity(name, "人物") for name in entities),
        slm_triples=slm,
        llm_entities={"人物": list("甲乙丙")},
        llm_relations=llm or {},
    )


def counts(recording: Recording, mode: str, kind: str, times: int = 1) -> Counts:
    return score_paper([recording] * times, TYPES)[mode][kind]


def test_a_repeated_line_is_scored_again() -> None:
    recording = line(gold=(Triple("甲", "乙", "父"),), llm={"父": [["甲", "乙"]]})
    assert counts(recording, "mode0", "父", times=2) == Counts(2, 2, 2)


def test_a_repeated_prediction_costs_precision_once_more() -> None:
    recording = line(gold=(Triple("甲", "乙", "父"),), llm={"父": [["甲", "乙"], ["甲", "乙"]]})
    assert counts(recording, "mode0", "父") == Counts(1, 2, 1)


def test_some_relations_match_in_both_directions() -> None:
    gold = (Triple("甲", "乙", "位于"), Triple("甲", "乙", "父"))
    recording = line(gold=gold, llm={"位于": [["乙", "甲"]], "父": [["乙", "甲"]]})
    assert counts(recording, "mode0", "位于").correct == 1
    assert counts(recording, "mode0", "父").correct == 0


def test_labels_are_normalised_for_answers_in_json_mode_only() -> None:
    llm: dict[str, object] = {"任职&爵位": [["甲", "乙"]]}
    assert counts(line(llm=llm), "mode0", "任职").predicted == 0
    assert counts(line(llm=llm, is_object=True), "mode0", "任职").predicted == 1


def test_type_words_are_cut_out_of_mentions_and_longer_tuples_are_cut_short() -> None:
    recording = line(gold=(Triple("甲", "乙", "父"),), llm={"父": [["人物甲", "乙", "丙"]]})
    assert counts(recording, "mode0", "父") == Counts(1, 1, 1)


def test_mode_three_keeps_the_llm_for_weak_types_and_the_slm_for_the_others() -> None:
    recording = line(
        slm=(Triple("甲", "乙", "父", 0.9), Triple("甲", "乙", "救援", 0.9)),
        llm={"父": [["乙", "丙"]], "救援": [["乙", "丙"]]},
        gold=(Triple("甲", "乙", "父"), Triple("乙", "丙", "救援")),
    )
    assert counts(recording, "mode3", "父") == Counts(1, 1, 1)
    assert counts(recording, "mode3", "救援") == Counts(1, 1, 1)


def test_mode_two_takes_slm_pairs_above_the_threshold() -> None:
    slm = (Triple("甲", "乙", "父", 0.61), Triple("乙", "丙", "父", 0.6))
    assert counts(line(slm=slm), "mode2", "父").predicted == 1


def test_mode_four_adds_no_relation_of_the_slm_alone() -> None:
    assert counts(line(slm=(Triple("甲", "乙", "父", 0.9),)), "mode4", "父").predicted == 0


def test_nothing_but_the_command_for_recordings_imports_these_rules() -> None:
    root = Path(slcolm_services.__file__).parent
    importers = [path for path in root.rglob("*.py") if "scoring.paper" in path.read_text("utf-8")]
    assert importers == [root / "cli" / "recordings.py"]
