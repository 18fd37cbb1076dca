"""A small model folder whose answers are known: letters are entities, and pairs have meanings."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import write_schema
from slcolm_services.extraction.config import ExtractionConfig
from slcolm_services.extraction.service import build
from slcolm_services.model.calibration import PlattScaling, TemperatureScaling
from slcolm_services.model.folder import ModelManifest, write_manifest
from slcolm_services.runtime.config import ServerConfig
from slcolm_services.runtime.server import Server

SCHEMA = TaskSchema(
    name="letters",
    language="en",
    entity_types=(EntityType("PER", "人物"), EntityType("LOC", "地点")),
    relation_types=(RelationType("lives_in"), RelationType("knows")),
)
MANIFEST = ModelManifest(
    entity_types=("PER", "LOC"),
    relation_types=("lives_in", "knows"),
    max_tokens=64,
    max_span_tokens=3,
    relation_threshold=0.4,
    vector_dimension=3,
    entity_calibration=TemperatureScaling(2.0),
    relation_calibration=PlattScaling(0.5, 0.1),
)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "A", "B", "x", "y"]


def tokenizer() -> Tokenizer:
    """One token a code point."""
    made = Tokenizer(
        models.WordLevel({name: i for i, name in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def spans_graph(manifest: ModelManifest) -> onnx.ModelProto:
    """`A` and `B` are persons, `x` and `y` places; an entity has one token.

    Hidden states are (person, place, other); the vector is their mean over the real tokens.
    """
    embedding = np.zeros((len(VOCABULARY), 3), dtype=np.float32)
    embedding[:4, 2] = 1.0
    embedding[4:6, 0] = 1.0
    embedding[6:8, 1] = 1.0
    classes = np.array([[0, 6, 0], [0, 0, 4], [3, 0, 0]], dtype=np.float32)
    width_bias = np.zeros((1, 1, manifest.max_span_tokens, 3), dtype=np.float32)
    width_bias[0, 0, 1:, 0] = 10.0
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "classes"], ["token_logits"]),
        helper.make_node("Unsqueeze", ["token_logits", "two"], ["wide"]),
        helper.make_node("Add", ["wide", "width_bias"], ["span_logits"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "two"], ["mask_column"]),
        helper.make_node("Mul", ["hidden", "mask_column"], ["present"]),
        helper.make_node("ReduceSum", ["present", "one"], ["total"], keepdims=0),
        helper.make_node("LpNormalization", ["total"], ["vector"], axis=-1, p=2),
    ]
    constants = {
        "embedding": embedding,
        "classes": classes,
        "width_bias": width_bias,
        "one": np.array([1]),
        "two": np.array([2]),
    }
    return _model(
        nodes,
        constants,
        inputs=[("input_ids", TensorProto.INT64, 2), ("attention_mask", TensorProto.INT64, 2)],
        outputs=[("hidden", 3), ("span_logits", 4), ("vector", 2)],
    )


def relations_graph() -> onnx.ModelProto:
    """A person before a place lives in it; two persons know each other."""
    person, place = [1, 0, 0], [0, 1, 0]
    weights = np.zeros((6, 2), dtype=np.float32)
    weights[:3, 0], weights[3:, 0] = np.array(person) * 4, np.array(place) * 4
    weights[:3, 1], weights[3:, 1] = np.array(person) * 3, np.array(person) * 3
    nodes = [
        helper.make_node("Slice", ["spans", "zero", "two", "one"], ["starts"]),
        helper.make_node("GatherND", ["hidden", "starts"], ["span_states"]),
        helper.make_node("Gather", ["span_states", "pairs"], ["pair_states"], axis=0),
        helper.make_node("Reshape", ["pair_states", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        helper.make_node("Sub", ["scores", "bias"], ["relation_logits"]),
    ]
    constants = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "shape": np.array([-1, 6]),
        "weights": weights,
        "bias": np.array([6.0, 5.0], dtype=np.float32),
    }
    return _model(
        nodes,
        constants,
        inputs=[
            ("hidden", TensorProto.FLOAT, 3),
            ("spans", TensorProto.INT64, 2),
            ("pairs", TensorProto.INT64, 2),
        ],
        outputs=[("relation_logits", 2)],
    )


def _model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    *,
    inputs: list[tuple[str, int, int]],
    outputs: list[tuple[str, int]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, kind, [f"{name}_{i}" for i in range(rank)])
            for name, kind, rank in inputs
        ],
        [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, [f"{name}_{i}" for i in range(rank)]
            )
            for name, rank in outputs
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def write_model(
    folder: Path,
    *,
    manifest: ModelManifest = MANIFEST,
    schema: TaskSchema = SCHEMA,
    f1: float = 0.5,
) -> Path:
    """Write the model into an empty folder, and give the folder back."""
    onnx.save(spans_graph(manifest), folder / "spans.onnx")
    onnx.save(relations_graph(), folder / "relations.onnx")
    tokenizer().save(str(folder / "tokenizer.json"))
    write_schema(folder / "schema.yaml", schema)
    card = {"dev_scores": {"relation_strict_f1": f1}}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    write_manifest(folder, manifest)
    return folder


@asynccontextmanager
async def letters(model_folder: Path, folder: Path) -> AsyncIterator[str]:
    """Serve the model, to at most 3 texts of 20 characters a call; gives the address."""
    config = ExtractionConfig(
        store=str(folder / "store"),
        cache_dir=folder / "cache",
        model=model_folder,
        threads=1,
        max_batch_documents=3,
        max_text_characters=20,
    )
    async with Server(build(config), ServerConfig()) as server:
        await server.load()
        yield server.address
