"""Online prediction: single texts through extraction, guidance and merge of a succeeded run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from google.rpc.status_pb2 import Status

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.context import Tools, demonstration_count
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
    spec = run.spec
    answers, unavailable = _guide(tools, run, extractions)
    items = [
        pipeline.merge_item(item.document, answers.get(item.document.id)) for item in extractions
    ]
    merged = {
        result.id: result
        for result in pipeline.merge(
            tools.peers,
            items,
            spec.schema,
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
            prediction = _prediction(merged[result.id].merged, answers.get(result.id), unavailable)
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
) -> tuple[Mapping[str, guidance_pb2.GuideResult], Status | None]:
    """Answers by id, or why there are none: guidance that is down must not cost the prediction."""
    spec = run.spec
    guidance = pipeline.Guidance(
        index_revision=run.index_revision,
        provider=spec.provider,
        demonstration_count=demonstration_count(spec),
        run_id=run.id,
    )
    try:
        results = pipeline.guide(
            tools.peers,
            extractions,
            spec.schema,
            guidance,
            batch_documents=tools.config.guide_batch_documents,
            calls_in_flight=tools.config.guide_calls_in_flight,
            on_done=_ignore,
        )
    except SlcolmError as error:
        _log.warning("prediction without guidance", reason=error.reason)
        return {}, status_of(error)
    return {result.id: result for result in results}, None


def _prediction(
    merged: evaluation_pb2.Merged,
    answer: guidance_pb2.GuideResult | None,
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
    if answer is None:
        if unavailable is not None:
            prediction.guidance_error.CopyFrom(unavailable)
    elif answer.WhichOneof("outcome") == "error":
        prediction.guidance_error.CopyFrom(answer.error)
    else:
        prediction.explanation = answer.guided.explanation
        prediction.offline_rules = answer.guided.origin.offline_rules
    return prediction


def _ignore(finished: int) -> None:
    """Online prediction is short: nobody watches its progress."""
