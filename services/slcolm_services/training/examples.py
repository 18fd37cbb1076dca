"""Annotated documents as token spans: what the span model can learn, and what it cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import TextTooLong
from slcolm_services.model.tokenization import Encoded, TextTokenizer, align

_NOWHERE = (0, 0)
"""Token range that no entity has."""


@dataclass(frozen=True)
class Example:
    """A document on its tokens.

    Attributes:
        document: Where it comes from.
        encoded: Its tokens.
        spans: Gold entities as token ranges (first, one past the last), each range once.
        types: Entity class of each span; class 0 is "no entity".
        pairs: Relation classes that hold between two spans, by (head, tail) indexes into `spans`.
        span_weights: How much each span counts in the loss, in [0, 1].
        pair_weights: Likewise of each of `pairs`; those that are missing count in full.
    """

    document: Document
    encoded: Encoded
    spans: tuple[tuple[int, int], ...]
    types: tuple[int, ...]
    pairs: Mapping[tuple[int, int], frozenset[int]]
    span_weights: tuple[float, ...] = ()
    pair_weights: Mapping[tuple[int, int], float] = field(default_factory=dict)

    def weighted(self) -> Example:
        """The same sentence, in which annotations count by their probabilities.

        Where several annotations fall on one span or pair, the most probable counts.
        """
        spans = dict.fromkeys(self.spans, 0.0)
        entities = self.document.entities
        places = [align(self.encoded, entity.start, entity.end) for entity in entities]
        for entity, place in zip(entities, places, strict=True):
            if place is not None and place in spans:
                spans[place] = max(spans[place], _weight(entity.prob))
        index_of = {span: index for index, span in enumerate(self.spans)}
        pairs = dict.fromkeys(self.pairs, 0.0)
        for relation in self.document.relations:
            head, tail = places[relation.head], places[relation.tail]
            pair = index_of.get(head or _NOWHERE, -1), index_of.get(tail or _NOWHERE, -1)
            if pair in pairs:
                pairs[pair] = max(pairs[pair], _weight(relation.prob))
        return replace(self, span_weights=tuple(spans.values()), pair_weights=pairs)


def _weight(prob: float | None) -> float:
    return 1.0 if prob is None else prob


@dataclass
class Examples:
    """The examples of a data set, and what of its annotation they cannot hold.

    Attributes:
        items: In the order of the documents.
        left_out: Number of annotations or texts left out, by reason.
    """

    items: list[Example] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def build_examples(
    documents: Iterable[Document],
    schema: TaskSchema,
    tokenizer: TextTokenizer,
    *,
    max_span_tokens: int,
) -> Examples:
    """Put documents on tokens.

    What the model has no place for is left out and counted: texts beyond the longest input, spans
    wider than `max_span_tokens` or with a boundary inside a token, a second type on the same span,
    the relations of these, and relations between types that the schema rules out.
    """
    entity_classes = {kind.name: i for i, kind in enumerate(schema.entity_types, start=1)}
    examples = Examples()
    for document in documents:
        try:
            encoded = tokenizer.encode(document.text)
        except TextTooLong:
            examples.left_out["text too long"] += 1
            continue
        classes: dict[tuple[int, int], int] = {}
        places: list[tuple[int, int] | None] = []
        for entity in document.entities:
            span = align(encoded, entity.start, entity.end)
            if span is None:
                examples.left_out["entity boundary inside a token"] += 1
            elif span[1] - span[0] > max_span_tokens:
                examples.left_out["entity too wide"] += 1
                span = None
            elif (
                classes.setdefault(span, entity_classes[entity.type]) != entity_classes[entity.type]
            ):
                examples.left_out["second entity type on a span"] += 1
            places.append(span)
        pairs = _pairs(document, schema, places, tuple(classes), examples.left_out)
        examples.items.append(
            Example(document, encoded, tuple(classes), tuple(classes.values()), pairs)
        )
    return examples


def _pairs(
    document: Document,
    schema: TaskSchema,
    places: Sequence[tuple[int, int] | None],
    spans: Sequence[tuple[int, int]],
    left_out: Counter[str],
) -> dict[tuple[int, int], frozenset[int]]:
    """Relation classes by pairs of `spans`; what has no place is counted in `left_out`.

    Args:
        document: The relations are its.
        schema: The task.
        places: Token range of each entity; None for those that were left out.
        spans: Token ranges, each once.
        left_out: Changed in place.
    """
    classes = {kind.name: i for i, kind in enumerate(schema.relation_types)}
    index_of = {span: index for index, span in enumerate(spans)}
    pairs: dict[tuple[int, int], frozenset[int]] = {}
    for relation in document.relations:
        head, tail = places[relation.head], places[relation.tail]
        types = (document.entities[index].type for index in (relation.head, relation.tail))
        if head is None or tail is None:
            left_out["relation of an entity that was left out"] += 1
        elif head == tail:
            left_out["relation of a span with itself"] += 1
        elif not schema.relations_by_name[relation.type].admits(*types):
            left_out["relation between types that the schema rules out"] += 1
        else:
            pair = index_of[head], index_of[tail]
            pairs[pair] = pairs.get(pair, frozenset()) | {classes[relation.type]}
    return pairs
