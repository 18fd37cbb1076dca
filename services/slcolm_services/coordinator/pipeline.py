"""Predict: the calls that extract and merge, before and after LLMs are asked (`asking.py`).

Runs send whole data sets through here in batches, online prediction sends single texts; both take
the same path. What passes through are wire messages: the coordinator carries them from service to
service and looks into them only as far as it must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.outcomes import has_answer
from slcolm_services.coordinator.peers import Peers
from slcolm_services.errors import ModelNotFound, RemoteError

ItemT = TypeVar("ItemT")
OnDone = Callable[[int], None]
"""Called with the number of items that were finished since the last call."""

_MOST_LOADS = 12
"""Replicas of the extraction service that a model is surely loaded in."""


def batches(items: Sequence[ItemT], size: int) -> Iterator[Sequence[ItemT]]:
    """Split `items` into consecutive batches of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def load_model(peers: Peers, revision: str) -> None:
    """Make the extraction service load a revision. Idempotent."""
    peers.invoke(
        "extraction",
        peers.extraction.LoadModel,
        extraction_pb2.LoadModelRequest(revision=revision),
    )


def extract(
    peers: Peers,
    documents: Sequence[common_pb2.Document],
    *,
    revision: str,
    batch_documents: int,
    on_done: OnDone,
) -> list[extraction_pb2.ExtractResult]:
    """Run the SLM over texts, with sentence vectors; results in the order of `documents`.

    Loads the revision where the service does not hold it, as after a restart or in a new replica.
    """
    results: list[extraction_pb2.ExtractResult] = []
    for batch in batches(documents, batch_documents):
        request = extraction_pb2.ExtractRequest(
            documents=[common_pb2.Document(id=doc.id, text=doc.text) for doc in batch],
            model_revision=revision,
            include_vectors=True,
        )
        results.extend(_extract(peers, request).results)
        on_done(len(batch))
    return results


def _extract(
    peers: Peers, request: extraction_pb2.ExtractRequest
) -> extraction_pb2.ExtractResponse:
    for loads in range(1, _MOST_LOADS + 1):
        try:
            return _ask(peers, request)
        except RemoteError as error:
            if error.reason != ModelNotFound.reason:
                raise
        # Replicas take turns, and each holds models of its own: the replica that loads is not the
        # one that is asked next. One load more each time reaches all of them in the end.
        for _ in range(loads):
            load_model(peers, request.model_revision)
    return _ask(peers, request)


def _ask(peers: Peers, request: extraction_pb2.ExtractRequest) -> extraction_pb2.ExtractResponse:
    response: extraction_pb2.ExtractResponse = peers.invoke(
        "extraction", peers.extraction.Extract, request
    )
    return response


def merge_item(
    prediction: common_pb2.Document, answers: Mapping[str, guidance_pb2.GuideResult]
) -> evaluation_pb2.MergeItem:
    """What the evaluation service merges for one text. No usable answer: the SLM stands alone.

    Args:
        prediction: The SLM's prediction.
        answers: An answer or an error of every source that was asked.
    """
    usable = {source: answer for source, answer in answers.items() if has_answer(answer)}
    if len(answers) == 1:
        for answer in usable.values():
            return evaluation_pb2.MergeItem(
                prediction=prediction, llm_triples=answer.guided.triples, has_llm_answer=True
            )
    return evaluation_pb2.MergeItem(
        prediction=prediction,
        answers=[
            evaluation_pb2.LlmAnswer(source=source, triples=answer.guided.triples)
            for source, answer in usable.items()
        ],
    )


def is_answered(item: evaluation_pb2.MergeItem) -> bool:
    """Whether there is any LLM answer to merge."""
    return item.has_llm_answer or bool(item.answers)


def merge(
    peers: Peers,
    items: Sequence[evaluation_pb2.MergeItem],
    schema: common_pb2.TaskSchema,
    policy: evaluation_pb2.Policy,
    *,
    batch_documents: int,
    on_done: OnDone,
) -> list[evaluation_pb2.MergeResult]:
    """Merge SLM and LLM triples; results in the order given."""
    results: list[evaluation_pb2.MergeResult] = []
    for batch in batches(items, batch_documents):
        response = peers.invoke(
            "evaluation",
            peers.evaluation.Merge,
            evaluation_pb2.MergeRequest(items=batch, schema=schema, policy=policy),
        )
        results.extend(response.results)
        on_done(len(batch))
    return results
