"""Choosing a policy on dev: mode, h and T by cross-validation, K from the SLM's errors.

Every policy is scored on sentences that its K was not made from: K for a fifth of dev comes from
the other four fifths. Counts are pooled over the folds before any figure is made, because F1
averaged over small folds is biased (Forman & Scholz 2010, "Apples-to-apples in cross-validation
studies"). The objective is the mean of micro F1 and macro F1 (of macro precision and recall).

Of the policies within one standard error of the best, the simplest wins (Breiman et al. 1984,
section 3.4.3; Hastie et al. 2009, section 7.10). The standard error is that of the paired
difference from the best, by bootstrap over sentences: what all policies share cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.policy import EntityFilter, Mode, Policy, default_policy
from slcolm_services.evaluation.weak_types import weak_types
from slcolm_services.scoring.bootstrap import draw, macro_f1_pr, micro_f1, weighted_totals
from slcolm_services.scoring.counts import CountMatrix, FloatArray
from slcolm_services.scoring.strict import (
    DEFAULT_SEED,
    Scores,
    Sentence,
    StrictCounts,
    count_strict,
    score,
)

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Values of h that are tried."""

RARE_BELOW = (0, 10, 20, 40, 60, 100, 150, 300)
"""Values of T that are tried."""

FOLDS = 5
MIN_ANSWERS = 30
"""With fewer LLM answers on dev nothing can be told apart, and the default policy stands."""

_SAMPLES = 500
_RUNNERS_UP_TOLD = 3


@dataclass(frozen=True, slots=True)
class DevSentence:
    """A dev sentence with everything to learn from.

    Attributes:
        id: Name of the sentence.
        gold: The true triples.
        slm: The SLM's triples with their probabilities.
        llm: The LLM's triples after each filter that may be chosen; None if it was not asked or
            did not answer.
    """

    id: str
    gold: tuple[Triple, ...]
    slm: tuple[Triple, ...]
    llm: Mapping[EntityFilter, tuple[Triple, ...]] | None


