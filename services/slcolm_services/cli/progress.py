"""How far a command has come, for people who watch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from slcolm_services.cli.output import console


@contextmanager
def progress_bar(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with the time left on stderr where that is a terminal; nothing elsewhere.

    Args:
        doing: What is being done, for people.
        total: How many things there are to do.

    Yields:
        What to call with the number of things that were done since the last call.
    """
    columns = (doing, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
