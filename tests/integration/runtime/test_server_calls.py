"""What every server promises of a call: each trap of gRPC that the runtime closes."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from prometheus_client import generate_latest
from support.serving import (
    SERVICE,
    Serving,
    answer,
    details,
    failure,
    get,
    stub_of,
    trailers,
)

from slcolm_services.errors import (
    ConfigInvalid,
    DataInvalid,
    FieldViolation,
    IndexNotFound,
    SlcolmError,
)


def test_an_error_of_the_tree_arrives_with_its_details(serving: Serving) -> None:
    async def handler(request: Any, context: Any) -> Any:
        raise IndexNotFound(
            f"there is no index {request.index_revision}",
            metadata={"index_revision": request.index_revision},
        )

    async def scenario() -> None:
        async with serving(handler) as server, stub_of(server) as stub:
            error = await failure(stub, revision="blue")
        found = details(error)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error.details() == "there is no index blue"
        assert found["ErrorInfo"].reason == "INDEX_NOT_FOUND"
        assert found["ErrorInfo"].domain == "slcolm"
        assert found["ResourceInfo"].resource_name == "blue"

    asyncio.run(scenario())


def test_text_of_an_unforeseen_error_stays_inside(serving: Serving) -> None:
    async def handler(request: Any, context: Any) -> Any:
        raise ValueError("a secret sentence")

    async def scenario() -> None:
        async with serving(handler) as server, stub_of(server) as stub:
            error = await failure(stub)
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in str(error)
        assert b"secret" not in trailers(error)["grpc-status-details-bin"]

    asyncio.run(scenario())


def test_a_handler_that_cancels_itself_answers_at_once(serving: Serving) -> None:
    """Plain gRPC would leave the caller waiting for its deadline."""

    async def handler(request: Any, context: Any) -> Any:
        raise asyncio.CancelledError

    async def scenario() -> None:
        async with serving(handler) as server, stub_of(server) as stub:
            error = await failure(stub)
        assert error.code() is grpc.StatusCode.INTERNAL

    asyncio.run(scenario())


def test_a_call_that_its_caller_cancels_is_cancelled_and_leaves_its_place(
    serving: Serving,
) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def handler(request: Any, context: Any) -> Any:
        if request.index_revision == "next":
            return await answer(request, context)
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async def scenario() -> None:
        async with serving(handler, max_calls_in_flight=1) as server, stub_of(server) as stub:
            call = get(stub)
            await arrived.wait()
            call.cancel()
            await left.wait()
            # The place is given back right after the handler; the loop turns once or twice.
            response = await get(stub, "next")
            assert response.index.revision == "next"

    asyncio.run(scenario())


def test_many_violations_fit_into_what_a_plain_client_accepts(serving: Serving) -> None:
    """Trailing metadata beyond 8 KiB would turn the error into another one."""

    async def handler(request: Any, context: Any) -> Any:
        raise DataInvalid(
            "数据有误" * 200,
            violations=[FieldViolation(f"line {i}: text", "不合格" * 20) for i in range(100)],
        )

    async def scenario() -> None:
        async with serving(handler) as server, stub_of(server, plain=True) as stub:
            error = await failure(stub)
        found = details(error)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        kept = len(found["BadRequest"].field_violations)
        assert kept > 5
        assert found["ErrorInfo"].metadata["violations_left_out"] == str(100 - kept)

    asyncio.run(scenario())


def test_admission_keeps_limiting_after_the_first_wave(serving: Serving) -> None:
    """The limit of grpc.aio itself stopped after one wave in several releases."""
    inside = peak = 0

    async def handler(request: Any, context: Any) -> Any:
        nonlocal inside, peak
        inside += 1
        peak = max(peak, inside)
        # Let every call of the wave arrive while this one is inside.
        for _ in range(50):
            await asyncio.sleep(0)
        inside -= 1
        return await answer(request, context)

    async def scenario() -> None:
        async with serving(handler, max_calls_in_flight=3) as server, stub_of(server) as stub:
            for _ in range(4):
                results = await asyncio.gather(
                    *(get(stub, wait_for_ready=True) for _ in range(40)), return_exceptions=True
                )
                refused = [r for r in results if isinstance(r, grpc.aio.AioRpcError)]
                assert refused
                assert {r.code() for r in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
                assert len(refused) < len(results)
        assert peak == 3

    asyncio.run(scenario())


def test_a_refused_call_is_told_when_to_come_back_in_both_ways(serving: Serving) -> None:
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def handler(request: Any, context: Any) -> Any:
        arrived.set()
        await leave.wait()
        return await answer(request, context)

    async def scenario() -> None:
        async with (
            serving(handler, max_calls_in_flight=1, retry_after_seconds=0.75) as server,
            stub_of(server) as stub,
        ):
            first = get(stub)
            await arrived.wait()
            error = await failure(stub)
            leave.set()
            await first
            page = generate_latest(server.metrics.registry).decode()
        found = details(error)
        assert found["ErrorInfo"].reason == "OVERLOADED"
        assert found["RetryInfo"].retry_delay.ToMilliseconds() == 750
        assert trailers(error)["grpc-retry-pushback-ms"] == "750"
        assert "slcolm_calls_refused_total 1.0" in page
        assert 'code="RESOURCE_EXHAUSTED"' in page
        assert 'code="OK"' in page

    asyncio.run(scenario())


def test_a_burst_is_answered_whole_and_none_is_dropped(serving: Serving) -> None:
    """From about 1000 waiting calls on, gRPC's defaults drop some at random as CANCELLED."""

    async def scenario() -> None:
        async with serving(answer, max_calls_in_flight=100) as server, stub_of(server) as stub:
            await get(stub, wait_for_ready=True)
            results = await asyncio.gather(
                *(get(stub, timeout=60.0) for _ in range(3000)), return_exceptions=True
            )
        codes = {r.code() for r in results if isinstance(r, grpc.aio.AioRpcError)}
        assert codes <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert not [r for r in results if isinstance(r, Exception) and not hasattr(r, "code")]

    asyncio.run(scenario())


