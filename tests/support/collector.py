"""A collector of OpenTelemetry: a real gRPC server that takes spans by OTLP, and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class Sent:
    """A span as it was sent."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: dict[str, Any]
    raw: str


@dataclass
class Collector:
    """What was received."""

    url: str = ""
    spans: list[Sent] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, enough: Callable[[list[Sent]], bool], *, seconds: float = 60) -> list[Sent]:
        """The spans, once they are enough."""
        with self.changed:
            assert self.changed.wait_for(lambda: enough(self.spans), seconds), self.spans
            return list(self.spans)

    def of_trace(self, trace_id: str) -> list[Sent]:
        """The spans of a trace that there are by now."""
        with self.changed:
            return [span for span in self.spans if span.trace_id == trace_id]

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  the contract's name
        with self.changed:
            self.headers.append(dict(context.invocation_metadata()))
            for part in request.resource_spans:
                (service,) = (
                    item.value.string_value
                    for item in part.resource.attributes
                    if item.key == "service.name"
                )
                self.spans += [
                    _sent(service, span) for scope in part.scope_spans for span in scope.spans
                ]
            self.changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()


def _sent(service: str, span: Any) -> Sent:
    return Sent(
        service=service,
        name=span.name,
        kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        attributes={
            item.key: getattr(item.value, str(item.value.WhichOneof("value")))
            for item in span.attributes
        },
        raw=str(span),
    )


@contextmanager
def collector() -> Iterator[Collector]:
    """Run one on a free port."""
    state = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(state, server)  # type: ignore[no-untyped-call,unused-ignore]
    state.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield state
    finally:
        server.stop(0).wait()
