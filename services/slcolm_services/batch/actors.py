"""The engine `ray`: actors, on any number of machines, each of which writes whole shards.

No row passes through Ray or this process. An actor is told the number of a shard; it reads those
rows, asks its own engine about them, writes the shard, and says how many rows there were. So rows
are read no faster than they are answered, and the object store stays empty. Input, output and
model folders must lie at the same path on all machines.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import ray
import structlog
from ray import ObjectRef
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from slcolm_client import SlcolmClientError
from slcolm_services.batch.answers import Model
from slcolm_services.batch.job import Engine, Job
from slcolm_services.batch.manifest import Shard
from slcolm_services.errors import PreconditionFailed, ServiceUnavailable, SlcolmError

_MOST_DEATHS = 5
"""How often actors may die over a shard before that is no accident."""
_START_SECONDS = 300.0
_CLOSE_SECONDS = 20.0
_CONNECT_SECONDS = 10.0
_OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""About the least that Ray takes: rows do not pass through it."""
_Actor: TypeAlias = ActorHandle[Any]
_log = structlog.get_logger(__name__)


@contextmanager
def cluster(address: str | None, cpus: int) -> Iterator[None]:
    """Be a driver of a Ray cluster until the block ends; what Ray prints on stdout is dropped.

    Args:
        address: A cluster that runs; None for one on this machine alone, which ends with the block,
            and with this process.
        cpus: Processors that a Ray of this machine has to give, whatever the machine has.

    Raises:
        ServiceUnavailable: It cannot be reached or started.
    """
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        settings: dict[str, Any] = {"address": address}
        if address is None:
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
            # Nobody else has business with it; without this, Ray keeps a token in the home folder.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            settings = {
                "address": "local",
                "num_cpus": cpus,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "include_dashboard": False,
                "_temp_dir": stack.enter_context(_session_folder()),
            }
        else:
            _check_listening(address)
        stack.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        try:
            ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise ServiceUnavailable(f"Ray cannot be used: {error}") from error
        stack.callback(ray.shutdown)
        # Ray's own handler prints a stack of machine code.
        signal.signal(signal.SIGTERM, _end)
        yield


class RayEngine:
    """Keeps actors busy with a shard each, and gives a dead actor's shard to the next.

    Args:
        job: What is to be done.
        ask: Opens the engine of an actor, with which it asks; called on the actor's machine, in the
            environment there.
        actors: How many there shall be. Those that Ray has no room for yet join when it has.
        cpus: Processors that Ray keeps for each; a service of its own has as many threads.
        patience_seconds: How long the first actor is waited for, beside what starting takes.

    Raises:
        ServiceUnavailable: No actor came to be in that time.
        SlcolmError, SlcolmClientError: An actor's engine could not be opened.
    """

    def __init__(
        self,
        job: Job,
        ask: Callable[[], AbstractContextManager[Engine]],
        *,
        actors: int,
        cpus: int,
        patience_seconds: float,
    ) -> None:
        self._cpus = cpus
        self._start_seconds = patience_seconds + _START_SECONDS
        self._starting: dict[ObjectRef[Model], _Actor] = {}
        self._working: dict[ObjectRef[Shard], tuple[_Actor, int]] = {}
        self._idle: list[_Actor] = []
        # Told once, not with each shard: a corpus of many files is long to tell.
        self._job = ray.put(_absolute(job))
        writers: Any = ray.remote(num_cpus=cpus, max_restarts=-1)(_Writer)
        for _ in range(actors):
            self._start(writers.remote(ask, cpus))
        self._model = self._started(self._ended())

    @property
    def model(self) -> Model:
        """That of the first actor's engine; the others must have the same."""
        return self._model

    def close(self) -> None:
        """End the services of actors that are not in work; the others' end with their actors."""
        closing: list[Any] = [actor.close.remote() for actor in self._idle]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)

    def shards(
        self, job: Job, numbers: Sequence[int], advance: Callable[[int], None]
    ) -> Generator[Shard, None, None]:
        """Each shard as an actor has written it, in any order; see `Engine`."""
        missing, deaths = deque(numbers), Counter[int]()
        while missing or self._working:
            while missing and self._idle:
                self._work(self._idle.pop(), missing.popleft())
            ref = self._ended()
            if ref in self._starting:
                self._started(ref)
                continue
            actor, number = self._working.pop(ref)
            try:
                shard = _result(ref)
            except RayTaskError:
                raise
            except RayError as error:
                deaths[number] += 1
                if deaths[number] == _MOST_DEATHS:
                    raise ServiceUnavailable(
                        f"{_MOST_DEATHS} actors died over shard {number}, the last one so: {error}"
                    ) from error
                _log.warning("an actor died; its shard is written again", shard=number)
                missing.appendleft(number)
                self._start(actor)
            else:
                self._idle.append(actor)
                _check_there(job, shard)
                advance(shard.rows)
                yield shard

    def _start(self, actor: _Actor) -> None:
        self._starting[actor.model.remote()] = actor

    def _work(self, actor: _Actor, number: int) -> None:
        self._working[actor.shard.remote(self._job, number, self._model)] = (actor, number)

    def _ended(self) -> ObjectRef[Any]:
        """What an actor has ended next."""
        awaited: list[Any] = [*self._working, *self._starting]
        done, _ = ray.wait(
            awaited,
            num_returns=1,
            # While one works, the others may take as long as they want to come.
            timeout=None if self._working else self._start_seconds,
        )
        if not done:
            there = ray.cluster_resources().get("CPU", 0)  # type: ignore[no-untyped-call]
            raise ServiceUnavailable(
                f"Ray has started no actor within {self._start_seconds:g} s; each needs "
                f"{self._cpus} CPU, and the cluster has {there:g}"
            )
        return done[0]

    def _started(self, ref: ObjectRef[Model]) -> Model:
        actor = self._starting.pop(ref)
        try:
            model: Model = _result(ref)
        except RayTaskError:
            raise
        except RayError as error:
            raise ServiceUnavailable(f"an actor does not start: {error}") from error
        self._idle.append(actor)
        return model


