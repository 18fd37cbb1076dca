"""What an index holds, and its form in Qdrant payloads (JSON types)."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.duplicates import dedup_key
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema

Vector = npt.NDArray[np.float32]
"""A sentence vector of length 1, shape (dimension,)."""

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "slcolm:retrieval")


class Role(Enum):
    """What a sentence is indexed for."""

    DEMONSTRATION = "demonstration"
    TRAINING = "training"


@dataclass(frozen=True, slots=True)
class IndexedSentence:
    """A sentence of an index.

    Attributes:
        gold: The text with what is true of it.
        prediction: What the SLM predicted; None where it was not asked.
        vector: Sentence vector.
        role: What the sentence is indexed for.
    """

    gold: Document
    prediction: Document | None
    vector: Vector
    role: Role

    def payload(self) -> dict[str, Any]:
        """The sentence without its vector, in JSON types."""
        return {
            "role": self.role.value,
            "same_as": identity(self.gold),
            "gold": document_to_json(self.gold),
            "prediction": document_to_json(self.prediction) if self.prediction else None,
        }

    def point_id(self) -> str:
        """UUID of role, document id and content: indexing a sentence twice changes nothing."""
        content = json.dumps(self.payload(), ensure_ascii=True, sort_keys=True)
        return str(uuid.uuid5(_NAMESPACE, content))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of an index as a whole.

    Attributes:
        revision: Name that the caller chose.
        model_revision: Model that made the vectors.
        vector_dimension: Length of every vector.
        schema: The task.
        finished: Whether it can be selected from; nothing is added any more.
        demonstration_count: Sentences with that role.
        training_count: Sentences with that role.
        trigger_count: Trigger words; 0 until finished.
    """

    revision: str
    model_revision: str
    vector_dimension: int
    schema: TaskSchema
    finished: bool = False
    demonstration_count: int = 0
    training_count: int = 0
    trigger_count: int = 0

    def to_json(self) -> dict[str, Any]:
        """The manifest in JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Manifest:
        """Read what `to_json` wrote."""
        return cls(**{**data, "schema": _schema_from_json(data["schema"])})


def identity(document: Document) -> tuple[str, str]:
    """The names by which a sentence is known: its id, and its text as `dedup_key` folds it.

    Two sentences that share a name are the same sentence, and one must not be shown to the other.
    """
    key = dedup_key(document.text).encode("utf-8", "surrogatepass")
    return f"id:{document.id}", f"text:{hashlib.sha256(key).hexdigest()}"


def document_to_json(document: Document) -> dict[str, Any]:
    """A document in JSON types."""
    return {
        "id": document.id,
        "text": document.text,
        "entities": [
            [entity.type, entity.start, entity.end, entity.prob] for entity in document.entities
        ],
        "relations": [
            [relation.type, relation.head, relation.tail, relation.prob]
            for relation in document.relations
        ],
    }


def document_from_json(data: Mapping[str, Any]) -> Document:
    """Read what `document_to_json` wrote."""
    return Document(
        data["id"],
        data["text"],
        tuple(Entity(*row) for row in data["entities"]),
        tuple(Relation(*row) for row in data["relations"]),
    )


def _schema_from_json(data: Mapping[str, Any]) -> TaskSchema:
    return TaskSchema(
        **{
            **data,
            "entity_types": tuple(EntityType(**kind) for kind in data["entity_types"]),
            "relation_types": tuple(
                RelationType(
                    **{
                        **kind,
                        "head_types": tuple(kind["head_types"]),
                        "tail_types": tuple(kind["tail_types"]),
                    }
                )
                for kind in data["relation_types"]
            ),
        }
    )
