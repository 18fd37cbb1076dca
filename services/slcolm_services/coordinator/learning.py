"""Stages that make the SLM and what rests on it: train, predict, index."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from slcolm.extraction.v1 import extraction_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm.training.v1 import training_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.context import SPLITS, StageContext, Tools
from slcolm_services.coordinator.keys import stage_key
from slcolm_services.coordinator.records import StageResult
from slcolm_services.errors import Overloaded, RemoteError, ServiceUnavailable

_AGAIN_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0


def train(tools: Tools, context: StageContext) -> StageResult:
    """Train a small model; the stage ends when the extraction service has loaded it."""
    spec = context.spec
    request = training_pb2.TrainRequest(
        train_dataset=spec.train_dataset,
        dev_dataset=spec.dev_dataset,
        schema=spec.schema,
        options=spec.training,
    )
    model = None
    # To its end: a stream that is left early is a cancelled call to whoever counts.
    for update in _training(tools, context, request):
        if update.WhichOneof("update") == "model":
            model = update.model
        else:
            progress = update.progress
            context.progress(progress.step, progress.steps, _training_line(progress))
    if model is None:
        raise RemoteError(
            "training: the stream ended without a model", code="INTERNAL", reason="INTERNAL"
        )
    pipeline.load_model(tools.peers, model.revision)
    scores = ", ".join(f"{name} {value:.3f}" for name, value in _main(model.dev_scores))
    return StageResult(
        message=f"model {model.revision[:12]}; dev: {scores}",
        done=1,
        values={"model_revision": model.revision},
    )


def _training(
    tools: Tools, context: StageContext, request: training_pb2.TrainRequest
) -> Iterator[training_pb2.TrainResponse]:
    """What the training service tells, asked again where it goes away and returns.

    It goes on from its last checkpoint. What it has told of its progress it may tell once more.
    While it trains for somebody else it is waited for as long as that takes.
    """
    last_heard = time.monotonic()
    while True:
        try:
            for update in tools.peers.train(request):
                last_heard = time.monotonic()
                yield update
        except ServiceUnavailable:
            if time.monotonic() - last_heard > _PATIENCE_SECONDS:
                raise
        except RemoteError as error:
            if error.reason != Overloaded.reason:
                raise
            last_heard = time.monotonic()
        else:
            return
        context.progress(0, 0, "waiting for the training service")
        time.sleep(_AGAIN_SECONDS)


def predict(tools: Tools, context: StageContext) -> StageResult:
    """Run the SLM over train, dev and test, with sentence vectors."""
    documents = {
        split: tools.datasets.load(getattr(context.spec, f"{split}_dataset")) for split in SPLITS
    }
    total = sum(len(part) for part in documents.values())
    done = 0
    artifacts, failed = {}, 0
    for split, part in documents.items():

        def count(finished: int, split: str = split) -> None:
            nonlocal done
            done += finished
            context.progress(done, total, split)

        results = pipeline.extract(
            tools.peers,
            part,
            revision=context.values["model_revision"],
            batch_documents=tools.config.batch_documents,
            on_done=count,
        )
        failed += sum(result.WhichOneof("outcome") == "error" for result in results)
        response = extraction_pb2.ExtractResponse(results=results)
        artifacts[f"predictions-{split}.binpb"] = tools.records.put_file(
            response.SerializeToString(deterministic=True)
        )
    message = f"{total} texts" + (f", {failed} could not be read" if failed else "")
    return StageResult(message=message, done=total, artifacts=artifacts)


def index(tools: Tools, context: StageContext) -> StageResult:
    """Index dev sentences as demonstrations, training sentences for candidate types."""
    revision = (
        "i-"
        + stage_key(
            "index",
            train=context.spec.train_dataset,
            dev=context.spec.dev_dataset,
            schema=context.spec.schema,
            model=context.values["model_revision"],
        )[:40]
    )
    values = {"index_revision": revision}
    existing = _finished_index(tools, revision)
    if existing is not None:
        return StageResult(
            message=_index_line(existing), values=values, reusable=False, reused=True
        )
    sentences = [
        sentence
        for split, role in (
            ("dev", retrieval_pb2.SENTENCE_ROLE_DEMONSTRATION),
            ("train", retrieval_pb2.SENTENCE_ROLE_TRAINING),
        )
        for sentence in _sentences(tools, context, split, role)
    ]
    done = 0
    for batch in pipeline.batches(sentences, tools.config.batch_documents):
        _add_to_index(tools, context, revision, batch, finish=False)
        done += len(batch)
        context.progress(done, len(sentences), "sentences indexed")
    made = _add_to_index(tools, context, revision, (), finish=True)
    return StageResult(
        message=_index_line(made), done=len(sentences), values=values, reusable=False
    )


def _finished_index(tools: Tools, revision: str) -> retrieval_pb2.Index | None:
    try:
        index = tools.peers.invoke(
            "retrieval",
            tools.peers.retrieval.GetIndex,
            retrieval_pb2.GetIndexRequest(index_revision=revision),
        ).index
    except RemoteError as error:
        if error.code == "NOT_FOUND":
            return None
        raise
    return index if index.finished else None


def _sentences(
    tools: Tools, context: StageContext, split: str, role: retrieval_pb2.SentenceRole
) -> list[retrieval_pb2.IndexedSentence]:
    gold = tools.datasets.load(getattr(context.spec, f"{split}_dataset"))
    return [
        retrieval_pb2.IndexedSentence(
            gold=document,
            prediction=result.extraction.document,
            vector=result.extraction.vector,
            role=role,
        )
        for document, result in zip(gold, tools.predictions(context, split), strict=True)
        if result.WhichOneof("outcome") == "extraction"
    ]


def _add_to_index(
    tools: Tools,
    context: StageContext,
    revision: str,
    sentences: Sequence[retrieval_pb2.IndexedSentence],
    *,
    finish: bool,
) -> retrieval_pb2.Index:
    request = retrieval_pb2.IndexDemonstrationsRequest(
        index_revision=revision,
        schema=context.spec.schema,
        model_revision=context.values["model_revision"],
        sentences=sentences,
        finish=finish,
    )
    response: retrieval_pb2.IndexDemonstrationsResponse = tools.peers.invoke(
        "retrieval", tools.peers.retrieval.IndexDemonstrations, request
    )
    return response.index


def _main(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    """The F1 figures of a model, for a line of text."""
    return [(name, value) for name, value in sorted(scores.items()) if name.endswith("f1")]


def _training_line(progress: training_pb2.TrainProgress) -> str:
    if progress.phase != "train":
        return progress.phase
    return (
        f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}, "
        f"dev F1 {progress.dev_f1:.3f} (best {progress.best_dev_f1:.3f}), "
        f"{progress.eta_seconds:.0f} s left"
    )


def _index_line(index: retrieval_pb2.Index) -> str:
    return (
        f"{index.demonstration_count} demonstrations, {index.training_count} training sentences, "
        f"{index.trigger_count} trigger words"
    )
