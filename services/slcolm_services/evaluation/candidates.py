"""The candidate triples of sentences as columns: what merging and learning look at.

A candidate is a triple that the SLM or any answer holds. Columns say who holds it and what speaks
for and against it, so that a mode is one expression over columns, for one sentence or all of dev.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slcolm_services.corpus.documents import Triple
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.evaluation.evidence import NO_MENTION, Evidence, Mention, voter
from slcolm_services.scoring.counts import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


class _Row(NamedTuple):
    """What the columns say of one candidate; see `Candidates`."""

    triple: Triple
    sentence: int
    slm: bool
    slm_probability: float
    held: int
    asked: int
    slm_type: bool
    admitted: float
    mention_probability: float
    slm_rival: float
    llm_rival: float
    slm_reversed: bool
    size: int
    votes: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidate triples, a row each; all arrays have shape (candidates,).

    Attributes:
        triples: The candidates: of each sentence those of the SLM in their order, then the others.
        sentence: Index of the sentence.
        slm: Whether the SLM holds it.
        slm_probability: As the SLM gave it; NaN where it gave none.
        held: Number of answers that hold it.
        asked: Number of answers to its sentence.
        slm_type: Whether the SLM predicted its type, for any pair, in this sentence.
        admitted: 1 if the schema admits its type between the SLM's entity types of its mentions,
            -1 if not, 0 if the SLM has no entity type for a mention.
        mention_probability: The SLM's for the less probable of its mentions; NaN where it gave
            none for a mention.
        slm_rival: Highest SLM probability of another type between its mentions; 0 where none is.
        llm_rival: Highest share of answers with another type between its mentions.
        slm_reversed: Whether the SLM holds it with head and tail exchanged.
        size: Candidates of its sentence.
        votes: By voter: the mean over its answers of 1 for holding it and -1 for not; 0 where it
            did not answer. A voter that never answers is not named.
    """

    triples: tuple[Triple, ...]
    sentence: IntArray
    slm: BoolArray
    slm_probability: FloatArray
    held: IntArray
    asked: IntArray
    slm_type: BoolArray
    admitted: FloatArray
    mention_probability: FloatArray
    slm_rival: FloatArray
    llm_rival: FloatArray
    slm_reversed: BoolArray
    size: IntArray
    votes: Mapping[str, FloatArray]

    @property
    def share(self) -> FloatArray:
        """Share of the answers that hold it; 0 where there is no answer."""
        return self.held / np.maximum(self.asked, 1)


def tabulate(sentences: Iterable[Evidence], schema: TaskSchema) -> Candidates:
    """Put the candidates of sentences into columns.

    Args:
        sentences: What is known of each.
        schema: Says which entity types a relation type admits.
    """
    rows = [
        row
        for index, evidence in enumerate(sentences)
        for row in _Sentence(index, one_way(evidence, schema), schema).rows()
    ]
    voters = sorted({name for row in rows for name in row.votes})
    return Candidates(
        triples=tuple(row.triple for row in rows),
        sentence=_integers([row.sentence for row in rows]),
        slm=np.array([row.slm for row in rows], dtype=np.bool_),
        slm_probability=_floats([row.slm_probability for row in rows]),
        held=_integers([row.held for row in rows]),
        asked=_integers([row.asked for row in rows]),
        slm_type=np.array([row.slm_type for row in rows], dtype=np.bool_),
        admitted=_floats([row.admitted for row in rows]),
        mention_probability=_floats([row.mention_probability for row in rows]),
        slm_rival=_floats([row.slm_rival for row in rows]),
        llm_rival=_floats([row.llm_rival for row in rows]),
        slm_reversed=np.array([row.slm_reversed for row in rows], dtype=np.bool_),
        size=_integers([row.size for row in rows]),
        votes={name: _floats([row.votes.get(name, 0.0) for row in rows]) for name in voters},
    )


def _floats(values: Sequence[float]) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _integers(values: Sequence[int]) -> IntArray:
    return np.array(values, dtype=np.int64)


