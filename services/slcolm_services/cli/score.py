"""`slcolm score`: predictions against gold data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.predictions import Prediction, read_predictions
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.scoring.counts import Interval
from slcolm_services.scoring.report import span_json, strict_json
from slcolm_services.scoring.span import SpanScores, score_spans
from slcolm_services.scoring.strict import Scores, Sentence, StrictCounts, count_strict
from slcolm_services.scoring.strict import score as score_counts

_IDS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Matched:
    """Gold and predictions by id.

    Attributes:
        gold: The gold documents.
        predictions: Those for gold ids.
        gold_only: Gold ids without a prediction: nothing was predicted for them.
        prediction_only: Ids of predictions that were left out.
    """

    gold: list[Document]
    predictions: list[Prediction]
    gold_only: list[str]
    prediction_only: list[str]


@click.command()
@click.option("--gold", type=existing_file, required=True, help="Gold data, any format.")
@click.option(
    "--pred",
    type=existing_file,
    required=True,
    help="Predictions: a data file, or JSON lines with `id` and `triples` such as merged.jsonl.",
)
@click.option("--task", type=existing_file, required=True, help="Task schema.")
@click.option(
    "--train", type=existing_file, help="Training data: decides which types are head and tail."
)
@click.option(
    "--protocol",
    type=click.Choice(["strict", "span"]),
    default="strict",
    show_default=True,
    help="strict: sets of triples by text. span: entities and relations by offset, as SpERT does.",
)
@click.option(
    "--bootstrap",
    "samples",
    type=click.IntRange(0, 100_000),
    default=1000,
    show_default=True,
    help="Resamples for the 95 % intervals; 0 for none. Strict protocol only.",
)
@json_option
def score(
    *,
    gold: Path,
    pred: Path,
    task: Path,
    train: Path | None,
    protocol: str,
    samples: int,
    as_json: bool,
) -> None:
    """Score predictions against gold data.

    \b
    Examples:
      slcolm score --gold test.jsonl --pred out/merged.jsonl --task task.yaml --train train.jsonl
      slcolm score --gold test.jsonl --pred predicted.jsonl --task task.yaml --protocol span --json
    """
    schema = read_schema(task)
    matched = _match(read_any(gold, schema), read_predictions(pred))
    if protocol == "span":
        spans = _score_spans(matched, schema)
        if as_json:
            emit_json({"protocol": "span", **span_json(spans), "ids": _ids_json(matched)})
        else:
            _print_ids(matched)
            console().print(_span_table(spans))
        return
    counts = training_counts(read_any(train, schema), schema) if train else {}
    scores = score_counts(_count(matched, schema), counts, samples=samples)
    if as_json:
        emit_json({"protocol": "strict", **strict_json(scores), "ids": _ids_json(matched)})
    else:
        _print_ids(matched)
        print_strict(console(), scores, with_buckets=train is not None)


def _match(gold: list[Document], predictions: Sequence[Prediction]) -> _Matched:
    """Put gold and predictions together.

    Raises:
        DataInvalid: They share no id.
    """
    gold_ids = {document.id for document in gold}
    predicted_ids = {prediction.id for prediction in predictions}
    if not gold_ids & predicted_ids:
        raise DataInvalid(
            "gold and predictions share no id",
            violations=[
                FieldViolation(name, f"ids like {', '.join(sorted(ids)[:3])}")
                for name, ids in (("--gold", gold_ids), ("--pred", predicted_ids))
            ],
        )
    return _Matched(
        gold,
        [prediction for prediction in predictions if prediction.id in gold_ids],
        [document.id for document in gold if document.id not in predicted_ids],
        sorted(predicted_ids - gold_ids),
    )


def _count(matched: _Matched, schema: TaskSchema) -> StrictCounts:
    return count_strict(
        [Sentence(document.id, document.triples()) for document in matched.gold],
        [Sentence(prediction.id, prediction.triples) for prediction in matched.predictions],
        schema,
    )


def _score_spans(matched: _Matched, schema: TaskSchema) -> SpanScores:
    bare = [prediction.id for prediction in matched.predictions if prediction.document is None]
    if bare:
        raise DataInvalid(
            f"{len(bare)} predictions have no entities with offsets; the span protocol needs them",
            violations=[
                FieldViolation(f"prediction {name}", "has triples alone")
                for name in bare[:_IDS_SHOWN]
            ],
        )
    documents = [
        prediction.document for prediction in matched.predictions if prediction.document is not None
    ]
    symmetric = [kind.name for kind in schema.relation_types if kind.symmetric]
    return score_spans(matched.gold, documents, symmetric)


def _ids_json(matched: _Matched) -> dict[str, list[str]]:
    return {"gold_only": matched.gold_only, "prediction_only": matched.prediction_only}


def _print_ids(matched: _Matched) -> None:
    out = console(stderr=True)
    for ids, meaning in (
        (matched.gold_only, "gold sentences have no prediction; nothing counts as predicted there"),
        (matched.prediction_only, "predictions belong to no gold sentence and are left out"),
    ):
        if ids:
            more = ", ..." if len(ids) > _IDS_SHOWN else ""
            out.print(
                f"[yellow]note[/] {len(ids)} {meaning}: {escape(', '.join(ids[:_IDS_SHOWN]))}{more}"
            )


def print_strict(out: Console, scores: Scores, *, with_buckets: bool = True) -> None:
    """Print strict scores: totals, frequency buckets, relation types; in percent."""
    out.print(_totals_table(scores, with_buckets=with_buckets))
    out.print(_types_table(scores))
    for count, meaning in (
        (scores.without_gold, "predictions have a relation type that gold does not have"),
        (scores.off_schema, "predictions have a label outside the schema"),
        (scores.same_mention, "predictions have the same head and tail"),
    ):
        if count:
            out.print(f"{count} {meaning}; they are left out.")


def _totals_table(scores: Scores, *, with_buckets: bool) -> Table:
    table = _table(f"Relations, strict, {scores.sentences} sentences, in %", "", "P", "R", "F1")
    table.add_column("95 %", justify="right")
    table.add_column("right/found/gold", justify="right")
    micro, macro = scores.micro, scores.macro
    counts = scores.counts
    totals = f"{counts.correct}/{counts.predicted}/{counts.gold}"
    table.add_row(
        "micro",
        *_percent(micro.precision, micro.recall, micro.f1),
        _interval(micro.f1_interval),
        totals,
    )
    table.add_row(
        "macro",
        *_percent(macro.precision, macro.recall, macro.f1_pr),
        _interval(macro.f1_pr_interval),
        "",
    )
    table.add_row(
        "macro, mean", "", "", *_percent(macro.f1_mean), _interval(macro.f1_mean_interval), ""
    )
    for item in scores.by_frequency if with_buckets else ():
        counts = item.counts
        table.add_row(
            f"{item.bucket} ({item.type_count})",
            *_percent(item.micro.precision, item.micro.recall, item.micro.f1),
            _interval(item.micro.f1_interval),
            f"{counts.correct}/{counts.predicted}/{counts.gold}",
        )
    return table


def _types_table(scores: Scores) -> Table:
    table = _table("By relation type", "type", "in train", "P", "R", "F1", "correct", "predicted")
    table.add_column("gold", justify="right")
    for item in sorted(scores.per_type, key=lambda item: -item.training_count):
        figures, counts = item.counts.prf(), item.counts
        table.add_row(
            escape(item.type),
            str(item.training_count),
            *_percent(figures.precision, figures.recall, figures.f1),
            *map(str, (counts.correct, counts.predicted, counts.gold)),
        )
    return table


def _span_table(scores: SpanScores) -> Table:
    table = _table(
        "By offsets (boundaries: entities without types), in %",
        "",
        "P",
        "R",
        "F1",
        "macro P",
        "macro R",
    )
    table.add_column("mean F1", justify="right")
    for name, figures in (
        ("entities", scores.entities),
        ("boundaries", scores.boundaries),
        ("relations", scores.relations),
        ("relations+types", scores.relations_strict),
    ):
        micro, macro = figures.micro, figures.macro
        table.add_row(
            name,
            *_percent(micro.precision, micro.recall, micro.f1),
            *_percent(macro.precision, macro.recall, macro.f1_mean),
        )
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _percent(*figures: float) -> list[str]:
    return [f"{100 * figure:.2f}" for figure in figures]


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
