"""Settings that cannot work are refused when they are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slcolm_services.errors import ConfigInvalid
from slcolm_services.extraction.config import EngineConfig, ExtractionConfig


@pytest.mark.parametrize(
    "name", ["max_text_characters", "max_batch_documents", "max_loaded_models"]
)
def test_a_limit_of_zero_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        replace(ExtractionConfig(), **{name: 0})  # type: ignore[arg-type]  # the name is open
    assert [violation.field for violation in caught.value.violations] == [name]


@pytest.mark.parametrize("name", ["threads", "batch_tokens"])
def test_zero_leaves_it_to_the_machine_and_less_is_refused(name: str) -> None:
    assert EngineConfig() == replace(EngineConfig(), **{name: 0})  # type: ignore[arg-type]
    with pytest.raises(ConfigInvalid) as caught:
        replace(EngineConfig(), **{name: -1})  # type: ignore[arg-type]  # the name is open
    assert [violation.field for violation in caught.value.violations] == [name]


@pytest.mark.parametrize("name", ["precision", "device"])
def test_an_unknown_name_is_told_beside_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        replace(EngineConfig(), **{name: "abacus"})  # type: ignore[arg-type]  # the name is open
    (violation,) = caught.value.violations
    assert violation.field == name
    assert "auto" in violation.problem
