"""A small model, a corpus for it, and a service that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.batches import write_corpus
from support.extracting import extraction_process
from support.killable import Killable
from support.letters import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl")


@pytest.fixture(scope="module")
def service(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    with extraction_process(
        model, tmp_path_factory.mktemp("service"), max_text_characters=200
    ) as running:
        yield running
