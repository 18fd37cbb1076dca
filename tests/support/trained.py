"""A model of the small data, trained once for every test that needs one but does not test training.

The training service trains nothing for which its store holds a model. So a test gives the store of
its services the models of the runs that it will ask for, and these runs differ from others in
nothing but the moment of their training.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from slcolm.training.v1 import training_pb2
from slcolm_services.runtime.store import ArtifactStore
from slcolm_services.training.config import TrainingConfig
from slcolm_services.training.job import Finished, Job
from slcolm_services.training.runner import JobRunner
from slcolm_services.training.servicer import _job
from support.annals import Data


@dataclass(frozen=True)
class Trained:
    """The model in a folder of its own, with what its training has told."""

    data: Data
    model: Path
    finished: Finished

    def give(self, home: Path, *seeds: int) -> None:
        """Put a model for each seed into the store of a home, as if it had been trained there.

        They have revisions of their own, like models that were trained one after the other.
        """
        store = ArtifactStore(str(home / "store"))
        for seed in seeds:
            folder = home / f"model-{seed}"
            shutil.copytree(self.model, folder)
            card = json.loads((folder / "card.json").read_bytes())
            card["train_seconds"] += seed
            (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
            finished = Finished(
                self.finished.dev_scores,
                self.finished.train_seconds,
                store.put_folder("models", folder),
            )
            store.put_record("models", _job_of(self.data, seed).key, finished.to_json())
            shutil.rmtree(folder)


def trained_once(factory: pytest.TempPathFactory, worker: str, data: Data) -> Trained:
    """Train the model, or take what another worker of this session of tests has trained."""
    root = factory.getbasetemp()
    shared = (root if worker == "master" else root.parent) / "trained"
    with FileLock(f"{shared}.lock"):
        if not (shared / "finished.json").is_file():
            asyncio.run(_train(data, shared))
    finished = Finished.from_json((shared / "finished.json").read_bytes())
    return Trained(data, shared / "store" / "models" / finished.revision, finished)


async def _train(data: Data, folder: Path) -> None:
    store = ArtifactStore(str(folder / "store"))
    for split in ("train", "dev"):
        store.put_bytes("datasets", data.paths[split].read_bytes())
    config = TrainingConfig(store=str(folder / "store"), work_dir=folder / "work")
    runner = JobRunner(config, store)
    *_, finished = [update async for update in runner.run(_job_of(data, seed=1))]
    await runner.close()
    assert isinstance(finished, Finished)
    (folder / "finished.json").write_bytes(finished.to_json())


def _job_of(data: Data, seed: int) -> Job:
    """What the training service is asked to train by a run of `data.spec`."""
    return _job(
        training_pb2.TrainRequest(
            train_dataset=data.digest("train"),
            dev_dataset=data.digest("dev"),
            schema=data.schema,
            options=data.training(seed),
        )
    )
