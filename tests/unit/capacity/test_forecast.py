"""What a corpus takes: what must hold for any cost, and what changes the bottleneck."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.capacity.forecast import (
    DRIVER,
    EXTRACTION,
    LLM,
    LLM_REQUESTS,
    LLM_TOKENS,
    RETRIEVAL,
    Endpoint,
    Fleet,
    Work,
    forecast,
    sized,
)
from slcolm_services.capacity.profile import Profile

PROFILE = Profile(
    machine="a test's",
    driver_seconds=0.0002,
    extraction_seconds=0.005,
    retrieval_seconds=0.05,
    guidance_seconds=0.005,
    start_seconds=10.0,
    row_bytes=1000.0,
    prompt_tokens=3000.0,
    completion_tokens=100.0,
    parallel=2.0,
)
DAY = 86400.0
COSTS = st.floats(min_value=1e-5, max_value=1.0)


def test_a_corpus_takes_its_work_over_its_threads() -> None:
    told = forecast(Work(1e6), Fleet(replicas=4, threads=2), PROFILE)

    assert told.stages == {DRIVER: pytest.approx(200), EXTRACTION: pytest.approx(625)}
    assert told.bottleneck == EXTRACTION
    # Longer than the work alone, since calls wait for each other, and not much.
    assert 635 < told.seconds < 900
    assert told.output_bytes == 1e9
    assert told.llm_calls == 0


def test_the_driver_holds_up_a_large_fleet() -> None:
    told = forecast(Work(1e6), Fleet(replicas=64, threads=2), PROFILE)

    assert told.bottleneck == DRIVER
    assert told.seconds >= 200


@pytest.mark.parametrize(
    ("endpoint", "bottleneck", "seconds"),
    [
        (Endpoint(4.0, in_flight=16), LLM, 1e5 * 4 / 16),
        (Endpoint(4.0, 1000, requests_per_minute=100), LLM_REQUESTS, 1e5 * 60 / 100),
        (Endpoint(4.0, 1000, tokens_per_minute=1e6), LLM_TOKENS, 1e5 * 3100 * 60 / 1e6),
        (Endpoint(0.01, 16), RETRIEVAL, 1e5 * 0.05),
    ],
)
def test_what_an_llm_is_asked_about_is_held_up_by(
    endpoint: Endpoint, bottleneck: str, seconds: float
) -> None:
    told = forecast(Work(1e6, 0.1, endpoint), Fleet(), PROFILE)

    assert told.bottleneck == bottleneck
    assert told.stages[bottleneck] == pytest.approx(seconds)
    assert told.seconds == pytest.approx(seconds + 10)


def test_cost_is_processors_and_tokens() -> None:
    endpoint = Endpoint(1.0, 100, prompt_price=0.5, completion_price=2.0)
    told = forecast(Work(1e6, 0.1, endpoint), Fleet(), PROFILE, processor_price=0.1)

    assert told.processor_hours == pytest.approx(5 * told.seconds / 3600)
    tokens = 1e5 * (3000 * 0.5 + 100 * 2.0) / 1e6
    assert told.cost == pytest.approx(tokens + 0.1 * told.processor_hours)


@given(
    driver=COSTS,
    extraction=COSTS,
    sentences=st.floats(min_value=1, max_value=1e9),
    threads=st.integers(min_value=1, max_value=16),
)
def test_a_sized_fleet_is_in_time_and_not_far_too_large(
    driver: float, extraction: float, sentences: float, threads: int
) -> None:
    profile = replace(PROFILE, driver_seconds=driver, extraction_seconds=extraction)
    # A year's deadline keeps the fleets, and with them the test, small.
    told = sized(Work(sentences), 365 * DAY, profile, threads=threads)

    assert told.seconds <= 365 * DAY * (1 + 1e-9)
    least = sentences * extraction / threads / (365 * DAY)
    assert told.fleet.replicas <= 2 + 2.5 * least


def test_a_fleet_is_sized_for_what_is_guided_too() -> None:
    told = sized(Work(1e7, 0.2, Endpoint(4.0)), DAY, PROFILE)

    assert told.fleet.retrieval == 2  # 1e5 s of work, a day of 0.8
    assert told.llm_calls == 116
    assert told.seconds <= DAY


def test_limits_of_an_endpoint_are_no_matter_of_size() -> None:
    told = sized(Work(1e7, 0.2, Endpoint(4.0, requests_per_minute=600)), DAY, PROFILE)

    assert told.bottleneck == LLM_REQUESTS
    assert told.seconds == pytest.approx(2e6 / 10 + 10)


def test_nothing_is_done_before_services_have_started() -> None:
    with pytest.raises(ValueError, match="10 s to start"):
        sized(Work(1), 9.0, PROFILE)
