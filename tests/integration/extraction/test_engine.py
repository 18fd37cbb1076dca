"""The engine on a model whose answers are known."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.extraction import extract

from slcolm_services.corpus.documents import Document
from slcolm_services.errors import (
    InvalidInput,
    ModelInvalid,
    ModelNotFound,
    SlcolmError,
    TextTooLong,
)
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.engine import Engine, Extraction
from slcolm_services.model.decode import MAX_PAIRED_SPANS
from slcolm_services.model.folder import ModelManifest, read_manifest, write_manifest

FolderMaker = Callable[..., Path]


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Engine:
    return Engine.load(model_folder, EngineConfig(max_text_characters=20_000, threads=1))


def extracted(engine: Engine, *texts: str) -> list[Extraction]:
    results = extract(engine, [Document(str(i), text) for i, text in enumerate(texts)])
    assert all(isinstance(result, Extraction) for result in results)
    return [result for result in results if isinstance(result, Extraction)]


def expected(text: str) -> tuple[list[Any], list[Any]]:
    """What the model finds, told without it."""
    entities = [
        ("PER" if letter in "AB" else "LOC", position, position + 1)
        for position, letter in enumerate(text)
        if letter in "ABxy"
    ]
    relations = [
        ("lives_in" if tail[0] == "LOC" else "knows", i, j)
        for i, head in enumerate(entities)
        for j, tail in enumerate(entities)
        if i != j and head[0] == "PER"
    ]
    return entities, relations


def found(document: Document) -> tuple[list[Any], list[Any]]:
    return (
        [(entity.type, entity.start, entity.end) for entity in document.entities],
        [(relation.type, relation.head, relation.tail) for relation in document.relations],
    )


def test_a_text_gives_entities_relations_probabilities_and_a_vector(engine: Engine) -> None:
    (result,) = extracted(engine, "𠀀 A,x")
    assert found(result.document) == expected("𠀀 A,x")
    person, place = result.document.entities
    (relation,) = result.document.relations
    # Temperature 2 on logits (0, 6, 0) and (0, 0, 4); slope 0.5 and intercept 0.1 on logit 2.
    assert person.prob == pytest.approx(np.exp(3) / (np.exp(3) + 2))
    assert place.prob == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert relation.prob == pytest.approx(1 / (1 + np.exp(-1.1)))
    # Seven tokens: [CLS] 𠀀 space A , x [SEP].
    assert result.vector == pytest.approx(np.array([1, 1, 5]) / np.sqrt(27))


texts = st.text(st.sampled_from("ABxy 王,𠀀e\u0301"), min_size=1, max_size=30)


@settings(deadline=None)
@given(st.lists(texts.filter(str.strip), max_size=12), st.integers(1, 200))
def test_an_answer_depends_neither_on_its_neighbours_nor_on_the_batches(
    engine: Engine, batch: list[str], batch_tokens: int
) -> None:
    documents = [Document(str(i), text) for i, text in enumerate(batch)]
    together = extract(engine, documents, batch_tokens=batch_tokens)
    for text, result in zip(batch, together, strict=True):
        assert isinstance(result, Extraction)
        (alone,) = extracted(engine, text)
        assert result.document.text == text
        assert found(result.document) == expected(text) == found(alone.document)
        np.testing.assert_allclose(result.vector, alone.vector, rtol=1e-6)


def test_bad_texts_fail_alone_and_in_place(engine: Engine) -> None:
    texts = ["A", "", "x", " \n\u3000", "y\ud800", "A" * 20_001, "B"]
    results = extract(engine, [Document(str(i), text) for i, text in enumerate(texts)])
    kinds = [type(result) for result in results]
    assert kinds == [
        Extraction,
        InvalidInput,
        Extraction,
        InvalidInput,
        InvalidInput,
        TextTooLong,
        Extraction,
    ]
    names = [result.document.id for result in results if isinstance(result, Extraction)]
    assert names == ["0", "2", "6"]


def test_a_text_beyond_the_limit_is_told_its_length_and_the_limit(engine: Engine) -> None:
    (error,) = extract(engine, [Document("long", "王" * 20_001)])
    assert isinstance(error, TextTooLong)
    assert "20001 characters, at most 20000" in error.message


def test_nothing_gives_nothing(engine: Engine) -> None:
    assert extract(engine, []) == []


def test_a_batch_without_entities_needs_no_pairs(engine: Engine) -> None:
    (result,) = extracted(engine, "王")
    assert result.document.entities == ()
    assert result.document.relations == ()


def test_many_entities_are_paired_up_to_the_bound(make_folder: FolderMaker) -> None:
    manifest = replace(read_manifest(make_folder()), max_tokens=512, files={})
    engine = Engine.load(make_folder(manifest=manifest), EngineConfig(threads=1))
    (result,) = extracted(engine, "A" * 300)
    assert len(result.document.entities) == 300
    assert len(result.document.relations) == MAX_PAIRED_SPANS * (MAX_PAIRED_SPANS - 1)
    assert result.unseen_pairs == 300 * 299 - len(result.document.relations)


def test_threads_get_the_answers_to_their_own_texts(engine: Engine) -> None:
    batches = [["A" * (i + 1), "x" * (20 - i), "AxB"] for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: extracted(engine, *batch), batches))
    for batch, results in zip(batches, answers, strict=True):
        assert [found(result.document) for result in results] == [expected(t) for t in batch]


def test_no_training_library_comes_into_the_process(model_folder: Path) -> None:
    """The serving image has neither torch nor transformers; it also saves a second at the start."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from slcolm_services.corpus.documents import Document\n"
        "from slcolm_services.extraction import service\n"
        "from slcolm_services.extraction.engine import Engine\n"
        "engine = Engine.load(Path(sys.argv[1]))\n"
        "(sentence,) = engine.sentences(0, Document('a', 'Ax'))\n"
        "assert engine.run([sentence])[0].document.relations\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model_folder)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "[]"


