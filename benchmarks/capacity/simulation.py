"""The same calls in a discrete-event simulation."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import simpy
from simpy.resources.resource import Request

from slcolm_services.capacity.queueing import Station

_SLICE_SECONDS = 0.004
_WARM_UP = 0.1
"""Share of the calls that is not counted: the pipeline fills."""


@dataclass
class _Node:
    """Processors of one machine, given away in slices; they are slower when more of them work."""

    environment: simpy.Environment
    processors: simpy.Resource
    parallel: float

    def work(self, seconds: float) -> Generator[simpy.Event, None, None]:
        """Seconds of a processor that has the machine for itself."""
        while seconds > 0:
            part = min(seconds, _SLICE_SECONDS)
            seconds -= part
            with self.processors.request() as turn:
                yield turn
                yield self.environment.timeout(part * self._slower())

    def _slower(self) -> float:
        capacity = self.processors.capacity
        if capacity == 1:
            return 1.0
        # One alone is at full speed, all together do the work of `parallel`.
        busy = self.processors.count
        share = (busy - 1) / (capacity - 1)
        return busy / (1 + share * (self.parallel - 1))


def simulate(
    stations: Sequence[Station],
    calls: int,
    *,
    spread: Sequence[float],
    one_machine: tuple[int, float] | None = None,
    rounds: int = 3000,
) -> float:
    """Calls a second of a closed network.

    Args:
        stations: Visited in order.
        calls: Always on their way.
        spread: Measured seconds of single calls; their ratios to their mean are drawn from.
        one_machine: The processors that all stations share, and how many processors' work these do
            at once; None where every server has a processor of its own.
        rounds: Calls that are answered before the end.
    """
    environment = simpy.Environment()
    node = None
    if one_machine:
        processors, parallel = one_machine
        node = _Node(environment, simpy.Resource(environment, capacity=processors), parallel)
    servers = [simpy.Resource(environment, capacity=station.servers) for station in stations]
    mean = sum(spread) / len(spread)
    draw = random.Random(4)
    ends: list[float] = []

    def call() -> Generator[simpy.Event, Request, None]:
        while len(ends) < rounds:
            for station, server in zip(stations, servers, strict=True):
                with server.request() as place:
                    yield place
                    seconds = station.seconds * draw.choice(spread) / mean
                    if node:
                        yield from node.work(seconds)
                    else:
                        yield environment.timeout(seconds)
            ends.append(environment.now)

    for _ in range(calls):
        environment.process(call())
    environment.run()
    begin = int(_WARM_UP * rounds)
    return (rounds - begin - 1) / (ends[rounds - 1] - ends[begin])
