"""Trying policies on dev: counts of each out of fold, and how far each is behind the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.evaluation.candidates import BoolArray, Candidates, tabulate
from slcolm_services.evaluation.learning import (
    DevSentence,
    Learned,
    fold_of,
    learn_out_of_fold,
    rightness,
)
from slcolm_services.evaluation.merge import LEFT_OUT, Judgement, decide, judge
from slcolm_services.evaluation.policy import EntityFilter, Mode, Policy
from slcolm_services.scoring.bootstrap import draw, macro_f1_pr, micro_f1, weighted_totals
from slcolm_services.scoring.counts import (
    CORRECT,
    PREDICTED,
    CountMatrix,
    FloatArray,
    IntArray,
)
from slcolm_services.scoring.strict import (
    Item,
    Matcher,
    Scores,
    Sentence,
    StrictCounts,
    count_strict,
    score,
)

_SAMPLES = 500


@dataclass(frozen=True, slots=True)
class Trial:
    """A policy that was tried.

    Attributes:
        policy: The policy, with what all of dev teaches.
        scores: Cross-validated on dev.
        objective: Mean of micro F1 and macro F1 (of macro precision and recall).
        standard_error: Of `objective`, by bootstrap over sentences.
        gap: How far `objective` is behind the best.
        gap_standard_error: Of `gap`, paired.
    """

    policy: Policy
    scores: Scores
    objective: float
    standard_error: float
    gap: float
    gap_standard_error: float


@dataclass(frozen=True, eq=False)
class _Result:
    """What a set of candidates is worth, on dev and on each resample of dev."""

    scores: Scores
    objective: float
    resampled: FloatArray


@dataclass(frozen=True, eq=False)
class _Fold:
    """The answered sentences of a fold, and what a policy's parts from elsewhere say of them."""

    candidates: Candidates
    judgement: Judgement


class Dev:
    """The answered sentences of dev, each with what was learned outside its fold.

    Args:
        dev: All dev sentences, some of them with answers.
        schema: Names the relation types.
        training_counts: Training instances by relation type.
        seed: Of the folds and resamples.
    """

    def __init__(
        self,
        dev: Sequence[DevSentence],
        schema: TaskSchema,
        training_counts: Mapping[str, int],
        seed: int,
    ) -> None:
        learned = learn_out_of_fold(dev, schema, training_counts, seed)
        folds = fold_of(len(dev), seed)
        by_fold = [
            [line for line, place in zip(dev, folds, strict=True) if line.sources and place == fold]
            for fold in range(len(learned))
        ]
        lines = [line for part in by_fold for line in part]
        self._training_counts = training_counts
        self._filters = {
            name: _Filtered(by_fold, learned, schema, training_counts, name)
            for name in dev[0].evidence
        }
        self._gold = count_strict([Sentence(line.id, line.gold) for line in lines], [], schema)
        self._weights = draw(len(lines), _SAMPLES, np.random.default_rng(seed))
        self._results: dict[tuple[EntityFilter, bytes], _Result] = {}

    def learns(self, entity_filter: EntityFilter) -> bool:
        """Whether every fold has a confidence from outside it."""
        return self._filters[entity_filter].learns

    def try_all(self, policies: Iterable[Policy]) -> tuple[Trial, ...]:
        """Try policies, the best objective first; of equal ones the first stays first.

        Raises:
            InvalidInput: A mode needs the SLM's probability of a triple that has none.
        """
        results = [(policy, self._result(policy)) for policy in policies]
        if not results:
            return ()
        best = max((result for _, result in results), key=lambda result: result.objective)
        trials = [
            Trial(
                policy=policy,
                scores=result.scores,
                objective=result.objective,
                standard_error=float(result.resampled.std(ddof=1)),
                gap=best.objective - result.objective,
                gap_standard_error=float((best.resampled - result.resampled).std(ddof=1)),
            )
            for policy, result in results
        ]
        return tuple(sorted(trials, key=lambda trial: trial.gap))

    def _result(self, policy: Policy) -> _Result:
        """Policies that keep the same candidates have the same result, made once."""
        filtered = self._filters[policy.entity_filter]
        kept = filtered.kept(policy)
        key = (policy.entity_filter, kept.tobytes())
        if key not in self._results:
            values = self._gold.matrix.values.copy()
            filtered.add_counts(kept, values)
            self._results[key] = self._scored(CountMatrix(self._gold.matrix.types, values))
        return self._results[key]

    def _scored(self, counts: CountMatrix) -> _Result:
        matrix = counts.with_gold()
        return _Result(
            score(StrictCounts(counts, 0, 0), self._training_counts),
            float(_objective(matrix.totals().astype(np.float64))),
            _objective(weighted_totals(matrix, self._weights)),
        )


