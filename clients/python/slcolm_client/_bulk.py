"""Many texts in batches that a service takes: cutting, and results or errors for every text.

The same for both stacks, without calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf.message import Message

from slcolm.common.v1 import common_pb2
from slcolm_client._errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    SlcolmClientError,
    Unauthenticated,
    Unimplemented,
    invalid_argument,
)

ResultT = TypeVar("ResultT")

BATCH_SIZE = 32
"""Texts a call, unless the caller says otherwise."""

BATCHES_IN_FLIGHT = 4
"""Batches that are on their way at once, unless the caller says otherwise."""

_BATCH_BYTES = 1024 * 1024
# For the wire, and for what a service holds at once.
_TOO_LARGE = ("MESSAGE_TOO_LARGE", "REQUEST_TOO_LARGE")
# What is wrong with the call, and therefore with those after it too, whatever their texts are.
_OF_EVERY_CALL = (
    Cancelled,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unimplemented,
)


class Item(NamedTuple):
    """A text among many.

    Attributes:
        id: Its name.
        text: The text; empty where it is none.
        error: Why it cannot be sent; None where it can.
    """

    id: str
    text: str
    error: InvalidArgument | None = None


def items_of(texts: object) -> Iterator[Item]:
    """Texts with their names, read as they are asked for.

    Args:
        texts: A mapping of names to texts, or an iterable of texts, which are named by their
            places, or of pairs of name and text.

    Raises:
        InvalidArgument: It is neither, at once. A single string is none: nobody wants to send its
            characters one by one.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise _no_texts(texts)
    named = texts.items() if isinstance(texts, Mapping) else texts
    return (item_of(place, text) for place, text in enumerate(named))


def items_of_aio(texts: object) -> AsyncIterator[Item]:
    """`items_of`, also for what is iterated with `async for`."""
    if isinstance(texts, AsyncIterable):
        return _numbered(texts)
    return each(items_of(texts))


async def _numbered(texts: AsyncIterable[object]) -> AsyncIterator[Item]:
    place = 0
    async for text in texts:
        yield item_of(place, text)
        place += 1


