"""Scores between the wire types of `slcolm.evaluation.v1` and the types of the scoring room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slcolm.evaluation.v1 import evaluation_pb2
from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.runtime.wire import triple_from_wire
from slcolm_services.scoring.counts import Counts, MacroPrf, Prf
from slcolm_services.scoring.ner import NerScores
from slcolm_services.scoring.reliability import (
    Judged,
    Reliability,
    precision_recall,
    reliability,
)
from slcolm_services.scoring.span import SpanScores
from slcolm_services.scoring.strict import Difference, Scores, Sentence


def sentences_from_wire(
    systems: Sequence[evaluation_pb2.ScoredSystem], field: str
) -> list[Sentence]:
    """Read predicted triples; `field` is their path in the request, for errors."""
    return [
        Sentence(
            system.id,
            tuple(
                triple_from_wire(triple, f"{field}[{index}].triples[{place}]")
                for place, triple in enumerate(system.triples)
            ),
        )
        for index, system in enumerate(systems)
    ]


def training_counts_from_wire(counts: Mapping[str, int]) -> dict[str, int]:
    """Read training instances by relation type.

    Raises:
        InvalidInput: A count is negative.
    """
    violations = [
        FieldViolation(f"training_counts[{name!r}]", f"must not be negative, got {count}")
        for name, count in sorted(counts.items())
        if count < 0
    ]
    if violations:
        raise InvalidInput("training_counts must not be negative", violations=violations)
    return dict(counts)


def scores_to_wire(scores: Scores, judged: Judged | None = None) -> evaluation_pb2.Scores:
    """Write strict scores, with what probabilities are worth where predictions were judged."""
    calibrated, curve = (reliability(judged), precision_recall(judged)) if judged else (None, None)
    return evaluation_pb2.Scores(
        micro=_prf_to_wire(scores.micro),
        macro=_macro_to_wire(scores.macro),
        counts=_counts_to_wire(scores.counts),
        per_type=[
            _type_to_wire(item.type, item.counts, item.training_count) for item in scores.per_type
        ],
        by_frequency=[
            evaluation_pb2.BucketScore(
                bucket=item.bucket,
                counts=_counts_to_wire(item.counts),
                micro=_prf_to_wire(item.micro),
                macro=_macro_to_wire(item.macro),
                type_count=item.type_count,
            )
            for item in scores.by_frequency
        ],
        without_gold=scores.without_gold,
        off_schema=scores.off_schema,
        same_mention=scores.same_mention,
        reliability=_reliability_to_wire(calibrated) if calibrated else None,
        precision_recall=[
            evaluation_pb2.PrecisionRecallPoint(
                threshold=point.threshold, precision=point.precision, recall=point.recall
            )
            for point in (curve.points if curve else ())
        ],
        average_precision=curve.average_precision if curve else None,
    )


def span_scores_to_wire(
    scores: SpanScores, ner: NerScores, training_counts: Mapping[str, int]
) -> evaluation_pb2.Scores:
    """Write span scores: relations with entity types, and micro figures of every kind by name."""
    relations = scores.relations_strict
    return evaluation_pb2.Scores(
        micro=_prf_to_wire(relations.micro),
        macro=_macro_to_wire(relations.macro),
        counts=_counts_to_wire(relations.counts),
        per_type=[
            _type_to_wire(name, counts, training_counts.get(name, 0))
            for name, counts in relations.by_type.items()
        ],
        spans={
            "entities": _prf_to_wire(scores.entities.micro),
            "boundaries": _prf_to_wire(scores.boundaries.micro),
            "relations": _prf_to_wire(scores.relations.micro),
            "relations_strict": _prf_to_wire(scores.relations_strict.micro),
            **{
                f"ner_{scheme}": _prf_to_wire(counts.prf())
                for scheme, counts in ner.by_scheme().items()
            },
        },
    )


def difference_to_wire(difference: Difference) -> evaluation_pb2.Difference:
    """Write a difference with its interval."""
    return evaluation_pb2.Difference(
        value=difference.value, low=difference.interval.low, high=difference.interval.high
    )


def _reliability_to_wire(figures: Reliability) -> evaluation_pb2.Reliability:
    return evaluation_pb2.Reliability(
        count=figures.count,
        expected_calibration_error=figures.expected_calibration_error,
        brier_score=figures.brier_score,
        bins=[
            evaluation_pb2.ReliabilityBin(
                low=item.low,
                high=item.high,
                count=item.count,
                mean_probability=item.mean_probability,
                fraction_right=item.fraction_right,
            )
            for item in figures.bins
        ],
    )


def _type_to_wire(name: str, counts: Counts, training_count: int) -> evaluation_pb2.TypeScore:
    return evaluation_pb2.TypeScore(
        type=name,
        counts=_counts_to_wire(counts),
        scores=_prf_to_wire(counts.prf()),
        training_count=training_count,
    )


def _counts_to_wire(counts: Counts) -> evaluation_pb2.Counts:
    return evaluation_pb2.Counts(
        correct=counts.correct, predicted=counts.predicted, gold=counts.gold
    )


def _prf_to_wire(figures: Prf) -> evaluation_pb2.Prf:
    interval = figures.f1_interval
    return evaluation_pb2.Prf(
        precision=figures.precision,
        recall=figures.recall,
        f1=figures.f1,
        f1_low=interval.low if interval else None,
        f1_high=interval.high if interval else None,
    )


def _macro_to_wire(figures: MacroPrf) -> evaluation_pb2.MacroPrf:
    pr, mean = figures.f1_pr_interval, figures.f1_mean_interval
    return evaluation_pb2.MacroPrf(
        precision=figures.precision,
        recall=figures.recall,
        f1_pr=figures.f1_pr,
        f1_mean=figures.f1_mean,
        f1_pr_low=pr.low if pr else None,
        f1_pr_high=pr.high if pr else None,
        f1_mean_low=mean.low if mean else None,
        f1_mean_high=mean.high if mean else None,
    )
