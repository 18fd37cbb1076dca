"""A corpus through an engine into shards, whatever ends the process in between.

A shard is written beside its place and renamed when it is whole; then the manifest names it. What
ends the process costs the shard in work, which the same command writes again, byte by byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from slcolm_services.batch import manifest as manifests
from slcolm_services.batch.engine import Answer, Engine
from slcolm_services.batch.inputs import Source, read
from slcolm_services.batch.lines import format_answer
from slcolm_services.batch.manifest import Manifest, Shard
from slcolm_services.batch.rows import Fields, RowError
from slcolm_services.corpus.files import replacing
from slcolm_services.errors import DataInvalid, InvalidInput, PreconditionFailed

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
    manifest = _begin(job, engine)
    begun(manifest.rows)
    rows = itertools.islice(read(job.sources, job.fields), manifest.rows, None)
    with closing(engine.answers(rows)) as answers:
        while manifest.rows < job.rows:
            shard = _write(job, len(manifest.shards), answers, advance)
            if shard.rows != min(job.shard_rows, job.rows - manifest.rows):
                raise _changed()
            manifest = replace(manifest, shards=(*manifest.shards, shard))
            manifests.save(job.folder, manifest)
        if next(answers, None) is not None:
            raise _changed()
    manifest = replace(manifest, complete=True)
    manifests.save(job.folder, manifest)
    return manifest


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


def _begin(job: Job, engine: Engine) -> Manifest:
    """How far the output has come; its folder is as if no shard had been in work."""
    new = Manifest.of(job.sources, engine.model, job.fields, shard_rows=job.shard_rows)
    old = manifests.load(job.folder)
    if old is None:
        _check_empty(job.folder)
        manifests.save(job.folder, new)
        return new
    manifests.check_same(job.folder, old, new)
    manifests.check_shards(job.folder, old)
    for left in _left_over(job.folder):
        with contextlib.suppress(FileNotFoundError):
            left.unlink()
    return old


def _check_empty(folder: Path) -> None:
    own = {folder / _LOCK, *_left_over(folder)}
    others = sorted(path.name for path in folder.iterdir() if path not in own)
    if others:
        raise PreconditionFailed(
            f"{folder} holds {others[0]!r} and no {manifests.NAME}; name an empty --output"
        )


def _left_over(folder: Path) -> list[Path]:
    """Temporary files of a process that was killed."""
    return [*folder.glob(".part-*.part"), *folder.glob(f".{manifests.NAME}.*.part")]


def _write(
    job: Job, number: int, answers: Iterator[Answer], advance: Callable[[int], None]
) -> Shard:
    path = job.folder / f"part-{number:05}.jsonl"
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


def _changed() -> DataInvalid:
    return DataInvalid("the input has changed while it was read; put it back, or begin anew")
