"""Network policies let through what services need to call, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from support.manifests import OVERLAYS, Cluster, Object, combined, overlay

from slcolm_services.cli.roles import ROLES, config_type

_CLIENT = {"slcolm-client": "true"}
_QDRANT = {"app.kubernetes.io/name": "qdrant"}
_STRANGER = {"app": "stranger"}


@pytest.fixture(params=["component", "small", "production"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return (
        combined(("network-policies",)) if request.param == "component" else overlay(request.param)
    )


@pytest.fixture(params=["component", "small", "production", "http"])
def any_cluster(request: pytest.FixtureRequest) -> Cluster:
    """These, and one whose services are called by HTTP too."""
    if request.param in OVERLAYS:
        return overlay(request.param)
    return combined(tuple(sorted({"network-policies", request.param} - {"component"})))


def _has(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", [])
    )


def _rules(cluster: Cluster, direction: str, labels: Mapping[str, str]) -> list[Object] | None:
    """The rules that hold for a pod in a direction; None where it is not isolated."""
    policies = [
        item["spec"]
        for item in cluster.of_kind("NetworkPolicy")
        if direction in item["spec"]["policyTypes"] and _has(item["spec"]["podSelector"], labels)
    ]
    if not policies:
        return None
    return [rule for policy in policies for rule in policy.get(direction.lower(), [])]


def _allows(rules: Sequence[Object] | None, side: str, other: Mapping[str, str], port: int) -> bool:
    """Whether one of the rules lets a pod of the same namespace through."""
    if rules is None:
        return True
    return any(
        port in [item["port"] for item in rule["ports"]]
        and any(
            "namespaceSelector" not in peer
            and "ipBlock" not in peer
            and _has(peer["podSelector"], other)
            for peer in rule[side]
        )
        for rule in rules
    )


def _passes(
    cluster: Cluster, caller: Mapping[str, str], called: Mapping[str, str], port: int
) -> bool:
    return _allows(_rules(cluster, "Egress", caller), "to", called, port) and _allows(
        _rules(cluster, "Ingress", called), "from", caller, port
    )


def _calls(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Who may call the port of whom, of the services and of pods that are none of them."""
    pods = {role: workload.labels for role, workload in cluster.workloads.items()}
    callers = {**pods, "client": _CLIENT, "stranger": _STRANGER, "qdrant": _QDRANT}
    for caller, theirs in callers.items():
        for called, labels in pods.items():
            ports = cluster.workload(called).ports
            port = ports["grpc"] if "grpc" in ports else ports["http"]
            if _passes(cluster, theirs, labels, port):
                yield caller, called


def test_clients_call_the_coordinator_and_the_coordinator_alone_calls_the_others(
    cluster: Cluster,
) -> None:
    peers = {
        item.name.removesuffix("_address")
        for item in dataclasses.fields(config_type("coordinator"))
        if item.name.endswith("_address")
    }

    assert peers == set(ROLES) - {"coordinator"}
    assert set(_calls(cluster)) == {
        ("client", "coordinator"),
        *(("coordinator", peer) for peer in peers),
    }


def test_callers_of_http_reach_by_it_what_clients_of_grpc_have_classes_for() -> None:
    without = set(_calls(combined(("network-policies",))))
    calls = set(_calls(combined(("http", "network-policies"))))

    assert calls - without == {("client", "http"), ("http", "coordinator"), ("http", "extraction")}
    assert without < calls


def test_without_the_component_everybody_may_call_everybody() -> None:
    """What is judged above are the policies."""
    cluster = combined(("mtls",))

    assert ("stranger", "extraction") in set(_calls(cluster))


def test_ports_for_health_and_metrics_are_for_no_pod_of_the_namespace(any_cluster: Cluster) -> None:
    for workload in any_cluster.workloads.values():
        for other in (
            *[item.labels for item in any_cluster.workloads.values()],
            _CLIENT,
            _STRANGER,
        ):
            assert not _passes(any_cluster, other, workload.labels, workload.ports["health"])
            assert not _passes(any_cluster, other, workload.labels, workload.ports["metrics"])


def test_prometheus_reaches_the_port_of_metrics(any_cluster: Cluster) -> None:
    for workload in any_cluster.workloads.values():
        rules = _rules(any_cluster, "Ingress", workload.labels) or []
        ports = [
            port["port"]
            for rule in rules
            for peer in rule["from"]
            if peer.get("namespaceSelector", {}).get("matchLabels")
            == {"kubernetes.io/metadata.name": "monitoring"}
            for port in rule["ports"]
        ]
        assert ports == [workload.ports["metrics"]]


def test_retrieval_alone_reaches_qdrant(cluster: Cluster) -> None:
    callers = {role: workload.labels for role, workload in cluster.workloads.items()}
    callers |= {"client": _CLIENT, "stranger": _STRANGER}

    allowed = {name for name, labels in callers.items() if _passes(cluster, labels, _QDRANT, 6333)}

    assert allowed == _having("qdrant_url") == {"retrieval"}


def _having(*settings: str) -> set[str]:
    """The services that have one of these settings."""
    return {
        role
        for role in ROLES
        if {item.name for item in dataclasses.fields(config_type(role))} & set(settings)
    }


def test_what_is_outside_is_reached_by_those_who_have_a_setting_for_it(cluster: Cluster) -> None:
    outside: dict[int, set[str]] = {5432: set(), 443: set()}
    for role, workload in cluster.workloads.items():
        for rule in _rules(cluster, "Egress", workload.labels) or []:
            for peer in rule["to"]:
                if "ipBlock" in peer:
                    assert peer["ipBlock"]["except"] == ["169.254.0.0/16"]
                    for port in rule["ports"]:
                        outside[port["port"]].add(role)

    assert outside == {
        5432: _having("database_url", "ledger_url"),
        443: _having("store", "base_url"),
    }


def test_every_service_may_look_names_up(any_cluster: Cluster) -> None:
    for workload in any_cluster.workloads.values():
        rules = _rules(any_cluster, "Egress", workload.labels) or []
        found = {
            (port["port"], port["protocol"])
            for rule in rules
            for peer in rule["to"]
            if peer.get("podSelector") == {"matchLabels": {"k8s-app": "kube-dns"}}
            for port in rule["ports"]
        }
        assert found == {(53, "UDP"), (53, "TCP")}
