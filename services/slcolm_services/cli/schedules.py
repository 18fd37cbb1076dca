"""`slcolm schedules`: the blending schedules, in numbers and as a picture."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.training.plots import plot_schedules
from slcolm_services.training.schedules import KINDS, Schedule, usual_schedules

_epochs = click.option(
    "--epochs",
    type=click.IntRange(min=1, max=100_000),
    default=20,
    show_default=True,
    help="Epochs of the training.",
)


@click.group()
def schedules() -> None:
    """How annotated and human data are blended over the epochs of a training.

    w0 is the share of the annotated (distilled) sentences that an epoch draws, w1 that of the
    human (original) ones.

    \b
    Examples:
      slcolm schedules show sigmoid --k 8 --epochs 20
      slcolm schedules plot --epochs 20 --out schedules.svg
    """


@schedules.command()
@click.argument("name", type=click.Choice(list(KINDS)), metavar="NAME")
@click.option("--k", type=float, help="Steepness of sigmoid: 2, 4, 8, 16 or 32 are usual.")
@click.option("--n", type=float, help="Exponent of power: 0.1 to 10 are usual.")
@_epochs
@json_option
def show(*, name: str, k: float | None, n: float | None, epochs: int, as_json: bool) -> None:
    """Print the shares of every epoch.

    NAME is simple-mix, sigmoid, cosine, power, all, distilled or original.

    \b
    Examples:
      slcolm schedules show cosine --epochs 5
      slcolm schedules show power --n 2 --epochs 20 --json
    """
    given = {"k": k, "n": n}
    own = KINDS[name].parameter
    for parameter, value in given.items():
        if value is not None and parameter != own:
            raise ConfigInvalid(
                f"{name} takes no --{parameter}",
                violations=[FieldViolation(f"--{parameter}", f"is not a parameter of {name}")],
            )
    course = Schedule(name, given.get(own)).course(epochs)
    if as_json:
        emit_json(
            {
                "w0": [weights.distilled for weights in course],
                "w1": [weights.original for weights in course],
            }
        )
        return
    table = Table(box=None)
    for title in ("epoch", "w0 (distilled)", "w1 (original)"):
        table.add_column(title, justify="right")
    for epoch, weights in enumerate(course, start=1):
        table.add_row(str(epoch), f"{weights.distilled:.4f}", f"{weights.original:.4f}")
    console().print(table)


@schedules.command()
@click.argument("names", nargs=-1, metavar="[NAME[:PARAMETER]]...")
@_epochs
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("schedules.svg"),
    show_default=True,
    help="Picture to write: .svg, .png or .pdf.",
)
@json_option
def plot(*, names: tuple[str, ...], epochs: int, out: Path, as_json: bool) -> None:
    """Draw w0 of schedules over the epochs; all of them where none is named.

    \b
    Examples:
      slcolm schedules plot --out schedules.svg
      slcolm schedules plot cosine sigmoid:8 power:2 --epochs 30
    """
    chosen = [Schedule.parse(name) for name in names] or usual_schedules()
    plot_schedules(chosen, epochs, out)
    if as_json:
        emit_json({"output": str(out), "schedules": [str(one) for one in chosen]})
    else:
        console().print(f"{len(chosen)} schedules -> {escape(str(out))}", soft_wrap=True)
