"""Which texts pass a model next: batches of like length, a fair turn for every call.

Turns follow start-time fair queueing (Goyal, Vin and Cheng 1996), where a call's tag is the virtual
time up to which it has been served, and the least tag is next. A call begins one batch ahead of
the others, as in borrowed virtual time (Duda and Cheriton 1999): a single sentence thus waits for
batches that are running and for no others, however many large calls there are, and every call
advances as fast as its fair share. What its caller no longer waits for is dropped when its turn
comes, before it costs anything.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

import structlog

from slcolm_services.errors import Cancelled, DeadlineTooShort, SlcolmError
from slcolm_services.extraction.engine import Engine, Extraction, Sentence
from slcolm_services.extraction.measures import ExtractionMeasures
from slcolm_services.runtime.caller import Caller, caller

Output: TypeAlias = Extraction | SlcolmError

_MAX_LENGTH_RATIO = 1.25
"""Longest to shortest text of a batch: what is padded costs as much as text."""

_REMEMBERED_SHARE = 0.95
"""How much of the pace is that of the batches before the last one: about twenty of them count."""

_log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _Call:
    """A call on its way. `outputs` and what is counted change under the scheduler's lock.

    Attributes:
        lengths: Tokens of its texts that wait, in rising order.
        places: Theirs in the call.
        tokens: Sum of `lengths`.
        share: Tokens that are a worker's part of the whole call.
        size: Tokens of the whole call.
        context: What was bound to the log where it was submitted.
        caller: Who waits for it.
    """

    engine: Engine
    sentences: Sequence[Sentence]
    on_done: Callable[[int], None]
    lengths: list[int]
    places: list[int]
    share: int
    size: int
    tokens: int
    tag: float = 0.0
    future: Future[list[Output]] = field(default_factory=Future)
    arrived: float = field(default_factory=time.perf_counter)
    begun: bool = False
    outputs: dict[int, Output] = field(default_factory=dict)
    context: Context = field(default_factory=copy_context)
    caller: Caller = field(default_factory=caller)

    @property
    def is_late(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.caller.remaining_seconds <= 0

    def of_like_length(self, shortest: int, longest: int) -> int | None:
        """The longest that waits and may go with texts of such lengths; an index of `lengths`."""
        index = bisect.bisect_right(self.lengths, shortest * _MAX_LENGTH_RATIO) - 1
        if index >= 0 and longest <= self.lengths[index] * _MAX_LENGTH_RATIO:
            return index
        return None


class Scheduler:
    """Runs the texts of many calls on a few threads. Safe to use from any thread.

    Args:
        workers: Threads, and thus batches at once: one for each processor, for all models together.
        batch_tokens: Most tokens in a batch, padding included; a longer text goes alone.
        measures: Where batches and waits are counted.
    """

    def __init__(
        self, *, workers: int, batch_tokens: int, measures: ExtractionMeasures | None = None
    ) -> None:
        self._workers = workers
        self._batch_tokens = batch_tokens
        self._measures = measures or ExtractionMeasures()
        self._changed = threading.Condition()
        self._calls: list[_Call] = []
        self._virtual_time = 0.0
        self._queued_tokens = 0
        self._paced_seconds = 0.0
        self._paced_tokens = 0.0
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
        """Queue the texts of a call, for the caller that is bound to the context.

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
        places = sorted(range(len(sentences)), key=lambda place: len(sentences[place].encoded))
        lengths = [len(sentences[place].encoded) for place in places]
        tokens = sum(lengths)
        share = -(-tokens // self._workers)
        call = _Call(engine, sentences, on_done, lengths, places, share, tokens, tokens)
        if not sentences:
            call.future.set_result([])
            return call.future
        with self._changed:
            if self._closed:
                raise Cancelled("the extraction service is stopping")
            call.tag = self._virtual_time - self._batch_tokens
            self._calls.append(call)
            self._queued_tokens += tokens
            self._changed.notify(len(lengths))
        # Outside the lock: where the call is cancelled already, this runs `_drop` at once.
        call.future.add_done_callback(lambda _: self._drop(call))
        return call.future

    def wait_seconds(self, tokens: int) -> float:
        """How long others would hold up a call of so many tokens, at the pace of late.

        Calls of one size that take turns all end at about the same time, which is when the whole of
        each has been done: so each counts whole, however much of it is done by now. Of larger calls
        no more goes before than is the fair share of a call like this one.
        """
        with self._changed:
            share = tokens + self._batch_tokens
            ahead = sum(min(call.size, share) for call in self._calls)
            return ahead * self._seconds_per_token / self._workers

    def _drop(self, call: _Call) -> None:
        """Forget what waits of a call that has ended."""
        with self._changed:
            self._queued_tokens -= call.tokens
            call.tokens = 0
            call.lengths.clear()
            call.places.clear()
            if call in self._calls:
                self._calls.remove(call)

    def _work(self) -> None:
        while batch := self._take():
            self._run(batch)
            # What waits in the loop for the next batch would keep texts and model alive.
            del batch

    def _take(self) -> list[tuple[_Call, int]]:
        """The next texts to pass a model together; waits for some. Nothing once closed.

        The longest text of the call whose turn it is, and what waits of like length.
        """
        with self._changed:
            lead = self._next_call()
            if lead is None:
                return []
            # No more than a worker's share of what waits, or of a call that is there alone: the
            # others would do nothing else.
            share = max(lead.share, self._queued_tokens // self._workers)
            budget = min(self._batch_tokens, share)
            shortest = longest = lead.lengths[-1]
            taken = [self._pop(lead, len(lead.lengths) - 1)]
            for call in sorted(self._calls, key=lambda call: call.tag):
                if call.engine is not lead.engine or call.is_late:
                    continue
                while (index := call.of_like_length(shortest, longest)) is not None:
                    both = min(shortest, call.lengths[index]), max(longest, call.lengths[index])
                    if (len(taken) + 1) * both[1] > budget:
                        break
                    shortest, longest = both
                    taken.append(self._pop(call, index))
            return taken

    def _next_call(self) -> _Call | None:
        """The call whose turn it is; waits for one. None once closed."""
        while True:
            while not self._calls and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            call = min(self._calls, key=lambda call: call.tag)
            if not call.is_late:
                return call
            self._drop(call)
            if call.future.set_running_or_notify_cancel():
                call.future.set_exception(
                    DeadlineTooShort("the caller's deadline passed before the texts had their turn")
                )

    def _pop(self, call: _Call, index: int) -> tuple[_Call, int]:
        """Take a waiting text of a call."""
        place, tokens = call.places.pop(index), call.lengths.pop(index)
        self._queued_tokens -= tokens
        call.tokens -= tokens
        call.tag = max(call.tag, self._virtual_time) + tokens
        self._virtual_time += tokens / len(self._calls)
        if not call.lengths:
            self._calls.remove(call)
        if not call.begun:
            call.begun = True
            self._measures.queue_seconds.observe(time.perf_counter() - call.arrived)
        return call, place

    def _run(self, taken: Sequence[tuple[_Call, int]]) -> None:
        start = time.perf_counter()
        outputs = _outputs(taken)
        took = time.perf_counter() - start
        self._note_pace(took, sum(len(call.sentences[place].encoded) for call, place in taken))
        self._measures.run_seconds.observe(took)
        self._measures.batch_texts.observe(len(taken))
        by_call: dict[_Call, dict[int, Output]] = {}
        for (call, place), output in zip(taken, outputs, strict=True):
            by_call.setdefault(call, {})[place] = output
        for call, found in by_call.items():
            self._deliver(call, found)

    def _note_pace(self, seconds: float, tokens: int) -> None:
        with self._changed:
            self._paced_seconds = self._paced_seconds * _REMEMBERED_SHARE + seconds
            self._paced_tokens = self._paced_tokens * _REMEMBERED_SHARE + tokens

    @property
    def _seconds_per_token(self) -> float:
        """Of one worker; 0 while nothing is known."""
        return self._paced_seconds / self._paced_tokens if self._paced_tokens else 0.0

    def _deliver(self, call: _Call, outputs: dict[int, Output]) -> None:
        call.on_done(len(outputs))
        with self._changed:
            call.outputs.update(outputs)
            done = len(call.outputs) == len(call.sentences)
        # False where the caller went away while the last batch ran.
        if done and call.future.set_running_or_notify_cancel():
            call.future.set_result([call.outputs[place] for place in range(len(call.sentences))])


def _outputs(taken: Sequence[tuple[_Call, int]]) -> Sequence[Output]:
    """What comes of a batch; where it fails as a whole, its texts are tried one by one."""
    call = taken[0][0]
    sentences = [each.sentences[place] for each, place in taken]
    try:
        return call.engine.run(sentences)
    except Exception as error:  # noqa: BLE001  it must cost neither the worker nor other texts
        if len(taken) > 1:
            return [output for one in taken for output in _outputs([one])]
        if isinstance(error, SlcolmError):
            return [error]
        # A copy: other threads may be working for the same call.
        in_context = call.context.copy().run
        in_context(_log.exception, "a text could not be run", tokens=len(sentences[0].encoded))
        return [SlcolmError("the text could not be run; the service's log says why")]
