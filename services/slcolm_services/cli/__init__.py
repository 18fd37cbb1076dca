"""The `slcolm` command."""

from slcolm_services.cli.main import main

__all__ = ["main"]
