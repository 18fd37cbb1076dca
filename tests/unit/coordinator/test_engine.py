"""What an attempt makes of the steps that were recorded for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from dbos import DBOS

from slcolm_services.coordinator.engine import Engine
from slcolm_services.coordinator.records import StageResult
from slcolm_services.coordinator.stages import STAGE_NAMES


def test_a_step_that_older_code_recorded_without_its_time_is_gone_on_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, dict[str, float]] = {}

    def run_step(options: dict[str, str], *_: Any, seconds: dict[str, float], **__: Any) -> Any:
        name = options["name"]
        seen[name] = dict(seconds)
        result = StageResult(message="", values={name: "done"}).to_json()
        return {"result": result} if name == "train" else {"result": result, "seconds": 2.0}

    monkeypatch.setattr(DBOS, "run_step", run_step)
    nothing: Any = SimpleNamespace(config=None)
    engine = Engine(nothing)

    outcome = engine._run_sequence("run.1", {})

    assert outcome["values"].keys() == set(STAGE_NAMES)
    assert seen["report"].keys() == set(STAGE_NAMES) - {"train", "report"}
