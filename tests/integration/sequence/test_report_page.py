"""The page of a run in a browser: it runs without errors, and its filters filter."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client
from slcolm_services.coordinator.page import render_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
EVIL = "</script><script>console.error('ran')</script><img onerror=console.error('ran')>"


def _report() -> dict[str, Any]:
    figures = {"p": 0.5, "r": 0.5, "f": 0.5}
    strict = {
        "micro": figures,
        "macro": {"f1_pr": 0.5},
        "by_frequency": {},
        "per_relation": {
            name: {**figures, "counts": [1, 1, 1], "training_count": 9} for name in ("任职", "父")
        },
    }
    difference = {"value": 0.0, "low": -0.1, "high": 0.1}
    return {
        "run_id": "r1",
        "task": "annals",
        **{name: {"strict": strict} for name in ("slm", "llm", "merged")},
        "merged_minus_slm": {"micro_f1": difference, "macro_f1_pr": difference},
        "policy": {"mode": "gate", "entity_filter": "slm", "provenance": "", "runners_up": []},
        "answers": {"test": {"offline_rules": False}},
    }


def _line(name: str, relation: str) -> dict[str, Any]:
    return {
        "id": name,
        "text": "𠀀甲为太守。" + EVIL,
        "entities": [
            {"type": "PER", "start": 1, "end": 2},
            {"type": "OFI", "start": 3, "end": 5},
        ],
        "triples": [{"head": "甲", "tail": "太守", "type": relation, "sources": ["slm"]}],
        "explanation": EVIL,
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [_line(f"office-{n}", "任职") for n in range(250)] + [_line("kin", "父")]
    path = tmp_path_factory.mktemp("page") / "report.html"
    gold = {"kin": [("甲", "太守", "父"), ("甲", "乙", "父")]}
    path.write_text(render_page(_report(), lines, gold, seconds={}), encoding="utf-8")
    return path


def _dom(page: Path, profile: Path, selection: str = "") -> str:
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            "--dump-dom",
            f"{page.as_uri()}{selection}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout


def _shown(dom: str) -> list[str]:
    return re.findall(r"<article .*?<small class=\"\">(.*?)</small>", dom, re.DOTALL)


@needs_browser
def test_at_most_a_page_of_sentences_is_rendered_and_it_says_so(page: Path, tmp_path: Path) -> None:
    dom = _dom(page, tmp_path)

    assert len(_shown(dom)) == 200
    assert "Showing 200 of 251 that match, of 251 sentences." in dom


@needs_browser
def test_the_hash_selects_a_relation(page: Path, tmp_path: Path) -> None:
    dom = _dom(page, tmp_path, f"#relation={quote('父')}")

    assert _shown(dom) == ["kin"]
    assert "missed: 甲 — 父 → 乙" in dom
    assert "right: 甲 — 父 → 太守" in dom


@needs_browser
def test_relation_and_kind_hold_together(page: Path, tmp_path: Path) -> None:
    dom = _dom(page, tmp_path, f"#relation={quote('任职')}&kind=missed")

    assert _shown(dom) == []
    assert "Showing 0 of 0 that match" in dom


@needs_browser
def test_mentions_are_highlighted_by_code_point(page: Path, tmp_path: Path) -> None:
    dom = _dom(page, tmp_path, "#kind=missed")

    assert re.findall(r"<mark [^>]*title=\"(\w+)\"[^>]*>(.*?)</mark>", dom) == [
        ("PER", "甲"),
        ("OFI", "太守"),
    ]


def test_a_run_leaves_its_page_with_the_times_of_the_stages_before(
    client: Client, run: coordinator_pb2.Run
) -> None:
    page = client.download(run.id, "report.html").decode()

    assert run.id in page
    for stage in run.stages:
        assert (f"<tr><td>{stage.name}</td>" in page) == (stage.name != "report")
