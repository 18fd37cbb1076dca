"""Traces by OpenTelemetry: spans of what is worked on, in the W3C trace that it belongs to.

Off but in the block of `tracing`; the package is imported there and nowhere else, so that services
run without it. Spans hold names, codes and ids. What an exception says is never put into one: it
may quote a text.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import structlog

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.correlation import Metadata
from slcolm_services.runtime.telemetry_config import TelemetryConfig

INTERNAL, SERVER, CLIENT = "INTERNAL", "SERVER", "CLIENT"
"""Kinds of spans: work of our own, a call that came, a call that is made."""

Attributes = Mapping[str, str | int]

_TRACEPARENT = "traceparent"


class _Tracing(NamedTuple):
    """What the package gives us."""

    tracer: Any
    propagator: Any
    api: Any


_tracing: _Tracing | None = None


class Span:
    """A span under way; of no effect where tracing is off.

    Attributes:
        failed: Whether `fail` was called.
    """

    def __init__(self, inner: Any = None) -> None:
        self._inner = inner
        self.failed = False

    @property
    def headers(self) -> dict[str, str]:
        """What makes a call part of the trace: `traceparent`, perhaps `tracestate`."""
        carrier: dict[str, str] = {}
        if self._inner is not None and _tracing is not None:
            context = _tracing.api.set_span_in_context(self._inner)
            _tracing.propagator.inject(carrier, context)
        return carrier

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        if self._inner is not None:
            self._inner.set_attributes(attributes)

    def fail(self, error: str) -> None:
        """Mark what the span is about as failed, with a name of the error."""
        self.failed = True
        if self._inner is not None and _tracing is not None:
            self._inner.set_attribute("error.type", error)
            self._inner.set_status(_tracing.api.StatusCode.ERROR)

    def end(self) -> None:
        """End it, where `begin` has begun it."""
        if self._inner is not None:
            self._inner.end()


@contextmanager
def tracing(config: TelemetryConfig, role: str) -> Iterator[None]:
    """Trace this process in the block, if the configuration says so.

    Side effects: a thread sends spans, in batches; leaving sends those that are left, and blocks
    for seconds where the collector cannot be reached.

    Args:
        config: Where to.
        role: The service; its spans are those of `slcolm-ROLE`.

    Raises:
        ConfigInvalid: Traces are asked for, and the package for them is not installed.
    """
    global _tracing  # noqa: PLW0603  one for the process, as logging is
    if not config.otlp_endpoint:
        yield
        return
    try:
        from opentelemetry import trace  # noqa: PLC0415  an extra, imported by who uses it
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )
    except ImportError as error:
        problem = 'needs pip install "slcolm[telemetry]"'
        raise ConfigInvalid(
            f"otlp_endpoint {problem}",
            violations=[FieldViolation("[telemetry] otlp_endpoint", problem)],
        ) from error
    resource = {
        "service.name": f"slcolm-{role}",
        "service.namespace": "slcolm",
        "service.instance.id": str(uuid.uuid4()),
    }
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(config.sample_share), resource=Resource.create(resource)
    )
    exporter = OTLPSpanExporter(endpoint=config.otlp_endpoint, headers=config.headers)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    # Our own and not the process's: libraries that find one there would trace on their own terms.
    tracer = provider.get_tracer("slcolm")
    _tracing = _Tracing(tracer, TraceContextTextMapPropagator(), trace)
    try:
        yield
    finally:
        _tracing = None
        provider.shutdown()


@contextmanager
def span(
    name: str,
    *,
    kind: str = INTERNAL,
    attributes: Attributes | None = None,
    parent: Metadata | None = None,
) -> Iterator[Span]:
    """A span around the block. Lines that are logged in it have its `trace_id`.

    It fails with what is raised in the block, by the name of its class, unless `fail` was called in
    it. A call that came is judged by its code instead: by `fail` alone.

    Args:
        name: One of a few: it is no place for ids.
        kind: What it is about.
        attributes: What is known when it begins.
        parent: Metadata of the call that it belongs to; None: the span that is under way.
    """
    if _tracing is None:
        yield Span()
        return
    context = None
    if parent is not None:
        carrier = {key: value for key, value in parent if isinstance(value, str)}
        context = _tracing.propagator.extract(carrier)
    with _tracing.tracer.start_as_current_span(
        name,
        context=context,
        kind=_tracing.api.SpanKind[kind],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as inner:
        made = Span(inner)
        trace_id = _tracing.api.format_trace_id(inner.get_span_context().trace_id)
        with structlog.contextvars.bound_contextvars(trace_id=trace_id):
            try:
                yield made
            except BaseException as error:
                if kind != SERVER and not made.failed:
                    made.fail(type(error).__name__)
                raise


def begin(name: str, *, kind: str, attributes: Attributes | None = None) -> Span:
    """A span that ends when it is told to, perhaps on another thread."""
    if _tracing is None:
        return Span()
    inner = _tracing.tracer.start_span(
        name, kind=_tracing.api.SpanKind[kind], attributes=attributes
    )
    return Span(inner)


def traceparent() -> str:
    """The span under way, as W3C writes it; empty where there is none."""
    if _tracing is None:
        return ""
    carrier: dict[str, str] = {}
    _tracing.propagator.inject(carrier)
    return carrier.get(_TRACEPARENT, "")


def continuing(parent: str) -> Metadata | None:
    """What `span` takes for a `traceparent` that was kept; None for the empty one."""
    return ((_TRACEPARENT, parent),) if parent else None
