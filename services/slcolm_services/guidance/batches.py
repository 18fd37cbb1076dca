"""Batches: many requests that a provider answers within a day, for less.

A batch is written down before the provider hears of it, with a claim on each of its requests, and
what the provider answers is written as it is collected. A process that dies at any point leaves a
batch that another one goes on with: a batch whose creation was not confirmed is looked for at the
provider by its file of requests, and if it is not there, nothing was asked.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from slcolm_services.errors import BatchUnsupported, SlcolmError, Unavailable
from slcolm_services.guidance.batch_store import Batch, BatchStore
from slcolm_services.guidance.entries import Claim
from slcolm_services.guidance.exchange import Exchange, claim_for
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.measures import BATCH, GuidanceMeasures
from slcolm_services.guidance.providers.base import Provider, Request
from slcolm_services.guidance.providers.batch import (
    BatchProvider,
    BatchState,
    RemoteBatch,
    Unconfirmed,
)
from slcolm_services.guidance.usage import RunBudget

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_UNCONFIRMED_SECONDS = 600.0
_NEVER_SENT = "the service stopped before it had handed the batch over: nothing was sent"
_NOT_TAKEN = "the provider did not confirm the batch and does not know it: nothing was sent"


class Batches:
    """Submits, follows and collects batches.

    Args:
        ledger: Where batches and answers are kept.
        exchange: Who asks single requests.
        providers: Those that take batches, by name.
        measures: Where answers and what they cost are counted.
        unconfirmed_seconds: How long the provider may take to list a batch whose creation it did
            not confirm.
    """

    def __init__(
        self,
        ledger: Ledger,
        exchange: Exchange,
        providers: Mapping[str, BatchProvider],
        *,
        measures: GuidanceMeasures | None = None,
        unconfirmed_seconds: float = _UNCONFIRMED_SECONDS,
    ) -> None:
        self._store = BatchStore(ledger)
        self._exchange = exchange
        self._providers = dict(providers)
        self._measures = measures or GuidanceMeasures()
        self._unconfirmed_seconds = unconfirmed_seconds
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    def are_taken_by(self, provider: str) -> bool:
        """Whether a provider takes batches."""
        return provider in self._providers

    async def submit(
        self,
        provider: Provider,
        requests: Sequence[Request],
        *,
        run_id: str,
        budget: RunBudget | None,
        deadline: float,
    ) -> Batch | None:
        """Have requests answered in the provider's own time.

        A batch that is refused after hours has cost these hours. So where the endpoint has not
        answered anything yet, the first request is asked at once, at the common price.

        Args:
            provider: Who is asked.
            requests: What is asked; what is answered or being asked already is left out.
            run_id: Run that the spending is booked on.
            budget: What the run may spend in all.
            deadline: When the caller stops waiting, on the event loop's clock (seconds). The batch
                is handed over all the same.

        Returns:
            The batch; that which asks the same already where nothing is left to ask; None where
            everything is answered.

        Raises:
            BatchUnsupported: The provider takes no batches.
            BatchTooLarge: They are more than the provider takes at once.
            BudgetExhausted: They do not fit into a budget, at worst case; nothing is sent.
            ProviderUnavailable: The provider cannot be reached or refuses; nothing is sent.
        """
        batches = self._provider(provider.info.name)
        if requests and not batches.is_known:
            await self._exchange.answer(
                provider, requests[0], run_id=run_id, deadline=deadline, budget=budget
            )
        claims = [
            claim_for(provider.info, request, run_id, budget, batches.prices)
            for request in requests
        ]
        asked = {
            claim.digest: (claim, request) for claim, request in zip(claims, requests, strict=True)
        }
        batch_id = secrets.token_hex(8)
        work = self._submit(batch_id, provider.info.name, batches, asked, run_id)
        return await self._shielded(batch_id, work)

    async def get(self, batch_id: str) -> Batch:
        """How a batch stands; its answers are collected once there are any.

        Raises:
            BatchNotFound: There is none of that name.
            ProviderUnavailable: The provider cannot be asked.
        """
        return await self._shielded(batch_id, self._follow(batch_id))

    async def list(self) -> list[Batch]:
        """Every batch as it was last seen, newest first."""
        return await self._store.list()

    async def cancel(self, batch_id: str) -> Batch:
        """Stop a batch; what is answered by then is collected.

        Raises:
            BatchNotFound: There is none of that name.
            ProviderUnavailable: The provider cannot be asked.
            Unavailable: It is just being handed over.
        """
        batch = await self.get(batch_id)
        if batch.state is not BatchState.RUNNING:
            return batch
        if not batch.remote_id:
            raise Unavailable(
                f"batch {batch_id!r} is being handed over; cancel it again in a while",
                metadata={"batch_id": batch_id},
            )
        await self._provider(batch.provider).cancel(batch.remote_id)
        return await self.get(batch_id)

    async def settle(self) -> None:
        """Wait until nothing is being handed over or collected."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _provider(self, name: str) -> BatchProvider:
        found = self._providers.get(name)
        if found is None:
            raise BatchUnsupported(
                f"provider {name!r} takes no batches", metadata={"provider": name}
            )
        return found

    async def _shielded(self, batch_id: str, work: Coroutine[Any, Any, _T]) -> _T:
        """Do `work` to its end although its caller leaves; one piece at a time for a batch."""
        before = self._tasks.get(batch_id)

        async def in_turn() -> _T:
            if before is not None:
                await asyncio.wait([before])
            return await work

        task = asyncio.create_task(in_turn())
        self._tasks[batch_id] = task
        task.add_done_callback(lambda done: self._done(batch_id, done))
        return await asyncio.shield(task)

    def _done(self, batch_id: str, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(batch_id) is task:
            del self._tasks[batch_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("batch_call_failed", batch_id=batch_id, error=type(error).__name__)

    async def _submit(
        self,
        batch_id: str,
        provider: str,
        batches: BatchProvider,
        asked: Mapping[str, tuple[Claim, Request]],
        run_id: str,
    ) -> Batch | None:
        claims = [claim for claim, _ in asked.values()]
        begun = await self._store.begin(batch_id, provider, run_id, claims)
        if not begun.digests:
            return await self._store.get(begun.pending_in) if begun.pending_in else None
        try:
            file_id = await batches.upload(
                {d: request for d, (_, request) in asked.items() if d in begun.digests}
            )
            await self._store.note(batch_id, file_id=file_id)
            remote = await batches.create(file_id, batch_id)
        except Unconfirmed:
            _log.warning("batch_unconfirmed", batch_id=batch_id, provider=provider)
            await self._store.note(batch_id, submitter="")
        except SlcolmError:
            await self._store.drop(batch_id)
            raise
        else:
            await self._store.note(batch_id, remote_id=remote.id, submitter="")
            _log.info(
                "batch_submitted",
                batch_id=batch_id,
                provider=provider,
                requests=len(begun.digests),
            )
        return await self._store.get(batch_id)

    async def _follow(self, batch_id: str) -> Batch:
        batch = await self._store.get(batch_id)
        if batch.state is not BatchState.RUNNING:
            return batch
        batches = self._provider(batch.provider)
        remote = await self._remote(batch, batches)
        if remote is not None and remote.state is not BatchState.RUNNING:
            await self._collect(batch, batches, remote)
        return await self._store.get(batch_id)

    async def _remote(self, batch: Batch, batches: BatchProvider) -> RemoteBatch | None:
        """The batch at the provider; None where it is not there, or not yet."""
        if batch.remote_id:
            return await batches.get(batch.remote_id)
        if await self._store.is_being_submitted(batch):
            return None
        if not batch.file_id:
            await self._store.end(batch.id, BatchState.FAILED, _NEVER_SENT)
            return None
        remote = await batches.find(batch.file_id, batch.create_time)
        if remote is not None:
            await self._store.note(batch.id, remote_id=remote.id)
        elif (datetime.now(UTC) - batch.create_time).total_seconds() > self._unconfirmed_seconds:
            await self._store.end(batch.id, BatchState.FAILED, _NOT_TAKEN)
        return remote

    async def _collect(self, batch: Batch, batches: BatchProvider, remote: RemoteBatch) -> None:
        worst = await self._store.worst_tokens(batch.id)
        for file_id in remote.result_files:
            async for results in batches.results(file_id, worst):
                for settled in await self._store.collect(batch, results):
                    self._measures.paid(batch.provider, settled.usage, batches.prices.currency)
                    if settled.answer is not None:
                        self._measures.answered(batch.provider, BATCH)
        await self._store.end(batch.id, remote.state, remote.problem)
        _log.info("batch_ended", batch_id=batch.id, state=remote.state.value)
