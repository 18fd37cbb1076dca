"""`slcolm score`: predictions against gold data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.score_tables import (
    print_comparison,
    print_judged,
    print_spans,
    print_strict,
)
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.formats import read_any
from slcolm_services.corpus.predictions import Prediction, read_predictions
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import read_schema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.scoring.ner import NerScores, score_ner
from slcolm_services.scoring.reliability import Judged, judge
from slcolm_services.scoring.report import comparison_json, judged_json, span_json, strict_json
from slcolm_services.scoring.span import SpanScores, score_spans
from slcolm_services.scoring.strict import (
    Scores,
    Sentence,
    StrictCounts,
    compare,
    count_items,
    strict_items,
)
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


@dataclass(frozen=True, slots=True)
class _System:
    """A system by the strict protocol."""

    matched: _Matched
    counts: StrictCounts
    scores: Scores
    judged: Judged


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
    "--baseline",
    type=existing_file,
    help="Predictions of another system: differences on the same sentences. Strict protocol only.",
)
@click.option(
    "--protocol",
    type=click.Choice(["strict", "span"]),
    default="strict",
    show_default=True,
    help="strict: sets of triples by text. span: entities and relations by offset, as SpERT does, "
    "and entities by the schemes of SemEval 2013.",
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
    baseline: Path | None,
    protocol: str,
    samples: int,
    as_json: bool,
) -> None:
    """Score predictions against gold data.

    \b
    Examples:
      slcolm score --gold test.jsonl --pred out/merged.jsonl --task task.yaml --train train.jsonl
      slcolm score --gold test.jsonl --pred merged.jsonl --baseline slm.jsonl --task task.yaml
      slcolm score --gold test.jsonl --pred predicted.jsonl --task task.yaml --protocol span --json
    """
    if baseline and protocol == "span":
        raise click.UsageError("--baseline compares by the strict protocol only")
    if baseline and not samples:
        raise click.UsageError("--baseline needs resamples: --bootstrap must be above 0")
    schema = read_schema(task)
    documents = read_any(gold, schema)
    _check_gold(documents, gold, protocol)
    matched = _match(documents, read_predictions(pred), "--pred")
    if protocol == "span":
        _show_spans(matched, *_score_spans(matched, schema), as_json=as_json)
        return
    counts = training_counts(read_any(train, schema), schema) if train else {}
    this = _score_strict(matched, schema, counts, samples)
    other = None
    if baseline:
        matched = _match(documents, read_predictions(baseline), "--baseline")
        other = _score_strict(matched, schema, counts, samples)
    comparison = compare(other.counts, this.counts, samples=samples) if other else None
    if as_json:
        counted = train is not None
        value = {"protocol": "strict", **_system_json(this, counted=counted)}
        if other and comparison:
            value["baseline"] = _system_json(other, counted=counted)
            value["minus_baseline"] = comparison_json(comparison)
        emit_json(value)
        return
    _print_ids(this.matched)
    print_strict(console(), this.scores, counted=train is not None)
    print_judged(console(), this.judged)
    if other and comparison:
        _print_ids(other.matched)
        print_comparison(console(), comparison, other.scores, this.scores)


def _check_gold(gold: Sequence[Document], path: Path, protocol: str) -> None:
    """Check that there is something to find.

    Raises:
        DataInvalid: No document has a relation or, in the span protocol, an entity.
    """
    what = "relation" if protocol == "strict" else "entity"
    if not any(
        document.relations if protocol == "strict" else document.entities for document in gold
    ):
        raise DataInvalid(
            f"{path} has no {what}: there is nothing to score by",
            violations=[FieldViolation("--gold", f"no document has any {what}")],
        )


def _match(gold: list[Document], predictions: Sequence[Prediction], option: str) -> _Matched:
    """Put gold and predictions together by id.

    Args:
        gold: The gold documents.
        predictions: Those of one system.
        option: Where they came from, for errors.

    Raises:
        DataInvalid: They share no id, or a prediction is about another text.
    """
    texts = {document.id: document.text for document in gold}
    gold_ids = texts.keys()
    predicted_ids = {prediction.id for prediction in predictions}
    if not gold_ids & predicted_ids:
        raise DataInvalid(
            "gold and predictions share no id",
            violations=[
                FieldViolation(name, f"ids like {', '.join(sorted(ids)[:3])}")
                for name, ids in (("--gold", gold_ids), (option, predicted_ids))
            ],
        )
    strangers = [
        prediction.id
        for prediction in predictions
        if prediction.text is not None
        and texts.get(prediction.id, prediction.text) != prediction.text
    ]
    if strangers:
        raise DataInvalid(
            f"{number_of(len(strangers), 'prediction')} of {option}: about another text than gold",
            violations=[
                FieldViolation(f"{option} {name}", "has another text than gold has")
                for name in strangers[:_IDS_SHOWN]
            ],
        )
    return _Matched(
        gold,
        [prediction for prediction in predictions if prediction.id in gold_ids],
        [document.id for document in gold if document.id not in predicted_ids],
        sorted(predicted_ids - gold_ids),
    )


def _score_strict(
    matched: _Matched, schema: TaskSchema, counts: Mapping[str, int], samples: int
) -> _System:
    gold = [Sentence(document.id, document.triples()) for document in matched.gold]
    found = [Sentence(prediction.id, prediction.triples) for prediction in matched.predictions]
    items = strict_items(gold, found, schema)
    strict = count_items(items, schema)
    scores = score_counts(strict, counts, samples=samples)
    return _System(matched, strict, scores, judge(items))


def _system_json(system: _System, *, counted: bool) -> dict[str, Any]:
    """Figures; those that go by training instances are null where these were not counted."""
    scores = strict_json(system.scores)
    if not counted:
        scores["by_frequency"] = None
        for figures in scores["per_relation"].values():
            figures["training_count"] = None
    return {
        **scores,
        **judged_json(system.judged),
        "ids": _ids_json(system.matched),
    }


def _score_spans(matched: _Matched, schema: TaskSchema) -> tuple[SpanScores, NerScores]:
    bare = [prediction.id for prediction in matched.predictions if prediction.document is None]
    if bare:
        raise DataInvalid(
            f"{number_of(len(bare), 'prediction')} without offsets of entities, which the span"
            " protocol needs",
            violations=[
                FieldViolation(f"prediction {name}", "has triples alone")
                for name in bare[:_IDS_SHOWN]
            ],
        )
    documents = [
        prediction.document for prediction in matched.predictions if prediction.document is not None
    ]
    symmetric = [kind.name for kind in schema.relation_types if kind.symmetric]
    return score_spans(matched.gold, documents, symmetric), score_ner(matched.gold, documents)


def _show_spans(matched: _Matched, spans: SpanScores, ner: NerScores, *, as_json: bool) -> None:
    if as_json:
        emit_json({"protocol": "span", **span_json(spans, ner), "ids": _ids_json(matched)})
    else:
        _print_ids(matched)
        print_spans(console(), spans, ner)


def _ids_json(matched: _Matched) -> dict[str, list[str]]:
    return {"gold_only": matched.gold_only, "prediction_only": matched.prediction_only}


def _print_ids(matched: _Matched) -> None:
    out = console(stderr=True)
    for ids, what, meaning in (
        (matched.gold_only, "gold sentence", "without a prediction: nothing counts as predicted"),
        (matched.prediction_only, "prediction", "of no gold sentence, left out"),
    ):
        if ids:
            more = ", ..." if len(ids) > _IDS_SHOWN else ""
            out.print(
                f"[yellow]note[/] {number_of(len(ids), what)} {meaning}: "
                f"{escape(', '.join(ids[:_IDS_SHOWN]))}{more}"
            )