def test_two_servers_cannot_share_a_port(serving: Serving) -> None:
    async def scenario() -> None:
        async with serving(answer) as first:
            with pytest.raises(ConfigInvalid, match=str(first.port)):
                async with serving(answer, port=first.port):
                    pytest.fail("the port was taken twice")

    asyncio.run(scenario())


def test_an_answer_beyond_grpcs_default_limit_arrives(serving: Serving) -> None:
    revision = "x" * (5 * 1024 * 1024)

    async def scenario() -> None:
        async with serving(answer) as server, stub_of(server) as stub:
            response = await get(stub, revision)
        assert response.index.revision == revision

    asyncio.run(scenario())


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_no_call_outlives_the_servers_deadline(timeout: float | None, serving: Serving) -> None:
    async def handler(request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    async def scenario() -> None:
        async with (
            serving(handler, default_deadline_seconds=0.1, max_deadline_seconds=0.1) as server,
            stub_of(server) as stub,
        ):
            error = await failure(stub, timeout=timeout)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert details(error)["ErrorInfo"].reason == "DEADLINE_TOO_SHORT"

    asyncio.run(scenario())


def test_unlimited_methods_have_no_deadline_and_take_no_place(serving: Serving) -> None:
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def handler(request: Any, context: Any) -> Any:
        arrived.set()
        await leave.wait()
        return await answer(request, context)

    async def scenario() -> None:
        hooks = {"unlimited_methods": frozenset({f"/{SERVICE}/GetIndex"})}
        async with (
            serving(
                handler, hooks=hooks, max_calls_in_flight=1, default_deadline_seconds=1e-6
            ) as server,
            stub_of(server) as stub,
        ):
            calls = [asyncio.ensure_future(get(stub, timeout=None)) for _ in range(3)]
            await arrived.wait()
            leave.set()
            assert len(await asyncio.gather(*calls)) == 3

    asyncio.run(scenario())


def test_a_request_id_comes_back_with_answers_and_errors(serving: Serving) -> None:
    async def handler(request: Any, context: Any) -> Any:
        if request.index_revision == "bad":
            raise SlcolmError("no")
        return await answer(request, context)

    async def scenario() -> None:
        sent = (("x-request-id", "my-call"),)
        async with serving(handler) as server, stub_of(server) as stub:
            call = get(stub, metadata=sent)
            await call
            assert dict(await call.trailing_metadata())["x-request-id"] == "my-call"
            error = await failure(stub, revision="bad", metadata=sent)
            assert trailers(error)["x-request-id"] == "my-call"
            # What could not stand in a log line is replaced.
            call = get(stub, metadata=(("x-request-id", "a b" * 100),))
            await call
            assert len(dict(await call.trailing_metadata())["x-request-id"]) == 32

    asyncio.run(scenario())


def test_the_services_own_cost_is_what_is_limited_and_shown(serving: Serving) -> None:
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def handler(request: Any, context: Any) -> Any:
        arrived.set()
        await leave.wait()
        return await answer(request, context)

    async def scenario() -> None:
        hooks = {"cost": lambda request: len(request.index_revision)}
        async with (
            serving(handler, hooks=hooks, max_cost_in_flight=10) as server,
            stub_of(server) as stub,
        ):
            first = asyncio.ensure_future(get(stub, "x" * 8))
            await arrived.wait()
            error = await failure(stub, revision="xxx")
            page = generate_latest(server.metrics.registry).decode()
            second = asyncio.ensure_future(get(stub, "xx"))
            leave.set()
            await asyncio.gather(first, second)
        assert details(error)["ErrorInfo"].metadata["cost"] == "3"
        assert "slcolm_cost_in_flight 8.0" in page

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "data",
    [b"\x0a\x05no", b"\x0a\x02\xff\xff", b"\x0b" * 200 + b"\x0c" * 200],
    ids=["cut off", "no UTF-8", "nested too deeply"],
)
def test_a_request_that_cannot_be_read_is_the_callers_fault(serving: Serving, data: bytes) -> None:
    """Plain gRPC would call it an internal error, and the log would know nothing of it."""

    async def scenario() -> None:
        async with (
            serving(answer) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/{SERVICE}/GetIndex", bytes, bytes)(data, timeout=30)
        error = caught.value
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert details(error)["ErrorInfo"].reason == "REQUEST_UNREADABLE"

    asyncio.run(scenario())
