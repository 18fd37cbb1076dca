"""`slcolm serve`: one service in this process."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import click

from slcolm_services.cli.roles import ROLES, config_type
from slcolm_services.runtime.auth_config import AuthConfig
from slcolm_services.runtime.config import ServerConfig, load_section
from slcolm_services.runtime.service import run_service
from slcolm_services.runtime.telemetry_config import TelemetryConfig


@click.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="Which service.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file with the sections [server], [auth], [telemetry] and [ROLE].",
)
@click.option("--print-config", is_flag=True, help="Print the configuration in force and stop.")
def serve(role: str, config_path: Path | None, print_config: bool) -> None:
    """Start one service and serve until SIGTERM or Ctrl-C.

    Configuration comes from a TOML file and from the environment, which wins:
    SLCOLM_SERVER_PORT=50051, SLCOLM_EXTRACTION_STORE=s3://bucket/slcolm, and so on.

    \b
    Example:
      SLCOLM_SERVER_PORT=50051 slcolm serve --role extraction --config slcolm.toml
    """
    server = load_section(ServerConfig, "server", path=config_path, environ=os.environ)
    auth = load_section(AuthConfig, "auth", path=config_path, environ=os.environ)
    telemetry = load_section(TelemetryConfig, "telemetry", path=config_path, environ=os.environ)
    config = load_section(config_type(role), role, path=config_path, environ=os.environ)
    if print_config:
        click.echo(server)
        click.echo(auth)
        click.echo(telemetry)
        click.echo(config)
        return
    service = importlib.import_module(f"slcolm_services.{role}.service").build(config)
    run_service(service, server, role=role, auth=auth, telemetry=telemetry)
