"""Deleting runs: what only they have goes, what others have stays, and nothing is lost by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.annals import Data
from support.trained import Trained

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client, FailedPrecondition, NotFound
from slcolm_services.embedded import Embedded

_PATIENCE_SECONDS = 240.0


def finished(client: Client, spec: coordinator_pb2.RunSpec) -> coordinator_pb2.Run:
    *_, last = client.watch_run(client.create_run(spec).id, timeout_seconds=_PATIENCE_SECONDS)
    assert last.state == coordinator_pb2.RUN_STATE_SUCCEEDED, last.error.message
    return last


def is_whole(client: Client, run: coordinator_pb2.Run, text: str) -> None:
    """Every file of a run is there, and it answers."""
    for stage in run.stages:
        for name in stage.artifacts:
            assert client.download(run.id, name)
    (prediction,) = client.predict([text], run_id=run.id)
    assert prediction.error is None


def models(home: Path) -> set[str]:
    return {path.name for path in (home / "store" / "models").iterdir()}


def records(home: Path) -> set[Path]:
    return set((home / "store" / "stages" / "records").iterdir())


def test_what_another_run_has_stays_and_the_rest_goes(
    client: Client, data: Data, home: Path, trained: Trained
) -> None:
    trained.give(home, 61)
    text = data.documents["test"][0].text
    bystander = finished(client, data.spec(client, seed=61))
    before = models(home)
    trained.give(home, 62)
    known = records(home)
    first = finished(client, data.spec(client, seed=62))
    second = finished(client, data.spec(client, seed=62))  # takes all but the report

    told = client.delete_run(first.id, validate_only=True)
    is_whole(client, first, text)
    freed = client.delete_run(first.id)
    assert freed == told
    with pytest.raises(NotFound) as caught:
        client.get_run(first.id)
    assert caught.value.reason == "RUN_NOT_FOUND"
    is_whole(client, second, text)

    freed = client.delete_run(second.id)
    assert freed.artifact_bytes > 100_000  # the model is among it
    assert models(home) == before
    assert known <= records(home)
    is_whole(client, bystander, text)

    again = finished(client, data.spec(client, seed=62))
    reused = {stage.name for stage in again.stages if stage.reused}
    assert "train" not in reused
    is_whole(client, again, text)
    # As after a deletion that was killed half-way.
    shutil.rmtree(home / "store" / "models" / again.model_revision)
    client.delete_run(again.id)
    assert again.id not in {run.id for run in client.list_runs()}


def test_nothing_goes_that_a_run_at_work_may_take(
    client: Client, data: Data, home: Path, trained: Trained
) -> None:
    trained.give(home, 63)
    done = finished(client, data.spec(client, seed=63))
    at_work = client.create_run(data.spec(client, seed=64))

    for run_id in (at_work.id, done.id):
        with pytest.raises(FailedPrecondition) as caught:
            client.delete_run(run_id)
        assert caught.value.reason == "RUN_NOT_ENDED"
        assert caught.value.metadata["run_id"] == at_work.id
    client.cancel_run(at_work.id)
    is_whole(client, done, data.documents["test"][0].text)
    client.delete_run(at_work.id)
    client.delete_run(done.id)


def slcolm(*arguments: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", "slcolm_services", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_old_runs_are_deleted_by_command(data: Data, tmp_path: Path, trained: Trained) -> None:
    home = tmp_path / "home"
    trained.give(home, 65, 66)
    with Embedded(home) as system, Client(system.coordinator) as client:
        runs = [finished(client, data.spec(client, seed=seed)) for seed in (65, 66)]
        at = ("--coordinator", system.coordinator)
        assert slcolm("runs", "gc", *at) == {"dry_run": False, "runs": []}
        told = slcolm("runs", "gc", "--older-than", "0", "--keep", "1", "--dry-run", *at)
        assert [row["run_id"] for row in told["runs"]] == [runs[0].id]
        assert len(list(client.list_runs())) == 2

    # The same on a home where nothing works.
    deleted = slcolm("runs", "gc", "--older-than", "0", "--keep", "1", "--home", str(home))
    assert deleted["runs"] == told["runs"]
    deleted = slcolm("runs", "delete", runs[1].id, "--home", str(home))
    assert deleted["runs"][0]["bytes"] > 100_000
    assert slcolm("runs", "list", "--home", str(home))["runs"] == []
    left = [path for path in (home / "store").rglob("*") if path.is_file()]
    assert {path.parent for path in left} <= {home / "store" / "models" / "records"}
