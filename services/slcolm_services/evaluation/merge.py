"""The merge modes: what becomes of the SLM's triples S and the LLM's triples L of one sentence.

`union`, `threshold`, `replace-weak` and `slm-first` are modes 1 to 4 of the SLCoLM paper; `gate` is
ours: the LLM speaks on rare relation types, and the SLM keeps what it is sure of.

A mode is two clauses. One looks at a triple of S, one at a triple of L; each says by what rule the
triple is let in, or None. A triple is in the result if either clause lets it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from slcolm_services.corpus.documents import Triple
from slcolm_services.errors import FieldViolation, InvalidInput
from slcolm_services.evaluation.policy import Mode, Policy

Source = Literal["slm", "llm"]


@dataclass(frozen=True, slots=True)
class MergedTriple:
    """A triple that was let in.

    Attributes:
        triple: The triple; its probability is the SLM's, and None where the SLM lacks it.
        sources: Who predicted it: `slm`, `llm` or both, in this order.
        rule: The clause of the mode that let it in.
    """

    triple: Triple
    sources: tuple[Source, ...]
    rule: str


@dataclass(frozen=True, slots=True)
class _Sentence:
    """What the clauses may look at beside the triple itself."""

    policy: Policy
    slm: Mapping[Triple, Triple]
    llm: Mapping[Triple, Triple]
    slm_types: frozenset[str]


_Clause = Callable[[Triple, _Sentence], str | None]


def merge(
    slm: Iterable[Triple], llm: Iterable[Triple] | None, policy: Policy
) -> tuple[MergedTriple, ...]:
    """Merge the triples of one sentence.

    Args:
        slm: The SLM's triples. Of equal ones the most probable stands.
        llm: The LLM's triples after filtering; None if there is no answer, and then the result is
            the SLM's in every mode.
        policy: Mode and thresholds.

    Returns:
        Every final triple once: those of the SLM in their order, then the others of the LLM.

    Raises:
        InvalidInput: The mode looks at probabilities, and an SLM triple has none.
    """
    ours = _unique(slm)
    if llm is None:
        fallback = "slm: no LLM answer"
        return tuple(MergedTriple(triple, ("slm",), fallback) for triple in ours.values())
    theirs = {triple: replace(triple, prob=None) for triple in llm}
    sentence = _Sentence(policy, ours, theirs, frozenset(triple.type for triple in ours))
    slm_clause, llm_clause = _CLAUSES[policy.mode]
    merged = []
    for key in {**ours, **theirs}:
        rule = slm_clause(ours[key], sentence) if key in ours else None
        if rule is None and key in theirs:
            rule = llm_clause(key, sentence)
        if rule is not None:
            merged.append(MergedTriple(ours.get(key) or theirs[key], _sources(key, sentence), rule))
    return tuple(merged)


def _unique(triples: Iterable[Triple]) -> dict[Triple, Triple]:
    best: dict[Triple, Triple] = {}
    for triple in triples:
        known = best.get(triple)
        if known is None or (triple.prob or 0.0) > (known.prob or 0.0):
            best[triple] = triple
    return best


def _sources(triple: Triple, sentence: _Sentence) -> tuple[Source, ...]:
    sides: tuple[tuple[Source, Mapping[Triple, Triple]], ...] = (
        ("slm", sentence.slm),
        ("llm", sentence.llm),
    )
    return tuple(name for name, triples in sides if triple in triples)


def _probability(triple: Triple, sentence: _Sentence) -> float:
    if triple.prob is None:
        problem = f"mode {sentence.policy.mode} needs the SLM's probability of every triple"
        raise InvalidInput(
            f"{problem}: {triple.type} has none",
            violations=[FieldViolation("relations.probability", problem)],
        )
    return triple.prob


def _always(name: str) -> _Clause:
    return lambda _triple, _sentence: name


def _never(_triple: Triple, _sentence: _Sentence) -> str | None:
    return None


def _slm_above(triple: Triple, sentence: _Sentence) -> str | None:
    threshold = sentence.policy.threshold
    sure = _probability(triple, sentence) > threshold
    return f"slm: p > {threshold:.2f}" if sure else None


def _slm_strong(triple: Triple, sentence: _Sentence) -> str | None:
    return None if triple.type in sentence.policy.weak_types else "slm: not a weak type"


def _llm_weak_or_new(triple: Triple, sentence: _Sentence) -> str | None:
    if triple.type in sentence.policy.weak_types:
        return "llm: weak type"
    return _llm_new(triple, sentence)


def _llm_new(triple: Triple, sentence: _Sentence) -> str | None:
    return None if triple.type in sentence.slm_types else "llm: type not predicted by the slm"


def _slm_gated(triple: Triple, sentence: _Sentence) -> str | None:
    policy = sentence.policy
    if _probability(triple, sentence) >= policy.threshold:
        return f"slm: p >= {policy.threshold:.2f}"
    if triple in sentence.llm:
        return "slm: confirmed by the llm"
    return f"slm: type with n < {policy.rare_below}" if policy.is_rare(triple.type) else None


def _llm_gated(triple: Triple, sentence: _Sentence) -> str | None:
    policy = sentence.policy
    return f"llm: type with n < {policy.rare_below}" if policy.is_rare(triple.type) else None


_CLAUSES: Mapping[Mode, tuple[_Clause, _Clause]] = {
    Mode.SLM: (_always("slm"), _never),
    Mode.LLM: (_never, _always("llm")),
    Mode.UNION: (_always("slm"), _always("llm")),
    Mode.THRESHOLD: (_slm_above, _always("llm")),
    Mode.REPLACE_WEAK: (_slm_strong, _llm_weak_or_new),
    Mode.SLM_FIRST: (_always("slm"), _llm_new),
    Mode.GATE: (_slm_gated, _llm_gated),
}