def test_no_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        Engine.load(tmp_path / "nowhere")


def damaged(folder: Path, spoil: Callable[[Path], object]) -> SlcolmError:
    """The error of a folder that was changed and sealed again."""
    manifest = read_manifest(folder)
    spoil(folder)
    write_manifest(folder, manifest)
    with pytest.raises(ModelInvalid) as caught:
        Engine.load(folder, EngineConfig(threads=1))
    return caught.value


def test_a_file_that_is_no_graph_is_named(make_folder: FolderMaker) -> None:
    error = damaged(make_folder(), lambda folder: (folder / "spans.onnx").write_bytes(b"no graph"))
    assert "spans.onnx cannot be loaded" in error.message


def test_a_graph_that_cannot_be_run_is_refused(make_folder: FolderMaker) -> None:
    def swap(folder: Path) -> None:
        (folder / "spans.onnx").write_bytes((folder / "relations.onnx").read_bytes())

    assert "cannot be run" in damaged(make_folder(), swap).message


def test_a_graph_of_other_sizes_than_the_manifest_is_refused(
    make_folder: FolderMaker,
) -> None:
    folder = make_folder()
    manifest = replace(read_manifest(folder), vector_dimension=4, max_span_tokens=2)
    write_manifest(folder, manifest)
    with pytest.raises(ModelInvalid) as caught:
        Engine.load(folder, EngineConfig(threads=1))
    assert [violation.field for violation in caught.value.violations] == ["span_logits", "vector"]


def test_a_graph_of_broken_weights_is_refused(make_folder: FolderMaker) -> None:
    def spoil(folder: Path) -> None:
        model = onnx.load(folder / "relations.onnx")
        for constant in model.graph.initializer:
            if constant.name == "bias":
                array = np.array([np.nan, 0], dtype=np.float32)
                constant.CopyFrom(onnx.numpy_helper.from_array(array, "bias"))
        onnx.save(model, folder / "relations.onnx")

    error = damaged(make_folder(), spoil)
    assert [violation.field for violation in error.violations] == ["relation_logits"]


def test_types_that_the_schema_does_not_know_are_refused(make_folder: FolderMaker) -> None:
    folder = make_folder()
    manifest: ModelManifest = replace(read_manifest(folder), entity_types=("PER", "ORG"))
    write_manifest(folder, manifest)
    with pytest.raises(ModelInvalid) as caught:
        Engine.load(folder, EngineConfig(threads=1))
    assert caught.value.violations[0].problem == "'ORG' is not in schema.yaml"