def _objective(totals: FloatArray) -> FloatArray:
    return (micro_f1(totals) + macro_f1_pr(totals)) / 2


class _Filtered:
    """The candidates that one filter leaves, fold after fold."""

    def __init__(
        self,
        by_fold: Sequence[Sequence[DevSentence]],
        learned: Sequence[Learned],
        schema: TaskSchema,
        training_counts: Mapping[str, int],
        name: EntityFilter,
    ) -> None:
        self.learns = all(name in part.confidence for part in learned)
        base = Policy(Mode.SLM, training_counts=training_counts, entity_filter=name)
        self._folds = []
        for lines, part in zip(by_fold, learned, strict=True):
            candidates = tabulate([line.evidence[name] for line in lines], schema)
            self._folds.append(_Fold(candidates, judge(candidates, part.shape(base))))
        self._items = _Items(by_fold, [fold.candidates for fold in self._folds], schema)

    def kept(self, policy: Policy) -> BoolArray:
        """Which candidates a policy lets in, each judged by what was learned outside its fold."""
        decided = [decide(fold.candidates, fold.judgement, policy) for fold in self._folds]
        return np.asarray(np.concatenate(decided) != LEFT_OUT)

    def add_counts(self, kept: BoolArray, values: IntArray) -> None:
        """Write predicted and correct counts of the kept candidates into (sentences, types, 3)."""
        self._items.add_counts(kept, values)


class _Items:
    """What candidates count for in the strict protocol.

    Candidates that match the same in a sentence are one item; those with the same head and tail, or
    of a type outside the schema, are none.
    """

    def __init__(
        self,
        by_fold: Sequence[Sequence[DevSentence]],
        candidates: Sequence[Candidates],
        schema: TaskSchema,
    ) -> None:
        column = {name: index for index, name in enumerate(schema.relations_by_name)}
        matcher = Matcher(schema)
        places: dict[tuple[int, Item], int] = {}
        item_of: list[int] = []
        right: list[bool] = []
        rows: list[int] = []
        columns: list[int] = []
        start = 0
        for lines, part in zip(by_fold, candidates, strict=True):
            for triple, sentence, is_right in zip(
                part.triples, part.sentence, rightness(part, lines, schema), strict=True
            ):
                item = matcher.item(triple)
                if item is None or triple.head == triple.tail:
                    item_of.append(-1)
                    continue
                row = start + int(sentence)
                place = (row, item)
                if place not in places:
                    places[place] = len(places)
                    rows.append(row)
                    columns.append(column[item[0]])
                    right.append(bool(is_right))
                item_of.append(places[place])
            start += len(lines)
        self._items = np.array(item_of, dtype=np.int64)
        self._row = np.array(rows, dtype=np.int64)
        self._column = np.array(columns, dtype=np.int64)
        self._right = np.array(right, dtype=np.bool_)

    def add_counts(self, kept: BoolArray, values: IntArray) -> None:
        found = np.unique(self._items[kept & (self._items >= 0)])
        for axis, items in ((PREDICTED, found), (CORRECT, found[self._right[found]])):
            cells = self._row[items] * values.shape[1] + self._column[items]
            counts = np.bincount(cells, minlength=values.shape[0] * values.shape[1])
            values[:, :, axis] += counts.reshape(values.shape[:2])
