"""A real HTTP server that speaks chat completions and misbehaves as it is told."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = '{"真实的实体":{"人物":["甲","乙"]},"真实的关系":{"父":[["甲","乙"]]}}'


def completion(content: str | None = ANSWER, **changes: Any) -> dict[str, Any]:
    """A chat completion as endpoints send it."""
    message = {"role": "assistant", "content": content, **changes.pop("message", {})}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-2026",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": changes.pop("finish_reason", "stop"),
            }
        ],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "total_tokens": 1100,
            "prompt_tokens_details": {"cached_tokens": 400},
        },
        **changes,
    }


Handler = BaseHTTPRequestHandler
Behaviour = Callable[[Handler], None]


def reply(
    status: int = 200, body: object = None, headers: dict[str, str] | None = None
) -> Behaviour:
    """Answer with a status and a body: JSON, or bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body or completion()).encode()

    def behave(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    return behave


def reset(handler: Handler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
    handler.connection.close()


def refuse(words: str, status: int = 400, **error: Any) -> Behaviour:
    """Refuse a request, saying why."""
    return reply(status, {"error": {"message": words, **error}})


def whitespace(status: int = 200) -> Behaviour:
    """Send blanks as fast as they are read, without end."""

    def behave(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        handler.close_connection = True
        while True:
            handler.wfile.write(b" " * 65536)

    return behave


@dataclass
class ChatServer:
    """What the server was asked and what it will do.

    Attributes:
        url: Base URL, up to `/v1`.
        behaviours: What to do with the next requests; when empty, `usual` decides.
        usual: What to do with a request's body otherwise; the default gives a good answer.
        bodies: What was received, in order.
        keys: Authorization headers received.
        traces: `traceparent` headers received.
        released: Set to let `drip` and `hold` go on.
    """

    url: str = ""
    behaviours: deque[Behaviour] = field(default_factory=deque)
    usual: Callable[[dict[str, Any]], Behaviour] = lambda body: reply()
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    traces: list[str | None] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def drip(self, handler: Handler) -> None:
        """Send a byte now and then, for ever: never silent, never done."""
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not self.released.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    def hold(self, handler: Handler) -> None:
        """Answer well, once released."""
        self.released.wait()
        reply()(handler)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Run a server on a free port."""
    state = ChatServer()

    class _Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.bodies.append(json.loads(body))
            state.keys.append(self.headers["Authorization"])
            state.traces.append(self.headers["traceparent"])
            if state.behaviours:
                behave = state.behaviours.popleft()
            else:
                behave = state.usual(state.bodies[-1])
            state.arrived.release()
            try:
                behave(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, ValueError):
                self.close_connection = True

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
