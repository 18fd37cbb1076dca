"""`slcolm runs`: look after runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client
from slcolm_services.cli.options import coordinator_option, home_option
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.cli.watching import follow
from slcolm_services.embedded import Embedded


@click.group()
def runs() -> None:
    """List, show, watch, cancel and resume runs.

    Without --coordinator the services are started on the home for the time of the command; as
    always when they start, they go on with a run that was interrupted.

    \b
    Examples:
      slcolm runs list
      slcolm runs show 3f2a9c01b7de --json
      slcolm runs resume 3f2a9c01b7de
    """


@contextlib.contextmanager
def _client(home: Path, coordinator: str | None) -> Iterator[Client]:
    """A client of the named coordinator, or of services started on the home for this command."""
    if coordinator is not None:
        yield Client(coordinator)
        return
    with Embedded(home) as embedded:
        yield Client(embedded.coordinator)


@runs.command("list")
@home_option
@coordinator_option
@json_option
def list_runs(home: Path, coordinator: str | None, as_json: bool) -> None:
    """List runs, newest first.

    \b
    Example:
      slcolm runs list --json
    """
    with _client(home, coordinator) as client:
        found = list(client.list_runs())
    if as_json:
        emit_json({"runs": [_as_dict(run) for run in found]})
        return
    table = Table()
    for name in ("run", "name", "task", "state", "created", "last stage"):
        table.add_column(name)
    for run in found:
        table.add_row(
            run.id,
            escape(run.spec.display_name),
            escape(run.spec.schema.name),
            state_name(run.state),
            run.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
            _last_stage(run),
        )
    console().print(table)


@runs.command("show")
@click.argument("run_id")
@home_option
@coordinator_option
@json_option
def show_run(run_id: str, home: Path, coordinator: str | None, as_json: bool) -> None:
    """Show a run and its stages.

    \b
    Example:
      slcolm runs show 3f2a9c01b7de
    """
    with _client(home, coordinator) as client:
        run = client.get_run(run_id)
    _print_run(run, as_json=as_json)


@runs.command("resume")
@click.argument("run_id")
@home_option
@coordinator_option
@json_option
def resume_run(run_id: str, home: Path, coordinator: str | None, as_json: bool) -> None:
    """Go on with a failed, cancelled or interrupted run until it ends.

    Stages that are done are not done again.

    \b
    Example:
      slcolm runs resume 3f2a9c01b7de
    """
    with _client(home, coordinator) as client:
        client.resume_run(run_id)
        run = follow(client.watch_run(run_id), console(stderr=True))
    _print_run(run, as_json=as_json)


@runs.command("cancel")
@click.argument("run_id")
@home_option
@coordinator_option
@json_option
def cancel_run(run_id: str, home: Path, coordinator: str | None, as_json: bool) -> None:
    """Stop a run after the call in flight.

    \b
    Example:
      slcolm runs cancel 3f2a9c01b7de --coordinator localhost:50050
    """
    with _client(home, coordinator) as client:
        run = client.cancel_run(run_id)
    _print_run(run, as_json=as_json)


@runs.command("watch")
@click.argument("run_id")
@home_option
@coordinator_option
@json_option
def watch_run(run_id: str, home: Path, coordinator: str | None, as_json: bool) -> None:
    """Follow a run until it ends.

    \b
    Example:
      slcolm runs watch 3f2a9c01b7de --coordinator localhost:50050
    """
    with _client(home, coordinator) as client:
        run = follow(client.watch_run(run_id), console(stderr=True))
    _print_run(run, as_json=as_json)


def state_name(state: coordinator_pb2.RunState) -> str:
    """A state as people read it."""
    return coordinator_pb2.RunState.Name(state).removeprefix("RUN_STATE_").lower()


def _as_dict(run: coordinator_pb2.Run) -> dict[str, Any]:
    value: dict[str, Any] = MessageToDict(run, preserving_proto_field_name=True)
    value["spec"]["schema"] = {"name": run.spec.schema.name}
    return value


def _last_stage(run: coordinator_pb2.Run) -> str:
    begun = [s for s in run.stages if s.HasField("start_time") or s.total]
    return f"{begun[-1].name}: {state_name(begun[-1].state)}" if begun else ""


def _print_run(run: coordinator_pb2.Run, *, as_json: bool) -> None:
    if as_json:
        emit_json(_as_dict(run))
        return
    out = console()
    out.print(f"run [bold]{run.id}[/] {state_name(run.state)}")
    if run.error.message:
        out.print(f"[red]{escape(run.error.message)}[/]")
    table = Table()
    for name in ("stage", "state", "items", "what"):
        table.add_column(name, overflow="fold")
    for stage in run.stages:
        count = f"{stage.done}/{stage.total}" if stage.total else ""
        state = "reused" if stage.reused else state_name(stage.state)
        table.add_row(stage.name, state, count, escape(stage.message))
    out.print(table)
