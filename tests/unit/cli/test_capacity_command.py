"""`slcolm capacity` as a person and as a program use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from slcolm_services.capacity.profile import MEASURED, read_profile
from slcolm_services.cli.capacity import capacity
from slcolm_services.errors import ConfigInvalid, InvalidInput

GUIDED = ("--guided", "0.1", "--llm-seconds", "4")


def said(*options: str) -> str:
    result = CliRunner().invoke(capacity, options, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def told(*options: str) -> list[dict[str, Any]]:
    forecasts: list[dict[str, Any]] = json.loads(said(*options, "--json"))["forecasts"]
    return forecasts


def refused(*options: str) -> Exception:
    result = CliRunner().invoke(capacity, options)
    assert isinstance(result.exception, Exception)
    return result.exception


def test_the_profile_that_ships_is_whole() -> None:
    profile = read_profile()

    assert "processors" in profile.machine
    assert profile.driver_seconds < profile.extraction_seconds


def test_every_size_has_a_row_with_time_and_bottleneck() -> None:
    rows = [line.split() for line in said("--replicas", "4").splitlines() if "4 x 2" in line]

    assert [row[0] for row in rows] == ["1e+04", "1e+05", "1e+06", "1e+07", "1e+08", "1e+09"]
    assert all("extraction" in row for row in rows)


def test_a_tenth_of_the_time_takes_about_ten_times_the_threads() -> None:
    (week,) = told("--sentences", "1e9", "--within", "168")
    (hours,) = told("--sentences", "1e9", "--within", "16.8")

    ratio = hours["fleet"]["replicas"] / week["fleet"]["replicas"]
    assert 8 < ratio < 12
    assert hours["seconds"] <= 16.8 * 3600


def test_what_an_endpoint_does_not_limit_is_sized_too() -> None:
    (sized,) = told("--sentences", "1e7", "--within", "24", *GUIDED)
    (limited,) = told("--sentences", "1e7", "--within", "24", *GUIDED, "--llm-in-flight", "16")

    assert sized["seconds"] <= 24 * 3600 < limited["seconds"]
    assert (limited["bottleneck"], limited["llm_calls"]) == ("LLM", 16)


def test_what_cannot_be_in_time_is_in_the_table_all_the_same() -> None:
    out = said("--sentences", "1e7", "--within", "24", *GUIDED, "--llm-requests-per-minute", "60")

    assert "LLM requests/min" in out
    assert "11.6 d" in out


def test_prices_make_a_cost() -> None:
    (priced,) = told("--sentences", "1e6", "--processor-price", "0.05")

    assert priced["cost"] == pytest.approx(0.05 * priced["processor_hours"])
    assert "cost" in said("--sentences", "1e6", "--processor-price", "0.05")
    assert "cost" not in said("--sentences", "1e6")


def test_a_share_without_a_time_of_the_llm_is_wrong_usage() -> None:
    result = CliRunner().invoke(capacity, ["--guided", "0.1"])

    assert result.exit_code == click.UsageError.exit_code
    assert "--llm-seconds" in result.output


def test_a_deadline_before_the_start_is_refused_with_the_option() -> None:
    error = refused("--within", "0.0001")

    assert isinstance(error, InvalidInput)
    assert [violation.field for violation in error.violations] == ["--within"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("driver_seconds", "driver_second"),
        ("parallel = ", "parallel = -"),
        ("row_bytes = ", "row_bytes = inf #"),
    ],
)
def test_a_wrong_profile_is_refused_with_its_field(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "profile.toml"
    path.write_text(MEASURED.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    error = refused("--profile", str(path))

    assert isinstance(error, ConfigInvalid)
    name = new.partition(" ")[0]
    assert any(name in violation.field for violation in error.violations)
