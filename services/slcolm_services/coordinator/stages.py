"""The sequence: which stages there are, in which order, and when one need not be done again.

A stage reads what earlier stages left, calls the other services, and returns a `StageResult`. Its
key is the digest of all that shapes its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator import guiding, judging, learning, pipeline
from slcolm_services.coordinator.context import StageContext, Tools, demonstration_count
from slcolm_services.coordinator.keys import stage_key
from slcolm_services.coordinator.records import StageResult
from slcolm_services.errors import ProviderNotFound

_STAGES: dict[str, Callable[[Tools, StageContext], StageResult]] = {
    "train": learning.train,
    "predict": learning.predict,
    "index": learning.index,
    "guide": guiding.guide,
    "fit": guiding.fit,
    "merge": guiding.merge,
    "evaluate": judging.evaluate,
    "report": judging.report,
}
STAGE_NAMES = tuple(_STAGES)
"""Stages in the order they run."""


def run_stage(tools: Tools, name: str, context: StageContext) -> StageResult:
    """Run one stage, or take its result from an earlier run.

    Raises:
        SlcolmError: The stage cannot be done.
    """
    key = _key(tools, name, context)
    found = tools.records.find(key)
    if found is not None:
        if name == "train":
            # The record may outlive the model; loading proves that it is there.
            pipeline.load_model(tools.peers, found.values["model_revision"])
        return replace(found, reused=True)
    result = _STAGES[name](tools, context)
    if result.reusable:
        tools.records.save(key, result)
    return result


def _key(tools: Tools, name: str, context: StageContext) -> str:
    spec = context.spec
    inputs: dict[str, object] = {
        "train": spec.train_dataset,
        "dev": spec.dev_dataset,
        "schema": spec.schema,
    }
    if name == "train":
        inputs["options"] = spec.training
    else:
        inputs |= {"test": spec.test_dataset, "model": context.values["model_revision"]}
    if name == "guide":
        inputs |= {
            "index": context.values["index_revision"],
            "provider": _provider_digest(tools, spec.provider),
            "demonstrations": demonstration_count(spec),
        }
    elif name in ("fit", "merge", "evaluate", "report"):
        inputs |= {"artifacts": dict(context.artifacts), "values": dict(context.values)}
    if name == "report":
        # A report names its run.
        inputs["run"] = context.run_id
    return stage_key(name, **inputs)


def _provider_digest(tools: Tools, provider: str) -> str:
    response: guidance_pb2.ListProvidersResponse = tools.peers.invoke(
        "guidance", tools.peers.guidance.ListProviders, guidance_pb2.ListProvidersRequest()
    )
    for candidate in response.providers:
        if candidate.name == provider or (not provider and candidate.default):
            return candidate.digest
    known = ", ".join(candidate.name for candidate in response.providers)
    raise ProviderNotFound(
        f"the guidance service has no provider {provider!r}; it has: {known}",
        metadata={"provider": provider},
    )
