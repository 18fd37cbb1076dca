"""The extraction service over a real server and a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2, status_pb2

from slcolm.common.v1 import common_pb2
from slcolm.extraction.v1 import extraction_pb2, extraction_pb2_grpc
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.engine import Engine, Sentence
from slcolm_services.extraction.service import build
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.folders import folder_revision
from slcolm_services.runtime.server import Server
from slcolm_services.runtime.store import ArtifactStore

FolderMaker = Callable[..., Path]
_TIMEOUT_SECONDS = 20.0


@contextlib.asynccontextmanager
async def serving(config: ExtractionConfig) -> AsyncIterator[Any]:
    """A stub of a service that is ready."""
    async with Server(build(config), ServerConfig()) as server:
        await server.load()
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield extraction_pb2_grpc.ExtractionServiceStub(channel)


def request_of(*texts: str, **more: Any) -> extraction_pb2.ExtractRequest:
    documents = [common_pb2.Document(id=f"d{i}", text=text) for i, text in enumerate(texts)]
    return extraction_pb2.ExtractRequest(documents=documents, **more)


def reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and reason of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    # The stubs of grpc give the pairs no type that can be unpacked.
    trailers: dict[str, Any] = dict(cast("Any", caught.value.trailing_metadata()))
    details = trailers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    return caught.value.code(), reason(status)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def config(tmp_path: Path) -> ExtractionConfig:
    return ExtractionConfig(
        store=str(tmp_path / "store"),
        cache_dir=tmp_path / "cache",
        threads=1,
        max_batch_documents=4,
        max_text_characters=100,
        max_loaded_models=2,
    )


def with_model(config: ExtractionConfig, folder: Path) -> ExtractionConfig:
    return ExtractionConfig(**{**vars(config), "model": folder})


async def test_every_text_gets_its_result_in_order(
    config: ExtractionConfig, model_folder: Path
) -> None:
    async with serving(with_model(config, model_folder)) as stub:
        response = await stub.Extract(
            request_of("𠀀A,x", "", "B" * 101, include_vectors=True), timeout=_TIMEOUT_SECONDS
        )
    assert response.model_revision == folder_revision(model_folder)
    assert [result.id for result in response.results] == ["d0", "d1", "d2"]
    good, empty, long = response.results
    document = good.extraction.document
    assert [(entity.text, entity.start, entity.type) for entity in document.entities] == [
        ("A", 1, "PER"),
        ("x", 3, "LOC"),
    ]
    assert document.offset_unit == common_pb2.OFFSET_UNIT_UNICODE_CODE_POINTS
    assert [(r.type, r.head, r.tail) for r in document.relations] == [("lives_in", 0, 1)]
    assert all(entity.HasField("probability") for entity in document.entities)
    assert document.relations[0].HasField("probability")
    assert len(good.extraction.vector) == 3
    assert reason(empty.error) == "INVALID_INPUT"
    assert reason(long.error) == "TEXT_TOO_LONG"
    assert long.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_vectors_come_only_when_asked_for(
    config: ExtractionConfig, model_folder: Path
) -> None:
    async with serving(with_model(config, model_folder)) as stub:
        response = await stub.Extract(request_of("A"), timeout=_TIMEOUT_SECONDS)
    assert not response.results[0].extraction.vector


@pytest.mark.parametrize(
    ("texts", "ids", "expected"),
    [
        (["A"] * 5, None, "BATCH_TOO_LARGE"),
        (["A", "B"], ["same", "same"], "INVALID_INPUT"),
        (["A"], [""], "INVALID_INPUT"),
    ],
)
async def test_a_bad_batch_is_refused_whole(
    config: ExtractionConfig,
    model_folder: Path,
    texts: Sequence[str],
    ids: Sequence[str] | None,
    expected: str,
) -> None:
    request = request_of(*texts)
    for document, name in zip(request.documents, ids or (), strict=False):
        document.id = name
    async with serving(with_model(config, model_folder)) as stub:
        refusal = await refused(stub.Extract(request, timeout=_TIMEOUT_SECONDS))
    assert refusal == (grpc.StatusCode.INVALID_ARGUMENT, expected)


async def test_models_come_from_the_store_by_revision(
    config: ExtractionConfig, store: ArtifactStore, make_folder: FolderMaker
) -> None:
    first, second = (store.put_folder("models", make_folder(f1=f1)) for f1 in (0.25, 0.75))
    async with serving(config) as stub:
        missing = await refused(stub.Extract(request_of("A"), timeout=_TIMEOUT_SECONDS))
        assert missing == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        for revision in (second, first, second, first):
            await stub.LoadModel(
                extraction_pb2.LoadModelRequest(revision=revision), timeout=_TIMEOUT_SECONDS
            )
        default = await stub.GetModel(extraction_pb2.GetModelRequest(), timeout=_TIMEOUT_SECONDS)
        other = await stub.GetModel(
            extraction_pb2.GetModelRequest(revision=second), timeout=_TIMEOUT_SECONDS
        )
        answer = await stub.Extract(
            request_of("A", model_revision=second), timeout=_TIMEOUT_SECONDS
        )
    model = default.model
    assert (model.revision, model.loaded, model.default) == (first, True, True)
    assert (other.model.revision, other.model.default) == (second, False)
    assert (model.max_tokens, model.vector_dimension, model.precision) == (64, 3, "fp32")
    assert [kind.name for kind in model.schema.relation_types] == ["lives_in", "knows"]
    assert dict(model.dev_scores) == {"relation_strict_f1": 0.25}
    assert answer.model_revision == second


async def test_models_are_listed_in_pages_loaded_or_not(
    config: ExtractionConfig, store: ArtifactStore, make_folder: FolderMaker
) -> None:
    stored = sorted(store.put_folder("models", make_folder(f1=f1)) for f1 in (0.1, 0.2, 0.3))
    async with serving(config) as stub:
        await stub.LoadModel(
            extraction_pb2.LoadModelRequest(revision=stored[1]), timeout=_TIMEOUT_SECONDS
        )
        listed: list[extraction_pb2.Model] = []
        token = ""
        while True:
            part = await stub.ListModels(
                extraction_pb2.ListModelsRequest(page_size=2, page_token=token),
                timeout=_TIMEOUT_SECONDS,
            )
            assert len(part.models) <= 2
            listed += part.models
            token = part.next_page_token
            if not token:
                break
        bad = await refused(
            stub.ListModels(
                extraction_pb2.ListModelsRequest(page_token="nonsense"), timeout=_TIMEOUT_SECONDS
            )
        )
    assert [model.revision for model in listed] == stored
    assert [model.loaded for model in listed] == [False, True, False]
    assert bad == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")


async def test_the_model_used_longest_ago_makes_room(
    config: ExtractionConfig, store: ArtifactStore, make_folder: FolderMaker
) -> None:
    revisions = [store.put_folder("models", make_folder(f1=f1)) for f1 in (0.4, 0.5, 0.6)]
    async with serving(config) as stub:
        for revision in revisions[:2]:
            await stub.LoadModel(
                extraction_pb2.LoadModelRequest(revision=revision), timeout=_TIMEOUT_SECONDS
            )
        await stub.Extract(request_of("A", model_revision=revisions[0]), timeout=_TIMEOUT_SECONDS)
        await stub.LoadModel(
            extraction_pb2.LoadModelRequest(revision=revisions[2]), timeout=_TIMEOUT_SECONDS
        )
        kept = await stub.Extract(
            request_of("A", model_revision=revisions[0]), timeout=_TIMEOUT_SECONDS
        )
        gone = await refused(
            stub.Extract(request_of("A", model_revision=revisions[1]), timeout=_TIMEOUT_SECONDS)
        )
    assert kept.model_revision == revisions[0]
    assert gone == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def test_a_model_that_cannot_be_loaded_changes_nothing(
    config: ExtractionConfig,
    store: ArtifactStore,
    make_folder: FolderMaker,
    model_folder: Path,
    tmp_path: Path,
) -> None:
    damaged = store.put_folder("models", make_folder(f1=0.9))
    (tmp_path / "store" / "models" / damaged / "spans.onnx").write_bytes(b"damaged")
    async with serving(with_model(config, model_folder)) as stub:
        for revision, expected in (
            (damaged, (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_INVALID")),
            ("0" * 64, (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")),
            ("../escape", (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")),
            ("", (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")),
        ):
            call = stub.LoadModel(
                extraction_pb2.LoadModelRequest(revision=revision), timeout=_TIMEOUT_SECONDS
            )
            assert await refused(call) == expected
        default = await stub.GetModel(extraction_pb2.GetModelRequest(), timeout=_TIMEOUT_SECONDS)
    assert default.model.revision == folder_revision(model_folder)


async def test_work_for_a_caller_that_has_gone_is_stopped(
    config: ExtractionConfig, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is held at its first batch until the call is cancelled; it must not go on."""
    loop = asyncio.get_running_loop()
    entered = asyncio.Event()
    released = threading.Event()
    run, ran = Engine.run, []

    def held(self: Engine, batch: Sequence[Sentence]) -> Any:
        loop.call_soon_threadsafe(entered.set)
        released.wait(_TIMEOUT_SECONDS)
        ran.append([sentence.document.text for sentence in batch])
        return run(self, batch)

    monkeypatch.setattr(Engine, "run", held)
    small = replace(with_model(config, model_folder), batch_tokens=1)
    async with serving(small) as stub:
        gone = stub.Extract(request_of("A", "AB"), timeout=_TIMEOUT_SECONDS)
        await asyncio.wait_for(entered.wait(), _TIMEOUT_SECONDS)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        # A second call proves that the server has seen the cancellation, which came before it.
        await stub.GetModel(extraction_pb2.GetModelRequest(), timeout=_TIMEOUT_SECONDS)
        released.set()
        await stub.Extract(request_of("x"), timeout=_TIMEOUT_SECONDS)
    assert ran == [["AB"], ["x"]]


