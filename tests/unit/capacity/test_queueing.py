"""What must hold for any closed network, and networks whose flow is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.capacity.queueing import Station, closed, on_one_node

SECONDS = st.floats(min_value=1e-6, max_value=1e3)
STATIONS = st.lists(
    st.builds(Station, st.just("s"), SECONDS, st.integers(min_value=1, max_value=64)),
    min_size=1,
    max_size=5,
)
CALLS = st.integers(min_value=1, max_value=200)
NEARLY = 1 + 1e-9


@given(seconds=SECONDS, calls=CALLS)
def test_one_server_is_always_busy(seconds: float, calls: int) -> None:
    flow = closed([Station("s", seconds)], calls)

    assert flow.rate == pytest.approx(1 / seconds)
    assert flow.utilizations == pytest.approx((1.0,))
    assert flow.seconds == pytest.approx(calls * seconds)


@given(seconds=SECONDS, stations=st.integers(min_value=1, max_value=6), calls=CALLS)
def test_equal_single_servers(seconds: float, stations: int, calls: int) -> None:
    # Lazowska et al., Quantitative System Performance (1984), 5.4: a balanced system.
    flow = closed([Station("s", seconds)] * stations, calls)

    assert flow.rate == pytest.approx(calls / (stations + calls - 1) / seconds)


@given(stations=STATIONS, calls=CALLS)
def test_flow_is_within_its_bounds(stations: list[Station], calls: int) -> None:
    flow = closed(stations, calls)

    work = sum(station.seconds for station in stations)
    most = [station.servers / station.seconds for station in stations]
    assert flow.rate <= min(calls / work, *most) * NEARLY
    assert all(0 <= used <= NEARLY for used in flow.utilizations)
    # Nothing is lost between rate and time.
    assert flow.rate * flow.seconds == pytest.approx(calls)


@given(stations=STATIONS, calls=CALLS)
def test_more_calls_never_give_less(stations: list[Station], calls: int) -> None:
    assert closed(stations, calls + 1).rate >= closed(stations, calls).rate / NEARLY


@given(seconds=SECONDS, servers=st.integers(min_value=1, max_value=64))
def test_several_servers_are_exact_for_one_call_and_for_many(seconds: float, servers: int) -> None:
    station = Station("s", seconds, servers)

    assert closed([station], 1).rate == pytest.approx(1 / seconds)
    assert closed([station], 400 * servers).rate == pytest.approx(servers / seconds, rel=0.01)


@given(stations=STATIONS, calls=CALLS, processors=st.floats(min_value=0.5, max_value=256))
def test_one_node_gives_no_more_than_its_processors(
    stations: list[Station], calls: int, processors: float
) -> None:
    flow = on_one_node(stations, calls, processors)

    work = sum(station.seconds for station in stations)
    assert flow.rate * work <= processors * NEARLY
    assert flow.rate <= closed(stations, calls).rate * NEARLY


@pytest.mark.parametrize(
    ("stations", "calls"), [([], 1), ([Station("s", 0)], 1), ([Station("s", 1)], 0)]
)
def test_a_network_of_nothing_is_refused(stations: list[Station], calls: int) -> None:
    with pytest.raises(ValueError, match="needs a call"):
        closed(stations, calls)
