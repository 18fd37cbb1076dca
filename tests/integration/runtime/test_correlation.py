"""Run and stage of a call, as its lines in the log have them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
import structlog
from support.serving import Serving, answer, get, stub_of

_CHILD = """
import os, warnings
import structlog
from slcolm_services.runtime.logs import log_as_parent
log_as_parent(os.environ)
structlog.get_logger("slcolm_services.child").info("at work")
warnings.warn("of a library")
"""
_PARENT = f"""
import subprocess, sys
import structlog
from slcolm_services.runtime.logs import child_environment, configure_logging
configure_logging(level="info", format="json")
structlog.contextvars.bind_contextvars(request_id="r1", run_id="run1", stage="train")
subprocess.run([sys.executable, "-c", {_CHILD!r}], env=child_environment(), check=True)
"""


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((("x-slcolm-run-id", "run1"), ("x-slcolm-stage", "guide")), ("run1", "guide")),
        ((("x-slcolm-run-id", "run1"),), ("run1", None)),
        ((("x-slcolm-run-id", "two words"), ("x-slcolm-stage", "x" * 129)), (None, None)),
        ((), (None, None)),
    ],
)
def test_lines_have_the_run_and_the_stage_that_the_metadata_tells(
    serving: Serving, metadata: Any, expected: tuple[str | None, str | None]
) -> None:
    async def scenario() -> list[Any]:
        bound = [structlog.contextvars.merge_contextvars]
        with structlog.testing.capture_logs(processors=bound) as lines:
            async with serving(answer) as server, stub_of(server) as stub:
                await get(stub, metadata=metadata)
        return list(lines)

    (line,) = (one for one in asyncio.run(scenario()) if one["event"] == "call ended")
    assert (line.get("run_id"), line.get("stage")) == expected
    assert line["request_id"]


def test_a_child_process_writes_lines_of_its_parents_call() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PARENT], capture_output=True, text=True, timeout=60, check=True
    )

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["info", "warning"]
    for line in lines:
        found = (line["request_id"], line["run_id"], line["stage"])
        assert found == ("r1", "run1", "train")
