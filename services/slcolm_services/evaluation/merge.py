"""The merge modes: what becomes of the SLM's triples S and the LLMs' triples L of one sentence.

`union`, `threshold`, `replace-weak` and `slm-first` are modes 1 to 4 of the SLCoLM paper; `gate` is
ours: the LLM speaks on rare relation types, and the SLM keeps what it is sure of. `learned` keeps
what the policy's confidence finds likely enough; of a rare type half as likely is enough, because
the threshold that is best for F1 is half of the F1 that can be had (Lipton et al. 2014, "Optimal
thresholding of classifiers to maximize F1 measure"), and that is lower there.

A mode is a list of clauses. Each says by what rule it lets candidates in, and which; a candidate is
in the result if any clause lets it in, by the rule of the first that does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.evaluation.calibration import Calibration
from slcolm_services.evaluation.candidates import BoolArray, Candidates, one_way, tabulate
from slcolm_services.evaluation.evidence import SLM, Evidence
from slcolm_services.evaluation.policy import Mode, Policy
from slcolm_services.scoring.counts import FloatArray, IntArray

LEFT_OUT = -1
"""Stands for a rule where a candidate was not let in."""

NO_ANSWER = 0
"""Rule of the SLM's triples in a sentence without any answer; those of the mode count from 1."""


@dataclass(frozen=True, slots=True)
class MergedTriple:
    """A triple that was let in.

    Attributes:
        triple: The triple. Its probability is the policy's confidence where there are both a
            confidence and an answer, else the SLM's, calibrated; None where neither can say.
        slm_probability: The SLM's probability as it gave it; None where it gave none.
        sources: Who predicted it: `slm` first, then the sources of the answers in their order.
        rule: The clause of the mode that let it in.
    """

    triple: Triple
    slm_probability: float | None
    sources: tuple[str, ...]
    rule: str


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a policy's fitted parts say of candidates; all arrays have shape (candidates,).

    Attributes:
        probability: That it is right; NaN where nothing can say.
        weak: Whether its type is in K.
        training_count: Training instances of its type.
    """

    probability: FloatArray
    weak: BoolArray
    training_count: IntArray


def merge(evidence: Evidence, policy: Policy, schema: TaskSchema) -> tuple[MergedTriple, ...]:
    """Merge the triples of one sentence.

    Without any answer the result is the SLM's in every mode.

    Args:
        evidence: Who predicted what.
        policy: Mode, thresholds and fitted parts.
        schema: Says which entity types a relation type admits.

    Returns:
        Every final triple once: those of the SLM in their order, then the others. One of a
        symmetric type has the direction in which it came first, the SLM's before an answer's.

    Raises:
        InvalidInput: The mode looks at probabilities, and an SLM triple has none.
    """
    evidence = one_way(evidence, schema)
    candidates = tabulate([evidence], schema)
    judgement = judge(candidates, policy)
    names = rules(policy)
    return tuple(
        MergedTriple(
            triple=replace(triple, prob=_number(judgement.probability[row])),
            slm_probability=_number(candidates.slm_probability[row]),
            sources=_sources(triple, evidence),
            rule=names[rule],
        )
        for row, (triple, rule) in enumerate(
            zip(candidates.triples, decide(candidates, judgement, policy), strict=True)
        )
        if rule != LEFT_OUT
    )


def judge(candidates: Candidates, policy: Policy) -> Judgement:
    """Give each candidate what the fitted parts of a policy say of it."""
    calibration = policy.calibration or Calibration()
    probability = calibration.apply(candidates.slm_probability)
    if policy.confidence is not None:
        confident = policy.confidence.probabilities(candidates, calibration, policy.training_counts)
        probability = np.where(candidates.asked > 0, confident, probability)
    types = [triple.type for triple in candidates.triples]
    return Judgement(
        probability=probability,
        weak=np.array([name in policy.weak_types for name in types], dtype=np.bool_),
        training_count=np.array(
            [policy.training_counts.get(name, 0) for name in types], dtype=np.int64
        ),
    )


def decide(candidates: Candidates, judgement: Judgement, policy: Policy) -> IntArray:
    """By which rule each candidate is let in.

    Args:
        candidates: Of one sentence or of many.
        judgement: From `judge`.
        policy: Mode and thresholds; its fitted parts are not looked at.

    Returns:
        Indexes into `rules(policy)`, or `LEFT_OUT`; shape (candidates,).

    Raises:
        InvalidInput: The mode looks at probabilities, and an SLM triple has none.
    """
    seen = _Seen(candidates, judgement, policy)
    answered = candidates.asked > 0
    clauses = _CLAUSES[policy.mode]
    rule = np.full(len(candidates.triples), LEFT_OUT, dtype=np.int64)
    for index in range(len(clauses), 0, -1):
        rule[answered & clauses[index - 1].lets_in(seen)] = index
    rule[~answered] = NO_ANSWER
    return rule


def rules(policy: Policy) -> tuple[str, ...]:
    """What each rule of a policy is called."""
    return "slm: no LLM answer", *(clause.name(policy) for clause in _CLAUSES[policy.mode])


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _sources(triple: Triple, evidence: Evidence) -> tuple[str, ...]:
    sides = {SLM: evidence.slm, **evidence.answers}
    return tuple(source for source, triples in sides.items() if triple in triples)


class _Seen:
    """The columns that clauses look at."""

    def __init__(self, candidates: Candidates, judgement: Judgement, policy: Policy) -> None:
        self._candidates = candidates
        self._judgement = judgement
        self.policy = policy
        self.slm = candidates.slm
        self.llm = _in_quorum(candidates, policy.quorum)
        self.new_type = ~candidates.slm_type
        self.weak = judgement.weak
        self.rare = judgement.training_count < policy.rare_below
        self.confidence_threshold = policy.confidence_threshold

    @property
    def slm_probability(self) -> FloatArray:
        """As the SLM gave it."""
        return self._complete(self._candidates.slm_probability)

    @property
    def probability(self) -> FloatArray:
        """As the policy's confidence has it."""
        return self._complete(self._judgement.probability)

    def _complete(self, probability: FloatArray) -> FloatArray:
        """The probabilities, once it is sure that none of the SLM is missing."""
        candidates = self._candidates
        missing = candidates.slm & (candidates.asked > 0) & np.isnan(candidates.slm_probability)
        if missing.any():
            first = candidates.triples[int(missing.argmax())]
            problem = f"mode {self.policy.mode} needs the SLM's probability of every triple"
            raise InvalidInput(
                f"{problem}: {first.type} of {first.head!r} and {first.tail!r} has none",
                violations=[FieldViolation("relations.probability", problem)],
            )
        return probability


