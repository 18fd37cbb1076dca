"""A guidance service that is started on its own, with what it takes by default."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slcolm_services.guidance.config import GuidanceConfig
from slcolm_services.guidance.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server


def test_the_ledger_is_a_file_that_outlives_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    async def start_and_stop() -> None:
        async with Server(build(GuidanceConfig()), ServerConfig()) as server:
            await server.load()

    asyncio.run(start_and_stop())
    assert (tmp_path / "elsewhere" / "slcolm-home" / "ledger.sqlite").stat().st_size > 0
