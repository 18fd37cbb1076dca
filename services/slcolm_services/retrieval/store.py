"""The sentences of an index in Qdrant: an embedded folder or a server, by the same code.

One collection holds one index revision. A sentence is a point with a dense and a sparse vector,
both named after its role, so that a search looks at the sentences of one role alone. The manifest
and the trigger lexicon lie in a point of their own without vectors, so that a reader sees both or
neither, and they survive wherever the collection does.

Every method blocks and is for one thread at a time where Qdrant is embedded.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from qdrant_client.hybrid.fusion import reciprocal_rank_fusion

from slcolm_services.corpus.documents import Document
from slcolm_services.errors import (
    IndexNotFound,
    Overloaded,
    PreconditionFailed,
    Unavailable,
)
from slcolm_services.retrieval.config import RetrievalConfig
from slcolm_services.retrieval.folder import open_folder
from slcolm_services.retrieval.points import (
    Hit,
    dense_name,
    hit_of,
    in_order,
    others_filter,
    payload_of,
    role_filter,
    sparse_name,
    vectors_of,
)
from slcolm_services.retrieval.records import (
    IndexedSentence,
    Manifest,
    Role,
    Vector,
    document_from_json,
    identity,
)
from slcolm_services.retrieval.triggers import TriggerLexicon
from slcolm_services.runtime.dependencies import SameFile

_PREFIX = "slcolm-index-"
_MANIFEST_ID = str(uuid.UUID(int=0))
_MANIFEST_ROLE = "manifest"
_PAGE = 1000
_OWN_POINTS = 8
"""Points of a query's own sentence that a search may find without having to ask again."""


