"""Training over a real connection, in a real process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import pytest

from slcolm.common.v1 import common_pb2
from slcolm.training.v1 import training_pb2, training_pb2_grpc
from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.jsonl import format_line
from slcolm_services.errors import ConfigInvalid
from slcolm_services.model.folder import read_manifest
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.store import ArtifactStore
from slcolm_services.training.config import TrainingConfig
from slcolm_services.training.service import build
from slcolm_services.training.servicer import check_encoder

_T = TypeVar("_T")
_SCHEMA = common_pb2.TaskSchema(
    name="letters",
    language="zh",
    entity_types=[common_pb2.EntityType(name="PER"), common_pb2.EntityType(name="LOC")],
    relation_types=[common_pb2.RelationType(name="到")],
)


def _dataset(store: ArtifactStore, count: int, prefix: str) -> str:
    documents = [
        Document(
            f"{prefix}{index}",
            "甲乙至山东。",
            (Entity("PER", 0, 2), Entity("LOC", 3, 5)),
            (Relation("到", 0, 1),),
        )
        for index in range(count)
    ]
    lines = [format_line(document) for document in documents]
    return store.put_bytes("datasets", "\n".join(lines).encode() + b"\n")


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    return TrainingConfig(store=str(tmp_path / "store"), work_dir=tmp_path / "work")


def _serve(config: TrainingConfig, client: Callable[[Any], Awaitable[_T]]) -> _T:
    """Run `client(stub)` against the service as the runtime starts it."""

    async def main() -> _T:
        async with Server(build(config), ServerConfig()) as server:
            await server.load()
            async with grpc.aio.insecure_channel(server.address) as channel:
                return await client(training_pb2_grpc.TrainingServiceStub(channel))

    return asyncio.run(main())


def _request(config: TrainingConfig, epochs: int) -> training_pb2.TrainRequest:
    store = ArtifactStore(config.store)
    return training_pb2.TrainRequest(
        train_dataset=_dataset(store, 16, "t"),
        dev_dataset=_dataset(store, 6, "d"),
        schema=_SCHEMA,
        options=training_pb2.TrainOptions(epochs=epochs, batch_size=8, patience=epochs),
    )


def test_a_model_is_trained_kept_and_never_trained_again(config: TrainingConfig) -> None:
    request = _request(config, epochs=1)

    async def client(stub: Any) -> list[list[training_pb2.TrainResponse]]:
        return [[update async for update in stub.Train(request)] for _ in range(2)]

    first, second = _serve(config, client)
    assert [update.WhichOneof("update") for update in first][-1] == "model"
    phases = [update.progress.phase for update in first[:-1]]
    assert phases == ["train", "calibrate", "export", "check"]
    made = first[-1].model
    assert not made.reused
    folder = ArtifactStore(config.store).fetch_folder("models", made.revision, config.work_dir)
    assert read_manifest(folder).relation_types == ("到",)
    assert len(second) == 1
    assert second[0].model.reused
    assert second[0].model.revision == made.revision
    assert not list(config.work_dir.iterdir())


def test_one_job_at_a_time_and_a_caller_that_goes_ends_its_job(config: TrainingConfig) -> None:
    endless, other = _request(config, epochs=100_000), _request(config, epochs=1)

    async def client(stub: Any) -> grpc.StatusCode:
        call = stub.Train(endless)
        assert (await call.read()).progress.phase == "train"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Train(other).read()
        call.cancel()
        return refused.value.code()

    assert _serve(config, client) == grpc.StatusCode.RESOURCE_EXHAUSTED
    # The service stops only when the job's process has ended; what it had done is kept.
    (left,) = config.work_dir.iterdir()
    assert (left / "train.jsonl").is_file()
    assert not (left / "model").exists()


def test_abandoned_jobs_go_when_the_service_starts_and_resumable_ones_stay(
    config: TrainingConfig,
) -> None:
    def job(key: str, *, days: float) -> Path:
        checkpoint = config.work_dir / (key * 64) / "checkpoints" / "epoch-1.safetensors"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"weights")
        then = time.time() - days * 86_400
        for path in (checkpoint, checkpoint.parent, checkpoint.parent.parent):
            os.utime(path, (then, then))
        return checkpoint

    abandoned, fresh, going_on = job("a", days=8), job("b", days=6), job("c", days=8)
    now = time.time()
    os.utime(going_on, (now, now))
    other = config.work_dir / "notes"
    other.mkdir()
    os.utime(other, (0, 0))

    async def client(stub: Any) -> None:
        del stub

    _serve(config, client)
    assert not abandoned.parent.parent.exists()
    assert fresh.is_file()
    assert going_on.is_file()
    assert other.is_dir()


def test_jobs_are_kept_for_some_time_at_least(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="job_retention_days"):
        TrainingConfig(work_dir=tmp_path, job_retention_days=0)


def test_errors_of_the_process_reach_the_caller_with_their_place(config: TrainingConfig) -> None:
    request = _request(config, epochs=1)
    request.schema.entity_types[1].name = "GPE"

    async def client(stub: Any) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Train(request).read()
        return caught.value

    error = _serve(config, client)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    # The stubs of grpc give the pairs no type that can be unpacked.
    trailers: dict[str, Any] = dict(cast("Any", error.trailing_metadata()))
    assert b"LOC" in trailers["grpc-status-details-bin"]


def test_an_unknown_data_set_is_not_found(config: TrainingConfig) -> None:
    request = _request(config, epochs=1)
    request.dev_dataset = "0" * 64

    async def client(stub: Any) -> grpc.StatusCode:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Train(request).read()
        return caught.value.code()

    assert _serve(config, client) == grpc.StatusCode.NOT_FOUND


def test_the_service_itself_never_loads_torch() -> None:
    code = "import sys, slcolm_services.training.service; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["/etc", "./models", "~/bert"])
def test_callers_read_no_folders_but_those_that_are_open(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="outside the folders"):
        check_encoder(name, TrainingConfig(encoder_dirs=(str(tmp_path),)))
    check_encoder(str(tmp_path / "bert"), TrainingConfig(encoder_dirs=(str(tmp_path),)))


def test_the_hub_can_be_closed() -> None:
    check_encoder("org/bert", TrainingConfig())
    with pytest.raises(ConfigInvalid, match="hub"):
        check_encoder("org/bert", TrainingConfig(hub_encoders=False))


@pytest.mark.parametrize("name", ["x" * 2000, "史" * 100, "./" + "x" * 300, "./a\0b"])
def test_what_can_be_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="can be no name and no path"):
        check_encoder(name, TrainingConfig(encoder_dirs=(str(tmp_path),)))
