"""Settings of the training service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training service.

    Attributes:
        store: Root of the artifact store: a folder or an fsspec URL.
        work_dir: Folder for the checkpoints of unfinished jobs.
        encoder_dirs: Folders under which callers may name encoders by path; none by default.
        hub_encoders: Whether callers may name encoders of the Hugging Face hub, which are then
            downloaded.
        busy_retry_seconds: What a caller is told to wait while another job runs.
    """

    store: str = "slcolm-home/store"
    work_dir: Path = Path("slcolm-home/training")
    encoder_dirs: tuple[str, ...] = ()
    hub_encoders: bool = True
    busy_retry_seconds: float = 30.0
