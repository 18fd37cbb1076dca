"""The encoder with the head that guesses masked characters, and its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slcolm_services.training.encoder import CharacterEncoder, CharacterEncoderConfig
from slcolm_services.training.pretraining.masking import IGNORED
from slcolm_services.training.pretraining.options import Recipe
from slcolm_services.training.vocabulary import PAD_ID


class MaskedCharacters(nn.Module):
    """Guesses masked characters, with the embeddings as output weights.

    Args:
        recipe: Sizes.
        vocabulary_size: Token ids.
    """

    def __init__(self, recipe: Recipe, vocabulary_size: int) -> None:
        super().__init__()
        config = CharacterEncoderConfig(
            vocab_size=vocabulary_size,
            hidden_size=recipe.hidden_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.hidden_size // 64,
            intermediate_size=4 * recipe.hidden_size,
            activation=recipe.activation,
            # A corpus that is seen once cannot be learned by heart.
            dropout=0.0,
        )
        self.encoder = CharacterEncoder(config)
        self.head = nn.Sequential(
            nn.Linear(recipe.hidden_size, recipe.hidden_size),
            nn.ReLU(),
            nn.LayerNorm(recipe.hidden_size),
        )
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))

    def forward(self, inputs: Tensor, places: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy at the places, in nats.

        Args:
            inputs: int64[B,L].
            places: int64[K], indexes into the flattened batch.
            labels: int64[K].
        """
        hidden = self.encoder(inputs, (inputs != PAD_ID).long()).last_hidden_state
        # Only masked places are worth an output: the vocabulary is far wider than the encoder.
        guesses = self.head(hidden.flatten(0, 1)[places])
        logits = nn.functional.linear(guesses, self.encoder.embeddings.weight, self.bias)
        return nn.functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED)
