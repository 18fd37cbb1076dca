"""A client that is used wrongly says so itself, at once: nothing is sent, nothing is retried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from slcolm_client import (
    AsyncClient,
    AsyncExtractionClient,
    Client,
    ExtractionClient,
    FailedPrecondition,
    InvalidArgument,
    connect,
)

NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize("address", ["", " ", "http://127.0.0.1:50050", None])
@pytest.mark.parametrize("make", [Client, ExtractionClient, connect])
def test_an_address_that_is_none_is_refused(make: Callable[[Any], Any], address: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        make(address)
    assert [violation.field for violation in caught.value.violations] == ["address"]


def test_asyncio_clients_refuse_the_same_addresses() -> None:
    async def scenario() -> None:
        with pytest.raises(InvalidArgument, match="address"):
            AsyncClient("")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.get_run("r"),
        lambda client: next(client.list_runs()),
        lambda client: next(client.watch_run("r")),
        lambda client: client.download("r", "report.json"),
        lambda client: client.predict(["x"], run_id="r"),
    ],
)
def test_a_closed_client_says_so(use: Callable[[Client], object]) -> None:
    client = Client(NOWHERE)
    client.close()
    client.close()
    with pytest.raises(FailedPrecondition) as caught:
        use(client)
    assert (caught.value.reason, caught.value.domain) == ("CLIENT_CLOSED", "slcolm_client")


def test_a_closed_asyncio_client_says_so() -> None:
    async def scenario() -> None:
        client = AsyncClient(NOWHERE)
        await client.close()
        await client.close()
        with pytest.raises(FailedPrecondition) as called:
            await client.get_run("r")
        with pytest.raises(FailedPrecondition) as watched:
            await anext(client.watch_run("r"))
        assert {called.value.reason, watched.value.reason} == {"CLIENT_CLOSED"}

    asyncio.run(scenario())


def test_a_client_of_another_event_loop_says_so() -> None:
    async def make() -> AsyncClient:
        return AsyncClient(NOWHERE)

    client = asyncio.run(make())
    for use in (client.get_run("r"), client.predict(["x"], run_id="r"), client.close()):
        with pytest.raises(FailedPrecondition) as caught:
            asyncio.run(use)
        assert caught.value.reason == "WRONG_EVENT_LOOP"
        assert "AsyncClient belongs to another event loop" in caught.value.message


def test_an_asyncio_client_is_made_on_a_loop() -> None:
    with pytest.raises(FailedPrecondition, match="AsyncExtractionClient must be made inside"):
        AsyncExtractionClient(NOWHERE)
