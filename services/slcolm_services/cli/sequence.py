"""Running the sequence for a command: check the files, reach a coordinator, watch, collect."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.rpc import code_pb2, error_details_pb2

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm.training.v1 import training_pb2
from slcolm_client import Client
from slcolm_services.cli.connecting import client_security
from slcolm_services.cli.memory import PeakMemory
from slcolm_services.cli.output import console
from slcolm_services.cli.watching import follow, seconds
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.files import replacing
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.jsonl import format_line
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.embedded import Embedded, Settings
from slcolm_services.errors import (
    Cancelled,
    ConfigInvalid,
    DataInvalid,
    FieldViolation,
    RemoteError,
)
from slcolm_services.runtime.store import ArtifactStore
from slcolm_services.runtime.wire import schema_to_wire

_GOING = (coordinator_pb2.RUN_STATE_QUEUED, coordinator_pb2.RUN_STATE_RUNNING)
_FILES = ("report.json", "merged.jsonl", "report.html")


@dataclass(frozen=True)
class Asking:
    """Who guides, and how.

    Attributes:
        provider: Provider of the guidance service.
        other_providers: Further providers.
        samples: Answers of each provider to each text.
        demonstrations: Demonstrations per prompt.
        random_demonstrations: Draw them at random.
        prompt: How prompts are made.
        budget: What may be spent; without any limit none is set.
        batch: Use batches of the provider.
    """

    provider: str
    other_providers: tuple[str, ...] = ()
    samples: int = 1
    demonstrations: int = 2
    random_demonstrations: bool = False
    prompt: guidance_pb2.PromptOptions = field(default_factory=guidance_pb2.PromptOptions)
    budget: guidance_pb2.Budget = field(default_factory=guidance_pb2.Budget)
    batch: bool = False


@dataclass(frozen=True)
class Sequence:
    """What `slcolm run` and `slcolm demo` run.

    Attributes:
        task: Task schema file.
        train: Training data in any format that is read.
        dev: Dev data.
        test: Test data.
        asking: Who guides, and how.
        training: Fields of `TrainOptions`.
    """

    task: Path
    train: Path
    dev: Path
    test: Path
    asking: Asking
    training: Mapping[str, Any]


def execute(
    sequence: Sequence,
    *,
    out: Path,
    home: Path,
    coordinator: str | None,
    settings: Settings,
) -> dict[str, Any]:
    """Run the sequence and leave its files in `out`.

    Args:
        sequence: What to run.
        out: Folder for the results. Files in it are replaced one by one, each as a whole, and only
            when the run has succeeded.
        home: Home of the embedded services.
        coordinator: Address of a coordinator to use instead of embedded services.
        settings: Settings of the embedded services.

    Returns:
        The report, with what was measured of each stage under `stages`.

    Raises:
        DataInvalid: A file has problems; all problems of all files are named.
        SlcolmError: The run failed.
    """
    schema = read_schema(sequence.task)
    datasets = _read_all(
        {"train": sequence.train, "dev": sequence.dev, "test": sequence.test}, schema
    )
    _check_writable(out)
    with _coordinator(home, coordinator, settings) as (client, memory):
        wire_schema, asking = schema_to_wire(schema), sequence.asking
        digests = {
            split: client.upload_dataset(name, data, wire_schema).digest
            for split, (name, data) in datasets.items()
        }
        spec = coordinator_pb2.RunSpec(
            schema=wire_schema,
            train_dataset=digests["train"],
            dev_dataset=digests["dev"],
            test_dataset=digests["test"],
            training=training_pb2.TrainOptions(**sequence.training),
            provider=asking.provider,
            other_providers=asking.other_providers,
            # One answer is what a run asks for that says nothing of samples.
            samples=asking.samples if asking.samples > 1 else 0,
            demonstration_count=asking.demonstrations,
            random_demonstrations=asking.random_demonstrations,
            prompt=asking.prompt if asking.prompt.ByteSize() else None,
            budget=asking.budget if asking.budget.ByteSize() else None,
            batch=asking.batch,
            display_name=out.name,
        )
        run = _unfinished(client, spec) or client.create_run(spec)
        peaks: dict[str, dict[str, int]] = {}

        def on_stage_end(name: str) -> None:
            if memory is not None:
                peaks[name] = memory.take()

        try:
            run = follow(client.watch_run(run.id), console(stderr=True), on_stage_end=on_stage_end)
        except KeyboardInterrupt:
            client.cancel_run(run.id)
            raise
        _raise_if_failed(run)
        report = _collect(client, run, out, peaks)
        if coordinator is None:
            store = ArtifactStore(str(home.absolute() / "store"))
            model = store.fetch_folder("models", run.model_revision, home.absolute() / "cache")
            _replace_folder(model, out / "model")
    return report


def _unfinished(client: Client, spec: coordinator_pb2.RunSpec) -> coordinator_pb2.Run | None:
    """A run with this very spec that was interrupted and goes on, where there is one."""
    for run in client.list_runs():
        if run.state in _GOING and run.spec == spec:
            console(stderr=True).print(f"going on with run {run.id}, which was interrupted")
            return run
    return None


def _read_all(paths: Mapping[str, Path], schema: Any) -> dict[str, tuple[str, bytes]]:
    violations: list[FieldViolation] = []
    read: dict[str, tuple[str, bytes]] = {}
    for split, path in paths.items():
        try:
            documents = read_any(path, schema)
        except DataInvalid as error:
            found = error.violations or (FieldViolation("file", error.message),)
            violations += [FieldViolation(f"{path}: {item.field}", item.problem) for item in found]
            continue
        read[split] = (path.name, _native(documents))
    if violations:
        raise DataInvalid("data files have problems", violations=violations)
    return read


def _native(documents: list[Document]) -> bytes:
    return "".join(format_line(document) + "\n" for document in documents).encode()


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ConfigInvalid(f"--out {out} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _coordinator(
    home: Path, address: str | None, settings: Settings
) -> Iterator[tuple[Client, PeakMemory | None]]:
    if address is not None:
        with Client(address, security=client_security()) as client:
            yield client, None
        return
    with Embedded(home, settings=settings) as embedded, Client(embedded.coordinator) as client:
        memory = PeakMemory(embedded.pids)
        with memory.watched():
            yield client, memory


def _raise_if_failed(run: coordinator_pb2.Run) -> None:
    if run.state == coordinator_pb2.RUN_STATE_CANCELLED:
        raise Cancelled(f"run {run.id} was cancelled; `slcolm runs resume {run.id}` goes on")
    if run.state != coordinator_pb2.RUN_STATE_FAILED:
        return
    reason = code_pb2.Code.Name(run.error.code)
    violations: list[FieldViolation] = []
    for detail in run.error.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            violations += [FieldViolation(v.field, v.description) for v in bad.field_violations]
    stage = next((s.name for s in run.stages if s.state == coordinator_pb2.RUN_STATE_FAILED), "")
    raise RemoteError(
        f"run {run.id} failed in stage {stage}: {run.error.message}",
        code=code_pb2.Code.Name(run.error.code),
        reason=reason,
        violations=violations,
    )


def _collect(
    client: Client, run: coordinator_pb2.Run, out: Path, peaks: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    stages = [
        {
            "name": stage.name,
            "seconds": round(seconds(stage), 3),
            "reused": stage.reused,
            "message": stage.message,
            "peak_memory_bytes": dict(peaks.get(stage.name, {})),
        }
        for stage in run.stages
    ]
    data = {name: client.download(run.id, name) for name in _FILES}
    report: dict[str, Any] = json.loads(data["report.json"])
    report["stages"] = stages
    data["report.json"] = _json_bytes(report)
    data["run.json"] = _json_bytes({"run_id": run.id, "stages": stages})
    for name, content in data.items():
        with replacing(out / name) as file:
            file.write(content.decode())
    return report


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _replace_folder(source: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        copy = Path(temporary) / "new"
        shutil.copytree(source, copy)
        if target.exists():
            target.rename(Path(temporary) / "old")
        copy.rename(target)
