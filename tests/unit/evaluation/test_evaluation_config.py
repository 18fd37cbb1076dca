"""Settings that cannot work are refused at the start."""

from __future__ import annotations

from typing import Any

import pytest

from slcolm_services.errors import ConfigInvalid
from slcolm_services.evaluation.config import EvaluationConfig


@pytest.mark.parametrize(
    "settings",
    [
        {"max_merge_items": 0},
        {"max_fit_sentences": -1},
        {"max_scored_sentences": 0},
        {"max_bootstrap_samples": 0},
        {"entity_filters": ("none",)},
    ],
)
def test_a_setting_that_cannot_work_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        EvaluationConfig(**settings)
    assert [violation.field for violation in caught.value.violations] == list(settings)
