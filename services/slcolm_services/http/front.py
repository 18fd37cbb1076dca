"""The configuration of Envoy in front of services at given addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined

from slcolm_services.http.descriptors import SERVICES
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.loopback import is_loopback

PORT = 50080
"""Where HTTP is spoken, unless something else is said."""

_ENDLESS = (("coordinator", "WatchRun"), ("training", "Train"))
"""Streams that may be silent for longer than any deadline."""
_UPLOADS = (("coordinator", "UploadDataset"),)
"""Requests that are streams of messages."""
_LOCAL_REPLIES = {
    400: 3,  # INVALID_ARGUMENT
    404: 5,  # NOT_FOUND
    408: 4,  # DEADLINE_EXCEEDED
    413: 8,  # RESOURCE_EXHAUSTED, as services call a message that is too large
    415: 3,
    421: 3,
    426: 3,
    431: 3,
    500: 13,  # INTERNAL
    502: 14,  # UNAVAILABLE
    503: 14,
    504: 4,
}
"""gRPC status code of what Envoy answers itself, by HTTP status."""
_MIB = 1024 * 1024


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int


@dataclass(frozen=True)
class Front:
    """Where Envoy listens and what it stands in front of.

    Attributes:
        addresses: Where the services are, by role; those that are missing are not offered.
        descriptors: Path of the descriptor set, as Envoy sees it.
        host: Address to listen on.
        port: Port for HTTP.
        origins: Web origins whose pages may call.
        secrets: Folder with certificate.yaml and authority.yaml, as Envoy sees it, which say where
            certificates are; with it TLS is spoken on both sides, and callers need a certificate.
            Empty: plain text.
        health_port: Port that answers health checks in plain text, and nothing else; 0 for none.
        metrics_port: Port for Prometheus; 0 for none.
        max_request_bytes: Largest request, as JSON.
        max_upload_bytes: Likewise of a data set, with all messages of its stream.
        max_response_bytes: Largest message of an answer, as JSON.
        max_heap_bytes: Memory from nine tenths of which on requests are refused.
    """

    addresses: Mapping[str, Address]
    descriptors: str
    host: str = "127.0.0.1"
    port: int = PORT
    origins: Sequence[str] = ()
    secrets: str = ""
    health_port: int = 0
    metrics_port: int = 0
    max_request_bytes: int = 16 * _MIB
    max_upload_bytes: int = 64 * _MIB
    max_response_bytes: int = 64 * _MIB
    max_heap_bytes: int = 512 * _MIB

    def configuration(self) -> str:
        """Envoy's configuration, as YAML for people to read."""
        template = (files("slcolm_services.http") / "envoy.yaml.jinja").read_text(encoding="utf-8")
        environment = Environment(
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            autoescape=False,  # noqa: S701  YAML, not HTML
        )
        return environment.from_string(template).render(
            vars(self),
            services=SERVICES,
            endless=_ENDLESS,
            uploads=_UPLOADS,
            local_replies=self._local_replies(),
            domains=self._domains(),
            is_address=_is_address,
            max_deadline_seconds=round(ServerConfig.max_deadline_seconds),
        )

    def _local_replies(self) -> list[tuple[int, int, str]]:
        """HTTP status, gRPC status code and message of what Envoy answers itself."""
        too_large = (
            f"the request is too large: {self.max_request_bytes} bytes are taken, and "
            f"{self.max_upload_bytes} of a data set"
        )
        messages = {413: too_large}
        return [
            (status, code, messages.get(status, "%LOCAL_REPLY_BODY%"))
            for status, code in _LOCAL_REPLIES.items()
        ]

    def _domains(self) -> list[str]:
        """Values of the Host header that are taken.

        On loopback those of loopback: a page that gives its own name the address 127.0.0.1 would
        otherwise be let in by the browser that shows it.
        """
        if not is_loopback(self.host):
            return ["*"]
        names = ("localhost", "127.0.0.1", "[::1]")
        return [pattern for name in names for pattern in (name, f"{name}:*")]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
