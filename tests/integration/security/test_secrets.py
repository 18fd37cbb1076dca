"""Secrets planted wherever one can stand, and things made to fail: none is ever told.

Not in logs (debug), start lines, errors, metrics, printed configurations or files. Endpoints and
databases may quote what they were sent; their words are not ours to repeat.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import tomli_w
from google.protobuf.message import Message
from support.asking import SCHEMA, texts
from support.chat_server import ChatServer, chat_server, reply
from support.s3 import s3_server

from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_services.runtime.wire import document_to_wire, schema_to_wire

SECRET = "pLaNtEd-7f3a"
"""Part of every secret here."""
KEY = f"sk-{SECRET}-key"
_TIMEOUT_SECONDS = 60.0
_CLOSED = "127.0.0.1:1"


@dataclass
class Said:
    """Everything that a service has said."""

    process: subprocess.Popen[str]
    address: str
    metrics: str
    told: list[str]


@contextmanager
def serving(
    role: str, folder: Path, settings: dict[str, Any], **environment: str
) -> Iterator[Said]:
    """A service at debug level, whose words are gathered; none of them may hold a secret."""
    config, log = folder / f"{role}.toml", folder / f"{role}.log"
    settings["server"] = {"log_level": "debug", "metrics_port": 0, "grace_seconds": 1.0}
    config.write_text(tomli_w.dumps(settings), encoding="utf-8")
    serve = [sys.executable, "-m", "slcolm_services", "serve", "--role", role]
    serve += ["--config", str(config)]
    environ = {**os.environ, "NO_PROXY": "*", **environment}
    printed = subprocess.run(
        [*serve, "--print-config"], capture_output=True, text=True, check=False, env=environ
    )
    with (
        log.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            serve, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environ
        ) as process,
    ):
        assert process.stdout is not None
        said = Said(process, "", "", [printed.stdout, printed.stderr])
        try:
            start = process.stdout.readline()
            if start:
                said.address = json.loads(start)["address"]
                _await_ready(process, log)
                said.metrics = _metrics_address(log)
            said.told.append(start)
            yield said
            if process.poll() is None:
                with urllib.request.urlopen(f"http://{said.metrics}/metrics", timeout=30) as page:
                    said.told.append(page.read().decode())
        finally:
            process.terminate()
            said.told.append(process.stdout.read())
            process.wait(_TIMEOUT_SECONDS)
    said.told.append(log.read_text(encoding="utf-8"))
    assert all(said.told[-1:]), "a service that logs nothing proves nothing"
    assert [words for words in said.told if SECRET in words] == []


def _await_ready(process: subprocess.Popen[str], log: Path) -> None:
    while '"event": "ready"' not in log.read_text(encoding="utf-8") and process.poll() is None:
        time.sleep(0.05)


def _metrics_address(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if '"metrics_port": ' in line)
    return f"127.0.0.1:{json.loads(line)['metrics_port']}"


def ask(said: Said, stub_class: Any, method: str, request: Message, token: str = "") -> Any:
    """Call a service, and note whatever it answers."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(said.address) as channel:
        stub = stub_class(channel)
        try:
            answer = getattr(stub, method)(
                request, timeout=_TIMEOUT_SECONDS, metadata=metadata, wait_for_ready=True
            )
            said.told.append(str(answer))
        except grpc.RpcError as error:
            failed: Any = error
            said.told.append(f"{failed.details()} {failed.trailing_metadata()}")
            return failed
    return answer


def guide(said: Said, token: str = "") -> Any:
    items = [
        guidance_pb2.GuideItem(prediction=document_to_wire(item.prediction)) for item in texts(2)
    ]
    request = guidance_pb2.GuideRequest(items=items, schema=schema_to_wire(SCHEMA))
    stub_class = guidance_pb2_grpc.GuidanceServiceStub
    return ask(said, stub_class, "Guide", request, token)


@pytest.fixture
def endpoint() -> Iterator[ChatServer]:
    with chat_server() as server:
        yield server


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_an_endpoint_that_quotes_the_key(endpoint: ChatServer, tmp_path: Path, status: int) -> None:
    quoting = {"error": {"message": f"bad key {KEY}", "code": KEY, "type": KEY}, "id": KEY}
    endpoint.usual = lambda _: reply(status, quoting)
    ledger = tmp_path / "ledger.sqlite"
    settings = {
        "provider": "openai",
        "model": "tiny",
        "base_url": endpoint.url,
        "api_key_env": "PLANTED_KEY",
        "ledger_url": f"sqlite:///{ledger}",
        "max_attempts": 1,
    }
    with serving("guidance", tmp_path, {"guidance": settings}, PLANTED_KEY=KEY) as said:
        answer = guide(said)
        assert [result.WhichOneof("outcome") for result in answer.results] == ["error"] * 2
        stub_class = guidance_pb2_grpc.GuidanceServiceStub
        ask(said, stub_class, "ListProviders", guidance_pb2.ListProvidersRequest())
        ask(said, stub_class, "GetUsage", guidance_pb2.GetUsageRequest())
    assert endpoint.keys
    for path in tmp_path.glob("ledger.sqlite*"):
        assert SECRET.encode() not in path.read_bytes()


