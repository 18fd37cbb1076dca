"""Waits of threads that end when they should, and places that are never lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from slcolm_client._stopping import Places, Stop

LONG = 1000.0


def test_waits_end_when_it_stops_and_later_ones_at_once() -> None:
    stop = Stop()
    with ThreadPoolExecutor(4) as pool:
        waits = [pool.submit(stop.wait, LONG) for _ in range(4)]
        stop.stop()
        for wait in waits:
            wait.result()
    stop.wait(LONG)
    assert stop.stopped


def test_actions_are_taken_when_it_stops_and_only_while_their_block_runs() -> None:
    stop, taken = Stop(), list[str]()
    with stop.calling(lambda: taken.append("over")):
        pass
    with stop.calling(lambda: taken.append("running")):
        stop.stop()
        assert taken == ["running"]
    with stop.calling(lambda: taken.append("late")):
        assert taken == ["running", "late"]


def test_a_place_goes_to_whoever_waits_for_it() -> None:
    places, stop = Places(2), Stop()
    assert places.take(0.0, stop)
    assert places.take(0.0, stop)
    assert not places.take(0.0, stop)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(places.take, LONG, stop)
        places.give_back()
        assert waiting.result()
    assert not places.take(0.0, stop)


def test_a_stream_that_ends_gives_up_its_wait_and_leaves_the_place_to_others() -> None:
    places, mine, others = Places(1), Stop(), Stop()
    assert places.take(0.0, others)
    begun = threading.Barrier(3)

    def take(stop: Stop) -> bool:
        begun.wait()
        return places.take(LONG, stop)

    with ThreadPoolExecutor(2) as pool:
        given_up, waiting = pool.submit(take, mine), pool.submit(take, others)
        begun.wait()
        mine.stop()
        assert not given_up.result()
        places.give_back()
        assert waiting.result()


def test_no_more_than_there_are_places_get_in() -> None:
    places, stop = Places(3), Stop()
    lock, inside, most = threading.Lock(), 0, 0

    def visit() -> None:
        nonlocal inside, most
        for _ in range(200):
            assert places.take(LONG, stop)
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            places.give_back()

    with ThreadPoolExecutor(8) as pool:
        for visitor in [pool.submit(visit) for _ in range(8)]:
            visitor.result()
    assert 1 <= most <= 3
    assert inside == 0
