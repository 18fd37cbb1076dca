"""`slcolm up`: every service on this machine."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import click

from slcolm_services.cli.options import guidance_options, home_option
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.cli.settings import config_option, configure
from slcolm_services.embedded import Embedded

_CHECK_SECONDS = 1.0


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=50050,
    show_default=True,
    help="Port of the coordinator; 0 takes a free one.",
)
@config_option
@guidance_options
@home_option
@json_option
def up(*, port: int, config_path: Path | None, home: Path, as_json: bool, **guidance: Any) -> None:
    """Start every service on loopback and serve until Ctrl-C or SIGTERM.

    \b
    Examples:
      slcolm up
      slcolm up --guide openai --llm-base-url http://localhost:8000/v1 --llm-model qwen3
      slcolm up --config slcolm.toml --guide deepseek
      slcolm run ... --coordinator 127.0.0.1:50050
    """
    settings = configure(config_path, **guidance).settings
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Embedded(home, settings=settings, coordinator_port=port) as embedded:
        if as_json:
            emit_json({"services": embedded.addresses})
        else:
            out = console()
            for role, address in embedded.addresses.items():
                out.print(f"{role:<12} {address}")
            out.print(f"\nState and logs are in {home}. Ctrl-C stops everything.")
        while not stop.wait(_CHECK_SECONDS):
            embedded.check()
