"""What the training service measures of its work, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from slcolm_services.errors import SlcolmError
from slcolm_services.runtime.metrics import Measures
from slcolm_services.training.job import Finished
from slcolm_services.training.progress import Progress

_SECONDS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 86_400)


class TrainingMeasures(Measures):
    """Jobs, and how the one that runs fares."""

    def __init__(self) -> None:
        self.jobs = Counter(
            "slcolm_training_jobs",
            "Jobs that have ended: trained, reused (made before), left (by the caller), or the "
            "reason of the error",
            ["outcome"],
            registry=None,
        )
        self.running = Gauge("slcolm_training_jobs_running", "Jobs that run: 0 or 1", registry=None)
        self.seconds = Histogram(
            "slcolm_training_job_seconds",
            "Seconds that training took, of jobs that were trained",
            buckets=_SECONDS,
            registry=None,
        )
        self.epochs = Counter(
            "slcolm_training_epochs", "Epochs that have ended, of all jobs", registry=None
        )
        self.dev_f1 = Gauge(
            "slcolm_training_dev_f1",
            "Relation F1 on dev after the last full epoch of the latest job, in [0, 1]",
            registry=None,
        )
        self.best_dev_f1 = Gauge(
            "slcolm_training_best_dev_f1", "The best of them, in [0, 1]", registry=None
        )

    @contextmanager
    def job(self) -> Iterator[Callable[[Progress | Finished], None]]:
        """Count a job that runs in the block; yields what is to be told how it fares."""
        ended = None
        outcome = "left"

        def tell(update: Progress | Finished) -> None:
            nonlocal ended, outcome
            if isinstance(update, Finished):
                outcome = "trained"
                self.seconds.observe(update.train_seconds)
                return
            if update.phase != "train":
                return
            steps = update.steps // update.epochs
            # A job that goes on from a checkpoint begins in a later epoch.
            before = (update.step - 1) // steps if ended is None else ended
            ended = update.step // steps
            self.epochs.inc(ended - before)
            if ended > 0:
                self.dev_f1.set(update.dev_f1)
                self.best_dev_f1.set(update.best_dev_f1)

        try:
            with self.running.track_inprogress():
                yield tell
        except SlcolmError as error:
            outcome = error.reason
            raise
        except Exception:
            outcome = SlcolmError.reason
            raise
        finally:
            self.jobs.labels(outcome).inc()
