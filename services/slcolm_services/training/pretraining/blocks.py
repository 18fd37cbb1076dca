"""A corpus as blocks of token ids on disk, made once and mapped into memory.

Every passage is followed by a separator; all of them in a row are cut into blocks, each of which
begins with the token that begins a text. Only the last block of each part is padded. A passage is
held out by its digest, so that a passage that occurs twice is never on both sides.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from slcolm_services.errors import DataInvalid, FieldViolation
from slcolm_services.training.pretraining.options import Recipe
from slcolm_services.training.pretraining.text import passages
from slcolm_services.training.pretraining.vocabulary import CharacterCounts, Vocabulary
from slcolm_services.training.vocabulary import (
    CLS_ID,
    PAD_ID,
    SEP_ID,
)

_CORPUS_FILE = "corpus.json"
_LEAST_HAN = 0.3
"""Share of Chinese characters below which a corpus is not Chinese: other scripts have words, and
a vocabulary of characters does not serve them."""


@dataclass(frozen=True)
class Blocks:
    """A corpus ready for training.

    Attributes:
        train: uint16[N,L].
        validation: uint16[M,L].
        vocabulary: Of the ids.
    """

    train: NDArray[np.uint16]
    validation: NDArray[np.uint16]
    vocabulary: Vocabulary


def prepare(paths: Sequence[Path], folder: Path, recipe: Recipe) -> Blocks:
    """Read a corpus into `folder`, or take what an earlier call left there.

    Raises:
        DataInvalid: A file cannot be read, or there is too little text, or too little Chinese.
    """
    if not folder.is_dir():
        counts = CharacterCounts.of(passages(paths))
        _check(counts)
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        vocabulary = counts.vocabulary(recipe.vocabulary_size)
        _write(paths, vocabulary, partial, recipe)
        content = {"characters": counts.total, "vocabulary": "".join(vocabulary.characters)}
        (partial / _CORPUS_FILE).write_text(json.dumps(content), encoding="utf-8")
        partial.rename(folder)
    vocabulary = read_vocabulary(folder)
    shape = (-1, recipe.block_tokens)
    train, validation = (_map(folder / f"{name}.bin", shape) for name in ("train", "validation"))
    if len(train) * recipe.block_tokens < recipe.batch_tokens or not len(validation):
        raise _too_small(
            f"{len(train)} blocks of {recipe.block_tokens} tokens to train on and "
            f"{len(validation)} held out; a step takes {recipe.batch_tokens} tokens"
        )
    return Blocks(train, validation, vocabulary)


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a corpus that `prepare` left in a folder."""
    return Vocabulary(json.loads((folder / _CORPUS_FILE).read_bytes())["vocabulary"])


def _check(counts: CharacterCounts) -> None:
    if not counts.total:
        raise _too_small("the files hold no text")
    share = counts.han / counts.total
    if share < _LEAST_HAN:
        problem = f"{share:.0%} of the characters are Chinese, at least {_LEAST_HAN:.0%} must be"
        raise DataInvalid(
            f"the corpus is not Chinese: {problem}", violations=[FieldViolation("input", problem)]
        )


def _write(paths: Sequence[Path], vocabulary: Vocabulary, folder: Path, recipe: Recipe) -> None:
    with (folder / "train.bin").open("wb") as train, (folder / "validation.bin").open("wb") as held:
        packers = _Packer(train, recipe.block_tokens), _Packer(held, recipe.block_tokens)
        for passage in passages(paths):
            packer = packers[is_held_out(passage, recipe.validation_share)]
            packer.add(vocabulary.encode(passage))
        for packer in packers:
            packer.close()


def is_held_out(passage: str, share: float) -> bool:
    """Whether a passage is for validation: decided by what it says, never by where it stands."""
    digest = hashlib.blake2b(passage.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


class _Packer:
    """Cuts passages in a row into blocks and writes them."""

    def __init__(self, stream: BinaryIO, block_tokens: int) -> None:
        self._stream = stream
        self._room = block_tokens - 1
        self._waiting: list[NDArray[np.uint16]] = []
        self._count = 0

    def add(self, ids: NDArray[np.uint16]) -> None:
        self._waiting.extend((ids, np.array([SEP_ID], np.uint16)))
        self._count += len(ids) + 1
        if self._count >= 1024 * self._room:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._count:
            self._waiting.append(np.full(self._room - self._count, PAD_ID, np.uint16))
            self._count = self._room
            self._flush()

    def _flush(self) -> None:
        """Write all full blocks."""
        row = np.concatenate([*self._waiting, np.empty(0, np.uint16)])
        full = len(row) // self._room
        texts = row[: full * self._room].reshape(full, self._room)
        blocks = np.concatenate([np.full((full, 1), CLS_ID, np.uint16), texts], axis=1)
        self._stream.write(blocks.tobytes())
        self._waiting = [row[full * self._room :]]
        self._count = len(self._waiting[0])


def _map(path: Path, shape: tuple[int, int]) -> NDArray[np.uint16]:
    if not path.stat().st_size:
        return np.empty((0, shape[1]), np.uint16)
    return np.memmap(path, np.uint16, "r").reshape(shape)


def _too_small(problem: str) -> DataInvalid:
    return DataInvalid(
        f"the corpus is too small: {problem}", violations=[FieldViolation("input", problem)]
    )
