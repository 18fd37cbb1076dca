"""`slcolm distil`: small models out of what an LLM annotated."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "agreement": "Compare annotations with gold: precision, recall and F1 by type.",
    "experiment": "Compare ways to blend annotated and human data, over several seeds.",
    "choose": "Choose which raw texts an LLM should annotate next.",
    "loop": "Annotate raw text with both models, and train a better small one on it.",
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"slcolm_services.cli.distil_{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101  a programming error otherwise
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup)
def distil() -> None:
    """Train small models on what an LLM annotated.

    \b
    From raw text to a model:
      slcolm annotate --task task.yaml --input raw.jsonl --guide openai --llm-model NAME \\
        --out annotated.jsonl
      slcolm distil agreement gold.jsonl annotated.jsonl --task task.yaml
      slcolm train --task task.yaml --train train.jsonl --dev dev.jsonl \\
        --silver annotated.jsonl --schedule sigmoid:8 --out model/
    """
