"""Guidance's own messages: from the wire and onto it."""

from __future__ import annotations

import math

from slcolm.common.v1 import common_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.corpus.documents import Document
from slcolm_services.errors import FieldViolation, InvalidInput, ProviderUnavailable
from slcolm_services.guidance.batch_store import Batch
from slcolm_services.guidance.items import Candidate, Demonstration, GuideItem, PromptOptions
from slcolm_services.guidance.outcome import Guided
from slcolm_services.guidance.providers.batch import BatchState
from slcolm_services.guidance.revisions import Revision, RevisionKind
from slcolm_services.guidance.usage import RunBudget, Usage
from slcolm_services.runtime.status import status_of
from slcolm_services.runtime.wire import document_from_wire, entity_to_wire, triple_to_wire

_MAX_RUN_ID = 200
_BATCH_STATES = {
    BatchState.RUNNING: guidance_pb2.BATCH_STATE_RUNNING,
    BatchState.SUCCEEDED: guidance_pb2.BATCH_STATE_SUCCEEDED,
    BatchState.FAILED: guidance_pb2.BATCH_STATE_FAILED,
    BatchState.CANCELLED: guidance_pb2.BATCH_STATE_CANCELLED,
}

Budgeted = (
    guidance_pb2.GuideRequest | guidance_pb2.AnnotateRequest | guidance_pb2.SubmitBatchRequest
)
"""Requests with a budget."""

_KINDS = {
    RevisionKind.KEPT: guidance_pb2.REVISION_KIND_KEPT,
    RevisionKind.DROPPED: guidance_pb2.REVISION_KIND_DROPPED,
    RevisionKind.RELABELLED: guidance_pb2.REVISION_KIND_RELABELLED,
    RevisionKind.ADDED: guidance_pb2.REVISION_KIND_ADDED,
}


def guided_to_wire(guided: Guided, text: str, currency: str) -> guidance_pb2.Guided:
    """Write an answer to `text`."""
    parsed = guided.parsed
    return guidance_pb2.Guided(
        triples=[triple_to_wire(triple) for triple in parsed.triples],
        entities=[entity_to_wire(entity, text) for entity in guided.grounded.entities],
        relations=[
            common_pb2.Relation(type=relation.type, head=relation.head, tail=relation.tail)
            for relation in guided.grounded.relations
        ],
        ungrounded=[triple_to_wire(triple) for triple in parsed.ungrounded],
        discontinuous_entities=[
            guidance_pb2.DiscontinuousEntity(
                type=entity.type,
                pieces=[guidance_pb2.Piece(start=start, end=end) for start, end in entity.pieces],
            )
            for entity in parsed.discontinuous
        ],
        revisions=[_revision(revision) for revision in guided.revisions],
        explanation=parsed.explanation,
        usable=parsed.usable,
        repairs=parsed.repairs,
        dropped=dict(parsed.dropped)
        | {f"entity_{reason}": count for reason, count in parsed.dropped_entities.items()},
        origin=guidance_pb2.AnswerOrigin(
            provider=guided.provider.name,
            model=guided.model,
            prompt_digest=guided.prompt_digest,
            offline_rules=guided.provider.offline_rules,
            replayed=guided.provider.replayed,
            usage=usage_to_wire(guided.usage, currency),
        ),
        offset_unit=common_pb2.OFFSET_UNIT_UNICODE_CODE_POINTS,
    )


def batch_to_wire(batch: Batch) -> guidance_pb2.Batch:
    """Write how a batch stands."""
    message = guidance_pb2.Batch(
        id=batch.id,
        provider=batch.provider,
        state=_BATCH_STATES[batch.state],
        sent=batch.sent,
        answered=batch.answered,
        failed=batch.failed,
        run_id=batch.run_id,
    )
    message.create_time.FromDatetime(batch.create_time)
    if batch.end_time is not None:
        message.end_time.FromDatetime(batch.end_time)
    if batch.problem:
        error = ProviderUnavailable(batch.problem, metadata={"provider": batch.provider})
        message.error.CopyFrom(status_of(error))
    return message


