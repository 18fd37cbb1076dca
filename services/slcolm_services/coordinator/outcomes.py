"""What came of asking about a text: an answer that can be read, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.errors import AnswerNotRecorded, BudgetExhausted, RemoteError, SlcolmError


def has_answer(answer: guidance_pb2.GuideResult) -> bool:
    """Whether an LLM answer was got and could be read."""
    return answer.WhichOneof("outcome") == "guided" and answer.guided.usable


def is_beyond_budget(result: guidance_pb2.GuideResult) -> bool:
    """Whether nobody was asked because a spending limit did not allow it."""
    return (
        result.WhichOneof("outcome") == "error"
        and _reason(result.error.details) == BudgetExhausted.reason
    )


def failures_that_may_pass(
    results: Sequence[guidance_pb2.GuideResult],
) -> list[guidance_pb2.GuideResult]:
    """Items that failed, save those that nothing is recorded for: that will not change."""
    return [
        item
        for item in results
        if item.WhichOneof("outcome") == "error"
        and _reason(item.error.details) != AnswerNotRecorded.reason
    ]


def raise_if_unanswered(results: Sequence[guidance_pb2.GuideResult], *, limited: bool) -> None:
    """Raise the first failure when there is no answer at all, and one might have been had.

    Args:
        results: Answers and failures.
        limited: Whether the run has a budget: what is beyond it is then no failure.
    """
    failures = [
        item for item in failures_that_may_pass(results) if not (limited and is_beyond_budget(item))
    ]
    if failures and not any(map(has_answer, results)):
        raise _error_from(failures[0].error)


def _reason(details: Sequence[any_pb2.Any]) -> str:
    for detail in details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _error_from(status: Status) -> SlcolmError:
    code = code_pb2.Code.Name(status.code)
    return RemoteError(
        f"guidance: no text got an answer; the first failed with: {status.message}",
        code=code,
        reason=_reason(status.details) or code,
    )