async def test_a_request_costs_its_characters(config: ExtractionConfig) -> None:
    cost = build(config).cost
    assert cost(request_of("王AB", "x")) == 4
    assert cost(request_of()) == 1
    assert cost(extraction_pb2.ListModelsRequest()) == 0


async def test_a_long_text_comes_with_its_windows_and_the_pairs_that_none_held(
    config: ExtractionConfig, model_folder: Path
) -> None:
    text = "A" + "王" * 90 + "x"
    async with serving(with_model(config, model_folder)) as stub:
        response = await stub.Extract(
            request_of(text, "Ax", include_vectors=True), timeout=_TIMEOUT_SECONDS
        )
    long, short = (result.extraction for result in response.results)
    assert [(entity.text, entity.start) for entity in long.document.entities] == [
        ("A", 0),
        ("x", 91),
    ]
    assert not long.document.relations
    assert (long.windows[0].start, long.windows[-1].end, long.unseen_pairs) == (0, len(text), 2)
    assert sum(value**2 for value in long.vector) == pytest.approx(1.0)
    assert (list(short.windows), short.unseen_pairs) == ([], 0)


async def test_a_sentence_is_answered_while_a_long_text_is_being_read(
    config: ExtractionConfig, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch waits for a permit; the sentence needs one beyond that of the batch that runs."""
    loop = asyncio.get_running_loop()
    entered = asyncio.Event()
    permits = threading.Semaphore(0)
    run = Engine.run

    def held(self: Engine, batch: Sequence[Sentence]) -> Any:
        loop.call_soon_threadsafe(entered.set)
        assert permits.acquire(timeout=_TIMEOUT_SECONDS)
        return run(self, batch)

    monkeypatch.setattr(Engine, "run", held)
    roomy = replace(
        with_model(config, model_folder), batch_tokens=64, max_text_characters=1_000_000
    )
    async with serving(roomy) as stub:
        long = stub.Extract(request_of("A王x。" * 500), timeout=_TIMEOUT_SECONDS)
        await asyncio.wait_for(entered.wait(), _TIMEOUT_SECONDS)
        sentence = asyncio.ensure_future(stub.Extract(request_of("Ax"), timeout=_TIMEOUT_SECONDS))
        # An answer to a later call shows that the sentence has been queued.
        await stub.GetModel(extraction_pb2.GetModelRequest(), timeout=_TIMEOUT_SECONDS)
        permits.release(2)
        answer = await sentence
        assert len(answer.results[0].extraction.document.relations) == 1
        assert not long.done()
        permits.release(1_000_000)
        whole = await long
    assert len(whole.results[0].extraction.document.entities) == 1000


async def test_queue_and_batches_are_shown_with_the_servers_metrics(
    config: ExtractionConfig, model_folder: Path
) -> None:
    async with Server(build(with_model(config, model_folder)), ServerConfig()) as server:
        await server.load()
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = extraction_pb2_grpc.ExtractionServiceStub(channel)
            await stub.Extract(request_of("A", "B"), timeout=_TIMEOUT_SECONDS)
        value = server.metrics.registry.get_sample_value
        assert value("slcolm_extraction_batch_texts_sum") == 2
        assert value("slcolm_extraction_run_seconds_count") == 1
        assert value("slcolm_extraction_queue_seconds_count") == 1
        assert value("slcolm_extraction_read_seconds_count") == 1
        assert value("slcolm_extraction_queued_tokens") == 0


async def test_the_line_about_a_text_that_failed_is_a_line_of_its_call(
    config: ExtractionConfig, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Engine, batch: Sequence[Sentence]) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(Engine, "run", broken)
    bound = [structlog.contextvars.merge_contextvars]
    with structlog.testing.capture_logs(processors=bound) as lines:
        async with serving(with_model(config, model_folder)) as stub:
            metadata = (("x-request-id", "mine"),)
            request = request_of("A", "B")
            answer = await stub.Extract(request, timeout=_TIMEOUT_SECONDS, metadata=metadata)
    assert [result.WhichOneof("outcome") for result in answer.results] == ["error", "error"]
    failed = [line for line in lines if line["event"] == "a text could not be run"]
    assert [line["request_id"] for line in failed] == ["mine", "mine"]
