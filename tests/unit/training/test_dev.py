"""Whether entities may overlap is decided by what dev is like."""

from __future__ import annotations

import numpy as np
import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.model.decode import SpanPrediction, candidate_pairs
from slcolm_services.model.folder import ModelManifest
from slcolm_services.model.tokenization import Encoded
from slcolm_services.training.dev import Prediction, settle_overlaps
from slcolm_services.training.examples import Example

SCHEMA = TaskSchema("places", "en", (EntityType("LOC", "place"),), (RelationType("near", "near"),))
MANIFEST = ModelManifest(
    entity_types=("LOC",),
    relation_types=("near",),
    max_tokens=16,
    max_span_tokens=4,
    relation_threshold=0.5,
    vector_dimension=4,
)
SURE, LIKELY, FAR = (
    SpanPrediction(1, 4, "LOC", 0.9),
    SpanPrediction(1, 3, "LOC", 0.6),
    SpanPrediction(6, 8, "LOC", 0.7),
)


def prediction(*gold: SpanPrediction) -> Prediction:
    """A text of nine characters for which a model finds three places, two of which overlap."""
    positions = np.arange(9)
    encoded = Encoded(
        ids=np.arange(11),
        starts=np.concatenate(([0], positions, [0])),
        ends=np.concatenate(([0], positions + 1, [0])),
    )
    entities = tuple(Entity("LOC", span.first - 1, span.end - 1) for span in gold)
    document = Document("d", "abcdefghi", entities, (Relation("near", 0, 1),))
    spans = [SURE, LIKELY, FAR]
    pairs = candidate_pairs(spans)
    return Prediction(
        Example(document, encoded, (), (), {}),
        np.zeros((11, 4, 2), np.float32),
        spans,
        pairs,
        np.array([[3.0 if pair == [0, 2] else -3.0] for pair in pairs.tolist()], np.float32),
    )


@pytest.mark.parametrize(
    ("gold", "overlapping"), [((SURE, FAR), False), ((SURE, FAR, LIKELY), True)]
)
def test_entities_overlap_where_that_finds_more_of_dev(
    gold: tuple[SpanPrediction, ...], overlapping: bool
) -> None:
    found = prediction(*gold)
    (left,), manifest = settle_overlaps([found.example.document], [found], MANIFEST, SCHEMA)
    assert manifest.overlapping_entities is overlapping
    assert len(left.spans) == (3 if overlapping else 2)


def test_relations_of_what_is_left_stay() -> None:
    apart = prediction(SURE, FAR).without_overlaps()
    assert apart.spans == [SURE, FAR]
    assert apart.pairs.tolist() == [[0, 1], [1, 0]]
    document = apart.document(MANIFEST)
    assert [(one.head, one.tail) for one in document.relations] == [(0, 1)]
