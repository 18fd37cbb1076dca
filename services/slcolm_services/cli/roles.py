"""The services by name, and what each is configured by."""

from __future__ import annotations

import importlib
from typing import Any

_CONFIG_TYPES = {
    "extraction": "ExtractionConfig",
    "retrieval": "RetrievalConfig",
    "guidance": "GuidanceConfig",
    "evaluation": "EvaluationConfig",
    "training": "TrainingConfig",
    "coordinator": "CoordinatorConfig",
}
ROLES = tuple(_CONFIG_TYPES)
"""Every service; its section of a configuration file is called the same."""


def config_type(role: str) -> type[Any]:
    """The class that the section of a service fills."""
    module = importlib.import_module(f"slcolm_services.{role}.config")
    found: type[Any] = getattr(module, _CONFIG_TYPES[role])
    return found
