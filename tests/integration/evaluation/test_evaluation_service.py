"""The evaluation service over a real server and a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import grpc
import pytest
from google.rpc import code_pb2

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2, evaluation_pb2_grpc
from slcolm_services.evaluation.config import EvaluationConfig
from slcolm_services.evaluation.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server

SCHEMA = common_pb2.TaskSchema(
    name="letters",
    language="en",
    entity_types=[common_pb2.EntityType(name="PER")],
    relation_types=[
        common_pb2.RelationType(name="common"),
        common_pb2.RelationType(name="rare"),
    ],
)
COUNTS = {"common": 500, "rare": 5}
TEXT = "A B C"
GATE = evaluation_pb2.Policy(
    mode=evaluation_pb2.MERGE_MODE_GATE, threshold=0.6, rare_below=40, training_counts=COUNTS
)

Calls = Callable[[Any], Coroutine[Any, Any, Any]]


def served(calls: Calls, config: EvaluationConfig | None = None) -> Any:
    """What `calls` gives with a stub of a running service."""

    async def run() -> Any:
        async with Server(build(config or EvaluationConfig()), ServerConfig()) as server:
            await server.load()
            async with grpc.aio.insecure_channel(server.address) as channel:
                return await calls(evaluation_pb2_grpc.EvaluationServiceStub(channel))

    return asyncio.run(run())


def document(name: str, *relations: tuple[str, int, int, float]) -> common_pb2.Document:
    """`A B C` with its letters as entities."""
    return common_pb2.Document(
        id=name,
        text=TEXT,
        entities=[
            common_pb2.Entity(type="PER", start=at, end=at + 1, probability=0.9) for at in (0, 2, 4)
        ],
        relations=[
            common_pb2.Relation(type=kind, head=head, tail=tail, probability=prob)
            for kind, head, tail, prob in relations
        ],
    )


def triple(head: str, tail: str, kind: str, probability: float | None = None) -> common_pb2.Triple:
    return common_pb2.Triple(head=head, tail=tail, type=kind, probability=probability)


def item(
    prediction: common_pb2.Document, *triples: common_pb2.Triple, answered: bool = True
) -> evaluation_pb2.MergeItem:
    return evaluation_pb2.MergeItem(
        prediction=prediction, llm_triples=triples, has_llm_answer=answered
    )


def merged(*items: evaluation_pb2.MergeItem, policy: evaluation_pb2.Policy = GATE) -> Any:
    request = evaluation_pb2.MergeRequest(items=items, schema=SCHEMA, policy=policy)
    return served(lambda stub: stub.Merge(request))


def failure(method: str, request: Any, config: EvaluationConfig | None = None) -> tuple[Any, str]:
    """Status code and message of a call that is refused."""

    async def call(stub: Any) -> tuple[Any, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await getattr(stub, method)(request)
        return caught.value.code(), cast("str", caught.value.details())

    code, message = served(call, config)
    return code, message


def test_merge_answers_with_lineage_offsets_and_what_was_dropped() -> None:
    prediction = document("1", ("common", 0, 1, 0.9), ("common", 1, 2, 0.2))
    said = [triple("C", "A", "rare"), triple("C", "A", "common"), triple("A", "Z", "rare")]
    response = merged(item(prediction, *said))
    result = response.results[0].merged
    assert [
        (t.triple.head, t.triple.tail, t.triple.type, list(t.sources)) for t in result.triples
    ] == [
        ("A", "B", "common", ["slm"]),
        ("C", "A", "rare", ["llm"]),
    ]
    assert result.triples[0].rule == "slm: p >= 0.60"
    assert result.triples[0].slm_probability == pytest.approx(0.9)
    assert not result.triples[1].HasField("slm_probability")
    assert [(r.type, r.head, r.tail) for r in result.document.relations] == [
        ("common", 0, 1),
        ("rare", 2, 0),
    ]
    assert dict(result.dropped) == {"not_in_text": 1}
    assert len(response.policy_digest) == 64


def test_a_sentence_without_an_answer_keeps_the_slm() -> None:
    prediction = document("1", ("common", 0, 1, 0.1))
    response = merged(item(prediction, answered=False))
    assert len(response.results[0].merged.triples) == 1
    assert response.results[0].merged.document == prediction_with_texts(prediction)


def prediction_with_texts(prediction: common_pb2.Document) -> common_pb2.Document:
    expected = common_pb2.Document()
    expected.CopyFrom(prediction)
    expected.offset_unit = common_pb2.OFFSET_UNIT_UNICODE_CODE_POINTS
    for entity in expected.entities:
        entity.text = expected.text[entity.start : entity.end]
    return expected


def test_one_bad_item_fails_alone() -> None:
    broken = document("2", ("common", 0, 9, 0.9))
    unknown = document("3", ("likes", 0, 1, 0.9))
    response = merged(item(document("1", ("common", 0, 1, 0.9))), item(broken), item(unknown))
    assert [result.id for result in response.results] == ["1", "2", "3"]
    assert [result.WhichOneof("outcome") for result in response.results] == [
        "merged",
        "error",
        "error",
    ]
    assert {result.error.code for result in response.results[1:]} == {code_pb2.INVALID_ARGUMENT}


def answered(
    prediction: common_pb2.Document, **said: list[common_pb2.Triple]
) -> evaluation_pb2.MergeItem:
    return evaluation_pb2.MergeItem(
        prediction=prediction,
        answers=[
            evaluation_pb2.LlmAnswer(source=source, triples=triples)
            for source, triples in said.items()
        ],
    )


def test_several_answers_are_merged_by_quorum_with_their_sources() -> None:
    rare, common = triple("C", "A", "rare"), triple("B", "C", "common")
    item_of_two = answered(document("1"), one=[rare, common], two=[rare])
    policy = evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_LLM, quorum=0.5)
    (found,) = merged(item_of_two, policy=policy).results[0].merged.triples
    assert (found.triple.type, list(found.sources)) == ("rare", ["one", "two"])
    any_one = evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_LLM)
    assert len(merged(item_of_two, policy=any_one).results[0].merged.triples) == 2


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (answered(document("1"), slm=[]), "items[0].answers[0].source"),
        (
            evaluation_pb2.MergeItem(
                prediction=document("1"),
                answers=[evaluation_pb2.LlmAnswer(source="a")] * 2,
            ),
            "items[0].answers[1].source",
        ),
        (
            evaluation_pb2.MergeItem(
                prediction=document("1"),
                has_llm_answer=True,
                answers=[evaluation_pb2.LlmAnswer(source="a")],
            ),
            "items[0].answers",
        ),
        (
            evaluation_pb2.MergeItem(
                prediction=document("1"), answers=[evaluation_pb2.LlmAnswer()]
            ),
            "items[0].answers[0].source",
        ),
    ],
)
def test_answers_that_mean_nothing_fail_alone(broken: evaluation_pb2.MergeItem, field: str) -> None:
    first, second = merged(broken, item(document("2"))).results
    assert first.error.code == code_pb2.INVALID_ARGUMENT
    assert field in first.error.message
    assert second.WhichOneof("outcome") == "merged"


def test_probabilities_are_calibrated_and_the_slms_own_stay() -> None:
    policy = evaluation_pb2.Policy(
        mode=evaluation_pb2.MERGE_MODE_UNION,
        calibration=evaluation_pb2.Calibration(
            method="isotonic", from_probabilities=[0.0, 1.0], to_probabilities=[0.0, 0.5]
        ),
    )
    prediction = document("1", ("common", 0, 1, 0.9))
    response = merged(item(prediction, triple("C", "A", "rare")), policy=policy)
    ours, theirs = response.results[0].merged.triples
    assert ours.triple.probability == pytest.approx(0.45)
    assert ours.slm_probability == pytest.approx(0.9)
    assert not theirs.triple.HasField("probability")


def test_the_learned_mode_decides_by_confidence() -> None:
    policy = evaluation_pb2.Policy(
        mode=evaluation_pb2.MERGE_MODE_LEARNED,
        confidence=evaluation_pb2.Confidence(
            sources=["llm"], intercept=-1, weights={"llm_share": 3.0}, threshold=0.5
        ),
    )
    prediction = document("1", ("common", 0, 1, 0.9))
    (found,) = (
        merged(item(prediction, triple("C", "A", "rare")), policy=policy).results[0].merged.triples
    )
    assert (found.triple.type, found.rule) == ("rare", "confidence >= 0.50")
    assert found.triple.probability == pytest.approx(0.881, abs=0.001)
    (unanswered,) = (
        merged(item(prediction, answered=False), policy=policy).results[0].merged.triples
    )
    assert unanswered.triple.probability == pytest.approx(0.9)


def test_a_policy_for_another_task_is_refused() -> None:
    policy = evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_SLM, task="numbers")
    request = evaluation_pb2.MergeRequest(schema=SCHEMA, policy=policy)
    code, message = failure("Merge", request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "letters" in message


def test_several_answers_are_fitted_and_the_policy_is_applied() -> None:
    request = dev_request(60)
    for found in request.items:
        found.answers.add(source="one", triples=found.llm_triples)
        found.answers.add(source="two", triples=[triple("A", "C", "common")])
        found.ClearField("llm_triples")
        found.has_llm_answer = False

    async def calls(stub: Any) -> tuple[Any, Any]:
        fitted = await stub.FitPolicy(request)
        merge = evaluation_pb2.MergeRequest(
            items=request.items, schema=SCHEMA, policy=fitted.policy
        )
        return fitted, await stub.Merge(merge)

    fitted, response = served(calls)
    assert {trial.policy.quorum for trial in fitted.trials} == {0.0, 0.5, 1.0}
    assert fitted.policy.task == "letters"
    assert list(fitted.policy.confidence.sources) == ["one", "two"]
    assert fitted.trials[0].gap == 0
    assert fitted.trials[-1].gap > 0
    assert all(result.WhichOneof("outcome") == "merged" for result in response.results)


def test_the_text_filter_adds_entities() -> None:
    prediction = document("1")
    del prediction.entities[1:]
    policy = evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_LLM, entity_filter="text")
    result = merged(item(prediction, triple("A", "C", "rare")), policy=policy).results[0].merged
    assert [entity.text for entity in result.document.entities] == ["A", "C"]


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (evaluation_pb2.Policy(), "policy.mode"),
        (evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_LLM, threshold=2), "policy"),
        (evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_LLM, digest="0"), "policy.digest"),
        (
            evaluation_pb2.Policy(mode=evaluation_pb2.MERGE_MODE_LLM, entity_filter="x"),
            "policy.entity_filter",
        ),
    ],
)
def test_a_policy_that_means_nothing_is_refused(policy: evaluation_pb2.Policy, field: str) -> None:
    request = evaluation_pb2.MergeRequest(schema=SCHEMA, policy=policy)
    code, message = failure("Merge", request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in message


def test_limits_and_repeated_ids_are_refused() -> None:
    items = [item(document(str(index))) for index in range(3)]
    request = evaluation_pb2.MergeRequest(items=items, schema=SCHEMA, policy=GATE)
    code, _ = failure("Merge", request, EvaluationConfig(max_merge_items=2))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    request = evaluation_pb2.MergeRequest(items=items[:1] * 2, schema=SCHEMA, policy=GATE)
    assert failure("Merge", request)[0] is grpc.StatusCode.INVALID_ARGUMENT
    asked = evaluation_pb2.ScoreRequest(
        gold=[document("1")], schema=SCHEMA, bootstrap_samples=1_000_000
    )
    assert "bootstrap_samples" in failure("Score", asked)[1]


def dev_request(count: int = 40) -> evaluation_pb2.FitPolicyRequest:
    """Gold has a common and a rare relation: the SLM finds the first, the LLM the second."""
    return evaluation_pb2.FitPolicyRequest(
        gold=[document(str(i), ("common", 0, 1, 1), ("rare", 1, 2, 1)) for i in range(count)],
        items=[
            item(document(str(i), ("common", 0, 1, 0.9)), triple("B", "C", "rare"))
            for i in range(count)
        ],
        schema=SCHEMA,
        training_counts=COUNTS,
    )


def test_fit_policy_chooses_and_its_policy_can_be_applied() -> None:
    request = dev_request()

    async def calls(stub: Any) -> tuple[Any, Any]:
        fitted = await stub.FitPolicy(request)
        merge = evaluation_pb2.MergeRequest(
            items=request.items, schema=SCHEMA, policy=fitted.policy
        )
        return fitted, await stub.Merge(merge)

    fitted, response = served(calls)
    assert fitted.policy.mode == evaluation_pb2.MERGE_MODE_UNION
    assert response.policy_digest == fitted.policy.digest
    assert [trial.objective for trial in fitted.trials] == sorted(
        (trial.objective for trial in fitted.trials), reverse=True
    )
    assert all(len(result.merged.triples) == 2 for result in response.results)


def test_fit_policy_refuses_ids_that_do_not_match() -> None:
    request = dev_request(2)
    request.items[0].prediction.id = "elsewhere"
    code, message = failure("FitPolicy", request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "items" in message


def test_fit_policy_without_answers_gives_the_default_and_without_items_refuses() -> None:
    request = dev_request()
    for found in request.items:
        found.has_llm_answer = False
    policy = served(lambda stub: stub.FitPolicy(request)).policy
    assert (policy.mode, policy.threshold, policy.rare_below) == (
        evaluation_pb2.MERGE_MODE_GATE,
        0.6,
        40,
    )
    del request.items[:]
    assert failure("FitPolicy", request)[0] is grpc.StatusCode.INVALID_ARGUMENT


def system(name: str, *triples: common_pb2.Triple) -> evaluation_pb2.ScoredSystem:
    return evaluation_pb2.ScoredSystem(id=name, triples=triples)


def test_score_by_the_strict_protocol() -> None:
    request = evaluation_pb2.ScoreRequest(
        gold=[document("1", ("common", 0, 1, 1)), document("2", ("rare", 1, 2, 1))],
        predictions=[system("1", triple("A", "B", "common"), triple("A", "B", "likes"))],
        schema=SCHEMA,
        training_counts=COUNTS,
        bootstrap_samples=100,
    )
    scores = served(lambda stub: stub.Score(request)).scores
    assert (scores.counts.correct, scores.counts.predicted, scores.counts.gold) == (1, 1, 2)
    assert (scores.micro.precision, scores.micro.recall) == (1.0, 0.5)
    assert scores.micro.HasField("f1_low")
    assert scores.off_schema == 1
    assert {bucket.bucket: bucket.counts.gold for bucket in scores.by_frequency} == {
        "head": 1,
        "medium": 0,
        "tail": 1,
    }


def test_score_by_the_span_protocol() -> None:
    answer = document("anything", ("common", 0, 1, 0.9))
    answer.entities[2].type = "ORG"
    request = evaluation_pb2.ScoreRequest(
        gold=[document("1", ("common", 0, 1, 1))],
        predictions=[evaluation_pb2.ScoredSystem(id="1", document=answer)],
        schema=SCHEMA,
        protocol="span",
    )
    spans = served(lambda stub: stub.Score(request)).scores.spans
    assert {name: round(figures.f1, 3) for name, figures in spans.items()} == {
        "entities": 0.667,
        "boundaries": 1.0,
        "relations": 1.0,
        "relations_strict": 1.0,
        "ner_strict": 0.667,
        "ner_exact": 1.0,
        "ner_partial": 1.0,
        "ner_type": 0.667,
    }


def test_score_tells_what_probabilities_are_worth() -> None:
    request = evaluation_pb2.ScoreRequest(
        gold=[document("1", ("common", 0, 1, 1)), document("2", ("common", 0, 1, 1))],
        predictions=[
            system("1", triple("A", "B", "common", 0.9)),
            system("2", triple("B", "A", "common", 0.6)),
        ],
        schema=SCHEMA,
    )
    scores = served(lambda stub: stub.Score(request)).scores
    assert scores.reliability.count == 2
    assert scores.reliability.expected_calibration_error == pytest.approx((0.1 + 0.6) / 2)
    assert scores.reliability.brier_score == pytest.approx((0.01 + 0.36) / 2)
    assert [(item.low, item.high, item.count) for item in scores.reliability.bins] == [
        (0.5, 0.6, 1),
        (0.8, 0.9, 1),
    ]
    assert [(p.threshold, p.precision, p.recall) for p in scores.precision_recall] == [
        (0.9, 1.0, 0.5),
        (0.6, 0.5, 0.5),
    ]
    assert scores.average_precision == 0.5


@pytest.mark.parametrize("probability", [2.0, -0.1, float("nan")])
def test_a_probability_that_is_none_is_refused_with_its_place(probability: float) -> None:
    said = triple("A", "B", "common", probability)
    request = evaluation_pb2.ScoreRequest(
        gold=[document("1", ("common", 0, 1, 1))], predictions=[system("1", said)], schema=SCHEMA
    )
    code, message = failure("Score", request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "predictions[0].triples[0]" in message
    (result,) = merged(item(document("1"), said)).results
    assert "items[0].llm_triples[0]" in result.error.message


def test_without_probabilities_nothing_is_said_of_them() -> None:
    request = evaluation_pb2.ScoreRequest(
        gold=[document("1", ("common", 0, 1, 1))],
        predictions=[system("1", triple("A", "B", "common"))],
        schema=SCHEMA,
    )
    scores = served(lambda stub: stub.Score(request)).scores
    assert not scores.HasField("reliability")
    assert not scores.HasField("average_precision")
    assert not scores.precision_recall


def test_negative_training_counts_are_refused() -> None:
    score = evaluation_pb2.ScoreRequest(
        gold=[document("1")], schema=SCHEMA, training_counts={"common": -1}
    )
    spans = evaluation_pb2.ScoreRequest(protocol="span")
    spans.MergeFrom(score)
    compare = evaluation_pb2.CompareRequest(
        gold=[document("1")], schema=SCHEMA, training_counts={"common": -1}
    )
    dev = dev_request(2)
    dev.training_counts["common"] = -1
    for method, request in (
        ("Score", score),
        ("Score", spans),
        ("Compare", compare),
        ("FitPolicy", dev),
    ):
        code, message = failure(method, request)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "training_counts" in message


def test_an_unknown_protocol_is_refused() -> None:
    request = evaluation_pb2.ScoreRequest(gold=[document("1")], schema=SCHEMA, protocol="paper")
    assert "protocol" in failure("Score", request)[1]


def test_compare_gives_the_difference_with_its_interval() -> None:
    gold = [document(str(index), ("common", 0, 1, 1)) for index in range(20)]
    right = [system(str(index), triple("A", "B", "common")) for index in range(20)]
    request = evaluation_pb2.CompareRequest(
        gold=gold, baseline=right[:10], candidate=right, schema=SCHEMA
    )
    response = served(lambda stub: stub.Compare(request))
    assert response.candidate.micro.f1 == 1.0
    assert response.micro_f1.value == pytest.approx(1 - 2 / 3)
    assert 0 < response.micro_f1.low < response.micro_f1.value < response.micro_f1.high < 1
    # One type: all forms of F1 are the same.
    for other in (response.macro_f1_pr, response.macro_f1_mean):
        assert (other.value, other.low, other.high) == pytest.approx(
            (response.micro_f1.value, response.micro_f1.low, response.micro_f1.high)
        )
