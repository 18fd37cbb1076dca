"""Settings of the training service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slcolm_services.errors import ConfigInvalid, FieldViolation


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training service.

    Attributes:
        store: Root of the artifact store: a folder or an fsspec URL.
        work_dir: Folder for the checkpoints of unfinished jobs.
        encoder_dirs: Folders under which callers may name encoders by path; none by default.
        hub_encoders: Whether callers may name encoders of the Hugging Face hub, which are then
            downloaded.
        job_retention_days: How long the checkpoints of a job are kept that failed or was given up,
            counted from its last progress; older ones go when the service starts.
        busy_retry_seconds: What a caller is told to wait while another job runs.
    """

    store: str = "slcolm-home/store"
    work_dir: Path = Path("slcolm-home/training")
    encoder_dirs: tuple[str, ...] = ()
    hub_encoders: bool = True
    job_retention_days: float = 7.0
    busy_retry_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigInvalid: `job_retention_days` is not greater than 0.
        """
        if not self.job_retention_days > 0:
            problem = f"must be greater than 0, got {self.job_retention_days}"
            raise ConfigInvalid(
                f"job_retention_days {problem}",
                violations=[FieldViolation("job_retention_days", problem)],
            )
