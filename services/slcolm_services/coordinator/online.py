"""Online prediction: single texts through extraction, guidance and merge of a succeeded run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from google.rpc.status_pb2 import Status

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.asking import (
    Answers,
    Asker,
    guidance_of,
    providers_of,
    questions,
)
from slcolm_services.coordinator.context import Tools
from slcolm_services.coordinator.outcomes import has_answer
from slcolm_services.errors import SlcolmError
from slcolm_services.runtime.status import status_of

_log = structlog.get_logger(__name__)


def predict(
    tools: Tools,
    run: coordinator_pb2.Run,
    policy: evaluation_pb2.Policy,
    documents: Sequence[common_pb2.Document],
) -> coordinator_pb2.PredictResponse:
    """Predict texts with the model, index and policy of `run`; a result per text, in order.

    Where no LLM answer can be had, the SLM's triples stand and the result says why.
    """
    extracted = pipeline.extract(
        tools.peers,
        documents,
        revision=run.model_revision,
        batch_documents=tools.config.batch_documents,
        on_done=_ignore,
    )
    extractions = [
        result.extraction for result in extracted if result.WhichOneof("outcome") == "extraction"
    ]
    answers, unavailable = _guide(tools, run, extractions)
    items = [
        pipeline.merge_item(item.document, answers.get(item.document.id, {}))
        for item in extractions
    ]
    merged = {
        result.id: result
        for result in pipeline.merge(
            tools.peers,
            items,
            run.spec.schema,
            policy,
            batch_documents=tools.config.batch_documents,
            on_done=_ignore,
        )
    }
    results = []
    for result in extracted:
        if result.WhichOneof("outcome") == "error":
            results.append(coordinator_pb2.PredictResult(id=result.id, error=result.error))
        elif merged[result.id].WhichOneof("outcome") == "error":
            error = merged[result.id].error
            results.append(coordinator_pb2.PredictResult(id=result.id, error=error))
        else:
            prediction = _prediction(
                merged[result.id].merged, answers.get(result.id, {}), unavailable
            )
            results.append(coordinator_pb2.PredictResult(id=result.id, prediction=prediction))
    return coordinator_pb2.PredictResponse(
        results=results,
        model_revision=run.model_revision,
        index_revision=run.index_revision,
        policy_digest=run.policy_digest,
    )


def _guide(
    tools: Tools,
    run: coordinator_pb2.Run,
    extractions: Sequence[extraction_pb2.Extraction],
) -> tuple[Mapping[str, Answers], Status | None]:
    """Answers by id, or why there are none: guidance that is down must not cost the prediction."""
    try:
        guidance = guidance_of(
            run.spec,
            providers_of(tools.peers, run.spec),
            index_revision=run.index_revision,
            run_id=run.id,
        )
        asker = Asker(
            tools.peers,
            guidance,
            batch_documents=tools.config.guide_batch_documents,
            calls_in_flight=tools.config.guide_calls_in_flight,
        )
        asked = questions(extractions, asker.select(extractions, _ignore))
        answers = asker.ask(asked, _ignore)
    except SlcolmError as error:
        _log.warning("prediction without guidance", reason=error.reason)
        return {}, status_of(error)
    return {question.id: answer for question, answer in zip(asked, answers, strict=True)}, None


def _prediction(
    merged: evaluation_pb2.Merged,
    answers: Answers,
    unavailable: Status | None,
) -> coordinator_pb2.Prediction:
    prediction = coordinator_pb2.Prediction(
        document=merged.document,
        triples=[
            coordinator_pb2.PredictedTriple(
                triple=item.triple, sources=item.sources, rule=item.rule
            )
            for item in merged.triples
        ],
    )
    guided = [answer.guided for answer in answers.values() if has_answer(answer)]
    if guided:
        prediction.explanation = guided[0].explanation
        prediction.offline_rules = all(answer.origin.offline_rules for answer in guided)
        return prediction
    failed = [answer.error for answer in answers.values() if answer.HasField("error")]
    reason = failed[0] if failed else unavailable
    if reason is not None:
        prediction.guidance_error.CopyFrom(reason)
    return prediction


def _ignore(finished: int) -> None:
    """Online prediction is short: nobody watches its progress."""
