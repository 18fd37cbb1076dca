"""Whether a model is as good on dev in a faster precision as in fp32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.model.decode import to_document
from slcolm_services.model.folder import ModelManifest
from slcolm_services.model.graphs import Precision, bf16_available
from slcolm_services.model.inference import Inference
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.scoring.span import score_spans
from slcolm_services.training.examples import Example

MAX_F1_LOSS = 0.002
"""Largest loss of any F1 that passes."""


@dataclass(frozen=True)
class PrecisionCheck:
    """F1 on dev in a faster precision, beside that of fp32.

    Attributes:
        f1: Micro F1 in [0, 1] of entities, relations and relations with entity types.
        f1_fp32: The same in fp32.
        max_loss: Largest loss that passes.
    """

    f1: Mapping[str, float]
    f1_fp32: Mapping[str, float]
    max_loss: float = MAX_F1_LOSS

    @property
    def passed(self) -> bool:
        """Whether no F1 is lower by more than the largest loss."""
        return all(self.f1_fp32[name] - f1 <= self.max_loss for name, f1 in self.f1.items())

    def as_dict(self) -> dict[str, object]:
        """As JSON takes it."""
        return {**asdict(self), "passed": self.passed}


def check_precisions(
    folder: Path,
    manifest: ModelManifest,
    tokenizer: TextTokenizer,
    dev: Sequence[Example],
    schema: TaskSchema,
) -> dict[str, PrecisionCheck]:
    """Score the exported graphs on dev in every precision that is to be had here.

    Args:
        folder: Holds the graphs.
        manifest: With the threshold and the calibration that the model will have.
        tokenizer: The model's.
        dev: Dev sentences on their tokens.
        schema: The task.

    Returns:
        A check by name of the precision; none where there is fp32 alone.
    """
    if not bf16_available():
        return {}
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    fp32, bf16 = (
        _f1(Inference(folder, manifest, tokenizer, precision=precision), dev, schema)
        for precision in precisions
    )
    return {"bf16": PrecisionCheck(bf16, fp32)}


def _f1(inference: Inference, dev: Sequence[Example], schema: TaskSchema) -> dict[str, float]:
    symmetric = [kind.name for kind in schema.relation_types if kind.symmetric]
    gold = [example.document for example in dev]
    scores = score_spans(gold, [_predicted(inference, example) for example in dev], symmetric)
    return {
        "entity": scores.entities.micro.f1,
        "relation": scores.relations.micro.f1,
        "relation_strict": scores.relations_strict.micro.f1,
    }


def _predicted(inference: Inference, example: Example) -> Document:
    (found,) = inference.run([example.encoded])
    document = example.document
    return to_document(document.id, document.text, example.encoded, found.spans, found.relations)
