"""A small annotated language, learned in seconds, and random encoders to learn it with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema

SCHEMA = TaskSchema(
    name="letters",
    language="zh",
    entity_types=(EntityType("PER", "人"), EntityType("LOC", "地")),
    relation_types=(RelationType("到"), RelationType("伐")),
)
_PEOPLE = ("甲乙", "丙", "丁戊", "己")
_PLACES = ("山东", "河西", "江南")


@pytest.fixture
def schema() -> TaskSchema:
    return SCHEMA


@pytest.fixture
def make_documents() -> Callable[[int, int], list[Document]]:
    """`make_documents(count, seed)`: who goes where, and who attacks whom."""

    def make(count: int, seed: int) -> list[Document]:
        rng = random.Random(seed)
        return [_sentence(f"s{seed}-{index}", rng) for index in range(count)]

    return make


def _sentence(name: str, rng: random.Random) -> Document:
    head, other = rng.sample(_PEOPLE, 2)
    verb, tail, kind = rng.choice(
        [("至", rng.choice(_PLACES), "LOC"), ("击", other, "PER"), ("见", other, "PER")]
    )
    prefix = rng.choice(["", "初，", "是岁"])
    start = len(prefix)
    first = Entity("PER", start, start + len(head))
    second = Entity(kind, first.end + 1, first.end + 1 + len(tail))
    relation = {"至": (Relation("到", 0, 1),), "击": (Relation("伐", 0, 1),)}.get(verb, ())
    return Document(name, f"{prefix}{head}{verb}{tail}。", (first, second), relation)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small steps are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "paris", "lives", "in", "ann", "##a", ".")


@pytest.fixture
def bert_folder(tmp_path: Path) -> Path:
    """A tiny BERT with random weights and a WordPiece vocabulary, as users have it on disk."""
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    return _save(tmp_path / "bert", BertModel(config), tokenizer, "[PAD]", "[UNK]")


@pytest.fixture
def roberta_folder(tmp_path: Path) -> Path:
    """A tiny RoBERTa with random weights and a byte-level vocabulary."""
    names = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {name: index for index, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    config = RobertaConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=42,
        pad_token_id=1,
    )
    return _save(tmp_path / "roberta", RobertaModel(config), tokenizer, "<pad>", "<unk>")


def _save(
    folder: Path, model: BertModel | RobertaModel, tokenizer: Tokenizer, pad: str, unknown: str
) -> Path:
    model.save_pretrained(folder)
    tokenizer_class: Any = PreTrainedTokenizerFast  # the library gives it no types
    fast = tokenizer_class(tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown)
    fast.save_pretrained(folder)
    return folder
