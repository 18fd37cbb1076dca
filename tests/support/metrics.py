"""Metrics as Prometheus sees them."""

from __future__ import annotations

import importlib
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from slcolm_services.cli.roles import ROLES, config_type
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def registered() -> dict[str, str]:
    """Every metric that a service registers, by its name for queries, with its kind.

    Services keep state in the working folder: call it in one of the test's own.
    """
    found = {}
    for role in ROLES:
        module = importlib.import_module(f"slcolm_services.{role}.service")
        server = Server(module.build(config_type(role)()), ServerConfig())
        for collector in server.metrics.registry._collector_to_names:
            asked: Any = collector  # its type leaves out what all of ours have
            for family in asked.describe():
                suffix = "_total" if family.type == "counter" else ""
                found[family.name + suffix] = family.type
    return found


class Scraped:
    """What a service's page of metrics has."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
            text = page.read().decode()
        self.samples: Samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """A sample, None where there is none."""
        return self.samples.get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """Sum of the samples with these labels among theirs."""
        return sum(
            value
            for (found, theirs), value in self.samples.items()
            if found == name and theirs >= set(labels.items())
        )
