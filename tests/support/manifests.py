"""Manifests as `kubectl kustomize` puts them together, and what their pods are started with."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

Object = Mapping[str, Any]
"""A Kubernetes object, as its YAML has it."""

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
COMPONENTS = ("autoscaling", "gpu-training", "http", "monitoring", "mtls", "network-policies")
OVERLAYS = ("production", "small")
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"

SECRET_VALUES = {
    ("slcolm-database", "runs-url"): "postgresql+psycopg://slcolm:secret@postgres/runs",
    ("slcolm-database", "ledger-url"): "postgresql+psycopg://slcolm:secret@postgres/ledger",
    ("slcolm-qdrant", "api-key"): "secret",
}
"""What stands in the Secrets that single variables are taken from."""


@dataclass(frozen=True)
class Cluster:
    """The objects of one `kubectl apply -k`."""

    objects: Sequence[Object]

    def of_kind(self, kind: str) -> list[Object]:
        return [item for item in self.objects if item["kind"] == kind]

    def named(self, kind: str, name: str) -> Object:
        (found,) = (item for item in self.of_kind(kind) if item["metadata"]["name"] == name)
        return found

    @property
    def workloads(self) -> dict[str, Workload]:
        """What runs pods, by the service it runs."""
        found = [
            Workload(item, self)
            for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job")
            for item in self.of_kind(kind)
        ]
        return {workload.role: workload for workload in found}

    def workload(self, role: str) -> Workload:
        return self.workloads[role]


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet of one service."""

    manifest: Object
    cluster: Cluster

    @property
    def role(self) -> str:
        return str(self.labels[COMPONENT])

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of its pods."""
        labels: Mapping[str, str] = self.manifest["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def pod(self) -> Object:
        pod: Object = self.manifest["spec"]["template"]["spec"]
        return pod

    @property
    def container(self) -> Object:
        (container,) = self.pod["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    def environment(self) -> dict[str, str]:
        """Variables of the container, with made-up values for what Secrets hold."""
        found: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            if "configMapRef" in source:
                found |= self.cluster.named("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container.get("env", []):
            found[variable["name"]] = variable.get("value") or self._secret(variable["valueFrom"])
        return found

    def _secret(self, source: Mapping[str, Any]) -> str:
        reference = source["secretKeyRef"]
        return SECRET_VALUES[reference["name"], reference["key"]]

    def config(self, folder: Path) -> tuple[list[str], Path]:
        """The container's arguments, its configuration file being one of `folder`."""
        (mount,) = (item for item in self.container["volumeMounts"] if item["name"] == "config")
        (volume,) = (item for item in self.pod["volumes"] if item["name"] == "config")
        data = self.cluster.named("ConfigMap", volume["configMap"]["name"])["data"]
        args = list(self.container["args"])
        place = args.index("--config") + 1
        name = str(Path(args[place]).relative_to(mount["mountPath"]))
        path = folder / name
        path.write_text(data[name], encoding="utf-8")
        args[place] = str(path)
        return args, path


@functools.cache
def overlay(name: str) -> Cluster:
    """What an overlay makes, or `base`."""
    return _build(KUBERNETES / "base" if name == "base" else KUBERNETES / "overlays" / name)


@functools.cache
def combined(components: tuple[str, ...]) -> Cluster:
    """What the base makes with components added to it."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(os.path.relpath(KUBERNETES, Path(folder).resolve()))
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [str(base / "base")],
            "components": [str(base / "components" / name) for name in components],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return _build(Path(folder))


def every() -> Iterator[tuple[str, Cluster]]:
    """The base and the overlays by name."""
    for name in ("base", *OVERLAYS):
        yield name, overlay(name)


def _build(folder: Path) -> Cluster:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    # Deprecated fields are warned of there.
    assert (done.returncode, done.stderr) == (0, "")
    return Cluster([item for item in yaml.safe_load_all(done.stdout) if item])
