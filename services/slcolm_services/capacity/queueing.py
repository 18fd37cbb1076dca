"""How much a closed queueing network gives: a fixed number of calls that go round and round.

Mean value analysis, exact for exponential service times: Reiser and Lavenberg, "Mean-Value Analysis
of Closed Multichain Queuing Networks", J. ACM 27(2), 1980. A station with several servers is a
faster single one with a delay: Seidmann, Schweitzer and Shalev-Oren, "Computerized Closed Queueing
Network Models of Flexible Manufacturing Systems", Large Scale Systems 12, 1987, which is exact for
one call and for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Station:
    """Where calls wait for one of several equal servers.

    Attributes:
        name: For people.
        seconds: That one server works for a call.
        servers: How many there are.
    """

    name: str
    seconds: float
    servers: int = 1


@dataclass(frozen=True, slots=True)
class Flow:
    """What a network gives.

    Attributes:
        rate: Calls a second.
        utilizations: Share of its servers that is busy, by station, in their order.
        seconds: Of a call's round, waiting included.
    """

    rate: float
    utilizations: tuple[float, ...]
    seconds: float


def closed(stations: Sequence[Station], calls: int) -> Flow:
    """The flow of a network in which `calls` calls are always on their way.

    Args:
        stations: Each is visited once in a round, in whatever order. At least one has work.
        calls: One or more.

    Raises:
        ValueError: There is no work, or no call.
    """
    if calls < 1 or not any(station.seconds > 0 for station in stations):
        raise ValueError("a network needs a call and a station with work")
    demands = [station.seconds / station.servers for station in stations]
    delay = sum(station.seconds * (station.servers - 1) / station.servers for station in stations)
    waiting = [0.0] * len(stations)
    rate = 0.0
    for number in range(1, calls + 1):
        # A call that arrives sees the network as it is with one call less.
        residences = [
            demand * (1 + others) for demand, others in zip(demands, waiting, strict=True)
        ]
        rate = number / (delay + sum(residences))
        waiting = [rate * residence for residence in residences]
    return Flow(rate, tuple(rate * demand for demand in demands), calls / rate)


def on_one_node(stations: Sequence[Station], calls: int, processors: float) -> Flow:
    """The same where all stations share the processors of one machine.

    A call needs a server and a processor at once, which no product-form network has: so the flow is
    that of the slower of two, the stations with a processor for every server, and the processors
    with the work of all stations.

    Args:
        stations: The stations; their work is work of a processor.
        calls: Always on their way.
        processors: How many processors' work the machine does at once. Not whole where processors
            share a core or a clock.
    """
    flow = closed(stations, calls)
    work = sum(station.seconds for station in stations)
    rate = min(flow.rate, processors / work)
    share = rate / flow.rate
    return Flow(rate, tuple(share * used for used in flow.utilizations), calls / rate)
