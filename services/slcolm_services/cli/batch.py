"""`slcolm batch`: a whole corpus through the small model, in shards, to be gone on with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import click
from rich.markup import escape

from slcolm_services.batch.child import extraction_service
from slcolm_services.batch.inputs import FORMATS, find, format_of, inspect
from slcolm_services.batch.job import Engine, Job, held, run
from slcolm_services.batch.local import LocalEngine
from slcolm_services.batch.manifest import Manifest
from slcolm_services.batch.rows import Fields
from slcolm_services.cli.connecting import client_security
from slcolm_services.cli.output import console, emit_json, json_option, number_of
from slcolm_services.cli.progress import progress_bar
from slcolm_services.errors import ConfigInvalid

_LINE_SECONDS = 15.0
"""Between two lines of progress where there is no terminal."""


@click.command()
@click.option(
    "--input",
    "patterns",
    required=True,
    multiple=True,
    metavar="GLOB",
    help="Files, in quotes where it is a pattern; may be repeated.",
)
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for shards and manifest: a new one, or that of the same command before.",
)
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What asks the model; local: this process; ray: actors of a Ray cluster (extra ray).",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT",
    help="With --engine ray: a cluster that runs, or auto for the one of this machine.",
    show_default="one is started for the command",
)
@click.option(
    "--actors",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="With --engine ray: how many work at once.",
)
@click.option(
    "--actor-cpus",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="With --engine ray: processors for each actor, and threads of its service by --model.",
)
@click.option(
    "--extraction",
    "address",
    metavar="HOST:PORT",
    help="The extraction service; its default model is used.",
)
@click.option(
    "--model",
    "model_path",
    type=click.Path(path_type=Path),
    help="Model folder, instead of --extraction: a service is started for it.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    show_default="by the files' endings",
    help="jsonl: an object a line; text: a text a line; parquet: a table (extra batch).",
)
@click.option(
    "--text-field", default="text", show_default=True, help="Field or column of the text."
)
@click.option(
    "--id-field",
    default="id",
    show_default=True,
    help="Field or column of the id; rows without one are called FILE:NUMBER.",
)
@click.option(
    "--shard-rows",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Rows a shard: the most that an interruption costs.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Most texts a call.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(min=1, max=32),
    default=4,
    show_default=True,
    help="Calls at once; with --engine ray, of each actor.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a service that takes no calls is waited for before this command stops.",
)
@json_option
def batch(
    *,
    patterns: tuple[str, ...],
    folder: Path,
    engine_name: str,
    ray_address: str | None,
    actors: int,
    actor_cpus: int,
    address: str | None,
    model_path: Path | None,
    kind: str | None,
    text_field: str,
    id_field: str,
    shard_rows: int,
    batch_size: int,
    in_flight: int,
    patience: float,
    as_json: bool,
) -> None:
    """Extract entities and relations from a whole corpus.

    Every row of the input, also a wrong one, has one row of output, in order. The same command
    goes on after the last finished shard, whatever ended it before.

    \b
    Examples:
      slcolm batch --input corpus.jsonl --output found/ --model model/
      slcolm batch --input 'texts/*.txt' --output found/ --extraction localhost:50051
      slcolm batch --input 'rows/*.parquet' --output found/ --model model/ --text-field body
      slcolm batch --input corpus.jsonl --output found/ --engine ray --model model/ --actors 8
    """
    if (address is None) == (model_path is None):
        raise click.UsageError("name either --extraction or --model")
    if ray_address is not None and engine_name != "ray":
        raise click.UsageError("--ray-address goes with --engine ray")
    fields = Fields(text_field, id_field)
    sources = [inspect(path, kind or format_of(path), fields) for path in find(patterns)]
    with held(folder):
        job = Job(sources, fields, folder, shard_rows)
        progress = _Progress(job.rows)
        ask = partial(
            _local,
            address,
            model_path.absolute() if model_path else None,
            batch_size,
            in_flight,
            patience,
        )
        opened: AbstractContextManager[Engine]
        if engine_name == "ray":
            opened = _ray(job, ask, ray_address, actors=actors, cpus=actor_cpus, patience=patience)
        else:
            opened = ask()
        with opened as engine, progress.shown():
            manifest = run(job, engine, progress.begun, progress.advance)
    _report(manifest, folder, progress, as_json=as_json)


@contextmanager
def _local(
    address: str | None, model: Path | None, batch_size: int, in_flight: int, patience: float
) -> Iterator[LocalEngine]:
    if address is not None:
        engine = LocalEngine(
            address,
            batch_size=batch_size,
            in_flight=in_flight,
            patience_seconds=patience,
            security=client_security(),
        )
        with closing(engine):
            yield engine
    elif model is not None:
        with extraction_service(model) as child:
            engine = LocalEngine(
                child.address,
                batch_size=batch_size,
                in_flight=in_flight,
                patience_seconds=patience,
                check=child.check,
            )
            with closing(engine):
                yield engine


@contextmanager
def _ray(
    job: Job,
    ask: Callable[[], AbstractContextManager[Engine]],
    address: str | None,
    *,
    actors: int,
    cpus: int,
    patience: float,
) -> Iterator[Engine]:
    try:
        from slcolm_services.batch.actors import RayEngine, cluster  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ConfigInvalid('--engine ray needs pip install "slcolm[ray]"') from error
    with cluster(address, actors * cpus):
        engine = RayEngine(job, ask, actors=actors, cpus=cpus, patience_seconds=patience)
        with closing(engine):
            yield engine


class _Progress:
    """How far it has come: a bar on a terminal, a line now and then elsewhere, on stderr.

    Args:
        total: Rows of the input.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar: Callable[[int], None] = lambda _: None
        self._lines = not console(stderr=True).is_terminal
        self._started = self._told = time.monotonic()
        self.before = self.done = 0

    @property
    def seconds(self) -> float:
        """Since the first row was about to be asked about."""
        return time.monotonic() - self._started

    @contextmanager
    def shown(self) -> Iterator[None]:
        with progress_bar("extracting", self._total) as self._bar:
            yield

    def begun(self, rows: int) -> None:
        self.before = rows
        self._started = self._told = time.monotonic()
        self._bar(rows)
        if self._lines:
            before = f", {rows} of them done before" if rows else ""
            self._say(f"{number_of(self._total, 'row')} to extract{before}")

    def advance(self, count: int) -> None:
        self.done += count
        self._bar(count)
        now = time.monotonic()
        if self._lines and now - self._told >= _LINE_SECONDS:
            self._told = now
            come = self.before + self.done
            rate = self.done / self.seconds
            left = (self._total - come) / rate
            share = 100 * come / self._total
            self._say(
                f"{come} of {self._total} rows ({share:.1f} %), {rate:.1f} rows/s, "
                f"{_duration(left)} left"
            )

    def _say(self, line: str) -> None:
        console(stderr=True).print(line, soft_wrap=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _report(manifest: Manifest, folder: Path, progress: _Progress, *, as_json: bool) -> None:
    seconds, failed = progress.seconds, manifest.failed
    rate = progress.done / seconds if progress.done else 0.0
    if as_json:
        emit_json(
            {
                "output": str(folder),
                "model_revision": manifest.settings["model_revision"],
                "rows": manifest.rows,
                "rows_before": progress.before,
                "shards": len(manifest.shards),
                "failed": dict(failed.most_common()),
                "seconds": round(seconds, 3),
                "rows_per_second": round(rate, 1),
            }
        )
        return
    speed = f", {rate:.1f} rows/s" if progress.done else ""
    before = f", {progress.before} of them before" if progress.before else ""
    console().print(
        f"{number_of(manifest.rows, 'row')}{before} in {number_of(len(manifest.shards), 'shard')} "
        f"-> {escape(str(folder))} ({seconds:.1f} s{speed})",
        soft_wrap=True,
    )
    if failed:
        kinds = ", ".join(f"{count} {reason}" for reason, count in failed.most_common())
        console().print(f"{number_of(failed.total(), 'row')} failed: {escape(kinds)}")