class _Writer:
    """Writes shards; it keeps its engine from one to the next, with its connections.

    Args:
        ask: Opens the engine.
        cpus: Threads of a service that belongs to it, where the environment names no number.
    """

    def __init__(self, ask: Callable[[], AbstractContextManager[Engine]], cpus: int) -> None:
        os.environ.setdefault("SLCOLM_EXTRACTION_THREADS", str(cpus))
        self._ask = ask
        self._opened = ExitStack()

    @cached_property
    def _engine(self) -> Engine:
        return self._opened.enter_context(self._ask())

    # Ray calls it again after each death: it changes nothing. An actor that never gets so far is
    # waited for by the driver, while no other works, for a bounded time.
    @ray.method(max_task_retries=-1)
    def model(self) -> Model:
        """The model of its engine, which is opened now if it is not yet."""
        return self._engine.model

    def shard(self, job: Job, number: int, model: Model) -> Shard:
        """Write a shard with a model; paths are absolute.

        Ray does not call it again after a death: another actor may be free before this one is back.
        """
        if self._engine.model != model:
            raise PreconditionFailed(
                f"the output is made with {model}, and an actor's service has {self._engine.model}"
            )
        (shard,) = self._engine.shards(job, [number], lambda _: None)
        return shard

    def close(self) -> None:
        """Let go of connections, and end a service that belongs to it."""
        self._opened.close()


def _result(ref: ObjectRef[Any]) -> Any:
    """What came of a call of an actor; an error of ours is raised as it was there."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        if isinstance(error.cause, SlcolmError | SlcolmClientError):
            raise error.cause from None
        raise


def _absolute(job: Job) -> Job:
    """The same for a process with another working directory."""
    sources = [replace(source, path=source.path.absolute()) for source in job.sources]
    return replace(job, sources=sources, folder=job.folder.absolute())


def _check_there(job: Job, shard: Shard) -> None:
    """Find out whether this machine sees what an actor has written on another."""
    path = job.folder / shard.name
    if not path.is_file() or path.stat().st_size != shard.size:
        raise PreconditionFailed(
            f"an actor has written {shard.name}, and it is not in {job.folder} here: input and "
            "output must lie on a file system that all machines share"
        )


def _check_listening(address: str) -> None:
    """Find out at once what Ray tries for minutes; `auto` and Ray's own schemes are its matter."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ServiceUnavailable(f"no Ray cluster can be reached at {address}: {error}") from error


def _end(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


def _session_folder() -> AbstractContextManager[str]:
    """A folder for sockets and logs of Ray; paths of sockets have at most 107 bytes."""
    return tempfile.TemporaryDirectory(
        prefix="slcolm-ray-",
        # Many a TMPDIR is too long.
        dir="/tmp",
        ignore_cleanup_errors=True,
    )
