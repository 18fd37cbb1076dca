"""The sequence: which stages there are, in which order, and when one need not be done again.

A stage reads what earlier stages left, calls the other services, and returns a `StageResult`. Its
key is the digest of all that shapes its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from slcolm_services.coordinator import guiding, judging, learning, merging, pipeline
from slcolm_services.coordinator.asking import demonstration_count, providers_of
from slcolm_services.coordinator.context import GUIDED_SPLITS, StageContext, Tools
from slcolm_services.coordinator.keys import stage_key
from slcolm_services.coordinator.records import StageResult

_STAGES: dict[str, Callable[[Tools, StageContext], StageResult]] = {
    "train": learning.train,
    "predict": learning.predict,
    "index": learning.index,
    "select": guiding.select,
    "guide": guiding.guide,
    "fit": merging.fit,
    "merge": merging.merge,
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
    if name == "select":
        inputs |= {
            "index": context.values["index_revision"],
            "demonstrations": demonstration_count(spec),
            "random": spec.random_demonstrations,
        }
    elif name == "guide":
        inputs |= {
            "selection": [context.artifacts[f"selection-{split}.binpb"] for split in GUIDED_SPLITS],
            "providers": [[item.name, item.digest] for item in providers_of(tools.peers, spec)],
            "samples": spec.samples or 1,
            "prompt": spec.prompt,
        }
    elif name in ("fit", "merge", "evaluate", "report"):
        inputs |= {"artifacts": dict(context.artifacts), "values": dict(context.values)}
    if name == "report":
        # A report names its run.
        inputs["run"] = context.run_id
    return stage_key(name, **inputs)
