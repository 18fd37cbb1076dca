"""The token classifier and its training: an encoder, a linear layer, cross-entropy over tags.

Devlin et al. 2019 (BERT), section 5.3, with every token tagged, so that it reads texts without
words too. The epoch with the best entity F1 on dev is the one that counts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.model.tokenization import pad
from slcolm_services.scoring.span import score_spans
from slcolm_services.training.encoder import LoadedEncoder
from slcolm_services.training.epochs import TrainingSet
from slcolm_services.training.examples import Example
from slcolm_services.training.loop import learning_rate_factor, parameter_groups
from slcolm_services.training.options import Settings
from slcolm_services.training.sampling import length_batches
from slcolm_services.training.tagging.tags import IGNORED, entities_of, tag_count, tags_of

_BATCH_OF_PREDICTIONS = 64


class Tagger(nn.Module):
    """Token logits: input_ids int64[B,L], attention_mask int64[B,L] -> float32[B,L,tags]."""

    def __init__(self, encoder: PreTrainedModel, tags: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(encoder.config.hidden_size, tags)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of every tag for every token."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: Tensor = self.output(self.dropout(hidden))
        return logits


@dataclass(frozen=True)
class TaggerRun:
    """A finished training.

    Attributes:
        epoch: The one that counts, from 1.
        dev_f1: Its micro F1 of entities on dev, in [0, 1].
        history: Dev F1 after each epoch.
    """

    epoch: int
    dev_f1: float
    history: tuple[float, ...]


def train_tagger(
    loaded: LoadedEncoder,
    training: TrainingSet,
    dev: Sequence[Example],
    schema: TaskSchema,
    settings: Settings,
    *,
    pad_id: int,
    on_epoch: Callable[[int], None] = lambda _: None,
) -> tuple[Tagger, TaggerRun]:
    """Train a token classifier over all epochs.

    Args:
        loaded: Its encoder is changed in place.
        training: What each epoch trains on.
        dev: Chooses the epoch.
        schema: The task.
        settings: Epochs, batch size, learning rate and its course, weight decay, seed.
        pad_id: Token id of padding.
        on_epoch: Told the number of full epochs.

    Returns:
        The model with the weights of the epoch that counts, and how the training went.
    """
    torch.manual_seed(settings.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tagger = Tagger(loaded.encoder, tag_count(schema), settings.head_dropout).to(device)
    optimizer = torch.optim.AdamW(
        parameter_groups(tagger, tagger.encoder, settings), lr=settings.learning_rate, fused=True
    )
    steps = sum(-(-training.size(epoch) // settings.batch_size) for epoch in range(settings.epochs))
    gold = [example.document for example in dev]
    history: list[float] = []
    best = copy.deepcopy(tagger.state_dict())
    step = 0
    for epoch in range(settings.epochs):
        rng = np.random.default_rng((settings.seed, epoch))
        torch.manual_seed(int(rng.integers(2**31)))
        tagger.train()
        for batch in _batches(training.draw(epoch, rng), settings.batch_size, rng):
            factor = learning_rate_factor(step, steps, epoch, settings)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * group["rate"] * factor
            _step(tagger, optimizer, batch, settings, pad_id)
            step += 1
        found = tag(tagger, dev, schema, pad_id=pad_id)
        history.append(score_spans(gold, found).entities.micro.f1)
        if history[-1] > max(history[:-1], default=-1.0):
            best = copy.deepcopy(tagger.state_dict())
        on_epoch(epoch + 1)
    tagger.load_state_dict(best)
    return tagger, TaggerRun(int(np.argmax(history)) + 1, max(history), tuple(history))


def tag(
    tagger: Tagger, examples: Sequence[Example], schema: TaskSchema, *, pad_id: int
) -> list[Document]:
    """What a token classifier finds, in the order of the examples."""
    device = next(tagger.parameters()).device
    tagger.eval()
    found: dict[int, Document] = {}
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].encoded))
    with torch.inference_mode():
        for first in range(0, len(order), _BATCH_OF_PREDICTIONS):
            chosen = order[first : first + _BATCH_OF_PREDICTIONS]
            batch = [examples[index] for index in chosen]
            rows = tagger(*_padded(batch, pad_id, device)).argmax(dim=-1).cpu().numpy()
            for index, example, row in zip(chosen, batch, rows, strict=True):
                found[index] = entities_of(example, row[: len(example.encoded)], schema)
    return [found[index] for index in range(len(examples))]


def _step(
    tagger: Tagger,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[Example],
    settings: Settings,
    pad_id: int,
) -> None:
    device = next(tagger.parameters()).device
    ids, mask = _padded(batch, pad_id, device)
    tags = torch.full(ids.shape, IGNORED, dtype=torch.int64)
    for row, example in enumerate(batch):
        tags[row, : len(example.encoded)] = torch.from_numpy(tags_of(example))
    loss = nn.functional.cross_entropy(tagger(ids, mask).flatten(0, 1), tags.flatten().to(device))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
    nn.utils.clip_grad_norm_(tagger.parameters(), settings.gradient_clip)
    optimizer.step()


def _padded(
    examples: Sequence[Example], pad_id: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask of sentences, int64[B,L] both."""
    ids, mask = pad([example.encoded for example in examples], pad_id)
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def _batches(
    examples: Sequence[Example], size: int, rng: np.random.Generator
) -> Iterator[list[Example]]:
    lengths = [len(example.encoded) for example in examples]
    for chosen in length_batches(lengths, size, rng):
        yield [examples[index] for index in chosen]
