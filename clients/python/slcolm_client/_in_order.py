"""Work that is done at once and comes back in order: for threads, and for an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from slcolm_client._stopping import Stop

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")


def in_order(
    works: Iterator[WorkT],
    do: Callable[[WorkT], list[ResultT]],
    *,
    ahead: int,
    stop: Stop,
) -> Generator[ResultT, None, None]:
    """Do works in threads, and give out their results in the order of the works.

    Args:
        works: Read when there is room, in the thread of whoever takes the results.
        do: Does one; what it raises ends everything, after the results before it.
        ahead: Most works that have been read and whose results are not all given out.
        stop: Stopped when the generator ends; it must end what `do` waits for.
    """
    pending: deque[Future[list[ResultT]]] = deque()
    pool = ThreadPoolExecutor(ahead, thread_name_prefix="slcolm-client")
    try:
        for work in works:
            pending.append(pool.submit(do, work))
            while pending and (len(pending) >= ahead or pending[0].done()):
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        stop.stop()
        pool.shutdown(cancel_futures=True)


async def in_order_aio(
    works: AsyncGenerator[WorkT, None],
    do: Callable[[WorkT], Awaitable[list[ResultT]]],
    *,
    ahead: int,
) -> AsyncGenerator[ResultT, None]:
    """`in_order` with tasks, which are cancelled when the generator ends."""
    pending: deque[asyncio.Future[list[ResultT]]] = deque()
    try:
        async for work in works:
            pending.append(asyncio.ensure_future(do(work)))
            while pending and (len(pending) >= ahead or pending[0].done()):
                for result in await pending[0]:
                    yield result
                pending.popleft()
        while pending:
            for result in await pending[0]:
                yield result
            pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await works.aclose()