class IndexStore:
    """Index revisions in Qdrant.

    Args:
        config: Where Qdrant is. A folder is created where there is none, and locked.

    Raises:
        HomeInUse: Another process has the folder open.
        ConfigInvalid: The folder cannot be made or read, or holds what no index holds.
    """

    def __init__(self, config: RetrievalConfig) -> None:
        self._config = config
        if config.qdrant_url:
            self._client = QdrantClient(
                url=config.qdrant_url,
                api_key=os.environ.get(config.qdrant_api_key_env),
                timeout=config.qdrant_timeout_seconds,
                # The server may start after this service: the first call will tell.
                check_compatibility=False,
            )
            self._folder = None
        else:
            self._client = open_folder(config.folder)
            self._folder = SameFile(config.folder)

    def close(self) -> None:
        """Release the folder or the connections."""
        self._client.close()

    def check(self) -> None:
        """Go on where Qdrant is there. Thread-safe, whichever Qdrant it is.

        Raises:
            Unavailable: The server does not answer, or the folder is gone.
            PreconditionFailed: The server refuses the API key.
        """
        if self._folder is not None:
            self._folder.check()
        else:
            with self._errors(""):
                self._client.get_collections()

    def create(self, manifest: Manifest) -> None:
        """Create an index without sentences. A collection that is there already stays as it is."""
        name = _PREFIX + manifest.revision
        with self._errors(manifest.revision):
            if not self._client.collection_exists(name):
                self._create_collection(name, manifest.vector_dimension)
        self.write_manifest(manifest, None)

    def _create_collection(self, name: str, dimension: int) -> None:
        self._client.create_collection(
            name,
            vectors_config={
                dense_name(role): models.VectorParams(
                    size=dimension, distance=models.Distance.COSINE
                )
                for role in Role
            },
            sparse_vectors_config={
                sparse_name(role): models.SparseVectorParams(modifier=models.Modifier.IDF)
                for role in Role
            },
        )
        if self._config.qdrant_url:  # the embedded one scans its payloads, and warns that it does
            for field in ("role", "same_as"):
                self._client.create_payload_index(name, field, models.PayloadSchemaType.KEYWORD)

    def write_manifest(self, manifest: Manifest, lexicon: TriggerLexicon | None) -> None:
        """Replace the manifest and the trigger lexicon of an index, both at once.

        Raises:
            IndexNotFound: There is no such index.
        """
        payload = {
            "role": _MANIFEST_ROLE,
            "manifest": manifest.to_json(),
            "lexicon": lexicon.to_json() if lexicon is not None else None,
        }
        point = models.PointStruct(id=_MANIFEST_ID, vector={}, payload=payload)
        with self._errors(manifest.revision):
            self._client.upsert(_PREFIX + manifest.revision, [point], wait=True)

    def manifest(self, revision: str) -> Manifest:
        """The manifest of an index.

        Raises:
            IndexNotFound: There is no such index.
        """
        return Manifest.from_json(self._manifest_payload(revision, "manifest"))

    def lexicon(self, revision: str) -> TriggerLexicon:
        """The trigger lexicon of a finished index.

        Raises:
            IndexNotFound: There is no such index.
        """
        return TriggerLexicon.from_json(self._manifest_payload(revision, "lexicon"))

    def _manifest_payload(self, revision: str, field: str) -> dict[str, Any]:
        with self._errors(revision):
            points = self._client.retrieve(_PREFIX + revision, [_MANIFEST_ID], with_payload=[field])
        if not points:
            # A collection without manifest: its creation was cut short, and can be repeated.
            raise _not_found(revision)
        content = payload_of(points[0])[field]
        assert isinstance(content, dict)  # noqa: S101  as `write_manifest` wrote it
        return content

    def revisions(self) -> list[str]:
        """Revisions of all indexes, sorted."""
        with self._errors(""):
            collections = self._client.get_collections().collections
        return sorted(
            collection.name.removeprefix(_PREFIX)
            for collection in collections
            if collection.name.startswith(_PREFIX)
        )

    def delete(self, revision: str) -> None:
        """Delete an index.

        Raises:
            IndexNotFound: There is no such index.
        """
        with self._errors(revision):
            if not self._client.collection_exists(_PREFIX + revision):
                raise _not_found(revision)
            self._client.delete_collection(_PREFIX + revision)

    def add(self, revision: str, sentences: Sequence[IndexedSentence]) -> None:
        """Add sentences; one that is there already stays once.

        Raises:
            IndexNotFound: There is no such index.
        """
        points = [
            models.PointStruct(
                id=sentence.point_id(),
                vector=vectors_of(sentence.gold.text, sentence.vector, sentence.role),
                payload=sentence.payload(),
            )
            for sentence in sentences
        ]
        if points:
            with self._errors(revision):
                self._client.upsert(_PREFIX + revision, points, wait=True)

    def holds(self, revision: str, sentences: Sequence[IndexedSentence]) -> bool:
        """Whether every one of the sentences is in the index."""
        ids = {sentence.point_id() for sentence in sentences}
        with self._errors(revision):
            found = self._client.retrieve(_PREFIX + revision, list(ids), with_payload=False)
        return len(found) == len(ids)

    def count(self, revision: str, role: Role) -> int:
        """Number of sentences with a role."""
        with self._errors(revision):
            return self._client.count(
                _PREFIX + revision, count_filter=role_filter(role), exact=True
            ).count

    def gold(self, revision: str, role: Role) -> Iterator[Document]:
        """Gold documents with a role, in the order of their point ids."""
        for record in self._scroll(revision, role, ["gold"]):
            yield document_from_json(payload_of(record)["gold"])

    def others(self, revision: str, document: Document, role: Role) -> list[str]:
        """Point ids of all sentences with a role, each text once, but the document's own."""
        own = set(identity(document))
        ids: dict[str, str] = {}
        for record in self._scroll(revision, role, ["same_as"]):
            names = payload_of(record)["same_as"]
            if own.isdisjoint(names):
                ids.setdefault(names[-1], str(record.id))
        return list(ids.values())

    def fetch(self, revision: str, point_ids: Sequence[str]) -> list[Hit]:
        """Sentences by point id, in the order of the ids, with score 0."""
        with self._errors(revision):
            records = self._client.retrieve(_PREFIX + revision, list(point_ids))
        by_id = {str(record.id): record for record in records}
        return [hit_of(by_id[point_id], 0.0) for point_id in point_ids]

    def search(
        self, revision: str, document: Document, vector: Vector, role: Role, limit: int
    ) -> list[Hit]:
        """Sentences most similar to a query, by reciprocal rank fusion of both searches.

        The query's own sentence and duplicates of it are never among them, and no two are
        duplicates of each other.

        Args:
            revision: The index.
            document: The query; `id` and `text` are read.
            vector: Its sentence vector.
            role: Role of the sentences to search.
            limit: Most sentences, at least 1.

        Raises:
            IndexNotFound: There is no such index.
        """
        own = frozenset(identity(document))
        # Twice the limit, for duplicates that will be dropped.
        found = max(self._config.prefetch_limit, 2 * limit)
        searches = [
            # The embedded Qdrant applies a filter to every point in Python, which takes longer than
            # the search. A few points more, left out below, are as good where they are enough.
            models.QueryRequest(
                query=query, using=name, limit=found + _OWN_POINTS, with_payload=["same_as"]
            )
            for name, query in vectors_of(document.text, vector, role).items()
        ]
        with self._errors(revision):
            answers = self._client.query_batch_points(_PREFIX + revision, searches)
            rankings = [
                self._without(revision, own, search, answer.points, found)
                for search, answer in zip(searches, answers, strict=True)
            ]
            fused = reciprocal_rank_fusion(
                rankings, limit=2 * limit, ranking_constant_k=self._config.rrf_k
            )
            records = self._client.retrieve(_PREFIX + revision, [point.id for point in fused])
        by_id = {record.id: record for record in records}
        hits: dict[str, Hit] = {}
        for point in fused:
            # One that was deleted between the two requests is not there any more.
            if point.id in by_id:
                record = by_id[point.id]
                names = payload_of(record)["same_as"]
                if own.isdisjoint(names):
                    hits.setdefault(names[-1], hit_of(record, point.score))
        return list(hits.values())[:limit]

    def _without(
        self,
        revision: str,
        own: frozenset[str],
        search: models.QueryRequest,
        points: list[models.ScoredPoint],
        limit: int,
    ) -> list[models.ScoredPoint]:
        """The best of what a search found, without those that share a name with the query."""
        others = [point for point in points if own.isdisjoint(payload_of(point)["same_as"])]
        if len(others) < limit and len(points) == search.limit:
            # There may be more behind them.
            search = search.model_copy(update={"filter": others_filter(own), "limit": limit})
            (answer,) = self._client.query_batch_points(_PREFIX + revision, [search])
            others = answer.points
        return in_order(others)[:limit]

    def _scroll(self, revision: str, role: Role, fields: list[str]) -> Iterator[models.Record]:
        offset = None
        while True:
            with self._errors(revision):
                records, offset = self._client.scroll(
                    _PREFIX + revision,
                    scroll_filter=role_filter(role),
                    limit=_PAGE,
                    offset=offset,
                    with_payload=fields,
                )
            yield from records
            if offset is None:
                return

    @contextmanager
    def _errors(self, revision: str) -> Iterator[None]:
        """Turn what either Qdrant raises into this project's errors."""
        try:
            yield
        except ResourceExhaustedResponse as error:
            raise Overloaded(
                "the Qdrant server has too much to do", retry_after_seconds=error.retry_after_s
            ) from error
        except ResponseHandlingException as error:
            raise Unavailable("the Qdrant server cannot be reached") from error
        except UnexpectedResponse as error:
            status = error.status_code or 0
            if status == HTTPStatus.NOT_FOUND:
                raise _not_found(revision) from error
            if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise PreconditionFailed(
                    f"the Qdrant server refuses the API key in {self._config.qdrant_api_key_env}"
                ) from error
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Unavailable(f"the Qdrant server answered {status}") from error
            raise
        except ValueError as error:
            # All that the embedded Qdrant says of a missing collection.
            if self._config.qdrant_url or self._client.collection_exists(_PREFIX + revision):
                raise
            raise _not_found(revision) from error


def _not_found(revision: str) -> IndexNotFound:
    return IndexNotFound(f"there is no index {revision!r}", metadata={"index_revision": revision})
