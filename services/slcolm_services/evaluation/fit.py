"""Choosing a policy on dev: mode, quorum and thresholds, all of them cross-validated.

Every policy is scored on sentences that taught it nothing: K, calibration and confidence for a
fifth of dev come from the other four fifths. Counts are pooled over the folds before any figure is
made, because F1 averaged over small folds is biased (Forman & Scholz 2010, "Apples-to-apples in
cross-validation studies"). The objective is the mean of micro F1 and macro F1 (of macro precision
and recall).

Of the policies within one standard error of the best, the simplest wins (Breiman et al. 1984,
section 3.4.3; Hastie et al. 2009, section 7.10), unless the SLM's or an LLM's triples as they are
would have been better. The standard error is that of the paired difference from the best, by
bootstrap over sentences: what all policies share cancels out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.evaluation.learning import DevSentence, learn
from slcolm_services.evaluation.policy import (
    ALL,
    ANY,
    MAJORITY,
    EntityFilter,
    Mode,
    Policy,
    default_policy,
)
from slcolm_services.evaluation.trials import Dev, Trial
from slcolm_services.scoring.strict import DEFAULT_SEED

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Values of h that are tried."""

RARE_BELOW = (0, 10, 20, 40, 60, 100, 150, 300)
"""Values of T that are tried."""

CONFIDENCE_THRESHOLDS = tuple(value / 40 for value in range(6, 25))
"""Thresholds of mode `learned` that are tried: 0.15 to 0.6, by 0.025."""

LEARNED_RARE_BELOW = (0, 40, 100)
"""Values of T that mode `learned` is tried with."""

MIN_ANSWERS = 30
"""With fewer answered dev sentences nothing can be told apart, and the default policy stands."""

_RUNNERS_UP = 5


@dataclass(frozen=True, slots=True)
class Fit:
    """The outcome.

    Attributes:
        policy: The policy that was chosen.
        chosen: Its trial; None when there were too few LLM answers.
        trials: Everything tried, best objective first; empty likewise.
        sentences: Number of dev sentences.
        answered: Number of those with an answer: policies were scored on these.
        sources: Who answered.
    """

    policy: Policy
    chosen: Trial | None
    trials: tuple[Trial, ...]
    sentences: int
    answered: int
    sources: tuple[str, ...]


def fit(
    dev: Sequence[DevSentence],
    schema: TaskSchema,
    training_counts: Mapping[str, int],
    *,
    entity_filters: Sequence[EntityFilter] = ("slm",),
    modes: Collection[Mode] = tuple(Mode),
    seed: int = DEFAULT_SEED,
) -> Fit:
    """Choose a policy on dev. Never give it test data.

    Args:
        dev: Dev sentences. Those without an LLM answer count for K and calibration only.
        schema: Names the relation types.
        training_counts: Training instances by relation type.
        entity_filters: Filters to choose from, the one to prefer first.
        modes: Modes to choose from.
        seed: Of the folds and resamples; the same input gives the same policy.

    Returns:
        The choice. With fewer than `MIN_ANSWERS` answered sentences, or without a true triple in
        them, there is none, and the default policy stands.

    Raises:
        InvalidInput: There is no sentence, an id stands twice, a gold label or a counted type is
            unknown, or an SLM triple has no probability.
    """
    if not dev:
        raise InvalidInput(
            "there is nothing to fit on", violations=[FieldViolation("dev", "must not be empty")]
        )
    default = replace(
        default_policy(training_counts), entity_filter=entity_filters[0], task=schema.name
    )
    default.check_task(schema)
    learned = learn(dev, schema, training_counts)
    answered = [line for line in dev if line.sources]
    sources = tuple(dict.fromkeys(source for line in answered for source in line.sources))
    reason = _no_choice(answered, len(dev))
    if reason:
        policy = replace(learned.shape(default), provenance=f"default: {reason}")
        return Fit(policy, None, (), len(dev), len(answered), sources)
    tried_on = Dev(dev, schema, training_counts, seed)
    quorums = (ANY, MAJORITY, ALL) if any(len(line.sources) > 1 for line in answered) else (ANY,)
    bases = []
    for name in entity_filters:
        base = learned.shape(replace(default, entity_filter=name, provenance=""))
        bases.append(base if tried_on.learns(name) else replace(base, confidence=None))
    trials = tried_on.try_all(_candidates(bases, quorums, modes))
    if not trials:
        problem = "none of them can be tried: there are too few candidate triples to learn from"
        raise InvalidInput(f"modes: {problem}", violations=[FieldViolation("modes", problem)])
    chosen = _simplest(trials, entity_filters)
    provenance = (
        f"{describe(chosen.policy)}: the simplest of {len(trials)} policies within one standard "
        f"error of the best, cross-validated on {len(answered)} of {len(dev)} dev sentences with "
        "LLM answers"
    )
    policy = replace(chosen.policy, provenance=provenance)
    return Fit(policy, chosen, trials, len(dev), len(answered), sources)


