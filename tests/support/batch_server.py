"""A real HTTP server with the batches of OpenAI's API: files, batches, and what comes of them."""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ANSWER = '{"真实的实体":{"人物":["甲","乙"]},"真实的关系":{"父":[["甲","乙"]]}}'
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


def completion(content: str = ANSWER) -> dict[str, Any]:
    """A chat completion."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "model": "tiny-2026", "choices": [choice], "usage": USAGE}


Outcome = Callable[[str], dict[str, Any] | None]
"""What a request's line in the results holds; None: there is no line for it."""


def answered(custom_id: str) -> dict[str, Any]:
    """The request is answered."""
    return {
        "custom_id": custom_id,
        "response": {"status_code": 200, "body": completion()},
        "error": None,
    }


def refused(custom_id: str) -> dict[str, Any]:
    """The request is refused."""
    body = {"error": {"message": "no"}}
    return {"custom_id": custom_id, "response": {"status_code": 400, "body": body}, "error": None}


def expired(custom_id: str) -> dict[str, Any]:
    """The request was not reached in time."""
    return {
        "custom_id": custom_id,
        "response": None,
        "error": {"code": "batch_expired", "message": "late"},
    }


@dataclass
class BatchServer:
    """What the server holds, and how it misbehaves.

    Attributes:
        url: Base URL, up to `/v1`.
        files: Contents by id.
        batches: As they are told, oldest first.
        chats: Bodies of chat requests.
        failures: What happens to the next calls of a path, for example `POST /v1/batches`: a
            status instead of its work, or `lost`: its work is done and its answer is not sent.
        arrived: Released by every call of a path in `held`, which then waits for `released`.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: list[dict[str, Any]] = field(default_factory=list)
    chats: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, list[int | str]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    released: threading.Event = field(default_factory=threading.Event)

    def requests(self, number: int = 0) -> list[dict[str, Any]]:
        """The lines of a batch's requests."""
        lines = self.files[self.batches[number]["input_file_id"]].split(b"\n")
        return [json.loads(line) for line in lines if line]

    def end(
        self, status: str = "completed", outcome: Outcome = answered, number: int = 0, **told: Any
    ) -> None:
        """End a batch: results by `outcome`, refusals in the file of errors."""
        lines = [outcome(request["custom_id"]) for request in self.requests(number)]
        good: list[Any] = []
        bad: list[Any] = []
        for line in filter(None, reversed(lines)):  # in no order that anyone promised
            (good if _is_good(line) else bad).append(line)
        batch = self.batches[number]
        batch |= {"status": status, **told}
        for name, found in (("output_file_id", good), ("error_file_id", bad)):
            if found:
                batch[name] = self.keep(
                    b"".join(
                        json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in found
                    )
                )

    def keep(self, content: bytes) -> str:
        """Keep a file."""
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name


def _is_good(line: dict[str, Any]) -> bool:
    response = line.get("response")
    return isinstance(response, dict) and response["status_code"] == 200


@contextmanager
def batch_server() -> Iterator[BatchServer]:
    """Run a server on a free port."""
    state = BatchServer()
    server = _Server(state)
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: BatchServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._work("GET", b"")

    def do_POST(self) -> None:
        self._work("POST", self.rfile.read(int(self.headers["Content-Length"] or 0)))

    def _work(self, method: str, body: bytes) -> None:
        url = urlsplit(self.path)
        call = f"{method} {url.path}"
        failures = self.server.state.failures.get(call)
        failure = failures.pop(0) if failures else None
        if isinstance(failure, int):
            self._send(failure, {"error": {"message": "failed"}})
            return
        with self.server.lock:
            status, answer = self._answer(method, url.path, parse_qs(url.query), body)
        if call in self.server.state.held:
            self.server.state.arrived.release()
            self.server.state.released.wait()
        if failure == "lost":
            self.close_connection = True
            self.connection.close()
            return
        self._send(status, answer)

    def _answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, object]:
        if path == "/v1/chat/completions":
            self.server.state.chats.append(json.loads(body))
            return 200, completion()
        if path == "/v1/files":
            return 200, {"id": self.server.state.keep(self._upload(body)), "object": "file"}
        if path == "/v1/batches" and method == "POST":
            return 200, self._create(json.loads(body))
        if path == "/v1/batches":
            return 200, self._page(query)
        if found := re.fullmatch("/v1/files/(.*)/content", path):
            return 200, self.server.state.files[found[1]]
        if found := re.fullmatch("/v1/batches/([^/]*)(/cancel)?", path):
            batch = next(each for each in self.server.state.batches if each["id"] == found[1])
            if found[2] and batch["status"] == "in_progress":
                batch["status"] = "cancelling"
            return 200, batch
        return 404, {"error": {"message": "no such path"}}

    def _upload(self, body: bytes) -> bytes:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.walk()}
        assert parts["purpose"].get_payload(decode=True) == b"batch"
        content = parts["file"].get_payload(decode=True)
        assert isinstance(content, bytes)
        return content

    def _create(self, wish: dict[str, Any]) -> dict[str, Any]:
        assert wish["completion_window"] == "24h"
        assert wish["endpoint"] == "/v1/chat/completions"
        batch = {
            "id": f"batch-{len(self.server.state.batches)}",
            "object": "batch",
            "status": "in_progress",
            "created_at": int(time.time()),
            **wish,
        }
        self.server.state.batches.append(batch)
        return batch

    def _page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        newest = self.server.state.batches[::-1]
        names = [batch["id"] for batch in newest]
        start = names.index(query["after"][0]) + 1 if "after" in query else 0
        shown = newest[start : start + 2]  # small pages, whatever is asked for
        return {
            "object": "list",
            "data": shown,
            "has_more": start + 2 < len(newest),
            "last_id": shown[-1]["id"] if shown else None,
        }

    def _send(self, status: int, answer: object) -> None:
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

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
