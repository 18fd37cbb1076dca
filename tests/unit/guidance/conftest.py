from __future__ import annotations

import pytest

from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema


@pytest.fixture(scope="session")
def schema() -> TaskSchema:
    """A small task in the form of ChisRE."""
    return TaskSchema(
        name="annals",
        language="lzh",
        entity_types=(
            EntityType("PER", "人物"),
            EntityType("LOC", "地点"),
            EntityType("OFI", "职官"),
        ),
        relation_types=(
            RelationType("任职", "人物担任某个官职", ("PER",), ("OFI",), count=120),
            RelationType("管理", "人物对地点进行管理", ("PER",), ("LOC",)),
            RelationType("父", "一个人物是另一个人物的父亲", ("PER",), ("PER",)),
            RelationType("攻伐", "", ("PER",), ("PER", "LOC")),
            RelationType("其他"),
        ),
        fallback_relation="其他",
        script="simplified",
    )
