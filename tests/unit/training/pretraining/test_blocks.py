"""Blocks hold the corpus, all of it and nothing twice, and what is held out is in no other part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray

from slcolm_services.corpus.script import fold
from slcolm_services.errors import DataInvalid
from slcolm_services.training.pretraining.blocks import Blocks, is_held_out, prepare
from slcolm_services.training.pretraining.options import Recipe
from slcolm_services.training.pretraining.text import passages
from slcolm_services.training.pretraining.vocabulary import CharacterCounts
from slcolm_services.training.vocabulary import (
    CLS_ID,
    PAD_ID,
    SEP_ID,
    SPECIAL_TOKENS,
    UNKNOWN_ID,
)


def _texts(blocks: Blocks, part: NDArray[np.uint16]) -> list[str]:
    """The passages that blocks hold, read back."""
    assert (part[:, 0] == CLS_ID).all()
    names = [*SPECIAL_TOKENS, *blocks.vocabulary.characters]
    row = part[:, 1:].ravel()
    padding = np.flatnonzero(row == PAD_ID)
    assert len(padding) < part.shape[1]
    assert (padding == np.arange(len(row) - len(padding), len(row))).all(), "padding is at the end"
    text = "".join("\n" if i == SEP_ID else names[i] for i in row[row != PAD_ID])
    assert text.endswith("\n")
    return text.split("\n")[:-1]


def test_every_passage_is_in_one_part_once_and_in_order(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    blocks = prepare([corpus], tmp_path / "corpus", recipe)
    lines = list(passages([corpus]))
    held_out = [is_held_out(line, recipe.validation_share) for line in lines]
    assert 0 < sum(held_out) < len(lines) / 4
    for part, held in ((blocks.train, False), (blocks.validation, True)):
        wanted = [fold(line) for line, out in zip(lines, held_out, strict=True) if out is held]
        assert _texts(blocks, part) == wanted


def test_no_passage_is_on_both_sides_however_often_it_occurs(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    twice = tmp_path / "twice.txt"
    lines = corpus.read_text(encoding="utf-8").splitlines()
    twice.write_text("\n".join([*lines, *reversed(lines)]), encoding="utf-8")
    blocks = prepare([twice], tmp_path / "corpus", recipe)
    train = set(_texts(blocks, blocks.train))
    assert not train & set(_texts(blocks, blocks.validation))


def test_a_compressed_corpus_of_several_frames_reads_like_a_plain_one(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    content = corpus.read_bytes()
    half = len(content) // 2
    compressed = tmp_path / "corpus.txt.zst"
    frames = (zstandard.compress(content[:half]), zstandard.compress(content[half:]))
    compressed.write_bytes(b"".join(frames))
    one = prepare([corpus], tmp_path / "a", recipe)
    other = prepare([compressed], tmp_path / "b", recipe)
    np.testing.assert_array_equal(one.train, other.train)
    np.testing.assert_array_equal(one.validation, other.validation)


def test_the_most_frequent_characters_get_ids_and_variants_share_them() -> None:
    vocabulary = CharacterCounts.of(["後后后漢，", "汉後之"]).vocabulary(len(SPECIAL_TOKENS) + 2)
    assert vocabulary.characters == ["后", "汉"]
    ids = vocabulary.encode("後后漢汉之").tolist()
    first = len(SPECIAL_TOKENS)
    assert ids == [first, first, first + 1, first + 1, UNKNOWN_ID]


def test_a_line_that_is_longer_than_what_is_read_at_once_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("天地玄黄" * 40_000, encoding="utf-8")
    assert "".join(passages([path])) == "天地玄黄" * 40_000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no text"),
        (b"\n \n\n", "no text"),
        ("天地".encode("gb18030") * 9, "not UTF-8"),
        (b"The history of the Han. " * 100, "not Chinese"),
        ("天地玄黄\n".encode(), "too small"),
    ],
)
def test_a_corpus_of_no_use_is_refused_with_its_reason(
    content: bytes, problem: str, recipe: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(DataInvalid, match=problem):
        prepare([path], tmp_path / "corpus", recipe)


def test_a_damaged_compressed_file_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "bad.zst"
    path.write_bytes(b"no zstd at all")
    with pytest.raises(DataInvalid, match="zstd"):
        prepare([path], tmp_path / "corpus", recipe)


def test_a_corpus_that_failed_halfway_is_not_taken_for_whole(
    corpus: Path, recipe: Recipe, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_bytes(corpus.read_bytes() + "天".encode("utf-16"))
    with pytest.raises(DataInvalid):
        prepare([bad], tmp_path / "corpus", recipe)
    assert not (tmp_path / "corpus").exists()
    small = replace(recipe, batch_tokens=64)
    assert len(prepare([corpus], tmp_path / "corpus", small).train)
