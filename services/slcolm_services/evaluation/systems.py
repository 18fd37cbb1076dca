"""A policy beside what it has to beat: the SLM, each LLM, and the modes with fixed thresholds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.evaluation.evidence import Evidence
from slcolm_services.evaluation.fit import fit
from slcolm_services.evaluation.learning import DevSentence
from slcolm_services.evaluation.merge import merge
from slcolm_services.evaluation.policy import (
    ALL,
    ANY,
    MAJORITY,
    PLAIN_MODES,
    EntityFilter,
    Mode,
    Policy,
    default_policy,
)
from slcolm_services.scoring.strict import (
    DEFAULT_SEED,
    Comparison,
    Scores,
    Sentence,
    compare,
    count_strict,
    score,
)

MERGED = "merged"
"""Name of the policy's own result among the systems."""

_FEWEST_FOLDS = 2


@dataclass(frozen=True, slots=True)
class System:
    """One way to merge, scored.

    Attributes:
        scores: With intervals.
        merged_minus_this: The policy's result minus this one; None for itself.
    """

    scores: Scores
    merged_minus_this: Comparison | None


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """A policy fitted and applied fold by fold.

    Attributes:
        policies: What was fitted for each fold.
        systems: By name, over the sentences of all folds.
    """

    policies: tuple[Policy, ...]
    systems: Mapping[str, System]


def results(
    evidence: Sequence[Evidence], policy: Policy, schema: TaskSchema, sources: Sequence[str]
) -> dict[str, list[tuple[Triple, ...]]]:
    """The triples of every system, by its name and by sentence.

    The modes have the thresholds of the paper and the policy's K, counts and filter. With several
    sources L is what more than half of the answers hold.

    Args:
        evidence: What is known of each sentence.
        policy: The policy whose result is `merged`.
        schema: Names the relation types.
        sources: Who answered, somewhere.
    """
    fixed = replace(
        default_policy(policy.training_counts, policy.weak_types),
        entity_filter=policy.entity_filter,
    )
    several = len(sources) > 1
    found = {MERGED: _merged(evidence, policy, schema)}
    for mode in PLAIN_MODES:
        if mode is Mode.LLM and several:
            for source in sources:
                alone = [_only(item, source) for item in evidence]
                found[source] = _merged(alone, fixed.with_mode(mode), schema)
            for name, quorum in (("any", ANY), ("majority", MAJORITY), ("all", ALL)):
                voted = replace(fixed, mode=mode, quorum=quorum)
                found[f"llm {name}"] = _merged(evidence, voted, schema)
        else:
            plain = replace(fixed, mode=mode, quorum=MAJORITY if several else ANY)
            found[mode.value] = _merged(evidence, plain, schema)
    return found


def _only(evidence: Evidence, source: str) -> Evidence:
    answer = evidence.answers.get(source)
    return replace(evidence, answers={} if answer is None else {source: answer})


def _merged(
    evidence: Iterable[Evidence], policy: Policy, schema: TaskSchema
) -> list[tuple[Triple, ...]]:
    return [tuple(item.triple for item in merge(one, policy, schema)) for one in evidence]


def score_systems(
    gold: Sequence[Sentence],
    found: Mapping[str, Sequence[tuple[Triple, ...]]],
    schema: TaskSchema,
    training_counts: Mapping[str, int],
    samples: int = 1000,
) -> dict[str, System]:
    """Score systems by the strict protocol, with paired differences to the policy's result.

    Args:
        gold: The true triples.
        found: From `results`, in the order of gold.
        schema: Names the relation types.
        training_counts: Training instances by relation type.
        samples: Bootstrap resamples.

    Raises:
        InvalidInput: There is no gold sentence, or a gold label is unknown.
    """
    counts = {
        name: count_strict(
            gold,
            [Sentence(line.id, said) for line, said in zip(gold, triples, strict=True)],
            schema,
        )
        for name, triples in found.items()
    }
    return {
        name: System(
            score(of_system, training_counts, samples=samples),
            None if name == MERGED else compare(of_system, counts[MERGED], samples=samples),
        )
        for name, of_system in counts.items()
    }


def crossvalidate(
    dev: Sequence[DevSentence],
    schema: TaskSchema,
    training_counts: Mapping[str, int],
    *,
    folds: int = 5,
    entity_filters: Sequence[EntityFilter] = ("slm",),
    modes: Collection[Mode] = tuple(Mode),
    samples: int = 1000,
    seed: int = DEFAULT_SEED,
) -> CrossValidation:
    """Fit on all folds but one and apply to that one, in turn; score all folds together.

    Choosing a policy is itself cross-validated inside each fit: the figures are those of the whole
    procedure on sentences that it has not seen (Varma & Simon 2006).

    Args:
        dev: Answered sentences with gold.
        schema: Names the relation types.
        training_counts: Training instances by relation type.
        folds: How many.
        entity_filters: Filters to choose from, the one to prefer first.
        modes: Modes to choose from.
        samples: Bootstrap resamples.
        seed: Of the folds and resamples.

    Raises:
        InvalidInput: There are fewer than two folds, or fewer sentences than folds; or see `fit`.
    """
    if not _FEWEST_FOLDS <= folds <= len(dev):
        problem = (
            f"must be from {_FEWEST_FOLDS} to the number of sentences, {len(dev)}, got {folds}"
        )
        raise InvalidInput(f"folds {problem}", violations=[FieldViolation("folds", problem)])
    shuffled = np.random.default_rng(seed + 1).permutation(len(dev))
    gold: list[Sentence] = []
    found: dict[str, list[tuple[Triple, ...]]] = {}
    policies = []
    sources = sorted({source for line in dev for source in line.sources})
    for fold in range(folds):
        here = set(shuffled[fold::folds].tolist())
        rest = [line for index, line in enumerate(dev) if index not in here]
        policy = fit(
            rest, schema, training_counts, entity_filters=entity_filters, modes=modes, seed=seed
        ).policy
        lines = [dev[index] for index in sorted(here)]
        evidence = [line.evidence[policy.entity_filter] for line in lines]
        gold += [Sentence(line.id, line.gold) for line in lines]
        for name, triples in results(evidence, policy, schema, sources).items():
            found.setdefault(name, []).extend(triples)
        policies.append(policy)
    systems = score_systems(gold, found, schema, training_counts, samples)
    return CrossValidation(tuple(policies), systems)
