"""What an epoch trains on: every sentence, some with other names, and as many silver ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from slcolm_services.corpus.documents import Document
from slcolm_services.training.examples import Example, Examples
from slcolm_services.training.replacement import MentionReplacer


class TrainingSet:
    """Draws the examples of each epoch.

    Args:
        gold: Sentences annotated by people; each stands in every epoch.
        silver: Sentences annotated by models; as many as `gold` has are drawn for an epoch, or all
            where there are fewer.
        replacement: Share of the mentions of gold sentences that are replaced.
        build: Puts documents on tokens.
    """

    def __init__(
        self,
        gold: Sequence[Example],
        silver: Sequence[Example],
        *,
        replacement: float,
        build: Callable[[Sequence[Document]], Examples],
    ) -> None:
        self._gold = gold
        self._silver = silver
        self._replacer = MentionReplacer((example.document for example in gold), replacement)
        self._replacement = replacement
        self._build = build

    def __len__(self) -> int:
        """Sentences of an epoch."""
        return len(self._gold) + min(len(self._gold), len(self._silver))

    def draw(self, rng: np.random.Generator) -> list[Example]:
        """The examples of an epoch, `len(self)` of them."""
        silver = rng.permutation(len(self._silver))[: len(self._gold)]
        gold = [self._varied(example, rng) for example in self._gold]
        return gold + [self._silver[index] for index in silver]

    def _varied(self, example: Example, rng: np.random.Generator) -> Example:
        """The example with other mentions, where all of its annotation still has a place."""
        if not self._replacement:
            return example
        document = self._replacer.draw(example.document, rng)
        if document is example.document:
            return example
        built = self._build([document]).items
        whole = bool(built) and len(built[0].spans) == len(example.spans)
        return built[0] if whole and len(built[0].pairs) == len(example.pairs) else example
