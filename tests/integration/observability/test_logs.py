"""What every line of a log tells: the call, the run, the stage; and what none ever does."""

from __future__ import annotations

import pytest
from support.observed import PREDICTION, Observed

from slcolm_services.embedded import PEERS

_OWN = {
    *("listening", "ready", "draining", "stopping at once", "stopped", "llm_endpoint_closed"),
    *("dependency missing", "dependency back"),
}
"""Events of a service itself, which belong to no call."""
_STAGES = {
    "training": {"train"},
    "extraction": {"train", "predict"},
    "retrieval": {"index", "select"},
    "guidance": {"guide"},
    "evaluation": {"fit", "merge", "evaluate"},
}
"""Stages that call a service, at least."""


@pytest.mark.parametrize("role", [*PEERS, "coordinator"])
def test_every_line_of_a_call_has_its_request_id(observed: Observed, role: str) -> None:
    lines = [line for line in observed.log(role) if line["event"] not in _OWN]

    assert lines
    for line in lines:
        assert "request_id" in line or (role == "coordinator" and "stage" in line), line


@pytest.mark.parametrize("role", PEERS)
def test_lines_of_calls_for_a_stage_have_the_run_and_the_stage(
    observed: Observed, role: str
) -> None:
    lines = [line for line in observed.log(role) if "stage" in line]

    assert {line["stage"] for line in lines} >= _STAGES[role]
    assert {line["run_id"] for line in lines} == {observed.run.id}


def test_a_line_that_another_thread_writes_is_a_line_of_the_call(observed: Observed) -> None:
    (line,) = (line for line in observed.log("retrieval") if line["event"] == "index finished")

    assert line["request_id"]
    assert line["run_id"] == observed.run.id
    assert line["stage"] == "index"


def test_lines_of_stages_have_the_run_and_the_stage(observed: Observed) -> None:
    lines = [line for line in observed.log("coordinator") if line["event"].startswith("stage ")]

    assert len(lines) == 2 * len(observed.run.stages)
    assert {line["stage"] for line in lines} == {stage.name for stage in observed.run.stages}
    assert {line["run_id"] for line in lines} == {observed.run.id}


def test_lines_of_the_call_that_creates_a_run_name_it(observed: Observed) -> None:
    lines = [
        line
        for line in observed.log("coordinator")
        if line.get("method", "").endswith("/CreateRun") and line["event"] == "call ended"
    ]

    assert [line["run_id"] for line in lines] == [observed.run.id]


@pytest.mark.parametrize("role", ["coordinator", "extraction", "retrieval", "guidance"])
def test_a_prediction_has_one_request_id_in_all_services(observed: Observed, role: str) -> None:
    lines = [line for line in observed.log(role) if line.get("request_id") == PREDICTION]

    assert lines
    if role in ("coordinator", "guidance"):  # requests of these name the run
        assert any(line.get("run_id") == observed.run.id for line in lines)


@pytest.mark.parametrize("role", [*PEERS, "coordinator"])
def test_no_line_has_a_text(observed: Observed, role: str) -> None:
    log = (observed.home / "logs" / f"{role}.log").read_text(encoding="utf-8")

    texts = [document.text for part in observed.data.documents.values() for document in part]
    assert log
    assert not [text for text in texts if text in log]
