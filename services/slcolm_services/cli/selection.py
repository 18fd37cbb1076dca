"""Demonstrations and candidates for single files, without an index or sentence vectors.

The service fuses a dense and a sparse search; here the sparse one is all there is: cosine of the
same terms, weighted by their inverse document frequency.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.guidance.items import Candidate, Demonstration, GuideItem
from slcolm_services.retrieval.candidates import Neighbour, choose
from slcolm_services.retrieval.config import TriggerConfig
from slcolm_services.retrieval.records import identity
from slcolm_services.retrieval.terms import sparse_vector
from slcolm_services.retrieval.triggers import mine

_NEIGHBOURS = 10
_CANDIDATES = 12


class Examples:
    """Solved examples to choose from.

    Args:
        documents: The examples, with what is true of them.
        schema: The task.
    """

    def __init__(self, documents: Sequence[Document], schema: TaskSchema) -> None:
        self._documents = documents
        self._schema = schema
        self._lexicon = mine(documents, TriggerConfig())
        self._names = [set(identity(document)) for document in documents]
        vectors = [sparse_vector(document.text) for document in documents]
        counts = Counter(term for vector in vectors for term in vector)
        self._rarity = {
            term: math.log(1 + len(documents) / count) for term, count in counts.items()
        }
        self._postings: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for place, vector in enumerate(vectors):
            for term, weight in self._unit(vector).items():
                self._postings[term].append((place, weight))

    def item(self, document: Document, demonstrations: int) -> GuideItem:
        """A text with its most similar examples and its candidate relation types.

        The text's own example, if it is among them, is not shown to it.
        """
        ranked = self._similar(document)
        neighbours = [
            Neighbour(frozenset(found.type for found in self._documents[place].relations), score)
            for place, score in ranked[:_NEIGHBOURS]
        ]
        chosen = choose(
            self._schema, document, neighbours, self._lexicon.find(document), _CANDIDATES
        )
        return GuideItem(
            document,
            tuple(Demonstration(self._documents[place]) for place, _ in ranked[:demonstrations]),
            tuple(Candidate(found.type, found.score, found.triggers) for found in chosen),
        )

    def _similar(self, document: Document) -> list[tuple[int, float]]:
        """Places of the examples that share a term with a text, and their cosine, best first."""
        scores: dict[int, float] = defaultdict(float)
        for term, weight in self._unit(sparse_vector(document.text)).items():
            for place, other in self._postings.get(term, ()):
                scores[place] += weight * other
        own = set(identity(document))
        others = (
            (place, score) for place, score in scores.items() if own.isdisjoint(self._names[place])
        )
        return sorted(others, key=lambda found: (-found[1], found[0]))

    def _unit(self, vector: dict[int, float]) -> dict[int, float]:
        weighted = {term: weight * self._rarity.get(term, 0.0) for term, weight in vector.items()}
        length = math.hypot(*weighted.values()) or 1.0
        return {term: weight / length for term, weight in weighted.items() if weight}