@dataclass(frozen=True, slots=True)
class Trial:
    """A policy that was tried.

    Attributes:
        policy: The policy, with the K that all of dev gives.
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


@dataclass(frozen=True, slots=True)
class Fit:
    """The outcome.

    Attributes:
        policy: The policy that was chosen.
        trials: Everything tried, best objective first; empty when there were too few LLM answers.
    """

    policy: Policy
    trials: tuple[Trial, ...]


def fit(
    dev: Sequence[DevSentence],
    schema: TaskSchema,
    training_counts: Mapping[str, int],
    *,
    entity_filters: Sequence[EntityFilter] = ("slm",),
    seed: int = DEFAULT_SEED,
) -> Fit:
    """Choose a policy on dev. Never give it test data.

    Args:
        dev: Dev sentences. Those without an LLM answer count for K only.
        schema: Names the relation types.
        training_counts: Training instances by relation type.
        entity_filters: Filters to choose from, the one to prefer first.
        seed: Of the folds and resamples; the same input gives the same policy.

    Raises:
        InvalidInput: There is no sentence, an id stands twice, a gold label is unknown, or an SLM
            triple has no probability.
    """
    slm_counts = count_strict(_gold(dev), [Sentence(line.id, line.slm) for line in dev], schema)
    weak = weak_types(slm_counts.matrix, training_counts)
    answered = [index for index, line in enumerate(dev) if line.llm is not None]
    if len(answered) < MIN_ANSWERS:
        policy = replace(default_policy(training_counts, weak), entity_filter=entity_filters[0])
        return Fit(policy, ())
    folds = _Folds(dev, answered, slm_counts.matrix, training_counts, seed)
    base = Policy(
        Mode.SLM,
        weak_types=weak,
        training_counts=dict(training_counts),
        entity_filter=entity_filters[0],
    )
    weights = draw(len(answered), _SAMPLES, np.random.default_rng(seed))
    trials = _ranked(
        [
            _tried(policy, folds.count(policy, schema), weights, training_counts)
            for policy in _candidates(base, entity_filters)
        ]
    )
    chosen = _simplest(trials, entity_filters)
    return Fit(replace(chosen.policy, provenance=_provenance(chosen, trials, dev)), trials)


def _gold(lines: Sequence[DevSentence]) -> list[Sentence]:
    return [Sentence(line.id, line.gold) for line in lines]


def _candidates(base: Policy, entity_filters: Sequence[EntityFilter]) -> Iterator[Policy]:
    """Every policy that is tried, simple modes first. The SLM alone needs no filter."""
    yield replace(base, mode=Mode.SLM)
    for entity_filter in entity_filters:
        filtered = replace(base, entity_filter=entity_filter)
        for mode in Mode:
            if mode is Mode.THRESHOLD:
                yield from (replace(filtered, mode=mode, threshold=h) for h in THRESHOLDS)
            elif mode is Mode.GATE:
                yield from (
                    replace(filtered, mode=mode, threshold=h, rare_below=t)
                    for t in RARE_BELOW
                    for h in THRESHOLDS
                )
            elif mode is not Mode.SLM:
                yield replace(filtered, mode=mode)


class _Folds:
    """The answered sentences of dev, and for each fold the K that the rest of dev gives."""

    def __init__(
        self,
        dev: Sequence[DevSentence],
        answered: Sequence[int],
        slm: CountMatrix,
        training_counts: Mapping[str, int],
        seed: int,
    ) -> None:
        self._lines = [dev[index] for index in answered]
        shuffled = np.random.default_rng(seed).permutation(len(dev))
        fold_of = np.empty(len(dev), dtype=np.int64)
        fold_of[shuffled] = np.arange(len(dev)) % FOLDS
        self._fold_of = [int(fold_of[index]) for index in answered]
        self._weak = [
            weak_types(CountMatrix(slm.types, slm.values[fold_of != fold]), training_counts)
            for fold in range(FOLDS)
        ]

    def count(self, policy: Policy, schema: TaskSchema) -> StrictCounts:
        """Counts of a policy, each sentence merged with the K of its fold."""
        policies = [replace(policy, weak_types=weak) for weak in self._weak]
        merged = []
        for line, fold in zip(self._lines, self._fold_of, strict=True):
            llm = None if line.llm is None else line.llm[policy.entity_filter]
            triples = merge(line.slm, llm, policies[fold])
            merged.append(Sentence(line.id, tuple(item.triple for item in triples)))
        return count_strict(_gold(self._lines), merged, schema)


def _objective(totals: FloatArray) -> FloatArray:
    return (micro_f1(totals) + macro_f1_pr(totals)) / 2


@dataclass(frozen=True, eq=False)
class _Tried:
    """A policy with its objective, on dev and on each resample of dev."""

    policy: Policy
    scores: Scores
    objective: float
    resampled: FloatArray


def _tried(
    policy: Policy, counts: StrictCounts, weights: FloatArray, training_counts: Mapping[str, int]
) -> _Tried:
    matrix = counts.matrix.with_gold()
    return _Tried(
        policy,
        score(counts, training_counts),
        float(_objective(matrix.totals().astype(np.float64))),
        _objective(weighted_totals(matrix, weights)),
    )


def _ranked(tried: Sequence[_Tried]) -> tuple[Trial, ...]:
    best = max(tried, key=lambda item: item.objective)
    trials = [
        Trial(
            policy=item.policy,
            scores=item.scores,
            objective=item.objective,
            standard_error=float(item.resampled.std(ddof=1)),
            gap=best.objective - item.objective,
            gap_standard_error=float((best.resampled - item.resampled).std(ddof=1)),
        )
        for item in tried
    ]
    return tuple(sorted(trials, key=lambda trial: trial.gap))


def _simplest(trials: Sequence[Trial], entity_filters: Sequence[EntityFilter]) -> Trial:
    """The simplest mode within one standard error of the best, with its best values of h and T.

    Of two filters within the same error the preferred one wins.
    """
    modes = list(Mode)

    def complexity(trial: Trial) -> tuple[int, int, float]:
        policy = trial.policy
        return entity_filters.index(policy.entity_filter), modes.index(policy.mode), trial.gap

    close = [trial for trial in trials if trial.gap <= trial.gap_standard_error]
    return min(close, key=complexity)


def _provenance(chosen: Trial, trials: Sequence[Trial], dev: Sequence[DevSentence]) -> str:
    others = [trial for trial in trials if trial is not chosen][:_RUNNERS_UP_TOLD]
    scored = f"{chosen.scores.sentences} of {len(dev)} dev sentences"
    lines = [
        f"{_told(chosen)}, cross-validated on {scored} with LLM answers",
        f"simplest of {len(trials)} policies within one standard error of the best",
    ]
    return "\n".join(lines + [f"runner-up: {_told(trial)}" for trial in others])


def _told(trial: Trial) -> str:
    policy = trial.policy
    values = []
    if policy.mode in (Mode.THRESHOLD, Mode.GATE):
        values.append(f"h={policy.threshold:g}")
    if policy.mode is Mode.GATE:
        values.append(f"T={policy.rare_below}")
    if policy.entity_filter != "slm":
        values.append(f"entities={policy.entity_filter}")
    return (
        f"{' '.join([policy.mode.value, *values])}: micro F1 {trial.scores.micro.f1:.4f}, "
        f"macro F1 {trial.scores.macro.f1_pr:.4f}, objective {trial.objective:.4f} "
        f"± {trial.standard_error:.4f}"
    )
