"""A small corpus of made-up passages, and a recipe that is done in seconds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from slcolm_services.training.pretraining.options import Recipe

PASSAGES = 200
RECIPE = Recipe(
    layers=1,
    hidden_size=64,
    vocabulary_size=40,
    block_tokens=16,
    batch_tokens=128,
    micro_tokens=64,
    warmup_tokens=256,
    validation_share=0.1,
)


@pytest.fixture
def recipe() -> Recipe:
    return RECIPE


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Passages in which a place follows its province: something can be guessed."""
    rng = random.Random(0)
    pairs = ("山东济南", "河西武威", "江南建业", "淮北彭城")
    lines = []
    for _ in range(PASSAGES):
        moves = (
            f"{rng.choice('甲乙丙丁戊')}至{rng.choice(pairs)}" for _ in range(rng.randint(1, 5))
        )
        lines.append("，".join(moves) + "。")
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
