"""What one sentence costs, as measured on some machine, from a TOML file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import load_section

MEASURED = Path(__file__).with_name("measured.toml")
"""The profile that ships: figures of one machine, which the file names."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Measured costs. Seconds are of one processor, for one sentence, in calls as batches make.

    Attributes:
        machine: Where they were measured, and with which model.
        driver_seconds: Of `slcolm batch`: reading, calling, writing.
        extraction_seconds: Of an extraction service.
        retrieval_seconds: Of a retrieval service that selects for a sentence.
        guidance_seconds: Of a guidance service: prompt, ledger, answer. Not of the LLM.
        start_seconds: From the start of a service until it takes calls.
        row_bytes: Of a row of output.
        prompt_tokens: Of a prompt.
        completion_tokens: Of an answer.
        parallel: How many processors' work two processors of that machine do at once.
    """

    machine: str
    driver_seconds: float
    extraction_seconds: float
    retrieval_seconds: float
    guidance_seconds: float
    start_seconds: float
    row_bytes: float
    prompt_tokens: float
    completion_tokens: float
    parallel: float

    def __post_init__(self) -> None:
        violations = [
            FieldViolation(field.name, f"must be above 0 and finite, got {value}")
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), float)
            and not 0 < value < float("inf")
        ]
        if violations:
            raise ConfigInvalid("the profile cannot be used", violations=violations)


def read_profile(path: Path = MEASURED) -> Profile:
    """Read the section `[profile]` of a file.

    Raises:
        ConfigInvalid: The file cannot be read, or a figure is missing, unknown or impossible.
    """
    return load_section(Profile, "profile", path=path, environ={})
