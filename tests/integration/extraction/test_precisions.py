"""Precisions and devices: which a model runs in, and what each promises of batches and values."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import write_schema
from slcolm_services.errors import ConfigInvalid, ModelInvalid
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.engine import Engine
from slcolm_services.model.folder import ModelManifest, write_manifest
from slcolm_services.model.graphs import Device, Precision, bf16_available, cuda_available
from slcolm_services.model.inference import Found, Inference
from slcolm_services.model.tokenization import Encoded, TextTokenizer, pad
from slcolm_services.training.export import export_graphs
from slcolm_services.training.model import SpanModel
from slcolm_services.training.parity import check_parity
from slcolm_services.training.vocabulary import character_tokenizer

_CHARACTERS = "王安石为相封荆国公人于金陵今"
_MAX_TOKENS = 160
_MANIFEST = ModelManifest(
    entity_types=("PER", "LOC"),
    relation_types=("knows", "lives_in"),
    max_tokens=_MAX_TOKENS,
    max_span_tokens=4,
    relation_threshold=0.5,
    vector_dimension=128,
)
_needs_bf16 = pytest.mark.skipif(
    not bf16_available(), reason="needs OpenVINO and a processor with bfloat16 instructions"
)
_KINDS = (
    ("fp32", "cpu"),
    pytest.param("bf16", "cpu", marks=_needs_bf16),
    pytest.param(
        "fp32",
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not cuda_available(), reason="needs onnxruntime-gpu and a GPU"),
        ],
    ),
)


@pytest.fixture(scope="module")
def model() -> SpanModel:
    """A BERT of random weights with our heads; its attention is as wide as BERT-base's."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = BertConfig(
            vocab_size=len(_CHARACTERS) + 4,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=256,
        )
        model = SpanModel(
            BertModel(config),
            entity_types=2,
            relation_types=2,
            max_span_tokens=4,
            max_tokens=_MAX_TOKENS,
        ).eval()
        torch.nn.init.zeros_(model.relation_output.bias)
    return model


