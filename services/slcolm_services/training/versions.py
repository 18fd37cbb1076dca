"""Versions that decide what a training run makes."""

from __future__ import annotations

import platform
from importlib.metadata import version

from slcolm_services.training import built_in

_LIBRARIES = ("torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime")


def versions() -> dict[str, str]:
    """Versions of SLCoLM, of Python and of the libraries that do the work, by name.

    The built-in encoder's is the digest of its weights, empty where it is not installed.
    """
    libraries = {name: version(name) for name in _LIBRARIES}
    own = {"slcolm": version("slcolm"), "built-in encoder": built_in.weights_digest()}
    return {**own, "python": platform.python_version(), **libraries}
