"""What callers hear when a Qdrant server refuses: its HTTP answers, sent by a real HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from slcolm_services.errors import (
    IndexNotFound,
    Overloaded,
    PreconditionFailed,
    SlcolmError,
    Unavailable,
)
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.store import IndexStore
from slcolm_services.runtime.config import Secret


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with the server's status."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers["api-key"])  # type: ignore[attr-defined]
        body = b'{"status": {"error": "refused"}, "time": 0.0}'
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.keys = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def refusal(server: ThreadingHTTPServer, status: int) -> SlcolmError:
    server.status = status  # type: ignore[attr-defined]
    store = IndexStore(RetrievalConfig(qdrant_url=Secret(f"http://127.0.0.1:{server.server_port}")))
    try:
        with pytest.raises(SlcolmError) as caught:
            store.manifest("rev")
    finally:
        store.close()
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, IndexNotFound),
        (429, Overloaded),
        (401, PreconditionFailed),
        (403, PreconditionFailed),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_each_refusal_has_its_error(
    server: ThreadingHTTPServer, status: int, kind: type[SlcolmError]
) -> None:
    assert type(refusal(server, status)) is kind


def test_the_server_says_when_to_come_back(server: ThreadingHTTPServer) -> None:
    assert refusal(server, 429).retry_after_seconds == 7


def test_the_api_key_comes_from_the_environment_and_is_not_told(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "k3y")
    # qdrant-client warns of a key without TLS; loopback needs none.
    with pytest.warns(UserWarning, match="insecure connection"):
        error = refusal(server, 401)
    assert server.keys == ["k3y"]  # type: ignore[attr-defined]
    assert "QDRANT_API_KEY" in error.message
    assert "k3y" not in error.message
