"""A service that is started as its manifest says answers its probes and its callers, and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.certificates import Authority
from support.manifests import Workload, overlay

from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.coordinator.peers import Peers
from slcolm_services.errors import SlcolmError
from slcolm_services.runtime.config import load_section

_PATIENCE_SECONDS = 60.0


class Pod(NamedTuple):
    """A running service."""

    process: subprocess.Popen[str]
    address: str
    health_port: int


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """What the Secret slcolm-tls holds, under its names."""
    authority = Authority()
    folder = tmp_path / "tls"
    folder.mkdir()
    authority.issue().write(folder, "tls")
    (folder / "ca.crt").write_bytes(authority.certificate)
    return folder


def _variables(workload: Workload, certificates: Path) -> dict[str, str]:
    """The pod's variables, its Secret being a folder of ours."""
    (mount,) = (item for item in workload.container["volumeMounts"] if item["name"] == "tls")
    return {
        name: value.replace(mount["mountPath"], str(certificates))
        for name, value in workload.environment().items()
    }


@contextmanager
def _started(workload: Workload, variables: Mapping[str, str], folder: Path) -> Iterator[Pod]:
    args, _ = workload.config(folder)
    # Those of the manifest may be in use here.
    ports = {f"SLCOLM_SERVER_{name}": "0" for name in ("PORT", "HEALTH_PORT", "METRICS_PORT")}
    with subprocess.Popen(
        [sys.executable, "-m", "slcolm_services", *args],
        env={**os.environ, **variables, **ports},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            address = json.loads(process.stdout.readline())["address"]
            line = json.loads(process.stderr.readline())
            yield Pod(process, address.replace("0.0.0.0", "127.0.0.1"), line["health_port"])
        finally:
            process.kill()


def _state(address: str, name: str) -> int:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=name)
        return int(stub.Check(request, timeout=_PATIENCE_SECONDS).status)


def _becomes_serving(address: str, name: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _state(address, name) != health_pb2.HealthCheckResponse.SERVING:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_pod_of_production_answers_probes_and_the_coordinator_and_nobody_else(
    certificates: Path, tmp_path: Path
) -> None:
    cluster = overlay("production")
    workload = cluster.workload("evaluation")
    caller = cluster.workload("coordinator")
    _, path = caller.config(tmp_path)
    config = load_section(
        CoordinatorConfig, "coordinator", path=path, environ=_variables(caller, certificates)
    )
    with _started(workload, _variables(workload, certificates), tmp_path) as pod:
        for kind in ("startup", "readiness", "liveness"):
            probe = workload.container[f"{kind}Probe"]["grpc"]
            _becomes_serving(f"127.0.0.1:{pod.health_port}", probe["service"])
        known = Peers(replace(config, evaluation_address=pod.address))
        known.check("evaluation")
        known.close()
        stranger = Peers(
            replace(
                config,
                evaluation_address=pod.address,
                peer_certificate=None,
                peer_key=None,
            )
        )
        with pytest.raises(SlcolmError):
            stranger.check("evaluation")
        stranger.close()
        with pytest.raises(grpc.RpcError):
            _state(pod.address, "")
        pod.process.send_signal(signal.SIGTERM)
        before = time.monotonic()
        status = pod.process.wait(_PATIENCE_SECONDS)
        took = time.monotonic() - before

    hook = workload.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert status == 0
    assert took < workload.pod["terminationGracePeriodSeconds"] - hook


def test_a_pod_of_small_answers_probes_in_plain_text(tmp_path: Path) -> None:
    workload = overlay("small").workload("evaluation")

    with _started(workload, workload.environment(), tmp_path) as pod:
        _becomes_serving(f"127.0.0.1:{pod.health_port}", "")
        _becomes_serving(pod.address, "")
