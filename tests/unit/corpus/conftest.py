from __future__ import annotations

import os
from pathlib import Path

import pytest

from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the reference data sets."""
    folder = Path(os.environ.get("SLCOLM_SHARED") or REPOSITORY.parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip("no reference data: set SLCOLM_SHARED to the folder that holds data/")
    return folder / "data"


@pytest.fixture(scope="session")
def schema() -> TaskSchema:
    """A small task with a long tail, a fallback and both kinds of label."""
    return TaskSchema(
        name="annals",
        language="lzh",
        entity_types=(EntityType("PER", "人物"), EntityType("OFI", "职官", "官名")),
        relation_types=(
            RelationType("任职", "担任官职", ("PER",), ("OFI",), count=120),
            RelationType("父", head_types=("PER",), tail_types=("PER",)),
            RelationType("死于时间"),
            RelationType("其他", symmetric=True),
        ),
        fallback_relation="其他",
        script="simplified",
    )
