"""Every command explains itself: an example, a word on each option, and JSON for programs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from slcolm_services.cli.main import slcolm

# `serve` prints lines of JSON in any case: where it listens, and its log.
WITHOUT_JSON = {"serve"}


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        full = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from _commands(command, full)
        else:
            yield full, command


COMMANDS = dict(_commands(slcolm))


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_has_an_example_of_itself(path: str) -> None:
    result = CliRunner().invoke(slcolm, [*path.split(), "--help"], prog_name="slcolm")
    _, _, examples = result.output.partition("Example")
    assert f"slcolm {path}" in examples


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_is(path: str) -> None:
    options = [item for item in COMMANDS[path].params if isinstance(item, click.Option)]
    assert [item.name for item in options if not item.help] == []


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - WITHOUT_JSON))
def test_a_command_prints_json_for_programs(path: str) -> None:
    assert "as_json" in [item.name for item in COMMANDS[path].params]


@pytest.mark.parametrize("path", ["train", "distil loop", "run", "predict"])
def test_help_and_errors_do_not_wait_for_torch(path: str) -> None:
    """It takes seconds to load, which only training itself is worth."""
    arguments = [*path.split(), "--help"]
    code = (
        "import sys; from slcolm_services.cli.main import slcolm; "
        f"slcolm.main({arguments}, standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
