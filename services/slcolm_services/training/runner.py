"""Runs training jobs one at a time, each in its own process, and keeps what they made."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

from slcolm_services.errors import ArtifactNotFound, DatasetNotFound, Overloaded, SlcolmError
from slcolm_services.runtime.logs import child_environment
from slcolm_services.runtime.store import ArtifactStore
from slcolm_services.training.config import TrainingConfig
from slcolm_services.training.job import Finished, Job, JobFolder, from_line
from slcolm_services.training.measures import TrainingMeasures
from slcolm_services.training.progress import Progress

_STOP_SECONDS = 10.0
_LONGEST_LINE = 1024 * 1024


class JobRunner:
    """Runs jobs.

    Args:
        config: Of the service.
        store: Holds the data sets and takes the models.
        measures: Where jobs are counted.
    """

    def __init__(
        self,
        config: TrainingConfig,
        store: ArtifactStore,
        measures: TrainingMeasures | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._measures = measures or TrainingMeasures()
        self._running = False
        self._ending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait until the processes of jobs that were given up have ended."""
        await asyncio.gather(*self._ending)

    async def find_finished(self, job: Job) -> Finished | None:
        """What the same job has made before, where the store still has it."""
        found = await asyncio.to_thread(self._find, job.key)
        if found is not None:
            self._measures.jobs.labels("reused").inc()
        return found

    async def run(self, job: Job) -> AsyncGenerator[Progress | Finished]:
        """Run a job, or go on with an interrupted one.

        Closing the generator ends the job's process; its checkpoints stay.

        Yields:
            Progress, and at last what was made.

        Raises:
            Overloaded: Another job is running.
            DatasetNotFound: The store lacks a data set.
            SlcolmError: Training failed.
        """
        if self._running or self._ending:
            raise Overloaded(
                "another model is being trained; one is trained at a time",
                retry_after_seconds=self._config.busy_retry_seconds,
            )
        self._running = True
        try:
            with self._measures.job() as tell:
                folder = JobFolder(self._config.work_dir / job.key)
                await asyncio.to_thread(self._prepare, job, folder)
                async with aclosing(self._updates(folder.path.absolute())) as updates:
                    async for update in updates:
                        if isinstance(update, Finished):
                            # Its caller may leave with the model in hand.
                            finished = await asyncio.to_thread(self._keep, job, folder, update)
                            tell(finished)
                            yield finished
                        else:
                            tell(update)
                            yield update
        finally:
            self._running = False

    def _find(self, key: str) -> Finished | None:
        try:
            finished = Finished.from_json(self._store.get_record("models", key))
        except ArtifactNotFound:
            return None
        return finished if self._store.exists("models", finished.revision) else None

    def _prepare(self, job: Job, folder: JobFolder) -> None:
        folder.write(job, self._dataset(job.train_dataset), self._dataset(job.dev_dataset))

    def _dataset(self, digest: str) -> bytes:
        try:
            return self._store.get_bytes("datasets", digest)
        except ArtifactNotFound as error:
            raise DatasetNotFound(
                f"the store holds no data set {digest}", metadata={"dataset": digest}
            ) from error

    def _keep(self, job: Job, folder: JobFolder, made: Finished) -> Finished:
        revision = self._store.put_folder("models", folder.model)
        finished = Finished(made.dev_scores, made.train_seconds, revision)
        self._store.put_record("models", job.key, finished.to_json())
        shutil.rmtree(folder.path)
        return finished

    async def _updates(self, folder: Path) -> AsyncGenerator[Progress | Finished]:
        """What the process of the job in a folder says; the process ends with the generator."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "slcolm_services.training.worker",
            str(folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=child_environment(),
            limit=_LONGEST_LINE,
        )
        assert process.stdout is not None  # noqa: S101  it was asked for
        try:
            async for line in process.stdout:
                yield from_line(line)
            status = await process.wait()
            if status:
                raise SlcolmError(f"the training process ended with status {status}; see its log")
        finally:
            # A task of its own: a call that is cancelled twice must still wait for its process.
            ending = asyncio.create_task(_end(process))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process, first politely; nothing where it has ended."""
    if process.returncode is None:
        process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    if process.returncode is None:
        process.kill()
        await process.wait()
