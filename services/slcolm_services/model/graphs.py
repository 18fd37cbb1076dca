"""ONNX graphs as functions of arrays, in one of two precisions.

The files hold float32 weights. ONNX Runtime computes with them as they are. OpenVINO, an optional
engine on the same files, rounds weights and operands of matrix products to bfloat16 and sums in
float32, which processors with AMX or AVX512-BF16 do several times faster (decision 0018).

Each run takes one thread, so that as many batches pass at once as threads call: on a CPU several
narrow runs beat one wide one, which waits at every operator for its slowest thread. All callers
share one copy of the weights.
"""

from __future__ import annotations

import importlib.util
import queue
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from slcolm_services.errors import ConfigInvalid, FieldViolation, ModelInvalid

Array = NDArray[Any]
Precision = Literal["fp32", "bf16"]


class Graph(Protocol):
    """A loaded graph. Safe to run from many threads at once."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """The named outputs, in their order, for inputs by name."""


def load_graph(path: Path, precision: Precision = "fp32", *, slots: int = 1) -> Graph:
    """Load a graph.

    Args:
        path: An ONNX file.
        precision: Of the matrix products.
        slots: Most runs at the same time.

    Raises:
        ModelInvalid: The file is not a graph that can be run here.
        ConfigInvalid: The precision is not to be had here.
    """
    if precision == "bf16" and not bf16_available():
        raise ConfigInvalid(
            "bf16 needs OpenVINO and a processor with bfloat16 instructions",
            violations=[FieldViolation("precision", "bf16 is not available here; take fp32")],
        )
    try:
        return _OpenVinoGraph(path, slots) if precision == "bf16" else _OnnxRuntimeGraph(path)
    # Both runtimes raise a dozen unrelated classes.
    except Exception as error:
        raise ModelInvalid(f"{path.name} cannot be loaded: {error}") from error


def bf16_available() -> bool:
    """Whether OpenVINO is installed and the processor multiplies bfloat16."""
    if importlib.util.find_spec("openvino") is None:
        return False
    openvino = importlib.import_module("openvino")
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class _OnnxRuntimeGraph:
    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        # Left alone, ONNX Runtime takes the host's cores, whatever the container's quota.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # With varying shapes the arena only ever grows.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path),
            sess_options=options,
            providers=["CPUExecutionProvider"],
            # The fused operator is slower than its parts: 6 % of a BERT-base.
            disabled_optimizers=["SkipLayerNormFusion"],
        )

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        found: list[Array] = self._session.run(list(outputs), dict(inputs))
        return found


class _OpenVinoGraph:
    def __init__(self, path: Path, slots: int) -> None:
        # Optional, and half a second to import.
        openvino = importlib.import_module("openvino")
        compiled = openvino.Core().compile_model(
            str(path),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16",
                "NUM_STREAMS": slots,
                "INFERENCE_NUM_THREADS": slots,
                # Processors are shared with others: a thread that is tied to one waits for it.
                "ENABLE_CPU_PINNING": False,
            },
        )
        # A request serves one run at a time.
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(slots):
            self._requests.put(compiled.create_infer_request())

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        request = self._requests.get()
        try:
            request.infer(dict(inputs), share_inputs=True)
            # Copies: the request's own memory serves the next run.
            return [np.array(request.get_tensor(name).data) for name in outputs]
        finally:
            self._requests.put(request)
