"""Deleting runs: what one has left goes, as far as no other run has it too.

Answers of LLMs stay: the ledger is the guidance service's, and paid answers are used again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from slcolm.coordinator.v1 import coordinator_pb2
from slcolm.retrieval.v1 import retrieval_pb2
from slcolm_services.coordinator.context import DATASET_FIELDS
from slcolm_services.coordinator.peers import Peers
from slcolm_services.coordinator.records import KIND as STAGES
from slcolm_services.coordinator.records import StageResult
from slcolm_services.coordinator.runs import ENDED, Runs
from slcolm_services.errors import ArtifactCorrupt, ArtifactNotFound, RemoteError, RunNotEnded
from slcolm_services.runtime.store import ArtifactStore

_DATASETS, _MODELS, _INDEX = "datasets", "models", "index"

_log = structlog.get_logger(__name__)

Belonging = tuple[str, str]
"""Kind and name of something that a run has: a stage's file, a data set, a model, an index."""


@dataclass(frozen=True)
class Freed:
    """What a deletion took away, or would.

    Attributes:
        artifacts: Files and folders of the store, and the index.
        bytes: Their size in the store; an index is not counted.
    """

    artifacts: int
    bytes: int


class Deletion:
    """Deletes runs. Thread-safe; every method blocks.

    A deletion that was interrupted leaves a run that is still listed, and is completed by another.

    Args:
        runs: The run database.
        store: Where the runs' artifacts are.
        peers: The retrieval service has the indexes.
    """

    def __init__(self, runs: Runs, store: ArtifactStore, peers: Peers) -> None:
        self._runs = runs
        self._store = store
        self._peers = peers

    def delete(self, run_id: str, *, validate_only: bool = False) -> Freed:
        """Delete a run with everything that it alone has.

        Args:
            run_id: A run that has ended.
            validate_only: Only tell what would go.

        Raises:
            RunNotFound: There is no such run.
            RunNotEnded: It has not ended, or one that has not ended may take what it has done.
        """
        garbage = self._garbage(run_id)
        freed = self._size(garbage)
        if validate_only:
            return freed
        # First nothing is found any more by its key. A run that begins later makes its own, and
        # one that began before this is found by the second look.
        self._forget(garbage)
        garbage = self._garbage(run_id)
        # The index first: another service may refuse, and nothing has gone then.
        for kind, name in garbage:
            if kind == _INDEX:
                self._delete_index(name)
        for kind, name in garbage:
            if kind != _INDEX:
                self._store.delete(kind, name)
        self._runs.delete(run_id)
        _log.info("run deleted", run_id=run_id, artifacts=freed.artifacts, bytes=freed.bytes)
        return freed

    def _garbage(self, run_id: str) -> frozenset[Belonging]:
        """What the run has and no other one has."""
        own = self._runs.get_run(run_id)
        if own.state not in ENDED:
            raise RunNotEnded(f"run {run_id} has not ended", metadata={"run_id": run_id})
        kept: set[Belonging] = set()
        for other in self._runs.list_runs():
            if other.id != run_id:
                if other.state not in ENDED and _data_of(other.spec) & _data_of(own.spec):
                    raise RunNotEnded(
                        f"run {other.id} works on data of run {run_id} and has not ended",
                        metadata={"run_id": other.id},
                    )
                kept |= self._belongings(other)
        return self._belongings(own) - kept

    def _belongings(self, run: coordinator_pb2.Run) -> frozenset[Belonging]:
        """What any attempt at the run has read or made."""
        found = {(_DATASETS, digest) for digest in _data_of(run.spec)}
        for result in self._runs.results(run.id):
            found |= _belongings_of(result)
        return frozenset(found)

    def _forget(self, garbage: frozenset[Belonging]) -> None:
        for key in self._store.records(STAGES):
            try:
                value = json.loads(self._store.get_record(STAGES, key))
            except (ArtifactNotFound, ArtifactCorrupt):
                continue
            if _belongings_of(StageResult.from_json(value)) & garbage:
                self._store.delete_record(STAGES, key)

    def _delete_index(self, revision: str) -> None:
        retrieval = self._peers.retrieval
        request = retrieval_pb2.DeleteIndexRequest(index_revision=revision)
        try:
            self._peers.invoke("retrieval", retrieval.DeleteIndex, request)
        except RemoteError as error:
            if error.reason != "INDEX_NOT_FOUND":
                raise

    def _size(self, garbage: Iterable[Belonging]) -> Freed:
        sizes = [self._store.size(kind, name) if kind != _INDEX else 0 for kind, name in garbage]
        return Freed(len(sizes), sum(sizes))


def _data_of(spec: coordinator_pb2.RunSpec) -> frozenset[str]:
    return frozenset(getattr(spec, name) for name in DATASET_FIELDS)


def _belongings_of(result: StageResult) -> frozenset[Belonging]:
    """The files of a stage, and the model and the index that it names."""
    found = {(STAGES, digest) for digest in result.artifacts.values()}
    for value, kind in (("model_revision", _MODELS), ("index_revision", _INDEX)):
        if value in result.values:
            found.add((kind, result.values[value]))
    return frozenset(found)
