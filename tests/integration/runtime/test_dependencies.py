"""Health follows what a service depends on: each name for itself, readiness for what is needed."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs
from support.health import NOT_SERVING, SERVING, becomes, states
from support.serving import SERVICE, Serving, answer, get, stub_of

from slcolm_services.errors import Unavailable
from slcolm_services.runtime.dependencies import Dependency
from slcolm_services.runtime.server import Server

PASSWORD = "postgresql://slcolm:open-sesame@db"


def metrics_of(server: Server) -> str:
    return generate_latest(server.metrics.registry).decode()


class Switch:
    """Something that can be taken away."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.hangs = False

    async def check(self) -> None:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.problem is not None:
            raise self.problem


def hooks(needed: Switch, wanted: Switch) -> dict[str, list[Dependency]]:
    return {
        "dependencies": [
            Dependency("database", needed.check),
            Dependency("endpoint", wanted.check, needed=False),
        ]
    }


@pytest.mark.parametrize("how", ["error", "foreign error", "silence"])
def test_readiness_goes_and_comes_with_what_is_needed(serving: Serving, how: str) -> None:
    database, endpoint = Switch(), Switch()

    async def scenario() -> None:
        async with serving(answer, hooks=hooks(database, endpoint), check_seconds=0.05) as server:
            names = ("", SERVICE, "database", "endpoint", "liveness")
            assert await states(server.address, *names) == [SERVING] * 5
            database.hangs = how == "silence"
            if not database.hangs:
                problem = Unavailable("gone") if how == "error" else RuntimeError(PASSWORD)
                database.problem = problem
            await becomes(server.address, SERVICE, NOT_SERVING)
            told = await states(server.address, *names)
            assert told == [NOT_SERVING, NOT_SERVING, NOT_SERVING, SERVING, SERVING]
            # Who calls all the same is answered, or hears the call's own error.
            async with stub_of(server, plain=True) as stub:
                await get(stub)
            database.problem, database.hangs = None, False
            await becomes(server.address, SERVICE, SERVING)

    with capture_logs() as logs:
        asyncio.run(scenario())
    told = [line for line in logs if line.get("dependency") == "database"]
    assert [line["event"] for line in told] == ["dependency missing", "dependency back"]
    assert PASSWORD not in str(logs)


def test_what_is_not_needed_has_a_name_of_its_own_only(serving: Serving) -> None:
    database, endpoint = Switch(), Switch()
    endpoint.problem = Unavailable("gone")

    async def scenario() -> None:
        async with serving(answer, hooks=hooks(database, endpoint), check_seconds=0.05) as server:
            assert await states(server.address, "", "endpoint") == [SERVING, NOT_SERVING]
            assert 'slcolm_dependency_there{dependency="endpoint"} 0.0' in metrics_of(server)
            endpoint.problem = None
            await becomes(server.address, "endpoint", SERVING)
            assert 'slcolm_dependency_there{dependency="endpoint"} 1.0' in metrics_of(server)

    asyncio.run(scenario())


def test_a_service_is_not_ready_before_what_it_needs_is_there(serving: Serving) -> None:
    database = Switch()
    database.problem = Unavailable("gone")

    async def scenario() -> None:
        async with serving(answer, hooks=hooks(database, Switch()), check_seconds=0.05) as server:
            assert await states(server.address, SERVICE) == [NOT_SERVING]
            database.problem = None
            await becomes(server.address, SERVICE, SERVING)
            # Draining is said whatever is there.
            draining = asyncio.create_task(server.drain())
            await becomes(server.address, SERVICE, NOT_SERVING)
            await draining

    asyncio.run(scenario())
