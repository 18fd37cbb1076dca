"""From documents to a model folder, and on from where an interrupted run stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from support.extraction import extract

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.errors import Cancelled, ConfigInvalid, DataInvalid
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.engine import Engine, Extraction
from slcolm_services.model.folder import read_manifest
from slcolm_services.model.tokenization import TextTokenizer
from slcolm_services.training import train as train_module
from slcolm_services.training.choice import RANDOM
from slcolm_services.training.encoder import pretrained_encoder
from slcolm_services.training.options import Settings, TrainOptions, settle
from slcolm_services.training.progress import Progress
from slcolm_services.training.train import train

MakeDocuments = Callable[[int, int], list[Document]]


@pytest.fixture(autouse=True)
def _small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(options: TrainOptions, **data: Any) -> Settings:
        settings = settle(options, **data)
        return replace(settings, layers=1, hidden_size=64, max_tokens=70, max_span_tokens=4)

    monkeypatch.setattr(train_module, "settle", small)
    # The built-in encoder, where it is installed, is larger than these tests need.
    monkeypatch.setattr(train_module, "choose_encoder", lambda name, _: name or RANDOM)


def test_a_small_language_is_learned_and_the_folder_is_complete(
    schema: TaskSchema, make_documents: MakeDocuments, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    model = train(
        make_documents(120, 0),
        make_documents(30, 1),
        schema,
        TrainOptions(epochs=16, batch_size=8, learning_rate=3e-3),
        work_dir=tmp_path / "work",
        output=tmp_path / "model",
        on_progress=seen.append,
    )
    manifest = read_manifest(model.folder)
    card = json.loads((model.folder / "card.json").read_bytes())
    assert model.dev_scores["entity_f1"] > 0.9
    assert model.dev_scores["relation_strict_f1"] > 0.8
    assert manifest.relation_types == ("到", "伐")
    # No two entities of the language overlap.
    assert not manifest.overlapping_entities
    assert card["parity"]["max_difference"] < 1e-4
    assert card["data"]["train"]["documents"] == 120
    assert [update.phase for update in seen][-3:] == ["calibrate", "export", "check"]
    steps = [update.step for update in seen if update.phase == "train"]
    assert steps == sorted(steps)
    assert seen[0].steps == 16 * 15


def test_a_model_never_predicts_what_the_schema_rules_out(
    schema: TaskSchema, make_documents: MakeDocuments, tmp_path: Path
) -> None:
    """A schema that forbids the head type of every true 到 leaves 伐 alone."""
    (kind,) = {
        entity.type
        for document in make_documents(120, 0)
        for relation in document.relations
        if relation.type == "到"
        for entity in [document.entities[relation.head]]
    }
    (other,) = {entity.name for entity in schema.entity_types if entity.name != kind}
    strict = replace(
        schema,
        relation_types=tuple(
            replace(one, head_types=(other,)) if one.name == "到" else one
            for one in schema.relation_types
        ),
    )
    model = train(
        make_documents(120, 0),
        make_documents(30, 1),
        strict,
        TrainOptions(epochs=12, batch_size=8, learning_rate=3e-3),
        work_dir=tmp_path / "work",
        output=tmp_path / "model",
    )
    assert read_manifest(model.folder).relation_arguments["到"].head == (other,)
    engine = Engine.load(model.folder, EngineConfig(threads=1))
    found = extract(engine, make_documents(30, 1))
    predicted = {
        relation.type
        for one in found
        if isinstance(one, Extraction)
        for relation in one.document.relations
    }
    assert predicted == {"伐"}


def test_an_interrupted_run_ends_like_one_that_was_not(
    schema: TaskSchema, make_documents: MakeDocuments, tmp_path: Path
) -> None:
    def run(name: str, stop_at_epoch: int | None = None) -> None:
        epoch = 0

        def watch(progress: Progress) -> None:
            nonlocal epoch
            epoch = progress.epoch if progress.phase == "train" else epoch

        train(
            make_documents(24, 0),
            make_documents(8, 1),
            schema,
            TrainOptions(epochs=4, batch_size=8),
            work_dir=tmp_path / f"work-{name}",
            output=tmp_path / f"model-{name}",
            on_progress=watch,
            should_stop=lambda: epoch == stop_at_epoch,
        )

    run("whole")
    with pytest.raises(Cancelled):
        run("parts", stop_at_epoch=2)
    run("parts")
    whole, parts = (
        load_file(next((tmp_path / f"work-{name}").glob("*/epoch-*/model.safetensors")))
        for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    for name, weights in whole.items():
        np.testing.assert_array_equal(weights.numpy(), parts[name].numpy(), err_msg=name)


def test_the_same_inputs_make_the_same_graphs(
    schema: TaskSchema, make_documents: MakeDocuments, tmp_path: Path
) -> None:
    digests = []
    for name in ("a", "b"):
        model = train(
            make_documents(16, 0),
            make_documents(8, 1),
            schema,
            TrainOptions(epochs=1),
            work_dir=tmp_path / f"work-{name}",
            output=tmp_path / name,
        )
        digests.append(read_manifest(model.folder).files)
    for graph in ("spans.onnx", "relations.onnx", "tokenizer.json"):
        assert digests[0][graph] == digests[1][graph]


@pytest.mark.parametrize(
    ("kind", "widest"),
    [("bert", 4), ("roberta", 6), ("xlmr", 4), ("deberta", 4), ("modernbert", 6)],
)
def test_sub_word_encoders_of_users_are_trained_and_exported(
    kind: str,
    widest: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = TaskSchema(
        "places",
        "en",
        (EntityType("PER", "person"), EntityType("LOC", "place")),
        (RelationType("lives_in"),),
    )
    text = "Anna lives in Paris."
    documents = [
        Document(
            f"d{index}",
            text,
            (Entity("PER", 0, 4), Entity("LOC", 14, 19)),
            (Relation("lives_in", 0, 1),),
        )
        for index in range(4)
    ]
    folder: Path = request.getfixturevalue(f"{kind}_folder")
    tokenizer = TextTokenizer(pretrained_encoder(str(folder), max_tokens=512).tokenizer)
    encoded = tokenizer.encode(text)
    real = np.flatnonzero(encoded.starts < encoded.ends)
    for start, end in ((0, 4), (14, 19)):
        first = real[encoded.starts[real] == start][0]
        last = real[encoded.ends[real] == end][0]
        assert encoded.candidates(widest)[first, last - first], "the mention is a span of tokens"
    monkeypatch.setattr(
        train_module,
        "settle",
        lambda options, **data: replace(settle(options, **data), max_span_tokens=widest),
    )
    model = train(
        documents,
        documents,
        schema,
        TrainOptions(encoder=str(folder), epochs=1),
        work_dir=tmp_path / "work",
        output=tmp_path / "model",
    )
    card = json.loads((model.folder / "card.json").read_bytes())
    assert read_manifest(model.folder).max_tokens == 40
    assert card["data"]["left_out"] == {"train": {}, "dev": {}}
    assert [1, 40] in card["parity"]["shapes"]


def test_a_type_outside_the_schema_is_named(
    schema: TaskSchema, make_documents: MakeDocuments, tmp_path: Path
) -> None:
    wrong = [Document("x", "甲", (Entity("ORG", 0, 1),))]
    with pytest.raises(DataInvalid) as caught:
        train(
            wrong,
            make_documents(2, 0),
            schema,
            TrainOptions(),
            work_dir=tmp_path,
            output=tmp_path / "model",
        )
    assert [str(item) for item in caught.value.violations] == [
        "train: entity type 'ORG' is not in the schema"
    ]
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "options",
    [TrainOptions(epochs=-1), TrainOptions(learning_rate=0.0), TrainOptions(encoder="/no/such")],
)
def test_what_cannot_be_used_is_refused_before_training(
    options: TrainOptions, schema: TaskSchema, make_documents: MakeDocuments, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match=r"options|encoder"):
        train(
            make_documents(2, 0),
            make_documents(2, 1),
            schema,
            options,
            work_dir=tmp_path / "work",
            output=tmp_path / "model",
        )


def test_a_folder_in_use_is_never_written_over(
    schema: TaskSchema, make_documents: MakeDocuments, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigInvalid, match="not an empty folder"):
        train(
            make_documents(2, 0),
            make_documents(2, 1),
            schema,
            TrainOptions(),
            work_dir=tmp_path / "work",
            output=tmp_path,
        )
