"""Gets answers, and pays for none twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from dataclasses import replace

import structlog

from slcolm_services.errors import AnswerPending, BudgetExhausted, DeadlineTooShort, SlcolmError
from slcolm_services.guidance.entries import Answer, Asked, Claim, Claimed, Settlement, Wait
from slcolm_services.guidance.items import Prompt
from slcolm_services.guidance.ledger import Ledger
from slcolm_services.guidance.measures import BOUGHT, FREE, LEDGER, SHARED, GuidanceMeasures
from slcolm_services.guidance.providers.base import (
    ChargedInVain,
    Completion,
    Provider,
    ProviderInfo,
    Request,
)
from slcolm_services.guidance.usage import Prices, RunBudget, Usage

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


def request_digest(provider: ProviderInfo, prompt: Prompt, sample: int = 0) -> str:
    """SHA-256 over everything that shapes an answer: the provider, the messages, which sample."""
    messages = [[message.role, message.content] for message in prompt.messages]
    shaping: list[object] = [provider.digest, messages]
    if sample:
        shaping += [sample, provider.sampling]
    content = json.dumps(shaping, ensure_ascii=False)
    # Texts may hold lone surrogates, which UTF-8 alone refuses.
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def claim_for(
    info: ProviderInfo, request: Request, run_id: str, budget: RunBudget | None, prices: Prices
) -> Claim:
    """The claim to a request: its digest, and what it costs at worst at these prices."""
    prompt, answer = request.prompt.tokens, info.window.answer_tokens
    item = request.item.prediction
    return Claim(
        digest=request_digest(info, request.prompt, request.sample),
        worst=Usage(1, prompt, answer, cost=prices.cost(prompt=prompt, completion=answer)),
        run_id=run_id,
        budget=budget or RunBudget(),
        asked=Asked(item.id, item.text, request.sample),
    )


class Exchange:
    """The ledger and the calls in flight.

    Args:
        ledger: Where paid answers and claims are kept.
        measures: Where answers and what they cost are counted.
    """

    def __init__(self, ledger: Ledger, measures: GuidanceMeasures | None = None) -> None:
        self._ledger = ledger
        self._measures = measures or GuidanceMeasures()
        self._in_flight: dict[str, asyncio.Task[Completion]] = {}

    async def answer(
        self,
        provider: Provider,
        request: Request,
        *,
        run_id: str,
        deadline: float,
        budget: RunBudget | None = None,
    ) -> Completion:
        """An answer from the ledger, from the same request in flight, or from the provider.

        A call that the provider charges for goes on when its caller leaves: its answer is paid for
        and belongs in the ledger.

        Args:
            provider: Who is asked.
            request: What is asked.
            run_id: Run that the spending is booked on.
            deadline: When the caller stops waiting, on the event loop's clock (seconds).
            budget: What the run may spend in all; None: as much as the service may.

        Returns:
            The answer; its usage is what this caller has spent on it.

        Raises:
            BudgetExhausted: A spending limit does not allow the call.
            AnswerPending: A batch that has not ended asks the same.
            DeadlineTooShort: The deadline passed first.
            SlcolmError: Whatever the provider raises.
        """
        if not provider.info.metered:
            completion = await provider.complete(request, deadline=deadline)
            self._measures.answered(provider.info.name, FREE)
            return completion
        claim = claim_for(provider.info, request, run_id, budget, provider.info.prices)
        clock = asyncio.get_running_loop().time
        while True:
            task = self._in_flight.get(claim.digest)
            mine = task is None
            if task is None:
                task = asyncio.create_task(self._find_or_pay(provider, request, claim, deadline))
                self._in_flight[claim.digest] = task
                task.add_done_callback(lambda done: self._landed(claim.digest, done))
            try:
                async with asyncio.timeout_at(deadline):
                    completion = await asyncio.shield(task)
            except TimeoutError:
                raise DeadlineTooShort("no answer before the caller's deadline") from None
            except (DeadlineTooShort, BudgetExhausted):
                if mine or clock() >= deadline:
                    raise
                continue  # the other caller had less time or less money than this one
            if mine:
                return completion
            self._measures.answered(provider.info.name, SHARED)
            return replace(completion, usage=Usage())

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
        self, provider: Provider, request: Request, claim: Claim, deadline: float
    ) -> Completion:
        found = await self._find_or_claim(claim, deadline)
        info = provider.info
        if found is not None:
            self._measures.answered(info.name, LEDGER)
            return Completion(found)
        booking = Settlement(
            digest=claim.digest,
            answer=None,
            usage=Usage(),
            provider=info.name,
            run_id=claim.run_id,
            asked=claim.asked,
        )
        try:
            completion = await provider.complete(request, deadline=deadline)
        except ChargedInVain as error:
            self._measures.paid(info.name, error.usage, info.prices.currency)
            await self._settle(replace(booking, usage=error.usage))
            raise
        except BaseException:
            with suppress(SlcolmError):  # the next renewal of the lease sees to it
                await self._ledger.release(claim.digest)
            raise
        self._measures.answered(info.name, BOUGHT)
        self._measures.paid(info.name, completion.usage, info.prices.currency)
        await self._settle(replace(booking, answer=completion.answer, usage=completion.usage))
        return completion

    async def _settle(self, settlement: Settlement) -> None:
        try:
            await self._ledger.settle(settlement)
        except SlcolmError:
            # It is paid for: better to hand it over unwritten than to lose it.
            _log.exception("paid_call_not_written", digest=settlement.digest)

    async def _find_or_claim(self, claim: Claim, deadline: float) -> Answer | None:
        """The answer of whoever has asked before; None where it is ours to ask."""
        clock = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE_SECONDS
        while True:
            outcome = await self._ledger.claim(claim)
            match outcome:
                case Answer():
                    return outcome
                case Claimed():
                    return None
                case BudgetExhausted():
                    raise outcome
                case Wait(batch_id=batch_id) if batch_id:
                    raise AnswerPending(
                        f"batch {batch_id!r} asks the same and has not ended",
                        metadata={"batch_id": batch_id},
                    )
                case Wait(exhausted=exhausted):
                    if clock() + pause >= deadline:
                        raise exhausted or DeadlineTooShort(
                            "another process asks the same and has no answer yet"
                        )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
