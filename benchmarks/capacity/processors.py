"""How many processors' work a machine does at once: it need not be as many as it says."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

import numpy as np
from threadpoolctl import threadpool_limits

_SECONDS = 1.5
_ROUNDS = 3
_SIZE = 192


def parallel(processors: int) -> float:
    """Work of that many processes at once, relative to one alone; the median of a few rounds.

    The work is products of small matrices, one thread a process, as extraction does it.
    """
    return statistics.median(_work(processors) / _work(1) for _ in range(_ROUNDS))


def _work(processes: int) -> float:
    """Products a second, all processes together."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(processes)]
    workers = [context.Process(target=_multiply, args=(theirs,)) for _, theirs in pairs]
    for worker in workers:
        worker.start()
    for ours, _ in pairs:
        ours.recv()
    for ours, _ in pairs:
        ours.send(None)
    total = sum(ours.recv() for ours, _ in pairs)
    for worker in workers:
        worker.join()
    return float(total)


def _multiply(pipe: Connection) -> None:
    matrix = np.random.default_rng(1).standard_normal((_SIZE, _SIZE)).astype(np.float32)
    with threadpool_limits(limits=1):
        pipe.send(None)
        pipe.recv()
        count, begin = 0, time.perf_counter()
        while (seconds := time.perf_counter() - begin) < _SECONDS:
            np.dot(matrix, matrix)
            count += 1
        pipe.send(count / seconds)
