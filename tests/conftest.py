"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Nothing is judged by the clock: these machines are shared. In CI the examples are the same every
# time, so that a change is judged by what it changes; elsewhere new ones are tried.
settings.register_profile(
    "slcolm",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("slcolm")
