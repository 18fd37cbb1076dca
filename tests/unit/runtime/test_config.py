"""Configuration comes from a file and the environment; every mistake is named with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret, ServerConfig, load_section


@dataclass(frozen=True)
class Sample:
    needed: str
    count: int = 1
    ratio: float = 0.5
    on: bool = False
    folder: Path = Path("here")
    names: tuple[str, ...] = ()
    key: Secret | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ConfigInvalid("bad", violations=[FieldViolation("count", "must not be negative")])


def load(tmp_path: Path, text: str | None = None, **environ: str) -> Sample:
    path = None
    if text is not None:
        path = tmp_path / "slcolm.toml"
        path.write_text(text, encoding="utf-8")
    return load_section(Sample, "sample", path=path, environ=environ)


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[sample]\nneeded = "file"\ncount = 2\nratio = 3\nnames = ["a", "b"]\n[other]\nx = 1\n',
        SLCOLM_SAMPLE_NEEDED="environment",
        SLCOLM_OTHER_X="1",
    )
    assert config == Sample("environment", count=2, ratio=3.0, names=("a", "b"))


def test_every_type_can_be_given_in_the_environment(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        SLCOLM_SAMPLE_NEEDED="x",
        SLCOLM_SAMPLE_COUNT="7",
        SLCOLM_SAMPLE_RATIO="1e-3",
        SLCOLM_SAMPLE_ON="true",
        SLCOLM_SAMPLE_FOLDER="/a/b",
        SLCOLM_SAMPLE_NAMES="a, b,",
        SLCOLM_SAMPLE_KEY="s3cret",
        SLCOLM_SAMPLE_LIMIT="",
    )
    assert config == Sample(
        "x", 7, 1e-3, on=True, folder=Path("/a/b"), names=("a", "b"), key=Secret("s3cret")
    )


def test_a_secret_is_usable_and_not_shown(tmp_path: Path) -> None:
    config = load(tmp_path, SLCOLM_SAMPLE_NEEDED="x", SLCOLM_SAMPLE_KEY="s3cret")
    assert "s3cret" not in repr(config)
    assert config.key == "s3cret"


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ('needed = "x"\ncuont = 1', "[sample] cuont", "is no setting; did you mean count?"),
        ('needed = "x"\ncount = "7"', "[sample] count", "must be of type int, got '7'"),
        ('needed = "x"\ncount = true', "[sample] count", "must be of type int, got True"),
        ('needed = "x"\ncount = 1.0', "[sample] count", "must be of type int, got 1.0"),
        ('needed = "x"\non = 1', "[sample] on", "must be of type bool, got 1"),
        ('needed = "x"\nnames = "a"', "[sample] names", "must be a list of strings, got 'a'"),
        ('needed = "x"\ncount = -1', "[sample] count", "must not be negative"),
        ("count = 1", "[sample] needed", "must be set"),
    ],
)
def test_mistakes_in_the_file_are_named(
    tmp_path: Path, text: str, place: str, problem: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path, f"[sample]\n{text}\n")
    (violation,) = caught.value.violations
    assert violation.field.endswith(place)
    assert violation.problem == problem
    assert str(violation) in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SLCOLM_SAMPLE_CUONT", "1", "is no setting; did you mean count?"),
        ("SLCOLM_SAMPLE_COUNT", "many", "must be of type int, got 'many'"),
        ("SLCOLM_SAMPLE_ON", "maybe", "must be of type bool, got 'maybe'"),
        ("SLCOLM_SAMPLE_COUNT", "-1", "must not be negative"),
    ],
)
def test_mistakes_in_the_environment_are_named(
    tmp_path: Path, name: str, value: str, problem: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path, **{"SLCOLM_SAMPLE_NEEDED": "x", name: value})
    assert caught.value.violations == (FieldViolation(name, problem),)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path, "[sample]\na = 1\ncount = 'x'\n", SLCOLM_SAMPLE_ON="?")
    assert len(caught.value.violations) == 3


@pytest.mark.parametrize("text", ["[sample", "sample = 1", "\udcff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "slcolm.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigInvalid) as caught:
        load_section(Sample, "sample", path=path, environ={})
    assert str(path) in caught.value.violations[0].field


def test_variables_that_kubernetes_sets_for_a_service_are_no_settings() -> None:
    """A Service named slcolm-server gives every pod these."""
    config = load_section(
        ServerConfig,
        "server",
        path=None,
        environ={
            "SLCOLM_SERVER_SERVICE_HOST": "10.0.0.1",
            "SLCOLM_SERVER_SERVICE_PORT": "50051",
            "SLCOLM_SERVER_SERVICE_PORT_GRPC": "50051",
            "SLCOLM_SERVER_PORT": "tcp://10.0.0.1:50051",
            "SLCOLM_SERVER_PORT_50051_TCP": "tcp://10.0.0.1:50051",
            "SLCOLM_SERVER_PORT_50051_TCP_ADDR": "10.0.0.1",
        },
    )
    assert config == ServerConfig()
    assert (
        load_section(
            ServerConfig, "server", path=None, environ={"SLCOLM_SERVER_PORT": "50051"}
        ).port
        == 50051
    )


@pytest.mark.parametrize(
    "values",
    [
        {"port": 65536},
        {"port": -1},
        {"max_calls_in_flight": 0},
        {"drain_delay_seconds": -0.1},
        {"max_deadline_seconds": float("nan")},
        {"log_level": "loud"},
        {"log_format": "xml"},
    ],
)
def test_server_settings_that_cannot_work_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        ServerConfig(**values)  # type: ignore[arg-type]  # wrong on purpose
    assert [violation.field for violation in caught.value.violations] == list(values)


@dataclass(frozen=True)
class Place:
    url: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            violation = FieldViolation("weight", "must not be negative")
            raise ConfigInvalid("bad", violations=[violation])


@dataclass(frozen=True)
class Kind:
    name: str
    places: tuple[Place, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tables:
    kinds: tuple[Kind, ...] = ()


def load_tables(tmp_path: Path, text: str) -> Tables:
    path = tmp_path / "slcolm.toml"
    path.write_text(text, encoding="utf-8")
    return load_section(Tables, "sample", path=path, environ={})


def test_arrays_of_tables_become_tuples_of_dataclasses(tmp_path: Path) -> None:
    text = """
