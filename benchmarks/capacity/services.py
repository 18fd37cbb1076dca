"""What a sentence costs each service: processor time of the process that serves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from serving import Served, serve

import slcolm_services
from slcolm.common.v1 import common_pb2
from slcolm.guidance.v1 import guidance_pb2, guidance_pb2_grpc
from slcolm.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from slcolm_client import connect
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.runtime.wire import document_to_wire, schema_to_wire

_SAMPLE = Path(slcolm_services.__file__).parent / "samples" / "annals"
_DIMENSION = 256
_REVISION = "capacity"
_TEXTS_PER_CALL = 32
_CALLERS = 2
_DEMONSTRATIONS = 4
_TIMEOUT_SECONDS = 120.0


def retrieval_seconds(home: Path, queries: int) -> float:
    """Of a selection among the sentences of the sample, vectors given."""
    schema = schema_to_wire(read_schema(_SAMPLE / "task.yaml"))
    draw = np.random.default_rng(2)

    def vector() -> list[float]:
        drawn = draw.standard_normal(_DIMENSION)
        return list(map(float, drawn / np.linalg.norm(drawn)))

    dev = sample_documents("dev")
    with serve("retrieval", home) as served, connect(served.address) as channel:
        stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        for split, role in (
            ("train", retrieval_pb2.SENTENCE_ROLE_TRAINING),
            ("dev", retrieval_pb2.SENTENCE_ROLE_DEMONSTRATION),
        ):
            documents = sample_documents(split)
            for start in range(0, len(documents), _TEXTS_PER_CALL):
                stub.IndexDemonstrations(
                    retrieval_pb2.IndexDemonstrationsRequest(
                        index_revision=_REVISION,
                        schema=schema,
                        model_revision="none",
                        sentences=[
                            retrieval_pb2.IndexedSentence(
                                gold=document_to_wire(document), vector=vector(), role=role
                            )
                            for document in documents[start : start + _TEXTS_PER_CALL]
                        ],
                        finish=split == "dev" and start + _TEXTS_PER_CALL >= len(documents),
                    ),
                    timeout=_TIMEOUT_SECONDS,
                )
        requests = [
            retrieval_pb2.SelectRequest(
                index_revision=_REVISION,
                demonstration_count=_DEMONSTRATIONS,
                queries=[
                    retrieval_pb2.SelectQuery(document=_asked(document, number), vector=vector())
                    for number, document in batch
                ],
            )
            for batch in _batches(dev, queries)
        ]
        return _seconds_each(served, stub.Select, requests, queries)


def guidance_seconds(home: Path, url: str, prompts: int) -> tuple[float, float]:
    """Of a guided sentence, and the estimated tokens of its prompt; `url` is an endpoint's."""
    schema = read_schema(_SAMPLE / "task.yaml")
    types = [relation.name for relation in schema.relation_types]
    train = sample_documents("train")
    settings = {
        "PROVIDER": "openai",
        "MODEL": "local",
        "BASE_URL": url,
        "API_KEY_ENV": "",
        "MAX_CONCURRENCY": "32",
    }

    def item(number: int, document: Document) -> guidance_pb2.GuideItem:
        shown = [train[(number + step) % len(train)] for step in range(1, _DEMONSTRATIONS + 1)]
        asked = document_to_wire(document)
        asked.id, asked.text = str(number), f"{document.text} {number}"
        return guidance_pb2.GuideItem(
            prediction=asked,
            demonstrations=[
                common_pb2.Demonstration(
                    gold=document_to_wire(one), prediction=document_to_wire(one)
                )
                for one in shown
            ],
            candidates=[
                common_pb2.CandidateRelation(type=types[(number + step) % len(types)], score=1.0)
                for step in range(8)
            ],
        )

    with (
        serve(
            "guidance", home, **{f"SLCOLM_GUIDANCE_{key}": value for key, value in settings.items()}
        ) as served,
        connect(served.address) as channel,
    ):
        stub = guidance_pb2_grpc.GuidanceServiceStub(channel)
        requests = [
            guidance_pb2.GuideRequest(
                items=[item(*one) for one in batch], schema=schema_to_wire(schema)
            )
            for batch in _batches(train, prompts)
        ]
        rendered = stub.RenderPrompt(
            guidance_pb2.RenderPromptRequest(items=requests[0].items, schema=requests[0].schema),
            timeout=_TIMEOUT_SECONDS,
        )
        tokens = float(np.mean([prompt.prompt_tokens for prompt in rendered.prompts]))
        return _seconds_each(served, stub.Guide, requests, prompts), tokens


def _seconds_each(
    served: Served,
    method: grpc.UnaryUnaryMultiCallable[Any, Any],
    requests: Sequence[Any],
    count: int,
) -> float:
    def ask(request: Any) -> None:
        results = method(request, timeout=_TIMEOUT_SECONDS).results
        failed = [result.error.message for result in results if result.HasField("error")]
        assert not failed, failed[0]

    ask(requests[0])
    begin = served.cpu_seconds()
    with ThreadPoolExecutor(_CALLERS) as callers:
        list(callers.map(ask, requests[1:]))
    return (served.cpu_seconds() - begin) / (count - _TEXTS_PER_CALL)


def sample_documents(split: str) -> list[Document]:
    """A split of the sample."""
    return read_documents(_SAMPLE / f"{split}.jsonl", read_schema(_SAMPLE / "task.yaml"))


def _asked(document: Document, number: int) -> common_pb2.Document:
    wire = document_to_wire(document)
    wire.id, wire.text = f"query-{number}", f"{document.text} {number}"
    return wire


def _batches(documents: Sequence[Document], count: int) -> Iterator[list[tuple[int, Document]]]:
    numbered = enumerate(itertools.islice(itertools.cycle(documents), count))
    while batch := list(itertools.islice(numbered, _TEXTS_PER_CALL)):
        yield batch
