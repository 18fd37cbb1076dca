"""Scores as tables: what `slcolm score` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.output import number_of
from slcolm_services.scoring.counts import Counts, Interval
from slcolm_services.scoring.ner import NerScores
from slcolm_services.scoring.reliability import Judged, precision_recall, reliability
from slcolm_services.scoring.span import SpanScores
from slcolm_services.scoring.strict import Comparison, Scores


def print_strict(out: Console, scores: Scores, *, counted: bool = True) -> None:
    """Print strict scores: totals, frequency buckets, relation types; in percent.

    Args:
        out: Where to.
        scores: What to print.
        counted: Whether training instances were counted; else nothing that goes by them is shown.
    """
    out.print(_totals_table(scores, with_buckets=counted))
    out.print(_types_table(scores, counted=counted))
    for count, meaning in (
        (scores.without_gold, "with a relation type that gold does not have"),
        (scores.off_schema, "with a label outside the schema"),
        (scores.same_mention, "with the same head and tail"),
    ):
        if count:
            out.print(f"{number_of(count, 'prediction')} {meaning}, left out")


def _totals_table(scores: Scores, *, with_buckets: bool) -> Table:
    table = _table(
        f"Relations, strict, {number_of(scores.sentences, 'sentence')}, in %", "", "P", "R", "F1"
    )
    table.add_column("95 %", justify="right")
    table.add_column("correct/predicted/gold", justify="right")
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


def _types_table(scores: Scores, *, counted: bool) -> Table:
    table = _table("By relation type", "type", *(["in train"] if counted else []))
    for column in ("P", "R", "F1", "correct", "predicted", "gold"):
        table.add_column(column, justify="right")
    for item in sorted(scores.per_type, key=lambda item: (-item.training_count, -item.counts.gold)):
        figures, counts = item.counts.prf(), item.counts
        table.add_row(
            escape(item.type),
            *([str(item.training_count)] if counted else []),
            *_percent(figures.precision, figures.recall, figures.f1),
            *map(str, (counts.correct, counts.predicted, counts.gold)),
        )
    return table


def print_judged(out: Console, judged: Judged) -> None:
    """Print what probabilities are worth; nothing where predictions have none."""
    found, curve = reliability(judged), precision_recall(judged)
    if found is None:
        return
    table = _table(
        f"Probabilities of {number_of(found.count, 'prediction')}, in %",
        "above, up to",
        "predicted",
        "mean",
    )
    table.add_column("correct", justify="right")
    for item in found.bins:
        table.add_row(
            f"{100 * item.low:.0f}-{100 * item.high:.0f}",
            str(item.count),
            *_percent(item.mean_probability, item.fraction_right),
        )
    out.print(table)
    calibration = 100 * found.expected_calibration_error
    out.print(
        f"expected calibration error {calibration:.2f} %, Brier score {found.brier_score:.4f}"
    )
    if curve:
        out.print(f"average precision {100 * curve.average_precision:.2f} %")


def print_comparison(
    out: Console, comparison: Comparison, baseline: Scores, candidate: Scores
) -> None:
    """Print how far the candidate is ahead of the baseline, with intervals."""
    table = _table("Against the baseline, F1 in %", "", "baseline", "this", "difference", "95 %")
    for name, difference, before, after in (
        ("micro", comparison.micro_f1, baseline.micro.f1, candidate.micro.f1),
        ("macro", comparison.macro_f1_pr, baseline.macro.f1_pr, candidate.macro.f1_pr),
        ("macro, mean", comparison.macro_f1_mean, baseline.macro.f1_mean, candidate.macro.f1_mean),
    ):
        interval = difference.interval
        table.add_row(
            name,
            *_percent(before, after),
            f"{100 * difference.value:+.2f}",
            f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}",
        )
    out.print(table)


def print_spans(out: Console, scores: SpanScores, ner: NerScores) -> None:
    """Print scores by offsets: SpERT's figures, NER schemes, entity and relation types."""
    out.print(_span_table(scores))
    out.print(_ner_table(ner))
    for title, by_type in (
        ("By entity type", scores.entities.by_type),
        ("By relation type (relations+types)", scores.relations_strict.by_type),
    ):
        if by_type:
            out.print(_span_types_table(title, by_type))


def _ner_table(scores: NerScores) -> Table:
    table = _table("Entities by the schemes of SemEval 2013, in %", "scheme", "P", "R", "F1")
    # One column: five would not fit a narrow terminal.
    table.add_column("correct/incorrect/partial/\nmissed/spurious", justify="right")
    for scheme, counts in scores.by_scheme().items():
        figures = counts.prf()
        table.add_row(
            scheme,
            *_percent(figures.precision, figures.recall, figures.f1),
            "/".join(map(str, astuple(counts))),
        )
    return table


def _span_types_table(title: str, by_type: Mapping[str, Counts]) -> Table:
    table = _table(title, "type", "P", "R", "F1", "correct", "predicted", "gold")
    for name, counts in sorted(by_type.items(), key=lambda item: -item[1].gold):
        figures = counts.prf()
        table.add_row(
            escape(name),
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
