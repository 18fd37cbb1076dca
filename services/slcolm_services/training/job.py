"""A training job: its key, its folder, and the lines that its process writes.

Training runs in a process of its own, so that the service stays small and answers at once, and a
job can be ended at any moment. The two speak in lines of JSON on the process's standard output;
the last one holds the model or the error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema, schema_digest, write_schema
from slcolm_services.errors import FieldViolation, RemoteError, SlcolmError
from slcolm_services.runtime.source import source_digest
from slcolm_services.training.options import TrainOptions
from slcolm_services.training.progress import Progress
from slcolm_services.training.versions import versions


@dataclass(frozen=True)
class Job:
    """What is to be trained.

    Attributes:
        train_dataset: Digest of the training set in the artifact store.
        dev_dataset: Digest of the dev set.
        schema: The task.
        options: What is asked for.
    """

    train_dataset: str
    dev_dataset: str
    schema: TaskSchema
    options: TrainOptions

    @property
    def key(self) -> str:
        """SHA-256 in hexadecimal of everything that decides the model, code versions included."""
        inputs = {
            "train": self.train_dataset,
            "dev": self.dev_dataset,
            "schema": schema_digest(self.schema),
            "options": asdict(self.options),
            "versions": versions(),
            "source": source_digest("corpus", "model", "scoring", "training"),
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class JobFolder:
    """The files of a job, from which it can go on after an interruption.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def train(self) -> Path:
        """Training documents."""
        return self.path / "train.jsonl"

    @property
    def dev(self) -> Path:
        """Dev documents."""
        return self.path / "dev.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The model folder, once it is finished."""
        return self.path / "model"

    def write(self, job: Job, train: bytes, dev: bytes) -> None:
        """Write everything that the process reads."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.train.write_bytes(train)
        self.dev.write_bytes(dev)
        write_schema(self.path / "schema.yaml", job.schema)
        options = json.dumps(asdict(job.options))
        (self.path / "options.json").write_text(options, encoding="utf-8")

    def read_schema(self) -> TaskSchema:
        """The job's task schema."""
        return read_schema(self.path / "schema.yaml")

    def read_options(self) -> TrainOptions:
        """The job's options."""
        return TrainOptions(**json.loads((self.path / "options.json").read_bytes()))


@dataclass(frozen=True)
class Finished:
    """What a finished job leaves.

    Attributes:
        dev_scores: Metric name to value, each in [0, 1].
        train_seconds: Time that training took.
        revision: Of the model in the artifact store; empty before it is there.
    """

    dev_scores: Mapping[str, float]
    train_seconds: float
    revision: str = ""

    def to_json(self) -> bytes:
        """As the artifact store keeps it."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Finished:
        """Read what `to_json` wrote."""
        return cls(**json.loads(data))


def to_line(update: Progress | Finished | SlcolmError) -> str:
    """One line of a job's process."""
    value: dict[str, Any]
    if isinstance(update, Progress):
        value = {"progress": asdict(update)}
    elif isinstance(update, Finished):
        value = {"finished": asdict(update)}
    else:
        value = {
            "error": {
                "message": update.message,
                "code": update.code,
                "reason": update.reason,
                "violations": [[item.field, item.problem] for item in update.violations],
                "metadata": update.metadata,
            }
        }
    return json.dumps(value, ensure_ascii=False)


def from_line(line: bytes) -> Progress | Finished:
    """Read a line of a job's process.

    Raises:
        SlcolmError: The line is an error.
    """
    value = json.loads(line)
    if "progress" in value:
        return Progress(**value["progress"])
    if "finished" in value:
        return Finished(**value["finished"])
    error = value["error"]
    raise RemoteError(
        error["message"],
        code=error["code"],
        reason=error["reason"],
        violations=[FieldViolation(*item) for item in error["violations"]],
        metadata=error["metadata"],
    )
