"""Where models run, and how many batches of which size at once."""

from __future__ import annotations

from dataclasses import dataclass

from slcolm_services.extraction.config import EngineConfig
from slcolm_services.model.graphs import Device, cuda_available
from slcolm_services.runtime.cpu import available_cpus

_BATCH_TOKENS: dict[Device, int] = {"cpu": 512, "cuda": 16384}
_CUDA_SLOTS = 2
"""While one batch is computed, another is decoded."""


@dataclass(frozen=True)
class Resources:
    """What the configuration leaves open, answered by the machine; the same for all models.

    Attributes:
        device: Where batches run.
        slots: Batches at once, each on the thread of its caller.
        batch_tokens: Most tokens in a batch, padding included.
    """

    device: Device
    slots: int
    batch_tokens: int

    @classmethod
    def of(cls, config: EngineConfig) -> Resources:
        """Answer what a configuration leaves open.

        A GPU is taken where there is one, unless a precision is asked for that only processors
        have.
        """
        device: Device = "cpu"
        if config.device == "cuda" or (
            config.device == "auto" and config.precision != "bf16" and cuda_available()
        ):
            device = "cuda"
        slots = config.threads or (_CUDA_SLOTS if device == "cuda" else available_cpus())
        return cls(device, slots, config.batch_tokens or _BATCH_TOKENS[device])
