"""What a stage leaves behind: artifacts by digest, values, and a record under the stage's key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from slcolm_services.errors import ArtifactCorrupt, ArtifactNotFound
from slcolm_services.runtime.store import ArtifactStore

KIND = "stages"
"""Kind of artifact that stages' files and records are."""


@dataclass(frozen=True)
class StageResult:
    """Outcome of a finished stage.

    Attributes:
        message: What the stage says of itself, in a line.
        done: Items worked on, in the stage's own unit.
        artifacts: File name to digest in the artifact store.
        values: Revisions and digests that later stages and online prediction need.
        reusable: Whether another run with the same key may take this result. False when some
            items failed for reasons that may pass.
        reused: Whether this result was taken from an earlier run.
    """

    message: str
    done: int = 0
    artifacts: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    reusable: bool = True
    reused: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StageResult:
        """From what `to_json` returned."""
        return cls(**value)


class Records:
    """Stage results and their files in the artifact store."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def put_file(self, data: bytes) -> str:
        """Store a stage's file; returns its digest."""
        return self._store.put_bytes(KIND, data)

    def get_file(self, digest: str) -> bytes:
        """Read a stage's file, checked against its digest."""
        return self._store.get_bytes(KIND, digest)

    def save(self, key: str, result: StageResult) -> None:
        """Remember a result under its key."""
        self._store.put_record(KIND, key, json.dumps(result.to_json()).encode())

    def find(self, key: str) -> StageResult | None:
        """An earlier result under this key whose files are all still there."""
        try:
            result = StageResult.from_json(json.loads(self._store.get_record(KIND, key)))
            for digest in result.artifacts.values():
                self.get_file(digest)
        except (ArtifactNotFound, ArtifactCorrupt):
            return None
        return result