def test_a_ledger_whose_server_is_away(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://slcolm:{SECRET}@{_CLOSED}/ledger?application_name={SECRET}"
    environment = {"SLCOLM_GUIDANCE_LEDGER_URL": url}
    with serving("guidance", tmp_path, {}, **environment) as said:
        assert said.process.wait(_TIMEOUT_SECONDS) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://slcolm:{SECRET}@{_CLOSED}/runs",
        f"postgresql+psycopg://slcolm:{SECRET}@127.0.0.1:no-port/runs",
        f"nonsense://slcolm:{SECRET}@{_CLOSED}/runs",
    ],
)
def test_a_run_database_that_cannot_be_used(tmp_path: Path, url: str) -> None:
    with serving("coordinator", tmp_path, {}, SLCOLM_COORDINATOR_DATABASE_URL=url) as said:
        assert said.process.wait(_TIMEOUT_SECONDS) == 1


def test_a_qdrant_server_that_is_away(tmp_path: Path) -> None:
    settings = {"qdrant_url": f"http://user:{SECRET}@{_CLOSED}", "qdrant_timeout_seconds": 1}
    environment = {"QDRANT_API_KEY": KEY}
    with serving("retrieval", tmp_path, {"retrieval": settings}, **environment) as said:
        request = retrieval_pb2.GetIndexRequest(index_revision="a")
        failed = ask(said, retrieval_pb2_grpc.RetrievalServiceStub, "GetIndex", request)
        assert failed.code() is grpc.StatusCode.UNAVAILABLE


def test_an_object_store_that_refuses_and_one_that_is_away(tmp_path: Path) -> None:
    stub_class = extraction_pb2_grpc.ExtractionServiceStub
    request = extraction_pb2.ListModelsRequest()
    with s3_server() as s3:
        credentials = {
            **s3.environment,
            "AWS_ACCESS_KEY_ID": f"AK{SECRET}",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SECRET,
        }
        settings = {"extraction": {"store": "s3://missing", "cache_dir": str(tmp_path / "cache")}}
        with serving("extraction", tmp_path, settings, **credentials) as said:
            ask(said, stub_class, "ListModels", request)
            s3.process.kill()
            failed = ask(said, stub_class, "ListModels", request)
            assert failed.code() is grpc.StatusCode.UNAVAILABLE


def test_tokens_of_callers_and_of_the_coordinator(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    caller = f"{SECRET}-caller-token-of-32-characters"
    known = {"name": "planner", "token": caller, "roles": ["admin"]}
    tokens.write_text(tomli_w.dumps({"auth": {"tokens": [known]}}), encoding="utf-8")
    peers = ("extraction", "retrieval", "guidance", "evaluation", "training")
    own: dict[str, Any] = {f"{peer}_address": _CLOSED for peer in peers}
    own |= {"store": str(tmp_path / "store"), "call_timeout_seconds": 1.0}
    own |= {"database_url": f"sqlite:///{tmp_path / 'runs.sqlite'}"}
    settings = {"coordinator": own, "auth": {"tokens_file": str(tokens)}}
    environment = {"SLCOLM_COORDINATOR_PEER_TOKEN": f"{SECRET}-peer-token-of-32-characters"}
    with serving("coordinator", tmp_path, settings, **environment) as said:
        stub_class = coordinator_pb2_grpc.CoordinatorServiceStub
        wrong = ask(said, stub_class, "ListRuns", coordinator_pb2.ListRunsRequest(), f"{SECRET}-x")
        assert wrong.code() is grpc.StatusCode.UNAUTHENTICATED
        runs = ask(said, stub_class, "ListRuns", coordinator_pb2.ListRunsRequest(), caller)
        assert len(runs.runs) == 0


def test_headers_of_the_collector_of_traces(tmp_path: Path) -> None:
    settings = {
        "telemetry": {"otlp_endpoint": f"http://{_CLOSED}"},
        "guidance": {"ledger_url": "sqlite://"},
    }
    environment = {"SLCOLM_TELEMETRY_OTLP_HEADERS": f"authorization={SECRET}"}
    with serving("guidance", tmp_path, settings, **environment) as said:
        assert guide(said).results
