"""Gets answers, and pays for none twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace

import structlog

from slcolm_services.errors import DeadlineTooShort
from slcolm_services.guidance.budget import Budget
from slcolm_services.guidance.items import Prompt
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.providers.base import Completion, Provider, ProviderInfo, Request
from slcolm_services.guidance.usage import Usage

_log = structlog.get_logger(__name__)


def request_digest(provider: ProviderInfo, prompt: Prompt) -> str:
    """SHA-256 over everything that shapes an answer: the provider and the messages."""
    messages = [[message.role, message.content] for message in prompt.messages]
    content = json.dumps([provider.digest, messages], ensure_ascii=False)
    # Texts may hold lone surrogates, which UTF-8 alone refuses.
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


class Exchange:
    """The ledger, the budget and the calls in flight.

    Args:
        ledger: Where paid answers are kept.
        budget: What may be spent.
    """

    def __init__(self, ledger: Ledger, budget: Budget) -> None:
        self._ledger = ledger
        self._budget = budget
        self._in_flight: dict[str, asyncio.Task[Completion]] = {}

    async def answer(
        self, provider: Provider, request: Request, *, run_id: str, deadline: float
    ) -> Completion:
        """An answer from the ledger, from the same request in flight, or from the provider.

        A call that the provider charges for goes on when its caller leaves: its answer is paid for
        and belongs in the ledger.

        Args:
            provider: Who is asked.
            request: What is asked.
            run_id: Run that the spending is booked on.
            deadline: When the caller stops waiting, on the event loop's clock (seconds).

        Returns:
            The answer; its usage is what this caller has spent on it.

        Raises:
            BudgetExhausted: The spending limit does not allow the call.
            DeadlineTooShort: The deadline passed first.
            SlcolmError: Whatever the provider raises.
        """
        if not provider.info.metered:
            return await provider.complete(request, deadline=deadline)
        digest = request_digest(provider.info, request.prompt)
        clock = asyncio.get_running_loop().time
        while True:
            task = self._in_flight.get(digest)
            mine = task is None
            if task is None:
                task = asyncio.create_task(
                    self._find_or_pay(provider, request, digest, run_id, deadline)
                )
                self._in_flight[digest] = task
                task.add_done_callback(lambda done: self._landed(digest, done))
            try:
                async with asyncio.timeout_at(deadline):
                    completion = await asyncio.shield(task)
            except TimeoutError:
                raise DeadlineTooShort("no answer before the caller's deadline") from None
            except DeadlineTooShort:
                if mine or clock() >= deadline:
                    raise
                continue  # the other caller had less time than this one
            return completion if mine else replace(completion, usage=Usage())

    def _landed(self, digest: str, task: asyncio.Task[Completion]) -> None:
        del self._in_flight[digest]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Every caller may have left: then nobody else hears of it.
            _log.debug("llm_call_failed", digest=digest, error=type(error).__name__)

    async def settle(self) -> None:
        """Wait until no call is in flight."""
        if self._in_flight:
            await asyncio.wait(list(self._in_flight.values()))

    async def _find_or_pay(
        self, provider: Provider, request: Request, digest: str, run_id: str, deadline: float
    ) -> Completion:
        found = await self._ledger.find(digest)
        if found is not None:
            return Completion(found)
        info = provider.info
        worst_case = info.prices.cost(
            prompt=request.prompt.tokens, completion=info.window.answer_tokens
        )
        with self._budget.hold(worst_case):
            completion = await provider.complete(request, deadline=deadline)
            self._budget.spent += completion.usage.cost
        await self._ledger.record(
            digest, completion.answer, completion.usage, provider=info.name, run_id=run_id
        )
        return completion
