"""When a stage gives up on the LLM, and when it goes on."""

from __future__ import annotations

import pytest
from google.rpc.status_pb2 import Status

from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.outcomes import failures_that_may_pass, raise_if_unanswered
from slcolm_services.errors import (
    AnswerNotRecorded,
    BudgetExhausted,
    ProviderUnavailable,
    SlcolmError,
)
from slcolm_services.runtime.status import status_of

DOWN = status_of(ProviderUnavailable("connection refused"))
ABSENT = status_of(AnswerNotRecorded("nothing recorded"))
SPENT = status_of(BudgetExhausted("max_calls is spent"))
ANSWER = guidance_pb2.GuideResult(id="a", guided=guidance_pb2.Guided(usable=True))


def _failed(status: Status) -> guidance_pb2.GuideResult:
    return guidance_pb2.GuideResult(id="f", error=status)


def test_an_endpoint_that_answers_nothing_is_given_up_with_its_reason() -> None:
    with pytest.raises(SlcolmError, match="connection refused") as caught:
        raise_if_unanswered([_failed(DOWN), _failed(DOWN)], limited=False)

    assert (caught.value.code, caught.value.reason) == ("UNAVAILABLE", "PROVIDER_UNAVAILABLE")


@pytest.mark.parametrize(
    "results",
    [[_failed(DOWN), ANSWER], [_failed(ABSENT), _failed(ABSENT)], []],
    ids=["one answer", "nothing recorded", "nothing asked"],
)
def test_the_stage_goes_on(results: list[guidance_pb2.GuideResult]) -> None:
    raise_if_unanswered(results, limited=False)


def test_only_failures_that_may_pass_keep_a_result_from_being_reused() -> None:
    failures = failures_that_may_pass([_failed(ABSENT), ANSWER, _failed(DOWN)])

    assert failures == [_failed(DOWN)]


def test_what_is_beyond_the_runs_own_budget_is_no_failure() -> None:
    raise_if_unanswered([_failed(SPENT), _failed(SPENT)], limited=True)

    with pytest.raises(SlcolmError, match="max_calls is spent"):
        raise_if_unanswered([_failed(SPENT), _failed(SPENT)], limited=False)
    with pytest.raises(SlcolmError, match="connection refused"):
        raise_if_unanswered([_failed(SPENT), _failed(DOWN)], limited=True)


def test_answers_beyond_the_budget_are_asked_for_again_by_a_later_run() -> None:
    assert failures_that_may_pass([_failed(SPENT), ANSWER]) == [_failed(SPENT)]
