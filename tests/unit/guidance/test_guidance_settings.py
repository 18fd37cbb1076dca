"""A setting that cannot be used is named."""

from __future__ import annotations

import pytest

from slcolm_services.errors import ConfigInvalid
from slcolm_services.guidance.config import GuidanceConfig


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"provider": "gpt"}, "provider"),
        ({"provider": "replay"}, "recordings"),
        ({"provider": "openai"}, "model"),
        ({"context_tokens": 100, "max_answer_tokens": 100}, "context_tokens"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"prompt_price": -1.0}, "prompt_price"),
        ({"answer_form": "xml"}, "answer_form"),
        ({"min_probability": 2.0}, "min_probability"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        GuidanceConfig(**settings)  # type: ignore[arg-type]  # wrong on purpose
    assert [violation.field for violation in caught.value.violations] == [field]
