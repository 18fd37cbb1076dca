"""Routing: which texts to ask an LLM about first when not all can be asked about.

The expected gain of asking is a weighted sum of what is known of a text before anyone is asked:

- uncertainty: sum of p (1 - p) over the SLM's triples, the variance of how many of them are right
  (uncertainty sampling: Settles 2009, "Active learning literature survey", section 3.1);
- lone entities: mentions that take part in no triple. A relation that the SLM did not find leaves
  them behind;
- rare candidates: scores of the candidate relation types that are rare in training and that the
  SLM did not predict here. Uncertainty alone passes these texts by: where the SLM knows nothing, it
  has no doubts.

The weights were chosen on the dev answers of one LLM (`docs/results.md`). Nothing here is random.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.stats import frequency_bucket


class Features(NamedTuple):
    """What the expected gain is made of, or the weight of each."""

    uncertainty: float
    lone_entities: float
    rare_candidates: float


WEIGHTS = Features(uncertainty=1.0, lone_entities=0.4, rare_candidates=8.0)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a text before an LLM is asked.

    Attributes:
        triples: Relation type and calibrated probability of each of the SLM's triples.
        lone_entities: Mentions, each text once, that take part in none of them.
        candidates: Candidate relation types with their scores in (0, 1].
    """

    triples: Sequence[tuple[str, float]]
    lone_entities: int
    candidates: Mapping[str, float]

    @classmethod
    def of(
        cls, mentions: Iterable[str], triples: Sequence[Triple], candidates: Mapping[str, float]
    ) -> Self:
        """The outlook of what the SLM found: wordings of its mentions, and its triples."""
        paired = {mention for triple in triples for mention in (triple.head, triple.tail)}
        return cls(
            [(triple.type, triple.prob or 0.0) for triple in triples],
            len(set(mentions) - paired),
            candidates,
        )


def features(outlook: Outlook, training_counts: Mapping[str, int]) -> Features:
    """The features of a text. A type that is not counted is rare."""
    predicted = {kind for kind, _ in outlook.triples}
    return Features(
        uncertainty=sum(p * (1 - p) for _, p in outlook.triples),
        lone_entities=outlook.lone_entities,
        rare_candidates=sum(
            score
            for kind, score in outlook.candidates.items()
            if kind not in predicted and frequency_bucket(training_counts.get(kind, 0)) == "tail"
        ),
    )


def expected_gain(outlook: Outlook, training_counts: Mapping[str, int]) -> float:
    """How much asking about a text is expected to help; comparable between texts only."""
    found = features(outlook, training_counts)
    return sum(weight * value for weight, value in zip(WEIGHTS, found, strict=True))


def route(outlooks: Sequence[Outlook], training_counts: Mapping[str, int]) -> list[int]:
    """Places of the texts, the one with the highest expected gain first; of equals the first."""
    gains = [expected_gain(outlook, training_counts) for outlook in outlooks]
    return sorted(range(len(gains)), key=lambda place: -gains[place])
