"""The strict protocol: sets of (head, tail, type) by sentence, directed, nothing forgiven.

A symmetric relation type matches both ways. A repeated sentence counts once, its first answer
stands, and a sentence without an answer has predicted nothing. A triple whose head and tail are the
same text is left out of gold and prediction alike: by text it says nothing.

All figures are over the relation types with gold > 0. What was predicted of other types is in
`Scores.per_type` and counted in `Scores.without_gold`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.labels import normalise_label
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.stats import frequency_bucket
from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.scoring.align import by_gold_id
from slcolm_services.scoring.bootstrap import (
    Figure,
    interval,
    macro_f1_mean,
    macro_f1_pr,
    micro_f1,
    resample,
)
from slcolm_services.scoring.counts import (
    CountMatrix,
    Counts,
    FloatArray,
    IntArray,
    Interval,
    MacroPrf,
    Prf,
    macro,
    micro,
    tally,
    total,
)

Item = tuple[str, Hashable]
BUCKETS = ("head", "medium", "tail")
DEFAULT_SEED = 20240601
"""Resamples are the same from run to run, and the same for all systems that are compared."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """The triples of one sentence, true or predicted."""

    id: str
    triples: tuple[Triple, ...]


@dataclass(frozen=True, eq=False)
class StrictItems:
    """What of gold and prediction is matched, sentence by sentence in gold order.

    An item is (type, mentions); the mentions of a symmetric type are sorted.

    Attributes:
        gold: True items; one may stand twice.
        predicted: Predicted items, each once, with the highest probability that it was given; None
            where it has none.
        off_schema: Predicted triples with a label outside the schema: no items.
        same_mention: Predicted triples with the same head and tail: likewise.
    """

    gold: list[list[Item]]
    predicted: list[dict[Item, float | None]]
    off_schema: int
    same_mention: int


@dataclass(frozen=True, eq=False)
class StrictCounts:
    """Matches of one system.

    Attributes:
        matrix: Counts by sentence, in gold order, and relation type, in schema order.
        off_schema: Predicted triples with a label outside the schema: dropped, no false positives.
        same_mention: Predicted triples with the same head and tail: likewise.
    """

    matrix: CountMatrix
    off_schema: int
    same_mention: int


@dataclass(frozen=True, slots=True)
class TypeScore:
    """Counts of one relation type, and its instances in training data."""

    type: str
    counts: Counts
    training_count: int


@dataclass(frozen=True, slots=True)
class BucketScore:
    """Figures of the relation types of one training frequency.

    Attributes:
        bucket: `head`, `medium` or `tail`.
        type_count: Types with gold > 0.
        counts: Summed over the bucket's types.
        micro: Of the summed counts.
        macro: Over the types with gold > 0.
    """

    bucket: str
    type_count: int
    counts: Counts
    micro: Prf
    macro: MacroPrf


@dataclass(frozen=True, slots=True)
class Scores:
    """What one system is worth.

    Attributes:
        sentences: Number of gold sentences.
        counts: Summed over sentences and the types with gold > 0.
        micro: Of the summed counts.
        macro: Over the types with gold > 0.
        per_type: In schema order; types that occur in gold or prediction.
        by_frequency: Always head, medium, tail.
        without_gold: Predicted triples of types that gold does not have.
        off_schema: Predicted triples with a label outside the schema.
        same_mention: Predicted triples with the same head and tail.
    """

    sentences: int
    counts: Counts
    micro: Prf
    macro: MacroPrf
    per_type: tuple[TypeScore, ...]
    by_frequency: tuple[BucketScore, ...]
    without_gold: int
    off_schema: int
    same_mention: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One system's figure minus another's on the same sentences, with its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate minus baseline."""

    micro_f1: Difference
    macro_f1_pr: Difference
    macro_f1_mean: Difference


def count_strict(
    gold: Sequence[Sentence], predicted: Iterable[Sentence], schema: TaskSchema
) -> StrictCounts:
    """Match predictions with gold; see `strict_items`."""
    return count_items(strict_items(gold, predicted, schema), schema)


def count_items(items: StrictItems, schema: TaskSchema) -> StrictCounts:
    """Count what `strict_items` has brought together."""
    matrix = tally(items.gold, items.predicted, tuple(schema.relations_by_name))
    return StrictCounts(matrix, items.off_schema, items.same_mention)


def strict_items(
    gold: Sequence[Sentence], predicted: Iterable[Sentence], schema: TaskSchema
) -> StrictItems:
    """Bring gold and predictions to what is matched.

    Args:
        gold: Every sentence that is scored, each id once.
        predicted: Predictions, matched by id; of several for one id the first stands.
        schema: Names the types that count, and which are symmetric.

    Raises:
        InvalidInput: There is no gold sentence, a gold id stands twice, a gold label is not in the
            schema, or a prediction belongs to no gold sentence.
    """
    if not gold:
        raise InvalidInput(
            "there is nothing to score", violations=[FieldViolation("gold", "must not be empty")]
        )
    matcher = Matcher(schema)
    true = [
        [
            matcher.gold(triple, f"gold[{row}].triples[{place}].type")
            for place, triple in enumerate(sentence.triples)
            if triple.head != triple.tail
        ]
        for row, sentence in enumerate(gold)
    ]
    off_schema = same_mention = 0
    found: list[dict[Item, float | None]] = []
    for sentence in by_gold_id(gold, predicted):
        best: dict[Item, float | None] = {}
        for triple in sentence.triples if sentence else ():
            if triple.head == triple.tail:
                same_mention += 1
            elif (item := matcher.item(triple)) is None:
                off_schema += 1
            else:
                best[item] = _higher(best.get(item), triple.prob)
        found.append(best)
    return StrictItems(true, found, off_schema, same_mention)


