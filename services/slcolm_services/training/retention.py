"""How long the folders of jobs that nobody has gone on with are kept."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

_JOB_KEY = re.compile(r"[0-9a-f]{64}")
_DAY_SECONDS = 86_400.0


def discard_abandoned(work_dir: Path, *, days: float) -> None:
    """Remove the folders of jobs in which nothing was written for some time.

    A job that is at work writes a checkpoint an epoch; what is in the folder besides jobs stays.

    Args:
        work_dir: Folder of the jobs; it need not exist.
        days: How long a job without progress is kept.
    """
    oldest = time.time() - days * _DAY_SECONDS
    for folder in sorted(work_dir.glob("*")):
        if not _JOB_KEY.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            last = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
            if last < oldest:
                shutil.rmtree(folder)
                _log.info("abandoned job removed", job=folder.name)
        except OSError as error:
            # It costs room on the disk, and no job.
            _log.warning("abandoned job stays", job=folder.name, error=error.strerror)
