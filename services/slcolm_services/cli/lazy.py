"""A command group that imports a command's module when the command is called: each starts fast."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """Knows its commands by name, and lists them without importing any.

    Args:
        modules: By the command's name the module of `slcolm_services.cli` that has it, under that
            name, and what it does in a line.
        settings: Those of `click.Group`.
    """

    def __init__(self, modules: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in order."""
        del ctx
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command; None where there is none of that name."""
        del ctx
        if cmd_name not in self._modules:
            return None
        module_name, _ = self._modules[cmd_name]
        module = importlib.import_module(f"slcolm_services.cli.{module_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  a programming error otherwise
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._modules.items()])
