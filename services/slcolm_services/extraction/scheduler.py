"""Which texts pass a model next: batches of like length, a fair turn for every call.

Turns follow start-time fair queueing (Goyal, Vin and Cheng 1996), where a call's tag is the virtual
time up to which it has been served, and the least tag is next. A call begins one batch ahead of
the others, as in borrowed virtual time (Duda and Cheriton 1999): a single sentence thus waits for
batches that are running and for no others, however many large calls there are, and every call
advances as fast as its fair share.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

import structlog

from slcolm_services.errors import Cancelled, SlcolmError
from slcolm_services.extraction.engine import Engine, Extraction, Sentence
from slcolm_services.extraction.measures import Measures

Output: TypeAlias = Extraction | SlcolmError

_MAX_LENGTH_RATIO = 1.25
"""Longest to shortest text that calls share a batch for: what is padded costs as much as text."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Batch:
    """Texts that go together.

    Attributes:
        places: Theirs in their calls.
        shortest: Tokens of the shortest.
        longest: Tokens of the longest, to which all are padded.
    """

    places: tuple[int, ...]
    shortest: int
    longest: int

    @property
    def tokens(self) -> int:
        """Tokens, padding included."""
        return len(self.places) * self.longest

    def with_other(self, other: _Batch) -> _Batch:
        """Both as one batch."""
        return _Batch(
            self.places + other.places,
            min(self.shortest, other.shortest),
            max(self.longest, other.longest),
        )


@dataclass(eq=False)
class _Call:
    """A call on its way. `outputs` and what is counted change under the scheduler's lock."""

    engine: Engine
    sentences: Sequence[Sentence]
    on_done: Callable[[int], None]
    waiting: list[_Batch]
    tag: float
    future: Future[list[Output]] = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)
    begun: bool = False
    missing: int = 0
    outputs: dict[int, Output] = field(default_factory=dict)


