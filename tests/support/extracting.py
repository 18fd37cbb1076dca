"""The real extraction service as a process of its own, on a port that may be taken again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slcolm_client import connect, wait_until_ready
from support.killable import Killable


@contextmanager
def extraction_process(
    model: Path, folder: Path, port: int = 0, *, max_text_characters: int = 1000
) -> Iterator[Killable]:
    """Serve a model folder; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "slcolm_services", "serve", "--role", "extraction"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ
        | {
            "SLCOLM_SERVER_PORT": str(port),
            "SLCOLM_EXTRACTION_MODEL": str(model),
            "SLCOLM_EXTRACTION_STORE": str(folder / "store"),
            "SLCOLM_EXTRACTION_CACHE_DIR": str(folder / "cache"),
            "SLCOLM_EXTRACTION_THREADS": "1",
            "SLCOLM_EXTRACTION_MAX_TEXT_CHARACTERS": str(max_text_characters),
        },
    )
    with process:
        try:
            assert process.stdout is not None
            service = Killable(process, json.loads(process.stdout.readline())["address"])
            with connect(service.address) as channel:
                assert wait_until_ready(channel, timeout_seconds=60)
            yield service
        finally:
            process.kill()
