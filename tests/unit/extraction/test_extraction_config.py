"""Settings that cannot work are refused when they are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slcolm_services.errors import ConfigInvalid
from slcolm_services.extraction.config import EngineConfig, ExtractionConfig


@pytest.mark.parametrize(
    "name", ["batch_tokens", "max_text_characters", "max_batch_documents", "max_loaded_models"]
)
def test_a_limit_of_zero_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        replace(ExtractionConfig(), **{name: 0})  # type: ignore[arg-type]  # the name is open
    assert [violation.field for violation in caught.value.violations] == [name]


def test_zero_threads_mean_as_many_as_there_are() -> None:
    assert EngineConfig(threads=0).threads == 0
    with pytest.raises(ConfigInvalid):
        EngineConfig(threads=-1)
