"""Time, replicas and cost of a corpus, from what a sentence costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from slcolm_services.capacity.profile import Profile
from slcolm_services.capacity.queueing import Station, closed

BATCH_SIZE = 32
"""Sentences a call, as `slcolm batch` makes them."""
CALLS_PER_THREAD = 2
"""On their way for each thread of extraction: one is read while the next one waits."""
FILLED = 0.8
"""Share of a server's time that a sized fleet plans with; the rest is for restarts and luck."""
DRIVER, EXTRACTION, RETRIEVAL, GUIDANCE = "driver", "extraction", "retrieval", "guidance"
LLM, LLM_REQUESTS, LLM_TOKENS = "LLM", "LLM requests/min", "LLM tokens/min"

_MINUTE, _HOUR, _MILLION = 60.0, 3600.0, 1e6


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an LLM endpoint gives, and what it takes for it.

    Attributes:
        seconds: From a prompt until its answer is complete.
        in_flight: Calls at once that it takes; 0: as many as are wanted.
        requests_per_minute: Its limit; 0: none.
        tokens_per_minute: Its limit, prompts and answers together; 0: none.
        prompt_price: Of a million tokens.
        completion_price: Of a million tokens.
    """

    seconds: float
    in_flight: int = 0
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    prompt_price: float = 0.0
    completion_price: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """A corpus.

    Attributes:
        sentences: How many.
        guided: Share of them that an LLM is asked about.
        endpoint: Which LLM; None where none is asked.
    """

    sentences: float
    guided: float = 0.0
    endpoint: Endpoint | None = None

    @property
    def prompts(self) -> float:
        """Sentences that an LLM is asked about."""
        return self.sentences * self.guided if self.endpoint else 0.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """What runs. A driver, a retrieval and a guidance service keep one processor busy each.

    Attributes:
        drivers: Processes that read rows and write answers.
        replicas: Of extraction.
        threads: Of each, one processor each.
        retrieval: Replicas.
        guidance: Replicas.
    """

    drivers: int = 1
    replicas: int = 1
    threads: int = 2
    retrieval: int = 1
    guidance: int = 1

    @property
    def calls(self) -> int:
        """Calls on their way to extraction, all drivers together."""
        return max(self.drivers, CALLS_PER_THREAD * self.replicas * self.threads)

    def processors(self, *, guided: bool) -> int:
        """That it needs."""
        return (
            self.drivers
            + self.replicas * self.threads
            + (self.retrieval + self.guidance if guided else 0)
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What to expect.

    Attributes:
        fleet: Of this fleet.
        stages: Seconds that each stage would take alone, by its name.
        seconds: Of the whole, the stages at work at once, the start of services included.
        bottleneck: The stage that takes longest.
        llm_calls: Calls of the LLM on their way.
        processor_hours: Paid for.
        cost: Of processors and tokens together.
        output_bytes: Of what is written.
    """

    fleet: Fleet
    stages: dict[str, float]
    seconds: float
    bottleneck: str
    llm_calls: int
    processor_hours: float
    cost: float
    output_bytes: float


def batch_stations(profile: Profile, fleet: Fleet) -> list[Station]:
    """What a call of a corpus passes: its driver, and a thread of extraction."""
    return [
        Station(DRIVER, BATCH_SIZE * profile.driver_seconds, fleet.drivers),
        Station(
            EXTRACTION, BATCH_SIZE * profile.extraction_seconds, fleet.replicas * fleet.threads
        ),
    ]


def forecast(
    work: Work, fleet: Fleet, profile: Profile, *, llm_calls: int = 1, processor_price: float = 0.0
) -> Forecast:
    """What a fleet makes of a corpus.

    Args:
        work: The corpus.
        fleet: What runs.
        profile: What a sentence costs.
        llm_calls: Calls of the LLM on their way, where its endpoint does not limit them.
        processor_price: Of a processor for an hour.
    """
    stages = {
        DRIVER: work.sentences * profile.driver_seconds / fleet.drivers,
        EXTRACTION: work.sentences * profile.extraction_seconds / (fleet.replicas * fleet.threads),
    }
    tokens_cost = 0.0
    if endpoint := work.endpoint:
        llm_calls = endpoint.in_flight or llm_calls
        stages |= _guided_stages(work.prompts, endpoint, fleet, profile, llm_calls)
        tokens_cost = (
            work.prompts
            * (
                profile.prompt_tokens * endpoint.prompt_price
                + profile.completion_tokens * endpoint.completion_price
            )
            / _MILLION
        )
    slowest = max(*stages.values(), _batch_seconds(work, fleet, profile))
    seconds = slowest + profile.start_seconds
    hours = fleet.processors(guided=bool(work.prompts)) * seconds / _HOUR
    return Forecast(
        fleet,
        stages,
        seconds,
        max(stages, key=stages.__getitem__),
        llm_calls if work.prompts else 0,
        hours,
        hours * processor_price + tokens_cost,
        work.sentences * profile.row_bytes,
    )


def sized(
    work: Work,
    within_seconds: float,
    profile: Profile,
    *,
    threads: int = 2,
    processor_price: float = 0.0,
) -> Forecast:
    """The smallest fleet that is done in time, as far as a fleet can help.

    Where the limits of the LLM's endpoint take longer, the forecast says so by its bottleneck and
    its seconds.

    Args:
        work: The corpus.
        within_seconds: When it should be done, the start of services included.
        profile: What a sentence costs.
        threads: Of an extraction replica.
        processor_price: Of a processor for an hour.

    Raises:
        ValueError: The services take longer than that to start.
    """
    left = (within_seconds - profile.start_seconds) * FILLED
    if left <= 0:
        raise ValueError(f"services take {profile.start_seconds:g} s to start")

    def servers(seconds: float, count: float) -> int:
        return max(1, math.ceil(count * seconds / left))

    fleet = Fleet(
        drivers=servers(profile.driver_seconds, work.sentences),
        replicas=servers(profile.extraction_seconds / threads, work.sentences),
        threads=threads,
        retrieval=servers(profile.retrieval_seconds, work.prompts),
        guidance=servers(profile.guidance_seconds, work.prompts),
    )
    llm_calls = servers(work.endpoint.seconds, work.prompts) if work.endpoint else 0
    # Few servers wait for each other longer than the share that is left free.
    while _batch_seconds(work, fleet, profile) > within_seconds - profile.start_seconds:
        fleet = replace(fleet, replicas=fleet.replicas + 1)
    return forecast(work, fleet, profile, llm_calls=llm_calls, processor_price=processor_price)


def _batch_seconds(work: Work, fleet: Fleet, profile: Profile) -> float:
    """Seconds that drivers and extraction take together, waiting for each other included."""
    return work.sentences / BATCH_SIZE / closed(batch_stations(profile, fleet), fleet.calls).rate


def _guided_stages(
    prompts: float, endpoint: Endpoint, fleet: Fleet, profile: Profile, llm_calls: int
) -> dict[str, float]:
    tokens = profile.prompt_tokens + profile.completion_tokens
    stages = {
        RETRIEVAL: prompts * profile.retrieval_seconds / fleet.retrieval,
        GUIDANCE: prompts * profile.guidance_seconds / fleet.guidance,
        LLM: prompts * endpoint.seconds / llm_calls,
    }
    if endpoint.requests_per_minute:
        stages[LLM_REQUESTS] = prompts * _MINUTE / endpoint.requests_per_minute
    if endpoint.tokens_per_minute:
        stages[LLM_TOKENS] = prompts * tokens * _MINUTE / endpoint.tokens_per_minute
    return stages
