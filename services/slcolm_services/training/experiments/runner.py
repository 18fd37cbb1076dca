"""Runs the trainings of an experiment: those that are not done yet, some at once."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from slcolm_services.errors import ConfigInvalid, FieldViolation, Unavailable
from slcolm_services.training.experiments.cells import Cell, Condition, cells
from slcolm_services.training.experiments.config import Experiment, ExperimentData, read_data
from slcolm_services.training.experiments.results import Result, read_result, write_result

TrainCell = Callable[[Cell, Experiment, ExperimentData, Path], Result]
"""Trains one cell; the path is a folder for what it keeps while it runs."""

Results = Mapping[Condition, Mapping[int, Result]]
"""Results by condition and seed."""


@dataclass(frozen=True)
class _Task:
    """What a process is asked to do."""

    cell: Cell
    experiment: Experiment
    folder: Path
    train: TrainCell


def run(
    experiment: Experiment,
    output: Path,
    train: TrainCell,
    *,
    jobs: int,
    on_done: Callable[[Cell, Result, bool], None],
) -> Results:
    """Train every cell that `output` has no result of.

    A cell's result is written when it is there: the same call again goes on after it.

    Args:
        experiment: What is compared.
        output: Folder of the results.
        train: A function of a module, so that other processes find it.
        jobs: Trainings at once, each in a process of its own, spread over the GPUs there are.
        on_done: Told each cell, its result, and whether it was there before.

    Raises:
        ConfigInvalid: `output` cannot be a folder.
        DataInvalid: A data set cannot be read.
        SlcolmError: A training failed; those that run are waited for, the others not begun.
    """
    digests = experiment.digests()
    read_data(experiment)
    if output.exists() and not output.is_dir():
        raise ConfigInvalid(
            f"{output} is no folder", violations=[FieldViolation("output", "is not a folder")]
        )
    found: dict[Condition, dict[int, Result]] = {}
    tasks: list[_Task] = []
    for cell in cells(experiment):
        folder = output / "cells" / cell.key(experiment, digests)
        result = read_result(folder)
        if result is None:
            tasks.append(_Task(cell, experiment, folder, train))
        else:
            found.setdefault(cell.condition, {})[cell.seed] = result
            on_done(cell, result, True)
    if tasks:
        # Threads of torch and of ONNX Runtime do not survive a fork.
        context = multiprocessing.get_context("spawn")
        places = context.SimpleQueue()
        for place in range(jobs):
            places.put(place)
        gpus = torch.cuda.device_count()
        with ProcessPoolExecutor(jobs, context, _begin, (places, gpus)) as pool:
            waiting = {pool.submit(_run_task, task): task.cell for task in tasks}
            try:
                while waiting:
                    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        cell = waiting.pop(future)
                        result = future.result()
                        found.setdefault(cell.condition, {})[cell.seed] = result
                        on_done(cell, result, False)
            except BrokenProcessPool as error:
                raise Unavailable(
                    "the process of a training ended by itself: killed, or out of memory; the same "
                    "command again goes on with what is missing"
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    return found


def _begin(places: SimpleQueue[int], gpus: int) -> None:
    """Let a process see one GPU, where there are any (torch has not looked for them yet).

    It ends with the process that began it, however that ends: nobody would read its results.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    place = places.get()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(place % gpus)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _run_task(task: _Task) -> Result:
    data = read_data(task.experiment)
    result = task.train(task.cell, task.experiment, data, task.folder)
    condition = task.cell.condition
    write_result(
        task.folder,
        result,
        {
            "schedule": str(condition.schedule),
            "rate_course": condition.rate_course,
            "other_domain": condition.other_domain,
            "seed": task.cell.seed,
        },
    )
    return result
