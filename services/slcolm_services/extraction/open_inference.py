"""Extraction by the Open Inference Protocol, for clients that speak it and not our contract.

One model, `extraction`; its versions are the model revisions, no version is the default one. The
input `text` is a tensor of N texts (BYTES, UTF-8), the output `result` one of N JSON objects, each
an `ExtractResult` of our contract. Everything else is as `ExtractionService.Extract` does it.
"""

# ruff: noqa: N802  the methods are named by the contract

from __future__ import annotations

import struct
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, TypeAlias

import grpc
from google.protobuf.json_format import MessageToJson

from slcolm.common.v1 import common_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.inference.v2 import open_inference_pb2, open_inference_pb2_grpc
from slcolm_services.errors import FieldViolation, InvalidInput, ModelNotFound
from slcolm_services.extraction.registry import Registry
from slcolm_services.extraction.servicer import ExtractionServicer

SERVICE = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
MODEL = "extraction"
INPUT, OUTPUT = "text", "result"

_DATATYPE = "BYTES"
_LENGTH = struct.Struct("<I")

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Tensor = open_inference_pb2.ModelMetadataResponse.TensorMetadata


class OpenInferenceServicer(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves `inference.GRPCInferenceService` by the servicer of our own contract."""

    def __init__(self, extraction: ExtractionServicer, registry: Registry) -> None:
        self._extraction = extraction
        self._registry = registry

    async def ServerLive(
        self, request: open_inference_pb2.ServerLiveRequest, context: _Context
    ) -> open_inference_pb2.ServerLiveResponse:
        """Tell that the process answers."""
        del request, context
        return open_inference_pb2.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: open_inference_pb2.ServerReadyRequest, context: _Context
    ) -> open_inference_pb2.ServerReadyResponse:
        """Tell whether there is a default model."""
        del request, context
        return open_inference_pb2.ServerReadyResponse(ready=self._is_loaded(""))

    async def ModelReady(
        self, request: open_inference_pb2.ModelReadyRequest, context: _Context
    ) -> open_inference_pb2.ModelReadyResponse:
        """Tell whether a revision is loaded."""
        del context
        ready = request.name == MODEL and self._is_loaded(request.version)
        return open_inference_pb2.ModelReadyResponse(ready=ready)

    async def ServerMetadata(
        self, request: open_inference_pb2.ServerMetadataRequest, context: _Context
    ) -> open_inference_pb2.ServerMetadataResponse:
        """Name the server and its version."""
        del request, context
        return open_inference_pb2.ServerMetadataResponse(name="slcolm", version=version("slcolm"))

    async def ModelMetadata(
        self, request: open_inference_pb2.ModelMetadataRequest, context: _Context
    ) -> open_inference_pb2.ModelMetadataResponse:
        """Describe input and output of a loaded revision."""
        del context
        _check_name(request.name)
        return open_inference_pb2.ModelMetadataResponse(
            name=MODEL,
            versions=[self._registry.get(request.version).revision],
            platform="onnxruntime_onnx",
            inputs=[_Tensor(name=INPUT, datatype=_DATATYPE, shape=[-1])],
            outputs=[_Tensor(name=OUTPUT, datatype=_DATATYPE, shape=[-1])],
        )

    async def ModelInfer(
        self, request: open_inference_pb2.ModelInferRequest, context: _Context
    ) -> open_inference_pb2.ModelInferResponse:
        """Extract from every text of the input; one bad text fails alone, in its result."""
        _check_name(request.model_name)
        documents = [
            common_pb2.Document(id=str(index), text=text)
            for index, text in enumerate(_texts(request))
        ]
        answer = await self._extraction.Extract(
            extraction_pb2.ExtractRequest(
                documents=documents, model_revision=request.model_version
            ),
            context,
        )
        results = [_json(result) for result in answer.results]
        output = open_inference_pb2.ModelInferResponse.InferOutputTensor(
            name=OUTPUT, datatype=_DATATYPE, shape=_input(request).shape
        )
        response = open_inference_pb2.ModelInferResponse(
            model_name=MODEL, model_version=answer.model_revision, id=request.id, outputs=[output]
        )
        # The caller is answered in the form in which it asked.
        if request.raw_input_contents:
            response.raw_output_contents.append(_packed(results))
        else:
            response.outputs[0].contents.bytes_contents.extend(results)
        return response

    def _is_loaded(self, revision: str) -> bool:
        try:
            self._registry.get(revision)
        except ModelNotFound:
            return False
        return True


def cost_of(request: open_inference_pb2.ModelInferRequest) -> int:
    """Bytes of the texts: no fewer than their characters, and known before they are decoded."""
    given = sum(len(text) for tensor in request.inputs for text in tensor.contents.bytes_contents)
    return given + sum(map(len, request.raw_input_contents))


def _check_name(name: str) -> None:
    if name != MODEL:
        raise ModelNotFound(f"there is no model {name!r} here, only {MODEL!r}")


def _input(
    request: open_inference_pb2.ModelInferRequest,
) -> open_inference_pb2.ModelInferRequest.InferInputTensor:
    """The one input.

    Raises:
        InvalidInput: It is not there, there are others, or the output asked for is none of ours.
    """
    if [tensor.name for tensor in request.inputs] != [INPUT]:
        raise _invalid("inputs", f"must be one tensor named {INPUT!r}")
    if any(output.name != OUTPUT for output in request.outputs):
        raise _invalid("outputs", f"must be none, or {OUTPUT!r}")
    (tensor,) = request.inputs
    if tensor.datatype != _DATATYPE:
        raise _invalid("inputs[0].datatype", f"must be {_DATATYPE}")
    return tensor


def _texts(request: open_inference_pb2.ModelInferRequest) -> list[str]:
    tensor = _input(request)
    if request.raw_input_contents:
        field = "raw_input_contents"
        if len(request.raw_input_contents) > 1 or tensor.contents.bytes_contents:
            raise _invalid(field, "must hold the one input, which has no contents then")
        contents = _unpacked(request.raw_input_contents[0])
    else:
        field, contents = "inputs[0].contents.bytes_contents", list(tensor.contents.bytes_contents)
    # [N] and [N, 1] are what clients make of a list of texts.
    if list(tensor.shape) not in ([len(contents)], [len(contents), 1]):
        shown = list(tensor.shape[:4])
        raise _invalid("inputs[0].shape", f"must be [{len(contents)}] for the contents, is {shown}")
    texts = []
    for index, content in enumerate(contents):
        try:
            texts.append(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            problem = f"text {index} is not UTF-8 at byte offset {error.start}"
            raise _invalid(field, problem) from error
    return texts


def _json(result: extraction_pb2.ExtractResult) -> bytes:
    return MessageToJson(
        result,
        indent=None,
        ensure_ascii=False,
        preserving_proto_field_name=True,
        # Without this a `head` of 0 would be left out.
        always_print_fields_with_no_presence=True,
    ).encode()


def _packed(items: Iterable[bytes]) -> bytes:
    """A BYTES tensor in its raw form: each element after its length."""
    return b"".join(_LENGTH.pack(len(item)) + item for item in items)


def _unpacked(raw: bytes) -> list[bytes]:
    items, at = [], 0
    while at < len(raw):
        start = at + _LENGTH.size
        length = _LENGTH.unpack_from(raw, at)[0] if start <= len(raw) else len(raw)
        at = start + length
        if at > len(raw):
            raise _invalid("raw_input_contents", "ends in the middle of a text")
        items.append(raw[start:at])
    return items


def _invalid(field: str, problem: str) -> InvalidInput:
    return InvalidInput(
        "the inference request cannot be used", violations=[FieldViolation(field, problem)]
    )
