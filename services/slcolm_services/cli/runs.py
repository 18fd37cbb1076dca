"""`slcolm runs`: look after runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from google.protobuf.json_format import MessageToDict
from rich.markup import escape
from rich.table import Table

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm_client import Client, FailedPrecondition
from slcolm_services.cli.connecting import client_security
from slcolm_services.cli.options import (
    coordinator_option,
    guidance_options,
    home_option,
    price_options,
)
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.cli.settings import config_option, configure, refuse_both
from slcolm_services.cli.watching import follow
from slcolm_services.embedded import Embedded, Settings, in_use, locked, run_database_url

if TYPE_CHECKING:
    from slcolm_services.coordinator.runs import Runs


@click.group()
def runs() -> None:
    """List, show, watch, cancel, resume and delete runs.

    Without --coordinator, list, show and cancel use the records of the home and start nothing;
    resume, delete and gc start the services for the time of the command.

    \b
    Examples:
      slcolm runs list
      slcolm runs show 3f2a9c01b7de --json
      slcolm runs resume 3f2a9c01b7de
      slcolm runs gc --older-than 30 --dry-run
    """


@contextlib.contextmanager
def _client(home: Path, coordinator: str | None, settings: Settings) -> Iterator[Client]:
    """A client of the named coordinator, or of services started on the home for this command."""
    with contextlib.ExitStack() as cleanup:
        if coordinator is None:
            services = Embedded(home, settings=settings)
            client = Client(cleanup.enter_context(services).coordinator)
        else:
            client = Client(coordinator, security=client_security())
        yield cleanup.enter_context(client)


@contextlib.contextmanager
def _reader(home: Path, coordinator: str | None) -> Iterator[Client | Runs]:
    """Who can tell of runs: the named coordinator, or the records of the home."""
    if coordinator is not None:
        with Client(coordinator, security=client_security()) as client:
            yield client
        return
    # Whoever names a coordinator needs nothing of what records runs.
    from slcolm_services.coordinator.runs import open_runs  # noqa: PLC0415

    with open_runs(run_database_url(home)) as found:
        yield found


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
    with _reader(home, coordinator) as reader:
        found = list(reader.list_runs())
    idle = _is_idle(home, coordinator)
    if as_json:
        emit_json({"runs": [_as_dict(run, idle=idle) for run in found]})
        return
    table = Table()
    for name in ("run", "name", "task", "state", "created", "last stage"):
        table.add_column(name)
    for run in found:
        table.add_row(
            run.id,
            escape(run.spec.display_name),
            escape(run.spec.schema.name),
            _run_state(run, idle=idle),
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
    with _reader(home, coordinator) as reader:
        run = reader.get_run(run_id)
    _print_run(run, as_json=as_json, idle=_is_idle(home, coordinator))


@runs.command("resume")
@click.argument("run_id")
@config_option
@guidance_options
@price_options
@home_option
@coordinator_option
@json_option
def resume_run(
    run_id: str,
    *,
    config_path: Path | None,
    home: Path,
    coordinator: str | None,
    as_json: bool,
    **guidance: Any,
) -> None:
    """Go on with a failed, cancelled or interrupted run until it ends.

    Stages that are done are not done again. Whom the run asks must be there again: give --config
    and the options of the LLM as they were given to `slcolm run`.

    \b
    Examples:
      slcolm runs resume 3f2a9c01b7de
      slcolm runs resume 3f2a9c01b7de --config slcolm.toml
    """
    refuse_both(config_path, coordinator)
    settings = {} if coordinator else configure(config_path, **guidance).settings
    with _client(home, coordinator, settings) as client:
        client.resume_run(run_id)
        run = follow(client.watch_run(run_id), console(stderr=True))
    _print_run(run, as_json=as_json)


@runs.command("cancel")
@click.argument("run_id")
@home_option
@coordinator_option
@json_option
def cancel_run(run_id: str, home: Path, coordinator: str | None, as_json: bool) -> None:
    """Stop a run after the call in flight; a run that was interrupted is not gone on with.

    \b
    Example:
      slcolm runs cancel 3f2a9c01b7de --coordinator localhost:50050
    """
    with contextlib.ExitStack() as cleanup:
        reader = cleanup.enter_context(_reader(home, coordinator))
        if coordinator is None:
            # A process that works on the run would not hear of it before the stage has ended.
            cleanup.enter_context(locked(home))
        run = reader.cancel_run(run_id)
    _print_run(run, as_json=as_json)


@runs.command("watch")
@click.argument("run_id")
@click.option(
    "--coordinator",
    metavar="HOST:PORT",
    envvar="SLCOLM_COORDINATOR",
    required=True,
    help="Coordinator that works on the run.",
)
@json_option
def watch_run(run_id: str, coordinator: str, as_json: bool) -> None:
    """Follow a run of a coordinator until it ends. An interrupted run goes on with `resume`.

    \b
    Example:
      slcolm runs watch 3f2a9c01b7de --coordinator localhost:50050
    """
    with Client(coordinator, security=client_security()) as client:
        run = follow(client.watch_run(run_id), console(stderr=True))
    _print_run(run, as_json=as_json)


_DRY_RUN = click.option("--dry-run", is_flag=True, help="Only tell what would be deleted.")


@runs.command("delete")
@click.argument("run_ids", metavar="RUN_ID...", nargs=-1, required=True)
@_DRY_RUN
@home_option
@coordinator_option
@json_option
def delete_runs(
    run_ids: tuple[str, ...], *, dry_run: bool, home: Path, coordinator: str | None, as_json: bool
) -> None:
    """Delete runs that have ended, with the models, indexes and files that no other run has.

    Answers of LLMs stay in the ledger: the same run again does not pay for them.

    \b
    Examples:
      slcolm runs delete 3f2a9c01b7de --dry-run
      slcolm runs delete 3f2a9c01b7de 8b1d22f0a3c4
    """
    with _client(home, coordinator, {}) as client:
        found = [client.get_run(run_id) for run_id in dict.fromkeys(run_ids)]
        _delete(client, found, dry_run=dry_run, as_json=as_json)


@runs.command("gc")
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Days since a run has ended.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="So many of the newest runs that succeeded stay, whatever their age.",
)
@_DRY_RUN
@home_option
@coordinator_option
@json_option
def collect_garbage(
    *,
    days: float,
    keep: int,
    dry_run: bool,
    home: Path,
    coordinator: str | None,
    as_json: bool,
) -> None:
    """Delete runs that ended long ago, with what no other run has; see `slcolm runs delete`.

    \b
    Examples:
      slcolm runs gc --older-than 30 --dry-run
      slcolm runs gc --older-than 7 --keep 3 --coordinator localhost:50050
    """
    before = datetime.now(UTC) - timedelta(days=days)
    with _client(home, coordinator, {}) as client:
        found = list(client.list_runs())  # newest first
        succeeded = [run.id for run in found if run.state == coordinator_pb2.RUN_STATE_SUCCEEDED]
        kept = set(succeeded[:keep])
        chosen = [
            run
            for run in reversed(found)
            if run.HasField("end_time")
            and run.end_time.ToDatetime(UTC) <= before
            and run.id not in kept
        ]
        _delete(client, chosen, dry_run=dry_run, as_json=as_json)


def _delete(
    client: Client, chosen: Sequence[coordinator_pb2.Run], *, dry_run: bool, as_json: bool
) -> None:
    """Delete runs, telling of each; a run that cannot be deleted does not keep the others."""
    rows: list[dict[str, Any]] = []
    for run in chosen:
        row: dict[str, Any] = {"run_id": run.id, "display_name": run.spec.display_name}
        try:
            freed = client.delete_run(run.id, validate_only=dry_run)
            row |= {"artifacts": freed.artifact_count, "bytes": freed.artifact_bytes}
        except FailedPrecondition as error:
            row |= {"error": error.message, "reason": error.reason}
        rows.append(row)
    failed = [row for row in rows if "error" in row]
    if as_json:
        emit_json({"dry_run": dry_run, "runs": rows})
    elif not rows:
        console().print("no run to delete")
    else:
        table = Table()
        for name in ("run", "name", "artifacts", "MB", "would be deleted" if dry_run else ""):
            table.add_column(name, justify="right" if name in ("artifacts", "MB") else "left")
        for row in rows:
            size = f"{row['bytes'] / 1e6:.1f}" if "bytes" in row else ""
            outcome = row.get("error", "yes" if dry_run else "deleted")
            name = escape(row["display_name"])
            table.add_row(row["run_id"], name, str(row.get("artifacts", "")), size, escape(outcome))
        console().print(table)
    if failed:
        raise SystemExit(1)


def _is_idle(home: Path, coordinator: str | None) -> bool:
    """Whether nothing works on runs that have not ended."""
    return coordinator is None and not in_use(home)


def state_name(state: coordinator_pb2.RunState) -> str:
    """A state as people read it."""
    return coordinator_pb2.RunState.Name(state).removeprefix("RUN_STATE_").lower()


def _run_state(run: coordinator_pb2.Run, *, idle: bool) -> str:
    name = state_name(run.state)
    return "interrupted" if idle and name in {"queued", "running"} else name


def _as_dict(run: coordinator_pb2.Run, *, idle: bool) -> dict[str, Any]:
    value: dict[str, Any] = MessageToDict(run, preserving_proto_field_name=True)
    value["interrupted"] = _run_state(run, idle=idle) == "interrupted"
    value["spec"]["schema"] = {"name": run.spec.schema.name}
    return value


def _last_stage(run: coordinator_pb2.Run) -> str:
    begun = [s for s in run.stages if s.HasField("start_time") or s.total]
    return f"{begun[-1].name}: {state_name(begun[-1].state)}" if begun else ""


def _print_run(run: coordinator_pb2.Run, *, as_json: bool, idle: bool = False) -> None:
    if as_json:
        emit_json(_as_dict(run, idle=idle))
        return
    out = console()
    out.print(f"run [bold]{run.id}[/] {_run_state(run, idle=idle)}")
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