def _no_choice(answered: Sequence[DevSentence], sentences: int) -> str:
    """Why nothing can be chosen on these sentences; empty where something can."""
    if not answered:
        return "no LLM answers on dev to choose by"
    if len(answered) < MIN_ANSWERS:
        return (
            f"{len(answered)} of {sentences} dev sentences have LLM answers; it takes"
            f" {MIN_ANSWERS} to choose by"
        )
    if not any(line.gold for line in answered):
        return "the answered dev sentences have no true triples to choose by"
    return ""


def _candidates(
    bases: Sequence[Policy], quorums: Sequence[float], modes: Collection[Mode]
) -> Iterator[Policy]:
    """Every policy that is tried, simple modes first. The SLM alone needs no filter."""
    if Mode.SLM in modes:
        yield replace(bases[0], mode=Mode.SLM)
    for base in bases:
        for mode in filter(modes.__contains__, Mode):
            if mode is Mode.LEARNED:
                yield from _learned(base)
            elif mode is not Mode.SLM:
                for quorum in quorums:
                    yield from _thresholds(replace(base, mode=mode, quorum=quorum))


def _thresholds(base: Policy) -> Iterator[Policy]:
    """A mode with all values of what it looks at."""
    if base.mode is Mode.THRESHOLD:
        yield from (replace(base, threshold=h) for h in THRESHOLDS)
    elif base.mode is Mode.GATE:
        yield from (
            replace(base, threshold=h, rare_below=t) for t in RARE_BELOW for h in THRESHOLDS
        )
    else:
        yield base


def _learned(base: Policy) -> Iterator[Policy]:
    if base.confidence is not None:
        for rare_below in LEARNED_RARE_BELOW:
            for threshold in CONFIDENCE_THRESHOLDS:
                confidence = replace(base.confidence, threshold=threshold)
                yield replace(base, mode=Mode.LEARNED, rare_below=rare_below, confidence=confidence)


def _simplest(trials: Sequence[Trial], entity_filters: Sequence[EntityFilter]) -> Trial:
    """The simplest mode within one standard error of the best.

    Thresholds at their defaults are simpler than fitted ones: a few hundred sentences tell hardly
    more of them than chance. Nothing is chosen that is worse than a source as it is: the SLM, or L
    with the same filter. Of two filters within the same error the preferred one wins.
    """
    modes = list(Mode)

    def complexity(trial: Trial) -> tuple[int, int, bool, float]:
        policy = trial.policy
        return (
            entity_filters.index(policy.entity_filter),
            modes.index(policy.mode),
            not policy.has_default_thresholds,
            trial.gap,
        )

    def is_close(trial: Trial) -> bool:
        allowed = [
            source.gap
            for source in trials
            if source.policy.mode is Mode.SLM
            or (
                source.policy.mode is Mode.LLM
                and source.policy.entity_filter == trial.policy.entity_filter
            )
        ]
        return trial.gap <= min([trial.gap_standard_error, *allowed])

    return min(filter(is_close, trials), key=complexity)


def describe(policy: Policy) -> str:
    """Mode, and the thresholds that it looks at."""
    values = []
    if policy.mode in (Mode.THRESHOLD, Mode.GATE):
        values.append(f"h={policy.threshold:g}")
    if policy.mode is Mode.LEARNED:
        values.append(f"c={policy.confidence_threshold:g}")
    if policy.mode in (Mode.GATE, Mode.LEARNED):
        values.append(f"T={policy.rare_below}")
    if policy.quorum != ANY:
        values.append(f"quorum={policy.quorum:g}")
    if policy.entity_filter != "slm":
        values.append(f"entities={policy.entity_filter}")
    return " ".join([policy.mode.value, *values])


def figures(fitted: Fit) -> dict[str, Any]:
    """What dev said, as JSON: scores of the chosen policy, of its sources, and the runners-up."""
    if fitted.chosen is None:
        return {"sentences": fitted.sentences, "answered": fitted.answered, "policies": 0}
    best_of_mode: dict[Mode, Trial] = {}
    for trial in fitted.trials:
        best_of_mode.setdefault(trial.policy.mode, trial)
    runners_up = [trial for trial in fitted.trials if trial is not fitted.chosen][:_RUNNERS_UP]
    return {
        "sentences": fitted.sentences,
        "answered": fitted.answered,
        "sources": list(fitted.sources),
        "policies": len(fitted.trials),
        "objective": "mean of micro F1 and macro F1 (of macro precision and recall)",
        "chosen": trial_figures(fitted.chosen),
        "best_of_mode": [trial_figures(trial) for trial in best_of_mode.values()],
        "runners_up": [trial_figures(trial) for trial in runners_up],
    }


def trial_figures(trial: Trial) -> dict[str, Any]:
    """A policy that was tried, with its figures on dev, as JSON."""
    policy, confidence = trial.policy, trial.policy.confidence
    return {
        "mode": policy.mode.value,
        "threshold": policy.threshold,
        "rare_below": policy.rare_below,
        "quorum": policy.quorum,
        "entity_filter": policy.entity_filter,
        "confidence_threshold": None if confidence is None else confidence.threshold,
        "objective": trial.objective,
        "objective_standard_error": trial.standard_error,
        "gap": trial.gap,
        "gap_standard_error": trial.gap_standard_error,
        "dev_micro_f1": trial.scores.micro.f1,
        "dev_macro_f1_pr": trial.scores.macro.f1_pr,
    }
