"""Configuration: frozen dataclasses, read once from a TOML file and the environment.

A section of the file fills one class. `SLCOLM_<SECTION>_<FIELD>` in the environment wins over the
file, and the file over the class's defaults.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from slcolm_services.errors import ConfigInvalid, FieldViolation

ConfigT = TypeVar("ConfigT")


class Secret(str):
    """A string that `repr` does not show, so that printing a configuration does not either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

_TOML_TYPES: dict[type, type] = {Path: str, Secret: str}
"""What a field's type is written as, where that is another type."""

# Kubernetes sets these for a Service that is called slcolm-<section>; they are no settings.
_SERVICE_LINK = re.compile(r"SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?")


@dataclass(frozen=True)
class ServerConfig:
    """How a service listens, limits, logs and stops.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one, which the start line names.
        tls_certificate: PEM file of the server's certificate, with those between it and its root
            after it. None: plain text. This file and the two below may change while serving.
        tls_key: PEM file of its private key, not encrypted.
        tls_client_ca: PEM file of the authorities that a client's certificate must come from
            (mTLS). None: clients need none.
        health_port: Second port, plain text, that answers health checks and nothing else, for
            probes that speak no TLS; 0 for a free one; None for none.
        allow_unprotected: Listen beyond loopback although not both are there: TLS, and tokens or
            client certificates.
        max_message_bytes: Largest message in either direction.
        default_deadline_seconds: Deadline of a call whose caller set none.
        max_deadline_seconds: Longest that any call may run, whatever its caller set.
        max_calls_in_flight: Calls worked on at once; more are refused as OVERLOADED. As many that
            only ask or steer have places of their own.
        max_cost_in_flight: Sum of the costs of the calls in flight, in characters of text; more are
            refused as OVERLOADED, and a call that is dearer alone as REQUEST_TOO_LARGE. 0 for the
            service's own limit.
        retry_after_seconds: What refused callers are told to wait while it is not known from calls
            that have ended.
        check_seconds: Time between two looks at what the service depends on, and the most that
            such a look may take.
        drain_delay_seconds: Time between NOT_SERVING and the last new call, for callers to see it.
        grace_seconds: Time that calls in flight then have to end.
        max_connection_age_seconds: Age at which a connection is renewed, so that clients notice
            new replicas.
        metrics_port: Port for Prometheus over HTTP, 0 for a free one; None for none.
        log_level: `debug`, `info`, `warning` or `error`.
        log_format: `json` (a JSON object a line) or `console`.
        parent_pid: Process id of the parent; the service stops when it is orphaned. None: never.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    health_port: int | None = None
    allow_unprotected: bool = False
    max_message_bytes: int = 64 * 1024 * 1024
    default_deadline_seconds: float = 60.0
    max_deadline_seconds: float = 900.0
    max_calls_in_flight: int = 1024
    max_cost_in_flight: int = 0
    retry_after_seconds: float = 1.0
    check_seconds: float = 2.0
    drain_delay_seconds: float = 0.5
    grace_seconds: float = 10.0
    max_connection_age_seconds: float = 300.0
    metrics_port: int | None = None
    log_level: str = "info"
    log_format: str = "json"
    parent_pid: int | None = None

    def __post_init__(self) -> None:
        violations = [
            FieldViolation(name, f"must be greater than 0, got {getattr(self, name)}")
            for name in (
                "max_message_bytes",
                "default_deadline_seconds",
                "max_deadline_seconds",
                "max_calls_in_flight",
                "retry_after_seconds",
                "check_seconds",
                "max_connection_age_seconds",
            )
            if not getattr(self, name) > 0
        ]
        violations += [
            FieldViolation(name, f"must not be negative, got {getattr(self, name)}")
            for name in ("max_cost_in_flight", "drain_delay_seconds", "grace_seconds")
            if getattr(self, name) < 0
        ]
        violations += [
            FieldViolation(name, f"must be a port from 0 to 65535, got {port}")
            for name in ("port", "health_port", "metrics_port")
            if not 0 <= (port := getattr(self, name) or 0) <= 65535  # noqa: PLR2004  the largest
        ]
        violations += [
            FieldViolation(name, f"must be set together with {other}")
            for name, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate"))
            if getattr(self, name) is None and getattr(self, other) is not None
        ]
        if self.tls_client_ca is not None and self.tls_certificate is None:
            problem = "needs tls_certificate: there are no client certificates without TLS"
            violations.append(FieldViolation("tls_client_ca", problem))
        violations += [
            FieldViolation(name, f"must be one of {', '.join(allowed)}, got {value!r}")
            for name, value, allowed in (
                ("log_level", self.log_level, ("debug", "info", "warning", "error")),
                ("log_format", self.log_format, ("json", "console")),
            )
            if value not in allowed
        ]
        if violations:
            raise ConfigInvalid("the server settings cannot be used", violations=violations)


class Given(NamedTuple):
    """A value that a setting was given.

    Attributes:
        name: The setting.
        place: Where it was given, for people.
        value: As TOML would have it.
    """

    name: str
    place: str
    value: Any


def load_section(
    cls: type[ConfigT],
    section: str,
    *,
    path: Path | None,
    environ: Mapping[str, str],
    options: Iterable[Given] = (),
) -> ConfigT:
    """Read a configuration class from a TOML section and the environment.

    Fields may be `str`, `int`, `float`, `bool`, `Path`, `Secret`, `tuple[str, ...]`, and any of
    them or None. In the environment a tuple is separated by commas, and an empty value is None
    where the field may be. In the file alone, `tuple[D, ...]` of a dataclass D is an array of
    tables (`[[section.field]]`), and a `Mapping` is a table that is taken as it is.

    Args:
        cls: A dataclass whose fields are the keys.
        section: Table of the file, and the middle of the environment's names.
        path: TOML file; None for none.
        environ: Environment variables.
        options: What was said on the command line: it wins over the file.

    Raises:
        ConfigInvalid: The file cannot be read, a key is unknown or missing, or a value is of the
            wrong type or refused by the class; `violations` names each with its place.
    """
    given = [*_from_file(section, path), *options, *_from_environment(section, environ)]
    try:
        return _make(cls, given, f"[{section}] ")
    except ConfigInvalid as error:
        raise _invalid(section, error.violations) from error


def read_file(path: Path) -> dict[str, Any]:
    """The sections of a TOML file.

    Raises:
        ConfigInvalid: The file cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        problem = "is nested too deeply"
        raise ConfigInvalid(
            f"{path} {problem}", violations=[FieldViolation(str(path), problem)]
        ) from error
    # TOMLDecodeError is one of them; a number of thousands of digits is another.
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error}", violations=[FieldViolation(str(path), str(error))]
        ) from error


