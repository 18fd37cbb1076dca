"""Mention replacement: sentences with other names in them.

Dai and Adel (2020), "An Analysis of Simple Data Augmentation for Named Entity Recognition", section
3: a mention gives way to another one of its entity type from the training set. What surrounds it,
and with it the relations, stay; so the model learns from the context what it would otherwise learn
by heart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from slcolm_services.corpus.documents import Document


class MentionReplacer:
    """Replaces mentions.

    Args:
        documents: The training set, whose mentions stand in for each other.
        share: Of the mentions that are replaced.
    """

    def __init__(self, documents: Iterable[Document], share: float) -> None:
        mentions: dict[str, set[str]] = {}
        for document in documents:
            for index, entity in enumerate(document.entities):
                mentions.setdefault(entity.type, set()).add(document.mention(index))
        # Sorted, so that equal seeds draw equal mentions.
        self._mentions = {kind: sorted(found) for kind, found in mentions.items()}
        self._share = share

    def draw(self, document: Document, rng: np.random.Generator) -> Document:
        """A document with some of its mentions replaced, equal ones by the same.

        Documents whose entities overlap come back as they are, and so does one of which no mention
        was drawn.
        """
        places = sorted((entity.start, entity.end) for entity in document.entities)
        if any(start < end for (_, end), (start, _) in pairwise(places)):
            return document
        chosen: dict[tuple[str, str], str] = {}
        for index, entity in enumerate(document.entities):
            mention = document.mention(index)
            others = self._mentions[entity.type]
            drawn = rng.random() < self._share
            chosen.setdefault(
                (entity.type, mention),
                others[int(rng.integers(len(others)))] if drawn else mention,
            )
        if all(mention == other for (_, mention), other in chosen.items()):
            return document
        return _with_mentions(
            document,
            [
                chosen[entity.type, document.mention(index)]
                for index, entity in enumerate(document.entities)
            ],
        )


def _with_mentions(document: Document, mentions: list[str]) -> Document:
    """The document with these mentions in place of its entities, which do not overlap."""
    entities = list(document.entities)
    text, position = "", 0
    for index in sorted(range(len(entities)), key=lambda index: entities[index].start):
        entity = document.entities[index]
        text += document.text[position : entity.start]
        entities[index] = replace(entity, start=len(text), end=len(text) + len(mentions[index]))
        text += mentions[index]
        position = entity.end
    text += document.text[position:]
    return replace(document, text=text, entities=tuple(entities))
