"""What a run leaves for people and programs."""

from __future__ import annotations

import json

from google.rpc.status_pb2 import Status

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.report import merged_lines, mode_name, scores_to_json

PERSON = common_pb2.Entity(type="PER", start=0, end=1, text="甲", probability=0.9)
OFFICE = common_pb2.Entity(type="OFI", start=2, end=4, text="太守", probability=0.8)
TEXT = "甲为太守。"


def _document(name: str) -> common_pb2.Document:
    return common_pb2.Document(id=name, text=TEXT)


def _merged(name: str) -> evaluation_pb2.MergeResult:
    relation = common_pb2.Relation(type="任职", head=0, tail=1, probability=0.7)
    document = common_pb2.Document(
        id=name, text=TEXT, entities=[PERSON, OFFICE], relations=[relation]
    )
    triple = common_pb2.Triple(head="甲", tail="太守", type="任职", probability=0.7)
    return evaluation_pb2.MergeResult(
        id=name,
        merged=evaluation_pb2.Merged(
            document=document,
            triples=[evaluation_pb2.MergedTriple(triple=triple, sources=["slm"], rule="union")],
        ),
    )


def test_every_document_has_a_line_in_order_and_failures_say_why() -> None:
    lines = merged_lines(
        [_document("a"), _document("b")],
        [
            extraction_pb2.ExtractResult(id="a", error=Status(code=3, message="too long")),
            extraction_pb2.ExtractResult(id="b", extraction=extraction_pb2.Extraction()),
        ],
        [_merged("b")],
        {},
    )

    first, second = (json.loads(line) for line in lines.splitlines())
    assert (first["id"], first["error"], first["triples"]) == ("a", "too long", [])
    assert second["relations"] == [{"type": "任职", "head": 0, "tail": 1, "prob": 0.7}]
    assert second["triples"][0]["sources"] == ["slm"]


def test_an_answer_brings_its_revisions_explanation_and_origin() -> None:
    guided = guidance_pb2.Guided(
        usable=True,
        explanation="“为”后是官职",
        revisions=[
            guidance_pb2.Revision(
                kind=guidance_pb2.REVISION_KIND_RELABELLED,
                triple=common_pb2.Triple(head="甲", tail="太守", type="任职"),
                previous_type="管理",
            )
        ],
        origin=guidance_pb2.AnswerOrigin(provider="replay", model="m", replayed=True),
    )

    (line,) = merged_lines(
        [_document("a")], [], [_merged("a")], {"a": guidance_pb2.GuideResult(id="a", guided=guided)}
    ).splitlines()

    value = json.loads(line)
    assert value["explanation"] == "“为”后是官职"
    assert value["revisions"] == [
        {
            "kind": "relabelled",
            "head": "甲",
            "tail": "太守",
            "type": "任职",
            "previous_type": "管理",
        }
    ]
    assert value["answer"]["replayed"] is True


def test_a_missing_answer_is_told() -> None:
    error = guidance_pb2.GuideResult(id="a", error=Status(code=5, message="nothing recorded"))

    (line,) = merged_lines([_document("a")], [], [_merged("a")], {"a": error}).splitlines()

    assert json.loads(line)["answer"] == {"missing": "nothing recorded"}


def test_scores_keep_the_names_that_programs_read() -> None:
    scores = evaluation_pb2.Scores(
        micro=evaluation_pb2.Prf(precision=0.5, recall=0.25, f1=1 / 3, f1_low=0.2, f1_high=0.4),
        macro=evaluation_pb2.MacroPrf(precision=0.1, recall=0.2, f1_pr=0.3, f1_mean=0.4),
        by_frequency=[evaluation_pb2.BucketScore(bucket=name) for name in ("head", "tail")],
    )

    value = scores_to_json(scores)

    assert {name: value["micro"][name] for name in ("p", "r")} == {"p": 0.5, "r": 0.25}
    assert value["micro"]["f_interval"] == [0.2, 0.4]
    assert value["macro"] == {"p": 0.1, "r": 0.2, "f1_pr": 0.3, "f1_mean": 0.4}
    assert list(value["by_frequency"]) == ["head", "tail"]


def test_modes_are_named_as_people_write_them() -> None:
    assert mode_name(evaluation_pb2.MERGE_MODE_REPLACE_WEAK) == "replace-weak"
