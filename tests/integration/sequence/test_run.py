"""The sequence end to end: what a run leaves, what it does not do twice, how it survives."""

from __future__ import annotations

import json
import os
import signal
import uuid
from pathlib import Path

import psutil
import pytest
from support.annals import Data
from support.trained import Trained

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client, FailedPrecondition, InvalidArgument, NotFound
from slcolm_services.embedded import Embedded
from slcolm_services.errors import HomeInUse

FIGURES = {"p", "r", "f"}
MACRO_FIGURES = {"p", "r", "f1_pr", "f1_mean"}


def test_a_run_leaves_scores_of_all_three_systems(client: Client, run: coordinator_pb2.Run) -> None:
    report = json.loads(client.download(run.id, "report.json"))

    for system in ("slm", "llm", "merged"):
        strict = report[system]["strict"]
        assert strict["micro"].keys() >= FIGURES
        assert strict["macro"].keys() >= MACRO_FIGURES
        assert strict["by_frequency"].keys() == {"head", "medium", "tail"}
        assert all(0 <= strict["micro"][name] <= 1 for name in FIGURES)
    assert report["answers"]["test"]["offline_rules"] is True


def test_every_test_sentence_has_a_line_with_its_triples(
    client: Client, run: coordinator_pb2.Run, data: Data
) -> None:
    lines = [json.loads(line) for line in client.download(run.id, "merged.jsonl").splitlines()]

    assert [line["id"] for line in lines] == [document.id for document in data.documents["test"]]
    for line in lines:
        for triple in line["triples"]:
            assert triple["head"] in line["text"]
            assert triple["tail"] in line["text"]
            assert triple["sources"]
        for entity in line["entities"]:
            assert 0 <= entity["start"] < entity["end"] <= len(line["text"])


def test_the_same_work_is_not_done_twice(client: Client, run: coordinator_pb2.Run) -> None:
    again = client.create_run(run.spec)
    *_, last = client.watch_run(again.id, timeout_seconds=120)

    assert again.id != run.id
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED
    assert [s.name for s in last.stages if not s.reused] == ["report"]
    first = json.loads(client.download(run.id, "report.json"))
    second = json.loads(client.download(again.id, "report.json"))
    assert {**first, "run_id": ""} == {**second, "run_id": ""}


def test_a_repeated_request_is_the_same_run(client: Client, run: coordinator_pb2.Run) -> None:
    request_id = str(uuid.uuid4())

    first = client.create_run(run.spec, request_id=request_id)
    second = client.create_run(run.spec, request_id=request_id)

    assert first.id == second.id
    *_, last = client.watch_run(first.id, timeout_seconds=120)
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED


def test_online_prediction_takes_the_path_of_the_run(
    client: Client, run: coordinator_pb2.Run, data: Data
) -> None:
    lines = [json.loads(line) for line in client.download(run.id, "merged.jsonl").splitlines()]
    texts = {line["id"]: line["text"] for line in lines[:8]}

    predictions = client.predict(texts, run_id=run.id)

    assert [prediction.id for prediction in predictions] == list(texts)
    for prediction, line in zip(predictions, lines, strict=False):
        assert prediction.error is None
        assert prediction.offline_rules
        found = {(t.head, t.tail, t.type) for t in prediction.triples}
        assert found == {(t["head"], t["tail"], t["type"]) for t in line["triples"]}


def test_one_text_that_is_too_long_fails_alone(client: Client, run: coordinator_pb2.Run) -> None:
    predictions = client.predict({"long": "甲" * 1_000_001, "short": "甲为太守。"}, run_id=run.id)

    assert predictions[0].error is not None
    assert predictions[0].error.reason == "TEXT_TOO_LONG"
    assert predictions[1].error is None


def test_bad_data_is_refused_with_every_place(client: Client, data: Data) -> None:
    lines = (
        '{"id": "a", "text": "甲为太守。", "entities": [{"type": "PER", "start": 0, "end": 9}]}\n'
        '{"id": "b", "text": "甲为太守。", "entities": [{"type": "XXX", "start": 0, "end": 1}]}\n'
        "{broken\n"
    )

    with pytest.raises(InvalidArgument) as caught:
        client.upload_dataset("mine.jsonl", lines.encode(), data.schema)

    assert caught.value.reason == "DATA_INVALID"
    places = " ".join(violation.field for violation in caught.value.violations)
    assert all(f"line {number}" in places for number in (1, 2, 3))