def _in_quorum(candidates: Candidates, quorum: float) -> BoolArray:
    """Which candidates are in L: more than `quorum` of the answers hold them, or all do."""
    held, asked = candidates.held, candidates.asked
    return np.asarray((held > 0) & ((held > quorum * asked) | (held == asked)))


@dataclass(frozen=True, slots=True)
class _Clause:
    """One way into the result.

    Attributes:
        name: What the rule is called under a policy.
        lets_in: Which candidates it lets in.
    """

    name: Callable[[Policy], str]
    lets_in: Callable[[_Seen], BoolArray]


def _clause(name: str, lets_in: Callable[[_Seen], BoolArray]) -> _Clause:
    """A clause whose name may hold `{h}`, `{T}` and `{c}`: the thresholds of the policy."""
    return _Clause(
        lambda policy: name.format(
            h=f"{policy.threshold:.2f}",
            T=policy.rare_below,
            c=f"{policy.confidence_threshold:.2f}",
        ),
        lets_in,
    )


_SLM = _clause("slm", lambda seen: seen.slm)
_LLM = _clause("llm", lambda seen: seen.llm)
_LLM_NEW = _clause("llm: type not predicted by the slm", lambda seen: seen.llm & seen.new_type)

_CLAUSES: Mapping[Mode, tuple[_Clause, ...]] = {
    Mode.SLM: (_SLM,),
    Mode.LLM: (_LLM,),
    Mode.UNION: (_SLM, _LLM),
    Mode.THRESHOLD: (
        _clause(
            "slm: p > {h}", lambda seen: seen.slm & (seen.slm_probability > seen.policy.threshold)
        ),
        _LLM,
    ),
    Mode.REPLACE_WEAK: (
        _clause("slm: not a weak type", lambda seen: seen.slm & ~seen.weak),
        _clause("llm: weak type", lambda seen: seen.llm & seen.weak),
        _LLM_NEW,
    ),
    Mode.SLM_FIRST: (_SLM, _LLM_NEW),
    Mode.GATE: (
        _clause(
            "slm: p >= {h}", lambda seen: seen.slm & (seen.slm_probability >= seen.policy.threshold)
        ),
        _clause("slm: confirmed by the llm", lambda seen: seen.slm & seen.llm),
        _clause("slm: type with n < {T}", lambda seen: seen.slm & seen.rare),
        _clause("llm: type with n < {T}", lambda seen: seen.llm & seen.rare),
    ),
    Mode.LEARNED: (
        _clause("confidence >= {c}", lambda seen: seen.probability >= seen.confidence_threshold),
        _clause(
            "confidence >= {c} / 2: type with n < {T}",
            lambda seen: seen.rare & (seen.probability >= seen.confidence_threshold / 2),
        ),
    ),
}
