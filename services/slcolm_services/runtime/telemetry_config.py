"""Where traces go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret
from slcolm_services.runtime.loopback import is_loopback

_HEADER = re.compile(r"\s*([a-z0-9_.-]+)\s*=\s*([!-~]([ -~]*[!-~])?)\s*")


@dataclass(frozen=True)
class TelemetryConfig:
    """Where traces go, and how many.

    Attributes:
        otlp_endpoint: URL of an OpenTelemetry collector that takes OTLP by gRPC, such as
            `http://localhost:4317`; `https` for TLS. Empty: no traces.
        otlp_headers: What the collector is told with every batch of spans: `name=value` with commas
            between, names in lower case. Not sent in plain text to another machine.
        sample_share: Share, from 0 to 1, of the traces that begin here and are recorded. Of a trace
            that a caller began, the caller has decided.
    """

    otlp_endpoint: str = ""
    otlp_headers: Secret | None = None
    sample_share: float = 1.0

    def __post_init__(self) -> None:
        violations = list(self._problems())
        if violations:
            raise ConfigInvalid("the telemetry settings cannot be used", violations=violations)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers, by name."""
        found = map(_HEADER.fullmatch, self._parts())
        return tuple((match[1], match[2]) for match in found if match)

    def _problems(self) -> Iterator[FieldViolation]:
        if not 0 <= self.sample_share <= 1:
            yield FieldViolation("sample_share", f"must be from 0 to 1, got {self.sample_share}")
        if len(self.headers) < len(self._parts()):
            yield FieldViolation("otlp_headers", "must be name=value with commas between")
        if not self.otlp_endpoint:
            return
        try:
            url = urlsplit(self.otlp_endpoint)
            usable = url.scheme in ("http", "https") and url.hostname and url.port
        except ValueError:
            usable = None
        if not usable or url.username or url.path.strip("/") or url.query:
            yield FieldViolation("otlp_endpoint", "must be http://HOST:PORT or https://HOST:PORT")
        elif self.headers and url.scheme == "http" and not is_loopback(str(url.hostname)):
            yield FieldViolation("otlp_headers", "need https: they would go in plain text")

    def _parts(self) -> list[str]:
        return [part for part in (self.otlp_headers or "").split(",") if part.strip()]
