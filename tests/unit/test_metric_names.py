"""Documentation, dashboard and rules name the metrics that services have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from support.metrics import registered

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| `(slcolm_\w+)` \| (\w+) \|", re.MULTILINE)


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return registered()


def test_the_documentation_has_a_row_for_every_metric(metrics: dict[str, str]) -> None:
    document = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")

    rows = _ROW.findall(document)

    assert dict(rows) == metrics
    assert len(rows) == len(metrics)


def test_names_follow_the_conventions_of_prometheus(metrics: dict[str, str]) -> None:
    for name, kind in metrics.items():
        assert re.fullmatch(r"slcolm(_[a-z0-9]+)+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|count|sum|bucket)(_total)?$", name), (
            name
        )


@pytest.mark.parametrize("file", ["prometheus.yml", "alerts.yml", "grafana/dashboards/slcolm.json"])
def test_dashboard_and_rules_ask_for_metrics_that_there_are(
    metrics: dict[str, str], file: str
) -> None:
    text = (ROOT / "deploy" / "monitoring" / file).read_text(encoding="utf-8")
    series = set(metrics)
    for name, kind in metrics.items():
        if kind == "histogram":
            series |= {name + suffix for suffix in ("_bucket", "_sum", "_count")}

    # Names of services, such as slcolm-guidance, are no metrics.
    assert set(re.findall(r"slcolm_\w+", text)) <= series


def test_the_dashboard_shows_every_metric(metrics: dict[str, str]) -> None:
    text = (ROOT / "deploy/monitoring/grafana/dashboards/slcolm.json").read_text(encoding="utf-8")

    assert not [name for name in metrics if name not in text]


def test_the_dashboard_can_be_provisioned() -> None:
    board = json.loads((ROOT / "deploy/monitoring/grafana/dashboards/slcolm.json").read_text())

    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert board["uid"]
    assert "id" not in board  # Grafana gives it one
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["targets"] for panel in panels)
    assert all(
        target["expr"].count("(") == target["expr"].count(")")
        for p in panels
        for target in p["targets"]
    )


def test_every_alert_says_what_is_wrong() -> None:
    text = (ROOT / "deploy/monitoring/alerts.yml").read_text(encoding="utf-8")
    (group,) = yaml.safe_load(text)["groups"]

    for rule in group["rules"]:
        assert rule["expr"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
