"""Settings of the extraction service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slcolm_services.errors import ConfigInvalid, FieldViolation

_PRECISIONS = ("fp32", "bf16", "auto")
_DEVICES = ("cpu", "cuda", "auto")


@dataclass(frozen=True)
class EngineConfig:
    """Limits and threads of a loaded model.

    Attributes:
        batch_tokens: Most tokens, padding included, that pass a model at once; a longer text goes
            alone. 0 for what suits the device: on a CPU small batches are the faster ones
            (decision 0007).
        max_text_characters: Longest text that is read. Texts of more tokens than a window are read
            in windows.
        window_tokens: Tokens in a window of a long text; 0 for as many as the model reads at once.
        overlap_tokens: Most tokens that two neighbouring windows share, and half a window at most.
        threads: Batches that run at once, each on one thread; 0 for as many as there are processors
            to use, and two on a GPU.
        precision: `fp32`; `bf16`, for models that have passed their check in it, where OpenVINO is
            installed and the processor multiplies bfloat16; `auto` for bf16 where all that holds,
            and fp32 elsewhere.
        device: `cpu`; `cuda`, which needs onnxruntime-gpu in the place of onnxruntime; `auto` for
            CUDA where it can be had, and the CPU elsewhere.
    """

    batch_tokens: int = 0
    max_text_characters: int = 1_000_000
    window_tokens: int = 0
    overlap_tokens: int = 128
    threads: int = 0
    precision: str = "fp32"
    device: str = "auto"

    def __post_init__(self) -> None:
        self._check_least(
            batch_tokens=0, max_text_characters=1, window_tokens=0, overlap_tokens=0, threads=0
        )
        _refuse(
            [
                FieldViolation(name, f"must be one of {', '.join(known)}, got {value!r}")
                for name, value, known in (
                    ("precision", self.precision, _PRECISIONS),
                    ("device", self.device, _DEVICES),
                )
                if value not in known
            ]
        )

    def _check_least(self, **least: int) -> None:
        _refuse(
            [
                FieldViolation(name, f"must be at least {bound}, got {getattr(self, name)}")
                for name, bound in least.items()
                if getattr(self, name) < bound
            ]
        )


@dataclass(frozen=True)
class ExtractionConfig(EngineConfig):
    """Settings of the extraction service; each model it loads gets the limits and threads.

    Attributes:
        store: Root of the artifact store: a folder or an fsspec URL.
        cache_dir: Folder for models fetched from a remote store, and for the name of the default
            one, which a process that is started anew begins with.
        model: Model folder that is the default from the start; None to wait for `LoadModel`.
        max_batch_documents: Most texts in a request.
        max_loaded_models: Models kept in memory; the one used longest ago goes first.
    """

    store: str = "slcolm-home/store"
    cache_dir: Path = Path("slcolm-home/cache")
    model: Path | None = None
    max_batch_documents: int = 256
    max_loaded_models: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(max_batch_documents=1, max_loaded_models=1)


def _refuse(violations: list[FieldViolation]) -> None:
    if violations:
        raise ConfigInvalid("the extraction settings cannot be used", violations=violations)