@pytest.fixture(scope="module")
def folder(model: SpanModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose card says that bf16 has passed."""
    folder = tmp_path_factory.mktemp("model")
    export_graphs(model, folder)
    character_tokenizer([_CHARACTERS]).save(str(folder / "tokenizer.json"))
    entities = tuple(EntityType(name, name) for name in _MANIFEST.entity_types)
    relations = tuple(RelationType(name) for name in _MANIFEST.relation_types)
    write_schema(folder / "schema.yaml", TaskSchema("random", "lzh", entities, relations))
    card = {"dev_scores": {}, "precisions": {"bf16": {"passed": True}}}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    write_manifest(folder, _MANIFEST)
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(character_tokenizer([_CHARACTERS]), max_tokens=_MAX_TOKENS)


def texts(tokenizer: TextTokenizer) -> list[Encoded]:
    """Of every length about the borders of OpenVINO's blocks."""
    draw = random.Random(5)
    lengths = [*range(1, 20), *range(28, 36), *range(44, 52), 61, 62, 63, 64, 93, 94, 126, 150]
    return [tokenizer.encode("".join(draw.choices(_CHARACTERS, k=length))) for length in lengths]


@pytest.mark.parametrize(("precision", "device"), _KINDS)
def test_an_answer_does_not_depend_on_its_batch(
    folder: Path, tokenizer: TextTokenizer, precision: Precision, device: Device
) -> None:
    inference = Inference(folder, _MANIFEST, tokenizer, precision=precision, device=device, slots=2)
    encoded = texts(tokenizer)
    alone = [inference.run([one])[0] for one in encoded]
    assert sum(len(found.relations) for found in alone) > 100
    for seed in range(3):
        order = random.Random(seed).sample(range(len(encoded)), len(encoded))
        for start in range(0, len(order), 7):
            places = order[start : start + 7]
            together = inference.run([encoded[place] for place in places])
            for place, found in zip(places, together, strict=True):
                check_same(alone[place], found, exact=precision == "bf16")


def check_same(one: Found, other: Found, *, exact: bool) -> None:
    tolerance = 0.0 if exact else 1e-5
    assert [(s.first, s.end, s.type) for s in one.spans] == [
        (s.first, s.end, s.type) for s in other.spans
    ]
    assert [(r.type, r.head, r.tail) for r in one.relations] == [
        (r.type, r.head, r.tail) for r in other.relations
    ]
    for items in ("spans", "relations"):
        np.testing.assert_allclose(
            [item.prob for item in getattr(one, items)],
            [item.prob for item in getattr(other, items)],
            rtol=0,
            atol=tolerance,
        )
    np.testing.assert_allclose(one.vector, other.vector, rtol=0, atol=tolerance)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_pairs_are_scored_on_what_the_device_keeps(
    folder: Path, tokenizer: TextTokenizer, device: Device, model: SpanModel
) -> None:
    """More pairs than one run takes, beside the same pairs in torch."""
    if device == "cuda" and not cuda_available():
        pytest.skip("needs onnxruntime-gpu and a GPU")
    inference = Inference(folder, _MANIFEST, tokenizer, device=device)
    encoded = [one for one in texts(tokenizer) if len(one) > 30]
    found = inference.run(encoded)
    assert sum(len(one.spans) * (len(one.spans) - 1) for one in found) > 2048
    ids, mask = pad(encoded, tokenizer.pad_id)
    with torch.inference_mode():
        hidden = model.encode(torch.from_numpy(ids), torch.from_numpy(mask))
        for row, one in enumerate(found):
            spans = torch.tensor([(row, span.first, span.end) for span in one.spans])
            pairs = torch.tensor([(r.head, r.tail) for r in one.relations])
            kinds = [_MANIFEST.relation_types.index(r.type) for r in one.relations]
            logits = model.relation_logits(hidden, spans, pairs)
            probs = logits.sigmoid()[range(len(kinds)), kinds].numpy()
            assert [r.prob for r in one.relations] == pytest.approx(probs.tolist(), abs=1e-5)


def test_memory_stops_growing_with_the_shapes_of_batches(folder: Path) -> None:
    """In a process of its own, where nothing else takes memory."""
    resident = json.loads(
        subprocess.run(
            [sys.executable, "-c", _VARYING_SHAPES, str(folder)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    first, last = resident
    assert last - first < 24 * 2**20


_VARYING_SHAPES = """
import json, random, sys
import numpy, psutil
from pathlib import Path
from slcolm_services.model.graphs import load_graph

graph = load_graph(Path(sys.argv[1]) / "spans.onnx")
draw = random.Random(3)
resident = []
for _ in range(2):
    for _ in range(150):
        length = draw.randint(2, 160)
        ids = numpy.ones((draw.randint(1, max(1, 1024 // length)), length), dtype=numpy.int64)
        graph.run(["hidden", "span_logits"], {"input_ids": ids, "attention_mask": ids})
    resident.append(psutil.Process().memory_info().rss)
print(json.dumps(resident))
"""


@_needs_bf16
def test_bf16_rounds_and_does_no_more(folder: Path, tokenizer: TextTokenizer) -> None:
    fp32, bf16 = (
        Inference(folder, _MANIFEST, tokenizer, precision=precision)
        for precision in ("fp32", "bf16")
    )
    for encoded in texts(tokenizer)[::5]:
        (one,), (other,) = fp32.run([encoded]), bf16.run([encoded])
        np.testing.assert_allclose(one.vector, other.vector, atol=5e-3)
        assert not np.array_equal(one.vector, other.vector)


def test_the_graphs_are_the_model_at_sizes_far_from_the_example(
    model: SpanModel, folder: Path
) -> None:
    report = check_parity(
        model, folder, max_tokens=_MAX_TOKENS, vocabulary=model.encoder.config.vocab_size
    )
    assert report.shapes == ((1, 2), (1, 160), (2, 64), (5, 7), (9, 159))
    assert report.max_difference < 1e-4


def test_a_model_that_was_not_checked_in_bf16_is_not_run_in_it(model_folder: Path) -> None:
    with pytest.raises(ModelInvalid, match="bf16"):
        Engine.load(model_folder, EngineConfig(precision="bf16", threads=1))
    engine = Engine.load(model_folder, EngineConfig(precision="auto", threads=1))
    assert engine.precision == "fp32"


@_needs_bf16
@pytest.mark.parametrize("wanted", ["bf16", "auto"])
def test_a_model_that_has_passed_runs_in_bf16(folder: Path, wanted: str) -> None:
    engine = Engine.load(folder, EngineConfig(precision=wanted, threads=1))
    assert engine.precision == "bf16"


def test_without_openvino_auto_is_fp32_and_bf16_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert Engine.load(folder, EngineConfig(precision="auto", threads=1)).precision == "fp32"
    with pytest.raises(ConfigInvalid, match="OpenVINO"):
        Engine.load(folder, EngineConfig(precision="bf16", threads=1))


@pytest.mark.skipif(cuda_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_refused_by_its_field(folder: Path) -> None:
    with pytest.raises(ConfigInvalid, match="onnxruntime-gpu") as caught:
        Engine.load(folder, EngineConfig(device="cuda"))
    assert [violation.field for violation in caught.value.violations] == ["device"]
