"""Data sets in the artifact store, by digest."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from slcolm.common.v1 import common_pb2
from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.jsonl import read_documents
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import ArtifactNotFound, DataInvalid, DatasetNotFound
from slcolm_services.runtime.store import ArtifactStore
from slcolm_services.runtime.wire import document_to_wire

_KIND = "datasets"
_CACHED = 8


class Datasets:
    """Stores and reads data sets; the latest few are kept in memory."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._cached = lru_cache(maxsize=_CACHED)(self._read)

    def add(self, name: str, data: bytes, schema: TaskSchema) -> tuple[str, int]:
        """Check a data set in native JSONL and store it.

        Args:
            name: What the data set is called in messages.
            data: The file's bytes.
            schema: Every label must be in it.

        Returns:
            Digest and number of documents.

        Raises:
            DataInvalid: The data set has problems; each is named with its line. Nothing is stored.
        """
        documents = self._parse(name, data, schema)
        return self._store.put_bytes(_KIND, data), len(documents)

    def load(self, digest: str) -> Sequence[common_pb2.Document]:
        """The documents of a data set.

        Raises:
            DatasetNotFound: There is none under this digest.
        """
        return self._cached(digest)

    def training_counts(self, digest: str) -> dict[str, int]:
        """Instances by relation type."""
        counts = Counter(
            relation.type for document in self.load(digest) for relation in document.relations
        )
        return dict(counts)

    def _read(self, digest: str) -> tuple[common_pb2.Document, ...]:
        try:
            data = self._store.get_bytes(_KIND, digest)
        except ArtifactNotFound as error:
            raise DatasetNotFound(
                f"no data set {digest[:12]}… in the store", metadata={"digest": digest}
            ) from error
        return tuple(map(document_to_wire, self._parse(digest[:12], data, None)))

    @staticmethod
    def _parse(name: str, data: bytes, schema: TaskSchema | None) -> list[Document]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.jsonl"
            path.write_bytes(data)
            try:
                return read_documents(path, schema)
            except DataInvalid as error:
                message = error.message.replace(str(path), name)
                raise DataInvalid(message, violations=error.violations) from error
