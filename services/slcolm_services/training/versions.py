"""Versions that decide what a training run makes."""

from __future__ import annotations

import platform
from importlib.metadata import version

_LIBRARIES = ("torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime")


def versions() -> dict[str, str]:
    """Versions of SLCoLM, of Python and of the libraries that do the work, by name."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"slcolm": version("slcolm"), "python": platform.python_version(), **libraries}
