"""The benchmark's SpERT finds what our graphs find, so that their times can be compared."""

from __future__ import annotations

import importlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from slcolm_services.model.folder import ModelManifest
from slcolm_services.model.inference import Inference
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.training.encoder import encoder_from_scratch
from slcolm_services.training.export import export_graphs
from slcolm_services.training.model import SpanModel

_BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
_CHARACTERS = "王安石为相封荆国公人于金陵今"


def test_the_reference_finds_what_the_graphs_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(_BENCHMARKS))
    spert_reference = importlib.import_module("spert.reference").SpertReference

    with torch.random.fork_rng():
        torch.manual_seed(3)
        loaded = encoder_from_scratch(
            [_CHARACTERS], layers=1, hidden_size=64, dropout=0.0, max_tokens=64
        )
        model = SpanModel(
            loaded.encoder, entity_types=2, relation_types=3, max_span_tokens=4, max_tokens=64
        ).eval()
        torch.nn.init.zeros_(model.relation_output.bias)
        # Few enough entities for every pair to be scored.
        model.entity_output.bias.data[0] += 0.5
    export_graphs(model, tmp_path)
    manifest = ModelManifest(
        entity_types=("PER", "LOC"),
        relation_types=("a", "b", "c"),
        max_tokens=64,
        max_span_tokens=4,
        relation_threshold=0.5,
        vector_dimension=64,
    )
    tokenizer = TextTokenizer(loaded.tokenizer, max_tokens=64)
    inference = Inference(tmp_path, manifest, tokenizer)
    reference = spert_reference(model, manifest)
    draw = random.Random(1)
    spans = relations = 0
    for length in (1, 2, 5, 9, 14, 20):
        text = "".join(draw.choices(_CHARACTERS, k=length))
        encoded = tokenizer.encode(text)
        (found,) = inference.run([encoded])
        document = reference.extract(text, encoded)
        assert [entity.type for entity in document.entities] == [s.type for s in found.spans]
        assert [entity.start for entity in document.entities] == [
            encoded.starts[span.first] for span in found.spans
        ]
        assert {(r.type, r.head, r.tail) for r in document.relations} == {
            (r.type, r.head, r.tail) for r in found.relations
        }
        np.testing.assert_allclose(
            [entity.prob for entity in document.entities],
            [span.prob for span in found.spans],
            atol=1e-5,
        )
        spans, relations = spans + len(found.spans), relations + len(found.relations)
    assert spans > 20
    assert relations > 50
