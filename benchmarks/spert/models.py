"""Models of the two measured sizes, with random weights.

What a model costs does not depend on its weights, but on how much it finds: entities make pairs.
So the biases of both heads are set to find as many entities and relations a sentence as people
found in dev and test of ChisRE (6.4 and 2.8). Each bias stands in the middle of a gap between two
candidates, so that rounding decides nothing and answers can be compared one by one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BertConfig, BertModel

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.corpus.schema_file import write_schema
from slcolm_services.model.folder import ModelManifest, write_manifest
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.training.dev import predict
from slcolm_services.training.encoder import LoadedEncoder, encoder_from_scratch
from slcolm_services.training.examples import Example
from slcolm_services.training.export import export_graphs
from slcolm_services.training.model import SpanModel
from slcolm_services.training.vocabulary import character_tokenizer

_ENTITIES_PER_TEXT, _RELATIONS_PER_TEXT = 6.4, 2.8
# Random weights are as good in one precision as in another.
_CARD = {"dev_scores": {}, "precisions": {"bf16": {"passed": True}}}
_NO_ENTITY = 1000.0
"""Added to the logit of "no entity": more than any other logit."""
_MAX_TOKENS, _MAX_SPAN_TOKENS = 512, 10
_SCHEMA = TaskSchema(
    "random",
    "lzh",
    tuple(EntityType(f"entity{index}", "") for index in range(6)),
    tuple(RelationType(f"relation{index}") for index in range(40)),
)
_MANIFEST = ModelManifest(
    entity_types=tuple(kind.name for kind in _SCHEMA.entity_types),
    relation_types=tuple(kind.name for kind in _SCHEMA.relation_types),
    max_tokens=_MAX_TOKENS,
    max_span_tokens=_MAX_SPAN_TOKENS,
    relation_threshold=0.5,
    vector_dimension=1,
)


@dataclass(frozen=True)
class BenchmarkModel:
    """A model in both of its forms.

    Attributes:
        model: In torch, for the reference and the plain path.
        folder: The same as a model folder.
        manifest: Of the folder.
        tokenizer: Of the folder.
    """

    model: SpanModel
    folder: Path
    manifest: ModelManifest
    tokenizer: TextTokenizer


def make_model(size: str, texts: Sequence[str], folder: Path) -> BenchmarkModel:
    """Make a model of size `base` (BERT, 12 x 768) or `builtin` (4 x 256) and its folder."""
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    loaded = _bert_base(texts) if size == "base" else _built_in(texts)
    tokenizer = TextTokenizer(loaded.tokenizer, max_tokens=_MAX_TOKENS)
    model = SpanModel(
        loaded.encoder,
        entity_types=len(_SCHEMA.entity_types),
        relation_types=len(_SCHEMA.relation_types),
        max_span_tokens=_MAX_SPAN_TOKENS,
        max_tokens=_MAX_TOKENS,
    ).eval()
    manifest = replace(_MANIFEST, vector_dimension=loaded.encoder.config.hidden_size)
    _set_biases(model, [example_of(text, tokenizer) for text in texts], manifest, tokenizer.pad_id)
    export_graphs(model, folder)
    loaded.tokenizer.save(str(folder / "tokenizer.json"))
    write_schema(folder / "schema.yaml", _SCHEMA)
    (folder / "card.json").write_text(json.dumps(_CARD), encoding="utf-8")
    return BenchmarkModel(model, folder, write_manifest(folder, manifest), tokenizer)


def _bert_base(texts: Sequence[str]) -> LoadedEncoder:
    tokenizer = character_tokenizer(texts)
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), attn_implementation="eager")
    return LoadedEncoder("bert", BertModel(config), tokenizer, None, _MAX_TOKENS, pretrained=False)


def _built_in(texts: Sequence[str]) -> LoadedEncoder:
    return encoder_from_scratch(
        texts, layers=4, hidden_size=256, dropout=0.0, max_tokens=_MAX_TOKENS
    )


def example_of(text: str, tokenizer: TextTokenizer) -> Example:
    """A sentence without annotation."""
    return Example(Document("", text), tokenizer.encode(text), (), (), {})


def _set_biases(
    model: SpanModel, examples: Sequence[Example], manifest: ModelManifest, pad_id: int
) -> None:
    with torch.no_grad():
        # Left at random, the context makes most spans of a few texts entities, and pairs by the
        # thousand.
        model.entity_context.weight.zero_()
        # Random heads rank by chance; scaled up, their ranks are far apart.
        model.entity_output.weight.mul_(50.0)
        model.relation_output.weight.mul_(50.0)
        model.entity_output.bias[0] = _NO_ENTITY
        model.relation_output.bias.zero_()
        margins = [
            (found.span_logits[..., 1:].max(-1) - found.span_logits[..., 0])[
                found.example.encoded.candidates(_MAX_SPAN_TOKENS)
            ]
            for found in predict(model, examples, manifest, pad_id=pad_id)
        ]
        wanted = round(_ENTITIES_PER_TEXT * len(examples))
        model.entity_output.bias[0] += _gap(np.concatenate(margins), wanted)
        found = predict(model, examples, manifest, pad_id=pad_id)
        logits = np.concatenate([one.relation_logits.ravel() for one in found])
        model.relation_output.bias -= _gap(logits, round(_RELATIONS_PER_TEXT * len(examples)))


def _gap(values: NDArray[np.float32], above: int) -> float:
    """A value with about `above` of the values above it, and none near it."""
    ranked = np.sort(values.astype(np.float64))[::-1]
    near = ranked[int(above * 0.95) : int(above * 1.05) + 2]
    widest = int(np.argmax(near[:-1] - near[1:]))
    return float(near[widest : widest + 2].mean())
