"""What a corpus holds: sizes, lengths, and how often each type occurs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.duplicates import dedup_key
from slcolm_services.corpus.schema import TaskSchema

Bucket = Literal["head", "medium", "tail"]
"""Frequency bucket of a relation type by its training count."""

HEAD_ABOVE = 100
TAIL_UP_TO = 20
_PERCENTILES = (5, 25, 50, 75, 95, 99)


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How often a relation type occurs.

    Attributes:
        name: The relation type.
        count: Instances in the documents.
        bucket: Frequency bucket by `count`, which means something on training data only.
    """

    name: str
    count: int
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class CorpusStats:
    """Statistics of a set of documents.

    Attributes:
        documents: Documents.
        characters: Code points of all texts.
        entities: Entities.
        relations: Relations.
        without_relations: Documents that hold no relation.
        repeated_texts: Documents whose text, folded and without punctuation, came before.
        nested_entities: Pairs of entities of which one lies inside the other, equal ranges too.
        crossing_entities: Pairs of entities that overlap without one lying inside the other.
        length_percentiles: Text length in code points by percentile (nearest rank), with
            0 for the shortest and 100 for the longest; empty without documents.
        entity_counts: Entities by type, the most frequent first.
        relation_counts: Relation types, the most frequent first; every type of the schema.
    """

    documents: int
    characters: int
    entities: int
    relations: int
    without_relations: int
    repeated_texts: int
    nested_entities: int
    crossing_entities: int
    length_percentiles: dict[int, int]
    entity_counts: dict[str, int]
    relation_counts: tuple[TypeCount, ...]


def frequency_bucket(count: int) -> Bucket:
    """Bucket of a relation type with `count` training instances: head > 100, tail <= 20."""
    if count > HEAD_ABOVE:
        return "head"
    return "tail" if count <= TAIL_UP_TO else "medium"


def training_counts(docs: Iterable[Document], schema: TaskSchema) -> dict[str, int]:
    """Instances of each relation type of the schema, zeros included, in the schema's order.

    Every relation counts as it stands in the file. Labels outside the schema are not counted.
    """
    counts = Counter(relation.type for doc in docs for relation in doc.relations)
    return {relation.name: counts[relation.name] for relation in schema.relation_types}


def statistics(docs: Sequence[Document], schema: TaskSchema | None = None) -> CorpusStats:
    """Count what the documents hold.

    Args:
        docs: The documents.
        schema: Adds the types that do not occur. Labels outside the schema are counted too.
    """
    relations: Counter[str] = Counter(training_counts(docs, schema) if schema else {})
    for relation_type, count in Counter(
        relation.type for doc in docs for relation in doc.relations
    ).items():
        relations[relation_type] = count
    entities = Counter(entity.type for doc in docs for entity in doc.entities)
    overlaps = [_overlaps(doc.entities) for doc in docs]
    return CorpusStats(
        documents=len(docs),
        characters=sum(len(doc.text) for doc in docs),
        entities=entities.total(),
        relations=relations.total(),
        without_relations=sum(not doc.relations for doc in docs),
        repeated_texts=len(docs) - len({dedup_key(doc.text) for doc in docs}),
        nested_entities=sum(nested for nested, _ in overlaps),
        crossing_entities=sum(crossing for _, crossing in overlaps),
        length_percentiles=_percentiles([len(doc.text) for doc in docs]),
        entity_counts=dict(entities.most_common()),
        relation_counts=tuple(
            TypeCount(name, count, frequency_bucket(count))
            for name, count in relations.most_common()
        ),
    )


def _overlaps(entities: Sequence[Entity]) -> tuple[int, int]:
    """Pairs that are nested and pairs that cross."""
    nested = crossing = 0
    ordered = sorted(entities, key=lambda entity: (entity.start, -entity.end))
    for index, first in enumerate(ordered):
        for second in ordered[index + 1 :]:
            if second.start >= first.end:
                break
            if second.end <= first.end:
                nested += 1
            else:
                crossing += 1
    return nested, crossing


def _percentiles(lengths: list[int]) -> dict[int, int]:
    if not lengths:
        return {}
    ordered = sorted(lengths)
    ranks = {rank: math.ceil(rank / 100 * len(ordered)) - 1 for rank in _PERCENTILES}
    return {0: ordered[0], **{rank: ordered[at] for rank, at in ranks.items()}, 100: ordered[-1]}