@dataclass(frozen=True)
class _FromEnvironment:
    text: str


def _make(cls: type[ConfigT], given: Iterable[Given], prefix: str) -> ConfigT:
    """Make a dataclass of values in the order of their precedence, the last one wins.

    Args:
        cls: The dataclass.
        given: The values.
        prefix: Place of a field that is not given, before its name.

    Raises:
        ConfigInvalid: `violations` names every value that is wrong, with its place.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # a dataclass, as documented
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    violations: list[FieldViolation] = []
    for name, place, raw in given:
        if name not in fields:
            violations.append(FieldViolation(place, _unknown(name, fields)))
            continue
        try:
            values[name] = _convert(raw, fields[name], place)
            places[name] = place
        except ValueError as error:
            violations.append(FieldViolation(place, str(error)))
        except ConfigInvalid as error:
            violations += error.violations
    violations = violations or _missing(cls, prefix, values)
    if violations:
        raise ConfigInvalid("wrong values", violations=violations)
    try:
        return cls(**values)
    except ConfigInvalid as error:
        found = error.violations or [FieldViolation(prefix.rstrip(" ."), error.message)]
        raise ConfigInvalid(
            error.message,
            violations=[FieldViolation(places.get(v.field, v.field), v.problem) for v in found],
        ) from error


def _from_file(section: str, path: Path | None) -> list[Given]:
    if path is None:
        return []
    table = read_file(path).get(section, {})
    if not isinstance(table, dict):
        raise _invalid(section, [FieldViolation(f"{path}: {section}", "must be a table")])
    return [Given(name, f"{path}: [{section}] {name}", value) for name, value in table.items()]


def _from_environment(section: str, environ: Mapping[str, str]) -> list[Given]:
    prefix = f"SLCOLM_{section.upper()}_"
    return [
        Given(name.removeprefix(prefix).lower(), name, _FromEnvironment(environ[name]))
        for name in sorted(environ)
        if name.startswith(prefix)
        and not _is_service_link(name.removeprefix(prefix), environ[name])
    ]


def _is_service_link(name: str, value: str) -> bool:
    # `PORT` may be a setting too; the link's value is a URL such as tcp://10.0.0.1:50051.
    return bool(_SERVICE_LINK.fullmatch(name)) and (name != "PORT" or "://" in value)


def _convert(raw: Any, kind: Any, place: str) -> Any:
    """A raw value as its field's type.

    Raises:
        ValueError: With what would be right.
        ConfigInvalid: A value inside it is wrong; `violations` has its place.
    """
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        if raw == _FromEnvironment(""):
            return None
        (kind,) = (member for member in typing.get_args(kind) if member is not types.NoneType)
    if isinstance(raw, _FromEnvironment):
        raw = _parse(raw.text, kind)
    if kind == tuple[str, ...]:
        if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
            return tuple(raw)
        raise ValueError(f"must be a list of strings, got {raw!r}")
    if dataclasses.is_dataclass(member := (typing.get_args(kind) or (None,))[0]):
        return _tables(raw, member, place)
    if typing.get_origin(kind) is Mapping:
        if isinstance(raw, dict):
            return raw
        raise ValueError("must be a table in the file")
    # `type` and not `isinstance`: true is no number.
    if type(raw) is not _TOML_TYPES.get(kind, kind) and not (kind is float and type(raw) is int):
        shown = "" if kind is Secret else f", got {raw!r}"
        raise ValueError(f"must be of type {kind.__name__}{shown}")
    return kind(raw).expanduser() if kind is Path else kind(raw)


def _tables(raw: Any, kind: Any, place: str) -> tuple[Any, ...]:
    """An array of tables as a tuple of dataclasses. Raises as `_convert` does."""
    if not isinstance(raw, list) or not all(isinstance(table, dict) for table in raw):
        raise ValueError("must be an array of tables in the file")
    made, violations = [], []
    for index, table in enumerate(raw):
        prefix = f"{place}[{index}]."
        given = [Given(name, prefix + name, value) for name, value in table.items()]
        try:
            made.append(_make(kind, given, prefix))
        except ConfigInvalid as error:
            violations += [
                v if v.field.startswith(place) else FieldViolation(prefix + v.field, v.problem)
                for v in error.violations
            ]
    if violations:
        raise ConfigInvalid("wrong values", violations=violations)
    return tuple(made)


def _parse(text: str, kind: Any) -> Any:
    """A value of the environment, as TOML would have given it."""
    if kind is bool:
        return _BOOLEANS.get(text.strip().lower(), text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            return text
    if kind == tuple[str, ...]:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _missing(cls: type[Any], prefix: str, values: Mapping[str, Any]) -> list[FieldViolation]:
    return [
        FieldViolation(f"{prefix}{field.name}", "must be set")
        for field in dataclasses.fields(cls)
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]


def _unknown(name: str, fields: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(fields))}"
    return f"is no setting; {hint}"


def _invalid(section: str, violations: Sequence[FieldViolation]) -> ConfigInvalid:
    return ConfigInvalid(
        f"the configuration of {section} cannot be used: " + "; ".join(map(str, violations)),
        violations=violations,
    )
