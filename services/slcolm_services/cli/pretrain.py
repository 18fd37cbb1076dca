"""`slcolm pretrain`: the built-in character encoder out of raw text, in this process."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Self

import click
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from slcolm_services.cli.options import existing_file
from slcolm_services.cli.output import console, emit_json, json_option
from slcolm_services.errors import Cancelled
from slcolm_services.runtime.cpu import available_cpus
from slcolm_services.training.pretraining.checkpoints import RunState
from slcolm_services.training.pretraining.export import export_encoder
from slcolm_services.training.pretraining.loop import PretrainProgress
from slcolm_services.training.pretraining.options import Budget, Recipe
from slcolm_services.training.pretraining.run import pretrain as pretrain_encoder

_PLAIN_SECONDS = 15.0
_DEFAULT = Recipe()


@click.command()
@click.option(
    "--input",
    "inputs",
    type=existing_file,
    multiple=True,
    help="Raw text, UTF-8, a passage a line; .zst is decompressed; may be repeated.",
)
@click.option(
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the run.",
)
@click.option(
    "--tokens", type=click.IntRange(min=1), default=None, help="Tokens after which the run ends."
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="Hours of training after which the run ends.",
)
@click.option("--layers", type=int, default=_DEFAULT.layers, show_default=True, help="Blocks.")
@click.option(
    "--hidden-size", type=int, default=_DEFAULT.hidden_size, show_default=True, help="Features."
)
@click.option(
    "--batch-tokens",
    type=int,
    default=_DEFAULT.batch_tokens,
    show_default=True,
    help="Tokens a step.",
)
@click.option(
    "--micro-tokens",
    type=int,
    default=_DEFAULT.micro_tokens,
    show_default=True,
    help="Tokens at once.",
)
@click.option(
    "--precision",
    type=click.Choice(["bf16", "fp32"]),
    default=_DEFAULT.precision,
    show_default=True,
    help="What is computed in; weights are kept in fp32.",
)
@click.option("--threads", type=click.IntRange(min=1), default=None, help="Default: all cores.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
@click.option(
    "--export",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Without training, write the encoder of the last checkpoint to this folder.",
)
@click.option("--data", default="", help="What the corpus is, for the card of the encoder.")
@json_option
def pretrain(
    *,
    inputs: tuple[Path, ...],
    folder: Path,
    tokens: int | None,
    hours: float | None,
    layers: int,
    hidden_size: int,
    batch_tokens: int,
    micro_tokens: int,
    precision: str,
    threads: int | None,
    seed: int,
    target: Path | None,
    data: str,
    as_json: bool,
) -> None:
    """Train the character encoder on raw text, for `slcolm train --encoder run/encoder`.

    The same command again goes on where an interrupted one stopped; its --tokens and --hours count
    from the beginning of the run and may be changed. The learning rate falls over the last part of
    them, so give a run an end that it will reach.

    \b
    Example:
      slcolm pretrain --input corpus.txt.zst --out run/ --hours 2
      slcolm pretrain --out run/ --export encoder/ --data "The 24 Histories."
    """
    if target is not None:
        _report(export_encoder(folder, target, data=data), target, as_json=as_json)
        return
    if not inputs:
        raise click.UsageError("give --input, or --export for a run that is there")
    recipe = Recipe(
        layers=layers,
        hidden_size=hidden_size,
        batch_tokens=batch_tokens,
        micro_tokens=micro_tokens,
        precision=precision,
        seed=seed,
    )
    budget = Budget(tokens, hours and hours * 3600)
    with _stop_signal() as stop, _Watch() as watch:
        state = pretrain_encoder(
            inputs,
            folder,
            recipe,
            budget,
            threads=threads or available_cpus(),
            on_progress=watch.show,
            should_stop=stop.is_set,
        )
    if state.spent < 1:
        raise Cancelled(f"stopped after {state.tokens:,} tokens; the same command goes on")
    encoder = folder / "encoder"
    _report(export_encoder(folder, encoder, data=data), encoder, as_json=as_json)


def _report(state: RunState, encoder: Path, *, as_json: bool) -> None:
    loss = state.validation_loss
    if as_json:
        emit_json(
            {
                "encoder": str(encoder),
                "steps": state.step,
                "tokens": state.tokens,
                "seconds": round(state.seconds, 1),
                "validation_loss": loss,
            }
        )
        return
    validation = "" if loss is None else f", validation loss {loss:.3f}"
    console().print(
        f"encoder in {encoder}: {state.tokens:,} tokens in {state.seconds:.0f} s{validation}",
        soft_wrap=True,
    )


@contextmanager
def _stop_signal() -> Iterator[Event]:
    """Ctrl-C and SIGTERM end the run after the step under way."""
    stop = Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Watch:
    """A bar with the time left on a terminal, a line every few seconds elsewhere; on stderr."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bars.add_task("reading the corpus", total=None)
        self._last = float("-inf")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, progress: PretrainProgress) -> None:
        text = _describe(progress)
        if self._console.is_terminal:
            self._bars.update(self._task, description=text, total=1.0, completed=progress.spent)
        elif time.monotonic() - self._last > _PLAIN_SECONDS or progress.spent >= 1:
            self._last = time.monotonic()
            self._console.print(f"{text}, {progress.eta_seconds:.0f} s left", soft_wrap=True)


def _describe(progress: PretrainProgress) -> str:
    validation = (
        "" if progress.validation_loss is None else f", validation {progress.validation_loss:.3f}"
    )
    return (
        f"step {progress.step}, {progress.tokens / 1e6:.2f} M tokens, "
        f"loss {progress.loss:.3f}{validation}, {progress.tokens_per_second:.0f} tokens/s"
    )
