"""Windows change nothing for a model that looks at nothing but the mentions themselves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.extraction import extract

from slcolm_services.corpus.documents import Document, Entity
from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.engine import Engine, Extraction
from slcolm_services.model.folder import read_manifest

FolderMaker = Callable[..., Path]


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> Engine:
    """Reads 14 tokens at once besides the special ones."""
    return Engine.load(model_folder, EngineConfig(window_tokens=14, overlap_tokens=6, threads=2))


@pytest.fixture(scope="module")
def wide(make_folder: FolderMaker) -> Engine:
    """The same model, which reads everything at once."""
    manifest = replace(read_manifest(make_folder()), max_tokens=4096, files={})
    return Engine.load(make_folder(manifest=manifest), EngineConfig(threads=1))


def one(engine: Engine, text: str) -> Extraction:
    (result,) = extract(engine, [Document("long", text)], workers=2, batch_tokens=64)
    assert isinstance(result, Extraction)
    return result


@settings(deadline=None)
@given(st.text(st.sampled_from("ABxy王。，\n 𠀀"), min_size=1, max_size=120).filter(str.strip))
def test_windows_find_what_the_whole_text_holds(engine: Engine, wide: Engine, text: str) -> None:
    windowed, whole = one(engine, text), one(wide, text)
    assert windowed.document.id == "long"
    assert windowed.document.text == text
    assert windowed.document.entities == whole.document.entities

    def together(first: Entity, second: Entity) -> bool:
        start, end = min(first.start, second.start), max(first.end, second.end)
        return not windowed.windows or any(
            window.start <= start and end <= window.end for window in windowed.windows
        )

    entities = whole.document.entities
    assert list(windowed.document.relations) == [
        relation
        for relation in whole.document.relations
        if together(entities[relation.head], entities[relation.tail])
    ]
    assert windowed.unseen_pairs == sum(
        not together(*pair) for pair in itertools.permutations(entities, 2)
    )
    assert bool(windowed.windows) == (len(text) > 14)


def test_two_hundred_thousand_characters_are_read(model_folder: Path) -> None:
    engine = Engine.load(model_folder, EngineConfig(threads=2))
    sentence = "王A，王x。" + "王" * 94
    result = one(engine, sentence * 2000)
    assert len(result.document.entities) == 4000
    assert len(result.document.relations) == 2000
    assert {entity.start % 100 for entity in result.document.entities} == {1, 4}


def test_a_text_of_white_space_between_words_is_no_obstacle(engine: Engine) -> None:
    result = one(engine, "A" + " " * 500 + "x")
    assert [entity.start for entity in result.document.entities] == [0, 501]
    assert result.unseen_pairs == 2
