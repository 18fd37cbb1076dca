"""A service as a process: start line, signals, exit status, orphans."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_client import call, connect, wait_until_ready

_SERVICE = """
import asyncio, os, sys
from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_services.errors import ModelInvalid
from slcolm_services.runtime.config import ServerConfig, load_section
from slcolm_services.runtime.service import Service, run_service

class Servicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    async def GetIndex(self, request, context):
        if request.index_revision == "never":
            await asyncio.Event().wait()
        return retrieval_pb2.GetIndexResponse()

async def start():
    if "broken" in sys.argv:
        raise ModelInvalid("the model has no manifest")
    if "slow" in sys.argv:
        await asyncio.Event().wait()

async def stop():
    print("stopped", flush=True)

run_service(
    Service(
        name="slcolm.retrieval.v1.RetrievalService",
        register=lambda server: retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(
            Servicer(), server
        ),
        start=start,
        stop=stop,
    ),
    load_section(ServerConfig, "server", path=None, environ=os.environ),
    role="retrieval",
)
"""
_PARENT = """
import os, subprocess, sys
environment = {**os.environ, "SLCOLM_SERVER_PARENT_PID": str(os.getpid())}
child = subprocess.Popen([sys.executable, sys.argv[1]], env=environment)
sys.stdin.read()
os._exit(1)
"""


def _spawn(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    script = folder / "service.py"
    script.write_text(_SERVICE, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SLCOLM_SERVER_DRAIN_DELAY_SECONDS": "0", **environment},
    )


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    assert line["role"] == "retrieval"
    assert isinstance(line["address"], str)
    return line["address"]


def test_it_says_where_it_listens_serves_and_drains_on_sigterm(tmp_path: Path) -> None:
    with _spawn(tmp_path, SLCOLM_SERVER_METRICS_PORT="0") as process:
        with connect(_address(process)) as channel:
            stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
            assert wait_until_ready(channel, timeout_seconds=30)
            call(stub.GetIndex, retrieval_pb2.GetIndexRequest(), timeout_seconds=30)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == "stopped\n"
    events = [json.loads(line) for line in err.splitlines()]
    assert [e["event"] for e in events if "role" in e] == [
        "listening",
        "ready",
        "draining",
        "stopped",
    ]
    assert all("request_id" in e for e in events if e["event"] == "call ended")


def test_a_failed_start_is_said_in_a_line_and_ends_with_status_1(tmp_path: Path) -> None:
    with _spawn(tmp_path, "broken") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.endswith("stopped\n")
    last = json.loads(err.splitlines()[-1])
    assert last["level"] == "error"
    assert last["error"] == "the model has no manifest"
    assert "Traceback" not in err


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_said_in_one_line_that_names_it(tmp_path: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        settings = {
            "SLCOLM_SERVER_HOST": host,
            "SLCOLM_SERVER_PORT": port,
            "SLCOLM_SERVER_ALLOW_UNPROTECTED": "true",
        }
        with _spawn(tmp_path, **settings) as process:
            _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = err.splitlines()
    assert json.loads(line)["error"] == f"cannot listen on {host}:{port}: address already in use"


def test_a_signal_while_loading_stops_it(tmp_path: Path) -> None:
    with _spawn(tmp_path, "slow") as process:
        _address(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_second_signal_does_not_wait_for_calls_in_flight(tmp_path: Path) -> None:
    with (
        _spawn(tmp_path, SLCOLM_SERVER_GRACE_SECONDS="10000") as process,
        connect(_address(process)) as channel,
    ):
        stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        assert wait_until_ready(channel, timeout_seconds=30)
        pending = stub.GetIndex.future(retrieval_pb2.GetIndexRequest(index_revision="never"))
        call(stub.GetIndex, retrieval_pb2.GetIndexRequest(), timeout_seconds=30)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while "draining" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        pending.cancel()
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="parents are not watched there")
def test_an_orphan_stops(tmp_path: Path) -> None:
    service, parent = tmp_path / "service.py", tmp_path / "parent.py"
    service.write_text(_SERVICE, encoding="utf-8")
    parent.write_text(_PARENT, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(parent), str(service)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        _address(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout is not None
        # The orphan holds the pipe: it ends when the orphan does.
        assert process.stdout.read() == "stopped\n"


def test_metrics_are_served_over_http(tmp_path: Path) -> None:
    script = (
        "from slcolm_services.runtime.metrics import Metrics\n"
        "metrics = Metrics()\n"
        "port, stop = metrics.serve('127.0.0.1', 0)\n"
        "print(port, flush=True)\n"
        "input()\n"
        "stop()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
            assert b"slcolm_calls_in_flight" in page.read()
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
