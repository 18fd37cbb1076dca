"""What every stage works with: connections, data, and what earlier stages left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.evaluation.v1 import evaluation_pb2
from slcolm.extraction.v1 import extraction_pb2
from slcolm.guidance.v1 import guidance_pb2
from slcolm_services.coordinator import pipeline
from slcolm_services.coordinator.asking import Answers
from slcolm_services.coordinator.config import CoordinatorConfig
from slcolm_services.coordinator.datasets import Datasets
from slcolm_services.coordinator.peers import Peers
from slcolm_services.coordinator.records import Records
from slcolm_services.runtime.store import ArtifactStore

SPLITS = ("train", "dev", "test")
DATASET_FIELDS = tuple(f"{split}_dataset" for split in SPLITS)
"""Fields of a run's spec that name its data sets."""
GUIDED_SPLITS = ("dev", "test")
SOURCES = "sources.json"
"""Artifact that names the sources of answers, in order."""
Progress = Callable[[int, int, str], None]
"""Called with items done, items in all, and a line for people."""


@dataclass(frozen=True)
class StageContext:
    """What is known when a stage starts.

    Attributes:
        run_id: The run.
        spec: What the run does.
        values: Values of the stages before this one.
        artifacts: Artifacts of the stages before this one: file name to digest.
        progress: Reports progress; raises `Cancelled` when the run was cancelled.
        seconds: Wall time of the stages before this one, by name, in seconds.
    """

    run_id: str
    spec: coordinator_pb2.RunSpec
    values: Mapping[str, str]
    artifacts: Mapping[str, str]
    progress: Progress
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tools:
    """What a coordinator has to work with. Thread-safe: it holds no state of a run."""

    config: CoordinatorConfig
    peers: Peers
    datasets: Datasets
    records: Records
    store: ArtifactStore

    def policy(self, artifacts: Mapping[str, str]) -> evaluation_pb2.Policy:
        """The policy that the fit stage chose."""
        data = self.records.get_file(artifacts["fit.binpb"])
        return evaluation_pb2.FitPolicyResponse.FromString(data).policy

    def predictions(
        self, context: StageContext, split: str
    ) -> Sequence[extraction_pb2.ExtractResult]:
        """What the SLM found, or why it could not, for every document of a split, in order."""
        data = self.records.get_file(context.artifacts[f"predictions-{split}.binpb"])
        return extraction_pb2.ExtractResponse.FromString(data).results

    def extractions(self, context: StageContext, split: str) -> list[extraction_pb2.Extraction]:
        """What the SLM found in the documents of a split that it could read, in order."""
        return [
            result.extraction
            for result in self.predictions(context, split)
            if result.WhichOneof("outcome") == "extraction"
        ]

    def answers(self, context: StageContext, split: str) -> dict[str, Answers]:
        """What the guide stage got for a split: by text, then by source in the order asked."""
        found: dict[str, dict[str, guidance_pb2.GuideResult]] = {}
        for source in json.loads(self.records.get_file(context.artifacts[SOURCES])):
            data = self.records.get_file(context.artifacts[answers_name(split, source)])
            for result in guidance_pb2.GuideResponse.FromString(data).results:
                found.setdefault(result.id, {})[source] = result
        return dict(found)

    def merge_items(self, context: StageContext, split: str) -> list[evaluation_pb2.MergeItem]:
        """SLM predictions of a split with the LLMs' triples, for the texts that could be read."""
        answers = self.answers(context, split)
        return [
            pipeline.merge_item(item.document, answers.get(item.document.id, {}))
            for item in self.extractions(context, split)
        ]


def answers_name(split: str, source: str) -> str:
    """Artifact with the answers of one source to a split."""
    return f"answers-{split}-{source}.binpb"
