"""The engine `ray` in this process, with actors that die and refuse as they are told to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from support.actors import puppet

from slcolm_services.batch.answers import Model
from slcolm_services.batch.inputs import inspect
from slcolm_services.batch.job import Job, held, run
from slcolm_services.batch.manifest import Manifest
from slcolm_services.batch.rows import Fields
from slcolm_services.errors import DataInvalid, PreconditionFailed, ServiceUnavailable

pytest.importorskip("ray", reason="ray is not installed")

from slcolm_services.batch import actors
from slcolm_services.batch.actors import RayEngine, cluster

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def ray_of_two_processors() -> Iterator[None]:
    # Actors inherit the environment, and find the engines of `support` by it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        with cluster(None, 2):
            yield


def work(folder: Path, texts: list[str], *, count: int = 2) -> Manifest:
    (folder / "lives").mkdir(exist_ok=True)
    path = folder / "c.txt"
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    job = Job([inspect(path, "text", Fields())], Fields(), folder / "out", 2)
    ask = partial(puppet, folder / "lives")
    engine = RayEngine(job, ask, actors=count, cpus=1, patience_seconds=0)
    with held(job.folder), closing(engine):
        assert engine.model == Model("m", "fp32")
        return run(job, engine, lambda _: None, lambda _: None)


def test_a_dead_actors_shard_is_written_by_the_next(tmp_path: Path) -> None:
    manifest = work(tmp_path, ["a", "b", "c", "die once", "d", "e", "f"])
    assert [(shard.name, shard.rows) for shard in manifest.shards] == [
        ("part-00000.jsonl", 2),
        ("part-00001.jsonl", 2),
        ("part-00002.jsonl", 2),
        ("part-00003.jsonl", 1),
    ]
    assert manifest.complete
    assert not list((tmp_path / "out").glob(".part-*"))


def test_a_shard_that_ends_every_actor_ends_the_command(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="5 actors died over shard 1"):
        work(tmp_path, ["a", "b", "c", "die", "d"], count=1)
    assert len(list((tmp_path / "lives").iterdir())) == 5


def test_an_error_of_an_actor_comes_as_it_was_raised(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="refused") as caught:
        work(tmp_path, ["a", "b", "refuse"])
    assert [str(violation) for violation in caught.value.violations] == ["a field: is wrong"]


def test_an_actor_with_another_model_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "lives").mkdir()
    path = tmp_path / "c.txt"
    path.write_text("a\n", encoding="utf-8")
    job = Job([inspect(path, "text", Fields())], Fields(), tmp_path / "out", 2)
    ask = partial(puppet, tmp_path / "lives")
    engine = RayEngine(job, ask, actors=1, cpus=1, patience_seconds=0)
    (tmp_path / "lives" / "changed").touch()
    with (
        held(job.folder),
        closing(engine),
        pytest.raises(PreconditionFailed, match="an actor's service has Model\\(revision='late'"),
    ):
        run(job, engine, lambda _: None, lambda _: None)
    assert not list((tmp_path / "out").glob("*part-*"))


def test_a_cluster_without_room_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors, "_START_SECONDS", 0.1)
    path = tmp_path / "c.txt"
    path.write_text("a\n", encoding="utf-8")
    job = Job([inspect(path, "text", Fields())], Fields(), tmp_path / "out", 2)
    with pytest.raises(ServiceUnavailable, match="each needs 64 CPU, and the cluster has 2"):
        RayEngine(job, partial(puppet, tmp_path), actors=1, cpus=64, patience_seconds=0)
