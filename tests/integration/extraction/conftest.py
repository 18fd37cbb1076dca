"""A small model folder whose answers are known, for every test of extraction."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.letters import write_model


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


FolderMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> FolderMaker:
    """Makes a model folder; `manifest`, `schema` and `f1` may be given."""

    def make(**different: Any) -> Path:
        return write_model(tmp_path_factory.mktemp("model"), **different)

    return make


@pytest.fixture(scope="session")
def model_folder(make_folder: FolderMaker) -> Path:
    """A sound model folder; shared, do not change it."""
    return make_folder()
