"""Encoders: the built-in character encoder, and any transformers encoder by name or path.

The built-in one is a `PreTrainedModel` of its own, registered with the Auto classes, so that
saving, loading and everything after it is the same for both. It is a pre-layer-norm transformer
with rotary positions, preceded in every block by a local mixing (a convolution over neighbouring
characters). Trained from scratch on a few thousand sentences, post-layer-norm blocks do not leave
their first plateau; these do, and the local mixing finds mention boundaries where attention alone
needs far more data. The convolution mixes features too: a depthwise one cannot tell which character
stands next to which, and learns several times slower.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.training import built_in
from slcolm_services.training.choice import (
    BUILT_IN,
    CHARACTER_MODEL,
    Kind,
    kind_of,
    standard_form,
)
from slcolm_services.training.dropout import TextDropout
from slcolm_services.training.options import Settings
from slcolm_services.training.vocabulary import (
    UNKNOWN_ID,
    character_tokenizer,
    sub_word_tokenizer,
)

_ROTARY_BASE = 10_000.0


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
}
"""Activations by the names that a configuration uses."""


class CharacterEncoderConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes of the built-in encoder."""

    model_type = CHARACTER_MODEL

    def __init__(
        self,
        *,
        vocab_size: int = 4,
        hidden_size: int = 256,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        intermediate_size: int = 1024,
        kernel_size: int = 5,
        dropout: float = 0.2,
        activation: str = "gelu",
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.kernel_size = kernel_size
        self.dropout = dropout
        self.activation = activation
        super().__init__(**kwargs)


class _Attention(nn.Module):
    """Multi-head self-attention with rotary positions (Su et al. 2021, RoFormer)."""

    def __init__(self, config: CharacterEncoderConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.projection = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, bias: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        shape = (batch, length, 3, self.heads, width // self.heads)
        query, key, value = self.projection(hidden).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        # Written out: at the length of a sentence the fused kernels are slower on CPUs.
        scores = _rotate(query, cosine, sine) @ _rotate(key, cosine, sine).transpose(-1, -2)
        weights = (scores * shape[-1] ** -0.5 + bias).softmax(dim=-1)
        mixed = weights.to(value.dtype) @ value
        return cast(Tensor, self.output(mixed.transpose(1, 2).reshape(batch, length, width)))


class _Block(nn.Module):
    """Local mixing, attention and feed-forward, each `x + dropout(f(norm(x)))`."""

    def __init__(self, config: CharacterEncoderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.local_norm = nn.LayerNorm(width)
        self.local = nn.Conv1d(width, width, config.kernel_size, padding=config.kernel_size // 2)
        self.local_activation = ACTIVATIONS[config.activation]()
        self.local_output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _Attention(config)
        self.forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.intermediate_size),
            ACTIVATIONS[config.activation](),
            nn.Linear(config.intermediate_size, width),
        )
        self.dropout = TextDropout(config.dropout)

    def forward(
        self, hidden: Tensor, present: Tensor, bias: Tensor, cosine: Tensor, sine: Tensor
    ) -> Tensor:
        # Padding is zeroed before it is mixed in: a text's answer must not depend on its batch.
        local = self.local_activation(self._mix(self.local_norm(hidden) * present))
        hidden = hidden + self.dropout(self.local_output(local))
        attended = self.attention(self.attention_norm(hidden), bias, cosine, sine)
        hidden = hidden + self.dropout(attended)
        return cast(Tensor, hidden + self.dropout(self.feed_forward(self.forward_norm(hidden))))

    def _mix(self, hidden: Tensor) -> Tensor:
        """The convolution as one matrix product over the neighbours of each token, laid in a row.

        On CPUs this is faster than a convolution, whose channels do not stand side by side here.
        """
        size, length = self.local.kernel_size[0], hidden.shape[1]
        padded = nn.functional.pad(hidden, (0, 0, size // 2, size // 2))
        neighbours = torch.cat([padded.narrow(1, i, length) for i in range(size)], dim=-1)
        weight = self.local.weight.transpose(1, 2).flatten(1)
        return nn.functional.linear(neighbours, weight, self.local.bias)


class CharacterEncoder(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The built-in encoder: input_ids int64[B,L], attention_mask int64[B,L] -> float[B,L,H]."""

    config_class = CharacterEncoderConfig
    base_model_prefix = "character_encoder"

    def __init__(self, config: CharacterEncoderConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = TextDropout(config.dropout)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv1d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.1)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> BaseModelOutput:
        """Encode; positions where `attention_mask` is 0 influence no other position."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        cosine, sine = self._rotary(input_ids.shape[1])
        present = attention_mask.unsqueeze(-1).to(self.embeddings.weight.dtype)
        # Added to the attention scores: nothing at tokens, minus infinity in effect at padding.
        bias = (1.0 - present[:, None, None, :, 0]) * torch.finfo(present.dtype).min
        hidden = self.dropout(self.embeddings(input_ids))
        for block in self.blocks:
            hidden = block(hidden, present, bias, cosine, sine)
        return BaseModelOutput(last_hidden_state=self.norm(hidden))

    def set_dropout(self, share: float) -> None:
        """Change the share of features that training drops."""
        self.config.dropout = share
        for module in self.modules():
            if isinstance(module, TextDropout):
                module.share = share

    def add_embeddings(self, count: int) -> None:
        """Append embeddings to the table; they begin as that of the unknown token."""
        table = self.embeddings.weight.data
        more = table[UNKNOWN_ID].repeat(count, 1)
        self.config.vocab_size = len(table) + count
        self.embeddings = nn.Embedding(self.config.vocab_size, table.shape[1])
        self.embeddings.weight.data = torch.cat([table, more])

    def _rotary(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the rotation angles, each float[L, D] as exact as the weights."""
        device, dtype = self.embeddings.weight.device, self.embeddings.weight.dtype
        size = self.config.hidden_size // self.config.num_attention_heads
        powers = torch.arange(0, size, 2, device=device, dtype=torch.float32) / size
        positions = torch.arange(length, device=device, dtype=torch.float32)
        angles = positions[:, None] * (_ROTARY_BASE**-powers)[None, :]
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotate(value: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = value.chunk(2, dim=-1)
    return value * cosine + torch.cat([-second, first], dim=-1) * sine


AutoConfig.register(CharacterEncoderConfig.model_type, CharacterEncoderConfig)
AutoModel.register(CharacterEncoderConfig, CharacterEncoder)


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder with the tokenizer that belongs to it.

    Attributes:
        name: As reports have it: name or path as it was asked for.
        encoder: The torch module; its config has `hidden_size`.
        tokenizer: As it goes into the model folder.
        unknown_id: Token id of what the vocabulary does not hold; None where there is none.
        max_tokens: Longest input, special tokens included.
        pretrained: Whether the weights come from pre-training.
    """

    name: str
    encoder: PreTrainedModel
    tokenizer: Tokenizer
    unknown_id: int | None
    max_tokens: int
    pretrained: bool


def load_encoder(texts: Sequence[str], settings: Settings) -> LoadedEncoder:
    """The encoder that settings ask for, ready for the texts that it will learn from.

    Raises:
        ConfigInvalid: It cannot be used; see `pretrained_encoder`.
    """
    if kind_of(settings.encoder) is not Kind.SCRATCH:
        loaded = pretrained_encoder(settings.encoder, max_tokens=settings.max_tokens)
        return adapt_encoder(loaded, texts, dropout=settings.dropout)
    return encoder_from_scratch(
        texts,
        sub_words=settings.sub_words,
        layers=settings.layers,
        hidden_size=settings.hidden_size,
        dropout=settings.dropout,
        max_tokens=settings.max_tokens,
    )


def encoder_from_scratch(
    texts: Iterable[str],
    *,
    layers: int,
    hidden_size: int,
    dropout: float,
    max_tokens: int,
    sub_words: bool = False,
) -> LoadedEncoder:
    """The built-in encoder's kind with random weights, its vocabulary taken from `texts`.

    Its tokens are characters, or parts of words where `sub_words` says so.
    """
    tokenizer = sub_word_tokenizer(texts) if sub_words else character_tokenizer(texts)
    config = CharacterEncoderConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden_size // 64),
        intermediate_size=4 * hidden_size,
        dropout=dropout,
    )
    return LoadedEncoder(
        f"{'sub-word' if sub_words else 'character'} encoder from scratch",
        CharacterEncoder(config),
        tokenizer,
        UNKNOWN_ID,
        max_tokens,
        pretrained=False,
    )


def pretrained_encoder(name: str, *, max_tokens: int) -> LoadedEncoder:
    """Load a transformers encoder and its fast tokenizer.

    Args:
        name: Name on the Hugging Face hub, path of a folder, or `BUILT_IN`.
        max_tokens: Longest input wanted; less where the encoder takes less.

    Raises:
        ConfigInvalid: There is no such encoder, it cannot be loaded without running foreign code,
            or it has no fast tokenizer, whose offsets the span model needs.
    """
    try:
        source = str(built_in.FOLDER) if name == BUILT_IN else name
        with without_progress_bars() if Path(source).is_dir() else nullcontext():
            encoder = AutoModel.from_pretrained(
                source, dtype=torch.float32, trust_remote_code=False, weights_only=True
            )
        # The factory has no types.
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(  # type: ignore[no-untyped-call,unused-ignore]
            source, trust_remote_code=False
        )
    # Whoever wrote the files decides what is raised: two dozen classes of four libraries.
    except Exception as error:
        raise _encoder_invalid(name, f"cannot be loaded: {error}") from error
    if not tokenizer.is_fast:
        raise _encoder_invalid(name, "has no fast tokenizer (tokenizer.json)")
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    sizes = (max_tokens, tokenizer.model_max_length, _positions(encoder))
    return LoadedEncoder(
        name,
        encoder,
        backend,
        tokenizer.unk_token_id,
        min(size for size in sizes if size),
        pretrained=True,
    )


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep back the bars that transformers shows for files that are read in a moment."""
    bars: Any = transformers.utils.logging  # no types
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def adapt_encoder(loaded: LoadedEncoder, texts: Iterable[str], *, dropout: float) -> LoadedEncoder:
    """Ready a pre-trained character encoder for a task; other encoders are as they are.

    Characters of the task that its vocabulary lacks get ids of their own. They begin with the
    embedding of the unknown token, which pre-training has taught to stand for any character.

    Args:
        loaded: The encoder is changed in place.
        texts: Of the task.
        dropout: In the encoder.
    """
    encoder = loaded.encoder
    if not isinstance(encoder, CharacterEncoder) or not loaded.pretrained:
        return loaded
    encoder.set_dropout(dropout)
    characters = {standard_form(loaded.tokenizer, c) for c in set().union(*texts)}
    missing = sorted(c for c in characters if loaded.tokenizer.token_to_id(c) is None)
    encoder.add_embeddings(len(missing))
    return replace(loaded, tokenizer=_with_characters(loaded.tokenizer, missing))


def _with_characters(tokenizer: Tokenizer, characters: Sequence[str]) -> Tokenizer:
    """A tokenizer with more characters in its vocabulary, behind those that are there."""
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    first = len(vocabulary)
    vocabulary.update({character: first + index for index, character in enumerate(characters)})
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def _positions(encoder: PreTrainedModel) -> int | None:
    """Positions that an encoder can embed, where it says so.

    RoBERTa and its kin count positions from the padding index on, so that many are lost.
    """
    positions = getattr(encoder.config, "max_position_embeddings", None)
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    offset = getattr(table, "padding_idx", None)
    return positions - (offset + 1) if positions and offset is not None else positions


def _encoder_invalid(name: str, problem: str) -> ConfigInvalid:
    return ConfigInvalid(
        f"encoder {name!r} {problem.splitlines()[0]}",
        violations=[FieldViolation("options.encoder", problem)],
        metadata={"encoder": name},
    )
