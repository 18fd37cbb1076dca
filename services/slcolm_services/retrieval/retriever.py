"""Building index revisions and selecting from them, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import structlog

from slcolm_services.corpus.documents import Document
from slcolm_services.corpus.schema import TaskSchema
from slcolm_services.errors import (
    FieldViolation,
    IndexFinished,
    IndexNotFound,
    IndexNotReady,
    InvalidInput,
    SlcolmError,
    Unavailable,
)
from slcolm_services.retrieval import candidates, triggers
from slcolm_services.retrieval.config import RetrievalConfig, TriggerConfig
from slcolm_services.retrieval.measures import RetrievalMeasures
from slcolm_services.retrieval.points import Hit
from slcolm_services.retrieval.records import IndexedSentence, Manifest, Role, Vector
from slcolm_services.retrieval.store import IndexStore

ResultT = TypeVar("ResultT")

_log = structlog.get_logger(__name__)

_REMEMBERED = 32
"""Finished indexes whose lexicon stays in memory."""


@dataclass(frozen=True, slots=True)
class Query:
    """A text to select for.

    Attributes:
        document: The text with the SLM's entities.
        vector: Its sentence vector, of the index's dimension.
    """

    document: Document
    vector: Vector


@dataclass(frozen=True, slots=True)
class SelectOptions:
    """How much to select for each query.

    Attributes:
        demonstrations: Demonstrations; may be 0.
        neighbours: Similar training sentences that vote for candidates.
        candidates: Most candidate relation types.
        random: Whether demonstrations are drawn at random, seeded by the query's id.
    """

    demonstrations: int
    neighbours: int
    candidates: int
    random: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """What was selected for a query, best first."""

    demonstrations: list[Hit]
    candidates: list[candidates.Candidate]


@dataclass(frozen=True, slots=True)
class FinishedIndex:
    """What selecting from an index needs to know of it. It never changes."""

    manifest: Manifest
    lexicon: triggers.TriggerLexicon


class Retriever:
    """Index revisions and selections from them.

    The store is opened, used and closed by the executor's threads alone: one for the embedded
    Qdrant, several for a server.

    Args:
        config: Where Qdrant is, and the limits.
        measures: Where indexes are counted.
    """

    def __init__(self, config: RetrievalConfig, measures: RetrievalMeasures | None = None) -> None:
        self._config = config
        self._measures = measures or RetrievalMeasures()
        self._executor = ThreadPoolExecutor(
            config.qdrant_connections if config.qdrant_url else 1, thread_name_prefix="qdrant"
        )
        self._opened: IndexStore | None = None
        self._finished: dict[str, FinishedIndex] = {}
        # Checking an index and changing it is one step, whichever threads do it.
        self._changing = threading.Lock()

    async def open(self) -> None:
        """Open the store.

        Raises:
            HomeInUse: Another process has the embedded Qdrant's folder open.
        """
        self._opened = await self._run(lambda: IndexStore(self._config))
        await self._run(self._survey)

    async def check(self) -> None:
        """Go on where the indexes are there.

        Raises:
            Unavailable: The server or the folder is gone, or the store is not open.
            PreconditionFailed: The server refuses the API key.
        """
        if self._opened is None:
            raise Unavailable("the indexes are not open")
        # Not by the executor, which is busy with the service's own work.
        await asyncio.to_thread(self._opened.check)

    async def close(self) -> None:
        """Close the store once the work that was begun has ended."""
        if self._opened is not None:
            await self._run(self._opened.close)
            self._opened = None
        self._executor.shutdown()

    async def add(
        self,
        revision: str,
        schema: TaskSchema,
        model_revision: str,
        sentences: Sequence[IndexedSentence],
        *,
        finish: bool,
    ) -> Manifest:
        """Add sentences to an index that is being built, and perhaps finish it.

        Args:
            revision: The index; the first call creates it.
            schema: The task, the same in every call.
            model_revision: Model that made the vectors, the same in every call.
            sentences: All with vectors of one length.
            finish: Mine the trigger words and make the index selectable.

        Returns:
            The index after the call.

        Raises:
            InvalidInput: The first call has no sentences, or a call disagrees with the first.
            IndexFinished: The index is finished and does not hold all the sentences.
        """

        def change() -> Manifest:
            with self._changing:
                manifest = self._begun(revision, schema, model_revision, sentences)
                if manifest.finished:
                    if not self._store.holds(revision, sentences):
                        raise IndexFinished(
                            f"index {revision!r} is finished and takes no more sentences",
                            metadata={"index_revision": revision},
                        )
                    return manifest
                self._store.add(revision, sentences)
                return self._finish(manifest) if finish else self._counted(manifest)

        return await self._run(change)

    async def select(
        self, revision: str, queries: Sequence[Query], options: SelectOptions
    ) -> list[Selection]:
        """Select demonstrations and candidate relation types for each query, in order.

        Raises:
            IndexNotFound: There is no such index.
            IndexNotReady: It is not finished.
        """
        index = await self.finished(revision)
        # A job for each query, so that calls take turns at a single thread.
        jobs = [self._run(partial(self._select, index, query, options)) for query in queries]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        selections = []
        for result in results:
            if isinstance(result, BaseException):
                if isinstance(result, IndexNotFound):
                    self._finished.pop(revision, None)
                raise result
            selections.append(result)
        return selections

    async def finished(self, revision: str) -> FinishedIndex:
        """A finished index.

        Raises:
            IndexNotFound: There is no such index.
            IndexNotReady: It is not finished.
        """

        def read() -> FinishedIndex:
            manifest = self._store.manifest(revision)
            if not manifest.finished:
                raise IndexNotReady(
                    f"index {revision!r} is still being built",
                    metadata={"index_revision": revision},
                )
            return FinishedIndex(manifest, self._store.lexicon(revision))

        index = self._finished.get(revision)
        if index is None:
            index = await self._run(read)
            if len(self._finished) >= _REMEMBERED:
                self._finished.pop(next(iter(self._finished)))
            self._finished[revision] = index
        return index

    async def get(self, revision: str) -> Manifest:
        """What is known of an index.

        Raises:
            IndexNotFound: There is no such index.
        """
        return await self._run(lambda: self._counted(self._store.manifest(revision)))

    async def revisions(self) -> list[str]:
        """Revisions of all indexes, sorted."""
        return await self._run(self._store.revisions)

    async def get_all(self, revisions: Sequence[str]) -> list[Manifest]:
        """What is known of each index; one that has been deleted meanwhile is left out."""

        def read() -> list[Manifest]:
            found = []
            for revision in revisions:
                with contextlib.suppress(IndexNotFound):
                    found.append(self._counted(self._store.manifest(revision)))
            return found

        return await self._run(read)

    async def delete(self, revision: str) -> None:
        """Delete an index.

        Raises:
            IndexNotFound: There is no such index.
        """

        def change() -> None:
            with self._changing:
                self._store.delete(revision)
                self._survey()

        await self._run(change)
        self._finished.pop(revision, None)
        _log.info("index deleted", index_revision=revision)

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        # As `asyncio.to_thread` does: what is logged there belongs to the call.
        in_context = partial(contextvars.copy_context().run, work)
        return await asyncio.get_running_loop().run_in_executor(self._executor, in_context)

    @property
    def _store(self) -> IndexStore:
        if self._opened is None:
            raise RuntimeError("the store is not open")
        return self._opened

    def _begun(
        self,
        revision: str,
        schema: TaskSchema,
        model_revision: str,
        sentences: Sequence[IndexedSentence],
    ) -> Manifest:
        """The manifest of the index, which is created where it does not exist."""
        try:
            manifest, is_new = self._store.manifest(revision), False
        except IndexNotFound:
            if not sentences:
                raise _invalid("sentences", f"index {revision!r} is new and needs some") from None
            dimension = len(sentences[0].vector)
            manifest, is_new = Manifest(revision, model_revision, dimension, schema), True
        if model_revision != manifest.model_revision:
            raise _invalid("model_revision", f"the index was begun with {manifest.model_revision}")
        if schema != manifest.schema:
            raise _invalid("schema", "the index was begun with another schema")
        for position, sentence in enumerate(sentences):
            check_dimension(sentence.vector, manifest, f"sentences[{position}].vector")
        if is_new:
            self._store.create(manifest)
        return manifest

    def _finish(self, manifest: Manifest) -> Manifest:
        lexicon = triggers.mine(self._store.gold(manifest.revision, Role.TRAINING), TriggerConfig())
        finished = replace(self._counted(manifest), finished=True, trigger_count=len(lexicon))
        self._store.write_manifest(finished, lexicon)
        _log.info(
            "index finished",
            index_revision=finished.revision,
            demonstrations=finished.demonstration_count,
            training=finished.training_count,
            triggers=finished.trigger_count,
        )
        self._survey()
        return finished

    def _survey(self) -> None:
        """Count the indexes; a server that cannot be reached just now is no reason to fail."""
        manifests = []
        with contextlib.suppress(SlcolmError):
            for revision in self._store.revisions():
                with contextlib.suppress(IndexNotFound):
                    manifests.append(self._store.manifest(revision))
            self._measures.surveyed(manifests)

    def _counted(self, manifest: Manifest) -> Manifest:
        if manifest.finished:
            return manifest
        return replace(
            manifest,
            demonstration_count=self._store.count(manifest.revision, Role.DEMONSTRATION),
            training_count=self._store.count(manifest.revision, Role.TRAINING),
        )

    def _select(self, index: FinishedIndex, query: Query, options: SelectOptions) -> Selection:
        revision, document = index.manifest.revision, query.document
        similar = self._store.search(
            revision, document, query.vector, Role.TRAINING, options.neighbours
        )
        neighbours = [
            candidates.Neighbour(
                frozenset(relation.type for relation in hit.gold.relations), hit.score
            )
            for hit in similar
        ]
        chosen = candidates.choose(
            index.manifest.schema,
            document,
            neighbours,
            index.lexicon.find(document),
            options.candidates,
        )
        return Selection(self._demonstrations(revision, query, options), chosen)

    def _demonstrations(self, revision: str, query: Query, options: SelectOptions) -> list[Hit]:
        if options.demonstrations == 0:
            return []
        if not options.random:
            return self._store.search(
                revision, query.document, query.vector, Role.DEMONSTRATION, options.demonstrations
            )
        drawn = self._store.others(revision, query.document, Role.DEMONSTRATION)
        # Shuffled whole: two demonstrations are the first two of four.
        random.Random(query.document.id).shuffle(drawn)
        return self._store.fetch(revision, drawn[: options.demonstrations])


def check_dimension(vector: Vector, manifest: Manifest, field: str) -> None:
    """Check that a vector fits an index.

    Raises:
        InvalidInput: It does not; the error names `field`.
    """
    if len(vector) != manifest.vector_dimension:
        raise _invalid(
            field, f"has {len(vector)} numbers, the index has {manifest.vector_dimension}"
        )


def _invalid(field: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{field}: {problem}", violations=[FieldViolation(field, problem)])
