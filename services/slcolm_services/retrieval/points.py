"""A sentence as a point of Qdrant: its vectors, what finds it, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from slcolm_services.corpus.documents import Document
from slcolm_services.retrieval.records import Role, Vector, document_from_json
from slcolm_services.retrieval.terms import sparse_vector

_SCORE_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Hit:
    """A sentence that a search found.

    Attributes:
        gold: The text with what is true of it.
        prediction: What the SLM predicted; None where the sentence was indexed without.
        score: Fused similarity; 0 for a random draw.
    """

    gold: Document
    prediction: Document | None
    score: float


def dense_name(role: Role) -> str:
    """Name of the sentence vectors of a role."""
    return f"{role.value}-sentence"


def sparse_name(role: Role) -> str:
    """Name of the vectors of terms of a role."""
    return f"{role.value}-terms"


def vectors_of(text: str, vector: Vector, role: Role) -> dict[str, Any]:
    """Named vectors of a text. A text without terms has no sparse vector."""
    vectors: dict[str, Any] = {dense_name(role): vector.tolist()}
    terms = sparse_vector(text)
    if terms:
        vectors[sparse_name(role)] = models.SparseVector(
            indices=list(terms.keys()), values=list(terms.values())
        )
    return vectors


def role_filter(role: Role) -> models.Filter:
    """All sentences of a role."""
    return models.Filter(
        must=[models.FieldCondition(key="role", match=models.MatchValue(value=role.value))]
    )


def others_filter(own: frozenset[str]) -> models.Filter:
    """All sentences but those that share one of these names."""
    names = models.MatchAny(any=sorted(own))
    return models.Filter(must_not=[models.FieldCondition(key="same_as", match=names)])


def in_order(points: list[models.ScoredPoint]) -> list[models.ScoredPoint]:
    """Points from the best on; those that are equally good in the order of their ids.

    The embedded Qdrant has them in the order in which they came, turns that round when it is opened
    again, and its scores then differ in the last digit: the same query would find other sentences.
    """
    return sorted(points, key=lambda point: (-round(point.score, _SCORE_DIGITS), str(point.id)))


def payload_of(point: models.Record | models.ScoredPoint) -> dict[str, Any]:
    """What is stored beside the vectors."""
    assert point.payload is not None  # noqa: S101  every point here was asked for with its payload
    return point.payload


def hit_of(point: models.Record | models.ScoredPoint, score: float) -> Hit:
    """A point as a sentence that was found."""
    payload = payload_of(point)
    prediction = payload["prediction"]
    return Hit(
        document_from_json(payload["gold"]),
        document_from_json(prediction) if prediction else None,
        score,
    )
