"""An extraction service as a process of its own, which can be killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_SERVICE = """
import asyncio, os
from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_services.runtime.config import ServerConfig, load_section
from slcolm_services.runtime.service import Service, run_service

class Servicer(extraction_pb2_grpc.ExtractionServiceServicer):
    async def Extract(self, request, context):
        await asyncio.sleep(0.02)
        response = extraction_pb2.ExtractResponse(model_revision="m")
        for document in request.documents:
            response.results.add(id=document.id).extraction.document.text = document.text
        return response

run_service(
    Service(
        name="slcolm.extraction.v1.ExtractionService",
        register=lambda server: extraction_pb2_grpc.add_ExtractionServiceServicer_to_server(
            Servicer(), server
        ),
    ),
    load_section(ServerConfig, "server", path=None, environ=os.environ),
    role="extraction",
)
"""


class Killable(NamedTuple):
    """A running service."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@contextmanager
def spawn(folder: Path, port: int = 0) -> Iterator[Killable]:
    """Start a service that gives every text back after a moment; it is killed at the end."""
    script = folder / "service.py"
    script.write_text(_SERVICE, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "SLCOLM_SERVER_PORT": str(port)},
    )
    with process:
        try:
            assert process.stdout is not None
            yield Killable(process, json.loads(process.stdout.readline())["address"])
        finally:
            process.kill()
