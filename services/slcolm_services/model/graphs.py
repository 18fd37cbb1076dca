"""ONNX graphs as functions of arrays: on processors in one of two precisions, on GPUs with CUDA.

The files hold float32 weights. ONNX Runtime computes with them as they are, on CPU and GPU.
OpenVINO, an optional engine on the same files, rounds weights and operands of matrix products to
bfloat16 and sums in float32, which processors with AMX or AVX512-BF16 do several times faster
(decision 0018).

On a CPU each run takes one thread, so that as many batches pass at once as threads call: several
narrow runs beat one wide one, which waits at every operator for its slowest thread. All callers
share one copy of the weights.
"""

from __future__ import annotations

import importlib.util
import queue
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from slcolm_services.errors import ConfigInvalid, FieldViolation, ModelInvalid

Array = NDArray[Any]
Precision = Literal["fp32", "bf16"]
Device = Literal["cpu", "cuda"]
Value: TypeAlias = Any
"""An array, or what a graph kept where it ran: only graphs that were loaded alike can read it."""

_PROVIDERS: Mapping[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_PROVIDER_OPTIONS: Mapping[Device, Mapping[str, str]] = {
    "cpu": {},
    # TensorFloat-32 rounds the operands of products to 10 bits: that is not fp32.
    "cuda": {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"},
}


class Graph(Protocol):
    """A loaded graph. Safe to run from many threads at once."""

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, Value], *, keep: Sequence[str] = ()
    ) -> list[Value]:
        """The named outputs, in their order, for inputs by name.

        Args:
            outputs: Names of what is wanted.
            inputs: Arrays, or what graphs of the same kind kept.
            keep: Of the outputs, those that only go into other graphs; they need not be copied.
        """


def load_graph(
    path: Path, precision: Precision = "fp32", *, device: Device = "cpu", slots: int = 1
) -> Graph:
    """Load a graph.

    Args:
        path: An ONNX file.
        precision: Of the matrix products.
        device: Where it runs.
        slots: Most runs at the same time.

    Raises:
        ModelInvalid: The file is not a graph that can be run here.
        ConfigInvalid: Precision or device are not to be had here.
    """
    if precision == "bf16" and not (device == "cpu" and bf16_available()):
        raise ConfigInvalid(
            "bf16 needs OpenVINO and a processor with bfloat16 instructions",
            violations=[FieldViolation("precision", "bf16 is not available here; take fp32")],
        )
    if device == "cuda" and not cuda_available():
        raise ConfigInvalid(
            "CUDA needs onnxruntime-gpu, the CUDA libraries it was built for, and a GPU",
            violations=[FieldViolation("device", "cuda is not available here; take cpu")],
        )
    try:
        if precision == "bf16":
            return _OpenVinoGraph(path, slots)
        return _OnnxRuntimeGraph(path, device)
    # Both runtimes raise a dozen unrelated classes.
    except Exception as error:
        raise ModelInvalid(f"{path.name} cannot be loaded: {error}") from error


def bf16_available() -> bool:
    """Whether OpenVINO is installed and the processor multiplies bfloat16."""
    if importlib.util.find_spec("openvino") is None:
        return False
    openvino = importlib.import_module("openvino")
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cuda_available() -> bool:
    """Whether ONNX Runtime can put an array on a GPU."""
    if _PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        return False
    # Libraries that came as Python packages are on no search path.
    onnxruntime.preload_dlls()
    try:
        onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda", 0)
    # Without a driver or a device it raises classes of its own.
    except Exception:  # noqa: BLE001
        return False
    return True


class _OnnxRuntimeGraph:
    def __init__(self, path: Path, device: Device) -> None:
        options = onnxruntime.SessionOptions()
        # Left alone, ONNX Runtime takes the host's cores, whatever the container's quota.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # The arena saves a page fault for every 4 KiB of every intermediate result. Batches have a
        # token budget, so it stops growing; patterns are kept for each shape and do not.
        options.enable_cpu_mem_arena = True
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        self._device = device
        self._session = onnxruntime.InferenceSession(
            str(path),
            sess_options=options,
            providers=[(_PROVIDERS[device], dict(_PROVIDER_OPTIONS[device]))],
            # The fused operator is slower than its parts: 6 % of a BERT-base.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        # Where a provider cannot start, ONNX Runtime takes the CPU's without an error.
        if _PROVIDERS[device] not in self._session.get_providers():
            raise RuntimeError(f"ONNX Runtime cannot run it on {device}")

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, Value], *, keep: Sequence[str] = ()
    ) -> list[Value]:
        binding = self._session.io_binding()
        for name, value in inputs.items():
            if isinstance(value, onnxruntime.OrtValue):
                binding.bind_ortvalue_input(name, value)
            else:
                binding.bind_cpu_input(name, value)
        for name in outputs:
            binding.bind_output(name, self._device if name in keep else "cpu")
        self._session.run_with_iobinding(binding)
        return [
            value if name in keep else value.numpy()
            for name, value in zip(outputs, binding.get_outputs(), strict=True)
        ]


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

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, Value], *, keep: Sequence[str] = ()
    ) -> list[Value]:
        del keep
        request = self._requests.get()
        try:
            request.infer(dict(inputs), share_inputs=True)
            # Copies: the request's own memory serves the next run.
            return [np.array(request.get_tensor(name).data) for name in outputs]
        finally:
            self._requests.put(request)