def usage_to_wire(usage: Usage, currency: str) -> guidance_pb2.Usage:
    """Write what was spent."""
    return guidance_pb2.Usage(
        calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        cost=usage.cost,
        currency=currency,
    )


def item_from_wire(message: guidance_pb2.GuideItem, prediction: Document, field: str) -> GuideItem:
    """Read an item whose prediction is read already.

    Raises:
        InvalidInput: A demonstration is no valid document, or a score is no number.
    """
    return GuideItem(
        prediction=prediction,
        demonstrations=tuple(
            _demonstration(example, f"{field}.demonstrations[{place}]")
            for place, example in enumerate(message.demonstrations)
        ),
        candidates=tuple(
            _candidate(candidate, f"{field}.candidates[{place}]")
            for place, candidate in enumerate(message.candidates)
        ),
    )


def _candidate(message: common_pb2.CandidateRelation, field: str) -> Candidate:
    if not math.isfinite(message.score):
        problem = f"must be a finite number, got {message.score}"
        raise InvalidInput(
            f"{field}.score {problem}", violations=[FieldViolation(f"{field}.score", problem)]
        )
    return Candidate(message.type, message.score, tuple(message.triggers))


def _demonstration(message: common_pb2.Demonstration, field: str) -> Demonstration:
    return Demonstration(
        gold=document_from_wire(message.gold, f"{field}.gold"),
        prediction=document_from_wire(message.prediction, f"{field}.prediction")
        if message.HasField("prediction")
        else None,
    )


def options_from_wire(message: guidance_pb2.PromptOptions) -> PromptOptions:
    """Read how prompts are made.

    Raises:
        InvalidInput: A number is negative.
    """
    return PromptOptions(
        template=message.template,
        omit_definitions=message.omit_definitions,
        omit_demonstrations=message.omit_demonstrations,
        omit_prediction=message.omit_prediction,
        max_demonstrations=_not_negative(message.max_demonstrations, "options.max_demonstrations"),
    )


def run_id_from_wire(run_id: str) -> str:
    """Read which run the spending is booked on.

    Raises:
        InvalidInput: The name is too long.
    """
    if len(run_id) > _MAX_RUN_ID:
        raise InvalidInput(
            f"run_id has {len(run_id)} characters",
            violations=[FieldViolation("run_id", f"at most {_MAX_RUN_ID} characters")],
        )
    return run_id


def sample_from_wire(number: int) -> int:
    """Read which answer to a prompt is asked for.

    Raises:
        InvalidInput: The number is negative.
    """
    return _not_negative(number, "sample")


def _not_negative(number: int, field: str) -> int:
    if number < 0:
        raise InvalidInput(
            f"{field} is {number}", violations=[FieldViolation(field, "must not be negative")]
        )
    return number


def budget_from_wire(request: Budgeted) -> RunBudget | None:
    """Read what the run of a request may spend in all; None: as much as the service may.

    Raises:
        InvalidInput: A limit is negative, or the request names no run.
    """
    if not request.HasField("budget"):
        return None
    message = request.budget
    limits = {
        "max_calls": message.max_calls,
        "max_tokens": message.max_tokens,
        "max_cost": message.max_cost,
    }
    violations = [
        FieldViolation(f"budget.{name}", f"must not be negative, got {limit:g}")
        for name, limit in limits.items()
        if not limit >= 0
    ]
    if not request.run_id:
        violations.append(FieldViolation("run_id", "a budget needs the run that it belongs to"))
    if violations:
        raise InvalidInput("the budget cannot be used", violations=violations)
    return RunBudget(message.max_calls, message.max_tokens, message.max_cost)


def _revision(revision: Revision) -> guidance_pb2.Revision:
    return guidance_pb2.Revision(
        kind=_KINDS[revision.kind],
        triple=triple_to_wire(revision.triple),
        previous_type=revision.previous_type or "",
    )
