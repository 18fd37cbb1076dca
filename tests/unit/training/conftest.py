"""A small annotated language, learned in seconds, and random encoders to learn it with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2Model,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

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
    names, tokenizer = _byte_level("<s>", "<pad>", "</s>", "<unk>")
    config = RobertaConfig(**_sizes(len(names)), max_position_embeddings=42, pad_token_id=1)
    return _save(tmp_path / "roberta", RobertaModel(config), tokenizer, "<pad>", "<unk>")


@pytest.fixture
def xlmr_folder(tmp_path: Path) -> Path:
    """A tiny XLM-RoBERTa: SentencePiece, whose pieces begin with the space before them."""
    names, tokenizer = _sentence_piece("<s>", "<pad>", "</s>", "<unk>")
    config = XLMRobertaConfig(**_sizes(len(names)), max_position_embeddings=42, pad_token_id=1)
    return _save(tmp_path / "xlmr", XLMRobertaModel(config), tokenizer, "<pad>", "<unk>")


@pytest.fixture
def deberta_folder(tmp_path: Path) -> Path:
    """A tiny DeBERTa of the third version: relative positions, SentencePiece."""
    names, tokenizer = _sentence_piece("[CLS]", "[PAD]", "[SEP]", "[UNK]")
    # As in the published third version; the configuration class does not name these.
    others: dict[str, Any] = {
        "position_buckets": 8,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    }
    config = DebertaV2Config(
        **_sizes(len(names)),
        **others,
        max_position_embeddings=40,
        pad_token_id=1,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
    )
    return _save(tmp_path / "deberta", DebertaV2Model(config), tokenizer, "[PAD]", "[UNK]")


@pytest.fixture
def modernbert_folder(tmp_path: Path) -> Path:
    """A tiny ModernBERT: rotary positions, local and global attention, a byte-level vocabulary."""
    names, tokenizer = _byte_level("[CLS]", "[PAD]", "[SEP]", "[UNK]")
    config = ModernBertConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        pad_token_id=1,
        cls_token_id=0,
        bos_token_id=0,
        sep_token_id=2,
        eos_token_id=2,
        layer_types=["full_attention", "sliding_attention"],
        local_attention=8,
        # Its norms have no bias: states near zero would be all rounding error.
        initializer_range=0.2,
    )
    return _save(tmp_path / "modernbert", ModernBertModel(config), tokenizer, "[PAD]", "[UNK]")


def _sizes(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }


def _byte_level(*special: str) -> tuple[list[str], Tokenizer]:
    """A token for each byte; the special ones are first, padding, last and unknown."""
    names = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {name: index for index, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token=special[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return names, _framed(tokenizer, special)


def _sentence_piece(*special: str) -> tuple[list[str], Tokenizer]:
    """Pieces of words as a unigram model has them; the special ones as in `_byte_level`."""
    pieces = ("▁An", "na", "▁lives", "▁in", "▁Par", "is", ".", "▁")
    names = [*special, *pieces, *"Anlivesi Par."]
    names = list(dict.fromkeys(names))
    scores = [(name, -1.0 if name in pieces else -9.0) for name in names]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return names, _framed(tokenizer, special)


def _framed(tokenizer: Tokenizer, special: tuple[str, ...]) -> Tokenizer:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special[0]} $A {special[2]}",
        special_tokens=[(special[0], 0), (special[2], 2)],
    )
    return tokenizer


def _save(
    folder: Path, model: PreTrainedModel, tokenizer: Tokenizer, pad: str, unknown: str
) -> Path:
    model.save_pretrained(folder)
    tokenizer_class: Any = PreTrainedTokenizerFast  # the library gives it no types
    fast = tokenizer_class(tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown)
    fast.save_pretrained(folder)
    return folder
