"""Every client program that can be built here."""

from __future__ import annotations

import pytest
from support.programs import LANGUAGES, NotHere, Program, build


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program | str]:
    """Each language's program, or why there is none."""
    built: dict[str, Program | str] = {}
    for language in LANGUAGES:
        try:
            built[language] = build(language, tmp_path_factory.mktemp(language))
        except NotHere as missing:
            built[language] = str(missing)
    return built


@pytest.fixture(params=LANGUAGES)
def program(request: pytest.FixtureRequest, programs: dict[str, Program | str]) -> Program:
    built = programs[request.param]
    if isinstance(built, str):
        pytest.skip(built)
    return built
