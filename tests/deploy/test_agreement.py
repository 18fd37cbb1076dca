"""What manifests say of services is what services do: settings, ports, probes, times, metrics."""

from __future__ import annotations

import importlib.metadata
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from support.manifests import (
    COMPONENT,
    KUBERNETES,
    OVERLAYS,
    ROOT,
    Workload,
    combined,
    overlay,
)
from support.metrics import registered

from slcolm_services.cli.main import slcolm
from slcolm_services.cli.roles import ROLES, config_type
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.errors import ConfigInvalid
from slcolm_services.guidance.config import GuidanceConfig, ModelSettings
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig, load_section
from slcolm_services.runtime.exposure import refuse_exposed
from slcolm_services.runtime.health import LIVENESS
from slcolm_services.runtime.telemetry_config import TelemetryConfig
from slcolm_services.training import runner

_SECTIONS = {"server", "auth", "telemetry", *ROLES}
_CLOSING_SECONDS = 10
"""What a process gets for its end after the last call."""


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=OVERLAYS)
def workload(request: pytest.FixtureRequest, role: str) -> Workload:
    return overlay(request.param).workload(role)


def _server(workload: Workload, folder: Path) -> ServerConfig:
    _, path = workload.config(folder)
    return load_section(ServerConfig, "server", path=path, environ=workload.environment())


def test_the_command_takes_the_arguments_the_file_and_the_variables(
    workload: Workload, tmp_path: Path
) -> None:
    args, _ = workload.config(tmp_path)
    clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith("SLCOLM_")}

    result = CliRunner().invoke(
        slcolm, [*args, "--print-config"], env=clean | workload.environment()
    )

    assert result.exit_code == 0, result.exception
    assert args[:3] == ["serve", "--role", workload.role]
    for shown in ("host='0.0.0.0'", f"port={workload.ports['grpc']}"):
        assert shown in result.output
    assert "secret" not in result.output


def test_every_section_and_key_of_the_file_is_known(tmp_path: Path) -> None:
    _, path = overlay("base").workload("coordinator").config(tmp_path)
    sections = set(tomllib.loads(path.read_text(encoding="utf-8")))

    assert sections <= _SECTIONS
    for name in sections - {"server"}:
        load_section(config_type(name), name, path=path, environ={})


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_every_variable_is_a_setting_of_some_service(name: str) -> None:
    """A misspelt section is no service's, and nobody would complain of it."""
    for workload in overlay(name).workloads.values():
        for variable in workload.environment():
            if variable.startswith("SLCOLM_"):
                assert variable.split("_")[1].lower() in _SECTIONS
                _take(variable)


def _take(variable: str) -> None:
    """Load the variable alone: unknown names are refused, whatever the value."""
    section = variable.split("_")[1].lower()
    kinds: dict[str, type[Any]] = {
        "server": ServerConfig,
        "auth": AuthConfig,
        "telemetry": TelemetryConfig,
    }
    kind = kinds.get(section) or config_type(section)
    name = variable.removeprefix(f"SLCOLM_{section.upper()}_").lower()
    assert name in kind.__dataclass_fields__


@pytest.mark.parametrize(
    ("components", "is_protected"), [((), False), (("network-policies",), False), (("mtls",), True)]
)
def test_the_base_starts_only_where_something_protects_it(
    components: tuple[str, ...], is_protected: bool, role: str, tmp_path: Path
) -> None:
    workload = combined(components).workload(role)
    server = _server(workload, tmp_path)

    if is_protected:
        refuse_exposed(server, AuthConfig())
    else:
        with pytest.raises(ConfigInvalid):
            refuse_exposed(server, AuthConfig())


def test_overlays_start(workload: Workload, tmp_path: Path) -> None:
    refuse_exposed(_server(workload, tmp_path), AuthConfig())


def test_production_is_encrypted_and_knows_its_callers(role: str, tmp_path: Path) -> None:
    workload = overlay("production").workload(role)
    server = _server(workload, tmp_path)
    (volume,) = (item for item in workload.pod["volumes"] if item["name"] == "tls")
    (mount,) = (item for item in workload.container["volumeMounts"] if item["name"] == "tls")
    folder = Path(mount["mountPath"])

    assert not server.allow_unprotected
    assert volume["secret"]["secretName"] == "slcolm-tls"
    assert server.tls_certificate == folder / "tls.crt"
    assert server.tls_key == folder / "tls.key"
    assert server.tls_client_ca == folder / "ca.crt"
    if role == "coordinator":
        _, path = workload.config(tmp_path)
        config = load_section(
            CoordinatorConfig, "coordinator", path=path, environ=workload.environment()
        )
        assert config.peer_ca == server.tls_client_ca
        assert (config.peer_certificate, config.peer_key) == (
            server.tls_certificate,
            server.tls_key,
        )


def test_ports_are_those_that_the_service_listens_on(workload: Workload, tmp_path: Path) -> None:
    server = _server(workload, tmp_path)

    assert workload.ports == {
        "grpc": server.port,
        "health": server.health_port,
        "metrics": server.metrics_port,
    }


def test_the_coordinator_finds_every_service_at_its_port(tmp_path: Path) -> None:
    cluster = overlay("base")
    _, path = cluster.workload("coordinator").config(tmp_path)
    config = load_section(CoordinatorConfig, "coordinator", path=path, environ={})
    defaults = CoordinatorConfig()
    peers = [name for name in vars(config) if name.endswith("_address")]

    assert len(peers) == len(ROLES) - 1
    for name in peers:
        peer = name.removesuffix("_address")
        service = cluster.named("Service", f"slcolm-{peer}")
        port = service["spec"]["ports"][0]["port"]
        assert getattr(config, name) == f"dns:///slcolm-{peer}:{port}"
        assert getattr(defaults, name) == f"127.0.0.1:{port}"


