"""Extraction by the Open Inference Protocol, over a real server."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st
from support.letters import letters
from support.serving import details

from slcolm.inference.v2 import open_inference_pb2, open_inference_pb2_grpc
from slcolm_services.errors import InvalidInput
from slcolm_services.extraction.open_inference import _packed, _unpacked

TEXTS = ["😀A为𠀀x", "A" * 21]


@asynccontextmanager
async def stub(model_folder: Path, folder: Path) -> AsyncIterator[Any]:
    async with (
        letters(model_folder, folder) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)


def raw(texts: Sequence[str | bytes]) -> bytes:
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def asked(
    texts: Sequence[str | bytes] = (),
    *,
    as_raw: bool = False,
    shape: Sequence[int] = (),
    **more: Any,
) -> open_inference_pb2.ModelInferRequest:
    request = open_inference_pb2.ModelInferRequest(model_name="extraction", id="7")
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=shape or [len(texts)])
    if as_raw:
        request.raw_input_contents.append(raw(texts))
    else:
        tensor.contents.bytes_contents.extend(
            text.encode() if isinstance(text, str) else text for text in texts
        )
    request.MergeFrom(open_inference_pb2.ModelInferRequest(**more))
    return request


def check(results: Sequence[bytes]) -> None:
    """Whether these are the results of `TEXTS`."""
    found, failed = map(json.loads, results)
    document = found["extraction"]["document"]
    assert [(e["type"], e["start"], e["end"]) for e in document["entities"]] == [
        ("PER", 1, 2),
        ("LOC", 4, 5),
    ]
    assert [(r["type"], r["head"], r["tail"]) for r in document["relations"]] == [
        ("lives_in", 0, 1)
    ]
    assert failed["error"]["details"][0]["reason"] == "TEXT_TOO_LONG"


async def test_texts_in_results_out(model_folder: Path, tmp_path: Path) -> None:
    async with stub(model_folder, tmp_path) as service:
        plain = await service.ModelInfer(asked(TEXTS), timeout=20)
        column = await service.ModelInfer(asked(TEXTS, shape=[2, 1]), timeout=20)

    check(plain.outputs[0].contents.bytes_contents)
    assert not plain.raw_output_contents
    assert (plain.id, plain.model_name, list(plain.outputs[0].shape)) == ("7", "extraction", [2])
    assert list(column.outputs[0].shape) == [2, 1]


async def test_who_asks_with_raw_contents_is_answered_so(
    model_folder: Path, tmp_path: Path
) -> None:
    async with stub(model_folder, tmp_path) as service:
        answer = await service.ModelInfer(asked(TEXTS, as_raw=True), timeout=20)

    assert not answer.outputs[0].contents.bytes_contents
    check(_unpacked(answer.raw_output_contents[0]))


async def test_a_server_and_its_model_describe_themselves(
    model_folder: Path, tmp_path: Path
) -> None:
    messages = open_inference_pb2
    async with stub(model_folder, tmp_path) as service:
        live = await service.ServerLive(messages.ServerLiveRequest(), timeout=20)
        ready = await service.ServerReady(messages.ServerReadyRequest(), timeout=20)
        server = await service.ServerMetadata(messages.ServerMetadataRequest(), timeout=20)
        model = await service.ModelMetadata(
            messages.ModelMetadataRequest(name="extraction"), timeout=20
        )
        readiness = [
            (
                await service.ModelReady(
                    messages.ModelReadyRequest(name=name, version=version), timeout=20
                )
            ).ready
            for name, version in (
                ("extraction", ""),
                ("extraction", model.versions[0]),
                ("extraction", "another"),
                ("another", ""),
            )
        ]

    assert (live.live, ready.ready, server.name) == (True, True, "slcolm")
    assert [(each.name, each.datatype) for each in (*model.inputs, *model.outputs)] == [
        ("text", "BYTES"),
        ("result", "BYTES"),
    ]
    assert readiness == [True, True, False, False]


TWO = open_inference_pb2.ModelInferRequest.InferInputTensor(name="text")
ANOTHER_OUTPUT = open_inference_pb2.ModelInferRequest.InferRequestedOutputTensor(name="vector")
NUMBERS = asked(["A"])
NUMBERS.inputs[0].datatype = "INT64"
CUT = asked([], shape=[1], raw_input_contents=[raw(["A"])[:-1]])


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (open_inference_pb2.ModelInferRequest(model_name="extraction"), "inputs"),
        (asked(["A"], inputs=[TWO]), "inputs"),
        (asked(["A"], outputs=[ANOTHER_OUTPUT]), "outputs"),
        (NUMBERS, "inputs[0].datatype"),
        (asked(["A"], shape=[2]), "inputs[0].shape"),
        (asked(["A"], raw_input_contents=[raw(["A"])]), "raw_input_contents"),
        (CUT, "raw_input_contents"),
        (asked([b"\xff"]), "inputs[0].contents.bytes_contents"),
        (asked([b"\xff"], as_raw=True), "raw_input_contents"),
        (asked(["A"] * 4), "documents"),
    ],
)
async def test_what_cannot_be_used_is_named(
    request_: open_inference_pb2.ModelInferRequest, field: str, model_folder: Path, tmp_path: Path
) -> None:
    async with stub(model_folder, tmp_path) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.ModelInfer(request_, timeout=20)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    violations: error_details_pb2.BadRequest = details(caught.value)["BadRequest"]
    assert [violation.field for violation in violations.field_violations] == [field]


async def test_another_model_is_not_found(model_folder: Path, tmp_path: Path) -> None:
    async with stub(model_folder, tmp_path) as service:
        unnamed, unknown = asked(["A"]), asked(["A"], model_version="another")
        unnamed.model_name = ""
        for request in (unnamed, unknown):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await service.ModelInfer(request, timeout=20)

            assert details(caught.value)["ErrorInfo"].reason == "MODEL_NOT_FOUND"


@given(st.lists(st.binary(max_size=20)))
def test_what_is_packed_comes_back(items: list[bytes]) -> None:
    assert _unpacked(_packed(items)) == items


@given(st.binary(max_size=40))
def test_any_bytes_are_texts_or_refused(content: bytes) -> None:
    try:
        items = _unpacked(content)
    except InvalidInput:
        return
    assert _packed(items) == content


# Its own messages have the names of ours: one process cannot have both.
TRITON = """
import sys
import numpy
import tritonclient.grpc as triton

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("extraction")
texts = [text.encode() for text in sys.argv[2:]]
given = triton.InferInput("text", [len(texts)], "BYTES")
given.set_data_from_numpy(numpy.array(texts, dtype=numpy.object_))
answer = client.infer("extraction", [given], outputs=[triton.InferRequestedOutput("result")])
sys.stdout.buffer.write(b"\\n".join(answer.as_numpy("result")))
"""


@pytest.mark.skipif(
    importlib.util.find_spec("tritonclient") is None, reason="tritonclient[grpc] is not installed"
)
async def test_a_client_of_somebody_else_understands_it(model_folder: Path, tmp_path: Path) -> None:
    async with letters(model_folder, tmp_path) as address:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", TRITON, address, *TEXTS),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()

    assert process.returncode == 0, err.decode()
    check(out.splitlines())