def test_a_run_needs_relation_types(client: Client, data: Data) -> None:
    spec = data.spec(client)
    del spec.schema.relation_types[:]
    spec.schema.fallback_relation = ""
    with pytest.raises(InvalidArgument) as caught:
        client.create_run(spec)
    (violation,) = caught.value.violations
    assert violation.field == "spec.schema.relation_types"


def test_what_is_not_there_is_named(client: Client, run: coordinator_pb2.Run) -> None:
    with pytest.raises(NotFound, match="nosuchrun"):
        client.get_run("nosuchrun")
    with pytest.raises(NotFound, match=r"merged\.jsonl"):
        client.download(run.id, "nosuchfile")
    spec = coordinator_pb2.RunSpec()
    spec.CopyFrom(run.spec)
    spec.test_dataset = "0" * 64
    with pytest.raises(NotFound) as caught:
        client.create_run(spec)
    assert caught.value.reason == "DATASET_NOT_FOUND"


def test_a_run_that_ended_cannot_be_cancelled(client: Client, run: coordinator_pb2.Run) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        client.cancel_run(run.id)

    assert caught.value.reason == "RUN_ENDED"


def test_a_home_is_used_by_one_tree_at_a_time(system: Embedded, home: Path) -> None:
    with pytest.raises(HomeInUse, match=str(os.getpid())), Embedded(home):
        pass


def test_a_killed_coordinator_goes_on_where_it_was(data: Data, tmp_path: Path) -> None:
    """Kill -9 in the middle of training; the next start finishes the run without being asked."""
    with Embedded(tmp_path) as first, Client(first.coordinator) as client:
        created = client.create_run(data.spec(client, seed=2))
        for state in client.watch_run(created.id, timeout_seconds=120):
            if state.stages[0].total and state.stages[0].done:
                break
        _kill(first, "coordinator")

    with Embedded(tmp_path) as second, Client(second.coordinator) as client:
        *_, last = client.watch_run(created.id, timeout_seconds=240)
        runs = list(client.list_runs())

    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    assert [found.id for found in runs] == [created.id]


def test_a_failed_run_is_resumed(data: Data, tmp_path: Path, trained: Trained) -> None:
    """The retrieval service is killed, so the run fails there; with it back the run goes on."""
    trained.give(tmp_path, 3)
    with Embedded(tmp_path) as first, Client(first.coordinator) as client:
        created = client.create_run(data.spec(client, seed=3))
        _kill(first, "retrieval")
        *_, failed = client.watch_run(created.id, timeout_seconds=240)
    assert failed.state == coordinator_pb2.RUN_STATE_FAILED
    assert "retrieval" in failed.error.message

    with Embedded(tmp_path) as second, Client(second.coordinator) as client:
        client.resume_run(created.id)
        *_, last = client.watch_run(created.id, timeout_seconds=240)

    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    assert {s.name for s in last.stages if s.reused} >= {"train", "predict"}


def test_prediction_without_guidance_falls_back_and_says_so(
    data: Data, tmp_path: Path, trained: Trained
) -> None:
    trained.give(tmp_path, 1)
    with Embedded(tmp_path) as system, Client(system.coordinator) as client:
        created = client.create_run(data.spec(client))
        *_, done = client.watch_run(created.id, timeout_seconds=240)
        _kill(system, "guidance")
        text = data.documents["test"][0].text
        (prediction,) = client.predict([text], run_id=done.id)

    assert prediction.error is None
    assert prediction.guidance_error is not None
    assert all(triple.sources == ("slm",) for triple in prediction.triples)


def _kill(system: Embedded, role: str) -> None:
    """Kill -9 a service, and wait until it is gone."""
    process = psutil.Process(system.pids[role])
    os.kill(process.pid, signal.SIGKILL)
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        pass
