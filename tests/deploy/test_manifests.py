"""Manifests are what Kubernetes takes, fit together, and give pods no rights they do not need."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
from support.manifests import (
    COMPONENT,
    COMPONENTS,
    OVERLAYS,
    ROOT,
    Cluster,
    Object,
    Workload,
    combined,
    overlay,
)

from slcolm_services.cli.roles import ROLES

OLDEST = "1.30"
"""The first version that has `sleep` as a hook without a switch."""

_OPERATOR_KINDS = {"PodMonitor", "PrometheusRule"}
_COMBINATIONS = [
    names
    for count in range(len(COMPONENTS) + 1)
    for names in itertools.combinations(COMPONENTS, count)
]
_valid: set[tuple[str, str]] = set()
"""What was found to be valid: most objects are the same in most combinations."""


@pytest.fixture(params=["base", *OVERLAYS])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return overlay(request.param)


def _check_schemas(cluster: Cluster) -> None:
    for item in cluster.objects:
        if item["kind"] in _OPERATOR_KINDS:  # kinds of an operator, which no release has
            continue
        text = json.dumps(item, sort_keys=True)
        for version in (OLDEST, kubernetes_validate.latest_version()):
            if (version, text) not in _valid:
                kubernetes_validate.validate(dict(item), version, strict=True)
                _valid.add((version, text))


def _check_references(cluster: Cluster) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in cluster.objects]
    assert len(set(names)) == len(names)
    for kind in ("ConfigMap", "ServiceAccount"):
        there = {name for found, name in names if found == kind}
        assert set(_referenced(cluster, kind)) <= there


def _referenced(cluster: Cluster, kind: str) -> Iterator[str]:
    for workload in cluster.workloads.values():
        if kind == "ServiceAccount":
            yield workload.pod["serviceAccountName"]
        else:
            for source in workload.container.get("envFrom", []):
                if "configMapRef" in source:
                    yield source["configMapRef"]["name"]
            for volume in workload.pod["volumes"]:
                if "configMap" in volume:
                    yield volume["configMap"]["name"]


@pytest.mark.parametrize("names", _COMBINATIONS, ids=lambda names: "+".join(names) or "none")
def test_every_combination_of_components_is_valid(names: tuple[str, ...]) -> None:
    cluster = combined(names)

    _check_schemas(cluster)
    _check_references(cluster)
    assert set(cluster.workloads) == {*ROLES, *({"http"} & {*names})}


def test_overlays_are_valid(cluster: Cluster) -> None:
    _check_schemas(cluster)
    _check_references(cluster)
    assert set(cluster.workloads) == set(ROLES)


def test_a_misspelt_field_is_found() -> None:
    """The check of schemas finds what it is there for."""
    broken = json.loads(json.dumps(overlay("base").workload("evaluation").manifest))
    context = broken["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    context["readOnlyRootFileSystem"] = context.pop("readOnlyRootFilesystem")

    with pytest.raises(kubernetes_validate.ValidationError):
        _check_schemas(Cluster([broken]))


@pytest.mark.parametrize("role", ROLES)
def test_pods_have_no_rights_that_they_do_not_need(cluster: Cluster, role: str) -> None:
    workload = cluster.workload(role)
    context = workload.container["securityContext"]

    assert workload.pod["securityContext"]["runAsNonRoot"] is True
    assert workload.pod["securityContext"]["runAsUser"] == _image_user() > 0
    assert workload.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert workload.pod["automountServiceAccountToken"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in context
    assert not workload.pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert not [volume for volume in workload.pod["volumes"] if "hostPath" in volume]


def _image_user() -> int:
    dockerfile = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")
    found = re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE)
    assert len(set(found)) == 1
    return int(found[0])


@pytest.mark.parametrize("role", ROLES)
def test_what_a_service_writes_to_is_a_volume(cluster: Cluster, role: str) -> None:
    workload = cluster.workload(role)
    claims = workload.manifest["spec"].get("volumeClaimTemplates", [])
    volumes = {item["name"] for item in (*workload.pod["volumes"],)}
    volumes |= {claim["metadata"]["name"] for claim in claims}
    mounts = {item["mountPath"]: item["name"] for item in workload.container["volumeMounts"]}

    assert set(mounts.values()) == volumes
    assert {"/tmp", "/var/lib/slcolm"} <= set(mounts)


@pytest.mark.parametrize("role", ROLES)
def test_what_a_pod_needs_is_asked_for_and_bounded(cluster: Cluster, role: str) -> None:
    resources = cluster.workload(role).container["resources"]

    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]
    scratch = [
        item["emptyDir"] for item in cluster.workload(role).pod["volumes"] if "emptyDir" in item
    ]
    assert all("sizeLimit" in item for item in scratch)


def test_selectors_find_the_pods_of_one_service(cluster: Cluster) -> None:
    workloads = cluster.workloads.values()
    services = {item["metadata"]["labels"][COMPONENT] for item in cluster.of_kind("Service")}
    budgets = {
        item["metadata"]["labels"][COMPONENT] for item in cluster.of_kind("PodDisruptionBudget")
    }

    for item in (*cluster.of_kind("Service"), *cluster.of_kind("PodDisruptionBudget")):
        role = item["metadata"]["labels"][COMPONENT]
        selector = item["spec"]["selector"]
        assert _selected(selector.get("matchLabels", selector), workloads) == [role]
    for workload in workloads:
        selector = workload.manifest["spec"]["selector"]["matchLabels"]
        assert _selected(selector, workloads) == [workload.role]
    assert services == set(ROLES)
    # Training, of which there is one, may go at any time: it goes on from its checkpoint.
    assert budgets == set(ROLES) - {"training"}


def _selected(selector: Mapping[str, str], workloads: Any) -> list[str]:
    found: list[Workload] = list(workloads)
    return [item.role for item in found if selector.items() <= item.labels.items()]


def test_services_are_headless_and_lead_to_the_port_of_the_container(cluster: Cluster) -> None:
    """Clients balance by themselves: they need the address of every pod."""
    for service in cluster.of_kind("Service"):
        workload = cluster.workload(service["metadata"]["labels"][COMPONENT])
        (port,) = service["spec"]["ports"]
        assert service["spec"]["clusterIP"] == "None"
        assert port["port"] == workload.ports[port["targetPort"]]


def test_replicas_are_spread(cluster: Cluster) -> None:
    for workload in cluster.workloads.values():
        for constraint in workload.pod["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"].items() <= workload.labels.items()
            assert constraint["matchLabelKeys"] == [COMPONENT]


def test_nothing_secret_stands_in_a_manifest(cluster: Cluster) -> None:
    assert cluster.of_kind("Secret") == []
    for workload in cluster.workloads.values():
        for variable in workload.container["env"]:
            if re.search(r"KEY$|TOKEN$|PASSWORD|DATABASE_URL|LEDGER_URL", variable["name"]):
                value = variable.get("value", "")
                assert "secretKeyRef" in variable.get("valueFrom", {}) or value.startswith("/")


def test_production_has_a_second_replica_of_what_can_have_one() -> None:
    cluster = overlay("production")
    scaled = {item["spec"]["scaleTargetRef"]["name"]: item for item in _scalers(cluster)}

    for role, workload in cluster.workloads.items():
        name = workload.manifest["metadata"]["name"]
        replicas = workload.manifest["spec"].get("replicas")
        if name in scaled:
            # Each `kubectl apply` would set what the scaler has changed.
            assert replicas is None
            assert scaled[name]["spec"]["minReplicas"] >= 2
        else:
            assert replicas == (1 if role == "training" else 2)


def test_small_runs_everything_once() -> None:
    cluster = overlay("small")

    assert _scalers(cluster) == []
    for workload in cluster.workloads.values():
        assert workload.manifest["spec"].get("replicas", 1) == 1


def _scalers(cluster: Cluster) -> list[Object]:
    return cluster.of_kind("HorizontalPodAutoscaler")


def test_what_is_scaled_is_there() -> None:
    cluster = combined(("autoscaling",))

    for item in _scalers(cluster):
        target = item["spec"]["scaleTargetRef"]
        workload = cluster.named(target["kind"], target["name"])
        assert workload["apiVersion"] == target["apiVersion"]
        for metric in item["spec"]["metrics"]:
            if metric["type"] == "Resource":  # a share of the request
                container = cluster.workload(workload["metadata"]["labels"][COMPONENT]).container
                assert metric["resource"]["name"] in container["resources"]["requests"]


def test_a_gpu_is_asked_for_by_training_alone() -> None:
    cluster = combined(("gpu-training",))

    asking = [
        role
        for role, workload in cluster.workloads.items()
        if "nvidia.com/gpu" in workload.container["resources"]["limits"]
    ]
    assert asking == ["training"]
