"""A short run on a small part of the sample."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import slcolm_services
from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.training.v1 import training_pb2
from slcolm_client import Client, SlcolmClientError
from slcolm_services.corpus.jsonl import format_line, read_documents
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.runtime.wire import schema_to_wire

SAMPLE = Path(slcolm_services.__file__).parent / "samples" / "annals"
SPLITS = ("train", "dev", "test")
_SIZES = {"train": 60, "dev": 40, "test": 20}
_START_SECONDS = 120.0


def short_run(client: Client) -> coordinator_pb2.RunSpec:
    """Upload the data; what describes the run."""
    schema = schema_to_wire(read_schema(SAMPLE / "task.yaml"))
    digests = {}
    with tempfile.TemporaryDirectory() as folder:
        for split, size in _SIZES.items():
            path = Path(folder, f"{split}.jsonl")
            lines = map(format_line, read_documents(SAMPLE / path.name)[:size])
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            digests[split] = client.upload_dataset(path.name, path, schema).digest
    return coordinator_pb2.RunSpec(
        schema=schema,
        training=training_pb2.TrainOptions(encoder="random", epochs=2, seed=1),
        provider="openai",
        train_dataset=digests["train"],
        dev_dataset=digests["dev"],
        test_dataset=digests["test"],
    )


def await_ready(client: Client) -> None:
    """Wait until the coordinator answers."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            list(client.list_runs(page_size=1))
        except SlcolmClientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
