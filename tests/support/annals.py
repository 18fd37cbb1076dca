"""A small part of the sample, for tests that run the sequence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.training.v1 import training_pb2
from slcolm_client import Client
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import format_line, read_documents
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.runtime.wire import schema_to_wire

SAMPLE = Path(str(files("slcolm_services") / "samples" / "annals"))
SIZES = {"train": 60, "dev": 40, "test": 20}


@dataclass(frozen=True)
class Data:
    """A small part of the sample."""

    task: Path
    paths: dict[str, Path]
    documents: dict[str, list[Document]]
    schema: common_pb2.TaskSchema

    def spec(self, client: Client, *, seed: int = 1) -> coordinator_pb2.RunSpec:
        """Upload the data and describe a short run on it."""
        digests = {
            split: client.upload_dataset(path.name, path, self.schema).digest
            for split, path in self.paths.items()
        }
        return coordinator_pb2.RunSpec(
            schema=self.schema,
            training=self.training(seed),
            provider="offline",
            train_dataset=digests["train"],
            dev_dataset=digests["dev"],
            test_dataset=digests["test"],
        )

    def training(self, seed: int) -> training_pb2.TrainOptions:
        """How such a run is trained."""
        return training_pb2.TrainOptions(encoder="random", epochs=2, seed=seed)

    def digest(self, split: str) -> str:
        """Name of a split in an artifact store."""
        return hashlib.sha256(self.paths[split].read_bytes()).hexdigest()


def small_data(folder: Path) -> Data:
    """The first sentences of each split, written to `folder`."""
    documents, paths = {}, {}
    for split, size in SIZES.items():
        documents[split] = read_documents(SAMPLE / f"{split}.jsonl")[:size]
        paths[split] = folder / f"{split}.jsonl"
        lines = [format_line(document) + "\n" for document in documents[split]]
        paths[split].write_text("".join(lines), encoding="utf-8")
    task = SAMPLE / "task.yaml"
    return Data(task, paths, documents, schema_to_wire(read_schema(task)))
