"""`slcolm capacity`: time, replicas and cost of a corpus, before it is begun."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from slcolm_services.capacity.forecast import Endpoint, Fleet, Forecast, Work, forecast, sized
from slcolm_services.capacity.profile import MEASURED, Profile, read_profile
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.errors import FieldViolation, InvalidInput

_SIZES = tuple(float(10**power) for power in range(4, 10))
_HOUR, _DAY, _MINUTE = 3600.0, 86400.0, 60.0
_WIDEST = 200
_POSITIVE = click.FloatRange(min=0, min_open=True)
_NOT_NEGATIVE = click.FloatRange(min=0)


@click.command()
@click.option(
    "--sentences",
    type=click.FloatRange(min=1),
    multiple=True,
    help="Size of the corpus, as 1e8; may be repeated.  [default: 1e4 to 1e9]",
)
@click.option(
    "--within",
    type=_POSITIVE,
    metavar="HOURS",
    help="Size the fleet so that it is done in this time, instead of the options for a fleet.",
)
@click.option(
    "--replicas", type=click.IntRange(min=1), default=1, show_default=True, help="Of extraction."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Of each replica of extraction, one processor each.",
)
@click.option(
    "--drivers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that read rows and write answers.",
)
@click.option(
    "--guided",
    type=click.FloatRange(min=0, max=1),
    default=0.0,
    show_default=True,
    help="Share of the sentences that an LLM is asked about. Needs --llm-seconds.",
)
@click.option("--llm-seconds", type=_POSITIVE, help="From a prompt until its answer is complete.")
@click.option(
    "--llm-in-flight",
    type=click.IntRange(min=1),
    help="Calls at once that the endpoint takes.  [default: 16, with --within as many as needed]",
)
@click.option("--llm-requests-per-minute", type=_POSITIVE, help="Limit of the endpoint.")
@click.option("--llm-tokens-per-minute", type=_POSITIVE, help="Limit of the endpoint.")
@click.option(
    "--prompt-price", type=_NOT_NEGATIVE, default=0.0, help="Of a million tokens of prompts."
)
@click.option(
    "--completion-price", type=_NOT_NEGATIVE, default=0.0, help="Of a million tokens of answers."
)
@click.option(
    "--processor-price", type=_NOT_NEGATIVE, default=0.0, help="Of a processor for an hour."
)
@click.option(
    "--profile",
    "profile_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=MEASURED,
    show_default="figures of one machine, which ship",
    help="What a sentence costs, as benchmarks/scaling.py writes it.",
)
@json_option
def capacity(
    *,
    sentences: tuple[float, ...],
    within: float | None,
    replicas: int,
    threads: int,
    drivers: int,
    guided: float,
    llm_seconds: float | None,
    llm_in_flight: int | None,
    llm_requests_per_minute: float | None,
    llm_tokens_per_minute: float | None,
    prompt_price: float,
    completion_price: float,
    processor_price: float,
    profile_path: Path,
    as_json: bool,
) -> None:
    """Tell what a corpus takes: time, replicas, cost, and what holds it up.

    A queueing model over the measured cost of a sentence; docs/scaling.md says how far it can be
    trusted. Prices are in any currency, the same for all.

    \b
    Examples:
      slcolm capacity --replicas 4
      slcolm capacity --sentences 1e8 --within 24 --processor-price 0.04
      slcolm capacity --sentences 1e6 --within 24 --guided 0.2 --llm-seconds 4 \\
        --llm-requests-per-minute 5000 --prompt-price 0.3 --completion-price 1.2
    """
    profile = read_profile(profile_path)
    endpoint = None
    if guided:
        if llm_seconds is None:
            raise click.UsageError("--guided needs --llm-seconds")
        endpoint = Endpoint(
            llm_seconds,
            llm_in_flight or (0 if within else 16),
            llm_requests_per_minute or 0.0,
            llm_tokens_per_minute or 0.0,
            prompt_price,
            completion_price,
        )
    fleet = Fleet(drivers, replicas, threads)
    forecasts = []
    for count in sentences or _SIZES:
        work = Work(count, guided, endpoint)
        if within is None:
            made = forecast(work, fleet, profile, processor_price=processor_price)
        else:
            made = _sized(work, within, profile, threads, processor_price)
        forecasts.append((work, made))
    if as_json:
        emit_json(
            {
                "profile": asdict(profile),
                "forecasts": [{"sentences": work.sentences, **asdict(f)} for work, f in forecasts],
            }
        )
    else:
        _print(forecasts, profile, within)


def _sized(
    work: Work, within: float, profile: Profile, threads: int, processor_price: float
) -> Forecast:
    try:
        return sized(
            work, within * _HOUR, profile, threads=threads, processor_price=processor_price
        )
    except ValueError as error:
        raise InvalidInput(
            f"nothing is done in {within:g} h",
            violations=[FieldViolation("--within", str(error))],
        ) from error


def _print(forecasts: list[tuple[Work, Forecast]], profile: Profile, within: float | None) -> None:
    guided = any(made.llm_calls for _, made in forecasts)
    priced = any(made.cost for _, made in forecasts)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    more = ("retrieval", "guidance", "LLM calls") if guided else ("output",)
    titles = ("sentences", "drivers", "extraction", *more, "time")
    for title in (*titles, "cost" if priced else "processor h"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("held up by", no_wrap=True)
    for work, made in forecasts:
        fleet = made.fleet
        late = within is not None and made.seconds > within * _HOUR
        time = _duration(made.seconds)
        table.add_row(
            f"{work.sentences:.3g}",
            str(fleet.drivers),
            f"{fleet.replicas} x {fleet.threads}",
            *(map(str, (fleet.retrieval, fleet.guidance, made.llm_calls)) if guided else ()),
            *(() if guided else (_bytes(made.output_bytes),)),
            f"[bold red]{time}[/]" if late else time,
            f"{made.cost:,.2f}" if priced else f"{made.processor_hours:,.3g}",
            made.bottleneck,
        )
    out = console()
    # Cells that are cut tell nothing; a terminal that is too narrow wraps lines instead.
    out.width = max(
        out.width, Measurement.get(out, out.options.update(width=_WIDEST), table).maximum
    )
    out.print(table)
    out.print(f"\nmeasured on: {escape(profile.machine)}", soft_wrap=True)


def _duration(seconds: float) -> str:
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004  SI units
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
