"""Texts longer than a model reads at once: overlapping windows, and their findings as one answer.

What two windows say of the same place is settled as in BERT's reading comprehension
(`_check_is_max_context` in `run_squad.py`, Devlin et al. 2019): the window counts in which the
place has the most context, that is, in which it is farthest from a border.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.windows import Breaks, Window, breaks, split
from slcolm_services.model.decode import disjoint
from slcolm_services.model.tokenization import Encoded


def token_windows(
    text: str, tokens: Encoded, *, longest: int, overlap: int, least_overlap: int
) -> list[tuple[Window, Encoded]]:
    """Split the tokens of a text into windows that begin and end with sentences where they can.

    Args:
        text: The text.
        tokens: All its tokens, without special ones.
        longest: Tokens in a window at most.
        overlap: Tokens that two neighbours share at most; less than `longest`.
        least_overlap: Tokens that two neighbours share at least: every span of one more than this
            lies whole in a window.

    Returns:
        Ranges of the text in code points, which cover all of it, with their slices of `tokens`,
        whose offsets remain places of the whole text.
    """
    places = breaks(text)
    found = split(
        len(tokens),
        Breaks(_before(tokens, places.sentences), _before(tokens, places.clauses)),
        longest=longest,
        overlap=overlap,
        least_overlap=least_overlap,
    )
    slices = [
        Encoded(
            tokens.ids[window.start : window.end],
            tokens.starts[window.start : window.end],
            tokens.ends[window.start : window.end],
        )
        for window in found
    ]
    starts = [0, *(int(part.starts[0]) for part in slices[1:])]
    ends = [*(int(part.ends[-1]) for part in slices[:-1]), len(text)]
    return list(zip(map(Window, starts, ends), slices, strict=True))


def _before(tokens: Encoded, places: Sequence[int]) -> list[int]:
    """How many tokens end before each place of the text, each number once."""
    counts = np.searchsorted(tokens.ends, np.array(places, dtype=np.int64), side="right")
    return [int(count) for count in np.unique(counts)]


class Joiner:
    """Findings in the windows of one text as findings in the text.

    Args:
        windows: Ranges of the text in code points; starts and ends ascend.
        overlapping_entities: Whether entities may overlap. Where not, of entities that different
            windows see best the most probable stand.
    """

    def __init__(self, windows: Sequence[Window], *, overlapping_entities: bool = True) -> None:
        self._overlapping_entities = overlapping_entities
        self._starts = [window.start for window in windows]
        self._ends = [window.end for window in windows]

    def join(self, parts: Sequence[Document]) -> Document:
        """The text with the entities and relations of its windows, each once.

        An entity stands if the window that sees it best found it; a relation, if of the windows
        that found both its entities the one that sees them best did.

        Args:
            parts: What was found in each window, with offsets of the whole text.
        """
        entities = sorted(
            (
                entity
                for index, part in enumerate(parts)
                for entity in part.entities
                if self._best(entity.start, entity.end) == index
            ),
            key=_range,
        )
        if not self._overlapping_entities:
            probs = [entity.prob or 0.0 for entity in entities]
            kept = disjoint([_range(entity) for entity in entities], probs)
            entities = [entities[index] for index in kept]
        places = {_range(entity): place for place, entity in enumerate(entities)}
        found = [{_range(entity) for entity in part.entities} for part in parts]
        relations = []
        for index, part in enumerate(parts):
            for relation in part.relations:
                pair = [_range(part.entities[end]) for end in (relation.head, relation.tail)]
                seen_by = [
                    window
                    for window in self._holding(min(pair)[0], max(end for _, end in pair))
                    if found[window].issuperset(pair)
                ]
                if places.keys() >= set(pair) and self._most_context(pair, seen_by) == index:
                    head, tail = (places[span] for span in pair)
                    relations.append(Relation(relation.type, head, tail, relation.prob))
        relations.sort(key=lambda relation: (relation.head, relation.tail))
        return Document(parts[0].id, parts[0].text, tuple(entities), tuple(relations))

    def unseen_pairs(self, entities: Sequence[Entity]) -> int:
        """Ordered pairs of entities that no window holds together."""
        firsts = [bisect.bisect_left(self._ends, entity.end) for entity in entities]
        lasts = sorted(bisect.bisect_right(self._starts, entity.start) - 1 for entity in entities)
        # Each entity lies in consecutive windows; two are apart when one's end before the other's.
        return 2 * sum(bisect.bisect_left(lasts, first) for first in firsts)

    def vector(self, vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Mean of the windows' vectors by their lengths, L2-normalised."""
        lengths = np.subtract(self._ends, self._starts)
        mean = np.average(vectors, axis=0, weights=lengths)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)

    def _best(self, start: int, end: int) -> int:
        return self._most_context([(start, end)], self._holding(start, end))

    def _holding(self, start: int, end: int) -> range:
        """Windows that hold a range whole."""
        return range(bisect.bisect_left(self._ends, end), bisect.bisect_right(self._starts, start))

    def _most_context(self, spans: Sequence[tuple[int, int]], windows: Sequence[int]) -> int:
        """The window with the most text beyond the spans on its shorter side; the first of equals.

        Args:
            spans: Ranges that every one of `windows` holds.
            windows: At least one.
        """
        start, end = min(spans)[0], max(end for _, end in spans)

        def context(window: int) -> int:
            return min(start - self._starts[window], self._ends[window] - end)

        return max(windows, key=context)


def _range(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end
