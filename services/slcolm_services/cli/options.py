"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

existing_file = click.Path(path_type=Path)
"""A path that is looked at later, so that a missing file is reported like any other problem."""


def default_home() -> Path:
    """Where embedded services keep their state: $SLCOLM_HOME, else `~/.slcolm`."""
    return Path(os.environ.get("SLCOLM_HOME") or Path.home() / ".slcolm")


home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_home,
    show_default="$SLCOLM_HOME or ~/.slcolm",
    help="Folder where the services that this command starts keep all state.",
)
coordinator_option = click.option(
    "--coordinator",
    metavar="HOST:PORT",
    envvar="SLCOLM_COORDINATOR",
    help="Use the coordinator that runs there instead of starting services.",
)


def guidance_options(command: CommandT) -> CommandT:
    """Add the options that choose and configure the LLM."""
    for option in reversed(
        (
            click.option(
                "--guide",
                "provider",
                metavar="NAME",
                show_default="as --config says, else offline",
                help="Who guides: offline (rules without any LLM), replay (recorded answers), "
                "openai (the endpoint of --llm-model), or a model of --config.",
            ),
            click.option(
                "--recordings",
                type=existing_file,
                multiple=True,
                help="Recorded answers for replay; may be repeated.",
            ),
            click.option("--llm-base-url", help="OpenAI-compatible endpoint of openai."),
            click.option("--llm-model", help="Model name of openai."),
            click.option(
                "--llm-key-env",
                show_default="OPENAI_API_KEY",
                help="Environment variable that holds the key of openai.",
            ),
        )
    ):
        command = option(command)
    return command


def budget_options(command: CommandT) -> CommandT:
    """Add the options that limit and price what is spent."""
    for option in reversed(
        (
            click.option(
                "--max-calls",
                type=click.IntRange(min=0),
                default=0,
                help="Most calls; 0: no limit.",
            ),
            click.option(
                "--max-tokens",
                type=click.IntRange(min=0),
                default=0,
                help="Most prompt and completion tokens; 0: no limit.",
            ),
            click.option(
                "--max-cost",
                type=click.FloatRange(min=0),
                default=0.0,
                help="Most that may be spent, in the currency of the prices; 0: no limit.",
            ),
        )
    ):
        command = option(command)
    return command


def price_options(command: CommandT) -> CommandT:
    """Add the options that say what a model charges."""
    for option in reversed(
        (
            click.option(
                "--prompt-price",
                type=click.FloatRange(min=0),
                default=0.0,
                help="Price of a million prompt tokens.",
            ),
            click.option(
                "--completion-price",
                type=click.FloatRange(min=0),
                default=0.0,
                help="Price of a million tokens of answers.",
            ),
            click.option("--currency", default="", help="Currency of the prices."),
        )
    ):
        command = option(command)
    return command


OMITTABLE = ("definitions", "demonstrations", "prediction")
omit_option = click.option(
    "--omit",
    type=click.Choice(OMITTABLE),
    multiple=True,
    help="Leave a part out of the prompt; may be repeated.",
)
