"""Training from documents to a model folder: the one entry point of servicer and command line."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import format_line
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.corpus.schema_file import schema_digest, write_schema
from slcolm_services.errors import ConfigInvalid, DataInvalid, FieldViolation
from slcolm_services.model.folder import (
    SCHEMA_FILE,
    TOKENIZER_FILE,
    Arguments,
    ModelManifest,
    write_manifest,
)
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.runtime.cpu import available_cpus
from slcolm_services.training.calibration import (
    CalibrationReport,
    calibrate_entities,
    calibrate_relations,
)
from slcolm_services.training.card import Card, write_card
from slcolm_services.training.checkpoint import Checkpoints
from slcolm_services.training.choice import Kind, choose_encoder, kind_of
from slcolm_services.training.dev import (
    Prediction,
    choose_threshold,
    predict,
    score,
    settle_overlaps,
)
from slcolm_services.training.encoder import load_encoder
from slcolm_services.training.epochs import TrainingSet
from slcolm_services.training.examples import Example, Examples, build_examples
from slcolm_services.training.export import export_graphs
from slcolm_services.training.loop import DevScore, Trainer
from slcolm_services.training.model import SpanModel
from slcolm_services.training.options import Settings, TrainOptions, settle
from slcolm_services.training.parity import check_parity
from slcolm_services.training.precision import check_precisions
from slcolm_services.training.progress import OnProgress, Progress, ignore
from slcolm_services.training.sampling import Sampler
from slcolm_services.training.schedules import Schedule, Weights
from slcolm_services.training.versions import versions
from slcolm_services.training.vocabulary import has_spaces

_TRAINING_THRESHOLD = 0.4
"""Relation threshold while training (SpERT's); the model's own is chosen on dev at the end."""


@dataclass(frozen=True)
class TrainedModel:
    """A finished model.

    Attributes:
        folder: The model folder.
        dev_scores: Metric name to value, each in [0, 1].
        train_seconds: Time that the call took.
    """

    folder: Path
    dev_scores: Mapping[str, float]
    train_seconds: float


def train(
    train_docs: Sequence[Document],
    dev_docs: Sequence[Document],
    schema: TaskSchema,
    options: TrainOptions,
    *,
    work_dir: Path,
    output: Path,
    silver_docs: Sequence[Document] = (),
    on_progress: OnProgress = ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedModel:
    """Train, calibrate, export and check a span model.

    The same documents, schema, settings and versions again go on from the last full epoch that
    `work_dir` holds.

    Args:
        train_docs: What the model learns from.
        dev_docs: What decides when to stop, the threshold and the calibration.
        schema: Names the types.
        options: What is asked for.
        work_dir: For checkpoints; many runs may share it.
        output: Becomes the model folder, whole or not at all; must not exist, or be empty.
        silver_docs: Documents annotated by models; the schedule of the options says how they are
            blended with `train_docs`.
        on_progress: Told how far the run is.
        should_stop: Asked before every step; true ends the run, whose checkpoints stay.

    Raises:
        DataInvalid: A data set is empty, has types that the schema does not know, or holds nothing
            that can be learned.
        ConfigInvalid: An option or the encoder cannot be used, or `output` is in use.
        ModelInvalid: The exported graphs do not compute what the model computes.
        Cancelled: `should_stop` said so.

    Side effects: sets torch's number of threads for this process.
    """
    started = time.monotonic()
    documents = {
        "train": train_docs,
        "dev": dev_docs,
        **({"silver": silver_docs} if silver_docs else {}),
    }
    _check(documents, schema, options, output)
    texts = [document.text for document in train_docs]
    options = replace(options, encoder=choose_encoder(options.encoder, texts))
    settings = settle(options, sentences=len(texts), spaces=has_spaces(texts))
    digests = {name: documents_digest(docs) for name, docs in documents.items()}
    digests["schema"] = schema_digest(schema)
    torch.set_num_threads(threads_for(settings))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        loaded = load_encoder([doc.text for doc in (*train_docs, *silver_docs)], settings)
        model = SpanModel(
            loaded.encoder,
            entity_types=len(schema.entity_types),
            relation_types=len(schema.relation_types),
            max_span_tokens=settings.max_span_tokens,
            max_tokens=loaded.max_tokens,
            dropout=settings.head_dropout,
        )
        tokenizer = TextTokenizer(loaded.tokenizer, max_tokens=loaded.max_tokens)

        def build(docs: Sequence[Document]) -> Examples:
            return build_examples(docs, schema, tokenizer, max_span_tokens=settings.max_span_tokens)

        examples = {name: build(docs) for name, docs in documents.items()}
        dev = examples["dev"]
        if not any(example.spans for example in examples["train"].items):
            raise DataInvalid("the training set holds no entity that the model has a place for")
        manifest = ModelManifest(
            entity_types=tuple(kind.name for kind in schema.entity_types),
            relation_types=tuple(kind.name for kind in schema.relation_types),
            relation_arguments={
                kind.name: Arguments(kind.head_types, kind.tail_types)
                for kind in schema.relation_types
                if kind.head_types or kind.tail_types
            },
            max_tokens=loaded.max_tokens,
            max_span_tokens=settings.max_span_tokens,
            relation_threshold=_TRAINING_THRESHOLD,
            vector_dimension=loaded.encoder.config.hidden_size,
        )

        def evaluate(candidate: SpanModel) -> DevScore:
            found = predict(candidate, dev.items, manifest, pad_id=tokenizer.pad_id)
            found, _ = settle_overlaps(dev_docs, found, manifest, schema)
            scores = score(dev_docs, found, manifest, schema)
            return DevScore(scores.relations_strict.micro.f1, scores.entities.micro.f1)

        trainer = Trainer(
            model.to("cuda" if torch.cuda.is_available() else "cpu"),
            Sampler(
                len(schema.relation_types),
                settings.max_span_tokens,
                settings.entity_negatives,
                settings.relation_negatives,
            ),
            settings,
            pad_id=tokenizer.pad_id,
            unknown_id=loaded.unknown_id,
            evaluate=evaluate,
            checkpoints=Checkpoints(work_dir / _run_key(digests, settings)),
        )
        training = TrainingSet(
            examples["train"].items,
            _silver(examples, settings),
            replacement=settings.mention_replacement,
            build=build,
            course=course_of(settings),
        )
        state = trainer.run(training, on_progress, should_stop)

    on_progress(Progress("calibrate"))
    model = model.cpu()
    found, manifest, calibration = _fit_to_dev(
        model, dev_docs, dev.items, manifest, schema, pad_id=tokenizer.pad_id
    )

    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        on_progress(Progress("export"))
        loaded.tokenizer.save(str(partial / TOKENIZER_FILE))
        write_schema(partial / SCHEMA_FILE, schema)
        export_graphs(model, partial)
        on_progress(Progress("check"))
        parity = check_parity(
            model,
            partial,
            max_tokens=loaded.max_tokens,
            vocabulary=loaded.tokenizer.get_vocab_size(),
        )
        card = Card(
            schema=schema,
            documents=documents,
            digests=digests,
            left_out={name: built.left_out for name, built in examples.items()},
            encoder=loaded.name,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            settings=settings,
            state=state,
            scores=score(dev_docs, found, manifest, schema),
            calibration=calibration,
            parity=parity,
            precisions=check_precisions(partial, manifest, tokenizer, dev.items, schema),
            seconds=time.monotonic() - started,
        )
        write_card(partial, card, manifest)
        write_manifest(partial, manifest)
        if output.exists():
            output.rmdir()
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return TrainedModel(output, card.dev_scores(), card.seconds)


def _fit_to_dev(
    model: SpanModel,
    gold: Sequence[Document],
    dev: Sequence[Example],
    manifest: ModelManifest,
    schema: TaskSchema,
    *,
    pad_id: int,
) -> tuple[list[Prediction], ModelManifest, dict[str, CalibrationReport]]:
    """Everything about a model that is decided on dev, and its predictions there."""
    temperature, entities = calibrate_entities(
        predict(model, dev, manifest, pad_id=pad_id), manifest
    )
    manifest = replace(manifest, entity_calibration=temperature)
    # Again, with the probabilities that decide between entities that overlap.
    found = predict(model, dev, manifest, pad_id=pad_id)
    found, manifest = settle_overlaps(gold, found, manifest, schema)
    manifest = choose_threshold(gold, found, manifest, schema)
    platt, relations = calibrate_relations(found, manifest, schema)
    calibration = {"entities": entities, "relations": relations}
    return found, replace(manifest, relation_calibration=platt), calibration


def documents_digest(documents: Sequence[Document]) -> str:
    """SHA-256 in hexadecimal of documents in their native form, a line each."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(format_line(document).encode() + b"\n")
    return digest.hexdigest()


def _silver(examples: Mapping[str, Examples], settings: Settings) -> list[Example]:
    """Sentences that models annotated, with the weights that the settings ask for."""
    found = examples["silver"].items if "silver" in examples else []
    return [example.weighted() for example in found] if settings.weigh_silver else found


def course_of(settings: Settings) -> list[Weights]:
    """Shares of both kinds of data in every epoch; empty where no schedule was asked for."""
    return Schedule.parse(settings.schedule).course(settings.epochs) if settings.schedule else []


def _run_key(digests: Mapping[str, str], settings: Settings) -> str:
    """Name of the run that these inputs make with this code."""
    inputs = [dict(digests), settings.as_dict(), versions()]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]


