"""BIO tags on tokens, from entities and back (Ramshaw and Marcus 1995; IOB2).

Tag 0 is "outside"; entity class c (counted from 1) begins with tag 2c - 1 and goes on with 2c.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.training.examples import Example

IGNORED = -100
"""Tag of tokens that count for nothing: special ones (torch's default)."""


def tag_count(schema: TaskSchema) -> int:
    """Number of tags of a task."""
    return 2 * len(schema.entity_types) + 1


def tags_of(example: Example) -> NDArray[np.int64]:
    """int64[L]: the tags of a sentence.

    Where entities overlap the longer one stands, of equally long ones the first.
    """
    tags = np.where(example.encoded.starts < example.encoded.ends, 0, IGNORED).astype(np.int64)
    taken = np.zeros(len(tags), dtype=bool)
    spans = zip(example.spans, example.types, strict=True)
    for (first, end), kind in sorted(spans, key=lambda span: span[0][0] - span[0][1]):
        if not taken[first:end].any():
            taken[first:end] = True
            tags[first] = 2 * kind - 1
            tags[first + 1 : end] = 2 * kind
    return tags


def entities_of(
    example: Example, tags: Sequence[int] | NDArray[np.int64], schema: TaskSchema
) -> Document:
    """The sentence with the entities that its tags say; special tokens have none.

    An inner tag that continues nothing begins an entity, as conlleval reads it.
    """
    encoded = example.encoded
    entities: list[Entity] = []
    open_kind = 0
    for place, tag in enumerate(tags):
        if encoded.starts[place] >= encoded.ends[place]:
            continue
        kind = (int(tag) + 1) // 2
        start, end = int(encoded.starts[place]), int(encoded.ends[place])
        if kind and kind == open_kind and tag % 2 == 0:
            entities[-1] = Entity(entities[-1].type, entities[-1].start, end)
        elif kind:
            entities.append(Entity(schema.entity_types[kind - 1].name, start, end))
        open_kind = kind
    return Document(example.document.id, example.document.text, tuple(entities))
