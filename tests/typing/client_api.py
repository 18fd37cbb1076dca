"""The client as a user's type checker sees it; checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import assert_type

import grpc

from slcolm.common.v1 import common_pb2
from slcolm.coordinator.v1 import coordinator_pb2, coordinator_pb2_grpc
from slcolm_client import (
    AsyncClient,
    AsyncExtractionClient,
    Client,
    Entity,
    Extraction,
    ExtractionClient,
    FieldViolation,
    Prediction,
    Relation,
    Retries,
    RetryBudget,
    Security,
    SlcolmClientError,
    TokenFile,
    Triple,
    call,
    connect,
    connect_aio,
    wait_until_ready,
)


def synchronous(spec: coordinator_pb2.RunSpec, schema: common_pb2.TaskSchema) -> None:
    with Client("localhost:50050", timeout_seconds=5) as client:
        assert_type(client, Client)
        uploaded = client.upload_dataset("train", Path("train.jsonl"), schema)
        assert_type(uploaded, coordinator_pb2.UploadDatasetResponse)
        assert_type(client.create_run(spec), coordinator_pb2.Run)
        assert_type(client.get_run("r"), coordinator_pb2.Run)
        assert_type(client.list_runs(), Iterator[coordinator_pb2.Run])
        assert_type(client.watch_run("r"), Iterator[coordinator_pb2.Run])
        assert_type(client.download("r", "report.json"), bytes)
        predictions = client.predict(["text"], run_id="r")
        assert_type(predictions, tuple[Prediction, ...])
        assert_type(client.predict({"id": "text"}, run_id="r"), tuple[Prediction, ...])
        assert_type(predictions[0].triples, tuple[Triple, ...])
        assert_type(predictions[0].triples[0].probability, float | None)
        assert_type(predictions[0].error, SlcolmClientError | None)
        client.predict(["text"])  # type: ignore[call-arg]  # which run?
        stream = client.predict_stream((f"text {i}" for i in range(3)), run_id="r")
        assert_type(stream, Generator[Prediction, None, None])
        client.predict_stream([("id", "text")], run_id="r", batches_in_flight=2)
        client.predict_stream({"id": "text"}, run_id="r")
        client.predict_stream([3], run_id="r")  # type: ignore[arg-type]  # no text
        predictions[0].text = "other"  # type: ignore[misc]  # results do not change


def extraction() -> None:
    with ExtractionClient("localhost:50051") as client:
        found = client.extract(["text"], include_vectors=True)
        assert_type(found, tuple[Extraction, ...])
        assert_type(found[0].entities, tuple[Entity, ...])
        assert_type(found[0].relations[0], Relation)
        assert_type(found[0].relations[0].head.start, int)
        assert_type(client.extract_stream(["text"]), Generator[Extraction, None, None])


def secured() -> None:
    Client("a:1", security=Security(ca=Path("ca.crt"), token="t"))
    Client("a:1", security=Security(ca=b"pem", certificate=b"pem", key=b"pem"))
    connect("a:1", security=Security(tls=True, token=TokenFile(Path("token"))))
    Client("a:1", security=Security(token=lambda: "t"))
    Client("a:1", security=Security(token=b"t"))  # type: ignore[arg-type]  # text, not bytes


def limited() -> None:
    retries = Retries(patience_seconds=60, burst=10, share=0.2, per_second=0)
    for make in (Client, ExtractionClient):
        make("a:1", retries=retries, max_calls_in_flight=4, max_message_bytes=1024)
    Client("a:1", retries=Retries.none())
    Client("a:1", retries=3)  # type: ignore[arg-type]  # more is said than a number


def one_call(stub: coordinator_pb2_grpc.CoordinatorServiceStub) -> None:
    budget = RetryBudget(Retries())
    request = coordinator_pb2.GetRunRequest(run_id="r")
    call(stub.GetRun, request, timeout_seconds=5, budget=budget, retries=Retries.none())


def errors(error: SlcolmClientError) -> None:
    assert_type(error.code, str)
    assert_type(error.reason, str)
    assert_type(error.violations, tuple[FieldViolation, ...])
    assert_type(error.retry_after_seconds, float | None)


async def asynchronous(spec: coordinator_pb2.RunSpec) -> None:
    async with AsyncClient("localhost:50050") as client:
        assert_type(await client.create_run(spec), coordinator_pb2.Run)
        assert_type(client.watch_run("r"), AsyncIterator[coordinator_pb2.Run])
        assert_type(await client.predict(["text"], run_id="r"), tuple[Prediction, ...])
        stream = client.predict_stream(texts(), run_id="r")
        assert_type(stream, AsyncGenerator[Prediction, None])
        client.predict_stream(["text"], run_id="r")
    async with AsyncExtractionClient("localhost:50051") as extractor:
        assert_type(await extractor.extract(["text"]), tuple[Extraction, ...])
        assert_type(extractor.extract_stream(["text"]), AsyncGenerator[Extraction, None])


async def texts() -> AsyncIterator[tuple[str, str]]:
    yield "id", "text"


def channels() -> None:
    assert_type(connect("localhost:50050"), grpc.Channel)
    assert_type(connect_aio("localhost:50050"), grpc.aio.Channel)
    assert_type(wait_until_ready(connect("localhost:50050"), timeout_seconds=1), bool)
