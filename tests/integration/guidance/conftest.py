from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import chat_server

from slcolm_services.corpus.documents import Document, Entity, Relation
from slcolm_services.corpus.schema import EntityType, RelationType, TaskSchema
from slcolm_services.guidance.items import GuideItem


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is a file under the working folder: no test finds answers of another."""
    (tmp_path / "slcolm-home").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def chat() -> ModuleType:
    """The module of the chat server: behaviours and completions."""
    return chat_server


@pytest.fixture
def endpoint() -> Iterator[Any]:
    """A chat completions endpoint on loopback."""
    with chat_server.chat_server() as server:
        yield server


@pytest.fixture(scope="session")
def schema() -> TaskSchema:
    return TaskSchema(
        name="annals",
        language="lzh",
        entity_types=(EntityType("PER", "人物"), EntityType("OFI", "职官")),
        relation_types=(
            RelationType("任职", "", ("PER",), ("OFI",)),
            RelationType("父", "", ("PER",), ("PER",)),
        ),
    )


@pytest.fixture
def items() -> list[GuideItem]:
    """Two texts with the same prediction."""
    return [
        GuideItem(
            Document(
                name,
                f"甲子乙，丙为某官{name}。",
                (
                    Entity("PER", 0, 1, 0.9),
                    Entity("PER", 2, 3, 0.9),
                    Entity("PER", 4, 5, 0.9),
                    Entity("OFI", 6, 8, 0.9),
                ),
                (Relation("任职", 2, 3, 0.8),),
            )
        )
        for name in ("p", "q")
    ]
