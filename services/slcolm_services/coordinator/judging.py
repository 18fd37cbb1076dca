"""Stages that judge and tell: evaluate, report."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.context import GUIDED_SPLITS, SPLITS, StageContext, Tools
from slcolm_services.coordinator.guiding import USAGE
from slcolm_services.coordinator.lines import merged_lines
from slcolm_services.coordinator.page import render_page
from slcolm_services.coordinator.records import StageResult
from slcolm_services.coordinator.report import SYSTEMS, Judgement, build_report, report_bytes
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.leakage import find_leakage, leakage_json
from slcolm_services.errors import ArtifactNotFound
from slcolm_services.runtime.wire import document_from_wire

MessageT = TypeVar("MessageT", bound=Message)
Systems = Sequence[evaluation_pb2.ScoredSystem]

_BOOTSTRAP_SAMPLES = 1000
_BASELINES = ("slm", "llm")
_WITH_OFFSETS = ("slm", "merged")


def evaluate(tools: Tools, context: StageContext) -> StageResult:
    """Score SLM, LLM and merged triples on test, compare them, and look for leakage."""
    gold = tools.datasets.load(context.spec.test_dataset)
    items = tools.merge_items(context, "test")
    judge = _Judge(tools, context, gold)
    systems = {
        "slm": [_as_system(item.prediction) for item in items],
        "llm": _merged_systems(_read(tools, context, "llm", evaluation_pb2.MergeResponse).results),
        "merged": _merged_systems(
            _read(tools, context, "merged", evaluation_pb2.MergeResponse).results
        ),
    }
    leakage = _leakage(tools, context)
    clean = _clean_ids(leakage, [document.id for document in gold])
    artifacts = {
        "leakage.json": tools.records.put_file(json.dumps(leakage, ensure_ascii=False).encode())
    }
    total = 2 * len(SYSTEMS) + len(_WITH_OFFSETS) + len(_BASELINES) + 1

    def keep(name: str, message: Message) -> None:
        data = message.SerializeToString(deterministic=True)
        artifacts[f"{name}.binpb"] = tools.records.put_file(data)
        context.progress(len(artifacts) - 1, total, name)

    comparisons = {name: judge.compare(systems[name], systems["merged"]) for name in _BASELINES}
    # A comparison brings the scores of both systems.
    strict = {name: comparison.baseline for name, comparison in comparisons.items()}
    strict["merged"] = comparisons["slm"].candidate
    for name, system in systems.items():
        keep(f"scores-{name}", strict[name])
        if len(clean) < len(gold):
            keep(f"clean-{name}", judge.score(system, only=clean, samples=_BOOTSTRAP_SAMPLES))
    for name in _WITH_OFFSETS:
        keep(f"spans-{name}", judge.score(systems[name], protocol="span"))
    keep("scores-calibrated", judge.score(_calibrated(tools, context, items)))
    for name, comparison in comparisons.items():
        keep(f"comparison-{name}", comparison)
    against_slm = comparisons["slm"]
    return StageResult(
        message=(
            f"merged against SLM: micro F1 {against_slm.micro_f1.value:+.1%},"
            f" macro F1 {against_slm.macro_f1_pr.value:+.1%}"
        ),
        done=len(gold),
        artifacts=artifacts,
    )


def report(tools: Tools, context: StageContext) -> StageResult:
    """Write what people and programs read."""
    answers = {split: tools.answers(context, split) for split in GUIDED_SPLITS}
    merged = _read(tools, context, "merged", evaluation_pb2.MergeResponse).results
    report = build_report(
        run_id=context.run_id,
        spec=context.spec,
        values=context.values,
        training_counts=tools.datasets.training_counts(context.spec.train_dataset),
        judgement=_judgement(tools, context),
        fit=_read(tools, context, "fit", evaluation_pb2.FitPolicyResponse),
        answers=answers,
        usage=guidance_pb2.GetUsageResponse.FromString(_file(tools, context, USAGE)).usage,
    )
    documents = tools.datasets.load(context.spec.test_dataset)
    lines = merged_lines(
        documents,
        tools.predictions(context, "test"),
        merged,
        answers["test"],
    )
    page = render_page(
        report,
        [json.loads(line) for line in lines.splitlines()],
        [document_from_wire(document) for document in documents],
        symmetric=[kind.name for kind in context.spec.schema.relation_types if kind.symmetric],
        seconds=context.seconds,
    )
    files = {
        "report.json": report_bytes(report),
        "merged.jsonl": lines,
        "report.html": page.encode(),
    }
    return StageResult(
        message=", ".join(files),
        done=len(files),
        artifacts={name: tools.records.put_file(data) for name, data in files.items()},
    )


class _Judge:
    """Scores systems on the test set of a run, by what is the same for all of them."""

    def __init__(
        self, tools: Tools, context: StageContext, gold: Sequence[common_pb2.Document]
    ) -> None:
        self._peers = tools.peers
        self._schema = context.spec.schema
        self._gold = gold
        self._training_counts = tools.datasets.training_counts(context.spec.train_dataset)

    def score(
        self,
        system: Systems,
        *,
        only: Collection[str] | None = None,
        protocol: str = "strict",
        samples: int = 0,
    ) -> evaluation_pb2.Scores:
        """Scores of a system; on the sentences `only`, where ids are given."""
        response: evaluation_pb2.ScoreResponse = self._peers.invoke(
            "evaluation",
            self._peers.evaluation.Score,
            evaluation_pb2.ScoreRequest(
                gold=[item for item in self._gold if only is None or item.id in only],
                predictions=[item for item in system if only is None or item.id in only],
                schema=self._schema,
                training_counts=self._training_counts,
                protocol=protocol,
                bootstrap_samples=samples,
            ),
        )
        scores: evaluation_pb2.Scores = response.scores
        return scores

    def compare(self, baseline: Systems, candidate: Systems) -> evaluation_pb2.CompareResponse:
        """Candidate minus baseline."""
        response: evaluation_pb2.CompareResponse = self._peers.invoke(
            "evaluation",
            self._peers.evaluation.Compare,
            evaluation_pb2.CompareRequest(
                gold=self._gold,
                baseline=baseline,
                candidate=candidate,
                schema=self._schema,
                training_counts=self._training_counts,
                bootstrap_samples=_BOOTSTRAP_SAMPLES,
            ),
        )
        return response


def _calibrated(
    tools: Tools, context: StageContext, items: Sequence[evaluation_pb2.MergeItem]
) -> list[evaluation_pb2.ScoredSystem]:
    """The SLM's triples with the probabilities that the policy gives them.

    A sentence without any LLM answer keeps what the SLM predicted, so a merge without answers
    changes the probabilities alone.
    """
    results = pipeline.merge(
        tools.peers,
        [evaluation_pb2.MergeItem(prediction=item.prediction) for item in items],
        context.spec.schema,
        tools.policy(context.artifacts),
        batch_documents=tools.config.batch_documents,
        on_done=lambda _: None,
    )
    return _merged_systems(results)


def _leakage(tools: Tools, context: StageContext) -> list[dict[str, Any]]:
    digests = {
        "train": context.spec.train_dataset,
        "dev": context.spec.dev_dataset,
        "test": context.spec.test_dataset,
    }
    splits: dict[str, list[Document]] = {
        split: [document_from_wire(document) for document in tools.datasets.load(digests[split])]
        for split in SPLITS
    }
    return leakage_json(find_leakage(splits))


def _clean_ids(leakage: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> frozenset[str]:
    """Test sentences that share nothing with train or dev; all of them where none would be left."""
    leaked = {
        name
        for pair in leakage
        if pair["split"] == "test"
        for kind in ("same", "sharing")
        for name in pair[kind]["ids"]
    }
    return frozenset(ids) - leaked or frozenset(ids)


def _judgement(tools: Tools, context: StageContext) -> Judgement:
    """What the evaluate stage has left."""

    def scores(name: str) -> evaluation_pb2.Scores:
        return _read(tools, context, name, evaluation_pb2.Scores)

    leakage = json.loads(_file(tools, context, "leakage.json"))
    documents = tools.datasets.load(context.spec.test_dataset)
    return Judgement(
        strict={name: scores(f"scores-{name}") for name in SYSTEMS},
        calibrated=scores("scores-calibrated"),
        spans={name: scores(f"spans-{name}") for name in _WITH_OFFSETS},
        comparisons={
            name: _read(tools, context, f"comparison-{name}", evaluation_pb2.CompareResponse)
            for name in _BASELINES
        },
        leakage=leakage,
        clean={
            name: scores(f"clean-{name}")
            for name in SYSTEMS
            if f"clean-{name}.binpb" in context.artifacts
        },
        clean_sentences=len(_clean_ids(leakage, [document.id for document in documents])),
    )


def _read(tools: Tools, context: StageContext, name: str, kind: type[MessageT]) -> MessageT:
    return kind.FromString(_file(tools, context, f"{name}.binpb"))


def _file(tools: Tools, context: StageContext, name: str) -> bytes:
    if name not in context.artifacts:
        raise ArtifactNotFound(
            f"another version of the program left no {name!r}; resume the run to make it",
            metadata={"run_id": context.run_id, "name": name},
        )
    return tools.records.get_file(context.artifacts[name])


def _merged_systems(
    results: Sequence[evaluation_pb2.MergeResult],
) -> list[evaluation_pb2.ScoredSystem]:
    return [
        evaluation_pb2.ScoredSystem(
            id=result.id,
            triples=[item.triple for item in result.merged.triples],
            document=result.merged.document,
        )
        for result in results
        if result.WhichOneof("outcome") == "merged"
    ]


def _as_system(document: common_pb2.Document) -> evaluation_pb2.ScoredSystem:
    texts = [entity.text for entity in document.entities]
    return evaluation_pb2.ScoredSystem(
        id=document.id,
        triples=[
            common_pb2.Triple(
                head=texts[relation.head],
                tail=texts[relation.tail],
                type=relation.type,
                probability=relation.probability if relation.HasField("probability") else None,
            )
            for relation in document.relations
        ],
        document=document,
    )
