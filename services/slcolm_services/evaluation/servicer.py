"""Evaluation on the wire: requests in, answers out, work off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import grpc

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2, evaluation_pb2_grpc
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import FieldViolation, InvalidInput, SlcolmError
from slcolm_services.evaluation.config import EvaluationConfig
from slcolm_services.evaluation.documents import evidence_of_document
from slcolm_services.evaluation.evidence import LLM, SLM, Evidence
from slcolm_services.evaluation.fit import fit
from slcolm_services.evaluation.learning import DevSentence
from slcolm_services.evaluation.measures import EvaluationMeasures
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.placement import place
from slcolm_services.evaluation.policy import EntityFilter, Policy
from slcolm_services.evaluation.wire_policy import (
    entity_filter_of,
    merged_triple_to_wire,
    policy_from_wire,
    policy_to_wire,
    trial_to_wire,
)
from slcolm_services.evaluation.wire_scores import (
    difference_to_wire,
    scores_to_wire,
    sentences_from_wire,
    span_scores_to_wire,
    training_counts_from_wire,
)
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.wire import (
    check_batch,
    document_from_wire,
    document_to_wire,
    schema_from_wire,
    triple_from_wire,
)
from slcolm_services.scoring.align import by_gold_id
from slcolm_services.scoring.ner import score_ner
from slcolm_services.scoring.reliability import Judged, judge
from slcolm_services.scoring.span import score_spans
from slcolm_services.scoring.strict import (
    Sentence,
    StrictCounts,
    compare,
    count_items,
    score,
    strict_items,
)

_DEFAULT_SAMPLES = 1000


class EvaluationServicer(evaluation_pb2_grpc.EvaluationServiceServicer):
    """Serves `slcolm.evaluation.v1.EvaluationService`."""

    def __init__(self, config: EvaluationConfig, measures: EvaluationMeasures) -> None:
        self._config = config
        self._measures = measures

    async def Merge(
        self,
        request: evaluation_pb2.MergeRequest,
        context: grpc.aio.ServicerContext[
            evaluation_pb2.MergeRequest, evaluation_pb2.MergeResponse
        ],
    ) -> evaluation_pb2.MergeResponse:
        """Merge a batch by a policy; one bad item fails alone."""
        del context
        return await asyncio.to_thread(self._merge, request)

    async def FitPolicy(
        self,
        request: evaluation_pb2.FitPolicyRequest,
        context: grpc.aio.ServicerContext[
            evaluation_pb2.FitPolicyRequest, evaluation_pb2.FitPolicyResponse
        ],
    ) -> evaluation_pb2.FitPolicyResponse:
        """Choose a policy on dev."""
        del context
        return await asyncio.to_thread(self._fit, request)

    async def Score(
        self,
        request: evaluation_pb2.ScoreRequest,
        context: grpc.aio.ServicerContext[
            evaluation_pb2.ScoreRequest, evaluation_pb2.ScoreResponse
        ],
    ) -> evaluation_pb2.ScoreResponse:
        """Score predictions against gold."""
        del context
        return await asyncio.to_thread(self._score, request)

    async def Compare(
        self,
        request: evaluation_pb2.CompareRequest,
        context: grpc.aio.ServicerContext[
            evaluation_pb2.CompareRequest, evaluation_pb2.CompareResponse
        ],
    ) -> evaluation_pb2.CompareResponse:
        """Score two systems on the same sentences."""
        del context
        return await asyncio.to_thread(self._compare, request)

    def _merge(self, request: evaluation_pb2.MergeRequest) -> evaluation_pb2.MergeResponse:
        check_batch(
            [item.prediction.id for item in request.items],
            field="items",
            limit=self._config.max_merge_items,
        )
        schema, policy = schema_from_wire(request.schema), policy_from_wire(request.policy)
        policy.check_task(schema, "policy.")
        return evaluation_pb2.MergeResponse(
            results=[
                self._merge_result(item, f"items[{index}]", schema, policy)
                for index, item in enumerate(request.items)
            ],
            policy_digest=policy.digest,
        )

    def _merge_result(
        self, message: evaluation_pb2.MergeItem, field: str, schema: TaskSchema, policy: Policy
    ) -> evaluation_pb2.MergeResult:
        name = policy.entity_filter
        try:
            item = _read_item(message, field, schema, [name])
            merged = merge(item.evidence[name], policy, schema)
            document = place(item.prediction, merged, schema)
        except SlcolmError as error:
            self._measures.sentences.labels(error.reason).inc()
            return evaluation_pb2.MergeResult(id=message.prediction.id, error=status_of(error))
        slm = frozenset(item.evidence[name].slm)
        self._measures.merged(slm, {result.triple for result in merged})
        return evaluation_pb2.MergeResult(
            id=item.id,
            merged=evaluation_pb2.Merged(
                triples=[merged_triple_to_wire(triple) for triple in merged],
                document=document_to_wire(document),
                dropped=item.dropped[name],
            ),
        )

    def _fit(self, request: evaluation_pb2.FitPolicyRequest) -> evaluation_pb2.FitPolicyResponse:
        schema = schema_from_wire(request.schema)
        training_counts = training_counts_from_wire(request.training_counts)
        limit = self._config.max_fit_sentences
        gold = _gold(request.gold, limit)
        check_batch([item.prediction.id for item in request.items], field="items", limit=limit)
        filters = [entity_filter_of(name, "entity_filters") for name in self._config.entity_filters]
        items = [
            _read_item(item, f"items[{index}]", schema, filters)
            for index, item in enumerate(request.items)
        ]
        # A sentence whose prediction failed has no item: it can teach nothing, and is left out.
        dev = [
            DevSentence(truth.id, truth.triples(), item.evidence)
            for truth, item in zip(gold, by_gold_id(gold, items, "items"), strict=True)
            if item is not None
        ]
        if not dev:
            raise InvalidInput(
                "there is nothing to fit on",
                violations=[FieldViolation("items", "must not be empty")],
            )
        fitted = fit(dev, schema, training_counts, entity_filters=filters)
        self._measures.policies.labels(fitted.policy.mode.value).inc()
        return evaluation_pb2.FitPolicyResponse(
            policy=policy_to_wire(fitted.policy),
            trials=[trial_to_wire(trial) for trial in fitted.trials],
        )

    def _score(self, request: evaluation_pb2.ScoreRequest) -> evaluation_pb2.ScoreResponse:
        schema = schema_from_wire(request.schema)
        gold = _gold(request.gold, self._config.max_scored_sentences)
        training_counts = training_counts_from_wire(request.training_counts)
        if request.protocol == "span":
            self._check_predictions(request.predictions, "predictions")
            found = _documents(request.predictions)
            symmetric = [kind.name for kind in schema.relation_types if kind.symmetric]
            spans, ner = score_spans(gold, found, symmetric), score_ner(gold, found)
            return evaluation_pb2.ScoreResponse(
                scores=span_scores_to_wire(spans, ner, training_counts)
            )
        if request.protocol not in ("", "strict"):
            raise InvalidInput(
                f"there is no protocol {request.protocol!r}",
                violations=[FieldViolation("protocol", "must be strict or span")],
            )
        counts, judged = self._match(gold, request.predictions, "predictions", schema)
        samples = self._samples(request.bootstrap_samples)
        return evaluation_pb2.ScoreResponse(
            scores=scores_to_wire(score(counts, training_counts, samples=samples), judged)
        )

    def _compare(self, request: evaluation_pb2.CompareRequest) -> evaluation_pb2.CompareResponse:
        schema = schema_from_wire(request.schema)
        gold = _gold(request.gold, self._config.max_scored_sentences)
        training_counts = training_counts_from_wire(request.training_counts)
        samples = self._samples(request.bootstrap_samples) or _DEFAULT_SAMPLES
        baseline = self._match(gold, request.baseline, "baseline", schema)
        candidate = self._match(gold, request.candidate, "candidate", schema)
        comparison = compare(baseline[0], candidate[0], samples=samples)
        first, second = (
            scores_to_wire(score(counts, training_counts, samples=samples), judged)
            for counts, judged in (baseline, candidate)
        )
        return evaluation_pb2.CompareResponse(
            baseline=first,
            candidate=second,
            micro_f1=difference_to_wire(comparison.micro_f1),
            macro_f1_pr=difference_to_wire(comparison.macro_f1_pr),
            macro_f1_mean=difference_to_wire(comparison.macro_f1_mean),
        )

    def _check_predictions(
        self, systems: Sequence[evaluation_pb2.ScoredSystem], field: str
    ) -> None:
        limit = self._config.max_scored_sentences
        check_batch([system.id for system in systems], field=field, limit=limit)

    def _match(
        self,
        gold: Sequence[Document],
        systems: Sequence[evaluation_pb2.ScoredSystem],
        field: str,
        schema: TaskSchema,
    ) -> tuple[StrictCounts, Judged]:
        self._check_predictions(systems, field)
        true = [Sentence(document.id, document.triples()) for document in gold]
        found = sentences_from_wire(systems, field)
        items = strict_items(true, found, schema)
        return count_items(items, schema), judge(items)

    def _samples(self, asked: int) -> int:
        limit = self._config.max_bootstrap_samples
        if not 0 <= asked <= limit:
            problem = f"must be between 0 and {limit}, got {asked}"
            raise InvalidInput(
                f"bootstrap_samples {problem}",
                violations=[FieldViolation("bootstrap_samples", problem)],
            )
        return asked


def _gold(messages: Sequence[common_pb2.Document], limit: int) -> list[Document]:
    check_batch([document.id for document in messages], field="gold", limit=limit)
    return [
        document_from_wire(document, f"gold[{index}]") for index, document in enumerate(messages)
    ]


@dataclass(frozen=True, slots=True)
class _Item:
    """A merge item as it was read, and what each filter leaves of it."""

    prediction: Document
    evidence: Mapping[EntityFilter, Evidence]
    dropped: Mapping[EntityFilter, Mapping[str, int]]

    @property
    def id(self) -> str:
        return self.prediction.id


def _read_item(
    item: evaluation_pb2.MergeItem,
    field: str,
    schema: TaskSchema,
    entity_filters: Sequence[EntityFilter],
) -> _Item:
    prediction = document_from_wire(item.prediction, f"{field}.prediction")
    for index, relation in enumerate(prediction.relations):
        if relation.type not in schema.relations_by_name:
            place = f"{field}.prediction.relations[{index}].type"
            raise InvalidInput(
                f"the SLM predicted a relation type outside the schema: {relation.type!r}",
                violations=[FieldViolation(place, f"{relation.type!r} is not a relation type")],
            )
    answers = {
        source: [
            triple_from_wire(triple, f"{place}[{index}]") for index, triple in enumerate(triples)
        ]
        for source, (place, triples) in _answers(item, field).items()
    }
    found = {
        name: evidence_of_document(prediction, answers, schema, name) for name in entity_filters
    }
    return _Item(
        prediction,
        {name: evidence for name, (evidence, _) in found.items()},
        {name: dropped for name, (_, dropped) in found.items()},
    )


def _answers(
    item: evaluation_pb2.MergeItem, field: str
) -> dict[str, tuple[str, Sequence[common_pb2.Triple]]]:
    """What was answered by source, with its path, from the short form or the long one."""
    if item.has_llm_answer or item.llm_triples:
        if item.answers:
            problem = "must be empty where llm_triples or has_llm_answer is set"
            raise _invalid_answers(f"{field}.answers", problem)
        return {LLM: (f"{field}.llm_triples", item.llm_triples)} if item.has_llm_answer else {}
    answers: dict[str, tuple[str, Sequence[common_pb2.Triple]]] = {}
    for index, answer in enumerate(item.answers):
        place = f"{field}.answers[{index}].source"
        if not answer.source or answer.source == SLM:
            raise _invalid_answers(place, f"must name who answered, got {answer.source!r}")
        if answer.source in answers:
            raise _invalid_answers(place, f"{answer.source!r} stands twice")
        answers[answer.source] = (f"{field}.answers[{index}].triples", answer.triples)
    return answers


def _invalid_answers(field: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{field} {problem}", violations=[FieldViolation(field, problem)])


def _documents(systems: Sequence[evaluation_pb2.ScoredSystem]) -> list[Document]:
    documents = [
        document_from_wire(system.document, f"predictions[{index}].document")
        for index, system in enumerate(systems)
    ]
    return [
        replace(document, id=system.id) for system, document in zip(systems, documents, strict=True)
    ]
