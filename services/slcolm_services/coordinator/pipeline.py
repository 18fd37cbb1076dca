"""Guide and predict: the calls that take texts from the SLM to merged triples.

Runs send whole data sets through here in batches, online prediction sends single texts; both take
the same path. What passes through are wire messages: the coordinator carries them from service to
service and looks into them only as far as it must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm_services.coordinator.peers import Peers
from slcolm_services.errors import ModelNotFound, RemoteError

ItemT = TypeVar("ItemT")
OnDone = Callable[[int], None]
"""Called with the number of items that were finished since the last call."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """What an LLM is asked with.

    Attributes:
        index_revision: Index that demonstrations and candidates come from.
        provider: Provider of the guidance service; empty means its default.
        demonstration_count: Demonstrations per prompt.
        run_id: Run that the spending is booked on.
    """

    index_revision: str
    provider: str
    demonstration_count: int
    run_id: str


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

    Loads the revision where the service does not hold it, as after a restart.
    """
    results: list[extraction_pb2.ExtractResult] = []
    for batch in batches(documents, batch_documents):
        request = extraction_pb2.ExtractRequest(
            documents=[common_pb2.Document(id=doc.id, text=doc.text) for doc in batch],
            model_revision=revision,
            include_vectors=True,
        )
        try:
            response = peers.invoke("extraction", peers.extraction.Extract, request)
        except RemoteError as error:
            if error.reason != ModelNotFound.reason:
                raise
            load_model(peers, revision)
            response = peers.invoke("extraction", peers.extraction.Extract, request)
        results.extend(response.results)
        on_done(len(batch))
    return results


def guide(
    peers: Peers,
    extractions: Sequence[extraction_pb2.Extraction],
    schema: common_pb2.TaskSchema,
    guidance: Guidance,
    *,
    batch_documents: int,
    calls_in_flight: int,
    on_done: OnDone,
) -> list[guidance_pb2.GuideResult]:
    """Select demonstrations and candidates and ask the LLM; results in the order given.

    A text whose selection failed gets that error as its result.
    """

    def one(batch: Sequence[extraction_pb2.Extraction]) -> list[guidance_pb2.GuideResult]:
        selected = _select(peers, batch, guidance)
        items, failed = [], {}
        for extraction, result in zip(batch, selected, strict=True):
            if result.WhichOneof("outcome") == "error":
                failed[result.id] = result.error
            else:
                items.append(
                    guidance_pb2.GuideItem(
                        prediction=extraction.document,
                        demonstrations=result.selection.demonstrations,
                        candidates=result.selection.candidates,
                    )
                )
        answered = {}
        if items:
            response = peers.invoke(
                "guidance",
                peers.guidance.Guide,
                guidance_pb2.GuideRequest(
                    items=items,
                    schema=schema,
                    provider=guidance.provider,
                    run_id=guidance.run_id,
                ),
            )
            answered = {result.id: result for result in response.results}
        on_done(len(batch))
        return [
            answered.get(item.document.id)
            or guidance_pb2.GuideResult(id=item.document.id, error=failed[item.document.id])
            for item in batch
        ]

    with ThreadPoolExecutor(calls_in_flight, thread_name_prefix="guide") as pool:
        parts = list(pool.map(one, list(batches(extractions, batch_documents))))
    return [result for part in parts for result in part]


def _select(
    peers: Peers, batch: Sequence[extraction_pb2.Extraction], guidance: Guidance
) -> list[retrieval_pb2.SelectResult]:
    response = peers.invoke(
        "retrieval",
        peers.retrieval.Select,
        retrieval_pb2.SelectRequest(
            index_revision=guidance.index_revision,
            queries=[
                retrieval_pb2.SelectQuery(document=item.document, vector=item.vector)
                for item in batch
            ],
            demonstration_count=guidance.demonstration_count,
        ),
    )
    return list(response.results)


def merge_item(
    prediction: common_pb2.Document, answer: guidance_pb2.GuideResult | None
) -> evaluation_pb2.MergeItem:
    """What the evaluation service merges for one text. No usable answer: the SLM stands alone."""
    if answer is None or not has_answer(answer):
        return evaluation_pb2.MergeItem(prediction=prediction, has_llm_answer=False)
    return evaluation_pb2.MergeItem(
        prediction=prediction, llm_triples=answer.guided.triples, has_llm_answer=True
    )


def has_answer(answer: guidance_pb2.GuideResult) -> bool:
    """Whether an LLM answer was got and could be read."""
    return answer.WhichOneof("outcome") == "guided" and answer.guided.usable


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
