"""`slcolm ledger`: what was spent on LLM answers, and the answers themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click
import sqlalchemy as sa
from rich import box
from rich.table import Table

from slcolm_services.cli.options import CommandT, existing_file, home_option
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.embedded import ledger_url
from slcolm_services.errors import NotFound
from slcolm_services.guidance.entries import Spending
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.ledger_file import export_answers, import_answers
from slcolm_services.runtime.database import make_folder_of

_T = TypeVar("_T")


@click.group()
def ledger() -> None:
    """Show what LLM answers have cost, and move the answers between ledgers.

    A home has its ledger in HOME/ledger.sqlite; a service's is its setting `ledger_url`.

    \b
    Examples:
      slcolm ledger usage --run 3f2a9c01b7de
      slcolm ledger export --out recordings.jsonl
    """


def _ledger_options(command: CommandT) -> CommandT:
    url = click.option(
        "--ledger",
        "url",
        metavar="URL",
        envvar="SLCOLM_GUIDANCE_LEDGER_URL",
        help="SQLAlchemy URL of the ledger, instead of a home's.",
    )
    return url(home_option(command))


@ledger.command()
@click.option("--run", "run_id", default="", help="Only what was spent on this run.")
@_ledger_options
@json_option
def usage(run_id: str, url: str | None, home: Path, *, as_json: bool) -> None:
    """Show what was spent.

    \b
    Examples:
      slcolm ledger usage
      slcolm ledger usage --run 3f2a9c01b7de --json
    """
    spending = _with_ledger(_existing(url, home), lambda opened: opened.spending(run_id))
    if as_json:
        since = spending.since.isoformat() if spending.since else None
        emit_json({"run_id": run_id, "usage": asdict(spending.usage), "since": since})
        return
    _print_usage(spending)


@ledger.command("export")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--run", "run_id", default="", help="Only answers that this run paid for.")
@click.option("--provider", default="", help="Only answers of this provider.")
@_ledger_options
@json_option
def export_command(
    out: Path, run_id: str, provider: str, url: str | None, home: Path, *, as_json: bool
) -> None:
    """Write the answers to a file of recordings, the oldest first.

    The file can be replayed (`--guide replay --recordings FILE`) and imported into another ledger.
    With `gold_triples` and `slm_triples` added to its lines, `slcolm recordings score` and `slcolm
    policy` read it.

    \b
    Example:
      slcolm ledger export --run 3f2a9c01b7de --out recordings.jsonl
    """
    count = _with_ledger(
        _existing(url, home),
        lambda opened: export_answers(opened, out, run_id=run_id, provider=provider),
    )
    if as_json:
        emit_json({"answers": count})
    else:
        console().print(f"{number_of(count, 'answer')} written")


@ledger.command("import")
@click.argument("files", nargs=-1, required=True, type=existing_file)
@_ledger_options
@json_option
def import_command(files: Sequence[Path], url: str | None, home: Path, *, as_json: bool) -> None:
    """Bring answers that another ledger exported into this one, with what was spent on them.

    Answers that are there stand, and importing twice changes nothing.

    \b
    Example:
      slcolm ledger import recordings.jsonl --ledger postgresql+psycopg://slcolm@db/slcolm
    """
    place = url or ledger_url(home)
    target = Ledger(place)
    make_folder_of(place)
    imported = _with_ledger(target, lambda opened: import_answers(opened, files))
    if as_json:
        emit_json(asdict(imported))
    else:
        console().print(
            f"{number_of(imported.answers, 'answer')} imported, {imported.known} known already"
        )


def _existing(url: str | None, home: Path) -> Ledger:
    """The ledger; a file that is not there is not made.

    Raises:
        ConfigInvalid: The URL cannot be used.
        NotFound: There is no such file.
    """
    place = url or ledger_url(home)
    found = Ledger(place)
    parts = sa.make_url(place)
    if parts.get_backend_name() == "sqlite" and not Path(parts.database or "").is_file():
        name = parts.database or "in memory"
        raise NotFound(f"there is no ledger {name!r}", metadata={"ledger": name})
    return found


def _with_ledger(opened: Ledger, work: Callable[[Ledger], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        try:
            await opened.open()
            return await work(opened)
        finally:
            await opened.close()

    return asyncio.run(run())


def _print_usage(spending: Spending) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("spent")
    table.add_column("", justify="right")
    spent: dict[str, Any] = {
        "calls": spending.usage.calls,
        "prompt tokens": spending.usage.prompt_tokens,
        "of them from the provider's cache": spending.usage.cached_tokens,
        "answer tokens": spending.usage.completion_tokens,
        "calls with estimated tokens": spending.usage.estimated_calls,
        "cost": f"{spending.usage.cost:.4f}",
    }
    for name, value in spent.items():
        table.add_row(name, str(value))
    if spending.since is not None:
        table.add_row("since", spending.since.strftime("%Y-%m-%d %H:%M:%S UTC"))
    console().print(table)
