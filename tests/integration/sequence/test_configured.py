"""A run whose services are configured by a file: two models, one of them behind two endpoints."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.annals import SIZES, Data
from support.chat_server import ChatServer, chat_server
from support.trained import Trained

TEXTS = SIZES["dev"] + SIZES["test"]
KEY = "key-that-is-written-nowhere"


@dataclass(frozen=True)
class Ran:
    """What there is after the run."""

    local: ChatServer
    hosted: ChatServer
    home: Path
    out: Path
    report: dict[str, Any]


@pytest.fixture(scope="module")
def ran(data: Data, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The hosted model's preferred endpoint is down; the one behind it wants the key."""
    folder = tmp_path_factory.mktemp("configured")
    trained.give(folder / "home", 1)
    with chat_server() as local, chat_server() as hosted, socket.socket() as down:
        down.bind(("127.0.0.1", 0))  # taken, and nobody listens
        config = folder / "slcolm.toml"
        config.write_text(
            f"""
[guidance]
currency = "USD"

[[guidance.models]]
name = "local"
model = "tiny"
endpoints = [{{base_url = "{local.url}", api_key_env = ""}}]

[[guidance.models]]
name = "hosted"
model = "large"
prompt_price = 1.0
extra_body = {{thinking = {{type = "disabled"}}}}
backoff_seconds = 0.01
max_backoff_seconds = 0.05

[[guidance.models.endpoints]]
base_url = "http://127.0.0.1:{down.getsockname()[1]}/v1"
api_key_env = ""

[[guidance.models.endpoints]]
base_url = "{hosted.url}"
api_key_env = "HOSTED_KEY"
""",
            encoding="utf-8",
        )
        result = subprocess.run(
            [
                *(sys.executable, "-m", "slcolm_services", "run", "--config", config),
                *("--guide", "local", "--also-guide", "hosted"),
                *("--encoder", "random", "--epochs", "2", "--seed", "1"),
                *("--task", data.task, "--out", folder / "out", "--json"),
                *(part for name, path in data.paths.items() for part in (f"--{name}", path)),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "SLCOLM_HOME": str(folder / "home"),
                "HOSTED_KEY": KEY,
                "NO_PROXY": "*",
            },
        )
        assert result.returncode == 0, result.stderr
        report = json.loads(result.stdout)
        yield Ran(local, hosted, folder / "home", folder / "out", report)


def test_every_model_was_asked_about_every_text(ran: Ran) -> None:
    assert [body["model"] for body in ran.local.bodies] == ["tiny"] * TEXTS
    assert [body["model"] for body in ran.hosted.bodies] == ["large"] * TEXTS
    assert all(body["thinking"] == {"type": "disabled"} for body in ran.hosted.bodies)


def test_the_report_names_both(ran: Ran) -> None:
    for split in ("dev", "test"):
        sources = ran.report["answers"][split]["sources"]
        assert {name: source["usable"] for name, source in sources.items()} == {
            "local": SIZES[split],
            "hosted": SIZES[split],
        }
    first = (ran.out / "merged.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert list(json.loads(first)["answers"]) == ["local", "hosted"]
    # The local model is free, and so are 400 of the 1000 tokens of a prompt: they were cached.
    assert ran.report["spending"]["cost"] == pytest.approx(TEXTS * 600 / 1e6)


def test_the_key_reached_its_endpoint_alone_and_no_file(ran: Ran) -> None:
    assert set(ran.hosted.keys) == {f"Bearer {KEY}"}
    assert not any(KEY in str(header) for header in ran.local.keys)
    written = [path for folder in (ran.home, ran.out) for path in folder.rglob("*")]
    files = [path for path in written if path.is_file()]
    assert ran.home / "config" / "guidance.toml" in files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