def _higher(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return second if first is None else first
    return max(first, second)


class Matcher:
    """Turns triples into what must match, remembering the labels seen.

    Args:
        schema: Names the types that count, and which are symmetric.
    """

    def __init__(self, schema: TaskSchema) -> None:
        self._schema = schema
        self._names: dict[str, str | None] = {}

    def item(self, triple: Triple) -> Item | None:
        """(type, mentions), or None where the label is outside the schema."""
        if triple.type not in self._names:
            self._names[triple.type] = normalise_label(triple.type, self._schema)
        name = self._names[triple.type]
        if name is None:
            return None
        pair = (triple.head, triple.tail)
        symmetric = self._schema.relations_by_name[name].symmetric
        return name, tuple(sorted(pair)) if symmetric else pair

    def gold(self, triple: Triple, field: str) -> Item:
        """The same for a true triple.

        Raises:
            InvalidInput: Its label is outside the schema; `field` is where it stands.
        """
        item = self.item(triple)
        if item is None:
            raise InvalidInput(
                f"gold data has a relation type outside the schema: {triple.type!r}",
                violations=[FieldViolation(field, f"{triple.type!r} is not a relation type")],
            )
        return item


def score(
    counts: StrictCounts,
    training_counts: Mapping[str, int],
    *,
    samples: int = 0,
    seed: int = DEFAULT_SEED,
) -> Scores:
    """Make every figure of one system.

    Args:
        counts: From `count_strict`.
        training_counts: Instances in training data by relation type; a type that is not named has
            none. They decide between head, medium and tail.
        samples: Bootstrap resamples for the intervals; 0 for none, and a single sentence has none.
        seed: Of the resamples.
    """
    by_type = counts.matrix.by_type()
    matrix = counts.matrix.with_gold()
    totals = matrix.totals()
    # Resamples of one sentence are all the same: an interval of no width would lie.
    resampled = resample(matrix, samples, seed) if samples and len(matrix.values) > 1 else None
    scored = total(matrix.by_type())
    return Scores(
        sentences=len(matrix.values),
        counts=scored,
        micro=_micro(totals, resampled),
        macro=_macro(totals, resampled),
        per_type=tuple(
            TypeScore(name, found, training_counts.get(name, 0))
            for name, found in by_type.items()
            if found.gold or found.predicted
        ),
        by_frequency=tuple(
            _bucket_score(bucket, matrix, training_counts, resampled) for bucket in BUCKETS
        ),
        without_gold=total(by_type).predicted - scored.predicted,
        off_schema=counts.off_schema,
        same_mention=counts.same_mention,
    )


def compare(
    baseline: StrictCounts,
    candidate: StrictCounts,
    *,
    samples: int = 1000,
    seed: int = DEFAULT_SEED,
) -> Comparison:
    """Compare two systems on the same sentences, in the same order.

    On a single sentence nothing is known of a difference: its interval is everything.

    Raises:
        InvalidInput: The counts are of different numbers of sentences or of different types.
    """
    first, second = baseline.matrix, candidate.matrix
    if first.values.shape != second.values.shape or first.types != second.types:
        raise InvalidInput("two systems can only be compared on the same sentences and types")
    first, second = first.with_gold(), second.with_gold()
    pair = (first.totals(), second.totals())
    resampled = None
    if len(first.values) > 1:
        resampled = (resample(first, samples, seed), resample(second, samples, seed))
    return Comparison(
        micro_f1=_difference(micro_f1, pair, resampled),
        macro_f1_pr=_difference(macro_f1_pr, pair, resampled),
        macro_f1_mean=_difference(macro_f1_mean, pair, resampled),
    )


def _difference(
    figure: Figure,
    pair: tuple[npt.ArrayLike, npt.ArrayLike],
    resampled: tuple[FloatArray, FloatArray] | None,
) -> Difference:
    baseline, candidate = (np.asarray(totals, dtype=np.float64) for totals in pair)
    return Difference(
        float(figure(candidate) - figure(baseline)),
        interval(figure(resampled[1]) - figure(resampled[0])) if resampled else Interval(-1.0, 1.0),
    )


def _micro(totals: IntArray, resampled: FloatArray | None) -> Prf:
    return replace(micro(totals), f1_interval=_interval(micro_f1, resampled))


def _macro(totals: IntArray, resampled: FloatArray | None) -> MacroPrf:
    return replace(
        macro(totals),
        f1_pr_interval=_interval(macro_f1_pr, resampled),
        f1_mean_interval=_interval(macro_f1_mean, resampled),
    )


def _interval(figure: Figure, resampled: FloatArray | None) -> Interval | None:
    return None if resampled is None else interval(figure(resampled))


def _bucket_score(
    bucket: str,
    matrix: CountMatrix,
    training_counts: Mapping[str, int],
    resampled: FloatArray | None,
) -> BucketScore:
    columns = [
        column
        for column, name in enumerate(matrix.types)
        if frequency_bucket(training_counts.get(name, 0)) == bucket
    ]
    totals = matrix.totals()[columns]
    drawn = None if resampled is None else resampled[:, columns]
    correct, predicted, gold = (int(value) for value in totals.sum(axis=0))
    return BucketScore(
        bucket=bucket,
        type_count=len(columns),
        counts=Counts(correct, predicted, gold),
        micro=_micro(totals, drawn),
        macro=_macro(totals, drawn),
    )
