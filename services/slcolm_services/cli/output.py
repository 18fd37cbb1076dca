"""How every command speaks: tables for people, one JSON document for programs, errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from slcolm_services.corpus.printable import printable, printable_json
from slcolm_services.errors import SlcolmError

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."
)


class _Console(Console):
    """A console that writes no control sequence but its own, whatever stands in a text."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """What is written, in pieces."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr. Text is never reinterpreted as markup or emoji."""
    return _Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=False)


def number_of(count: int, singular: str, plural: str = "") -> str:
    """A count with its word: 1 text, 2 texts. `plural` is for words that take more than an s."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def emit_json(value: object) -> None:
    """Print `value` as one JSON document on stdout, Chinese as it is."""
    written = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False)
    sys.stdout.write(printable_json(written) + "\n")


def describe(error: SlcolmError) -> dict[str, Any]:
    """An error as a program reads it."""
    return {
        "error": {
            "code": error.code,
            "reason": error.reason,
            "message": error.message,
            "violations": [
                {"field": violation.field, "problem": violation.problem}
                for violation in error.violations
            ],
        }
    }


def print_error(error: SlcolmError) -> None:
    """Print an error and everything that is wrong with the input, on stderr."""
    out = console(stderr=True)
    out.print(
        f"[bold red]error[/] {escape(error.message)} [dim]({error.reason})[/]", soft_wrap=True
    )
    for violation in error.violations:
        out.print(
            f"  [bold]{escape(violation.field)}[/]: {escape(violation.problem)}", soft_wrap=True
        )
