"""Watching a run: a bar per stage with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from slcolm.coordinator.v1 import coordinator_pb2

_PLAIN_SECONDS = 15.0
_DONE = (coordinator_pb2.RUN_STATE_SUCCEEDED, coordinator_pb2.RUN_STATE_FAILED)


def follow(
    states: Iterable[coordinator_pb2.Run],
    console: Console,
    *,
    on_stage_end: Callable[[str], None] = lambda _: None,
) -> coordinator_pb2.Run:
    """Show a run until it ends.

    Args:
        states: States of the run, from `watch_run`.
        console: Where to write; a bar per stage on a terminal, lines otherwise.
        on_stage_end: Called with a stage's name when it has ended.

    Returns:
        The last state.
    """
    view = _Bars(console) if console.is_terminal else _Lines(console)
    ended: set[str] = set()
    run = None
    with view:
        for run in states:
            for stage in run.stages:
                view.show(stage)
                if stage.state in _DONE and stage.name not in ended:
                    ended.add(stage.name)
                    on_stage_end(stage.name)
    assert run is not None, "a watched run has a state"  # noqa: S101
    return run


def seconds(stage: coordinator_pb2.Stage) -> float:
    """How long a finished stage took."""
    if not stage.HasField("end_time"):
        return 0.0
    return (stage.end_time.ToMilliseconds() - stage.start_time.ToMilliseconds()) / 1000


class _Lines:
    """A line when a stage starts and ends, and every few seconds between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, int] = {}
        self._last = 0.0

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, stage: coordinator_pb2.Stage) -> None:
        changed = self._states.get(stage.name) != stage.state
        self._states[stage.name] = stage.state
        now = time.monotonic()
        if stage.state == coordinator_pb2.RUN_STATE_RUNNING:
            if changed or now - self._last > _PLAIN_SECONDS:
                self._last = now
                count = f"{stage.done}/{stage.total} " if stage.total else ""
                self._print(stage, f"{count}{stage.message}".strip() or "started")
        elif changed and stage.state in _DONE:
            self._print(stage, f"{_outcome(stage)} in {seconds(stage):.1f} s; {stage.message}")

    def _print(self, stage: coordinator_pb2.Stage, text: str) -> None:
        line = f"{stage.name:<9} {escape(text)}"
        self._console.print(line, soft_wrap=True)


class _Bars:
    """A bar per stage."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[stage]}", table_column=Column(width=9, no_wrap=True)),
            BarColumn(bar_width=20, table_column=Column(width=20)),
            TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(width=8)),
            TextColumn(
                "{task.description}",
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, stage: coordinator_pb2.Stage) -> None:
        if stage.state == coordinator_pb2.RUN_STATE_QUEUED:
            return
        if stage.name not in self._tasks:
            self._tasks[stage.name] = self._progress.add_task("", total=None, stage=stage.name)
        task = self._tasks[stage.name]
        message = escape(stage.message)
        if stage.state in _DONE:
            total = max(stage.total, 1)
            text = f"{_outcome(stage)}  [dim]{message}[/]"
            self._progress.update(task, total=total, completed=total, description=text)
        elif stage.total:
            self._progress.update(
                task, total=stage.total, completed=stage.done, description=message
            )


def _outcome(stage: coordinator_pb2.Stage) -> str:
    if stage.state == coordinator_pb2.RUN_STATE_FAILED:
        return "failed"
    return "reused" if stage.reused else "done"
