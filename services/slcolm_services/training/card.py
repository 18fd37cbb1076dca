"""The card of a model: what it was made of, how, and how good it is on dev."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.stats import training_counts
from slcolm_services.model.folder import CARD_FILE, README_FILE, ModelManifest
from slcolm_services.scoring.span import SpanFigures, SpanScores
from slcolm_services.training.calibration import CalibrationReport
from slcolm_services.training.checkpoint import RunState
from slcolm_services.training.options import Settings
from slcolm_services.training.parity import ParityReport
from slcolm_services.training.precision import PrecisionCheck
from slcolm_services.training.versions import versions


@dataclass(frozen=True)
class Card:
    """Everything that the card says.

    Attributes:
        schema: The task.
        documents: By name: `train`, what the model learned from; `dev`, what decided when to stop,
            the threshold and the calibration; `silver`, annotated by models, where there was any.
        digests: SHA-256 of the documents by the same names and of the `schema`.
        left_out: Annotations the model has no place for, by data set and reason.
        encoder: Name of the encoder.
        parameters: Number of weights.
        settings: Of the run.
        state: The run's history.
        scores: On dev, at the manifest's threshold.
        calibration: Reports on `entities` and `relations`.
        parity: Of the exported graphs.
        precisions: Checks on dev in faster precisions, by name.
        seconds: Time that training took.
    """

    schema: TaskSchema
    documents: Mapping[str, Sequence[Document]]
    digests: Mapping[str, str]
    left_out: Mapping[str, Mapping[str, int]]
    encoder: str
    parameters: int
    settings: Settings
    state: RunState
    scores: SpanScores
    calibration: Mapping[str, CalibrationReport]
    parity: ParityReport
    precisions: Mapping[str, PrecisionCheck]
    seconds: float

    def dev_scores(self) -> dict[str, float]:
        """The figures that the service reports, by name, each in [0, 1]."""
        named = {
            "entity": self.scores.entities,
            "relation": self.scores.relations,
            "relation_strict": self.scores.relations_strict,
        }
        figures = {}
        for name, found in named.items():
            figures[f"{name}_precision"] = found.micro.precision
            figures[f"{name}_recall"] = found.micro.recall
            figures[f"{name}_f1"] = found.micro.f1
        figures["relation_strict_macro_f1_mean"] = self.scores.relations_strict.macro.f1_mean
        return figures


def write_card(folder: Path, card: Card, manifest: ModelManifest) -> None:
    """Write `card.json` for programs and `README.md` for people."""
    content = json.dumps(_as_json(card, manifest), ensure_ascii=False, indent=2)
    (folder / CARD_FILE).write_text(content + "\n", encoding="utf-8")
    (folder / README_FILE).write_text(_as_markdown(card, manifest), encoding="utf-8")


def _as_json(card: Card, manifest: ModelManifest) -> dict[str, object]:
    return {
        "task": card.schema.name,
        "language": card.schema.language,
        "encoder": card.encoder,
        "parameters": card.parameters,
        "data": {
            **{
                name: {"digest": card.digests[name], **_sizes(documents)}
                for name, documents in card.documents.items()
            },
            "schema": {"digest": card.digests["schema"]},
            "left_out": {name: dict(counts) for name, counts in card.left_out.items()},
        },
        "settings": card.settings.as_dict(),
        "versions": versions(),
        "dev_scores": card.dev_scores(),
        "dev_relations": _by_type(card.scores.relations_strict),
        "dev_entities": _by_type(card.scores.entities),
        "relation_threshold": manifest.relation_threshold,
        "calibration": {
            "entities": {
                "temperature": manifest.entity_calibration.temperature,
                **card.calibration["entities"].as_dict(),
            },
            "relations": {
                "slope": manifest.relation_calibration.slope,
                "intercept": manifest.relation_calibration.intercept,
                **card.calibration["relations"].as_dict(),
            },
        },
        "parity": card.parity.as_dict(),
        "precisions": {name: check.as_dict() for name, check in card.precisions.items()},
        "history": card.state.as_json(),
        "train_seconds": round(card.seconds, 1),
    }


def _sizes(documents: Sequence[Document]) -> dict[str, int]:
    return {
        "documents": len(documents),
        "characters": sum(len(document.text) for document in documents),
        "entities": sum(len(document.entities) for document in documents),
        "relations": sum(len(document.relations) for document in documents),
    }


def _by_type(figures: SpanFigures) -> dict[str, dict[str, float | int]]:
    found: dict[str, dict[str, float | int]] = {}
    for name, counts in figures.by_type.items():
        prf = counts.prf()
        found[name] = {
            "gold": counts.gold,
            "precision": prf.precision,
            "recall": prf.recall,
            "f1": prf.f1,
        }
    return found


def _as_markdown(card: Card, manifest: ModelManifest) -> str:
    counts = training_counts(card.documents["train"], card.schema)
    best = card.state.best
    lines = [
        f"# Span model for {card.schema.name}",
        "",
        (
            f"Entity types: {len(manifest.entity_types)}. "
            f"Relation types: {len(manifest.relation_types)}. "
            f"Encoder: {card.encoder}, {card.parameters / 1e6:.1f} million weights."
        ),
        "",
        "| | sentences | entities | relations |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {sizes['documents']} | {sizes['entities']} | {sizes['relations']} |"
            for name, sizes in ((name, _sizes(docs)) for name, docs in card.documents.items())
        ),
        "",
        "## On dev, span-level",
        "",
        "Epoch, threshold and calibration were chosen on these sentences: expect less on others.",
        "",
        "| | precision | recall | F1 |",
        "|---|---:|---:|---:|",
        _row("entities", card.scores.entities),
        _row("relations", card.scores.relations),
        _row("relations with entity types", card.scores.relations_strict),
        "",
        "| relation type | in train | in dev | F1 |",
        "|---|---:|---:|---:|",
    ]
    by_type = card.scores.relations_strict.by_type
    for name in sorted(manifest.relation_types, key=lambda kind: -counts.get(kind, 0)):
        found = by_type.get(name)
        gold, f1 = (found.gold, f"{100 * found.prf().f1:.1f}") if found else (0, "-")
        lines.append(f"| {name} | {counts.get(name, 0)} | {gold} | {f1} |")
    lines += [
        "",
        "## How it was made",
        "",
        (
            f"- Best epoch: {best.epoch if best else 0} of {card.state.epoch}, "
            f"seed {card.settings.seed}, {card.seconds:.0f} s."
        ),
        f"- Relation threshold: {manifest.relation_threshold}.",
        f"- Entities {'may' if manifest.overlapping_entities else 'do not'} overlap.",
        *(
            f"- Calibration of {name}: expected error {report.ece_before:.3f} before, "
            f"{report.ece_after:.3f} after, on {report.items} predictions."
            for name, report in card.calibration.items()
        ),
        (
            f"- Exported graphs differ from the trained model by at most "
            f"{card.parity.max_difference:.1e}."
        ),
        *(
            f"- In {name}: F1 of entities {100 * check.f1['entity']:.1f}, of relations with entity "
            f"types {100 * check.f1['relation_strict']:.1f}; "
            + ("as good as fp32." if check.passed else "not as good as fp32, and not to be used.")
            for name, check in card.precisions.items()
        ),
        *(
            f"- Left out of {name}: {count} × {reason}."
            for name, reasons in card.left_out.items()
            for reason, count in reasons.items()
        ),
        "",
        (
            f"Texts of up to {manifest.max_tokens} tokens, entities of up to "
            f"{manifest.max_span_tokens} tokens. All figures and settings are in `card.json`."
        ),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, figures: SpanFigures) -> str:
    prf = figures.micro
    return f"| {name} | {100 * prf.precision:.1f} | {100 * prf.recall:.1f} | {100 * prf.f1:.1f} |"
