"""What may be said of traces, and who says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from slcolm_services.embedded import refuse_unusable
from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.config import Secret
from slcolm_services.runtime.telemetry_config import TelemetryConfig


def test_services_start_without_the_package_and_say_so_when_it_is_needed() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from slcolm_services.errors import ConfigInvalid
from slcolm_services.runtime.telemetry_config import TelemetryConfig
from slcolm_services.runtime.tracing import tracing
import slcolm_services.runtime.service
with tracing(TelemetryConfig(), "a"):
    pass
try:
    with tracing(TelemetryConfig("http://localhost:4317"), "a"):
        pass
except ConfigInvalid as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert "slcolm[telemetry]" in done.stdout


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"otlp_endpoint": "localhost:4317"}, "otlp_endpoint"),
        ({"otlp_endpoint": "http://localhost"}, "otlp_endpoint"),
        ({"otlp_endpoint": "http://localhost:4318/v1/traces"}, "otlp_endpoint"),
        ({"otlp_headers": Secret("authorization: Bearer x")}, "otlp_headers"),
        (
            {"otlp_endpoint": "http://collector:4317", "otlp_headers": Secret("key=x")},
            "otlp_headers",
        ),
        ({"sample_share": 1.5}, "sample_share"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        TelemetryConfig(**settings)

    assert [violation.field for violation in caught.value.violations] == [field]


def test_headers_are_read_and_never_shown() -> None:
    config = TelemetryConfig(
        "https://collector:4317", Secret("authorization=Bearer a b=, x-scope=one")
    )

    assert config.headers == (("authorization", "Bearer a b="), ("x-scope", "one"))
    assert "Bearer" not in repr(config)


def test_services_of_a_home_take_the_section_but_no_secret_in_it() -> None:
    refuse_unusable({"telemetry": {"otlp_endpoint": "http://localhost:4317"}})

    with pytest.raises(ConfigInvalid) as caught:
        refuse_unusable({"telemetry": {"otlp_headers": "key=x"}})
    (violation,) = caught.value.violations
    assert violation.field == "[telemetry] otlp_headers"
    assert "SLCOLM_TELEMETRY_OTLP_HEADERS" in violation.problem
