"""What a service brings, and the server that runs it: all that is the same for each."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.registry import Collector

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.access import Access
from slcolm_services.runtime.admission import Admission
from slcolm_services.runtime.auth import authentication
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.dependencies import Dependency, Lookout
from slcolm_services.runtime.exposure import refuse_exposed
from slcolm_services.runtime.guards import (
    Admitted,
    Deadline,
    Measured,
    Ready,
    errors_to_status,
    identified,
    traced,
)
from slcolm_services.runtime.health import Health
from slcolm_services.runtime.interceptors import Interceptor, readable, service_of
from slcolm_services.runtime.metrics import Metrics
from slcolm_services.runtime.reflection import REFLECTION, add_reflection
from slcolm_services.runtime.roles import Role
from slcolm_services.runtime.tls import server_credentials

_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


async def _nothing() -> None:
    """Hook of a service that has nothing to load or to close."""


def _one(request: Message) -> int:
    """Cost of a request where every request is alike."""
    del request
    return 1


def _at_once(cost: int) -> float:
    """Wait of a service that does not know it."""
    del cost
    return 0.0


@dataclass(frozen=True)
class Service:
    """A service as the runtime starts, limits and stops it.

    Attributes:
        name: Full gRPC name, for example `slcolm.extraction.v1.ExtractionService`.
        register: Adds the servicers to a server. Called before `start`.
        start: Loads what the service needs; it is ready once this returns. Runs on the event loop:
            work that computes or touches disk goes to a thread.
        stop: Closes what `start` opened, after the last call has ended. Also called when `start`
            failed half-way.
        cost: Admission cost of a request, in characters of text; the sum over the calls in flight
            is what the server limits. 0 for what only asks or steers: such calls, and those whose
            requests are streamed, have places of their own. Health and reflection are free.
        max_cost: That limit, where the configuration names none.
        wait_seconds: How long a call of a cost would be held up by those that are there. One whose
            caller does not wait twice as long is refused at once.
        unlimited_methods: Full method names, `/package.Service/Method`, that get neither the
            default deadline nor the maximum, and no cost: long streams.
        collectors: What the service measures of itself, shown with the server's own metrics.
        dependencies: What it needs beside itself; looked at from the end of `start` on.
        roles: Role that a caller needs, by method name, where calls need tokens; `ADMIN` for what
            does not stand there.
        others: Further services on the same port, by full name, with the roles of their methods.
            Limits and readiness are the same for all.
    """

    name: str
    register: Callable[[grpc.aio.Server], None]
    start: Callable[[], Awaitable[None]] = _nothing
    stop: Callable[[], Awaitable[None]] = _nothing
    cost: Callable[[Message], int] = _one
    max_cost: int = 4_000_000
    wait_seconds: Callable[[int], float] = _at_once
    unlimited_methods: frozenset[str] = frozenset()
    collectors: Sequence[Collector] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    dependencies: Sequence[Dependency] = ()
    others: Mapping[str, Mapping[str, Role]] = field(default_factory=dict)

    def roles_of(self, service: str) -> Mapping[str, Role] | None:
        """Roles of the methods of a service that is served here, by its full name."""
        return self.roles if service == self.name else self.others.get(service)


class Server:
    """Serves one service on one port, as an async context manager; health on a second, if asked.

    Entering binds the port and answers health checks, with NOT_SERVING; calls are refused as
    UNAVAILABLE until `load` has run. Leaving stops at once; call `drain` before for a gentle end.

    Args:
        service: What is served.
        config: How.
        auth: Whose calls are taken.
    """

    def __init__(
        self, service: Service, config: ServerConfig, auth: AuthConfig | None = None
    ) -> None:
        self._service = service
        self._config = config
        self._auth = auth or AuthConfig()
        self._health = Health(
            service.name, {known.name: known.needed for known in service.dependencies}
        )
        self._lookout = Lookout(
            service.dependencies, self._tell_of, patience_seconds=config.check_seconds
        )
        self._looking: asyncio.Task[None] | None = None
        self._loaded = False
        self._admission = Admission(
            max_calls=config.max_calls_in_flight,
            max_cost=config.max_cost_in_flight or service.max_cost,
            retry_after_seconds=config.retry_after_seconds,
        )
        self.metrics = Metrics()
        for collector in service.collectors:
            self.metrics.registry.register(collector)
        self._stop_metrics: Callable[[], None] = lambda: None
        self._servers: list[grpc.aio.Server] = []
        self.port = config.port
        self.health_port: int | None = None
        self.metrics_port: int | None = None

    @property
    def address(self) -> str:
        """`host:port` that the server listens on."""
        return self._at(self.port)

    async def __aenter__(self) -> Self:
        refuse_exposed(self._config, self._auth)
        # A server object belongs to the running event loop: none is made before.
        server = grpc.aio.server(interceptors=self._interceptors(), options=self._options())
        self._service.register(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        add_reflection(server, (self._service.name, *self._service.others, _HEALTH))
        self.port = await self._bind("port", self.port, server, self._credentials())
        self._servers.append(server)
        if self._config.health_port is not None:
            await self._serve_health(self._config.health_port)
        self._serve_metrics()
        for each in self._servers:
            await each.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
        await self._health.close()
        await self._stop_servers(0)
        self._stop_metrics()
        await self._service.stop()

    async def load(self) -> None:
        """Start the service, then take calls. It is ready as soon as what it needs is there."""
        await self._service.start()
        await self._lookout.look()
        if self._service.dependencies:
            looking = self._lookout.keep_looking(self._config.check_seconds)
            self._looking = asyncio.create_task(looking)
        self._loaded = True
        await self._health.set_ready(ready=True)

    async def _tell_of(self, dependency: str, there: bool) -> None:
        self.metrics.dependency_there.labels(dependency).set(there)
        await self._health.set_there(dependency, there)

    async def drain(self) -> None:
        """Say NOT_SERVING, go on serving for the drain delay, then let calls in flight end.

        The delay is needed: gRPC drops calls that have arrived when a server stops and have not
        been given to it yet, whatever grace it is stopped with.
        """
        await self._health.set_ready(ready=False)
        await asyncio.sleep(self._config.drain_delay_seconds)
        await self._health.close()
        await self._stop_servers(self._config.grace_seconds)

    async def _stop_servers(self, grace_seconds: float) -> None:
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))

    def _interceptors(self) -> list[grpc.aio.ServerInterceptor]:  # type: ignore[type-arg]
        unlimited = self._service.unlimited_methods
        around = Interceptor(
            guards=(identified, traced, errors_to_status, Measured(self.metrics), readable),
            covers=lambda service: service != _HEALTH,
        )
        authenticate = authentication(self._auth)
        access = [] if authenticate is None else [Access(authenticate, self._needed_role)]
        inside = Interceptor(
            guards=(
                Ready(lambda: self._loaded),
                Deadline(
                    default_seconds=self._config.default_deadline_seconds,
                    max_seconds=self._config.max_deadline_seconds,
                    unlimited_methods=unlimited,
                ),
                Admitted(
                    self._admission,
                    cost=self._service.cost,
                    wait_seconds=self._service.wait_seconds,
                    free_methods=unlimited,
                    metrics=self.metrics,
                ),
            ),
            covers=lambda service: self._service.roles_of(service) is not None,
        )
        return [around, *access, inside]

    def _needed_role(self, method: str) -> Role | None:
        service = service_of(method)
        if service == _HEALTH:
            # Balancers and probes have no tokens, and learn nothing but whether it serves.
            return None
        if service in REFLECTION:
            return Role.READ
        roles = self._service.roles_of(service) or {}
        return roles.get(method.rpartition("/")[2], Role.ADMIN)

    def _credentials(self) -> grpc.ServerCredentials | None:
        config = self._config
        if config.tls_certificate is None or config.tls_key is None:
            return None
        return server_credentials(config.tls_certificate, config.tls_key, config.tls_client_ca)

    def _options(self) -> list[tuple[str, Any]]:
        config = self._config
        return [
            # Two servers would share a port without an error, and split its calls.
            ("grpc.so_reuseport", 0),
            # From about 1000 waiting calls on, gRPC would drop some at random, as CANCELLED.
            # Admission refuses them with a reason instead.
            ("grpc.server.max_pending_requests", 100_000),
            ("grpc.server.max_pending_requests_hard_limit", 200_000),
            ("grpc.max_receive_message_length", config.max_message_bytes),
            ("grpc.max_send_message_length", config.max_message_bytes),
            # Our clients ping every 30 s while they wait; the default answers that with GOAWAY.
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # On a connection that is being renewed the interval above is not honoured: a stream
            # that waits for minutes, such as a training, would lose its connection.
            ("grpc.http2.max_ping_strikes", 0),
            # No grace is set: a training may outlive its connection's age by hours.
            ("grpc.max_connection_age_ms", round(config.max_connection_age_seconds * 1000)),
        ]

    async def _bind(
        self,
        setting: str,
        port: int,
        server: grpc.aio.Server,
        credentials: grpc.ServerCredentials | None,
    ) -> int:
        address = self._at(port)
        try:
            # gRPC says why only on stderr, in its own words: what is wrong is found before.
            await _try_to_bind(self._config.host.strip("[]"), port)
            if credentials is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, credentials)
        except (OSError, RuntimeError) as error:
            raise _cannot_listen(setting, address, error) from error

    async def _serve_health(self, port: int) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self.health_port = await self._bind("health_port", port, server, None)
        self._servers.append(server)

    def _at(self, port: int) -> str:
        host = self._config.host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _serve_metrics(self) -> None:
        host, port = self._config.host, self._config.metrics_port
        if port is None:
            return
        try:
            self.metrics_port, self._stop_metrics = self.metrics.serve(host, port)
        except OSError as error:
            raise _cannot_listen("metrics_port", f"{host}:{port}", error) from error


async def _try_to_bind(host: str, port: int) -> None:
    """Raise OSError when the port is in use at an address of the host, or none can be bound."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    failures = []
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                # As gRPC does: connections of the last server that still end are no hindrance.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            failures.append(error)
    if len(failures) == len(found):
        raise failures[-1]


def _cannot_listen(setting: str, address: str, error: Exception) -> ConfigInvalid:
    problem = (error.strerror if isinstance(error, OSError) else None) or str(error)
    message = f"cannot listen on {address}: {problem[0].lower()}{problem[1:]}"
    return ConfigInvalid(message, violations=[FieldViolation(f"[server] {setting}", message)])