[[sample.kinds]]
name = "a"
extra = {top_k = 5, nested = {on = true}}

[[sample.kinds.places]]
url = "u"

[[sample.kinds.places]]
url = "v"
weight = 2

[[sample.kinds]]
name = "b"
"""
    assert load_tables(tmp_path, text) == Tables(
        (
            Kind("a", (Place("u"), Place("v", 2.0)), {"top_k": 5, "nested": {"on": True}}),
            Kind("b"),
        )
    )
    assert load_tables(tmp_path, "") == Tables()


@pytest.mark.parametrize(
    ("table", "place", "problem"),
    [
        ("nmae = 1\nname = 'a'", "kinds[0].nmae", "is no setting; did you mean name?"),
        ("", "kinds[0].name", "must be set"),
        ("name = 1", "kinds[0].name", "must be of type str, got 1"),
        ("name = 'a'\nextra = 1", "kinds[0].extra", "must be a table in the file"),
        ("name = 'a'\nplaces = [1]", "kinds[0].places", "must be an array of tables in the file"),
        (
            "name = 'a'\nplaces = [{url = 'u'}, {url = 'v', weight = -1}]",
            "kinds[0].places[1].weight",
            "must not be negative",
        ),
        ("name = 'a'\nplaces = [{weight = 1}]", "kinds[0].places[0].url", "must be set"),
    ],
)
def test_mistakes_in_tables_are_named_with_their_place(
    tmp_path: Path, table: str, place: str, problem: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_tables(tmp_path, f"[[sample.kinds]]\n{table}\n")
    (violation,) = caught.value.violations
    assert violation.field.endswith(f"[sample] {place}")
    assert violation.problem == problem


def test_mistakes_of_several_tables_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_tables(tmp_path, "[[sample.kinds]]\n[[sample.kinds]]\nname = 1\nx = 2\n")
    assert len(caught.value.violations) == 3


def test_tables_are_not_taken_from_the_environment() -> None:
    with pytest.raises(ConfigInvalid, match="must be an array of tables in the file"):
        load_section(Tables, "sample", path=None, environ={"SLCOLM_SAMPLE_KINDS": "a"})