def one_way(evidence: Evidence, schema: TaskSchema) -> Evidence:
    """The same evidence with each triple of a symmetric type in one direction.

    It is that in which it came first: the SLM's, else the first answer's. Without this, two who say
    the same of a symmetric type would not be seen to agree, and both forms would be merged.
    """
    seen: dict[tuple[str, frozenset[str]], Triple] = {}

    def turned(triple: Triple) -> Triple:
        kind = schema.relations_by_name.get(triple.type)
        if kind is None or not kind.symmetric:
            return triple
        first = seen.setdefault((triple.type, frozenset((triple.head, triple.tail))), triple)
        return replace(triple, head=first.head, tail=first.tail)

    return replace(
        evidence,
        slm=tuple(map(turned, evidence.slm)),
        answers={
            source: tuple(dict.fromkeys(map(turned, triples)))
            for source, triples in evidence.answers.items()
        },
    )


class _Sentence:
    """The candidates of one sentence."""

    def __init__(self, index: int, evidence: Evidence, schema: TaskSchema) -> None:
        self._index = index
        self._evidence = evidence
        self._schema = schema
        self._slm = _unique(evidence.slm)
        self._answers = {source: set(triples) for source, triples in evidence.answers.items()}
        self._slm_types = {triple.type for triple in self._slm}
        self._all = list(
            dict.fromkeys(
                (*self._slm, *(t for triples in evidence.answers.values() for t in triples))
            )
        )
        self._between: dict[frozenset[str], list[Triple]] = {}
        for triple in self._all:
            self._between.setdefault(frozenset((triple.head, triple.tail)), []).append(triple)

    def rows(self) -> Iterable[_Row]:
        for triple in self._all:
            ours = self._slm.get(triple)
            rivals = [
                other
                for other in self._between[frozenset((triple.head, triple.tail))]
                if other.type != triple.type
            ]
            yield _Row(
                triple=ours or triple,
                sentence=self._index,
                slm=ours is not None,
                slm_probability=np.nan if ours is None or ours.prob is None else ours.prob,
                held=self._held(triple),
                asked=len(self._answers),
                slm_type=triple.type in self._slm_types,
                admitted=self._admitted(triple),
                mention_probability=self._mention_probability(triple),
                slm_rival=max(
                    (self._slm[t].prob or 0.0 for t in rivals if t in self._slm), default=0.0
                ),
                llm_rival=max((self._share(other) for other in rivals), default=0.0),
                slm_reversed=Triple(triple.tail, triple.head, triple.type) in self._slm,
                size=len(self._all),
                votes=self._votes(triple),
            )

    def _held(self, triple: Triple) -> int:
        return sum(triple in answer for answer in self._answers.values())

    def _share(self, triple: Triple) -> float:
        return self._held(triple) / len(self._answers) if self._answers else 0.0

    def _votes(self, triple: Triple) -> dict[str, float]:
        votes: dict[str, list[int]] = {}
        for source, answer in self._answers.items():
            votes.setdefault(voter(source), []).append(1 if triple in answer else -1)
        return {name: sum(cast) / len(cast) for name, cast in votes.items()}

    def _mentions(self, triple: Triple) -> tuple[Mention, Mention]:
        known = self._evidence.mentions
        return known.get(triple.head, NO_MENTION), known.get(triple.tail, NO_MENTION)

    def _admitted(self, triple: Triple) -> float:
        head, tail = self._mentions(triple)
        kind = self._schema.relations_by_name.get(triple.type)
        if not head.types or not tail.types or kind is None:
            return 0.0
        return 1.0 if any(kind.admits(*pair) for pair in product(head.types, tail.types)) else -1.0

    def _mention_probability(self, triple: Triple) -> float:
        known = [m.prob for m in self._mentions(triple) if m.prob is not None]
        return min(known) if len(known) == len(("head", "tail")) else np.nan


def _unique(triples: Iterable[Triple]) -> dict[Triple, Triple]:
    best: dict[Triple, Triple] = {}
    for triple in triples:
        known = best.get(triple)
        if known is None or (triple.prob or 0.0) > (known.prob or 0.0):
            best[triple] = triple
    return best
