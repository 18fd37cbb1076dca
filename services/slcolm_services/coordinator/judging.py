"""Stages that judge and tell: evaluate, report."""

from __future__ import annotations

import json

from slcolm.common.v1 import common_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator.context import GUIDED_SPLITS, StageContext, Tools
from slcolm_services.coordinator.page import GoldTriple, render_page
from slcolm_services.coordinator.records import StageResult
from slcolm_services.coordinator.report import build_report, merged_lines, report_bytes

_BOOTSTRAP_SAMPLES = 1000


def evaluate(tools: Tools, context: StageContext) -> StageResult:
    """Score SLM, LLM and merged triples on test, and merged against SLM."""
    gold = tools.datasets.load(context.spec.test_dataset)
    counts = tools.datasets.training_counts(context.spec.train_dataset)
    systems = {
        "slm": [_as_system(item.prediction) for item in tools.merge_items(context, "test")],
        "llm": _merged_systems(tools, context, "llm.binpb"),
        "merged": _merged_systems(tools, context, "merged.binpb"),
    }
    artifacts = {}
    for done, (name, predictions) in enumerate(systems.items()):
        context.progress(done, len(systems) + 1, name)
        response = tools.peers.invoke(
            "evaluation",
            tools.peers.evaluation.Score,
            evaluation_pb2.ScoreRequest(
                gold=gold,
                predictions=predictions,
                schema=context.spec.schema,
                training_counts=counts,
                bootstrap_samples=_BOOTSTRAP_SAMPLES,
            ),
        )
        artifacts[f"scores-{name}.binpb"] = tools.records.put_file(
            response.scores.SerializeToString(deterministic=True)
        )
    context.progress(len(systems), len(systems) + 1, "comparison")
    comparison = tools.peers.invoke(
        "evaluation",
        tools.peers.evaluation.Compare,
        evaluation_pb2.CompareRequest(
            gold=gold,
            baseline=systems["slm"],
            candidate=systems["merged"],
            schema=context.spec.schema,
            training_counts=counts,
            bootstrap_samples=_BOOTSTRAP_SAMPLES,
        ),
    )
    artifacts["comparison.binpb"] = tools.records.put_file(
        comparison.SerializeToString(deterministic=True)
    )
    difference = comparison.micro_f1.value, comparison.macro_f1_pr.value
    return StageResult(
        message="merged against SLM: micro F1 {:+.1%}, macro F1 {:+.1%}".format(*difference),
        done=len(gold),
        artifacts=artifacts,
    )


def report(tools: Tools, context: StageContext) -> StageResult:
    """Write what people and programs read."""

    def read(name: str) -> bytes:
        return tools.records.get_file(context.artifacts[name])

    scores = {
        name: evaluation_pb2.Scores.FromString(read(f"scores-{name}.binpb"))
        for name in ("slm", "llm", "merged")
    }
    answers = {
        split: guidance_pb2.GuideResponse.FromString(read(f"answers-{split}.binpb")).results
        for split in GUIDED_SPLITS
    }
    fit = evaluation_pb2.FitPolicyResponse.FromString(read("fit.binpb"))
    merged = evaluation_pb2.MergeResponse.FromString(read("merged.binpb")).results
    report = build_report(
        run_id=context.run_id,
        spec=context.spec,
        values=context.values,
        scores=scores,
        comparison=evaluation_pb2.CompareResponse.FromString(read("comparison.binpb")),
        fit=fit,
        answers=answers,
    )
    documents = tools.datasets.load(context.spec.test_dataset)
    lines = merged_lines(
        documents,
        tools.predictions(context, "test"),
        merged,
        {answer.id: answer for answer in answers["test"]},
    )
    page = render_page(
        report,
        [json.loads(line) for line in lines.splitlines()],
        {document.id: _gold_triples(document) for document in documents},
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


def _gold_triples(document: common_pb2.Document) -> list[GoldTriple]:
    texts = [entity.text for entity in document.entities]
    return [(texts[item.head], texts[item.tail], item.type) for item in document.relations]


def _merged_systems(
    tools: Tools, context: StageContext, name: str
) -> list[evaluation_pb2.ScoredSystem]:
    data = tools.records.get_file(context.artifacts[name])
    return [
        evaluation_pb2.ScoredSystem(
            id=result.id, triples=[item.triple for item in result.merged.triples]
        )
        for result in evaluation_pb2.MergeResponse.FromString(data).results
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
                probability=relation.probability,
            )
            for relation in document.relations
        ],
    )
