"""What the machine answers where the configuration leaves it open."""

from __future__ import annotations

import pytest

from slcolm_services.extraction.config import EngineConfig
from slcolm_services.extraction.resources import Resources


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slcolm_services.extraction.resources.cuda_available", lambda: True)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slcolm_services.extraction.resources.cuda_available", lambda: False)
    monkeypatch.setattr("slcolm_services.extraction.resources.available_cpus", lambda: 6)


@pytest.mark.usefixtures("without_gpu")
def test_on_processors_a_thread_for_each_and_small_batches() -> None:
    assert Resources.of(EngineConfig()) == Resources("cpu", 6, 512)


@pytest.mark.usefixtures("with_gpu")
def test_a_gpu_is_taken_with_few_and_large_batches() -> None:
    assert Resources.of(EngineConfig()) == Resources("cuda", 2, 16384)


@pytest.mark.usefixtures("with_gpu")
@pytest.mark.parametrize("config", [EngineConfig(device="cpu"), EngineConfig(precision="bf16")])
def test_a_gpu_is_left_alone_where_the_configuration_means_processors(config: EngineConfig) -> None:
    assert Resources.of(config).device == "cpu"


@pytest.mark.usefixtures("without_gpu")
def test_what_is_asked_for_is_what_there_is() -> None:
    config = EngineConfig(device="cuda", threads=3, batch_tokens=64)
    assert Resources.of(config) == Resources("cuda", 3, 64)
