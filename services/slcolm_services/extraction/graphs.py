"""ONNX graphs as functions of arrays.

A graph runs on the thread that calls it, so that as many batches pass at once as threads call: on a
CPU several narrow runs beat one wide one, which waits at every operator for its slowest thread. All
callers share one copy of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import onnxruntime
from numpy.typing import NDArray

from slcolm_services.errors import ModelInvalid

Array = NDArray[Any]


class Graph(Protocol):
    """A loaded graph. Safe to run from many threads at once."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """The named outputs, in their order, for inputs by name."""


def load_graph(path: Path) -> Graph:
    """Load a graph with ONNX Runtime.

    Raises:
        ModelInvalid: The file is not a graph that can be run here.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # With varying shapes the arena only ever grows.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime raises a dozen unrelated classes.
    except Exception as error:
        raise ModelInvalid(f"{path.name} cannot be loaded: {error}") from error
    return _OnnxRuntimeGraph(session)


class _OnnxRuntimeGraph:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        found: list[Array] = self._session.run(list(outputs), dict(inputs))
        return found
