"""A corpus through an engine into shards, whatever ends the process in between.

A shard is written beside its place and renamed when it is whole; then the manifest names it. What
ends the process costs the shards in work, which the same command writes again, byte by byte. So a
shard may be written twice, also by two processes at once: whoever is last changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from slcolm_services.batch import manifest as manifests
from slcolm_services.batch.answers import Answer, Model
from slcolm_services.batch.inputs import Source, read
from slcolm_services.batch.lines import format_answer
from slcolm_services.batch.manifest import Manifest, Shard
from slcolm_services.batch.rows import Fields, Row, RowError
from slcolm_services.corpus.files import replacing
from slcolm_services.errors import InvalidInput, PreconditionFailed

_LOCK = ".lock"


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        sources: The input.
        fields: Where its texts and ids stand.
        folder: The output.
        shard_rows: Rows a shard; the last may have fewer.
    """

    sources: Sequence[Source]
    fields: Fields
    folder: Path
    shard_rows: int

    @property
    def rows(self) -> int:
        """Rows of the input, each of which gets a row of output."""
        return sum(source.rows for source in self.sources)

    @property
    def shards(self) -> int:
        """Shards of the output."""
        return -(-self.rows // self.shard_rows)


class Engine(Protocol):
    """Has one model read rows, a shard at a time. `local` is one, `ray` another."""

    @property
    def model(self) -> Model:
        """The model that every row is read with."""

    def shards(
        self, job: Job, numbers: Sequence[int], advance: Callable[[int], None]
    ) -> Generator[Shard, None, None]:
        """Write shards, each once it is taken or before, in any order.

        Rows are read as they are asked about, so that nothing piles up. A failure of a row itself
        is its answer. What may pass, a service that restarts for one, is waited for; what does not
        pass is raised, and costs the shards that are not written yet.

        Args:
            job: What is to be done.
            numbers: Shards that are not there yet, in order.
            advance: Called with the number of rows that were answered since the last call.

        Raises:
            DataInvalid: The input cannot be read, or has changed meanwhile.
            SlcolmError, SlcolmClientError: Rows cannot be asked about now.
        """


def run(
    job: Job, engine: Engine, begun: Callable[[int], None], advance: Callable[[int], None]
) -> Manifest:
    """Write every shard that is not finished yet. The caller holds the folder.

    Args:
        job: What is to be done.
        engine: What is asked.
        begun: Called once, with the rows of the shards that were finished before.
        advance: Called with the number of rows that were answered since the last call.

    Returns:
        The manifest of the complete output.

    Raises:
        PreconditionFailed: The folder holds something else.
        InvalidInput: The output cannot be written.
        DataInvalid: The input cannot be read, or has changed meanwhile.
        SlcolmError, SlcolmClientError: The engine cannot go on.
    """
    manifest = _begin(job, engine.model)
    begun(manifest.rows)
    finished = {shard.name for shard in manifest.shards}
    missing = [number for number in range(job.shards) if _name(number) not in finished]
    with closing(engine.shards(job, missing, advance)) as shards:
        for shard in shards:
            manifest = manifest.and_shard(shard)
            manifests.save(job.folder, manifest)
    _clear(job.folder)
    manifest = replace(manifest, complete=True)
    manifests.save(job.folder, manifest)
    return manifest


def write_shards(
    job: Job,
    ask: Callable[[Iterator[Row]], Generator[Answer, None, None]],
    numbers: Sequence[int],
    advance: Callable[[int], None],
) -> Generator[Shard, None, None]:
    """Write shards one after the other, with the answers of one stream of rows.

    Args:
        job: What is to be done.
        ask: Exactly one answer for each row, in order.
        numbers: Shards, in order.
        advance: Called for each row.

    Raises:
        DataInvalid: The input cannot be read, or has changed meanwhile.
    """
    with closing(ask(_rows(job, numbers))) as answers:
        for number in numbers:
            yield _write(job, number, answers, advance)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder and hold it for this process; the system lets go when the process ends.

    Raises:
        PreconditionFailed: Another process writes there.
        InvalidInput: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PreconditionFailed(f"another process writes to {folder}") from None
        yield


def _begin(job: Job, model: Model) -> Manifest:
    """How far the output has come; its folder is as if no shard had been in work."""
    new = Manifest.of(job.sources, model, job.fields, shard_rows=job.shard_rows)
    old = manifests.load(job.folder)
    if old is None:
        _check_empty(job.folder)
        manifests.save(job.folder, new)
        return new
    manifests.check_same(job.folder, old, new)
    manifests.check_shards(job.folder, old)
    _clear(job.folder)
    return old


def _check_empty(folder: Path) -> None:
    own = {folder / _LOCK, *_left_over(folder)}
    others = sorted(path.name for path in folder.iterdir() if path not in own)
    if others:
        raise PreconditionFailed(
            f"{folder} holds {others[0]!r} and no {manifests.NAME}; name an empty --output"
        )


def _clear(folder: Path) -> None:
    for left in _left_over(folder):
        with contextlib.suppress(FileNotFoundError):
            left.unlink()


def _left_over(folder: Path) -> list[Path]:
    """Temporary files of processes that were killed."""
    return [*folder.glob(".part-*.part"), *folder.glob(f".{manifests.NAME}.*.part")]


def _name(number: int) -> str:
    return f"part-{number:05}.jsonl"


def _rows(job: Job, numbers: Sequence[int]) -> Generator[Row, None, None]:
    """The rows of shards; a file is sought in where a shard does not follow the last one."""
    for _, run in itertools.groupby(enumerate(numbers), lambda place: place[1] - place[0]):
        together = [number for _, number in run]
        rows = read(job.sources, job.fields, together[0] * job.shard_rows)
        with closing(rows):
            yield from itertools.islice(rows, len(together) * job.shard_rows)


def _write(
    job: Job, number: int, answers: Iterator[Answer], advance: Callable[[int], None]
) -> Shard:
    path = job.folder / _name(number)
    rows, failed, digest = 0, Counter[str](), hashlib.sha256()
    with replacing(path) as file:
        for answer in itertools.islice(answers, job.shard_rows):
            line = format_answer(answer) + "\n"
            file.write(line)
            digest.update(line.encode())
            rows += 1
            if isinstance(answer.found, RowError):
                failed[answer.found.reason] += 1
            advance(1)
    size, reasons = path.stat().st_size, dict(sorted(failed.items()))
    return Shard(path.name, rows, size, digest.hexdigest(), reasons)
