"""The process of one training job: `python -m slcolm_services.training.worker FOLDER`.

Standard output carries the lines of `job` and nothing else; whatever a library prints goes to
standard error. When nobody reads the lines any more, the next one ends the process.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import structlog

from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.errors import SlcolmError, StorageFull
from slcolm_services.runtime.logs import log_as_parent
from slcolm_services.runtime.storage import storage_error
from slcolm_services.training.job import Finished, JobFolder, to_line
from slcolm_services.training.progress import Progress
from slcolm_services.training.train import train

_log = structlog.get_logger(__name__)

_FULL_BYTES = 1 << 20


def main(path: str) -> None:
    """Train the job in a folder.

    Args:
        path: The job's folder.

    Side effects: the finished model stands in the folder; exits with status 1 after an error.
    """
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    log_as_parent(os.environ)

    def say(update: Progress | Finished | SlcolmError) -> None:
        print(to_line(update), file=lines, flush=True)

    folder = JobFolder(Path(path))
    try:
        schema = folder.read_schema()
        # A model that an interrupted job has finished but not delivered is made again: its
        # checkpoints are still there, so this costs an export.
        shutil.rmtree(folder.model, ignore_errors=True)
        model = train(
            read_documents(folder.train, schema),
            read_documents(folder.dev, schema),
            schema,
            folder.read_options(),
            work_dir=folder.checkpoints,
            output=folder.model,
            on_progress=say,
        )
    except SlcolmError as error:
        say(error)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  its line is to name the call
        _log.exception("training failed")
        if (problem := storage_error(error) or _full(folder.checkpoints)) is not None:
            say(problem)
        sys.exit(1)
    say(Finished(model.dev_scores, model.train_seconds))


def _full(folder: Path) -> StorageFull | None:
    """Whether the disk is full, which libraries that write in native code say in other words."""
    if folder.exists() and shutil.disk_usage(folder).free < _FULL_BYTES:
        return StorageFull(f"there is no space left on the disk ({folder})")
    return None


if __name__ == "__main__":
    main(sys.argv[1])