def test_probes_ask_the_plain_health_port_for_names_that_there_are(
    workload: Workload, tmp_path: Path
) -> None:
    server = _server(workload, tmp_path)
    probes = {
        kind: workload.container[f"{kind}Probe"]["grpc"]
        for kind in ("startup", "readiness", "liveness")
    }

    image = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")
    assert {probe["port"] for probe in probes.values()} == {server.health_port}
    assert f"SLCOLM_SERVER_HEALTH_PORT={server.health_port}\n" in image
    assert probes["readiness"]["service"] == ""
    assert probes["startup"]["service"] == probes["liveness"]["service"] == LIVENESS


def test_a_pod_has_the_time_that_its_end_takes(workload: Workload, tmp_path: Path) -> None:
    server = _server(workload, tmp_path)
    before = workload.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    after = runner._STOP_SECONDS if workload.role == "training" else 0.0

    needed = before + server.drain_delay_seconds + server.grace_seconds + after
    assert workload.pod["terminationGracePeriodSeconds"] >= needed + _CLOSING_SECONDS
    assert server.drain_delay_seconds > 0


def test_guidance_has_time_for_the_attempts_that_it_pays_for(tmp_path: Path) -> None:
    for name in OVERLAYS:
        workload = overlay(name).workload("guidance")
        _, path = workload.config(tmp_path)
        config = load_section(GuidanceConfig, "guidance", path=path, environ=workload.environment())
        longest = [ModelSettings(), config, *config.models]
        grace = _server(workload, tmp_path).grace_seconds
        assert grace > max(model.attempt_timeout_seconds for model in longest)


def test_images_are_those_of_this_version() -> None:
    version = importlib.metadata.version("slcolm")
    dockerfile = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")
    targets = re.findall(r"^FROM \S+ AS (\S+)", dockerfile, re.MULTILINE)

    assert set(ROLES) <= set(targets)
    for name in OVERLAYS:
        for role, workload in overlay(name).workloads.items():
            assert workload.container["image"] == f"registry.example.com/slcolm/{role}:{version}"


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return registered()


def test_extraction_is_scaled_on_a_gauge_that_it_has(metrics: dict[str, str]) -> None:
    scaler = combined(("autoscaling",)).named("HorizontalPodAutoscaler", "slcolm-extraction")
    (metric,) = scaler["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    values = yaml.safe_load((KUBERNETES / "values/prometheus-adapter.yaml").read_text())
    (rule,) = values["rules"]["custom"]

    assert name.startswith("slcolm_extraction_")
    assert metrics[name] == "gauge"
    assert rule["seriesQuery"].partition("{")[0] == name


def test_prometheus_scrapes_the_port_of_metrics_under_the_labels_that_rules_use() -> None:
    cluster = combined(("monitoring",))
    monitor = cluster.named("PodMonitor", "slcolm")["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    (relabeling,) = endpoint["relabelings"]

    for role, workload in cluster.workloads.items():
        assert endpoint["port"] in workload.ports
        assert monitor["selector"]["matchLabels"].items() <= workload.labels.items()
        assert workload.labels[monitor["jobLabel"]] == "slcolm"
        assert workload.labels[COMPONENT] == role
    assert relabeling["targetLabel"] == "service"
    (source,) = relabeling["sourceLabels"]
    assert source == "__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", COMPONENT)


def test_the_operator_gets_the_alerts_and_grafana_the_dashboard() -> None:
    cluster = combined(("monitoring",))
    alerts = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yml").read_text(encoding="utf-8"))
    board = (ROOT / "deploy/monitoring/grafana/dashboards/slcolm.json").read_text(encoding="utf-8")

    assert cluster.named("PrometheusRule", "slcolm")["spec"] == alerts
    assert cluster.named("ConfigMap", "slcolm-dashboard")["data"] == {"slcolm.json": board}


def test_prometheus_without_the_operator_is_told_the_same_addresses() -> None:
    text = (ROOT / "deploy/monitoring/prometheus.yml").read_text(encoding="utf-8")
    (job,) = yaml.safe_load(text)["scrape_configs"]
    cluster = overlay("base")

    targets = {item["labels"]["service"]: item["targets"] for item in job["static_configs"]}
    assert targets == {
        role: [f"slcolm-{role}:{workload.ports['metrics']}"]
        for role, workload in cluster.workloads.items()
    }


def _secrets(workload: Workload) -> set[str]:
    container, volumes = workload.container, workload.pod["volumes"]
    return {
        *(item["secretRef"]["name"] for item in container["envFrom"] if "secretRef" in item),
        *(
            item["valueFrom"]["secretKeyRef"]["name"]
            for item in container["env"]
            if "valueFrom" in item
        ),
        *(item["secret"]["secretName"] for item in volumes if "secret" in item),
    }


def test_the_documentation_has_every_secret() -> None:
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    section = text.partition("## 2. Secrets")[2].partition("\n## ")[0]

    used = {name for item in overlay("production").workloads.values() for name in _secrets(item)}
    assert used == set(re.findall(r"^\| `(slcolm-[a-z]+)` \|", section, re.MULTILINE))
    assert used == set(re.findall(r"create secret generic (\S+)", section))


def test_the_documentation_has_the_times_of_the_manifests(tmp_path: Path) -> None:
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z, ]+) \| (\d+) \| (\d+) \| ", text, re.MULTILINE)

    told = {
        role: (int(grace), int(end)) for roles, grace, end in rows for role in roles.split(", ")
    }
    assert told == {
        role: (
            _server(workload, tmp_path).grace_seconds,
            workload.pod["terminationGracePeriodSeconds"],
        )
        for role, workload in overlay("production").workloads.items()
    }
