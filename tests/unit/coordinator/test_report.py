"""What a run leaves for people and programs."""

from __future__ import annotations

import json

from google.rpc.status_pb2 import Status

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.figures import (
    mode_name,
    policy_to_json,
    reliability_to_json,
    scores_to_json,
)
from slcolm_services.coordinator.lines import merged_lines
from slcolm_services.coordinator.report import Judgement, build_report

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
        [_document("a")],
        [],
        [_merged("a")],
        {"a": {"openai": guidance_pb2.GuideResult(id="a", guided=guided)}},
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

    (line,) = merged_lines(
        [_document("a")], [], [_merged("a")], {"a": {"openai": error}}
    ).splitlines()

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


def test_figures_that_the_evaluation_service_did_not_make_are_absent_not_zero() -> None:
    fit = evaluation_pb2.FitPolicyResponse(
        policy=evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_GATE)
    )

    policy = policy_to_json(fit, 10)

    assert reliability_to_json(evaluation_pb2.Scores()) is None
    assert policy["calibration"] is None
    assert policy["confidence"] is None
    assert policy["runners_up"] == []


def test_a_learned_policy_tells_its_weights_and_its_trials_their_own_threshold() -> None:
    policy = evaluation_pb2.Policy(
        mode=evaluation_pb2.MERGE_MODE_LEARNED,
        threshold=0.6,
        calibration=evaluation_pb2.Calibration(method="temperature", temperature=2.0),
        confidence=evaluation_pb2.Confidence(
            sources=["llm"], intercept=-1.0, weights={"b": 2.0, "a": 1.0}, threshold=0.4
        ),
    )
    trial = evaluation_pb2.PolicyTrial(policy=policy, gap=0.01, gap_standard_error=0.02)

    value = policy_to_json(evaluation_pb2.FitPolicyResponse(policy=policy, trials=[trial]), 1)

    assert value["calibration"] == {"method": "temperature", "temperature": 2.0}
    assert list(value["confidence"]["weights"].items()) == [("a", 1.0), ("b", 2.0)]
    assert value["runners_up"][0]["threshold"] == 0.4
    assert value["runners_up"][0]["gap_standard_error"] == 0.02


def _scores(f1: float) -> evaluation_pb2.Scores:
    return evaluation_pb2.Scores(
        micro=evaluation_pb2.Prf(f1=f1),
        reliability=evaluation_pb2.Reliability(
            count=4,
            expected_calibration_error=f1,
            bins=[evaluation_pb2.ReliabilityBin(low=0.5, high=0.6, count=4)],
        ),
        precision_recall=[
            evaluation_pb2.PrecisionRecallPoint(threshold=0.9, precision=1.0, recall=0.5)
        ],
        average_precision=f1,
        spans={"ner_type": evaluation_pb2.Prf(f1=f1)},
    )


def test_the_report_holds_every_figure_of_the_judgement() -> None:
    schema = common_pb2.TaskSchema(
        name="annals", relation_types=[common_pb2.RelationType(name=name) for name in ("父", "母")]
    )
    comparison = evaluation_pb2.CompareResponse(
        macro_f1_mean=evaluation_pb2.Difference(value=0.1, low=-0.1, high=0.3)
    )
    report = build_report(
        run_id="r",
        spec=coordinator_pb2.RunSpec(schema=schema),
        values={},
        training_counts={"父": 7},
        judgement=Judgement(
            strict={"slm": _scores(0.1), "llm": evaluation_pb2.Scores(), "merged": _scores(0.3)},
            calibrated=_scores(0.4),
            spans={"slm": _scores(0.5), "merged": _scores(0.6)},
            comparisons={"slm": comparison, "llm": comparison},
            leakage=[{"split": "test", "other": "train"}],
            clean={"slm": _scores(0.7)},
            clean_sentences=3,
        ),
        fit=evaluation_pb2.FitPolicyResponse(),
        answers={"dev": {}, "test": {}},
        usage=guidance_pb2.Usage(calls=3, cost=0.25, currency="EUR"),
    )

    assert report["training_counts"] == {"父": 7, "母": 0}
    assert report["merged_minus_llm"]["macro_f1_mean"] == {"value": 0.1, "low": -0.1, "high": 0.3}
    assert report["merged"]["spans"]["ner_type"]["f"] == 0.6
    assert "spans" not in report["llm"]
    calibration = report["calibration"]
    assert calibration["method"] == "none"
    assert calibration["before"]["expected_calibration_error"] == 0.1
    assert calibration["after"]["expected_calibration_error"] == 0.4
    assert report["precision_recall"]["merged"] == [{"threshold": 0.9, "p": 1.0, "r": 0.5}]
    assert report["average_precision"] == {"slm": 0.1, "merged": 0.3}
    assert report["leakage"]["splits"] == [{"split": "test", "other": "train"}]
    assert report["leakage"]["clean_test"]["slm"]["strict"]["micro"]["f"] == 0.7
    assert (report["spending"]["calls"], report["spending"]["currency"]) == (3, "EUR")
    assert report["spending"]["budget"] is None
    assert json.loads(json.dumps(report)) == report