def threads_for(settings: Settings) -> int:
    """Threads of torch: the steps of character encoders are too small to be shared out.

    Measured on two cores, a second thread brings nothing when the cores are idle, and costs a
    multiple of the time when they are not.
    """
    return available_cpus() if kind_of(settings.encoder) is Kind.TRANSFORMERS else 1


def _check(
    documents: Mapping[str, Sequence[Document]],
    schema: TaskSchema,
    options: TrainOptions,
    output: Path,
) -> None:
    violations = [
        FieldViolation(name, "holds no documents") for name, docs in documents.items() if not docs
    ]
    if not schema.entity_types:
        violations.append(FieldViolation("schema.entity_types", "a span model needs entity types"))
    for name, docs in documents.items():
        unknown = {kind for doc in docs for kind in _types(doc)} - _known_types(schema)
        violations.extend(
            FieldViolation(name, f"{role} type {kind!r} is not in the schema")
            for role, kind in sorted(unknown)
        )
    if violations:
        raise DataInvalid("the model cannot be trained on these data", violations=violations)
    if options.schedule and "silver" not in documents:
        raise ConfigInvalid(
            "a schedule blends two data sets",
            violations=[FieldViolation("options.schedule", "needs silver data")],
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigInvalid(
            f"{output} exists and is not an empty folder",
            violations=[FieldViolation("output", "must not exist, or be an empty folder")],
        )


def _types(document: Document) -> set[tuple[str, str]]:
    return {("entity", entity.type) for entity in document.entities} | {
        ("relation", relation.type) for relation in document.relations
    }


def _known_types(schema: TaskSchema) -> set[tuple[str, str]]:
    return {("entity", name) for name in schema.entities_by_name} | {
        ("relation", name) for name in schema.relations_by_name
    }
