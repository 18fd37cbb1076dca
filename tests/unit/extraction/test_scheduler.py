"""Every call gets its turn, its own answers and nothing of another's trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.corpus.documents import Document
from slcolm_services.errors import Cancelled, DeadlineTooShort, InvalidInput, SlcolmError
from slcolm_services.extraction.engine import Engine, Extraction, Sentence
from slcolm_services.extraction.scheduler import Scheduler
from slcolm_services.model.tokenization import Encoded
from slcolm_services.runtime.caller import Caller, bind_caller

_TIMEOUT_SECONDS = 20.0
VECTOR = np.zeros(1, dtype=np.float32)


def sentence(name: str, length: int) -> Sentence:
    zeros = np.zeros(length, dtype=np.int64)
    return Sentence(0, Document(name, "x" * length), Encoded(zeros, zeros, zeros))


def call(name: str, *lengths: int) -> list[Sentence]:
    return [sentence(f"{name}{index}", length) for index, length in enumerate(lengths)]


class Recorder:
    """Stands in for a model: keeps the names that passed together, and can hold every batch."""

    def __init__(self, fail: Callable[[str], None] = lambda _: None) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)
        self.held = False
        self._fail = fail

    @property
    def engine(self) -> Engine:
        return cast("Engine", self)

    def run(self, batch: Sequence[Sentence]) -> list[Extraction]:
        self.batches.append([one.document.id for one in batch])
        if self.held:
            self.entered.release()
            assert self.leave.acquire(timeout=_TIMEOUT_SECONDS)
        for one in batch:
            self._fail(one.document.id)
        return [Extraction(one.document, VECTOR) for one in batch]

    @contextmanager
    def holding(self, scheduler: Scheduler, workers: int = 1) -> Iterator[None]:
        """Keep the workers busy with a batch of their own inside, then let everything run."""
        self.held = True
        for _ in range(workers):
            scheduler.submit(self.engine, call("holder", 1))
            assert self.entered.acquire(timeout=_TIMEOUT_SECONDS)
        yield
        self.held = False
        self.batches.clear()
        self.leave.release(workers)


def names(future: Future[Any]) -> list[str]:
    return [
        output.document.id if isinstance(output, Extraction) else type(output).__name__
        for output in future.result(_TIMEOUT_SECONDS)
    ]


@given(
    st.lists(st.lists(st.integers(1, 60), max_size=12), max_size=6),
    st.integers(1, 120),
    st.integers(1, 3),
)
def test_every_text_runs_once_within_the_budget_and_answers_keep_their_order(
    calls: list[list[int]], budget: int, workers: int
) -> None:
    recorder = Recorder()
    texts = [call(f"c{index}-", *lengths) for index, lengths in enumerate(calls)]
    with Scheduler(workers=workers, batch_tokens=budget) as scheduler:
        futures = [scheduler.submit(recorder.engine, one) for one in texts]
        assert [names(future) for future in futures] == [
            [one.document.id for one in text] for text in texts
        ]
    lengths = {one.document.id: len(one.encoded) for text in texts for one in text}
    assert sorted(name for batch in recorder.batches for name in batch) == sorted(lengths)
    for batch in recorder.batches:
        assert len(batch) == 1 or len(batch) * max(lengths[name] for name in batch) <= budget


def test_a_short_call_goes_before_all_that_waits_of_large_ones() -> None:
    recorder = Recorder()
    with Scheduler(workers=1, batch_tokens=100) as scheduler:
        with recorder.holding(scheduler):
            large = [scheduler.submit(recorder.engine, call(x, *[90] * 4)) for x in "abcd"]
            for _ in range(6):
                recorder.leave.release()
                assert recorder.entered.acquire(timeout=_TIMEOUT_SECONDS)
            short = scheduler.submit(recorder.engine, call("short", 10))
        for future in [short, *large]:
            names(future)
    assert recorder.batches[0] == ["short0"]


def test_large_calls_advance_together_and_are_not_starved_by_short_ones() -> None:
    recorder = Recorder()
    with Scheduler(workers=1, batch_tokens=100) as scheduler:
        with recorder.holding(scheduler):
            large = [scheduler.submit(recorder.engine, call(x, *[100] * 8)) for x in "ab"]
            short = [scheduler.submit(recorder.engine, call("s", 60)) for _ in range(40)]
        for future in [*large, *short]:
            names(future)
    order = [batch[0][0] for batch in recorder.batches]
    turns = [kind for kind in order if kind in "ab"]
    for count in range(1, len(turns) + 1):
        assert abs(turns[:count].count("a") - turns[:count].count("b")) <= 1
    # All were there from the start: the short ones do not all go first and the large ones last.
    assert order.index("a") < 40


def test_a_stream_of_new_short_calls_does_not_keep_a_large_one_waiting() -> None:
    recorder = Recorder()
    with Scheduler(workers=1, batch_tokens=100) as scheduler:
        with recorder.holding(scheduler):
            large = scheduler.submit(recorder.engine, call("large", *[100] * 3))
            for number in range(60):
                scheduler.submit(recorder.engine, call(f"s{number}-", 50))
                recorder.leave.release()
                assert recorder.entered.acquire(timeout=_TIMEOUT_SECONDS)
            passed = [name for batch in recorder.batches for name in batch]
        names(large)
    assert [name for name in passed if name.startswith("large")] == ["large2", "large1", "large0"]


def test_calls_share_a_batch_where_their_texts_are_of_like_length() -> None:
    recorder = Recorder()
    with Scheduler(workers=1, batch_tokens=100) as scheduler:
        with recorder.holding(scheduler):
            futures = [
                scheduler.submit(recorder.engine, call(name, length))
                for name, length in (("a", 20), ("long", 90), ("b", 24), ("c", 22), ("d", 23))
            ]
        for future in futures:
            names(future)
    assert recorder.batches == [["a0", "b0", "c0", "d0"], ["long0"]]


def test_texts_of_one_call_are_padded_no_more_than_those_of_several() -> None:
    recorder = Recorder()
    with Scheduler(workers=1, batch_tokens=200) as scheduler:
        with recorder.holding(scheduler):
            future = scheduler.submit(recorder.engine, call("a", 10, 60, 50, 11, 30))
        names(future)
    assert recorder.batches == [["a1", "a2"], ["a4"], ["a3", "a0"]]


def test_models_share_no_batch() -> None:
    recorder, other = Recorder(), Recorder()
    with Scheduler(workers=1, batch_tokens=100) as scheduler:
        with recorder.holding(scheduler):
            futures = [
                scheduler.submit(model.engine, call("a", 10)) for model in (recorder, other) * 2
            ]
        for future in futures:
            names(future)
    assert recorder.batches == other.batches == [["a0", "a0"]]


def test_a_small_call_is_spread_over_the_workers() -> None:
    recorder = Recorder()
    with Scheduler(workers=2, batch_tokens=1000) as scheduler:
        recorder.held = True
        future = scheduler.submit(recorder.engine, call("a", 10, 10, 10, 10))
        for _ in range(2):
            assert recorder.entered.acquire(timeout=_TIMEOUT_SECONDS)
        recorder.leave.release(2)
        names(future)
    assert sorted(map(len, recorder.batches)) == [2, 2]


def test_what_waits_of_a_caller_that_has_gone_is_never_run() -> None:
    recorder = Recorder()
    with Scheduler(workers=1, batch_tokens=10) as scheduler:
        with recorder.holding(scheduler):
            gone = scheduler.submit(recorder.engine, call("gone", 10, 10))
            stays = scheduler.submit(recorder.engine, call("stays", 10))
            assert gone.cancel()
        names(stays)
        with pytest.raises(CancelledError):
            gone.result(_TIMEOUT_SECONDS)
    assert recorder.batches == [["stays0"]]


def test_what_its_caller_no_longer_waits_for_is_never_run() -> None:
    recorder = Recorder()
    late = Caller(0.0)

    def submit() -> Future[Any]:
        bind_caller(late)
        return scheduler.submit(recorder.engine, call("late", 1, 2))

    with Scheduler(workers=1, batch_tokens=8) as scheduler:
        with recorder.holding(scheduler):
            expired = copy_context().run(submit)
            waited_for = scheduler.submit(recorder.engine, call("kept", 1))
        assert names(waited_for) == ["kept0"]
        with pytest.raises(DeadlineTooShort):
            expired.result(_TIMEOUT_SECONDS)
    assert [name for batch in recorder.batches for name in batch] == ["kept0"]


def test_a_caller_that_goes_while_its_batch_runs_leaves_the_rest() -> None:
    recorder = Recorder()
    with Scheduler(workers=1, batch_tokens=10) as scheduler:
        recorder.held = True
        gone = scheduler.submit(recorder.engine, call("gone", 10, 10))
        assert recorder.entered.acquire(timeout=_TIMEOUT_SECONDS)
        assert gone.cancel()
        recorder.held = False
        recorder.leave.release()
        names(scheduler.submit(recorder.engine, call("next", 10)))
    assert recorder.batches == [["gone1"], ["next0"]]


def fail_on(name: str, error: Exception) -> Callable[[str], None]:
    def fail(document: str) -> None:
        if document == name:
            raise error

    return fail


@pytest.mark.parametrize(
    ("error", "kind"),
    [(InvalidInput("odd"), "InvalidInput"), (ZeroDivisionError("secret"), "SlcolmError")],
)
def test_a_failure_costs_one_text(error: Exception, kind: str) -> None:
    recorder = Recorder(fail_on("a1", error))
    with Scheduler(workers=1, batch_tokens=100) as scheduler:
        with recorder.holding(scheduler):
            first = scheduler.submit(recorder.engine, call("a", 10, 10, 10))
            second = scheduler.submit(recorder.engine, call("b", 10))
        outputs = first.result(_TIMEOUT_SECONDS)
        assert names(first) == ["a0", kind, "a2"]
        assert names(second) == ["b0"]
    failed = outputs[1]
    assert isinstance(failed, SlcolmError)
    assert "secret" not in failed.message


def test_progress_counts_every_text_once() -> None:
    done: list[int] = []
    with Scheduler(workers=2, batch_tokens=25) as scheduler:
        future = scheduler.submit(Recorder().engine, call("a", *range(1, 20)), on_done=done.append)
        names(future)
    assert sum(done) == 19


def test_closing_ends_what_waits_and_refuses_what_comes() -> None:
    recorder = Recorder()
    scheduler = Scheduler(workers=1, batch_tokens=10)
    scheduler.start()
    with recorder.holding(scheduler):
        waiting = scheduler.submit(recorder.engine, call("a", 10))
        closer = threading.Thread(target=scheduler.close)
        closer.start()
        with pytest.raises(CancelledError):
            waiting.result(_TIMEOUT_SECONDS)
    closer.join(_TIMEOUT_SECONDS)
    assert not closer.is_alive()
    with pytest.raises(Cancelled):
        scheduler.submit(recorder.engine, call("b", 10))
    assert recorder.batches == []


def test_nothing_gives_nothing() -> None:
    with Scheduler(workers=1, batch_tokens=10) as scheduler:
        assert scheduler.submit(Recorder().engine, []).result(_TIMEOUT_SECONDS) == []
