"""What a model folder finds in documents, for commands that go on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.stats import frequency_bucket
from slcolm_services.errors import SlcolmError
from slcolm_services.extraction.engine import Engine
from slcolm_services.extraction.reading import Reading
from slcolm_services.scoring.counts import macro, total, totals_of
from slcolm_services.scoring.span import SpanScores, score_spans


@dataclass(frozen=True)
class ModelScores:
    """How good a model is, span-level, each in [0, 1].

    Attributes:
        entities: Micro F1.
        micro: Micro F1 of relations with entity types.
        macro: Their macro F1: harmonic mean of macro precision and recall over the types that are
            true or found.
        tail: Micro F1 of relations of the types with at most 20 training instances.
    """

    entities: float
    micro: float
    macro: float
    tail: float

    def as_dict(self) -> dict[str, float]:
        """As JSON takes it."""
        return asdict(self)


def predictions(model: Path, texts: Sequence[Document]) -> list[Document]:
    """What a model folder finds in texts, in their order.

    Raises:
        SlcolmError: The model cannot be used, or a text cannot be read.
    """
    engine = Engine.load(model)
    found: list[Document] = []
    for output in Reading.of(engine, texts).run(engine):
        if isinstance(output, SlcolmError):
            raise output
        found.append(output.document)
    return found


def model_scores(
    gold: Sequence[Document],
    found: Sequence[Document],
    schema: TaskSchema,
    training_counts: Mapping[str, int],
) -> tuple[ModelScores, SpanScores]:
    """Score what a model finds."""
    scores = score_spans(
        gold, found, [kind.name for kind in schema.relation_types if kind.symmetric]
    )
    relations = scores.relations_strict.by_type
    rare = {
        name: counts
        for name, counts in relations.items()
        if frequency_bucket(training_counts.get(name, 0)) == "tail"
    }
    figures = ModelScores(
        scores.entities.micro.f1,
        scores.relations_strict.micro.f1,
        macro(totals_of(relations)).f1_pr if relations else 0.0,
        total(rare).prf().f1,
    )
    return figures, scores
