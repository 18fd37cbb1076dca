"""Stored forms and identities of sentences."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import ConfigInvalid
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.records import (
    IndexedSentence,
    Manifest,
    Role,
    document_from_json,
    document_to_json,
    identity,
)

DOCUMENT = Document(
    "d",
    "尙書令",
    (Entity("OFI", 0, 3, 0.25), Entity("PER", 0, 1)),
    (Relation("任职", 1, 0, 0.125),),
)
SENTENCE = IndexedSentence(DOCUMENT, None, np.ones(2, np.float32), Role.TRAINING)


def test_a_document_survives_json() -> None:
    assert document_from_json(json.loads(json.dumps(document_to_json(DOCUMENT)))) == DOCUMENT


def test_a_manifest_survives_json() -> None:
    schema = TaskSchema(
        "t",
        "lzh",
        (EntityType("PER", "人物", "人名"),),
        (
            RelationType("父", "…", ("PER",), ("PER",), symmetric=True, count=3),
            RelationType("其他"),
        ),
        "其他",
        "simplified",
    )
    manifest = Manifest("r", "m", 8, schema, True, 1, 2, 3)
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_the_point_id_depends_on_role_id_and_content_alone() -> None:
    same = replace(SENTENCE, vector=np.zeros(2, np.float32))
    others = [
        replace(SENTENCE, role=Role.DEMONSTRATION),
        replace(SENTENCE, gold=replace(DOCUMENT, id="e")),
        replace(SENTENCE, gold=replace(DOCUMENT, text="尚書令")),
        replace(SENTENCE, gold=replace(DOCUMENT, relations=())),
        replace(SENTENCE, prediction=DOCUMENT),
    ]
    assert same.point_id() == SENTENCE.point_id()
    assert len({sentence.point_id() for sentence in [SENTENCE, *others]}) == 6


def test_identity_folds_script_spaces_and_punctuation() -> None:
    assert identity(Document("a", "尙書令，")) == identity(Document("a", "尚 书令"))
    assert not set(identity(Document("a", "尙"))) & set(identity(Document("b", "書")))
    # An id is no text: a document called like another's text shares nothing with it.
    assert not set(identity(Document("a", "b"))) & set(identity(Document("b", "a")))


def test_settings_below_one_are_named() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        RetrievalConfig(rrf_k=0, max_queries=-1)
    assert [v.field for v in caught.value.violations] == ["rrf_k", "max_queries"]
