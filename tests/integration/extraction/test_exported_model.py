"""The engine on a model that the trainer's exporter wrote: attention, padding and all."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from support.extraction import extract

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import write_schema
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.engine import Engine, Extraction
from slcolm_services.model.folder import ModelManifest, write_manifest
from slcolm_services.training.encoder import encoder_from_scratch
from slcolm_services.training.export import export_graphs
from slcolm_services.training.model import SpanModel

CHARACTERS = "王安石为相封荆国公人于金陵今"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights that finds plenty of everything."""
    folder = tmp_path_factory.mktemp("exported")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        loaded = encoder_from_scratch(
            [CHARACTERS], layers=2, hidden_size=64, dropout=0.0, max_tokens=128
        )
        model = SpanModel(
            loaded.encoder, entity_types=2, relation_types=2, max_span_tokens=4, max_tokens=128
        )
        torch.nn.init.zeros_(model.relation_output.bias)
        export_graphs(model, folder)
    loaded.tokenizer.save(str(folder / "tokenizer.json"))
    kinds = (EntityType("PER", "PER"), EntityType("LOC", "LOC"))
    relations = (RelationType("knows"), RelationType("lives_in"))
    write_schema(folder / "schema.yaml", TaskSchema("random", "lzh", kinds, relations))
    (folder / "card.json").write_text(json.dumps({"dev_scores": {}}), encoding="utf-8")
    write_manifest(
        folder,
        ModelManifest(
            entity_types=("PER", "LOC"),
            relation_types=("knows", "lives_in"),
            max_tokens=128,
            max_span_tokens=4,
            relation_threshold=0.5,
            vector_dimension=64,
        ),
    )
    return folder


def test_an_answer_does_not_depend_on_the_batch_it_was_in(folder: Path) -> None:
    chosen = random.Random(7)
    documents = [
        Document(str(length), "".join(chosen.choices(CHARACTERS + "𠀀", k=length)))
        for length in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 126)
    ]
    engine = Engine.load(folder, EngineConfig(threads=1))
    together = extract(engine, documents, batch_tokens=10_000)
    alone = [extract(engine, [document])[0] for document in documents]
    found = 0
    for document, first, second in zip(documents, together, alone, strict=True):
        assert isinstance(first, Extraction)
        assert isinstance(second, Extraction)
        np.testing.assert_allclose(first.vector, second.vector, atol=1e-6)
        assert np.linalg.norm(first.vector) == pytest.approx(1, abs=1e-5)
        for name in ("entities", "relations"):
            one, other = getattr(first.document, name), getattr(second.document, name)
            assert [_place(item) for item in one] == [_place(item) for item in other]
            assert [item.prob for item in one] == pytest.approx(
                [item.prob for item in other], abs=1e-5
            )
            found += len(one)
        assert first.document.id == document.id
    assert found > 100, "the model finds too little for the test to mean anything"


def _place(item: object) -> list[object]:
    return [getattr(item, name, None) for name in ("type", "start", "end", "head", "tail")]