class Scheduler:
    """Runs the texts of many calls on a few threads. Safe to use from any thread.

    Args:
        workers: Threads, and thus batches at once: one for each processor, for all models together.
        batch_tokens: Most tokens in a batch, padding included; a longer text goes alone.
        measures: Where batches and waits are counted.
    """

    def __init__(
        self, *, workers: int, batch_tokens: int, measures: Measures | None = None
    ) -> None:
        self._workers = workers
        self._batch_tokens = batch_tokens
        self._measures = measures or Measures()
        self._changed = threading.Condition()
        self._calls: list[_Call] = []
        self._virtual_time = 0.0
        self._queued_tokens = 0
        self._closed = False
        self._measures.queued_tokens.set_function(lambda: self._queued_tokens)
        self._threads = [
            threading.Thread(target=self._work, name=f"extraction-{index}", daemon=True)
            for index in range(workers)
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the threads; calls that are submitted before wait for that."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Cancel what waits, and wait for the batches that are running."""
        with self._changed:
            self._closed = True
            calls, self._calls = self._calls, []
            self._changed.notify_all()
        for call in calls:
            call.future.cancel()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def submit(
        self,
        engine: Engine,
        sentences: Sequence[Sentence],
        *,
        on_done: Callable[[int], None] = lambda _: None,
    ) -> Future[list[Output]]:
        """Queue the texts of a call.

        Args:
            engine: The model to run them with.
            sentences: In any order.
            on_done: Told on a thread of the scheduler how many texts a batch had of this call.

        Returns:
            What comes of each, in order: what was found, or the error of that text alone. Cancel it
            when nobody waits any more: what has not begun is then never computed.

        Raises:
            Cancelled: The scheduler is closed.
        """
        lengths = [len(sentence.encoded) for sentence in sentences]
        # A small call is spread over the workers: they would do nothing else.
        budget = min(self._batch_tokens, -(-sum(lengths) // self._workers))
        # The longest last: it is taken first, and others may fill what it leaves.
        waiting = list(_batches(lengths, budget))
        call = _Call(engine, sentences, on_done, waiting, tag=0.0, missing=len(sentences))
        if not sentences:
            call.future.set_result([])
            return call.future
        with self._changed:
            if self._closed:
                raise Cancelled("the extraction service is stopping")
            call.tag = self._virtual_time - self._batch_tokens
            self._calls.append(call)
            self._queued_tokens += sum(batch.tokens for batch in waiting)
            self._changed.notify(len(waiting))
        # Outside the lock: where the call is cancelled already, this runs `_drop` at once.
        call.future.add_done_callback(lambda _: self._drop(call))
        return call.future

    def _drop(self, call: _Call) -> None:
        """Forget what waits of a call that has ended."""
        with self._changed:
            self._queued_tokens -= sum(batch.tokens for batch in call.waiting)
            call.waiting.clear()
            if call in self._calls:
                self._calls.remove(call)

    def _work(self) -> None:
        while batch := self._take():
            self._run(batch)
            # What waits in the loop for the next batch would keep texts and model alive.
            del batch

    def _take(self) -> list[tuple[_Call, _Batch]]:
        """The next texts to pass a model together; waits for some. Nothing once closed."""
        with self._changed:
            while not self._calls and not self._closed:
                self._changed.wait()
            if self._closed:
                return []
            taken = [self._pop(min(self._calls, key=lambda call: call.tag))]
            self._fill(taken)
            return taken

    def _fill(self, taken: list[tuple[_Call, _Batch]]) -> None:
        """Add batches of other calls that are of like length, as far as they fit.

        No more than a worker's share of what waits: the others are to have work too.
        """
        call, batch = taken[0]
        room = min(self._batch_tokens, (batch.tokens + self._queued_tokens) // self._workers)
        for other in sorted(self._calls, key=lambda call: call.tag):
            both = batch.with_other(other.waiting[-1])
            if (
                other.engine is call.engine
                and both.longest <= both.shortest * _MAX_LENGTH_RATIO
                and both.tokens <= room
            ):
                taken.append(self._pop(other))
                batch = both

    def _pop(self, call: _Call) -> tuple[_Call, _Batch]:
        batch = call.waiting.pop()
        call.tag = max(call.tag, self._virtual_time) + batch.tokens
        self._virtual_time += batch.tokens / len(self._calls)
        self._queued_tokens -= batch.tokens
        if not call.waiting:
            self._calls.remove(call)
        if not call.begun:
            call.begun = True
            self._measures.queue_seconds.observe(time.perf_counter() - call.arrived)
        return call, batch

    def _run(self, taken: Sequence[tuple[_Call, _Batch]]) -> None:
        engine = taken[0][0].engine
        sentences = [call.sentences[place] for call, batch in taken for place in batch.places]
        start = time.perf_counter()
        outputs = iter(_outputs(engine, sentences))
        self._measures.run_seconds.observe(time.perf_counter() - start)
        self._measures.batch_texts.observe(len(sentences))
        for call, batch in taken:
            self._deliver(call, dict(zip(batch.places, outputs, strict=False)))

    def _deliver(self, call: _Call, outputs: dict[int, Output]) -> None:
        call.on_done(len(outputs))
        with self._changed:
            call.outputs.update(outputs)
            call.missing -= len(outputs)
            done = not call.missing
        # False where the caller went away while the last batch ran.
        if done and call.future.set_running_or_notify_cancel():
            call.future.set_result([call.outputs[place] for place in range(len(call.sentences))])


def _outputs(engine: Engine, sentences: Sequence[Sentence]) -> Sequence[Output]:
    """What comes of a batch; where it fails as a whole, its texts are tried one by one."""
    try:
        return engine.run(sentences)
    except Exception as error:  # noqa: BLE001  it must cost neither the worker nor other texts
        if len(sentences) > 1:
            return [output for one in sentences for output in _outputs(engine, [one])]
        if isinstance(error, SlcolmError):
            return [error]
        _log.exception("a text could not be run", tokens=len(sentences[0].encoded))
        return [SlcolmError("the text could not be run; the service's log says why")]


def _batches(lengths: Sequence[int], budget: int) -> Iterator[_Batch]:
    """Places grouped by like length, so that little is padded, the shortest first.

    Args:
        lengths: Tokens of each text.
        budget: Most tokens in a batch, padding included; a longer text goes alone.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Sorted: the newest is the longest, and every other is padded to it.
        if batch and lengths[place] * (len(batch) + 1) > budget:
            yield _Batch(tuple(batch), lengths[batch[0]], lengths[batch[-1]])
            batch = []
        batch.append(place)
    if batch:
        yield _Batch(tuple(batch), lengths[batch[0]], lengths[batch[-1]])