async def each(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Items for `async for`."""
    for item in items:
        yield item


def sendable(items: Iterable[Item]) -> list[Item]:
    """All the items.

    Raises:
        InvalidArgument: One of them cannot be sent.
    """
    found = list(items)
    for item in found:
        if item.error is not None:
            raise item.error
    return found


def item_of(place: int, text: object) -> Item:
    """A text, or a pair of name and text; where it cannot be sent, with the reason."""
    name: object = place
    if isinstance(text, tuple) and len(text) == 2:  # noqa: PLR2004  a pair
        name, text = text
    field = f"texts[{name!r}]"
    if str(name) == "":
        return Item("", "", invalid_argument(field, "has no name: it must not be empty"))
    if not isinstance(text, str):
        problem = f"must be a string, got {type(text).__name__}"
        return Item(str(name), "", invalid_argument(field, problem))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        problem = f"is no Unicode text: a lone surrogate stands at {error.start}"
        return Item(str(name), text, invalid_argument(field, problem))
    return Item(str(name), text)


def _no_texts(texts: object) -> InvalidArgument:
    return invalid_argument(
        "texts",
        "must be a sequence of strings or a mapping to strings, not one " + type(texts).__name__,
    )


class Batcher:
    """Cuts items into batches, in order: by number, by bytes, and where a name comes again.

    Args:
        size: Most items in a batch. It becomes less once a service has said that it takes less.

    Raises:
        InvalidArgument: `size` is less than 1.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise invalid_argument("batch_size", f"must be at least 1, got {size}")
        self.size = size
        self._items: list[Item] = []
        self._names: set[str] = set()
        self._bytes = 0

    def batches(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """The batches of `items`, which are read as batches are asked for."""
        for item in items:
            yield from self._add(item)
        yield from self._rest()

    async def batches_aio(self, items: AsyncIterator[Item]) -> AsyncGenerator[list[Item], None]:
        """`batches` for what is iterated with `async for`."""
        async for item in items:
            for batch in self._add(item):
                yield batch
        for batch in self._rest():
            yield batch

    def _add(self, item: Item) -> Iterator[list[Item]]:
        size = len(item.text.encode(errors="replace"))
        if self._bytes + size > _BATCH_BYTES or item.id in self._names:
            yield from self._rest()
        self._items.append(item)
        self._names.add(item.id)
        self._bytes += size
        if len(self._items) >= self.size:
            yield from self._rest()

    def _rest(self) -> Iterator[list[Item]]:
        if self._items:
            batch, self._items, self._names, self._bytes = self._items, [], set(), 0
            yield batch


@dataclass(frozen=True)
class Asking(Generic[ResultT]):
    """How a kind of batch is asked about.

    Attributes:
        method: Name of the stub's method.
        request: Makes the request of documents.
        read: Results in the order of the documents; it raises `SlcolmClientError` where the
            response is not theirs.
        failed: The result of an item that has none.
        all_or_nothing: What a call fails with is raised, and does not become the results of its
            items.
    """

    method: str
    request: Callable[[Sequence[common_pb2.Document]], Message]
    read: Callable[[Any, Sequence[common_pb2.Document]], Iterable[ResultT]]
    failed: Callable[[Item, SlcolmClientError], ResultT]
    all_or_nothing: bool = False


class Work(Generic[ResultT]):
    """A batch on its way: what of it is still to be asked, and the results before that.

    Args:
        batch: Its items.
        asking: How they are asked about.
        batcher: Told where the service takes smaller batches only.
    """

    def __init__(self, batch: list[Item], asking: Asking[ResultT], batcher: Batcher) -> None:
        self.results: list[ResultT] = []
        self._asking = asking
        self._batcher = batcher
        self._parts = deque([batch])
        self._documents: list[common_pb2.Document] = []

    def next_request(self) -> Message | None:
        """What to send next; `answer` or `fail` must be told what came of it. None: all is done."""
        while self._parts:
            self._documents = [
                common_pb2.Document(id=item.id, text=item.text)
                for item in self._parts[0]
                if item.error is None
            ]
            if self._documents:
                return self._asking.request(self._documents)
            self._fill([])
        return None

    def answer(self, response: Message) -> None:
        """Take in an answer.

        Raises:
            SlcolmClientError: As `fail` does, where it is no answer to what was sent.
        """
        try:
            results = list(self._asking.read(response, self._documents))
        except SlcolmClientError as error:
            self.fail(error)
            return
        self._fill(results)

    def fail(self, error: SlcolmClientError) -> None:
        """Take in a failure: less is asked at once where that helps, or the items have failed.

        Raises:
            SlcolmClientError: `error`, where it is not of these items alone.
        """
        part = self._parts[0]
        size = _smaller(len(part), error)
        if size is not None:
            if error.reason == "BATCH_TOO_LARGE":
                self._batcher.size = min(self._batcher.size, size)
            self._parts.popleft()
            self._parts.extendleft(
                reversed([part[start : start + size] for start in range(0, len(part), size)])
            )
            return
        if self._asking.all_or_nothing or isinstance(error, _OF_EVERY_CALL):
            raise error
        self._fill([self._asking.failed(item, error) for item in part if item.error is None])

    def _fill(self, results: Sequence[ResultT]) -> None:
        """Results of the first part, those of what cannot be sent among them."""
        following = iter(results)
        self.results += [
            next(following) if item.error is None else self._asking.failed(item, item.error)
            for item in self._parts.popleft()
        ]


def _smaller(size: int, error: SlcolmClientError) -> int | None:
    """How many items to send at once after `error`; None where less does not help."""
    if size > 1 and error.reason in _TOO_LARGE:
        return (size + 1) // 2
    if isinstance(error, InvalidArgument) and error.reason == "BATCH_TOO_LARGE":
        limit = error.metadata.get("limit", "")
        if limit.isdecimal() and 0 < int(limit) < size:
            return int(limit)
    return None
