"""Targets for requests: the bytes are read as a message, and what serves it works on that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from google.protobuf.message import DecodeError, Message

from fuzz import inputs
from fuzz.promises import check_document, check_schema, value_or_refusal
from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm.training.v1 import training_pb2
from slcolm_services.coordinator.servicer import _check_guidance
from slcolm_services.errors import SlcolmError
from slcolm_services.evaluation.config import EvaluationConfig
from slcolm_services.evaluation.measures import EvaluationMeasures
from slcolm_services.evaluation.servicer import EvaluationServicer
from slcolm_services.guidance.prompt import Window, build_guide
from slcolm_services.guidance.rules import revise
from slcolm_services.guidance.wire import (
    budget_from_wire,
    item_from_wire,
    options_from_wire,
    run_id_from_wire,
    sample_from_wire,
)
from slcolm_services.retrieval.servicer import _sentence_from_wire
from slcolm_services.runtime.paging import page
from slcolm_services.runtime.status import fitted, status_of
from slcolm_services.runtime.wire import (
    document_from_wire,
    document_to_wire,
    schema_from_wire,
    schema_to_wire,
)
from slcolm_services.training.servicer import _job

Check = Callable[[bytes], None]

_EVALUATION = EvaluationServicer(EvaluationConfig(), EvaluationMeasures())
_WINDOW = Window(context_tokens=8_000, answer_tokens=500)


def _read(kind: type[Message], content: bytes) -> Message | None:
    """The message; None where the bytes are none, which the server tells before all else."""
    try:
        message = kind.FromString(content)
    except DecodeError:
        return None
    return message


def _answered(serve: Callable[[], object]) -> None:
    """Serve a request; a refusal must fit into a status."""

    def served() -> object:
        try:
            return serve()
        except SlcolmError as error:
            assert len(fitted(status_of(error)).SerializeToString()) <= 8192  # noqa: PT017
            raise

    value_or_refusal(served)


def _document(content: bytes) -> None:
    message = _read(common_pb2.Document, content)
    if isinstance(message, common_pb2.Document):
        document = value_or_refusal(lambda: document_from_wire(message))
        if document is not None:
            check_document(document)
            assert document_from_wire(document_to_wire(document)) == document


def _schema(content: bytes) -> None:
    message = _read(common_pb2.TaskSchema, content)
    if isinstance(message, common_pb2.TaskSchema):
        schema = value_or_refusal(lambda: schema_from_wire(message))
        if schema is not None:
            check_schema(schema)
            assert schema_from_wire(schema_to_wire(schema)) == schema


def _merge(content: bytes) -> None:
    message = _read(evaluation_pb2.MergeRequest, content)
    if isinstance(message, evaluation_pb2.MergeRequest):
        _answered(lambda: _EVALUATION._merge(message))


def _fit(content: bytes) -> None:
    message = _read(evaluation_pb2.FitPolicyRequest, content)
    if isinstance(message, evaluation_pb2.FitPolicyRequest):
        _answered(lambda: _EVALUATION._fit(message))


def _score(content: bytes) -> None:
    message = _read(evaluation_pb2.ScoreRequest, content)
    if isinstance(message, evaluation_pb2.ScoreRequest):
        message.bootstrap_samples = min(message.bootstrap_samples, 20)
        _answered(lambda: _EVALUATION._score(message))


def _compare(content: bytes) -> None:
    message = _read(evaluation_pb2.CompareRequest, content)
    if isinstance(message, evaluation_pb2.CompareRequest):
        message.bootstrap_samples = max(-1, min(message.bootstrap_samples, 20)) or 5
        _answered(lambda: _EVALUATION._compare(message))


def _guide(content: bytes) -> None:
    message = _read(guidance_pb2.GuideRequest, content)
    if not isinstance(message, guidance_pb2.GuideRequest):
        return

    def served() -> None:
        schema = schema_from_wire(message.schema)
        options = options_from_wire(message.options)
        sample_from_wire(message.sample)
        run_id_from_wire(message.run_id)
        budget_from_wire(message)
        for index, item in enumerate(message.items):
            document = document_from_wire(item.prediction, f"items[{index}].prediction")
            guided = item_from_wire(item, document, f"items[{index}]")
            prompt = build_guide(guided, schema, options, _WINDOW)
            assert prompt.tokens <= _WINDOW.prompt_tokens
            for finding in revise(guided, schema, min_probability=0.7).added:
                assert finding.triple.type in schema.relations_by_name

    _answered(served)


def _index(content: bytes) -> None:
    message = _read(retrieval_pb2.IndexDemonstrationsRequest, content)
    if isinstance(message, retrieval_pb2.IndexDemonstrationsRequest):

        def served() -> None:
            schema = schema_from_wire(message.schema)
            for index, sentence in enumerate(message.sentences):
                read = _sentence_from_wire(sentence, f"sentences[{index}]", schema)
                check_document(read.gold)
                assert abs(float((read.vector**2).sum()) - 1.0) < 1e-3
                read.point_id()

        _answered(served)


def _run(content: bytes) -> None:
    message = _read(coordinator_pb2.CreateRunRequest, content)
    if isinstance(message, coordinator_pb2.CreateRunRequest):
        _answered(lambda: _check_guidance(message.spec))
        _answered(lambda: schema_from_wire(message.spec.schema, "spec.schema"))


def _train(content: bytes) -> None:
    message = _read(training_pb2.TrainRequest, content)
    if isinstance(message, training_pb2.TrainRequest):
        _answered(lambda: _job(message))


def _page(content: bytes) -> None:
    message = _read(extraction_pb2.ListModelsRequest, content)
    if isinstance(message, extraction_pb2.ListModelsRequest):
        names = [str(number) for number in range(100)]
        _answered(lambda: page(names, message.page_size, message.page_token))


def _documents() -> list[common_pb2.Document]:
    return [document_to_wire(document) for document in inputs.documents()[:2]]


def _small_schema() -> common_pb2.TaskSchema:
    return schema_to_wire(inputs.task())


def _policy() -> evaluation_pb2.Policy:
    kind = inputs.task().relation_types[0].name
    return evaluation_pb2.Policy(
        mode=evaluation_pb2.MERGE_MODE_GATE,
        threshold=0.5,
        rare_below=20,
        training_counts={kind: 3},
        calibration=evaluation_pb2.Calibration(method="temperature", temperature=2.0),
    )


def _merge_items() -> list[evaluation_pb2.MergeItem]:
    first, second = _documents()
    triples = [
        common_pb2.Triple(head=triple.head, tail=triple.tail, type=triple.type, probability=0.5)
        for triple in inputs.documents()[0].triples()
    ]
    return [
        evaluation_pb2.MergeItem(prediction=first, llm_triples=triples, has_llm_answer=True),
        evaluation_pb2.MergeItem(
            prediction=second, answers=[evaluation_pb2.LlmAnswer(source="a", triples=triples)]
        ),
    ]


def _systems() -> list[evaluation_pb2.ScoredSystem]:
    return [
        evaluation_pb2.ScoredSystem(
            id=document.id,
            triples=[common_pb2.Triple(head="a", tail="b", type="父", probability=0.1)],
            document=document,
        )
        for document in _documents()
    ]


def _seeds(make: Callable[[], Message]) -> Callable[[], Sequence[bytes]]:
    return lambda: [make().SerializeToString(deterministic=True)]


TARGETS: Mapping[str, tuple[Check, Callable[[], Sequence[bytes]]]] = {
    "wire-document": (_document, _seeds(lambda: _documents()[0])),
    "wire-schema": (_schema, _seeds(_small_schema)),
    "wire-merge": (
        _merge,
        _seeds(
            lambda: evaluation_pb2.MergeRequest(
                items=_merge_items(), schema=_small_schema(), policy=_policy()
            )
        ),
    ),
    "wire-fit": (
        _fit,
        _seeds(
            lambda: evaluation_pb2.FitPolicyRequest(
                gold=_documents(), items=_merge_items(), schema=_small_schema()
            )
        ),
    ),
    "wire-score": (
        _score,
        _seeds(
            lambda: evaluation_pb2.ScoreRequest(
                gold=_documents(), predictions=_systems(), schema=_small_schema(), protocol="span"
            )
        ),
    ),
    "wire-compare": (
        _compare,
        _seeds(
            lambda: evaluation_pb2.CompareRequest(
                gold=_documents(),
                baseline=_systems(),
                candidate=_systems(),
                schema=_small_schema(),
                bootstrap_samples=5,
            )
        ),
    ),
    "wire-guide": (
        _guide,
        _seeds(
            lambda: guidance_pb2.GuideRequest(
                items=[
                    guidance_pb2.GuideItem(
                        prediction=_documents()[0],
                        demonstrations=[
                            common_pb2.Demonstration(
                                gold=_documents()[1], prediction=_documents()[1]
                            )
                        ],
                        candidates=[
                            common_pb2.CandidateRelation(type="父", score=0.5, triggers=["父"])
                        ],
                    )
                ],
                schema=_small_schema(),
                run_id="r",
                budget=guidance_pb2.Budget(max_calls=1),
            )
        ),
    ),
    "wire-index": (
        _index,
        _seeds(
            lambda: retrieval_pb2.IndexDemonstrationsRequest(
                index_revision="a",
                model_revision="m",
                schema=_small_schema(),
                sentences=[
                    retrieval_pb2.IndexedSentence(
                        gold=_documents()[0],
                        vector=[0.5, 0.5],
                        role=retrieval_pb2.SENTENCE_ROLE_TRAINING,
                    )
                ],
            )
        ),
    ),
    "wire-run": (
        _run,
        _seeds(
            lambda: coordinator_pb2.CreateRunRequest(
                spec=coordinator_pb2.RunSpec(schema=_small_schema(), samples=2)
            )
        ),
    ),
    "wire-train": (
        _train,
        _seeds(
            lambda: training_pb2.TrainRequest(
                train_dataset="a", dev_dataset="b", schema=_small_schema()
            )
        ),
    ),
    "wire-page": (
        _page,
        _seeds(lambda: extraction_pb2.ListModelsRequest(page_size=5, page_token="MTA=")),
    ),
}
"""Check and seeds by name."""
